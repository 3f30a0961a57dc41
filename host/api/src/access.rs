//! From a credential to a decision: verify, ask the chain, remember for five seconds.

use crate::error::ApiError;
use crate::instrument::current_request_id;
use crate::metric;
use http::{HeaderMap, Request, StatusCode, Version, header};
use moka::sync::Cache;
use opendepot_domain::access::Base;
use opendepot_domain::seam::AccessPolicy;
use opendepot_domain::{Action, Decision, Subject, Target, access};
use opendepot_identity::Verifier;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Decisions live this long at most (R-17; reliability.md section 4).
const DECISION_LIFE: Duration = Duration::from_secs(5);
/// Decisions remembered.
const NUM_DECISIONS: u64 = 100_000;

/// How to build an [`Access`].
pub struct AccessOptions {
    /// Turns credentials into subjects.
    pub verifier: Verifier,
    /// The chain of auth plugins.
    pub policy: Arc<dyn AccessPolicy>,
    /// What decides when the chain abstains.
    pub base: Base,
    /// Whether only requests made directly to this machine are answered: the default anonymity
    /// of a registry on loopback (contract.md 2).
    pub local_only: bool,
}

/// Everything about who may do what.
pub struct Access {
    options: AccessOptions,
    decisions: Cache<Arc<DecisionKey>, Denial>,
    metrics: metric::Access,
}

/// All inputs of a decision but the time, plus the policy's generation (plugins.md 2).
#[derive(PartialEq, Eq, Hash)]
struct DecisionKey {
    subject: Subject,
    action: Action,
    target: Target,
    generation: u64,
}

impl Access {
    /// Builds it with an empty cache.
    #[must_use]
    pub fn new(options: AccessOptions) -> Self {
        let decisions = Cache::builder()
            .max_capacity(NUM_DECISIONS)
            .time_to_live(DECISION_LIFE)
            .build();
        let metrics = metric::Access::new(options.verifier.authentication().as_str());
        Self {
            options,
            decisions,
            metrics,
        }
    }

    /// Whether callers without a credential are subjects in this mode.
    #[must_use]
    pub const fn is_anonymous(&self) -> bool {
        matches!(self.options.base, Base::Allow)
    }

