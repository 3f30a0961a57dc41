//! Signed requests against a server in this process that can be told to misbehave.

mod refusals;
mod server;

use super::*;
use crate::egress::EgressConfig;
use crate::fetch::FetchLimits;
use crate::store::{ByteRange, Stores, StoresConfig};
use bytes::Bytes;
use http::Response;
use http_body_util::StreamBody;
use http_body_util::combinators::BoxBody;
use hyper::body::Frame;
use opendepot_domain::{Sha256, Transfer};
use tokio::net::TcpListener;

use server::{Server, chunked, reply};

/// Fills in one header, or refuses.
struct Headers(Result<&'static str, Kind>);

impl SignedHeaders for Headers {
    fn fill<'a>(
        &'a self,
        request: &'a SignedRequest,
    ) -> BoxFuture<'a, Result<Vec<(String, Secret)>, SeamError>> {
        assert_eq!(request.plugin.as_str(), "web");
        Box::pin(std::future::ready(match self.0 {
            Ok(value) => Ok(vec![("Authorization".to_owned(), Secret::new(value))]),
            Err(kind) => Err(SeamError {
                kind,
                message: "no secret".to_owned(),
            }),
        }))
    }
}

fn limits() -> RemoteLimits {
    RemoteLimits {
        read_timeout: Duration::from_secs(7),
        num_sync_retries: 1,
        idle_timeout: Duration::from_millis(500),
        ..RemoteLimits::default()
    }
}

fn stores_with(config: serde_json::Value, headers: Headers) -> (Stores, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config: EgressConfig = serde_json::from_value(config).unwrap();
    let policy = config.policy().unwrap().of_granted_hosts();
    let fetcher = Fetcher::new(policy, FetchLimits::default()).unwrap();
    let stores = Stores::open(StoresConfig::new(folder.path().join("root"))).unwrap();
    (
        stores.with_signed(fetcher, Arc::new(headers), limits()),
        folder,
    )
}

fn stores() -> (Stores, tempfile::TempDir) {
    let open = serde_json::json!({"allowPrivate": ["127.0.0.0/8"], "allowHttp": ["127.0.0.1"]});
    stores_with(open, Headers(Ok("Bearer s3cret")))
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 % 251) as u8).collect()
}

fn expected(bytes: &[u8]) -> Expected {
    Expected {
        size: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    }
}

/// What came before the end, and how it ended.
async fn read(body: ArtifactBody) -> (Vec<u8>, Result<(), Error>) {
    let mut body = body;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap()),
            Err(error) => return (bytes, Err(error)),
        }
    }
    assert_eq!(body.remaining(), 0, "it ended early");
    (bytes, Ok(()))
}

async fn put(stores: &Stores, server: &Server, path: &str, bytes: &[u8]) -> Result<Put, Error> {
    let source = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(source.path(), bytes).unwrap();
    let plan = server.plan("PUT", path);
    stores
        .put(&plan, source.path().into(), expected(bytes))
        .await
}

#[tokio::test]
async fn what_was_put_is_read_probed_verified_and_deleted() {
    let server = Server::start().await;
    let (stores, _folder) = stores();
    for len in [1, 1000, 64 << 10, (64 << 10) + 1, 300_000, 1_500_000] {
        let (path, bytes) = (format!("/{len}"), pattern(len));
        assert_eq!(
            put(&stores, &server, &path, &bytes).await.unwrap(),
            Put::Created
        );
        let stored = server.site.lock().objects[&path].clone();
        assert!(stored == bytes, "{len}");
        let head = stores.head(&server.plan("HEAD", &path)).await.unwrap();
        assert_eq!(head, Some(len as u64));
        let get = server.plan("GET", &path);
        for is_chunked in [false, true] {
            server.site.lock().is_chunked = is_chunked;
            let body = stores
                .open_body(&get, expected(&bytes), None)
                .await
                .unwrap();
            assert_eq!(body.remaining(), len as u64);
            let (read, outcome) = read(body).await;
            outcome.unwrap();
            assert!(read == bytes, "{len}");
            stores
                .verify(&get, expected(&bytes), &|_| ())
                .await
                .unwrap();
        }
        server.site.lock().is_chunked = false;
        let delete = server.plan("DELETE", &path);
        stores.delete(&delete).await.unwrap();
        stores.delete(&delete).await.unwrap();
        assert_eq!(
            stores.head(&server.plan("HEAD", &path)).await.unwrap(),
            None
        );
        let gone = stores.open_body(&get, expected(&bytes), None).await;
        assert_eq!(gone.unwrap_err().kind(), Kind::NotFound);
    }
    let seen = &server.site.lock().seen;
    assert!(
        seen.iter()
            .all(|(.., headers)| headers["authorization"] == "Bearer s3cret")
    );
    assert!(
        seen.iter()
            .all(|(.., headers)| headers["accept-encoding"] == "identity")
    );
    let first = seen.iter().find(|(method, ..)| method == "PUT").unwrap();
    assert_eq!(first.2["content-length"], "1");
}

