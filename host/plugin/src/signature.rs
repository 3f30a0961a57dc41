//! Detached signatures of components (`pluginPolicy.publicKeys`).
//!
//! When keys are listed, a component of a folder or an OCI registry loads only with `plugin.wasm.sig`
//! beside it: a signature over the component's bytes by one of the keys, Ed25519 or ECDSA P-256
//! with SHA-256, as base64 (as `cosign sign-blob` writes it) or as it is (as `openssl` does). Keys are
//! read anew at each load, so replacing a file replaces a key.
//!
//! What it refuses: everything else. A key file that is missing or of another kind fails every
//! plugin that needs a signature, also when another key would have verified.
//!
//! What may surprise: the signature is over the component alone. `plugin.yaml` asks and proposes;
//! what is granted, and which settings are in force, is the operator's word.

use crate::error::LoadError;
use crate::package;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use spki::der::{Decode as _, Document};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};
use std::path::{Path, PathBuf};

/// The signature's name in a plugin's folder, whatever the component is called.
const FILE_NAME: &str = "plugin.wasm.sig";
const MAX_FILE_BYTES: u64 = 16 << 10;
const PEM_LABEL: &str = "PUBLIC KEY";

// RFC 8410 and RFC 5480.
const ED25519_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519_BYTES: usize = 32;
/// `04`, x and y (SEC 1, 2.3.3).
const P256_BYTES: usize = 65;

/// Why a component is not taken to be what somebody signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// A key file cannot be used.
    #[error("cannot use the key `{path}` of `pluginPolicy.publicKeys`: {reason}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The component is not signed.
    #[error(
        "`pluginPolicy.publicKeys` demands a signature, and there is no `{path}`: sign the \
         component with one of these keys"
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The signature cannot be read.
    #[error("cannot use the signature: {0}")]
    Unreadable(String),
    /// The signature is no signature, or one of something else or by somebody else.
    #[error(
        "`{path}` is no signature of this component by any key of `pluginPolicy.publicKeys` \
         (there are {num_keys})"
    )]
    Wrong {
        /// The signature.
        path: PathBuf,
        /// How many keys were tried.
        num_keys: usize,
    },
}

/// The keys of which one has to have signed.
#[derive(Debug)]
pub(crate) struct SignaturePolicy {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    algorithm: &'static dyn VerificationAlgorithm,
    bytes: Vec<u8>,
}

impl SignaturePolicy {
    /// Reads the keys. Blocking.
    ///
    /// # Errors
    /// [`SignatureError::Key`] for the first file that is no public key of a kind we verify with.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Self, SignatureError> {
        let keys = files.iter().map(|path| {
            let refuse = |reason: String| SignatureError::Key {
                path: path.clone(),
                reason,
            };
            let bytes = package::read(path, MAX_FILE_BYTES).map_err(|e| refuse(e.to_string()))?;
            Key::parse(&bytes).map_err(refuse)
        });
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
        })
    }

    /// Checks the signature in the component's folder. Without any key nothing passes: whether a
    /// signature is demanded is the caller's question. Blocking.
    ///
    /// # Errors
    /// [`LoadError::Signature`].
    pub(crate) fn verify(&self, component: &[u8], folder: &Path) -> Result<(), LoadError> {
        let path = folder.join(FILE_NAME);
        let file = package::read(&path, MAX_FILE_BYTES).map_err(|error| match error {
            LoadError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                SignatureError::Missing { path: path.clone() }
            }
            other => SignatureError::Unreadable(other.to_string()),
        })?;
        let decoded = STANDARD.decode(file.trim_ascii()).ok();
        let forms = [Some(file.as_slice()), decoded.as_deref()];
        let is_signed = forms.into_iter().flatten().any(|signature| {
            let mut keys = self.keys.iter();
            keys.any(|key| key.has_signed(component, signature))
        });
        if is_signed {
            return Ok(());
        }
        let num_keys = self.keys.len();
        Err(SignatureError::Wrong { path, num_keys }.into())
    }
}

