//! From a request's credential to a subject, by mode.

use crate::bearer::bearer;
use crate::error::{Error, Refusal};
use crate::token_file::TokenFile;
use opendepot_domain::access::Base;
use opendepot_domain::{Authentication, Subject};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// How callers prove who they are: one mode a process, chosen by the operator.
#[derive(Clone, Debug)]
pub enum Verifier {
    /// Nobody needs to; credentials are ignored.
    Anonymous,
    /// By a token of the token file.
    TokenFile(Arc<TokenFile>),
}

impl Verifier {
    /// What decides when every policy abstains.
    #[must_use]
    pub const fn base(&self) -> Base {
        match self {
            Self::Anonymous => Base::Allow,
            Self::TokenFile(_) => Base::Deny,
        }
    }

    /// The mode's name, as subjects carry it.
    #[must_use]
    pub const fn authentication(&self) -> Authentication {
        match self {
            Self::Anonymous => Authentication::Anonymous,
            Self::TokenFile(_) => Authentication::TokenFile,
        }
    }

    /// Who asks. `authorization` is every value of that header, none for no header;
    /// `client_address` is the peer's address without port.
    ///
    /// Asynchronous because other modes ask a neighbour; these two never wait.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the mode needs a credential and this is none.
    pub async fn subject<'a>(
        &self,
        authorization: impl IntoIterator<Item = &'a [u8]>,
        client_address: &str,
    ) -> Result<Arc<Subject>, Error> {
        match self {
            Self::Anonymous => Ok(Arc::new(Subject::anonymous(client_address.to_owned()))),
            Self::TokenFile(file) => {
                let token = bearer(authorization)?.ok_or(Error::Unauthenticated {
                    reason: Refusal::Missing,
                })?;
                let found = file
                    .authenticate(token, unix_now())
                    .ok_or(Error::Unauthenticated {
                        reason: Refusal::Unknown,
                    })?;
                Ok(found.caller(client_address))
            }
        }
    }
}

/// The wall clock in Unix seconds; at a clock before 1970 every token with an end is refused.
fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(u64::MAX, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use opendepot_domain::Kind;

    #[tokio::test]
    async fn anonymous_ignores_whatever_comes() {
        for values in [
            vec![],
            vec![&b"Bearer forged.jwt.here"[..]],
            vec![&b"\xff"[..], &b"Bearer a"[..]],
        ] {
            let subject = Verifier::Anonymous
                .subject(values, "10.0.0.1")
                .await
                .unwrap();
            assert_eq!(*subject, Subject::anonymous("10.0.0.1".to_owned()));
        }
        assert_eq!(Verifier::Anonymous.base(), Base::Allow);
    }

    #[tokio::test]
    async fn the_token_file_decides_who_asks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.yaml");
        let groups = ["build".to_owned()];
        let token = TokenFile::create(&path, "ci", &groups, None).unwrap();
        let verifier = Verifier::TokenFile(Arc::new(TokenFile::open(&path).unwrap()));
        let header = format!("bearer {token}");
        let subject = verifier
            .subject(Some(header.as_bytes()), "10.0.0.1")
            .await
            .unwrap();
        assert_eq!(subject.authentication, Authentication::TokenFile);
        assert_eq!(
            (subject.name.as_str(), &subject.groups[..]),
            ("ci", &groups[..])
        );
        assert_eq!(subject.client_address, "10.0.0.1");
        for address in ["10.0.0.2", "10.0.0.1"] {
            let elsewhere = verifier
                .subject(Some(header.as_bytes()), address)
                .await
                .unwrap();
            assert_eq!(elsewhere.client_address, address);
            assert_eq!(elsewhere.groups, groups);
        }
        assert_eq!(verifier.base(), Base::Deny);

        let twice = vec![header.as_bytes(), header.as_bytes()];
        let unknown = format!("Bearer odp_{}", "A".repeat(43));
        for values in [
            vec![],
            twice,
            vec![unknown.as_bytes()],
            vec![token.as_bytes()],
        ] {
            let error = verifier.subject(values, "10.0.0.1").await.unwrap_err();
            assert_eq!(error.kind(), Kind::Unauthenticated);
            assert!(!error.to_string().contains(&token[4..]), "{error}");
        }
        assert!(!format!("{verifier:?}").contains(&token[4..]));
    }
}
