//! Where a request may go, and what goes with it.

use super::*;

fn redirecting(request: &Request<()>) -> Answer {
    let left: u32 = request.uri().path()[1..].parse().unwrap();
    if left == 0 {
        return answer(200, &[], "end");
    }
    let next = format!("/{}", left - 1);
    answer(302, &[("location", &next)], "")
}

#[tokio::test]
async fn five_redirects_are_followed_and_a_sixth_is_not() {
    let server = Server::start(redirecting).await;
    let fetcher = fetcher(open_policy());
    let five = FetchRequest::new(server.url("127.0.0.1", "/5"));
    assert_eq!(
        &fetcher.get_bytes(&five, 10).await.unwrap().body[..],
        b"end"
    );
    let six = FetchRequest::new(server.url("127.0.0.1", "/6"));
    let error = fetcher.get_bytes(&six, 10).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.to_string().contains("redirects too often"));
}

#[tokio::test]
async fn every_hop_passes_the_policy() {
    for (name, location) in [
        ("another host", "http://elsewhere.example/"),
        ("private", "http://10.0.0.1/"),
        ("metadata", "http://169.254.169.254/latest"),
        ("file", "file:///etc/passwd"),
        ("user information", "http://user:secret@127.0.0.1/"),
        ("network path", "//elsewhere.example/"),
    ] {
        let server = Server::start(move |_| answer(302, &[("location", location)], "")).await;
        let request = FetchRequest::new(server.url("127.0.0.1", "/"));
        let error = fetcher(open_policy())
            .get_bytes(&request, 10)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{name}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let server = Server::start(|_| answer(302, &[], "")).await;
    let request = FetchRequest::new(server.url("127.0.0.1", "/"));
    let error = fetcher(open_policy())
        .get_bytes(&request, 10)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[tokio::test]
async fn a_credential_goes_to_its_origin_only_and_never_comes_back() {
    let secret = Secret::new("t0ken");
    let server = Server::start(|request| {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        let port = host.split(':').nth(1).unwrap().to_owned();
        match request.uri().path() {
            "/start" => answer(302, &[("location", "/same")], ""),
            "/same" => {
                let next = format!("http://b.test:{port}/other");
                answer(307, &[("location", &next)], "")
            }
            "/other" => {
                let next = format!("http://a.test:{port}/back");
                answer(308, &[("location", &next)], "")
            }
            _ => answer(200, &[], "end"),
        }
    })
    .await;
    let url = server.url("a.test", "/start");
    let request = FetchRequest {
        credential: Some(Credential::bearer(&url, &secret)),
        ..FetchRequest::new(url.clone())
    };
    assert!(!format!("{request:?}").contains("t0ken"));
    let fetcher = fetcher(open_policy());
    fetcher.get_bytes(&request, 10).await.unwrap();
    let sent: Vec<_> = server
        .seen
        .lock()
        .iter()
        .map(|request| {
            (
                request.uri().path().to_owned(),
                request.headers().get("authorization").cloned(),
            )
        })
        .collect();
    let token = Some(http::HeaderValue::from_static("Bearer t0ken"));
    assert_eq!(
        sent,
        [
            ("/start".to_owned(), token.clone()),
            ("/same".to_owned(), token),
            ("/other".to_owned(), None),
            ("/back".to_owned(), None),
        ]
    );
    server.seen.lock().clear();
    let foreign = FetchRequest {
        url: server.url("b.test", "/end"),
        ..request
    };
    fetcher.get_bytes(&foreign, 10).await.unwrap();
    assert!(
        !server.seen.lock()[0]
            .headers()
            .contains_key("authorization")
    );
}

#[tokio::test]
async fn names_that_resolve_to_refused_addresses_are_not_connected_to() {
    let server = Server::start(|_| answer(200, &[], "reached")).await;
    let only_names = || {
        policy(serde_json::json!({
            "allow": ["*.test", "127.0.0.1", "localhost"],
            "allowHttp": ["*.test", "127.0.0.1", "localhost"],
        }))
    };
    for (name, addresses) in [
        ("loopback", "127.0.0.1"),
        ("mapped", "::ffff:127.0.0.1"),
        ("NAT64", "64:ff9b::7f00:1"),
        ("private and loopback", "10.0.0.1 127.0.0.1"),
        ("metadata", "169.254.169.254"),
        ("unspecified", "0.0.0.0 ::"),
    ] {
        let lookup = names(&[("evil.test", addresses)]);
        let fetcher = Fetcher::with_lookup(only_names(), short_limits(), lookup).unwrap();
        let request = FetchRequest::new(server.url("evil.test", "/"));
        let error = fetcher.get_bytes(&request, 10).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{name}: {error}");
    }
    // The system's own resolver is guarded as well.
    let fetcher = Fetcher::new(only_names(), short_limits()).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let request = FetchRequest::new(server.url(host, "/"));
        let error = fetcher.get_bytes(&request, 10).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{host}: {error}");
    }
    assert_eq!(server.num_connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_second_answer_of_a_rebinding_name_is_checked_like_the_first() {
    let server = Server::start(|_| answer(200, &[("connection", "close")], "ok")).await;
    let lookup = names(&[("evil.test", "127.0.0.1"), ("evil.test", "127.0.0.2")]);
    let fetcher = Fetcher::with_lookup(open_policy(), short_limits(), lookup).unwrap();
    let request = FetchRequest::new(server.url("evil.test", "/"));
    fetcher.get_bytes(&request, 10).await.unwrap();
    let error = fetcher.get_bytes(&request, 10).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert_eq!(server.num_connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_to_a_private_endpoint_does_not_serve_the_same_name_elsewhere() {
    let server = Server::start(|_| answer(200, &[], "ok")).await;
    let other = Server::start(|_| answer(200, &[], "other")).await;
    let base = policy(serde_json::json!({"allow": ["a.test"], "allowHttp": ["a.test"]}));
    let policy = base.endpoint(&server.url("a.test", "/api")).unwrap();
    let fetcher = fetcher(policy);
    let request = FetchRequest::new(server.url("a.test", "/api"));
    fetcher.get_bytes(&request, 10).await.unwrap();
    let request = FetchRequest::new(other.url("a.test", "/"));
    let error = fetcher.get_bytes(&request, 10).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert_eq!(other.num_connections.load(Ordering::SeqCst), 0);
}
