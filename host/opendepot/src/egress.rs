//! What leaves the process for plugins: the requests of guests, those that storage plugins plan, and
//! those to the stores that they place artifacts in.
//!
//! The first two go through one fetcher under `egress.plugins`: hosts come from each plugin's grants,
//! which were checked before; addresses and plain HTTP are this policy's. Without `allow` every
//! granted host passes, with it only those that are in both. Stores are reached under
//! `egress.storage`, in the same way.

use crate::config::Config;
use crate::limits;
use opendepot_domain::Kind;
use opendepot_domain::placement::{NativePlan, SignedRequest};
use opendepot_domain::seam::{BoxFuture, SeamError};
use opendepot_plugin::{
    CheckedRequest, Credential, CredentialKind, HttpError, HttpResponse, HttpSender, PluginHost,
    Services,
};
use opendepot_transfer::{
    CloudCredential, CloudCredentialKind, EgressPolicy, Error, ExchangeRequest, FetchLimits,
    Fetcher, HostClass, NativeAccess, Secret, SignedHeaders, StoreAccess, Stores,
};
use std::sync::Arc;
use std::time::Duration;

/// A client waits 10 s for a download: an address that says nothing must leave time for another try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The way out of plugins.
pub(crate) struct Egress {
    fetcher: Fetcher,
    storage: EgressPolicy,
    limits: FetchLimits,
}

impl Egress {
    /// From `egress.plugins` and `egress.storage` of the configuration.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let egress = &config.file.egress;
        let policy = egress.plugins.policy()?.of_granted_hosts();
        let upstream = limits::upstream(config);
        let limits = FetchLimits {
            connect_timeout: upstream.connect_timeout.min(CONNECT_TIMEOUT),
            ..upstream
        };
        Ok(Self {
            fetcher: Fetcher::new(policy, limits)?,
            storage: egress.storage.policy()?.of_granted_hosts(),
            limits,
        })
    }

    /// What a plugin host needs to let guests send requests.
    pub(crate) fn services(&self) -> Services {
        Services {
            http: Some(Arc::new(GuestHttp(self.fetcher.clone()))),
            ..Services::default()
        }
    }

    /// Stores that perform what storage plugins plan.
    pub(crate) fn stores(&self, stores: Stores, plugins: &PluginHost) -> Stores {
        let headers = Arc::new(PluginHeaders(plugins.clone()));
        let access = Arc::new(PluginAccess(plugins.clone()));
        let limits = limits::remote_stores();
        stores
            .with_signed(self.fetcher.clone(), headers, limits)
            .with_cloud(self.storage.clone(), self.limits, access, limits)
    }
}

/// Sends the requests of guests.
struct GuestHttp(Fetcher);

impl HttpSender for GuestHttp {
    fn send(&self, request: CheckedRequest) -> BoxFuture<'_, Result<HttpResponse, HttpError>> {
        Box::pin(async move {
            let (max_bytes, timeout) = (request.max_response_bytes, request.timeout);
            let exchange = ExchangeRequest {
                method: http::Method::from_bytes(request.method.as_bytes())
                    .map_err(|_| HttpError::Other("the method is none".to_owned()))?,
                url: request.url,
                headers: request
                    .headers
                    .iter()
                    .map(|(name, value)| (name.clone(), Secret::new(value.expose())))
                    .collect(),
                body: request.body.into(),
                host_class: HostClass::Plugin,
            };
            let work = self.0.exchange(exchange, max_bytes);
            let answer = tokio::time::timeout(timeout, work)
                .await
                .map_err(|_| HttpError::Timeout)?
                .map_err(|error| {
                    tracing::debug!(
                        plugin.name = request.plugin.as_str(),
                        "a request of a plugin failed: {error}"
                    );
                    told(error)
                })?;
            let headers = answer.headers.iter().map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            });
            Ok(HttpResponse {
                status: answer.status,
                headers: headers.collect(),
                body: answer.body.to_vec(),
            })
        })
    }
}