    /// Refuses a request that does not name one host (RFC 9112 section 3.2), and what default
    /// anonymity does not cover: one that came through a proxy, or for a host name that is not
    /// this machine's.
    ///
    /// # Errors
    /// 400; 403 with the remedy.
    pub(crate) fn check_host<B>(&self, request: &Request<B>) -> Result<(), ApiError> {
        let headers = request.headers();
        let mut hosts = headers.get_all(header::HOST).iter();
        let authority = request.uri().authority().map(http::uri::Authority::as_str);
        let named = authority.or_else(|| hosts.next().and_then(|host| host.to_str().ok()));
        let host = match named {
            // Only clients of HTTP/1.0 may leave it out.
            None if request.version() == Version::HTTP_10 && !self.options.local_only => {
                return Ok(());
            }
            named => named.unwrap_or_default(),
        };
        if host.parse::<http::uri::Authority>().is_err() || host.contains('@') {
            return Err(ApiError::bad_request("the `Host` header is not a host"));
        }
        let is_ambiguous = hosts.next().is_some();
        if !self.options.local_only {
            // Beside an authority, which wins, one `Host` may stand.
            let is_refused = is_ambiguous && (authority.is_none() || hosts.next().is_some());
            return if is_refused {
                Err(ApiError::bad_request(
                    "there is more than one `Host` header",
                ))
            } else {
                Ok(())
            };
        }
        let forwarded = headers.keys().any(|name| {
            let name = name.as_str();
            name.starts_with("x-forwarded") || matches!(name, "forwarded" | "via" | "x-real-ip")
        });
        if forwarded || is_ambiguous || !is_loopback_host(host) {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "this registry answers anonymously on loopback only; choose a mode to serve others: `--anonymous-auth`, \
                 or tokens with `opendepot token create` and `auth.tokensFile`",
            ));
        }
        Ok(())
    }

    /// The caller of a request.
    ///
    /// # Errors
    /// 401 when the mode needs a credential and this one does not verify.
    pub(crate) async fn subject(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Result<Subject, ApiError> {
        let values = headers
            .get_all(header::AUTHORIZATION)
            .iter()
            .map(http::HeaderValue::as_bytes);
        let verifier = &self.options.verifier;
        let mode = verifier.authentication().as_str();
        let result = verifier.subject(values, &peer.to_string()).await;
        if result.is_ok() {
            self.metrics.authenticated.increment(1);
        }
        result.map_err(|error| {
            self.metrics.refused(error.label());
            tracing::info!(
                target: "opendepot::audit",
                request_id = %current_request_id(),
                subject.authentication = mode,
                subject.client_address = %peer,
                "refused a caller: {error}"
            );
            ApiError::of_kind(error.kind())
        })
    }

    /// Asks whether `subject` may do each of `actions` to `target`.
    ///
    /// # Errors
    /// 403, the same whether or not the target exists.
    pub(crate) async fn check(
        &self,
        subject: &Subject,
        actions: &[Action],
        target: &Target,
    ) -> Result<(), ApiError> {
        for action in actions {
            if !self.is_allowed(subject, *action, target).await {
                return Err(ApiError::forbidden());
            }
        }
        Ok(())
    }

    async fn is_allowed(&self, subject: &Subject, action: Action, target: &Target) -> bool {
        let Some(reason) = self.denial(subject, action, target).await else {
            return true;
        };
        tracing::info!(
            target: "opendepot::audit",
            request_id = %current_request_id(),
            action = action.as_str(),
            subject.name = %subject.name,
            subject.authentication = subject.authentication.as_str(),
            subject.client_address = %subject.client_address,
            resource.namespace = %target.namespace,
            resource.kind = target.kind.as_str(),
            resource.name = %target.name,
            reason = %reason,
            "denied {} of {} `{}/{}`", action.as_str(), target.kind, target.namespace, target.name
        );
        false
    }

    /// Why not; nothing when it is allowed.
    async fn denial(&self, subject: &Subject, action: Action, target: &Target) -> Denial {
        let policy = &self.options.policy;
        if policy.is_empty() {
            let denial = denial(access::combine([], self.options.base));
            self.metrics.by_mode(denial.is_none());
            return denial;
        }
        let key = Arc::new(DecisionKey {
            subject: subject.clone(),
            action,
            target: target.clone(),
            generation: policy.generation(),
        });
        if let Some(denial) = self.decisions.get(&key) {
            self.metrics.remembered.increment(1);
            self.metrics.by_policy(denial.is_none());
            return denial;
        }
        self.metrics.asked.increment(1);
        let started = Instant::now();
        let targets = std::slice::from_ref(target);
        let mut answers = policy.authorize(subject, action, targets, unix_now()).await;
        // Anything but one well-formed answer is a deny (T41).
        let answer = if answers.len() == 1 {
            answers.pop()
        } else {
            None
        };
        let answer = answer.unwrap_or_else(|| Decision::Deny("malformed answer".to_owned()));
        let denial = denial(access::combine([answer], self.options.base));
        self.metrics
            .asked_seconds
            .record(started.elapsed().as_secs_f64());
        self.metrics.by_policy(denial.is_none());
        self.decisions.insert(key, denial.clone());
        denial
    }
}

/// The reason of a denial, kept with the remembered decision: every denial is audited.
type Denial = Option<Arc<str>>;

fn denial(decision: Decision) -> Denial {
    match decision {
        Decision::Allow => None,
        Decision::Deny(reason) => Some(reason.into()),
        Decision::Abstain => Some("no decision".into()),
    }
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::is_loopback_host;

    #[test]
    fn loopback_hosts() {
        for host in [
            "127.0.0.1:8080",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8443",
            "127.9.9.9",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "10.0.0.1:80",
            "localhost.example.com",
            "[fd00::1]",
            "127.0.0.1.example.com",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
