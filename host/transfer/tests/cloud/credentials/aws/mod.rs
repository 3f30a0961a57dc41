//! AWS: web identity, tasks and pods, instances.

mod metadata;
mod s3;
mod sts;
mod web_identity;

use super::service::{Answer, said};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;

/// A session's key, as issued.
#[derive(Clone)]
pub(super) struct Key {
    id: String,
    secret: String,
    token: String,
    ends_at: Timestamp,
}

/// The keys that a service issued, which the store looks up.
#[derive(Clone)]
pub(super) struct Keys(Arc<Mutex<Issued>>);

struct Issued {
    keys: Vec<Key>,
    life: SignedDuration,
}

impl Keys {
    /// Keys that live so long.
    fn living(millis: i64) -> Self {
        Self(Arc::new(Mutex::new(Issued {
            keys: Vec::new(),
            life: SignedDuration::from_millis(millis),
        })))
    }

    fn set_life(&self, millis: i64) {
        self.0.lock().life = SignedDuration::from_millis(millis);
    }

    fn issue(&self) -> Key {
        let mut issued = self.0.lock();
        let number = issued.keys.len() + 1;
        let key = Key {
            id: format!("ASIAKEY{number}"),
            secret: format!("issued-secret/{number}+="),
            token: format!("session-token/{number}+="),
            ends_at: Timestamp::now() + issued.life,
        };
        issued.keys.push(key.clone());
        key
    }

    fn get(&self, id: &str) -> Option<Key> {
        let issued = self.0.lock();
        issued.keys.iter().find(|key| key.id == id).cloned()
    }

    fn num(&self) -> usize {
        self.0.lock().keys.len()
    }

    /// Ends all that were issued so far.
    fn revoke(&self) {
        for key in &mut self.0.lock().keys {
            key.ends_at = Timestamp::UNIX_EPOCH;
        }
    }

    /// Nothing of what was issued is in this text, plain or as URLs have it.
    fn unshown(&self, text: &str) {
        for part in [
            "issued-secret",
            "session-token",
            "X-Amz-Signature",
            "Signature=",
        ] {
            assert!(!text.contains(part), "{part} in {text}");
        }
    }
}

impl Key {
    /// As metadata services give it.
    fn document(&self) -> Answer {
        let document = json!({
            "Code": "Success",
            "LastUpdated": Timestamp::now().to_string(),
            "Type": "AWS-HMAC",
            "AccessKeyId": self.id,
            "SecretAccessKey": self.secret,
            "Token": self.token,
            "Expiration": self.ends_at.to_string(),
        });
        said(200, document.to_string())
    }
}
