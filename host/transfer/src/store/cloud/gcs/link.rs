//! Links: V4 signatures in a query, as the service documents them under "canonical requests".
//!
//! What may surprise: every byte of a key that is not plain is encoded, in the URL as in what is
//! signed, since the service signs what it decoded and encoded anew; the host is the endpoint's.

use super::super::seen::NoBase;
use jiff::Timestamp;
use object_store::path::Path;
use opendepot_domain::Sha256;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write as _;
use std::time::Duration;
use url::Url;

const ALGORITHM: &str = "GOOG4-RSA-SHA256";
/// The service takes no longer ones.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// All but what RFC 3986 never reserves.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// In paths, whose slashes stay.
const IN_PATHS: &AsciiSet = &STRICT.remove(b'/');

/// A link that is not yet signed.
pub(super) struct Link {
    url: Url,
    /// What the account signs.
    pub(super) to_sign: String,
}

impl Link {
    /// A link below a bucket's URL, for reading one object.
    ///
    /// # Errors
    /// [`NoBase`] for an endpoint without a host.
    pub(super) fn new(
        bucket: &Url,
        key: &Path,
        email: &str,
        at: Timestamp,
        ttl: Duration,
    ) -> Result<Self, NoBase> {
        let mut url = bucket.clone();
        let key = utf8_percent_encode(key.as_ref(), IN_PATHS);
        let path = format!("{}/{key}", bucket.path());
        url.set_path(&path);
        let host = match (url.host_str().ok_or(NoBase)?, url.port()) {
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        let day = at.strftime("%Y%m%d").to_string();
        let time = at.strftime("%Y%m%dT%H%M%SZ").to_string();
        let scope = format!("{day}/auto/storage/goog4_request");
        let credential = format!("{email}/{scope}");
        let seconds = ttl.clamp(Duration::from_secs(1), LONGEST).as_secs();
        // In the order of their names, which is that of the canonical query.
        let query = format!(
            "X-Goog-Algorithm={ALGORITHM}&X-Goog-Credential={}&X-Goog-Date={time}\
             &X-Goog-Expires={seconds}&X-Goog-SignedHeaders=host",
            utf8_percent_encode(&credential, STRICT)
        );
        let canonical = format!("GET\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
        let digest = Sha256::of(canonical.as_bytes());
        url.set_query(Some(&query));
        Ok(Self {
            url,
            to_sign: format!("{ALGORITHM}\n{time}\n{scope}\n{digest}"),
        })
    }

    /// The link with its signature.
    pub(super) fn signed(self, signature: &[u8]) -> Url {
        let Self { mut url, .. } = self;
        let mut query = url.query().unwrap_or_default().to_owned();
        query.push_str("&X-Goog-Signature=");
        for byte in signature {
            // Writing to a string does not fail.
            let _ = write!(query, "{byte:02x}");
        }
        url.set_query(Some(&query));
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(bucket: &str, key: &str, seconds: u64) -> Link {
        let bucket = Url::parse(bucket).unwrap();
        let at = "2019-02-01T09:00:00Z".parse().unwrap();
        let key = Path::parse(key).unwrap();
        let ttl = Duration::from_secs(seconds);
        Link::new(&bucket, &key, "a@b.example", at, ttl).unwrap()
    }

    #[test]
    fn what_is_signed_is_the_canonical_request() {
        let link = link("https://storage.googleapis.com/depot", "vpc/ü +%&.zip", 60);
        let canonical = "GET\n/depot/vpc/%C3%BC%20%2B%25%26.zip\n\
            X-Goog-Algorithm=GOOG4-RSA-SHA256\
            &X-Goog-Credential=a%40b.example%2F20190201%2Fauto%2Fstorage%2Fgoog4_request\
            &X-Goog-Date=20190201T090000Z&X-Goog-Expires=60&X-Goog-SignedHeaders=host\n\
            host:storage.googleapis.com\n\nhost\nUNSIGNED-PAYLOAD";
        let expected = format!(
            "GOOG4-RSA-SHA256\n20190201T090000Z\n20190201/auto/storage/goog4_request\n{}",
            Sha256::of(canonical.as_bytes())
        );
        assert_eq!(link.to_sign, expected);
        let url = link.signed(&[0, 0xab]);
        assert_eq!(url.path(), "/depot/vpc/%C3%BC%20%2B%25%26.zip");
        let end = "&X-Goog-SignedHeaders=host&X-Goog-Signature=00ab";
        assert!(url.query().unwrap().ends_with(end), "{url}");
    }

    #[test]
    fn a_link_is_good_for_a_week_at_most() {
        for (seconds, said) in [(0, "Expires=1&"), (10_000_000, "Expires=604800&")] {
            let url = link("http://127.0.0.1:9000/depot", "k", seconds).signed(&[]);
            assert!(url.query().unwrap().contains(said), "{url}");
        }
    }
}
