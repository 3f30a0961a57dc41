//! SIGTERM: readiness ends at once, what is being downloaded is finished, the exit code is 0.

use crate::module_path;
use opendepot_tests::fixture::noise;
use opendepot_tests::wait::SOON;
use opendepot_tests::{Module, Setup, sha256, wait_until};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_in_progress_are_finished() {
    let setup = Setup::plain();
    // More than any socket buffer, so that the server is still sending when it is told to stop.
    Module::new("big")
        .file("data.bin", noise(24 << 20, 4))
        .write(&setup.manifests());
    let mut registry = setup.start().await;
    registry.wait_module("big", &["1.0.0"]).await;
    let path = module_path(&registry, "big", "1.0.0").await;
    let expected = registry
        .get(&path)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();

    let address = registry.setup().address();
    let mut downloads = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut start = vec![0; 64 << 10];
        stream.read_exact(&mut start).unwrap();
        assert!(start.starts_with(b"HTTP/1.1 200"));
        downloads.push((stream, start));
    }

    registry.signal(Signal::TERM);
    let ready = format!("http://{}/readyz", registry.setup().admin_address());
    let http = registry.http();
    wait_until("readiness to end", SOON, || async {
        match http.get(&ready).send().await {
            Ok(answer) if answer.status() == 200 => Err("still ready"),
            _ => Ok(()),
        }
    })
    .await;

    for (mut stream, mut bytes) in downloads {
        stream.read_to_end(&mut bytes).unwrap();
        let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(sha256(&bytes[head..]), sha256(&expected));
    }
    let status = registry.wait_exit(LIMIT).await;
    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test]
async fn discovery_is_answered_while_draining() {
    let setup = Setup::plain();
    Module::new("hello").write(&setup.manifests());
    let mut registry = setup.start().await;
    registry.wait_module("hello", &["1.0.0"]).await;
    registry.signal(Signal::TERM);
    // Until the listener stops: an answer that comes is a good one.
    let url = format!("{}/.well-known/terraform.json", registry.base());
    let http = registry.http();
    wait_until("the listener to stop", LIMIT, || async {
        match http.get(&url).send().await {
            Ok(answer) => {
                assert_eq!(answer.status(), 200);
                Err("still answered")
            }
            Err(_) => Ok(()),
        }
    })
    .await;
    assert_eq!(registry.wait_exit(LIMIT).await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_and_one_during_start_are_clean() {
    // U03
    let setup = Setup::plain();
    Module::new("hello").write(&setup.manifests());
    let mut registry = setup.start().await;
    registry.signal(Signal::TERM);
    registry.signal(Signal::INT);
    assert_eq!(registry.wait_exit(LIMIT).await.code(), Some(0));

    let mut registry = registry.kill().await.spawn();
    let admin = registry.setup().admin_address();
    wait_until("the process to listen", SOON, || async {
        TcpStream::connect(admin)
    })
    .await;
    registry.signal(Signal::TERM);
    // Well before the grace of what runs is over: nothing runs yet.
    assert_eq!(registry.wait_exit(SOON).await.code(), Some(0));
    let registry = registry.kill().await.start().await;
    registry.wait_module("hello", &["1.0.0"]).await;
}
