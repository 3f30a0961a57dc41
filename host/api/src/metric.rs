//! The metrics of the edge (reliability.md 10.1): HTTP, downloads, access. Handles are looked up
//! once, so a request allocates nothing for them; a series begins with its first request.

use crate::routes::TABLE;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use opendepot_domain::ArtifactKind;
use std::sync::OnceLock;
use std::time::Duration;

/// Codes that are answered here; one that is not listed is counted as `other`.
const CODES: [(u16, &str); 21] = [
    (200, "200"),
    (204, "204"),
    (206, "206"),
    (304, "304"),
    (307, "307"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (409, "409"),
    (410, "410"),
    (412, "412"),
    (414, "414"),
    (416, "416"),
    (429, "429"),
    (431, "431"),
    (500, "500"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
];
/// Methods are an open set on the wire and a closed one as a label.
const METHODS: [&str; 3] = ["GET", "HEAD", "OTHER"];
const UNMATCHED: &str = "unmatched";

/// A route by its place in the table, one past its end for a path that no route has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteLabel(usize);

impl RouteLabel {
    /// `place` is where the table has the route.
    pub(crate) fn at(place: Option<usize>) -> Self {
        Self(place.unwrap_or(TABLE.len()))
    }

    /// The template, never the path.
    pub(crate) fn as_str(self) -> &'static str {
        TABLE.get(self.0).map_or(UNMATCHED, |route| route.path)
    }
}

/// Handles of one listener's metrics.
pub(crate) struct Edge {
    requests: Box<[OnceLock<Histogram>]>,
    overload: Counter,
    malformed: Counter,
    limit: Counter,
    /// By kind, backend and mode; a series begins with its first download.
    bytes: [[[OnceLock<Counter>; 2]; BACKENDS.len()]; 2],
}

/// How a client got the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Through this process.
    Proxy,
    /// By a link to the store.
    Presign,
}

/// The backends, as `transfer` labels them.
const BACKENDS: [&str; 6] = ["filesystem", "s3", "azure", "gcs", "http", "other"];

impl Edge {
    pub(crate) fn new() -> Self {
        let num_slots = (TABLE.len() + 1) * METHODS.len() * (CODES.len() + 1);
        // There from the start, so that a first one shows as an increase.
        slow().increment(0);
        for cause in ["client", "storage", "corrupt", "slow"] {
            aborted(cause).increment(0);
        }
        Self {
            requests: (0..num_slots).map(|_| OnceLock::new()).collect(),
            overload: rejected("overload"),
            malformed: rejected("malformed"),
            limit: rejected("limit"),
            bytes: Default::default(),
        }
    }

    /// Records one answered request.
    pub(crate) fn answered(
        &self,
        route: RouteLabel,
        method: &http::Method,
        status: u16,
        elapsed: Duration,
    ) {
        let method = match *method {
            http::Method::GET => 0,
            http::Method::HEAD => 1,
            _ => 2,
        };
        let code = CODES.iter().position(|(code, _)| *code == status);
        let code = code.unwrap_or(CODES.len());
        let slot = (route.0 * METHODS.len() + method) * (CODES.len() + 1) + code;
        if let Some(slot) = self.requests.get(slot) {
            slot.get_or_init(|| duration(route, method, code))
                .record(elapsed.as_secs_f64());
        }
        match status {
            400 => self.malformed.increment(1),
            414 | 431 => self.limit.increment(1),
            _ => {}
        }
    }

    /// Counts a request that found no permit.
    pub(crate) fn shed(&self) {
        self.overload.increment(1);
    }

    /// What counts the bytes of one download from `store`.
    pub(crate) fn bytes(&self, kind: ArtifactKind, store: &str, mode: Mode) -> Counter {
        let label = opendepot_transfer::backend_label(store);
        let backend = BACKENDS.iter().position(|known| *known == label);
        let slot = self
            .bytes
            .get(usize::from(kind == ArtifactKind::Provider))
            .and_then(|of_kind| of_kind.get(backend.unwrap_or(BACKENDS.len() - 1)))
            .and_then(|of_backend| of_backend.get(usize::from(mode == Mode::Presign)));
        let counter = || {
            counter!(
                "opendepot_download_bytes_total",
                "kind" => kind.as_str(),
                "backend" => label,
                "mode" => if mode == Mode::Proxy { "proxy" } else { "presign" }
            )
        };
        slot.map_or_else(counter, |slot| slot.get_or_init(counter).clone())
    }
}

