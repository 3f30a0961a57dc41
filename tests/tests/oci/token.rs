//! Tokens as a token server of the distribution project signs them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// A key, and the certificate that a registry trusts it by.
pub(crate) struct Issuer {
    key: EcdsaKeyPair,
    der: Vec<u8>,
    pub(crate) pem: String,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let params = rcgen::CertificateParams::new(vec!["tokens.test".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let signing = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &key.serialize_der(),
            &SystemRandom::new(),
        );
        Self {
            key: signing.unwrap(),
            der: certificate.der().to_vec(),
            pem: certificate.pem(),
        }
    }

    /// What the token server answers: a token to pull from one repository.
    pub(crate) fn answer(&self, repository: &str) -> Value {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(&self.der)]});
        let claims = json!({
            "iss": "tests", "sub": "puller", "aud": "plugins", "jti": "1",
            "iat": now, "nbf": now - 60, "exp": now + 600,
            "access": [{"type": "repository", "name": repository, "actions": ["pull"]}],
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.unwrap());
        json!({ "token": format!("{signed}.{signature}") })
    }
}
