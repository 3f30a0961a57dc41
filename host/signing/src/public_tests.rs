use super::*;
use crate::testing::{
    Forgery, MADE_AT, NOW, binary, forged, private, public_part, subkey_fingerprint, upstream,
};
use crate::{MAX_KEY_BYTES, Signer};
use opendepot_domain::Kind;

fn key(name: &str) -> PublicKey {
    let armored = upstream(&format!("{name}.asc"));
    PublicKey::parse_upstream(&armored)
        .unwrap_or_else(|error| panic!("{name}: {error}"))
        .remove(0)
}

fn text() -> Vec<u8> {
    upstream("SHA256SUMS")
}

fn signature(name: &str) -> Vec<u8> {
    upstream(&format!("{name}.sig"))
}

/// What clients accept and this library can check, older kinds included; `rsa3072` signs SHA-1.
const VERIFIED: [&str; 10] = [
    "rsa1024",
    "rsa2048",
    "rsa3072",
    "rsa4096",
    "dsa2048",
    "ed25519",
    "p256",
    "p384",
    "p521",
    "signing-subkey",
];

#[test]
fn upstream_signatures_verify_as_with_clients() {
    let keys: Vec<_> = VERIFIED.into_iter().map(key).collect();
    for (index, name) in VERIFIED.into_iter().enumerate() {
        let found = verify_detached(&keys, &text(), &signature(name));
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.fingerprint, keys[index].fingerprint);

        let mut other = text();
        other[0] ^= 1;
        let error = verify_detached(&keys, &other, &signature(name)).unwrap_err();
        assert!(
            matches!(error, Error::BadSignature { .. }),
            "{name}: {error}"
        );
        assert_eq!(error.kind(), Kind::Corrupt);

        let others: Vec<_> = keys
            .iter()
            .filter(|key| key.fingerprint != found.fingerprint)
            .cloned()
            .collect();
        let error = verify_detached(&others, &text(), &signature(name)).unwrap_err();
        assert!(
            matches!(error, Error::UnknownIssuer { .. }),
            "{name}: {error}"
        );
    }
    assert!(matches!(
        verify_detached(&[], &text(), &signature("rsa2048")),
        Err(Error::UnknownIssuer { .. })
    ));
}

#[test]
fn an_expired_key_passes_and_a_revoked_one_does_not() {
    let expired = key("expiring");
    let ends = MADE_AT + 365 * 86_400;
    assert_eq!(expired.expires_at, Some(ends));
    assert!(expired.is_expired(ends) && !expired.is_expired(ends - 1));
    let keys = [expired, key("revoked")];
    assert!(verify_at(&keys, &text(), &signature("expiring"), ends + 1).is_ok());
    assert!(keys[1].is_revoked);
    let error = keys[1].verify(&text(), &signature("revoked")).unwrap_err();
    assert!(matches!(error, Error::Revoked { .. }), "{error}");
}

#[test]
fn a_signature_from_the_future_is_refused() {
    let keys = [key("ed25519")];
    let at = |now| verify_at(&keys, &text(), &signature("ed25519"), now).map(|_| ());
    assert!(at(NOW).is_ok());
    assert!(matches!(at(MADE_AT - 86_400), Err(Error::OutOfTime { .. })));
}

#[test]
fn a_self_signature_that_is_over_binds_nothing() {
    let private = forged(Forgery::ShortSelfSignature);
    let signer = Signer::load_at(&private, None, MADE_AT).unwrap();
    let signature = signer.sign(b"x", MADE_AT).unwrap();
    let keys = [signer.public_key().clone()];
    assert!(verify_at(&keys, b"x", &signature, MADE_AT + 3599).is_ok());
    let late = verify_at(&keys, b"x", &signature, MADE_AT + 3600).unwrap_err();
    assert!(matches!(late, Error::OutOfTime { .. }), "{late}");
}

#[test]
fn a_subkey_must_have_agreed() {
    for (forgery, is_fine) in [(Forgery::None, true), (Forgery::NoBackSignature, false)] {
        let public = public_part(&forged(forgery));
        assert_eq!(PublicKey::parse(&public).is_ok(), is_fine, "{forgery:?}");
        assert_eq!(
            PublicKey::parse_upstream(&public).is_ok(),
            is_fine,
            "{forgery:?}"
        );
    }
}

#[test]
fn parse_refuses_what_some_client_cannot_decode() {
    for forgery in [
        Forgery::CriticalNotation,
        Forgery::OtherUser,
        Forgery::NoUser,
        Forgery::ManySelfSignatures,
        Forgery::NewEd25519,
        Forgery::Version6,
    ] {
        assert!(
            PublicKey::parse(&public_part(&forged(forgery))).is_err(),
            "{forgery:?}"
        );
    }
    let (one, two) = (upstream("ed25519.asc"), upstream("p256.asc"));
    let swapped = String::from_utf8(one.clone())
        .unwrap()
        .replace("PUBLIC", "PRIVATE");
    let cases = [
        ("empty", Vec::new()),
        ("private", private("ed25519")),
        ("private, binary", binary(&private("ed25519"))),
        ("two armored", [&one[..], &two[..]].concat()),
        ("two binary", [binary(&one), binary(&two)].concat()),
        ("extra packet", [binary(&one), vec![0xfc, 1, 0]].concat()),
        ("cut", binary(&one)[..binary(&one).len() - 1].to_vec()),
        (
            "brainpool, which we cannot check",
            upstream("brainpool.asc"),
        ),
        (
            "secp256k1, which we can check half of the time",
            upstream("secp256k1.asc"),
        ),
        ("text before", [b"key:\n", &one[..]].concat()),
        ("too long", vec![0x98; MAX_KEY_BYTES + 1]),
    ];
    for (name, input) in cases {
        let result = PublicKey::parse(&input);
        assert!(
            matches!(
                result,
                Err(Error::Malformed { .. } | Error::TooLarge { .. })
            ),
            "{name}: {result:?}"
        );
    }
    assert!(PublicKey::parse(&one).is_ok() && PublicKey::parse(&binary(&one)).is_ok());
    // Clients look at the packets, not at the armor's name.
    assert!(PublicKey::parse(swapped.as_bytes()).is_ok());
}