impl Key {
    /// A PEM block with a SubjectPublicKeyInfo (RFC 7468, 13).
    fn parse(pem: &[u8]) -> Result<Self, String> {
        let not_pem = || format!("it is not PEM with one `{PEM_LABEL}`");
        let text = std::str::from_utf8(pem).map_err(|_| not_pem())?;
        let (label, document) = Document::from_pem(text).map_err(|_| not_pem())?;
        if label != PEM_LABEL {
            let label: String = label.escape_debug().take(60).collect();
            return Err(format!("it holds a `{label}`, expected a `{PEM_LABEL}`"));
        }
        let info = SubjectPublicKeyInfoRef::from_der(document.as_bytes())
            .map_err(|_| "its content is not a public key".to_owned())?;
        let bytes = info.subject_public_key.as_bytes();
        let bytes = bytes.ok_or("its content is not a public key")?.to_vec();
        let (oid, parameters) = (info.algorithm.oid, info.algorithm.parameters);
        let curve = parameters.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        let algorithm: &'static dyn VerificationAlgorithm = match (oid, curve) {
            (ED25519_OID, _) if parameters.is_none() && bytes.len() == ED25519_BYTES => &ED25519,
            (EC_OID, Some(P256_OID)) if bytes.len() == P256_BYTES && bytes.starts_with(&[4]) => {
                &ECDSA_P256_SHA256_ASN1
            }
            (EC_OID, Some(P256_OID)) => {
                return Err("its point is compressed or damaged; write it uncompressed".to_owned());
            }
            (oid, curve) => {
                let kind = match oid {
                    RSA_OID => "an RSA key".to_owned(),
                    EC_OID => format!(
                        "a key of the curve {}",
                        curve.map_or_else(|| "given in full".to_owned(), |oid| oid.to_string())
                    ),
                    other => format!("a key of the algorithm {other}"),
                };
                return Err(format!("it is {kind}, expected Ed25519 or ECDSA P-256"));
            }
        };
        Ok(Self { algorithm, bytes })
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(self.algorithm, &self.bytes);
        key.verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    // Made by OpenSSL 3.0: `genpkey -algorithm ed25519`, `ecparam -name prime256v1 -genkey`,
    // `pkey -pubout`; `pkeyutl -sign -rawin` and `dgst -sha256 -sign` over this text. What
    // `cosign generate-key-pair` and `sign-blob` write has the form of the second.
    const COMPONENT: &[u8] = b"the bytes of a component";
    const ED25519_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAPvPJC//i8kOkbM9JSFgHpCiraEnkNe3JNkAdogIxbGQ=
-----END PUBLIC KEY-----
";
    const ED25519_SIGNATURE: &str =
        "OWmHzbgQqmG2oouyeVdL+LY2pvOp8YldwZb//luoZD8h07AlaexUwuQhYGNJzc3iz/JNnOl7m0vv+OdH/+asDw==";
    const P256_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAECOt64GC3efvcuVKf8X+RavAeVIuR
nAYd09d0sHwkHHp5I/TG100uJVkw27YqfXKhvvl9IhzxIp6wbLWwvL6Zjg==
-----END PUBLIC KEY-----
";
    const P256_SIGNATURE: &str = "MEYCIQDU7+RXd4u/8hp7f0WiBAQnSD/4VE7Gz4KPn0UK8FYk6gIhAOWHpaAlBzNqT6Oxic1qExm/A2KocEFr8b9dRV1BDxJk";
    const P256_COMPRESSED: &str = "-----BEGIN PUBLIC KEY-----
MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACCOt64GC3efvcuVKf8X+RavAeVIuR
nAYd09d0sHwkHHo=
-----END PUBLIC KEY-----
";
    const P384_KEY: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEyDdOObblf4a+R2Z3IEQhIkHC1QWoJUAx
ZbqIa2SD+FWbFfjPfSSE5z2ymKpLmH95cpjQ6lUEFYLnOTBWj86VeCi4Ni9E2moX
3NqcgTi6L737dECpJWN4nQ7BlIAzTH48
-----END PUBLIC KEY-----
";
    const X25519_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEAK2zVmIEDl60F+ZAKh7XdS3VS3Ur9f64BXJHWIXBQgho=
-----END PUBLIC KEY-----
";

    fn raw(base64: &str) -> Vec<u8> {
        STANDARD.decode(base64).unwrap()
    }

    fn read(keys: &[&str]) -> Result<SignaturePolicy, String> {
        let dir = tempfile::tempdir().unwrap();
        let write = |(number, key): (usize, &&str)| {
            let path = dir.path().join(format!("{number}.pub"));
            fs::write(&path, key).unwrap();
            path
        };
        let files: Vec<_> = keys.iter().enumerate().map(write).collect();
        SignaturePolicy::read(&files).map_err(|error| error.to_string())
    }

