//! What a parser might read in two ways (H09), heads that are too large (H11), bodies that
//! nobody asked for (H10), header injection as raw bytes (H08).

use crate::socket::{Running, num_answers};
use crate::support::{Mode, NETWORK, Setup, run};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const LIST: &str = "/opendepot/modules/v1/team/network/aws/versions";
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn ambiguous_requests_reach_no_handler_twice() {
    run(async |_| {
        let smuggled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&smuggled);
        let router = axum::Router::new()
            .route("/", axum::routing::any(async || "ok"))
            .route(
                "/smuggled",
                axum::routing::get(async move || {
                    count.fetch_add(1, Ordering::Relaxed);
                    "smuggled"
                }),
            );
        let limits = opendepot_api::Limits {
            header_read_seconds: 1,
            idle_seconds: 1,
            ..Default::default()
        };
        let running = Running::serve(router, limits, Duration::from_secs(5)).await;
        let head = "GET / HTTP/1.1\r\nHost: localhost\r\n";
        let length = SMUGGLED.len();
        for (name, request) in [
            (
                "length and chunked",
                format!(
                    "{head}Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"
                ),
            ),
            (
                "chunked and length",
                format!(
                    "{head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{SMUGGLED}"
                ),
            ),
            (
                "two lengths",
                format!("{head}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
            ),
            (
                "two lengths in one",
                format!("{head}Content-Length: 0, {length}\r\n\r\n{SMUGGLED}"),
            ),
            (
                "signed length",
                format!("{head}Content-Length: +{length}\r\n\r\n{SMUGGLED}"),
            ),
            (
                "negative length",
                format!("{head}Content-Length: -1\r\n\r\n{SMUGGLED}"),
            ),
            (
                "hexadecimal length",
                format!("{head}Content-Length: 0x10\r\n\r\n{SMUGGLED}"),
            ),
            (
                "chunked then identity",
                format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{SMUGGLED}"),
            ),
            (
                "unknown coding",
                format!("{head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
            ),
            (
                "blank before colon",
                format!("{head}Content-Length : {length}\r\n\r\n{SMUGGLED}"),
            ),
            (
                "folded",
                format!("{head}X-A: b\r\n Content-Length: {length}\r\n\r\n{SMUGGLED}"),
            ),
            ("nul in value", format!("{head}X-A: a\0b\r\n\r\n{SMUGGLED}")),
            (
                "bare cr",
                format!("{head}X-A: a\rContent-Length: 9\r\n\r\n{SMUGGLED}"),
            ),
            (
                "bad chunk size",
                format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{SMUGGLED}"),
            ),
            (
                "blank in target",
                format!("GET / x HTTP/1.1\r\nHost: localhost\r\n\r\n{SMUGGLED}"),
            ),
            (
                "version 1.2",
                format!("GET / HTTP/1.2\r\nHost: localhost\r\n\r\n{SMUGGLED}"),
            ),
            ("no version", format!("GET /\r\n\r\n{SMUGGLED}")),
            (
                "bare line feeds",
                format!("GET / HTTP/1.1\nHost: localhost\n\n{SMUGGLED}"),
            ),
            (
                "one bare line feed",
                format!("{head}X-A: a\nContent-Length: 0\r\n\r\n{SMUGGLED}"),
            ),
            (
                "a bare line feed at the end",
                format!("{head}X-A: a\r\n\n{SMUGGLED}"),
            ),
            (
                "one length twice",
                format!("{head}Content-Length: 5\r\nContent-Length: 5\r\n\r\naaaaa{SMUGGLED}"),
            ),
            (
                "chunked twice",
                format!("{head}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
            ),
            (
                "chunked in two lines",
                format!(
                    "{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"
                ),
            ),
            (
                "packed and chunked",
                format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
            ),
        ] {
            let mut wire = running.connect().await;
            wire.send(request.as_bytes()).await;
            let answer = wire.until_closed().await;
            let text = String::from_utf8_lossy(&answer);
            assert!(num_answers(&answer) <= 1, "{name}: {text}");
            assert!(!text.contains("smuggled"), "{name}: {text}");
            assert!(!text.starts_with("HTTP/1.1 5"), "{name}: {text}");
        }
        assert_eq!(smuggled.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn a_line_feed_alone_is_noticed_however_it_arrives() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let running = Running::start(&world, Duration::from_secs(5)).await;
        for (parts, is_kept) in [
            (
                &["GET ", LIST, " HTTP/1.1\r", "\nHost: localhost\r\n\r", "\n"][..],
                true,
            ),
            (
                &["GET ", LIST, " HTTP/1.1", "\nHost: localhost\r\n\r\n"],
                false,
            ),
            (
                &["GET ", LIST, " HTTP/1.1\r\nHost: localhost\r\n", "\n"],
                false,
            ),
        ] {
            let mut wire = running.connect().await;
            for part in parts {
                wire.send(part.as_bytes()).await;
                tokio::task::yield_now().await;
            }
            let (head, _) = wire.answer().await;
            assert!(head.starts_with("HTTP/1.1 200"), "{parts:?}: {head}");
            assert_eq!(!head.contains("connection: close"), is_kept, "{parts:?}");
            if is_kept {
                wire.get(LIST).await;
                assert!(wire.head().await.starts_with("HTTP/1.1 200"), "{parts:?}");
            } else {
                assert!(wire.until_closed().await.is_empty(), "{parts:?}");
            }
        }
    });
}

#[test]
fn an_answer_without_a_body_says_no_length() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let running = Running::start(&world, Duration::from_secs(5)).await;
        let mut wire = running.connect().await;
        for method in ["GET", "HEAD"] {
            for (target, header, status) in [
                (
                    "/opendepot/modules/v1/team/network/aws/1.1.0/download",
                    "X-A: b",
                    "204",
                ),
                (NETWORK, "If-None-Match: *", "304"),
            ] {
                let request =
                    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n");
                wire.send(request.as_bytes()).await;
                let head = wire.head().await;
                assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
                assert!(!head.contains("content-length"), "{method}: {head}");
            }
        }
    });
}

