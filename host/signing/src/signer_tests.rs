use super::*;
use crate::testing::{Forgery, MADE_AT, NOW, binary, forged, private, upstream};
use opendepot_domain::release::sums_text;
use opendepot_domain::{H1, Kind, ReleaseFile, ResourceName, Sha256, Version};
use std::io::Write as _;
use std::process::{Command, Stdio};

const TEXT: &[u8] = b"text\n";

fn sums() -> String {
    let files: Vec<_> = [("linux", "amd64"), ("darwin", "arm64")]
        .map(|(os, arch)| ReleaseFile {
            os: os.to_owned(),
            arch: arch.to_owned(),
            sha256: Sha256::of(os.as_bytes()),
            h1: H1::of_files([("a", Sha256::of(b"a"))]),
            size: 1,
        })
        .into();
    sums_text(
        &ResourceName::new("null").unwrap(),
        &Version::parse("3.2.3").unwrap(),
        &files,
    )
}

const ACCEPTED: [&str; 10] = [
    "rsa2048",
    "rsa3072",
    "rsa4096",
    "ed25519",
    "p256",
    "p384",
    "p521",
    "encryption-subkey",
    "signing-subkey",
    "stub-primary",
];

#[test]
fn accepted_kinds_sign_what_their_public_part_verifies() {
    for name in ACCEPTED {
        let armored = private(name);
        let signer = Signer::load_at(&armored, None, NOW).unwrap_or_else(|e| panic!("{name}: {e}"));
        let key = signer.public_key();
        let signature = signer.sign(sums().as_bytes(), NOW).unwrap();
        key.verify(sums().as_bytes(), &signature).unwrap();
        assert!(key.verify(TEXT, &signature).is_err(), "{name}");
        assert!(
            key.ascii_armor
                .starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
        );
        assert_eq!((key.key_id.len(), key.fingerprint.len()), (16, 40));
        assert!(key.fingerprint.ends_with(&key.key_id));
        assert_eq!(
            PublicKey::parse(key.ascii_armor.as_bytes())
                .unwrap()
                .fingerprint,
            key.fingerprint
        );
        let from_binary = Signer::load_at(&binary(&armored), None, NOW).unwrap();
        assert_eq!(
            from_binary.public_key().ascii_armor,
            key.ascii_armor,
            "{name}"
        );
    }
}

#[test]
fn refused_kinds_say_why() {
    let cases = [
        ("rsa1024", "rsa below 2048 bits"),
        ("dsa2048", "dsa"),
        ("elgamal-subkey", "elgamal"),
        ("secp256k1", "secp256k1"),
        ("brainpool", "not accepted"),
        ("certify-only", "no part of it may and can sign"),
        ("revoked", "revoked"),
        ("sha1-preferences", "prefers weak hashes"),
        ("sha1-self-signature", "weak hash such as sha-1"),
    ];
    for (name, reason) in cases {
        let error = Signer::load_at(&private(name), None, NOW).unwrap_err();
        assert!(matches!(error, Error::Unusable { .. }), "{name}: {error}");
        assert!(error.to_string().contains(reason), "{name}: {error}");
        assert_eq!(error.kind(), Kind::Invalid);
    }
}

#[test]
fn forged_keys_are_refused() {
    let signer = Signer::load_at(&forged(Forgery::None), None, NOW).unwrap();
    assert!(signer.sign(TEXT, NOW).is_ok());
    let cases = [
        (Forgery::NoBackSignature, "back signature"),
        (Forgery::CriticalNotation, "critical"),
        (Forgery::RevokedUser, "revoked"),
        (Forgery::OtherUser, "cannot decode"),
        (Forgery::NoUser, "user id"),
        (Forgery::ShortSelfSignature, "not valid at this time"),
        (Forgery::ManySelfSignatures, "more than 256"),
        (Forgery::NewEd25519, "new ed25519"),
        (Forgery::Version6, "version 4"),
    ];
    for (forgery, reason) in cases {
        let error = Signer::load_at(&forged(forgery), None, NOW).unwrap_err();
        assert!(error.to_string().contains(reason), "{forgery:?}: {error}");
    }
}