#[test]
fn upstream_files_are_read_as_clients_do() {
    let (one, two) = (
        binary(&upstream("ed25519.asc")),
        binary(&upstream("p256.asc")),
    );
    let num = |input: &[u8]| PublicKey::parse_upstream(input).map_or(0, |keys| keys.len());
    assert_eq!(num(&[&one[..], &two[..]].concat()), 2);
    let unknown = public_part(&forged(Forgery::NewEd25519));
    assert_eq!(num(&[&unknown[..], &one[..]].concat()), 1);
    assert_eq!(num(&unknown), 0);
    let armored = [&upstream("ed25519.asc")[..], &upstream("p256.asc")[..]].concat();
    assert_eq!(num(&armored), 1, "clients read the first block");
    assert_eq!(
        num(&[b"Our key:\n\n", &upstream("p256.asc")[..]].concat()),
        1
    );
}

#[test]
fn what_others_certified_is_ignored_and_not_handed_on() {
    let (plain, certified) = (key("ed25519"), key("certified"));
    assert_eq!(plain.ascii_armor, certified.ascii_armor);
    assert!(certified.verify(&text(), &signature("ed25519")).is_ok());
}

#[test]
fn names_are_recognised() {
    let key = key("signing-subkey");
    let error = verify_detached(&[], b"", &signature("signing-subkey")).unwrap_err();
    let Error::UnknownIssuer { issuers } = error else {
        panic!("{error}");
    };
    for issuer in issuers.split(' ') {
        assert!(key.is_named(issuer), "a subkey's {issuer}");
    }
    assert!(key.is_named(&key.key_id) && key.is_named(&key.fingerprint));
    assert!(
        !key.is_named("") && !key.is_named(&key.key_id[9..]) && !key.is_named("0123456789ABCDEF")
    );
}

#[test]
fn a_key_that_adopts_another_is_not_named_by_it() {
    let named = |forgery| {
        let keys = PublicKey::parse_upstream(&public_part(&forged(forgery))).unwrap();
        keys[0].is_named(&subkey_fingerprint())
    };
    assert!(named(Forgery::None), "a signing subkey, which agreed");
    assert!(!named(Forgery::AdoptedKey));
}

#[test]
fn what_is_not_a_binary_signature_is_refused() {
    let keys = [key("ed25519")];
    let good = signature("ed25519");
    let cases = [
        ("empty", Vec::new()),
        ("text", b"no signature".to_vec()),
        (
            "armored",
            b"-----BEGIN PGP SIGNATURE-----\n\n\n-----END PGP SIGNATURE-----\n".to_vec(),
        ),
        ("a key", binary(&upstream("ed25519.asc"))),
        (
            "signature and key",
            [binary(&upstream("ed25519.asc")), good.clone()].concat(),
        ),
        ("cut", good[..good.len() - 1].to_vec()),
        ("garbage after", [&good[..], &[0xff]].concat()),
        ("too long", vec![0xff; MAX_SIGNATURE_BYTES + 1]),
        (
            "many",
            [0xca, 3, b'P', b'G', b'P'].repeat(crate::MAX_PACKETS + 1),
        ),
    ];
    for (name, input) in cases {
        let error = verify_detached(&keys, &text(), &input).unwrap_err();
        assert!(
            matches!(error, Error::Malformed { .. } | Error::TooLarge { .. }),
            "{name}: {error}"
        );
    }
    let long = vec![0; MAX_TEXT_BYTES + 1];
    assert!(matches!(
        keys[0].verify(&long, &good),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn the_first_known_signature_decides() {
    let keys = [key("ed25519"), key("p256")];
    let (known, other) = (signature("ed25519"), signature("rsa2048"));
    assert!(verify_detached(&keys, &text(), &[&other[..], &known[..]].concat()).is_ok());
    let forged = [&known[..], &signature("p256")[..]].concat();
    let found = verify_detached(&keys, &text(), &forged).unwrap();
    assert_eq!(found.fingerprint, keys[0].fingerprint);
}

#[test]
fn mutated_signatures_never_pass_nor_panic() {
    for name in ["ed25519", "p256", "dsa2048", "rsa1024"] {
        let keys = [key(name)];
        let (text, good) = (text(), signature(name));
        // Every bit of the hashed part and the numbers matters; the rest is only a hint.
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 0x40;
            match verify_detached(&keys, &text, &changed) {
                Ok(_) => {
                    let hints = [keys[0].fingerprint.clone()];
                    assert!(is_hint(&good, at, &hints[0]), "{name}: byte {at}");
                }
                Err(Error::Panicked { .. }) => panic!("{name}: byte {at}"),
                Err(_) => {}
            }
        }
    }
}

/// Whether byte `at` is in the unhashed part, which holds the issuer's key id only: its length,
/// its tag and its eight bytes.
fn is_hint(signature: &[u8], at: usize, fingerprint: &str) -> bool {
    let id = hex::decode(&fingerprint[24..]).unwrap();
    let start = signature
        .windows(10)
        .position(|window| window[..2] == [9, 16] && window[2..] == id)
        .unwrap();
    (start..start + 10).contains(&at)
}
