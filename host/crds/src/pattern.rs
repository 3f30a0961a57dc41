//! Patterns of the schemas. They are written for RE2, anchored at both ends, and agree with the
//! grammars of `opendepot_domain`.

/// A DNS label (RFC 1123): resource names, namespaces and plugin names.
pub(crate) const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// `opendepot_domain::ConfigName` and `FileName`: one segment of a URL and of a storage key.
pub(crate) const SEGMENT: &str = r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$";
/// SemVer 2.0 with or without one leading `v`.
pub(crate) const VERSION: &str = r"^v?(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$";
/// One half of `opendepot_domain::Platform`.
pub(crate) const PLATFORM_PART: &str = "^[a-z0-9]+$";
/// An https address with a host and without user information.
pub(crate) const HTTPS_URL: &str =
    r"^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[^\s\\]*)?$";
/// As [`HTTPS_URL`], http as well: an emulator's endpoint, which the egress policy must allow.
pub(crate) const HTTP_URL: &str =
    r"^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[^\s\\?#]*)?$";
/// `host` or `host:port`.
pub(crate) const HOST: &str = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$";
/// A GitHub account, or an organisation of a provider registry.
pub(crate) const ACCOUNT: &str = "^[A-Za-z0-9][A-Za-z0-9_-]*$";
/// A GitHub repository; `.github` is one, `.` and `..` are not.
pub(crate) const REPOSITORY: &str = r"^\.?[A-Za-z0-9_-][A-Za-z0-9._-]*$";
/// The fixed part before the version in a tag.
pub(crate) const TAG_PREFIX: &str = r"^[A-Za-z0-9_][A-Za-z0-9._@/-]*$";
/// A relative path of plain segments.
pub(crate) const RELATIVE_PATH: &str = r"^[A-Za-z0-9_.][A-Za-z0-9._/-]*$";
/// Text without control characters and backslashes.
pub(crate) const PATH_TEXT: &str = r"^[^\\\x00-\x1f\x7f]+$";
/// An S3 or GCS bucket.
pub(crate) const BUCKET: &str = r"^[A-Za-z0-9][A-Za-z0-9._-]*$";
/// A cloud region.
pub(crate) const REGION: &str = "^[A-Za-z0-9][A-Za-z0-9-]*$";
/// An Azure resource group.
pub(crate) const RESOURCE_GROUP: &str = r"^[A-Za-z0-9._()-]+$";
/// A Go duration; CEL's `duration()` reads the same.
pub(crate) const GO_DURATION: &str = r"^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$";
/// SHA-256 in standard base64 (reliability.md 11.7).
pub(crate) const SHA256_BASE64: &str = "^[A-Za-z0-9+/]{43}=$";
/// SHA-256 in hex.
pub(crate) const SHA256_HEX: &str = "^[0-9a-f]{64}$";
/// A directory hash as lock files carry it.
pub(crate) const H1: &str = "^h1:[A-Za-z0-9+/]{43}=$";
/// An OpenPGP key id or fingerprint.
pub(crate) const KEY_ID: &str = "^([0-9A-Fa-f]{16}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$";
/// A provider protocol version.
pub(crate) const PROTOCOL: &str = r"^[0-9]{1,3}\.[0-9]{1,3}$";

#[cfg(test)]
mod tests {
    use super::*;
    use opendepot_domain::{ConfigName, ResourceName, Version as DomainVersion};
    use proptest::prelude::*;
    use regex::Regex;

    proptest! {
        #[test]
        fn segments_agree_with_the_domain(text in "[A-Za-z0-9._/ -]{0,20}") {
            let pattern = Regex::new(SEGMENT).unwrap();
            prop_assert_eq!(pattern.is_match(&text), ConfigName::new(text.clone()).is_ok());
        }

        #[test]
        fn labels_agree_with_the_domain(text in "[a-zA-Z0-9.-]{0,70}") {
            let pattern = Regex::new(DNS_LABEL).unwrap();
            let schema = pattern.is_match(&text) && text.len() <= 63;
            prop_assert_eq!(schema, ResourceName::new(text.clone()).is_ok());
        }

        #[test]
        fn versions_agree_with_the_domain(text in "v?[0-9]{1,2}(\\.[0-9]{1,2}){2}(-[0-9a-z.-]{0,6})?(\\+[0-9a-z.]{0,5})?") {
            let pattern = Regex::new(VERSION).unwrap();
            prop_assert_eq!(pattern.is_match(&text), DomainVersion::parse(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn addresses() {
        let https = Regex::new(HTTPS_URL).unwrap();
        for good in [
            "https://github.com/o/r",
            "https://git.example.com:8443",
            "https://h/",
        ] {
            assert!(https.is_match(good), "{good}");
        }
        for bad in [
            "http://github.com/o/r",
            "https://user@github.com/o",
            "https://user:pass@evil/",
            "https://",
            "https://-h/",
            "javascript:alert(1)",
            "https://h\\@evil/",
            "https://h/a b",
            "ssh://git@github.com/o/r",
        ] {
            assert!(!https.is_match(bad), "{bad}");
        }
    }
}