#[test]
fn a_locked_key_needs_its_passphrase() {
    let key = private("locked");
    let load = |passphrase| Signer::load_at(&key, passphrase, NOW);
    assert!(matches!(load(None), Err(Error::PassphraseMissing { .. })));
    for wrong in ["wrong", ""] {
        assert!(matches!(
            load(Some(wrong)),
            Err(Error::PassphraseWrong { .. })
        ));
    }
    assert!(load(Some("correct")).unwrap().sign(TEXT, NOW).is_ok());
    // A passphrase that nothing needs does no harm.
    assert!(Signer::load_at(&private("ed25519"), Some("x"), NOW).is_ok());
}

#[test]
fn time_is_respected() {
    let key = private("expiring");
    let ends = MADE_AT + 365 * 86_400;
    let signer = Signer::load_at(&key, None, NOW).unwrap();
    assert_eq!(signer.public_key().expires_at, Some(ends));
    assert!(signer.sign(TEXT, ends - 1).is_ok());
    assert!(matches!(
        signer.sign(TEXT, ends),
        Err(Error::Unusable { .. })
    ));
    let expired = Signer::load_at(&key, None, ends).unwrap_err();
    assert!(expired.to_string().contains("expired"), "{expired}");
    let early = Signer::load_at(&key, None, MADE_AT - CLOCK_SKEW_SECONDS - 1).unwrap_err();
    assert!(early.to_string().contains("future"), "{early}");
    assert!(Signer::load_at(&key, None, MADE_AT - CLOCK_SKEW_SECONDS).is_ok());
    assert!(signer.sign(TEXT, u64::MAX).is_err());
}

/// The creation time of a signature, from its first hashed part.
fn made_at(signature: &[u8]) -> u64 {
    let at = signature
        .windows(2)
        .position(|pair| pair == [5, 2])
        .unwrap();
    u64::from(u32::from_be_bytes(
        signature[at + 2..at + 6].try_into().unwrap(),
    ))
}

#[test]
fn a_signature_says_when_but_never_before_its_key() {
    let signer = Signer::load_at(&private("ed25519"), None, NOW).unwrap();
    assert_eq!(made_at(&signer.sign(TEXT, NOW + 7).unwrap()), NOW + 7);
    assert_eq!(made_at(&signer.sign(TEXT, 0).unwrap()), MADE_AT);
    assert_eq!(
        signer.sign(TEXT, NOW).unwrap(),
        signer.sign(TEXT, NOW).unwrap()
    );
}

#[test]
fn signatures_are_binary_version_4_over_sha2() {
    for (name, hash) in [
        ("ed25519", 8),
        ("rsa2048", 8),
        ("p256", 8),
        ("p384", 10),
        ("p521", 10),
    ] {
        let signer = Signer::load_at(&private(name), None, NOW).unwrap();
        let signature = signer.sign(TEXT, NOW).unwrap();
        assert_eq!(signature[0] & 0x80, 0x80);
        let body = signature
            .windows(2)
            .position(|pair| pair == [4, 0])
            .unwrap();
        assert_eq!(signature[body + 3], hash, "{name}");
    }
}