fn duration(route: RouteLabel, method: usize, code: usize) -> Histogram {
    histogram!(
        "opendepot_http_server_request_duration_seconds",
        "route" => route.as_str(),
        "method" => METHODS.get(method).copied().unwrap_or("OTHER"),
        "code" => CODES.get(code).map_or("other", |(_, label)| *label)
    )
}

fn rejected(reason: &'static str) -> Counter {
    counter!("opendepot_http_server_rejected_total", "reason" => reason)
}

/// Heads that took too long to come, and documents that were taken too slowly.
pub(crate) fn slow() -> Counter {
    rejected("slow")
}

/// What the parser refused before there was a request.
pub(crate) fn unparsed(error: &hyper::Error) {
    if error.is_parse_too_large() {
        rejected("limit").increment(1);
    } else if error.is_parse() {
        rejected("malformed").increment(1);
    }
}

/// Downloads that ended before their end: `client`, `slow`, `storage` or `corrupt`.
pub(crate) fn aborted(cause: &'static str) -> Counter {
    counter!("opendepot_download_aborted_total", "cause" => cause)
}

/// Counts itself off when it is dropped.
pub(crate) struct Held(Gauge);

impl Held {
    /// Connections in this state.
    pub(crate) fn connection(state: &'static str) -> Self {
        let gauge = gauge!("opendepot_http_server_connections", "state" => state);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Handles of who may do what.
pub(crate) struct Access {
    pub(crate) authenticated: Counter,
    pub(crate) remembered: Counter,
    pub(crate) asked: Counter,
    pub(crate) asked_seconds: Histogram,
    by_policy: [Counter; 2],
    by_mode: [Counter; 2],
    mode: &'static str,
}

impl Access {
    /// `mode` is how callers authenticate.
    pub(crate) fn new(mode: &'static str) -> Self {
        let decisions = |engine| {
            ["deny", "allow"].map(|decision| {
                counter!("opendepot_authz_total", "engine" => engine, "decision" => decision)
            })
        };
        let cache = |result| counter!("opendepot_authz_cache_total", "result" => result);
        Self {
            authenticated: authenticated(mode, "ok", "none"),
            remembered: cache("hit"),
            asked: cache("miss"),
            asked_seconds: histogram!("opendepot_authz_duration_seconds"),
            by_policy: decisions("plugin"),
            by_mode: decisions("mode"),
            mode,
        }
    }

    /// Counts a credential that was not accepted.
    pub(crate) fn refused(&self, reason: &'static str) {
        authenticated(self.mode, "refused", reason).increment(1);
    }

    /// Counts a decision of the chain of plugins, remembered or not.
    pub(crate) fn by_policy(&self, is_allowed: bool) {
        pick(&self.by_policy, is_allowed);
    }

    /// Counts a decision of the mode, where there is no chain.
    pub(crate) fn by_mode(&self, is_allowed: bool) {
        pick(&self.by_mode, is_allowed);
    }
}

fn authenticated(mode: &'static str, result: &'static str, reason: &'static str) -> Counter {
    counter!("opendepot_authn_total", "mode" => mode, "result" => result, "reason" => reason)
}

fn pick(counters: &[Counter; 2], is_allowed: bool) {
    let [deny, allow] = counters;
    if is_allowed { allow } else { deny }.increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_method_and_code_has_a_slot() {
        let edge = Edge::new();
        let last = RouteLabel(TABLE.len());
        assert_eq!(last.as_str(), UNMATCHED);
        assert_eq!(RouteLabel::at(None), last);
        edge.answered(last, &http::Method::POST, 599, Duration::ZERO);
        assert!(edge.requests.last().unwrap().get().is_some());
        edge.answered(RouteLabel(0), &http::Method::GET, 200, Duration::ZERO);
        assert!(edge.requests.first().unwrap().get().is_some());
    }
}
