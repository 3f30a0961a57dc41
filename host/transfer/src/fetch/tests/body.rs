//! What comes back, whole, too large, broken or refused.

use super::*;

#[tokio::test]
async fn a_document_comes_as_it_is() {
    let server = Server::start(|_| answer(200, &[("x-a", "b")], "hello")).await;
    let request = FetchRequest {
        accept: Some("application/json".to_owned()),
        ..FetchRequest::new(server.url("127.0.0.1", "/x?q=1#fragment"))
    };
    let fetched = fetcher(open_policy()).get_bytes(&request, 5).await.unwrap();
    assert_eq!((fetched.status, &fetched.body[..]), (200, &b"hello"[..]));
    assert_eq!(fetched.headers["x-a"], "b");
    assert_eq!(fetched.final_url, server.url("127.0.0.1", "/x?q=1"));
    let seen = server.seen.lock();
    assert_eq!(seen[0].headers()["accept"], "application/json");
    assert_eq!(seen[0].headers()["accept-encoding"], "identity");
    assert!(
        seen[0].headers()["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("opendepot/")
    );
}

#[tokio::test]
async fn a_download_is_hashed_and_reported() {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let body = bytes.clone();
    let server =
        Server::start(move |_| answer(200, &[("content-type", "application/zip")], body.clone()))
            .await;
    let directory = tempfile::tempdir().unwrap();
    let last = Mutex::new((0, None));
    let downloaded = fetcher(open_policy())
        .download(
            &FetchRequest::new(server.url("127.0.0.1", "/x")),
            directory.path(),
            3_000_000,
            &|so_far, total| *last.lock() = (so_far, total),
        )
        .await
        .unwrap();
    assert_eq!(*last.lock(), (3_000_000, Some(3_000_000)));
    assert_eq!(downloaded.size, 3_000_000);
    assert_eq!(downloaded.sha256, opendepot_domain::Sha256::of(&bytes));
    assert_eq!(downloaded.content_type.as_deref(), Some("application/zip"));
    assert!(std::fs::read(downloaded.file.path()).unwrap() == bytes);
    assert_eq!(crate::sweep_directory(directory.path()).unwrap(), 0);
    drop(downloaded);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn content_encodings_are_never_applied() {
    let server = Server::start(|_| {
        answer(
            200,
            &[("content-encoding", "gzip")],
            &b"\x1f\x8bnot gzip"[..],
        )
    })
    .await;
    let fetcher = fetcher(open_policy());
    let url = server.url("127.0.0.1", "/x.tar.gz");
    let (outcome, _) = download(&fetcher, url.clone(), 100).await;
    let expected = opendepot_domain::Sha256::of(b"\x1f\x8bnot gzip");
    assert_eq!(outcome.unwrap().sha256, expected);
    let document = fetcher.get_bytes(&FetchRequest::new(url), 100).await;
    assert_eq!(document.unwrap_err().kind(), Kind::Unavailable);
}

#[tokio::test]
async fn bodies_over_the_cap_are_refused_and_leave_nothing() {
    let announced = Server::start(|_| answer(200, &[], vec![1; 101])).await;
    let chunked = Server::start(|_| broken(5, None, None)).await;
    let fetcher = fetcher(open_policy());
    for server in [&announced, &chunked] {
        let url = server.url("127.0.0.1", "/");
        let document = fetcher
            .get_bytes(&FetchRequest::new(url.clone()), 100)
            .await;
        assert!(matches!(
            document,
            Err(Error::TooLarge {
                limit_bytes: 100,
                ..
            })
        ));
        let (outcome, num_files) = download(&fetcher, url, 100).await;
        assert!(matches!(outcome, Err(Error::TooLarge { .. })));
        assert_eq!(num_files, 0);
    }
}

#[tokio::test]
async fn bodies_that_stall_or_break_are_unavailable_and_leave_nothing() {
    let reset = || Some(io::Error::other("reset"));
    let servers = [
        ("stalled", Server::start(|_| broken(3, None, None)).await),
        (
            "reset",
            Server::start(move |_| broken(3, reset(), None)).await,
        ),
        (
            "shorter than announced",
            Server::start(move |_| broken(3, reset(), Some(9000))).await,
        ),
    ];
    let fetcher = fetcher(open_policy());
    for (name, server) in &servers {
        let (outcome, num_files) = download(&fetcher, server.url("127.0.0.1", "/"), 10_000).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{name}: {error}");
        assert_eq!(num_files, 0, "{name}");
    }
}

#[tokio::test]
async fn a_server_that_trickles_is_cut_by_the_total_limit() {
    let server = Server::start(|_| broken(1, None, None)).await;
    let limits = FetchLimits {
        metadata_timeout: Duration::from_millis(100),
        download_timeout: Duration::from_millis(100),
        ..FetchLimits::default()
    };
    let fetcher = Fetcher::new(open_policy(), limits).unwrap();
    let url = server.url("127.0.0.1", "/");
    let document = fetcher
        .get_bytes(&FetchRequest::new(url.clone()), 10_000)
        .await;
    assert_eq!(document.unwrap_err().kind(), Kind::Unavailable);
    let (outcome, num_files) = download(&fetcher, url, 10_000).await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(num_files, 0);
}

#[tokio::test]
async fn an_unreachable_server_and_a_missing_directory_are_unavailable() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let closed = listener.local_addr().unwrap().port();
    drop(listener);
    let fetcher = fetcher(open_policy());
    let url = Url::parse(&format!("http://127.0.0.1:{closed}/?secret=1")).unwrap();
    let error = fetcher
        .get_bytes(&FetchRequest::new(url), 10)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(!error.to_string().contains("secret"), "{error}");
    let server = Server::start(|_| answer(200, &[], "x")).await;
    let request = FetchRequest::new(server.url("127.0.0.1", "/"));
    let directory = tempfile::tempdir().unwrap();
    let gone = directory.path().join("gone");
    let outcome = fetcher.download(&request, &gone, 10, &|_, _| {}).await;
    assert_eq!(outcome.unwrap_err().kind(), Kind::Unavailable);
}

#[tokio::test]
async fn statuses_get_their_kind() {
    for (status, headers, kind) in [
        (404, vec![], Kind::NotFound),
        (410, vec![], Kind::NotFound),
        (
            401,
            vec![("www-authenticate", "Bearer realm=\"https://evil.example\"")],
            Kind::Denied,
        ),
        (403, vec![], Kind::Denied),
        (403, vec![("retry-after", "7")], Kind::Unavailable),
        (429, vec![], Kind::Unavailable),
        (500, vec![], Kind::Unavailable),
        (503, vec![("retry-after", "7")], Kind::Unavailable),
        (304, vec![], Kind::Unavailable),
    ] {
        let sent = headers.clone();
        let server = Server::start(move |_| answer(status, &sent, vec![b'x'; 100_000])).await;
        let fetcher = fetcher(open_policy());
        let url = server.url("127.0.0.1", "/");
        let (outcome, num_files) = download(&fetcher, url.clone(), 1_000_000).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error}");
        assert_eq!(num_files, 0);
        let is_rate_limit = status == 429 || (status == 403 && !headers.is_empty());
        assert_eq!(
            error.retry_after_seconds().is_some(),
            is_rate_limit,
            "{status}"
        );
        let fetched = fetcher
            .get_bytes(&FetchRequest::new(url), 1_000_000)
            .await
            .unwrap();
        assert_eq!(fetched.status, status);
        assert!(fetched.body.len() <= 64 << 10);
        assert_eq!(fetched.rate_limited_seconds().is_some(), is_rate_limit);
        assert_eq!(fetched.success().unwrap_err().kind(), kind);
    }
}
