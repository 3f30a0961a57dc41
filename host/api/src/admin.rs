//! The admin listener: health, metrics, version (reliability.md 10.4).

use axum::Router;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;

/// One line of a `?verbose` answer.
#[derive(Clone, Debug)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Why it is not well; nothing when it is.
    pub problem: Option<String>,
    /// Whether the endpoint fails with it. A degraded part is shown and does not.
    pub is_required: bool,
}

/// What the admin listener shows; the binary knows all the parts.
pub trait Admin: Send + Sync + 'static {
    /// Fails only for what a restart cures.
    fn live(&self) -> Vec<Check>;
    /// Whether to send requests here.
    fn ready(&self) -> Vec<Check>;
    /// Whether the first index has been built.
    fn started(&self) -> Vec<Check>;
    /// Prometheus text.
    fn metrics(&self) -> String;
    /// JSON: version, limits, plugins, features.
    fn version(&self) -> serde_json::Value;
}

/// The admin router.
pub fn router(admin: Arc<dyn Admin>) -> Router {
    let (live, ready, started, numbers, version) = (
        Arc::clone(&admin),
        Arc::clone(&admin),
        Arc::clone(&admin),
        Arc::clone(&admin),
        admin,
    );
    Router::new()
        .route("/livez", get(move |query| health(live.live(), query)))
        .route("/readyz", get(move |query| health(ready.ready(), query)))
        .route(
            "/startupz",
            get(move |query| health(started.started(), query)),
        )
        .route("/metrics", get(move || metrics_text(numbers.metrics())))
        .route("/version", get(move || version_json(version.version())))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found\n") })
}

async fn health(checks: Vec<Check>, RawQuery(query): RawQuery) -> Response {
    let is_well = checks
        .iter()
        .all(|check| check.problem.is_none() || !check.is_required);
    let is_verbose = query.is_some_and(|query| {
        query
            .split('&')
            .any(|key| key == "verbose" || key.starts_with("verbose="))
    });
    let status = if is_well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut text = String::new();
    for check in &checks {
        match &check.problem {
            None if is_verbose => text.push_str(&format!("[+]{} ok\n", check.name)),
            Some(problem) if is_verbose || check.is_required => {
                let sign = if check.is_required { "[-]" } else { "[!]" };
                text.push_str(&format!("{sign}{}: {problem}\n", check.name));
            }
            _ => {}
        }
    }
    text.push_str(if is_well { "ok\n" } else { "not ok\n" });
    plain(status, text, "text/plain; charset=utf-8")
}

async fn metrics_text(text: String) -> Response {
    plain(
        StatusCode::OK,
        text,
        "text/plain; version=0.0.4; charset=utf-8",
    )
}

async fn version_json(value: serde_json::Value) -> Response {
    plain(StatusCode::OK, format!("{value:#}\n"), "application/json")
}

fn plain(status: StatusCode, text: String, content_type: &'static str) -> Response {
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    struct Fixed(Vec<Check>);

    impl Admin for Fixed {
        fn live(&self) -> Vec<Check> {
            Vec::new()
        }
        fn ready(&self) -> Vec<Check> {
            self.0.clone()
        }
        fn started(&self) -> Vec<Check> {
            self.0.clone()
        }
        fn metrics(&self) -> String {
            "opendepot_up 1\n".to_owned()
        }
        fn version(&self) -> serde_json::Value {
            serde_json::json!({ "version": "0" })
        }
    }

    async fn ask(checks: &[Check], target: &str) -> (u16, String) {
        let router = router(Arc::new(Fixed(checks.to_vec())));
        let request = http::Request::get(target)
            .body(axum::body::Body::empty())
            .unwrap();
        let answer = router.oneshot(request).await.unwrap();
        let code = answer.status().as_u16();
        assert!(
            code == 404 || answer.headers()[header::CACHE_CONTROL] == "no-store",
            "{target}"
        );
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn only_a_required_part_fails_and_the_reason_is_shown() {
        let check = |name, problem: Option<&str>, is_required| Check {
            name,
            problem: problem.map(str::to_owned),
            is_required,
        };
        let well = [check("index", None, true), check("signing", None, false)];
        assert_eq!(ask(&well, "/readyz").await, (200, "ok\n".to_owned()));
        assert_eq!(
            ask(&well, "/readyz?verbose").await,
            (200, "[+]index ok\n[+]signing ok\nok\n".to_owned())
        );

        let degraded = [
            check("index", None, true),
            check("signing", Some("no key"), false),
        ];
        assert_eq!(ask(&degraded, "/readyz").await, (200, "ok\n".to_owned()));
        let (code, text) = ask(&degraded, "/readyz?verbose=1").await;
        assert_eq!(
            (code, text.contains("[!]signing: no key")),
            (200, true),
            "{text}"
        );

        let broken = [
            check("index", Some("not built"), true),
            check("signing", None, false),
        ];
        for target in ["/readyz", "/startupz", "/readyz?verbose"] {
            let (code, text) = ask(&broken, target).await;
            assert_eq!(
                (code, text.contains("[-]index: not built")),
                (503, true),
                "{text}"
            );
        }
        // A restart cures none of that.
        assert_eq!(ask(&broken, "/livez").await.0, 200);
        assert_eq!(
            ask(&well, "/metrics").await,
            (200, "opendepot_up 1\n".to_owned())
        );
        assert_eq!(ask(&well, "/version").await.0, 200);
        assert_eq!(ask(&well, "/debug").await.0, 404);
    }
}
