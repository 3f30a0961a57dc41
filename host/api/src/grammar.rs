//! Path parameters, checked before anything else sees them (T01, H01–H03).

use crate::error::ApiError;
use matchit::Params;
use opendepot_domain::access::Labels;
use opendepot_domain::{ArtifactKind, Namespace, Platform, ResourceName, Target, Version};
use percent_encoding::percent_decode_str;

/// What a path names, with whatever else its route carries.
#[derive(Debug)]
pub(crate) struct Address {
    /// What access is asked for.
    pub(crate) target: Target,
    /// Modules have one, providers have none.
    pub(crate) system: Option<ResourceName>,
}

impl Address {
    /// The version of a route that has one.
    pub(crate) fn version(&self) -> Result<&Version, ApiError> {
        self.target
            .version
            .as_ref()
            .ok_or_else(|| ApiError::bad_request("the address has no version"))
    }

    /// The platform of a route that has one.
    pub(crate) fn platform(&self) -> Result<&Platform, ApiError> {
        self.target
            .platform
            .as_ref()
            .ok_or_else(|| ApiError::bad_request("the address has no platform"))
    }
}

impl Address {
    /// # Errors
    /// 400 when a part is not of its grammar.
    pub(crate) fn from_params(params: &Params<'_, '_>) -> Result<Self, ApiError> {
        let (mut namespace, mut name, mut system, mut version, mut os, mut arch) =
            (None, None, None, None, None, None);
        for (key, value) in params.iter() {
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| ApiError::bad_request("the path is not valid UTF-8"))?;
            match key {
                "namespace" => namespace = Some(Namespace::new(value)?),
                "name" | "type" => name = Some(ResourceName::new(value)?),
                "system" => system = Some(ResourceName::new(value)?),
                "version" => version = Some(Version::parse(&value)?),
                "os" => os = Some(value),
                "arch" => arch = Some(value),
                _ => {}
            }
        }
        let platform = match (os, arch) {
            (Some(os), Some(arch)) => Some(Platform::new(&os, &arch)?),
            _ => None,
        };
        let missing = || ApiError::bad_request("the address is not complete");
        Ok(Self {
            target: Target {
                namespace: namespace.ok_or_else(missing)?,
                kind: match system {
                    Some(_) => ArtifactKind::Module,
                    None => ArtifactKind::Provider,
                },
                name: name.ok_or_else(missing)?,
                version,
                platform,
                labels: Labels::default(),
            },
            system,
        })
    }
}

/// The query parameters that artifact routes know; unknown ones are ignored, a known one given
/// twice is refused (H23).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ArtifactQuery {
    pub(crate) expires: Option<String>,
    pub(crate) signature: Option<String>,
    pub(crate) file_checksum: Option<String>,
    pub(crate) os: Option<String>,
    pub(crate) arch: Option<String>,
}

impl ArtifactQuery {
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, ApiError> {
        let mut parsed = Self::default();
        for pair in query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match key {
                "expires" => &mut parsed.expires,
                "signature" => &mut parsed.signature,
                "fileChecksum" => &mut parsed.file_checksum,
                "os" => &mut parsed.os,
                "arch" => &mut parsed.arch,
                _ => continue,
            };
            if slot.is_some() {
                return Err(ApiError::bad_request(format!(
                    "the parameter `{key}` is given twice"
                )));
            }
            let value = percent_decode_str(value).decode_utf8().map_err(|_| {
                ApiError::bad_request(format!("the parameter `{key}` is not valid UTF-8"))
            })?;
            *slot = Some(value.into_owned());
        }
        Ok(parsed)
    }

    /// Whether the request is to be judged by a capability alone.
    pub(crate) const fn has_capability(&self) -> bool {
        self.expires.is_some() || self.signature.is_some()
    }

    /// The expiry and signature; 403 unless both are there and well-formed.
    pub(crate) fn capability(&self) -> Result<(u64, &str), ApiError> {
        let refuse = || ApiError::new(http::StatusCode::FORBIDDEN, "this link is not valid");
        let expires = self.expires.as_deref().ok_or_else(refuse)?;
        // One spelling only: no sign, no leading zero.
        if expires.is_empty()
            || expires.len() > 12
            || !expires.bytes().all(|b| b.is_ascii_digit())
            || expires.starts_with('0')
        {
            return Err(refuse());
        }
        let signature = self.signature.as_deref().ok_or_else(refuse)?;
        Ok((expires.parse().map_err(|_| refuse())?, signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_known_parameter_is_refused_and_an_unknown_one_ignored() {
        assert!(ArtifactQuery::parse(Some("fileChecksum=a&fileChecksum=b")).is_err());
        let query = ArtifactQuery::parse(Some("x=1&x=2&archive=zip&os=linux&arch=amd64")).unwrap();
        assert_eq!(query.os.as_deref(), Some("linux"));
        assert!(!query.has_capability());
    }

    #[test]
    fn an_expiry_has_one_spelling() {
        for expires in ["+1", "01", "1e9", " 1", "-1", "", "9999999999999"] {
            let query = ArtifactQuery {
                expires: Some(expires.into()),
                signature: Some("x".into()),
                ..Default::default()
            };
            assert!(query.capability().is_err(), "{expires}");
        }
        let query = ArtifactQuery {
            expires: Some("1790000000".into()),
            ..Default::default()
        };
        assert!(query.capability().is_err());
    }
}
