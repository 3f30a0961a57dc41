//! What is not sent, not accepted or not waited for.

use super::*;

#[tokio::test]
async fn every_status_means_what_the_plan_says() {
    let server = Server::start().await;
    let (stores, _folder) = stores();
    let bytes = pattern(10);
    for (status, kind, num_tries) in [
        (301, Kind::Unavailable, 1),
        (302, Kind::Unavailable, 1),
        (400, Kind::Unavailable, 1),
        (401, Kind::Denied, 1),
        (403, Kind::Denied, 1),
        (404, Kind::NotFound, 1),
        (410, Kind::Unavailable, 1),
        (429, Kind::Unavailable, 1),
        (500, Kind::Unavailable, 3),
        (503, Kind::Unavailable, 3),
    ] {
        let to = "http://169.254.169.254/latest";
        server.site.lock().seen.clear();
        server.twist(move |_| Some(reply(status, &[("location", to)], "")));
        let get = server.plan("GET", "/x");
        let started = std::time::Instant::now();
        let error = stores
            .open_body(&get, expected(&bytes), None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error}");
        assert!(started.elapsed() < Duration::from_secs(8));
        assert_eq!(server.count("GET"), num_tries, "{status}");
        let shown = error.to_string();
        assert!(
            !shown.contains("s3cret") && !shown.contains("169.254"),
            "{shown}"
        );
    }
    // One of 500 to 599 is tried again in the background too, and a later success is one.
    let failures = std::sync::atomic::AtomicUsize::new(1);
    server.twist(move |_| {
        let left = failures.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        (left == 1).then(|| reply(502, &[], ""))
    });
    assert_eq!(
        put(&stores, &server, "/y", &bytes).await.unwrap(),
        Put::Created
    );
}

