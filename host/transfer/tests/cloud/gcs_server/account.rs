//! Accounts, as the file of a service account's key describes them. The keys are for these tests
//! and open nothing.

use opendepot_transfer::{CloudCredential, CloudCredentialKind, Secret};
use ring::rand::SystemRandom;
use ring::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

/// One service account with one key.
#[derive(Clone, Copy)]
pub(crate) struct Account {
    pub(crate) email: &'static str,
    pub(crate) key_id: &'static str,
    pem: &'static str,
}

pub(crate) const FIRST: Account = Account {
    email: "first@depot.iam.example",
    key_id: "0000000000000000000000000000000000000001",
    pem: include_str!("test-key-1.pem"),
};

pub(crate) const SECOND: Account = Account {
    email: "second@depot.iam.example",
    key_id: "0000000000000000000000000000000000000002",
    pem: include_str!("test-key-2.pem"),
};

impl Account {
    /// The account's name with the key of another.
    pub(crate) const fn with_key_of(self, other: Self) -> Self {
        Self {
            pem: other.pem,
            ..self
        }
    }

    /// The private key, as the file has it.
    pub(crate) const fn private_key(&self) -> &'static str {
        self.pem
    }

    /// The account's signature of a text, as a service makes it in its name.
    pub(crate) fn signed(&self, text: &[u8]) -> Vec<u8> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        let pair = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
        let mut signature = vec![0; pair.public().modulus_len()];
        let random = SystemRandom::new();
        pair.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature)
            .unwrap();
        signature
    }

    /// As the operator grants it.
    pub(crate) fn credential(&self) -> CloudCredential {
        let file = serde_json::json!({
            "type": "service_account",
            "project_id": "depot",
            "private_key_id": self.key_id,
            "private_key": self.pem,
            "client_email": self.email,
            "token_uri": "https://oauth2.example/token",
        });
        CloudCredential {
            kind: CloudCredentialKind::GcpKey,
            secret: Some(Secret::new(file.to_string())),
        }
    }
}

/// What the server knows of an account.
pub(super) struct Known {
    pub(super) email: &'static str,
    pub(super) key_id: &'static str,
    public_key: Vec<u8>,
}

impl Known {
    pub(super) fn new(account: &Account) -> Self {
        let key = PrivatePkcs8KeyDer::from_pem_slice(account.pem.as_bytes()).unwrap();
        let pair = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
        Self {
            email: account.email,
            key_id: account.key_id,
            public_key: pair.public_key().as_ref().to_vec(),
        }
    }

    /// Whether the account signed this text (RSASSA-PKCS1-v1_5 with SHA-256).
    pub(super) fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key)
            .verify(text.as_bytes(), signature)
            .is_ok()
    }
}