#[test]
fn heads_that_are_too_large_are_431_or_414() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let running = Running::start(&world, Duration::from_secs(5)).await;
        let fields = |count: usize, size: usize| -> String {
            (0..count)
                .map(|index| format!("X-{index}: {}\r\n", "a".repeat(size)))
                .collect()
        };
        for (name, request, codes) in [
            (
                "block of 64 KiB",
                format!(
                    "GET {LIST} HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
                    fields(64, 1024)
                ),
                &["431"][..],
            ),
            (
                "200 fields",
                format!(
                    "GET {LIST} HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
                    fields(200, 1)
                ),
                &["431"],
            ),
            (
                "one field of 33 KiB",
                format!(
                    "GET {LIST} HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
                    fields(1, 33 * 1024)
                ),
                &["431"],
            ),
            (
                "target of 16 KiB",
                format!(
                    "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    "a".repeat(16 * 1024)
                ),
                &["414"],
            ),
            (
                "target of 70 KiB",
                format!(
                    "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    "a".repeat(70 * 1024)
                ),
                &["414", "431"],
            ),
        ] {
            let mut wire = running.connect().await;
            // The server may answer before it has read everything.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.0, request.as_bytes()).await;
            let head = wire.head().await;
            let code = head.split(' ').nth(1).unwrap();
            assert!(codes.contains(&code), "{name}: {head}");
        }
        // Over HTTP/2 nobody counts before us.
        let names: Vec<String> = (0..100).map(|index| format!("x-{index}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "a")).collect();
        let answer = world.send(http::Method::GET, LIST, &many).await;
        answer.assert_error(431, "101 fields");
        let answer = world.send(http::Method::GET, LIST, &many[1..]).await;
        assert_eq!(answer.code(), 200, "100 fields");
        // Just within the limits.
        let mut wire = running.connect().await;
        wire.send(
            format!(
                "GET {LIST} HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
                fields(20, 1024)
            )
            .as_bytes(),
        )
        .await;
        assert!(wire.head().await.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn a_body_that_nobody_asked_for_is_not_read() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let running = Running::start(&world, Duration::from_secs(5)).await;
        for head in [
            format!("GET {LIST} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n"),
            format!(
                "GET {LIST} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1073741824\r\n\r\n"
            ),
            format!("GET {LIST} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ] {
            let mut wire = running.connect().await;
            wire.send(head.as_bytes()).await;
            let (answer, _) = wire.answer().await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            // The rest would be taken for a request otherwise: the connection ends.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.0, &[b'a'; 512 * 1024]).await;
            assert_eq!(num_answers(&wire.until_closed().await), 0);
        }
    });
}

#[test]
fn no_request_writes_a_header_line_of_its_own() {
    run(async |pool| {
        let world = Setup::new(Mode::Anonymous).start(&pool).await;
        let running = Running::start(&world, Duration::from_secs(5)).await;
        for target in [
            "/opendepot/modules/v1/team/x%0d%0aSet-Cookie:%20a=b/aws/versions".to_owned(),
            format!("{LIST}?x=%0d%0aSet-Cookie:%20a=b"),
            "/opendepot/providers/v1/download/team/widget/1.2.0?os=%0d%0aSet-Cookie:%20a=b&arch=x"
                .to_owned(),
            "/opendepot/modules/v1/download/plugin/%0d%0aSet-Cookie:%20a=b".to_owned(),
        ] {
            let mut wire = running.connect().await;
            wire.get(&target).await;
            let head = wire.head().await;
            assert!(!head.to_lowercase().contains("set-cookie"), "{head}");
        }
    });
}

#[test]
fn the_peers_address_comes_from_the_socket() {
    run(async |pool| {
        use opendepot_domain::Decision;
        let setup = Setup::new(Mode::Anonymous).policy(|subject, _, _| {
            if subject.client_address == "127.0.0.1" {
                Decision::Allow
            } else {
                Decision::deny("other")
            }
        });
        let world = setup.start(&pool).await;
        let running = Running::start(&world, Duration::from_secs(5)).await;
        let mut wire = running.connect().await;
        let forged =
            format!("GET {LIST} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.0.0.9\r\n\r\n");
        wire.send(forged.as_bytes()).await;
        assert!(wire.head().await.starts_with("HTTP/1.1 200"));
    });
}