#[tokio::test]
async fn what_is_there_is_not_judged_and_what_to_write_to_may_be_missing() {
    let server = Server::start().await;
    let (stores, _folder) = stores();
    let bytes = pattern(10);
    server.twist(|_| Some(reply(412, &[], "")));
    assert_eq!(
        put(&stores, &server, "/x", &bytes).await.unwrap(),
        Put::Occupied
    );
    stores.prepare(&server.plan("MKCOL", "/x/")).await.unwrap();
    server.twist(|_| Some(reply(404, &[], "")));
    let error = put(&stores, &server, "/x", &bytes).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let error = stores
        .prepare(&server.plan("MKCOL", "/x/"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    stores.prepare(&Transfer::Nothing).await.unwrap();
}

#[tokio::test]
async fn a_source_that_is_not_as_expected_never_becomes_an_object() {
    let server = Server::start().await;
    let (stores, _folder) = stores();
    let bytes = pattern(700_000);
    let mut flipped = bytes.clone();
    flipped[699_999] ^= 1;
    for (name, source) in [
        ("flipped", flipped),
        ("short", bytes[..699_999].to_vec()),
        ("empty", Vec::new()),
        ("long", [bytes.as_slice(), b"x"].concat()),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), source).unwrap();
        let plan = server.plan("PUT", "/x");
        let put = stores
            .put(&plan, file.path().into(), expected(&bytes))
            .await;
        assert_eq!(put.unwrap_err().kind(), Kind::Corrupt, "{name}");
        assert!(server.site.lock().objects.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn requests_that_are_over_or_lead_elsewhere_are_not_sent() {
    let server = Server::start().await;
    let (stores, _folder) = stores();
    let bytes = pattern(10);
    let Transfer::Signed(good) = server.plan("GET", "/x") else {
        panic!("a signed plan");
    };
    let mut over = good.clone();
    over.expires_at = 1;
    let error = stores
        .open_body(&Transfer::Signed(over), expected(&bytes), None)
        .await;
    assert_eq!(error.unwrap_err().kind(), Kind::Unavailable);
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00:ec2::254]/",
        "https://10.0.0.1/x",
        "https://localhost/x",
        "http://example.com/x",
        "file:///etc/passwd",
    ] {
        let mut elsewhere = good.clone();
        elsewhere.url = url.to_owned();
        let plan = Transfer::Signed(elsewhere);
        let (closed, _folder) = stores_with(serde_json::json!({}), Headers(Ok("Bearer s3cret")));
        let error = closed
            .open_body(&plan, expected(&bytes), None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{url}: {error}");
        assert_eq!(
            closed.head(&plan).await.unwrap_err().kind(),
            Kind::Denied,
            "{url}"
        );
    }
    for (kind, expected_kind) in [
        (Kind::Denied, Kind::Denied),
        (Kind::Unavailable, Kind::Unavailable),
    ] {
        let open = serde_json::json!({"allowPrivate": ["127.0.0.0/8"], "allowHttp": ["127.0.0.1"]});
        let (without, _folder) = stores_with(open, Headers(Err(kind)));
        let error = without.head(&server.plan("HEAD", "/x")).await.unwrap_err();
        assert_eq!(error.kind(), expected_kind, "{error}");
    }
    assert!(server.site.lock().seen.is_empty());
}

#[tokio::test]
async fn a_server_that_is_gone_is_said_so_in_time() {
    let server = Server::start().await;
    let plan = server.plan("GET", "/x");
    drop(server);
    let (stores, _folder) = stores();
    let started = std::time::Instant::now();
    let error = stores
        .open_body(&plan, expected(b"x"), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(8));
    // One that accepts and says nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let Transfer::Signed(mut request) = plan else {
        panic!("a signed plan");
    };
    request.url = format!("http://{}/x", silent.local_addr().unwrap());
    let plan = Transfer::Signed(request);
    let hurried = RemoteLimits {
        read_timeout: Duration::from_millis(200),
        ..limits()
    };
    let (other, _folder) = stores_with_limits(hurried);
    let started = std::time::Instant::now();
    let error = other
        .open_body(&plan, expected(b"x"), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(2));
    drop(stores);
}

fn stores_with_limits(limits: RemoteLimits) -> (Stores, tempfile::TempDir) {
    let (stores, folder) = stores();
    let config: EgressConfig = serde_json::from_value(
        serde_json::json!({"allowPrivate": ["127.0.0.0/8"], "allowHttp": ["127.0.0.1"]}),
    )
    .unwrap();
    let policy = config.policy().unwrap().of_granted_hosts();
    let fetcher = Fetcher::new(policy, FetchLimits::default()).unwrap();
    (
        stores.with_signed(fetcher, Arc::new(Headers(Ok("x"))), limits),
        folder,
    )
}

#[tokio::test]
async fn an_exchange_is_bounded_and_follows_nothing() {
    let server = Server::start().await;
    let config: EgressConfig = serde_json::from_value(
        serde_json::json!({"allowPrivate": ["127.0.0.0/8"], "allowHttp": ["127.0.0.1"]}),
    )
    .unwrap();
    let policy = config.policy().unwrap().of_granted_hosts();
    let fetcher = Fetcher::new(policy, FetchLimits::default()).unwrap();
    let ask = async |path: &str, max_bytes| {
        let request = crate::ExchangeRequest {
            method: Method::POST,
            url: format!("http://{}{path}", server.address).parse().unwrap(),
            headers: vec![("X-Key".to_owned(), Secret::new("s3cret"))],
            body: Bytes::from_static(b"hello"),
            host_class: HostClass::Plugin,
        };
        assert!(!format!("{request:?}").contains("s3cret"));
        fetcher.exchange(request, max_bytes).await
    };
    server.twist(|(_, path, _)| {
        Some(match path.as_str() {
            "/moved" => reply(302, &[("location", "http://169.254.169.254/")], "moved"),
            "/chunked" => chunked(vec![Bytes::from_static(&[7; 90]); 2], None),
            _ => reply(200, &[("x-a", "b")], vec![7; 100]),
        })
    });
    let moved = ask("/moved", 100).await.unwrap();
    assert_eq!((moved.status, &moved.body[..]), (302, &b"moved"[..]));
    assert_eq!(ask("/whole", 100).await.unwrap().headers["x-a"], "b");
    for path in ["/whole", "/chunked"] {
        let error = ask(path, 99).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{path}: {error}");
    }
    let seen = &server.site.lock().seen[0];
    assert_eq!(
        (seen.0.as_str(), &seen.2["x-key"]),
        ("POST", &HeaderValue::from_static("s3cret"))
    );
}