#[test]
fn anything_but_one_private_key_is_refused() {
    let (one, two) = (private("ed25519"), private("p256"));
    let text = String::from_utf8(one.clone()).unwrap();
    let cases = [
        ("empty", Vec::new()),
        ("blank", b"\n\n".to_vec()),
        ("text", b"hello".to_vec()),
        ("two armored", [&one[..], &two[..]].concat()),
        ("two binary", [binary(&one), binary(&two)].concat()),
        ("the same twice", [binary(&one), binary(&one)].concat()),
        (
            "public after private",
            [&one[..], &upstream("p256.asc")[..]].concat(),
        ),
        ("public", upstream("ed25519.asc")),
        ("a signature", upstream("ed25519.sig")),
        ("text before", format!("my key\n{text}").into_bytes()),
        ("byte order mark", format!("\u{feff}{text}").into_bytes()),
        ("text after", format!("{text}my key\n").into_bytes()),
        ("a byte after", [binary(&one), vec![0]].concat()),
        ("half a header after", [binary(&one), vec![0xc2]].concat()),
        (
            "an unknown packet after",
            [binary(&one), vec![0xfc, 1, 0]].concat(),
        ),
        (
            "a literal packet after",
            [binary(&one), vec![0xcb, 6, b'b', 0, 0, 0, 0, 0]].concat(),
        ),
        ("cut", binary(&one)[..100].to_vec()),
        (
            "renamed armor",
            text.replace("PRIVATE KEY BLOCK", "MESSAGE").into_bytes(),
        ),
        ("too long", vec![b'a'; crate::MAX_KEY_BYTES + 1]),
        (
            "many packets",
            [0xca, 3, b'P', b'G', b'P'].repeat(crate::MAX_PACKETS + 1),
        ),
    ];
    for (name, input) in cases {
        let error = Signer::load_at(&input, None, NOW).unwrap_err();
        assert!(
            matches!(error, Error::Malformed { .. } | Error::TooLarge { .. }),
            "{name}: {error}"
        );
        assert!(!error.to_string().contains("backtrace"), "{name}: {error}");
    }
    let spaced = format!("\n\n{}\n\n", text.replace('\n', "\r\n"));
    assert!(Signer::load_at(spaced.as_bytes(), None, NOW).is_ok());
}

#[test]
fn generated_keys_load_again() {
    let (signer, armored) = Signer::generate_ed25519("OpenDepot <depot@example.com>", NOW).unwrap();
    let again = Signer::load_at(&armored, None, NOW + 1).unwrap();
    assert_eq!(
        again.public_key().ascii_armor,
        signer.public_key().ascii_armor
    );
    assert_eq!(
        (
            signer.public_key().created_at,
            signer.public_key().expires_at
        ),
        (NOW, None)
    );
    let other = Signer::generate_ed25519("x", NOW).unwrap().0;
    assert_ne!(
        other.public_key().fingerprint,
        signer.public_key().fingerprint
    );
    let long = "x".repeat(257);
    for user_id in ["", "a\nb", "a\0", &long] {
        assert!(
            Signer::generate_ed25519(user_id, NOW).is_err(),
            "{user_id:?}"
        );
    }
    assert!(Signer::generate_ed25519("x", u64::from(u32::MAX) + 1).is_err());
}