/// What a guest is told: nothing of the network inside.
fn told(error: Error) -> HttpError {
    match error {
        Error::Refused { reason, .. } => HttpError::Denied(reason),
        Error::TooLarge { .. } => HttpError::TooLarge,
        Error::Invalid { reason, .. } => HttpError::Other(reason),
        Error::Unavailable { .. } => {
            HttpError::Unreachable("no connection, or none that can be trusted".to_owned())
        }
        _ => HttpError::Other("the request failed".to_owned()),
    }
}

/// Fills in the secrets of signed requests as the plugin's grants allow, read anew each time.
struct PluginHeaders(PluginHost);

impl SignedHeaders for PluginHeaders {
    fn fill<'a>(
        &'a self,
        request: &'a SignedRequest,
    ) -> BoxFuture<'a, Result<Vec<(String, Secret)>, SeamError>> {
        Box::pin(async move {
            let filled = self.0.signed_headers(&request.plugin, request).await?;
            let headers = filled.iter();
            Ok(headers
                .map(|(name, value)| (name.clone(), Secret::new(value.expose())))
                .collect())
        })
    }
}

/// How the grants of plugins let stores be reached. The file of a credential is read each time.
struct PluginAccess(PluginHost);

impl NativeAccess for PluginAccess {
    fn access<'a>(&'a self, plan: &'a NativePlan) -> BoxFuture<'a, Result<StoreAccess, SeamError>> {
        Box::pin(async move {
            let placement = &plan.placement;
            let named = placement.credentials.as_deref();
            let granted = self.0.store_access(&plan.plugin, &placement.store, named);
            let granted = granted.ok_or_else(|| SeamError {
                kind: Kind::Denied,
                message: format!(
                    "the grants of plugin `{}` do not cover it: see `grants.stores` of its entry",
                    plan.plugin
                ),
            })?;
            let credential = match granted.credential {
                None => None,
                Some(credential) => Some(CloudCredential {
                    kind: kind(credential.config.kind),
                    secret: secret(credential).await?,
                }),
            };
            Ok(StoreAccess {
                endpoint: granted.endpoint,
                region: granted.region,
                options: granted.options,
                credential,
            })
        })
    }
}

/// The content of a credential's file, for kinds that have one.
async fn secret(credential: Credential) -> Result<Option<Secret>, SeamError> {
    let Some(name) = credential.config.secret.clone() else {
        return Ok(None);
    };
    let read = tokio::task::spawn_blocking(move || credential.read());
    let unreadable = |reason: String| SeamError {
        kind: Kind::Unavailable,
        message: format!("cannot read the secret `{name}`: {reason}"),
    };
    match read.await {
        Ok(Ok(content)) => Ok(Some(Secret::new(content.expose()))),
        Ok(Err(error)) => Err(unreadable(error.to_string())),
        Err(_) => Err(unreadable("the host is shutting down".to_owned())),
    }
}

const fn kind(kind: CredentialKind) -> CloudCredentialKind {
    match kind {
        CredentialKind::AwsStatic => CloudCredentialKind::AwsStatic,
        CredentialKind::AwsWebIdentity => CloudCredentialKind::AwsWebIdentity,
        CredentialKind::AwsMetadata => CloudCredentialKind::AwsMetadata,
        CredentialKind::AzureKey => CloudCredentialKind::AzureKey,
        CredentialKind::AzureWorkload => CloudCredentialKind::AzureWorkload,
        CredentialKind::GcpKey => CloudCredentialKind::GcpKey,
        CredentialKind::GcpMetadata => CloudCredentialKind::GcpMetadata,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_learn_nothing_of_the_inside() {
        let inside = "10.1.2.3:8080";
        let texts = [
            Error::Unavailable {
                attempt: format!("GET `https://{inside}/`"),
                reason: format!("cannot connect to {inside}"),
            },
            Error::Denied {
                attempt: format!("GET `https://{inside}/`"),
            },
            Error::TooLarge {
                url: format!("https://{inside}/"),
                limit_bytes: 1,
            },
            Error::Refused {
                url: format!("https://{inside}/"),
                reason: "its address is private".to_owned(),
            },
        ];
        for error in texts {
            let text = told(error).to_string();
            assert!(!text.contains("10.1.2.3"), "{text}");
        }
    }
}
