//! What is counted of requests to others.

use super::*;
use metrics_exporter_prometheus::PrometheusBuilder;

#[tokio::test]
async fn answers_are_counted_by_class_and_code_and_no_server_makes_a_label() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // This test's runtime has one thread, so everything is recorded here.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = Server::start(|request| match request.uri().path() {
        "/moved" => answer(302, &[("location", "/here")], ""),
        "/here" => answer(200, &[("x-ratelimit-remaining", "41")], "x"),
        "/odd" => answer(299, &[], ""),
        _ => answer(418, &[("x-ratelimit-remaining", "garbage")], ""),
    })
    .await;
    let fetcher = fetcher(open_policy());
    for (class, path) in [
        (HostClass::Github, "/moved"),
        (HostClass::Github, "/teapot"),
        (HostClass::Registry, "/odd"),
        (HostClass::Registry, "/here"),
    ] {
        let request = FetchRequest {
            host_class: class,
            ..FetchRequest::new(server.url("127.0.0.1", path))
        };
        fetcher.get_bytes(&request, 10).await.unwrap();
    }
    let refused = FetchRequest {
        host_class: HostClass::Package,
        ..FetchRequest::new("http://elsewhere.example/".parse().unwrap())
    };
    fetcher.get_bytes(&refused, 10).await.unwrap_err();
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let gone = format!("http://{address}/").parse().unwrap();
    fetcher
        .get_bytes(&FetchRequest::new(gone), 10)
        .await
        .unwrap_err();

    let text = handle.render();
    for line in [
        r#"opendepot_upstream_requests_total{host_class="github",code="302"} 1"#,
        r#"opendepot_upstream_requests_total{host_class="github",code="200"} 1"#,
        r#"opendepot_upstream_requests_total{host_class="github",code="4xx"} 1"#,
        r#"opendepot_upstream_requests_total{host_class="registry",code="2xx"} 1"#,
        r#"opendepot_upstream_requests_total{host_class="package",code="refused"} 1"#,
        r#"opendepot_upstream_requests_total{host_class="other",code="error"} 1"#,
        "opendepot_upstream_ratelimit_remaining 41",
    ] {
        assert!(text.lines().any(|is| is == line), "{line} in\n{text}");
    }
}
