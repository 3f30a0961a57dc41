//! Links: shared access signatures of one blob, for reading, made with the account's key or with one
//! that the service gives for the credential (user delegation).

use super::super::client::{SHORTEST_LINK, needs_no_link, unusable};
use super::super::kept::Ending;
use super::super::seen::{Trouble, watched};
use super::{Azure, Credentials, generic, refused};
use crate::error::Error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method};
use object_store::path::Path;
use serde::Deserialize;
use std::time::{Duration, SystemTime};
use url::Url;

/// The version that signatures are made for.
const SAS_VERSION: &str = "2021-12-02";
/// Clocks differ: a link is valid from a while ago.
const SKEW: Duration = Duration::from_secs(15 * 60);
/// How long a key of the service is asked for; links are good for an hour at most.
const KEY_LIFE: Duration = Duration::from_secs(2 * 60 * 60);

/// A key that the service gives for a while.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DelegationKey {
    signed_oid: String,
    signed_tid: String,
    signed_start: String,
    signed_expiry: String,
    signed_service: String,
    signed_version: String,
    value: String,
}

impl Azure {
    /// A link to one object, for reading, until `ttl` from now, or the end of the service's key.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a credential, [`Error::Unavailable`] when the service makes no
    /// key for it.
    pub(in crate::store::cloud) async fn sign(
        &self,
        key: &Path,
        ttl: Duration,
        attempt: &str,
        store: &str,
    ) -> Result<Url, Trouble> {
        let mut url = self.object(key).map_err(|_| unusable(store))?;
        let resource = format!("/blob/{}/{}/{key}", self.account, self.container);
        let https = if url.scheme() == "https" { "https" } else { "" };
        let now = SystemTime::now();
        let start = time(now - SKEW)?;
        let mut query = vec![
            ("sp", "r".to_owned()),
            ("st", start.clone()),
            ("sv", SAS_VERSION.to_owned()),
            ("sr", "b".to_owned()),
        ];
        if !https.is_empty() {
            query.push(("spr", https.to_owned()));
        }
        // The fields in order, empty ones included, as of version 2020-12-06 and later.
        let (expiry, signature) = match &self.credentials {
            Credentials::None => return Err(needs_no_link(attempt).into()),
            Credentials::Key(account_key) => {
                let expiry = time(now + ttl)?;
                let who = ["", ""].as_slice();
                let head = ["r", &start, &expiry, &resource];
                let tail = [https, SAS_VERSION, "b"];
                let fields = [&head, who, &tail, &[""; 7]].concat();
                let signature = mac(&account_key.bytes, &fields.join("\n"));
                (expiry, signature)
            }
            Credentials::Workload(_) => {
                let delegated = self.delegated.get(ttl, self.delegation_key());
                let delegated = watched(delegated).await?;
                let ttl = ttl.min(delegated.remaining());
                if ttl < SHORTEST_LINK {
                    let reason = "the service's key ends now";
                    return Err(Error::unavailable(attempt, reason).into());
                }
                let (expiry, by) = (time(now + ttl)?, &delegated.value);
                let who = [
                    by.signed_oid.as_str(),
                    &by.signed_tid,
                    &by.signed_start,
                    &by.signed_expiry,
                    &by.signed_service,
                    &by.signed_version,
                    "",
                    "",
                    "",
                ];
                let head = ["r", &start, &expiry, &resource];
                let tail = ["", https, SAS_VERSION, "b"];
                let fields = [head.as_slice(), &who, &tail, &[""; 7]].concat();
                let secret = STANDARD.decode(&by.value).map_err(|_| {
                    Error::unavailable(attempt, "the service answered with a key that is none")
                })?;
                let names = ["skoid", "sktid", "skt", "ske", "sks", "skv"];
                let who = who.iter().map(|field| (*field).to_owned());
                query.extend(names.into_iter().zip(who));
                let signature = mac(&secret, &fields.join("\n"));
                (expiry, signature)
            }
        };
        query.extend([("se", expiry), ("sig", signature)]);
        url.query_pairs_mut().extend_pairs(query);
        Ok(url)
    }

    /// Get User Delegation Key.
    async fn delegation_key(&self) -> object_store::Result<Ending<DelegationKey>> {
        let mut url = self.service.clone();
        url.set_query(Some("restype=service&comp=userdelegationkey"));
        let now = SystemTime::now();
        let start = time(now - SKEW).map_err(generic)?;
        let expiry = time(now + KEY_LIFE).map_err(generic)?;
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><KeyInfo><Start>{start}</Start><Expiry>{expiry}</Expiry></KeyInfo>"
        );
        let answer = self
            .send(Method::POST, &url, HeaderMap::new(), body.into())
            .await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().bytes().await.map_err(generic)?;
        if !(200..300).contains(&status) {
            return Err(refused(status));
        }
        let value: DelegationKey = quick_xml::de::from_reader(&*body).map_err(generic)?;
        let ends_at: jiff::Timestamp = value.signed_expiry.parse().map_err(generic)?;
        Ok(Ending {
            value,
            ends_at: ends_at.into(),
        })
    }
}

fn mac(key: &[u8], text: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    STANDARD.encode(ring::hmac::sign(&key, text.as_bytes()))
}

/// RFC 3339 in whole seconds, as signatures have it.
fn time(at: SystemTime) -> Result<String, Error> {
    let at = jiff::Timestamp::try_from(at)
        .map_err(|_| Error::invalid("sign a link", "its time is out of range"))?;
    Ok(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