#[tokio::test]
async fn parts_are_exact_and_asked_for_as_parts_only_once_the_whole_was_right() {
    let server = Server::start().await;
    let (stores, _folder) = stores();
    let bytes = pattern(400_000);
    server
        .site
        .lock()
        .objects
        .insert("/x".to_owned(), bytes.clone());
    let get = server.plan("GET", "/x");
    let part = async |start: usize, end: usize| {
        let range = Some(ByteRange {
            start: start as u64,
            end_inclusive: end as u64 - 1,
        });
        let body = stores
            .open_body(&get, expected(&bytes), range)
            .await
            .unwrap();
        assert_eq!(body.remaining(), (end - start) as u64);
        let (read, outcome) = read(body).await;
        outcome.unwrap();
        assert!(read == bytes[start..end], "{start}..{end}");
    };
    let num_ranges = || {
        let site = server.site.lock();
        let ranges = site.seen.iter().filter(|(.., h)| h.contains_key("range"));
        ranges.count()
    };
    part(10, 20).await;
    assert_eq!(num_ranges(), 0, "nothing is known of the object yet");
    for (start, end) in [(0, 1), (10, 200_000), (399_999, 400_000), (1, 400_000)] {
        part(start, end).await;
    }
    assert_eq!(num_ranges(), 4);
    // Another tag: the whole comes, is read and is found right.
    server.site.lock().has_tags = false;
    part(5, 90_000).await;
}

#[tokio::test]
async fn wrong_bytes_never_make_a_whole_body() {
    let server = Server::start().await;
    let (stores, _folder) = stores();
    let bytes = pattern(300_000);
    let get = server.plan("GET", "/x");
    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("one byte less".into(), bytes[..bytes.len() - 1].to_vec()),
        ("one byte more".into(), [bytes.as_slice(), b"x"].concat()),
        ("another object".into(), pattern(300_001)[1..].to_vec()),
        ("empty".into(), Vec::new()),
    ];
    for at in [0, 1, 65_535, 150_000, 299_998, 299_999] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        cases.push((format!("bit at {at}"), flipped));
    }
    for is_chunked in [false, true] {
        server.site.lock().is_chunked = is_chunked;
        for range in [
            None,
            Some(ByteRange {
                start: 5,
                end_inclusive: 100_000,
            }),
        ] {
            for (name, wrong) in &cases {
                server
                    .site
                    .lock()
                    .objects
                    .insert("/x".to_owned(), wrong.clone());
                let wanted = range.map_or(bytes.len(), |range| {
                    (range.end_inclusive - range.start + 1) as usize
                });
                let error = match stores.open_body(&get, expected(&bytes), range).await {
                    Err(error) => error,
                    Ok(body) => {
                        let (read, outcome) = read(body).await;
                        assert!(read.len() + (64 << 10) <= wanted, "{name}: {}", read.len());
                        outcome.unwrap_err()
                    }
                };
                assert_eq!(error.kind(), Kind::Corrupt, "{name}: {error}");
                let verified = stores.verify(&get, expected(&bytes), &|_| ()).await;
                assert_eq!(verified.unwrap_err().kind(), Kind::Corrupt, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_part_that_was_not_asked_for_is_refused() {
    let server = Server::start().await;
    let (stores, _folder) = stores();
    let bytes = pattern(1000);
    server
        .site
        .lock()
        .objects
        .insert("/x".to_owned(), bytes.clone());
    let get = server.plan("GET", "/x");
    // Known from here on.
    let body = stores
        .open_body(&get, expected(&bytes), None)
        .await
        .unwrap();
    read(body).await.1.unwrap();
    let tag = format!("\"{}\"", Sha256::of(&bytes));
    for (name, content_range, etag) in [
        ("another part", "bytes 1-10/1000", tag.as_str()),
        ("another size", "bytes 0-9/999", tag.as_str()),
        ("another tag", "bytes 0-9/1000", "\"other\""),
        ("a weak tag", "bytes 0-9/1000", "W/\"other\""),
        ("no range", "", tag.as_str()),
    ] {
        let headers = [("content-range", content_range), ("etag", etag)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        server.twist(move |_| {
            let headers = headers
                .each_ref()
                .map(|(name, value)| (name.as_str(), value.as_str()));
            Some(reply(206, &headers, vec![0; 10]))
        });
        let range = ByteRange {
            start: 0,
            end_inclusive: 9,
        };
        let error = stores
            .open_body(&get, expected(&bytes), Some(range))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{name}: {error}");
        let whole = stores.open_body(&get, expected(&bytes), None).await;
        assert_eq!(whole.unwrap_err().kind(), Kind::Unavailable, "{name}");
    }
}

#[tokio::test]
async fn bodies_that_break_or_stall_end_with_an_error() {
    let server = Server::start().await;
    let (stores, _folder) = stores();
    let bytes = pattern(300_000);
    let get = server.plan("GET", "/x");
    let head = Bytes::from(bytes[..200_000].to_vec());
    let breaking = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = breaking.local_addr().unwrap();
    let part = head.clone();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = breaking.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let lines = b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n";
        stream.write_all(lines).await.unwrap();
        stream.write_all(&part).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let Transfer::Signed(mut request) = get.clone() else {
        panic!("a signed plan");
    };
    request.url = format!("http://{address}/x");
    let broken = Transfer::Signed(request);
    let body = stores
        .open_body(&broken, expected(&bytes), None)
        .await
        .unwrap();
    let (received, outcome) = read(body).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(received.len() <= 200_000 - (64 << 10));
    server.twist(move |_| {
        use futures::StreamExt as _;
        let sent = futures::stream::iter([Ok(Frame::data(head.clone()))]);
        let body = StreamBody::new(Box::pin(sent.chain(futures::stream::pending())));
        Some(Response::new(BoxBody::new(body)))
    });
    let body = stores
        .open_body(&get, expected(&bytes), None)
        .await
        .unwrap();
    let (read, outcome) = read(body).await;
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("stalled"), "{error}");
    assert_eq!(read.len(), 200_000 - (64 << 10));
}