    fn verify(keys: &[&str], component: &[u8], signature: &[u8]) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE_NAME), signature).unwrap();
        let policy = read(keys)?;
        let verified = policy.verify(component, dir.path());
        verified.map_err(|error| error.to_string())
    }

    #[test]
    fn a_signature_by_any_of_the_keys_passes() {
        let both = [ED25519_KEY, P256_KEY];
        for (keys, signature) in [
            (&[ED25519_KEY][..], ED25519_SIGNATURE),
            (&[P256_KEY], P256_SIGNATURE),
            (&both, ED25519_SIGNATURE),
            (&both, P256_SIGNATURE),
        ] {
            for form in [
                signature.as_bytes().to_vec(),
                format!("{signature}\n").into_bytes(),
                format!("  {signature}\r\n").into_bytes(),
                raw(signature),
            ] {
                assert_eq!(verify(keys, COMPONENT, &form), Ok(()), "{form:?}");
            }
        }
    }

    #[test]
    fn every_other_signature_fails() {
        let both = [ED25519_KEY, P256_KEY];
        for signature in [ED25519_SIGNATURE, P256_SIGNATURE] {
            let raw = raw(signature);
            let longer = [&raw[..], &[0]].concat();
            for (name, form) in [
                ("empty", Vec::new()),
                ("garbage", b"garbage".to_vec()),
                ("zeros", vec![0; 64]),
                ("cut", raw[..raw.len() - 1].to_vec()),
                ("longer", longer.clone()),
                ("cut text", signature.as_bytes()[..40].to_vec()),
                ("longer text", STANDARD.encode(longer).into_bytes()),
                ("twice in base64", STANDARD.encode(signature).into_bytes()),
                ("hex", hex::encode(&raw).into_bytes()),
                (
                    "a bundle",
                    format!("{{\"base64Signature\":\"{signature}\"}}").into_bytes(),
                ),
            ] {
                let refused = verify(&both, COMPONENT, &form).unwrap_err();
                assert!(refused.contains("there are 2"), "{name}: {refused}");
            }
            for position in 0..raw.len() {
                let mut changed = raw.clone();
                changed[position] ^= 1;
                assert!(
                    verify(&both, COMPONENT, &changed).is_err(),
                    "byte {position}"
                );
            }
            for component in [
                &b"the bytes of a componens"[..],
                b"the bytes of a component\n",
                b"",
            ] {
                assert!(verify(&both, component, signature.as_bytes()).is_err());
            }
        }
        // The right signature under the wrong key, of another kind or none.
        assert!(verify(&[P256_KEY], COMPONENT, ED25519_SIGNATURE.as_bytes()).is_err());
        assert!(verify(&[ED25519_KEY], COMPONENT, P256_SIGNATURE.as_bytes()).is_err());
        assert!(verify(&[], COMPONENT, ED25519_SIGNATURE.as_bytes()).is_err());
        // An algorithm is its key's: the same bits as another kind of key verify nothing.
        let other = ED25519_KEY.replace("PvPJ", "QvPJ");
        assert!(verify(&[&other], COMPONENT, ED25519_SIGNATURE.as_bytes()).is_err());
    }

    #[test]
    fn a_missing_or_unreadable_signature_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        let policy = read(&[P256_KEY]).unwrap();
        let missing = policy
            .verify(COMPONENT, dir.path())
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("plugin.wasm.sig") && missing.contains("sign the"),
            "{missing}"
        );
        fs::write(dir.path().join(FILE_NAME), vec![b'A'; (16 << 10) + 1]).unwrap();
        let large = policy.verify(COMPONENT, dir.path()).unwrap_err();
        assert!(
            matches!(large, LoadError::Signature(SignatureError::Unreadable(_))),
            "{large}"
        );
        fs::remove_file(dir.path().join(FILE_NAME)).unwrap();
        fs::create_dir(dir.path().join(FILE_NAME)).unwrap();
        let folder = policy.verify(COMPONENT, dir.path()).unwrap_err();
        assert!(
            matches!(folder, LoadError::Signature(SignatureError::Unreadable(_))),
            "{folder}"
        );
    }

    #[test]
    fn keys_of_other_kinds_are_refused_by_name() {
        let private = ED25519_KEY.replace("PUBLIC", "PRIVATE");
        let two = format!("{ED25519_KEY}{P256_KEY}");
        let cut = P256_KEY.replace(
            "\nnAYd09d0sHwkHHp5I/TG100uJVkw27YqfXKhvvl9IhzxIp6wbLWwvL6Zjg==",
            "",
        );
        for (key, part) in [
            (
                P384_KEY,
                "curve 1.3.132.0.34, expected Ed25519 or ECDSA P-256",
            ),
            (X25519_KEY, "algorithm 1.3.101.110"),
            (P256_COMPRESSED, "uncompressed"),
            (&private, "`PRIVATE KEY`, expected a `PUBLIC KEY`"),
            (&two, "not PEM with one"),
            (&cut, "not"),
            ("ssh-ed25519 AAAA", "not PEM"),
            ("", "not PEM"),
        ] {
            // A good key beside it does not help.
            let refused = read(&[P256_KEY, key]).unwrap_err();
            assert!(
                refused.contains(part) && refused.contains("1.pub"),
                "{refused}"
            );
        }
        let nowhere = SignaturePolicy::read(&["/nowhere/a.pub".into()]).unwrap_err();
        assert!(nowhere.to_string().contains("/nowhere/a.pub"), "{nowhere}");
    }
}
