//! What the operator grants for one store, as it was read last.

use super::access::{CloudCredentialKind, StoreAccess};
use super::seen;
use super::wire::Wire;
use crate::egress::EgressPolicy;
use crate::error::Error;
use crate::fetch::{FetchLimits, Fetcher, Secret};
use crate::store::RemoteLimits;
use opendepot_domain::Sha256;

pub(super) struct Granted {
    pub(super) access: StoreAccess,
    /// What its `ca-file` holds.
    authorities: Option<Vec<u8>>,
    /// What its `sse-customer-key-file` holds.
    pub(super) customer_key: Option<Secret>,
    /// Changes with anything in it.
    pub(super) digest: Sha256,
}

impl Granted {
    /// # Errors
    /// [`Error::Unavailable`] when a file that its options name cannot be read.
    pub(super) async fn new(access: StoreAccess) -> Result<Self, Error> {
        let authorities = file(&access, "ca-file").await?;
        let customer_key = file(&access, "sse-customer-key-file").await?;
        let customer_key = customer_key.map(|key| {
            // What is no text is no key.
            Secret::new(String::from_utf8(key).unwrap_or_default())
        });
        Ok(Self {
            digest: digest(&access, authorities.as_deref(), customer_key.as_ref()),
            access,
            authorities,
            customer_key,
        })
    }

    /// What sends the requests of the store: under this policy, and to what the operator names.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what cannot be used.
    pub(super) fn wire(
        &self,
        mut policy: EgressPolicy,
        fetch_limits: FetchLimits,
        limits: &RemoteLimits,
    ) -> Result<Wire, Error> {
        let access = &self.access;
        if let Some(authorities) = &self.authorities {
            policy = policy.trusting(authorities.clone());
        }
        let option = |name| access.options.get(name).map(String::as_str);
        for url in [
            access.endpoint.as_deref(),
            option("authority-host"),
            option("iam-endpoint"),
            option("sts-endpoint"),
        ]
        .into_iter()
        .flatten()
        {
            policy = policy.endpoint(&seen::endpoint(url)?)?;
        }
        let is_metadata = access.credential.as_ref().is_some_and(|credential| {
            use CloudCredentialKind::{AwsMetadata, GcpMetadata};
            matches!(credential.kind, AwsMetadata | GcpMetadata)
        });
        let metadata = is_metadata
            .then(|| Fetcher::new(EgressPolicy::metadata_services()?, fetch_limits))
            .transpose()?;
        Ok(Wire {
            fetcher: Fetcher::new(policy, fetch_limits)?,
            metadata,
            idle_timeout: limits.idle_timeout,
            of_copies: http::HeaderMap::new(),
        })
    }
}

/// The content of the file that an option names.
async fn file(access: &StoreAccess, option: &str) -> Result<Option<Vec<u8>>, Error> {
    let Some(file) = access.options.get(option) else {
        return Ok(None);
    };
    let read = tokio::fs::read(file).await;
    let read = read.map_err(|error| {
        Error::unavailable(format!("read the {option} `{file}`"), error.to_string())
    });
    read.map(Some)
}

/// Tells one state of the operator's word from another, the credential's content included.
fn digest(
    access: &StoreAccess,
    authorities: Option<&[u8]>,
    customer_key: Option<&Secret>,
) -> Sha256 {
    let key = customer_key.map_or("", |key| key.reveal());
    let mut input = opendepot_domain::canonical::Canonical::new("store-granted");
    input
        .field(&Sha256::of(authorities.unwrap_or_default()).to_string())
        .field(&Sha256::of(key.as_bytes()).to_string())
        .field(access.endpoint.as_deref().unwrap_or_default())
        .field(access.region.as_deref().unwrap_or_default())
        .field(&format!("{:?}", access.options));
    if let Some(credential) = &access.credential {
        let secret = credential
            .secret
            .as_ref()
            .map_or("", |secret| secret.reveal());
        input
            .field(credential.kind.label())
            .field(&Sha256::of(secret.as_bytes()).to_string());
    }
    Sha256::of(input.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::access::CloudCredential;
    use super::*;
    use crate::egress::EgressConfig;
    use url::Url;

    async fn wire(kind: Option<CloudCredentialKind>) -> Wire {
        let access = StoreAccess {
            credential: kind.map(|kind| CloudCredential { kind, secret: None }),
            ..StoreAccess::default()
        };
        let granted = Granted::new(access).await.unwrap();
        let policy = EgressConfig::default().policy().unwrap().of_granted_hosts();
        let limits = (FetchLimits::default(), &RemoteLimits::default());
        granted.wire(policy, limits.0, limits.1).unwrap()
    }

    #[tokio::test]
    async fn metadata_services_are_for_their_own_kinds_alone() {
        use CloudCredentialKind::*;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let services = [
            "http://169.254.169.254/latest/api/token",
            "http://169.254.170.2/v2/credentials",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::254]/latest/api/token",
            "http://metadata.google.internal/computeMetadata/v1/",
        ]
        .map(|url| Url::parse(url).unwrap());
        for kind in [None, Some(AwsStatic), Some(AwsWebIdentity), Some(AzureKey)]
            .into_iter()
            .chain([Some(AzureWorkload), Some(GcpKey)])
        {
            let wire = wire(kind).await;
            assert!(wire.metadata.is_none(), "{kind:?}");
            for url in &services {
                assert!(wire.fetcher.policy().check(url).is_err(), "{kind:?} {url}");
            }
        }
        for kind in [AwsMetadata, GcpMetadata] {
            let wire = wire(Some(kind)).await;
            let metadata = wire.metadata.unwrap();
            for url in &services {
                metadata.policy().check(url).unwrap();
                assert!(wire.fetcher.policy().check(url).is_err(), "{kind:?} {url}");
            }
            // Nothing else, not even on another port.
            for url in [
                "http://169.254.169.254:8080/",
                "http://10.0.0.1/",
                "https://s3.amazonaws.com/",
            ] {
                let url = Url::parse(url).unwrap();
                assert!(metadata.policy().check(&url).is_err(), "{url}");
            }
        }
    }
}