#[test]
fn the_originals_environment_is_accepted() {
    let private_key = private("ed25519");
    let base64 = base64::engine::general_purpose::STANDARD.encode(&private_key);
    let armor = String::from_utf8(upstream("ed25519.asc")).unwrap();
    let fingerprint = PublicKey::parse(armor.as_bytes()).unwrap().fingerprint;
    let wrapped = base64
        .as_bytes()
        .chunks(76)
        .fold(String::new(), |text, line| {
            text + std::str::from_utf8(line).unwrap() + "\n"
        });
    let lower = fingerprint.to_lowercase();
    for id in [
        &fingerprint[24..],
        &lower[24..],
        &fingerprint,
        &format!("0x{}", &lower[32..]),
    ] {
        for key in [&base64, &wrapped, base64.trim_end_matches('=')] {
            let signer = Signer::from_original(id, &armor, key).unwrap();
            assert_eq!(signer.public_key().fingerprint, fingerprint);
        }
    }
    let other = String::from_utf8(upstream("p256.asc")).unwrap();
    let both = format!("{armor}{other}");
    let revoked = String::from_utf8(upstream("revoked.asc")).unwrap();
    let id = &fingerprint[24..];
    let refused = [
        (
            "other id",
            "0123456789ABCDEF",
            armor.as_str(),
            base64.as_str(),
        ),
        ("no id", "", &armor, &base64),
        ("short id", &fingerprint[33..], &armor, &base64),
        ("no hex", "depot@example.com", &armor, &base64),
        ("other public key", id, &other, &base64),
        ("two public keys", id, &both, &base64),
        ("revoked public key", id, &revoked, &base64),
        ("no public key", id, "", &base64),
        (
            "private as public",
            id,
            std::str::from_utf8(&private_key).unwrap(),
            &base64,
        ),
        ("not base64", id, &armor, "-----BEGIN PGP"),
        ("no private key", id, &armor, ""),
    ];
    for (name, id, armor, key) in refused {
        let error = Signer::from_original(id, armor, key).unwrap_err();
        assert!(
            matches!(error, Error::Mismatch { .. } | Error::Malformed { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn nothing_shows_the_secret() {
    let armored = private("ed25519");
    let signer = Signer::load_at(&armored, None, NOW).unwrap();
    let shown = format!("{signer:?} {signer:#?}");
    assert!(!shown.contains("secret") && shown.len() < 500, "{shown}");
    let half = [&armored[..200], b"\n-----END PGP PRIVATE KEY BLOCK-----\n"].concat();
    let error = Signer::load_at(&half, None, NOW).unwrap_err();
    let line = std::str::from_utf8(&armored)
        .unwrap()
        .lines()
        .nth(3)
        .unwrap();
    assert!(
        !format!("{error} {error:?}").contains(&line[..16]),
        "{error}"
    );
}

#[test]
fn both_types_cross_threads() {
    const fn check<T: Send + Sync>() {}
    check::<Signer>();
    check::<PublicKey>();
}

#[test]
fn mutated_keys_never_panic_or_hang() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % limit as u64).unwrap()
    };
    let sources = [
        private("ed25519"),
        binary(&private("ed25519")),
        binary(&private("signing-subkey")),
        binary(&private("p256")),
        binary(&private("locked")),
        binary(&upstream("dsa2048.asc")),
        binary(&upstream("rsa2048.asc")),
        upstream("p521.asc"),
    ];
    let mut num_refused = 0;
    for round in 0..2_000 {
        let mut bytes = sources[round % sources.len()].clone();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes[at] ^= 1 << next(8),
                1 => bytes[at] = u8::try_from(next(256)).unwrap(),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, 0xff),
            }
        }
        // Unlocking is slow by design, so it is tried a few times only and not timed.
        let passphrase = (round % 1000 == 4).then_some("correct");
        let start = std::time::Instant::now();
        let results = [
            Signer::load_at(&bytes, passphrase, NOW).map(|_| ()),
            PublicKey::parse(&bytes).map(|_| ()),
            PublicKey::parse_upstream(&bytes).map(|_| ()),
        ];
        // 100 ms in an optimised build (G10); this one may be neither.
        assert!(
            passphrase.is_some() || start.elapsed().as_secs() < 2,
            "round {round} took too long"
        );
        for result in results {
            num_refused += usize::from(result.is_err());
            assert!(
                !matches!(result, Err(Error::Panicked { .. })),
                "round {round}"
            );
        }
    }
    assert!(num_refused > 3_000, "{num_refused}");
}

fn gpg(home: &std::path::Path, arguments: &[&str], input: &[u8]) {
    let mut child = Command::new("gpg")
        .arg("--homedir")
        .arg(home)
        .args([
            "--batch",
            "--no-tty",
            "--no-autostart",
            "--trust-model",
            "always",
        ])
        .args(["--faked-system-time", &format!("{NOW}!")])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("gpg 2.2 is needed: apt-get install gnupg");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "gpg {arguments:?}: {text}");
}

#[test]
fn gnupg_verifies_every_accepted_kind() {
    use std::os::unix::fs::PermissionsExt as _;
    let (made, _) = Signer::generate_ed25519("OpenDepot", MADE_AT).unwrap();
    let loaded = ACCEPTED
        .into_iter()
        .map(|name| Signer::load_at(&private(name), None, NOW).unwrap());
    for signer in loaded.chain([made]) {
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let file = home.path().join("sums.sig");
        std::fs::write(&file, signer.sign(sums().as_bytes(), NOW).unwrap()).unwrap();
        gpg(
            home.path(),
            &["--import"],
            signer.public_key().ascii_armor.as_bytes(),
        );
        let file = file.to_str().unwrap();
        gpg(home.path(), &["--verify", file, "-"], sums().as_bytes());
    }
}
