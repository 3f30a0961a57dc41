//! What `cargo xtask bench storage` compares with: an S3 server in a process of its own, and a
//! reader that is nothing but `object_store`.
//!
//! `s3 serve` prints its address and obeys lines of standard input: `mode NAME` changes how it
//! behaves, `seen` prints the requests since the last time as JSON, `keys` the bucket's keys.
//! `s3 read URL KEY CONNECTIONS SECONDS` prints the bytes a second that it reads.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a program for measurements: it stops at what it did not expect"
)]

use futures::StreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStoreExt as _};
use opendepot_tests::s3::{BUCKET, KEYS, Mode, S3};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        ["serve"] => serve().await,
        ["read", url, key, connections, seconds] => {
            let seconds = Duration::from_secs(seconds.parse().unwrap());
            read(url, key, connections.parse().unwrap(), seconds).await;
        }
        _ => panic!("usage: s3 serve | s3 read URL KEY CONNECTIONS SECONDS"),
    }
}

async fn serve() {
    let server = S3::start().await;
    println!("{}", server.url());
    // The server runs on the other threads.
    for line in std::io::stdin().lines() {
        match line.unwrap().trim() {
            "mode right" => server.set_mode(Mode::Right),
            "mode stall" => server.set_mode(Mode::Stall),
            "mode slow-down" => server.set_mode(Mode::SlowDown),
            "mode reset" => server.set_mode(Mode::Reset),
            "seen" => {
                println!("{}", serde_json::to_string(&server.take_seen()).unwrap());
                continue;
            }
            "keys" => {
                println!("{}", serde_json::to_string(&server.keys()).unwrap());
                continue;
            }
            other => panic!("unknown word `{other}`"),
        }
        println!("ok");
    }
}

async fn read(url: &str, key: &str, connections: usize, within: Duration) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (id, secret) = KEYS[0];
    let store = AmazonS3Builder::new()
        .with_bucket_name(BUCKET)
        .with_endpoint(url)
        .with_region("eu-central-1")
        .with_access_key_id(id)
        .with_secret_access_key(secret)
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .build()
        .unwrap();
    let (store, key) = (Arc::new(store), Path::parse(key).unwrap());
    let read = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let readers: Vec<_> = (0..connections)
        .map(|_| {
            let (store, key, read) = (Arc::clone(&store), key.clone(), Arc::clone(&read));
            tokio::spawn(async move {
                while began.elapsed() < within {
                    let mut body = store.get(&key).await.unwrap().into_stream();
                    while let Some(chunk) = body.next().await {
                        let len = chunk.unwrap().len() as u64;
                        read.fetch_add(len, Ordering::Relaxed);
                        // What is half read when the time is up counts as far as it came.
                        if began.elapsed() >= within {
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{:.0}", read.load(Ordering::Relaxed) as f64 / seconds);
}
