//! The control plane as its clients see it: requests by verb and code, their time, and how long
//! ago a watch last said anything.
//!
//! It is a layer around whatever answers, so the same families hold for another control plane.

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tower::Service;

/// Resources that the index watches: plural, label.
const KINDS: [(&str, &str); 3] = [
    ("modules", "module"),
    ("providers", "provider"),
    ("versions", "version"),
];

/// When watches last said anything, by kind.
pub(crate) struct Freshness {
    started: Instant,
    heard_ms: [AtomicU64; KINDS.len()],
}

impl Freshness {
    /// As if everything had just been heard: a control plane that never answers shows as well.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            heard_ms: Default::default(),
        })
    }

    fn heard(&self, kind: usize) {
        if let Some(heard) = self.heard_ms.get(kind) {
            let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            heard.store(now, Ordering::Relaxed);
        }
    }

    fn age(&self, kind: usize) -> Duration {
        let heard = self.heard_ms.get(kind);
        let heard = heard.map_or(0, |heard| heard.load(Ordering::Relaxed));
        self.started
            .elapsed()
            .saturating_sub(Duration::from_millis(heard))
    }

    /// Sets the gauges, for a scrape.
    pub(crate) fn show(&self) {
        for (position, (_, kind)) in KINDS.iter().enumerate() {
            metrics::gauge!("opendepot_index_staleness_seconds", "kind" => *kind)
                .set(self.age(position).as_secs_f64());
        }
    }
}

/// A control plane under observation.
pub(crate) struct Observed<S> {
    inner: S,
    freshness: Option<Arc<Freshness>>,
}

impl<S> Observed<S> {
    /// Counts and times what `inner` is asked.
    pub(crate) const fn new(inner: S) -> Self {
        Self {
            inner,
            freshness: None,
        }
    }

    /// Also notes what lists and watches say.
    pub(crate) fn noting(inner: S, freshness: &Arc<Freshness>) -> Self {
        Self {
            inner,
            freshness: Some(Arc::clone(freshness)),
        }
    }
}

impl<S, A, B> Service<Request<A>> for Observed<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<UnsyncBoxBody<Bytes, B::Error>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let verb = verb(request.method(), request.uri());
        let started = Instant::now();
        let heard = self
            .freshness
            .as_ref()
            .filter(|_| matches!(verb, "list" | "watch"))
            .and_then(|freshness| Some((Arc::clone(freshness), kind(request.uri())?)));
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await;
            let code = answer.as_ref().map_or("error", |answer| code(answer.status().as_u16()));
            metrics::counter!("opendepot_rest_client_requests_total", "code" => code, "verb" => verb)
                .increment(1);
            metrics::histogram!("opendepot_rest_client_request_duration_seconds", "verb" => verb)
                .record(started.elapsed().as_secs_f64());
            let answer = answer?;
            let heard = heard.filter(|_| answer.status().is_success());
            Ok(answer.map(|body| match heard {
                None => body.boxed_unsync(),
                Some((freshness, kind)) => body
                    .map_frame(move |frame| {
                        freshness.heard(kind);
                        frame
                    })
                    .boxed_unsync(),
            }))
        }
        .boxed()
    }
}

/// The verb as Kubernetes names it.
fn verb(method: &Method, uri: &Uri) -> &'static str {
    match *method {
        Method::GET => {
            let mut query = uri.query().unwrap_or_default().split('&');
            if query.any(|part| matches!(part, "watch" | "watch=1" | "watch=true")) {
                "watch"
            } else if resource(uri).is_some_and(|(_, has_name)| has_name) {
                "get"
            } else {
                "list"
            }
        }
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

/// The plural in a path, and whether an object's name follows.
fn resource(uri: &Uri) -> Option<(&str, bool)> {
    let mut segments = uri.path().split('/').filter(|segment| !segment.is_empty());
    match segments.next()? {
        "apis" => segments.nth(1)?,
        _ => segments.next()?,
    };
    let first = segments.next()?;
    if first != "namespaces" {
        return Some((first, segments.next().is_some()));
    }
    let namespace = segments.next();
    match segments.next() {
        Some(plural) => Some((plural, segments.next().is_some())),
        None => Some((first, namespace.is_some())),
    }
}

fn kind(uri: &Uri) -> Option<usize> {
    let (plural, _) = resource(uri)?;
    KINDS.iter().position(|(known, _)| *known == plural)
}

/// The codes that a control plane answers with; the others by their first digit.
const fn code(status: u16) -> &'static str {
    match status {
        200 => "200",
        201 => "201",
        202 => "202",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        409 => "409",
        410 => "410",
        422 => "422",
        429 => "429",
        500 => "500",
        503 => "503",
        504 => "504",
        other => match other / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    #[test]
    fn verbs_and_kinds_of_paths() {
        let group = "/apis/opendepot.defdev.io/v1alpha1";
        let cases = [
            (
                Method::GET,
                format!("{group}/versions?watch=true&resourceVersion=1"),
                "watch",
                Some(2),
            ),
            (
                Method::GET,
                format!("{group}/versions?limit=500"),
                "list",
                Some(2),
            ),
            (
                Method::GET,
                format!("{group}/namespaces/a/modules"),
                "list",
                Some(0),
            ),
            (
                Method::GET,
                format!("{group}/namespaces/a/modules/b"),
                "get",
                Some(0),
            ),
            (
                Method::PATCH,
                format!("{group}/namespaces/a/providers/b/status"),
                "patch",
                Some(1),
            ),
            (
                Method::GET,
                "/api/v1/namespaces/a/configmaps/b".to_owned(),
                "get",
                None,
            ),
            (Method::GET, "/api/v1/namespaces".to_owned(), "list", None),
            (Method::GET, "/api/v1/namespaces/a".to_owned(), "get", None),
            (
                Method::POST,
                "/api/v1/namespaces/a/configmaps".to_owned(),
                "create",
                None,
            ),
            (Method::GET, "/version".to_owned(), "list", None),
        ];
        for (method, path, expected, of_kind) in cases {
            let uri: Uri = path.parse().unwrap();
            assert_eq!(
                (verb(&method, &uri), kind(&uri)),
                (expected, of_kind),
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn a_watch_that_says_something_is_fresh() {
        let freshness = Freshness::new();
        let service = tower::service_fn(|_: Request<()>| async {
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(b"{}"))))
        });
        let mut observed = Observed::noting(service, &freshness);
        let request = Request::get("/apis/opendepot.defdev.io/v1alpha1/versions?watch=1");
        let answer = observed.call(request.body(()).unwrap()).await.unwrap();
        assert_eq!(freshness.heard_ms[2].load(Ordering::Relaxed), 0);
        freshness.heard_ms[2].store(u64::MAX, Ordering::Relaxed);
        assert_eq!(freshness.age(2), Duration::ZERO);
        answer.into_body().collect().await.unwrap();
        assert_ne!(freshness.heard_ms[2].load(Ordering::Relaxed), u64::MAX);
    }
}
