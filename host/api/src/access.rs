//! From a credential to a decision: verify, ask the chain, remember for five seconds.

use crate::error::ApiError;
use crate::instrument::current_request_id;
use crate::metric;
use equivalent::Equivalent;
use http::request::Parts;
use http::{HeaderMap, StatusCode, Version, header};
use moka::sync::Cache;
use opendepot_domain::access::{Base, Denial, Labels};
use opendepot_domain::seam::{AccessPolicy, LabelSource};
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
    /// What the chain is told besides.
    pub labels: Arc<dyn LabelSource>,
    /// What decides when the chain abstains.
    pub base: Base,
    /// Whether only requests made directly to this machine are answered: the default anonymity
    /// of a registry on loopback (contract.md 2).
    pub local_only: bool,
}

/// Everything about who may do what.
pub struct Access {
    options: AccessOptions,
    decisions: Cache<Arc<DecisionKey>, Remembered, ahash::RandomState>,
    metrics: metric::Access,
}

/// All inputs of a decision but the time, plus the policy's generation (plugins.md 2).
#[derive(PartialEq, Eq, Hash)]
struct DecisionKey {
    subject: Arc<Subject>,
    actions: &'static [Action],
    /// Without labels, which follow.
    target: Target,
    labels: Labels,
    generation: u64,
}

/// The same to look one up with, without copies.
#[derive(Hash)]
struct DecisionRef<'a> {
    subject: &'a Subject,
    actions: &'a [Action],
    target: &'a Target,
    labels: &'a Labels,
    generation: u64,
}

impl Equivalent<Arc<DecisionKey>> for DecisionRef<'_> {
    fn equivalent(&self, key: &Arc<DecisionKey>) -> bool {
        self.generation == key.generation
            && self.actions == key.actions
            && self.target == &key.target
            && self.labels == &key.labels
            && self.subject == &*key.subject
    }
}

impl Access {
    /// Builds it with an empty cache.
    #[must_use]
    pub fn new(options: AccessOptions) -> Self {
        let decisions = Cache::builder()
            .max_capacity(NUM_DECISIONS)
            .time_to_live(DECISION_LIFE)
            .build_with_hasher(ahash::RandomState::new());
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
    pub(crate) fn check_host(&self, request: &Parts) -> Result<(), ApiError> {
        let headers = &request.headers;
        let mut hosts = headers.get_all(header::HOST).iter();
        let authority = request.uri.authority().map(http::uri::Authority::as_str);
        let named = authority.or_else(|| hosts.next().and_then(|host| host.to_str().ok()));
        let host = match named {
            // Only clients of HTTP/1.0 may leave it out.
            None if request.version == Version::HTTP_10 && !self.options.local_only => {
                return Ok(());
            }
            named => named.unwrap_or_default(),
        };
        if !is_plain_host(host)
            && (host.parse::<http::uri::Authority>().is_err() || host.contains('@'))
        {
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
    ) -> Result<Arc<Subject>, ApiError> {
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
    pub async fn check(
        &self,
        subject: &Arc<Subject>,
        actions: &'static [Action],
        target: &Target,
    ) -> Result<(), ApiError> {
        let Some(denied) = self.denied(subject, actions, target).await else {
            return Ok(());
        };
        let (action, denial) = &*denied;
        let by = denial.by.as_ref();
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
            plugin.name = by.map(|by| by.plugin.as_str()),
            plugin.digest = by.and_then(|by| by.digest.as_deref()),
            reason = %denial,
            "denied {} of {} `{}/{}`", action.as_str(), target.kind, target.namespace, target.name
        );
        Err(ApiError::forbidden())
    }

    /// Which action is denied, and why; nothing when all are allowed.
    async fn denied(
        &self,
        subject: &Arc<Subject>,
        actions: &'static [Action],
        target: &Target,
    ) -> Remembered {
        let policy = &self.options.policy;
        if policy.is_empty() {
            let denied = refused(access::combine([], self.options.base));
            self.metrics.by_mode(denied.is_none());
            return Some(Arc::new((*actions.first()?, denied?)));
        }
        let generation = policy.generation();
        let labels = self.options.labels.labels(target);
        let key = DecisionRef {
            subject,
            actions,
            target,
            labels: &labels,
            generation,
        };
        if let Some(denied) = self.decisions.get(&key) {
            self.metrics.remembered.increment(1);
            self.metrics.by_policy(denied.is_none());
            return denied;
        }
        self.metrics.asked.increment(1);
        let mut denied = None;
        let labelled = Target {
            labels: labels.clone(),
            ..target.clone()
        };
        for action in actions {
            if let Some(reason) = self.ask(subject, *action, &labelled).await {
                denied = Some(Arc::new((*action, reason)));
                break;
            }
        }
        self.metrics.by_policy(denied.is_none());
        let key = DecisionKey {
            subject: Arc::clone(subject),
            actions,
            target: target.clone(),
            labels,
            generation,
        };
        self.decisions.insert(Arc::new(key), denied.clone());
        denied
    }

    /// Why the chain of plugins denies it; nothing when it is allowed.
    async fn ask(&self, subject: &Subject, action: Action, target: &Target) -> Option<Denial> {
        let started = Instant::now();
        let targets = std::slice::from_ref(target);
        let policy = &self.options.policy;
        let mut answers = policy.authorize(subject, action, targets, unix_now()).await;
        // Anything but one well-formed answer is a deny (T41).
        let answer = if answers.len() == 1 {
            answers.pop()
        } else {
            None
        };
        let answer = answer.unwrap_or_else(|| Decision::deny("malformed answer"));
        self.metrics
            .asked_seconds
            .record(started.elapsed().as_secs_f64());
        refused(access::combine([answer], self.options.base))
    }
}

/// The action that is denied and why, kept with the remembered decision: every denial is audited.
type Remembered = Option<Arc<(Action, Denial)>>;

fn refused(decision: Decision) -> Option<Denial> {
    match decision {
        Decision::Allow => None,
        Decision::Deny(reason) => Some(reason),
        Decision::Abstain => Some(Denial {
            by: None,
            reason: "no decision".to_owned(),
        }),
    }
}

/// A name or an IPv4 address, with or without a port: what nearly every request has, told without
/// an allocation.
fn is_plain_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let is_digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    !name.is_empty() && name.bytes().all(is_name) && is_digits
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
