//! What a crash or a bad disk may leave behind (U10): what is temporary is thrown away, a damaged
//! store is a start-up error that says what to do, and doing it brings everything back.

use crate::fixture;
use crate::observe::{Facts, look};
use crate::server::{Server, run, verify};
use crate::state::files;
use opendepot_tests::fixture::{noise, write};
use opendepot_tests::{Setup, wait_until};
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// A stopped setup with a published module and provider, and what was published.
async fn published() -> (Setup, Facts) {
    let setup = Setup::plain();
    fixture::write_new(&setup);
    let server = Server::spawn(&setup, &[]);
    let facts = shown(&server).await;
    stop(server).await;
    (setup, facts)
}

/// What is shown once all of it is.
async fn shown(server: &Server) -> Facts {
    let names = fixture::names_new();
    wait_until("everything to be published", SOON, || async {
        match look(server, &names).await {
            Ok(facts) if facts.len() == 4 => Ok(facts),
            other => Err(other),
        }
    })
    .await
}

async fn stop(server: Server) {
    let status = server.stop().await;
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

/// A start that must fail: exit 1, with a message that names the store and the remedy.
fn expect_refusal(what: &str, output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{what}: {said}");
    assert!(!said.contains("panicked"), "{what}: {said}");
    for words in [
        "cannot open the embedded store",
        "control.redb",
        "move it away",
    ] {
        assert!(said.contains(words), "{what}: no `{words}` in {said}");
    }
    assert!(said.lines().count() <= 2, "{what}: {said}");
}

#[tokio::test]
async fn what_is_temporary_is_thrown_away() {
    let (setup, facts) = published().await;
    let before = files(&setup);
    let data = setup.data_dir();
    for name in [
        "tmp/fetch-A1b2C3",
        "tmp/.opendepot-tmp-0123456789abcdef",
        "tmp/anything",
        "artifacts/.opendepot-tmp-0123",
        "artifacts/tool/.opendepot-tmp-4567",
        // A killed process leaves its socket; here it is not even one.
        "control.sock",
    ] {
        write(&data.join(name), &noise(100_000, 7));
    }
    let server = Server::spawn(&setup, &[]);
    assert_eq!(shown(&server).await, facts);
    stop(server).await;
    assert_eq!(files(&setup), before);
    assert!(verify(&setup).await.status.success());
}

#[tokio::test]
async fn a_damaged_store_is_a_clear_error_and_the_remedy_works() {
    let (setup, facts) = published().await;
    let before = files(&setup);
    let store = setup.data_dir().join("control.redb");
    let whole = fs::read(&store).unwrap();
    let random = noise(whole.len(), 11);
    let half = whole.len() / 2;
    let damages: [(&str, Vec<u8>); 6] = [
        ("cut in half", whole.iter().take(half).copied().collect()),
        (
            "all but its last page",
            whole.iter().take(whole.len() - 4096).copied().collect(),
        ),
        ("a few bytes", whole.iter().take(100).copied().collect()),
        ("random bytes", random.clone()),
        ("a text", b"hello\n".to_vec()),
        (
            "a header, then random bytes",
            whole
                .iter()
                .take(4096)
                .chain(random.iter().skip(4096))
                .copied()
                .collect(),
        ),
    ];
    for (what, bytes) in damages {
        fs::write(&store, &bytes).unwrap();
        let serve = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ];
        expect_refusal(what, &run(&setup, &serve).await);
        expect_refusal(what, &verify(&setup).await);
        assert_eq!(
            fs::read(&store).unwrap(),
            bytes,
            "{what}: the store was changed"
        );
    }
    // The remedy, as the message gives it.
    fs::rename(&store, store.with_extension("damaged")).unwrap();
    let server = Server::spawn(&setup, &[]);
    assert_eq!(shown(&server).await, facts);
    stop(server).await;
    fs::remove_file(store.with_extension("damaged")).unwrap();
    assert_eq!(files(&setup), before, "the bytes were not found again");
    assert!(verify(&setup).await.status.success());
}

#[tokio::test]
async fn a_store_that_was_never_written_is_begun_anew() {
    // A kill between creating the file and its first commit.
    let (setup, facts) = published().await;
    empty(&setup.data_dir().join("control.redb"));
    let server = Server::spawn(&setup, &[]);
    assert_eq!(shown(&server).await, facts);
    stop(server).await;
}

#[tokio::test]
async fn half_written_keys_are_named() {
    let (setup, facts) = published().await;
    let data = setup.data_dir();
    let keys = data.join("artifacts.key");
    let whole = fs::read(&keys).unwrap();
    let half: Vec<u8> = whole.iter().take(whole.len() / 2).copied().collect();
    fs::write(&keys, half).unwrap();
    let serve = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ];
    let output = run(&setup, &serve).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("artifacts.key") && !said.contains("panicked"),
        "{said}"
    );
    fs::write(&keys, whole).unwrap();

    // Without a signing key nothing new is signed; what was signed is served.
    empty(&data.join("signing/private.asc"));
    let server = Server::spawn(&setup, &[]);
    assert_eq!(shown(&server).await, facts);
    stop(server).await;
}

fn empty(path: &Path) {
    assert!(path.is_file());
    fs::write(path, b"").unwrap();
}
