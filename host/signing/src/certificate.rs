//! From packets to keys: which signature belongs to what.

use crate::error::Error;
use crate::packets::Item;
use pgp::composed::{ArmorOptions, SignedKeyDetails, SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{
    Packet, PublicKey, PublicSubkey, SecretKey, SecretSubkey, Signature, SignatureType, UserId,
};
use pgp::types::{KeyDetails, SignedUser};

/// A user id and the signatures that follow it.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) signatures: Vec<Signature>,
}

/// A subkey and the signatures that follow it.
#[derive(Clone)]
pub(crate) struct Subkey {
    pub(crate) key: PublicSubkey,
    pub(crate) signatures: Vec<Signature>,
}

/// The public side of one key, nothing of it verified yet.
#[derive(Clone)]
pub(crate) struct Certificate {
    pub(crate) primary: PublicKey,
    pub(crate) revocations: Vec<Signature>,
    pub(crate) users: Vec<User>,
    pub(crate) subkeys: Vec<Subkey>,
}

/// The private side of one key.
#[derive(Default)]
pub(crate) struct Secrets {
    pub(crate) primary: Option<SecretKey>,
    pub(crate) subkeys: Vec<SecretSubkey>,
}

/// One key of a file.
pub(crate) struct Entity {
    pub(crate) certificate: Certificate,
    pub(crate) secrets: Secrets,
}

/// What a signature packet would be attached to.
#[derive(Clone, Copy)]
enum Subject {
    Primary,
    User,
    Subkey,
    /// Something that we do not keep.
    Nothing,
}

/// Sorts packets into keys.
///
/// User attributes, direct key signatures and what was skipped are left out together with the
/// signatures that follow them: version 4 keys do not need them, and clients ignore them.
pub(crate) fn assemble(what: &'static str, items: Vec<Item>) -> Result<Vec<Entity>, Error> {
    let mut entities: Vec<Entity> = Vec::new();
    let mut subject = Subject::Nothing;
    for item in items {
        let Item::Packet(packet) = item else {
            subject = Subject::Nothing;
            continue;
        };
        match *packet {
            Packet::PublicKey(key) => {
                entities.push(entity(key, None));
                subject = Subject::Primary;
                continue;
            }
            Packet::SecretKey(key) => {
                entities.push(entity(key.public_key().clone(), Some(key)));
                subject = Subject::Primary;
                continue;
            }
            Packet::Marker(_) | Packet::Padding(_) | Packet::Trust(_) => continue,
            _ => {}
        }
        let Some(Entity {
            certificate,
            secrets,
        }) = entities.last_mut()
        else {
            return Err(Error::malformed(what, "it does not start with a key"));
        };
        subject = match *packet {
            Packet::UserId(id) => {
                certificate.users.push(User {
                    id,
                    signatures: Vec::new(),
                });
                Subject::User
            }
            Packet::PublicSubkey(key) => {
                certificate.subkeys.push(subkey(key));
                Subject::Subkey
            }
            Packet::SecretSubkey(key) => {
                certificate.subkeys.push(subkey(key.public_key().clone()));
                secrets.subkeys.push(key);
                Subject::Subkey
            }
            Packet::UserAttribute(_) => Subject::Nothing,
            Packet::Signature(signature) => {
                attach(certificate, subject, signature);
                subject
            }
            _ => return Err(Error::malformed(what, "it holds more than keys")),
        };
    }
    Ok(entities)
}

fn entity(primary: PublicKey, secret: Option<SecretKey>) -> Entity {
    Entity {
        certificate: Certificate {
            primary,
            revocations: Vec::new(),
            users: Vec::new(),
            subkeys: Vec::new(),
        },
        secrets: Secrets {
            primary: secret,
            subkeys: Vec::new(),
        },
    }
}

const fn subkey(key: PublicSubkey) -> Subkey {
    Subkey {
        key,
        signatures: Vec::new(),
    }
}

fn attach(certificate: &mut Certificate, subject: Subject, signature: Signature) {
    match subject {
        // A revocation counts wherever it stands.
        _ if signature.typ() == Some(SignatureType::KeyRevocation) => {
            certificate.revocations.push(signature);
        }
        Subject::User => {
            if let Some(user) = certificate.users.last_mut() {
                user.signatures.push(signature);
            }
        }
        Subject::Subkey => {
            if let Some(subkey) = certificate.subkeys.last_mut() {
                subkey.signatures.push(signature);
            }
        }
        Subject::Primary | Subject::Nothing => {}
    }
}

impl Certificate {
    /// The armor for clients: what they need, as the library writes it.
    pub(crate) fn to_armor(&self) -> Result<String, Error> {
        let users = self
            .users
            .iter()
            .map(|user| {
                let own = user.signatures.iter();
                let own = own.filter(|signature| is_issued_by(signature, &self.primary));
                SignedUser::new(user.id.clone(), own.cloned().collect())
            })
            .collect();
        let subkeys = self
            .subkeys
            .iter()
            .map(|subkey| SignedPublicSubKey::new(subkey.key.clone(), subkey.signatures.clone()))
            .collect();
        let details =
            SignedKeyDetails::new(self.revocations.clone(), Vec::new(), users, Vec::new());
        SignedPublicKey::new(self.primary.clone(), details, subkeys)
            .to_armored_string(ArmorOptions::default())
            .map_err(|error| Error::internal("write the public key", error))
    }
}

/// Whether `signature` names `key` as its issuer, as clients look at it.
pub(crate) fn is_issued_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (id, fingerprint) = (key.legacy_key_id(), key.fingerprint());
    let mut ids = signature.issuer_key_id().into_iter();
    let mut fingerprints = signature.issuer_fingerprint().into_iter();
    ids.any(|named| *named == id) || fingerprints.any(|named| *named == fingerprint)
}

/// A key's id as clients and people write it: 16 upper-case hex digits.
pub(crate) fn key_id(key: &impl KeyDetails) -> String {
    hex::encode_upper(key.legacy_key_id())
}
