use super::*;
use opendepot_domain::{
    ArtifactId, ArtifactKind, Namespace, Platform, Purpose, ResourceName, Sha256, Version,
};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

const KEY_A: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const KEY_B: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn keys(text: &str) -> ArtifactKeys {
    ArtifactKeys::parse(Path::new("keys"), text).unwrap()
}

fn id(namespace: &str, name: &str, version: &str, platform: (&str, &str)) -> ArtifactId {
    ArtifactId {
        namespace: Namespace::new(namespace).unwrap(),
        kind: ArtifactKind::Provider,
        name: ResourceName::new(name).unwrap(),
        version: Version::parse(version).unwrap(),
        platform: Some(Platform::new(platform.0, platform.1).unwrap()),
    }
}

fn mint(
    keys: &ArtifactKeys,
    id: &ArtifactId,
    purpose: Purpose,
    release: &str,
    sha256: &Sha256,
    expires: u64,
) -> String {
    keys.mint(&Capability {
        purpose,
        id,
        release,
        sha256,
        expires,
    })
}

#[test]
fn every_field_is_bound() {
    let keys = keys(KEY_A);
    let (one, two) = (Sha256::of(b"1"), Sha256::of(b"2"));
    let base = id("default", "aws", "1.2.3", ("linux", "amd64"));
    let other_kind = ArtifactId {
        kind: ArtifactKind::Module,
        ..base.clone()
    };
    let no_platform = ArtifactId {
        platform: None,
        ..base.clone()
    };
    let variants = [
        ("base", mint(&keys, &base, Purpose::Archive, "r", &one, 300)),
        ("purpose", mint(&keys, &base, Purpose::Sums, "r", &one, 300)),
        (
            "module",
            mint(&keys, &base, Purpose::Module, "r", &one, 300),
        ),
        (
            "signature",
            mint(&keys, &base, Purpose::Signature, "r", &one, 300),
        ),
        (
            "namespace",
            mint(
                &keys,
                &id("other", "aws", "1.2.3", ("linux", "amd64")),
                Purpose::Archive,
                "r",
                &one,
                300,
            ),
        ),
        (
            "kind",
            mint(&keys, &other_kind, Purpose::Archive, "r", &one, 300),
        ),
        (
            "name",
            mint(
                &keys,
                &id("default", "gcp", "1.2.3", ("linux", "amd64")),
                Purpose::Archive,
                "r",
                &one,
                300,
            ),
        ),
        (
            "version",
            mint(
                &keys,
                &id("default", "aws", "1.2.4", ("linux", "amd64")),
                Purpose::Archive,
                "r",
                &one,
                300,
            ),
        ),
        (
            "build metadata",
            mint(
                &keys,
                &id("default", "aws", "1.2.3+a", ("linux", "amd64")),
                Purpose::Archive,
                "r",
                &one,
                300,
            ),
        ),
        (
            "os",
            mint(
                &keys,
                &id("default", "aws", "1.2.3", ("darwin", "amd64")),
                Purpose::Archive,
                "r",
                &one,
                300,
            ),
        ),
        (
            "arch",
            mint(
                &keys,
                &id("default", "aws", "1.2.3", ("linux", "arm64")),
                Purpose::Archive,
                "r",
                &one,
                300,
            ),
        ),
        (
            "os and arch shifted",
            mint(
                &keys,
                &id("default", "aws", "1.2.3", ("linuxa", "md64")),
                Purpose::Archive,
                "r",
                &one,
                300,
            ),
        ),
        (
            "no platform",
            mint(&keys, &no_platform, Purpose::Archive, "r", &one, 300),
        ),
        (
            "namespace and name shifted",
            mint(
                &keys,
                &id("defaulta", "ws", "1.2.3", ("linux", "amd64")),
                Purpose::Archive,
                "r",
                &one,
                300,
            ),
        ),
        (
            "release",
            mint(&keys, &base, Purpose::Archive, "s", &one, 300),
        ),
        (
            "no release",
            mint(&keys, &base, Purpose::Archive, "", &one, 300),
        ),
        (
            "sha256",
            mint(&keys, &base, Purpose::Archive, "r", &two, 300),
        ),
        (
            "expires",
            mint(&keys, &base, Purpose::Archive, "r", &one, 301),
        ),
        (
            "expires with a digit more",
            mint(&keys, &base, Purpose::Archive, "r", &one, 3000),
        ),
    ];
    let distinct: HashSet<_> = variants.iter().map(|(_, text)| text).collect();
    assert_eq!(distinct.len(), variants.len());
    let asked = Capability {
        purpose: Purpose::Archive,
        id: &base,
        release: "r",
        sha256: &one,
        expires: 300,
    };
    for (name, signature) in &variants {
        assert_eq!(keys.verify(&asked, signature), *name == "base", "{name}");
    }
}

#[test]
fn only_the_exact_text_verifies() {
    let keys = keys(KEY_A);
    let (id, sha256) = (
        id("default", "aws", "1.2.3", ("linux", "amd64")),
        Sha256::of(b"1"),
    );
    let capability = Capability {
        purpose: Purpose::Archive,
        id: &id,
        release: "r",
        sha256: &sha256,
        expires: 300,
    };
    let good = keys.mint(&capability);
    assert_eq!(good.len(), 52);
    assert!(
        good.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
        "{good}"
    );
    assert!(keys.verify(&capability, &good));
    let (key_id, mac) = good.split_once('.').unwrap();
    let refused = [
        ("empty", String::new()),
        ("upper case", good.to_uppercase()),
        ("lower case", good.to_lowercase()),
        ("truncated", good[..51].to_owned()),
        ("extended", format!("{good}A")),
        ("padded", format!("{good}=")),
        ("newline", format!("{good}\n")),
        ("leading space", format!(" {good}")),
        ("mac alone", mac.to_owned()),
        ("no mac", format!("{key_id}.")),
        ("no key id", format!(".{mac}")),
        ("other key id", format!("00000000.{mac}")),
        ("two dots", format!("{key_id}..{mac}")),
        ("nul", format!("{good}\0")),
        ("not ascii", "ä.ö".to_owned()),
    ];
    for (name, signature) in refused {
        assert!(!keys.verify(&capability, &signature), "{name}: {signature}");
    }
    // Every single character counts, the last one's unused bits included.
    for at in 0..good.len() {
        for with in ["A", "B", "_", "."] {
            let mut changed = good.clone();
            changed.replace_range(at..=at, with);
            assert_eq!(
                keys.verify(&capability, &changed),
                changed == good,
                "{at} {with}"
            );
        }
    }
}

#[test]
fn keys_rotate() {
    let (old, both, new) = (
        keys(KEY_A),
        keys(&format!("{KEY_B}\n{KEY_A}\n")),
        keys(KEY_B),
    );
    let (id, sha256) = (
        id("default", "aws", "1.2.3", ("linux", "amd64")),
        Sha256::of(b"1"),
    );
    let capability = Capability {
        purpose: Purpose::Sums,
        id: &id,
        release: "r",
        sha256: &sha256,
        expires: 300,
    };
    let (by_old, by_both) = (old.mint(&capability), both.mint(&capability));
    assert!(both.verify(&capability, &by_old) && both.verify(&capability, &by_both));
    assert!(new.verify(&capability, &by_both) && !new.verify(&capability, &by_old));
    assert!(!old.verify(&capability, &by_both));
    assert_eq!(both.key_id(), new.key_id());
}

#[test]
fn seals_tell_their_key() {
    let (old, both, new) = (
        keys(KEY_A),
        keys(&format!("{KEY_B}\n{KEY_A}\n")),
        keys(KEY_B),
    );
    let mut input = Canonical::new("seal");
    input.field("a").field("b");
    let mut shifted = Canonical::new("seal");
    shifted.field("ab").field("");
    let seal = old.seal(&input);
    let state = |keys: &ArtifactKeys, input| keys.check_seal(input, &seal.key_id, &seal.mac);
    assert_eq!(state(&old, &input), SealState::Current);
    assert_eq!(state(&both, &input), SealState::OlderKey);
    assert_eq!(state(&new, &input), SealState::Invalid);
    assert_eq!(state(&old, &shifted), SealState::Invalid);
    let refused = [
        (seal.key_id.as_str(), seal.mac.to_uppercase()),
        (seal.key_id.as_str(), seal.mac[..63].to_owned()),
        (seal.key_id.as_str(), format!("{}0", seal.mac)),
        (seal.key_id.as_str(), String::new()),
        ("", seal.mac.clone()),
        (new.key_id(), seal.mac.clone()),
    ];
    for (key_id, mac) in refused {
        assert_eq!(
            both.check_seal(&input, key_id, &mac),
            SealState::Invalid,
            "{key_id} {mac}"
        );
    }
}

#[test]
fn a_seal_is_no_capability() {
    let keys = keys(KEY_A);
    let (id, sha256) = (
        id("default", "aws", "1.2.3", ("linux", "amd64")),
        Sha256::of(b"1"),
    );
    let capability = Capability {
        purpose: Purpose::Archive,
        id: &id,
        release: "",
        sha256: &sha256,
        expires: 300,
    };
    let seal = keys.seal(&capability.input());
    let mac = URL_SAFE_NO_PAD.encode(hex::decode(&seal.mac).unwrap());
    assert!(!keys.verify(&capability, &format!("{}.{mac}", seal.key_id)));
}

#[test]
fn the_mac_is_hmac_sha256() {
    // RFC 4231 test case 2 with the key padded by hand, as our keys are.
    let mut key = [0; KEY_BYTES];
    key[..4].copy_from_slice(b"Jefe");
    assert_eq!(
        hex::encode(hmac(&key, b"what do ya want for nothing?")),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
}

#[test]
fn files_are_made_once_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("artifact-keys");
    assert!(matches!(
        ArtifactKeys::load(&path),
        Err(Error::NotFound { .. })
    ));
    let made = ArtifactKeys::load_or_generate(&path).unwrap();
    assert_eq!(
        ArtifactKeys::load_or_generate(&path).unwrap().key_id(),
        made.key_id()
    );
    assert!(matches!(
        ArtifactKeys::generate(&path),
        Err(Error::Exists { .. })
    ));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let secret = fs::read_to_string(&path).unwrap();
    let secret = secret.lines().last().unwrap();
    assert_eq!(secret.len(), 44);
    assert!(!format!("{made:?}").contains(&secret[..8]));
}

#[test]
fn concurrent_makers_agree() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("artifact-keys");
    let ids: HashSet<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    ArtifactKeys::load_or_generate(&path)
                        .unwrap()
                        .key_id()
                        .to_owned()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(ids.len(), 1);
}

#[test]
fn bad_files_are_refused_without_their_text() {
    let many = (0..=MAX_KEYS)
        .map(|n| STANDARD.encode([u8::try_from(n).unwrap(); 32]) + "\n")
        .collect::<String>();
    let cases = [
        ("empty", String::new()),
        ("comments only", "# a\n\n".to_owned()),
        ("31 bytes", STANDARD.encode([7; 31])),
        ("33 bytes", STANDARD.encode([7; 33])),
        ("hex", "07".repeat(32)),
        ("base64url", URL_SAFE_NO_PAD.encode([0xff; 32])),
        ("trailing text", format!("{KEY_A} # mine")),
        ("twice", format!("{KEY_A}\n{KEY_A}")),
        ("too many", many),
        ("second is bad", format!("{KEY_A}\nc2VjcmV0")),
    ];
    for (name, text) in cases {
        let error = ArtifactKeys::parse(Path::new("keys"), &text).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{name}: {error}");
        assert!(!error.to_string().contains("c2VjcmV0"), "{name}: {error}");
    }
    assert!(ArtifactKeys::parse(Path::new("keys"), &format!("# c\r\n\r\n {KEY_A} \r\n")).is_ok());
}

/// A35: the comparison must not tell how much of a signature is right. The two kinds alternate, so
/// that a busy machine slows both; Welch's t over the samples' middle.
#[test]
fn a_right_prefix_takes_no_longer() {
    let keys = keys(KEY_A);
    let (id, sha256) = (
        id("default", "aws", "1.2.3", ("linux", "amd64")),
        Sha256::of(b"1"),
    );
    let capability = Capability {
        purpose: Purpose::Archive,
        id: &id,
        release: "r",
        sha256: &sha256,
        expires: 300,
    };
    let good = keys.mint(&capability);
    let wrong_end = format!(
        "{}{}",
        &good[..51],
        if good.ends_with('A') { 'E' } else { 'A' }
    );
    let wrong_start = format!(
        "{}{}{}",
        &good[..9],
        if &good[9..10] == "A" { 'B' } else { 'A' },
        &good[10..]
    );
    let measure = || {
        let mut samples = [Vec::new(), Vec::new()];
        for round in 0..10_000 {
            for turn in 0..2 {
                let kind = (round + turn) % 2;
                let text = if kind == 0 { &wrong_end } else { &wrong_start };
                let start = std::time::Instant::now();
                assert!(!std::hint::black_box(
                    keys.verify(&capability, std::hint::black_box(text))
                ));
                samples[kind].push(start.elapsed().as_nanos() as f64);
            }
        }
        let [a, b] = samples.map(|mut samples| {
            samples.sort_by(f64::total_cmp);
            samples.truncate(samples.len() * 3 / 4);
            let n = samples.len() as f64;
            let mean = samples.iter().sum::<f64>() / n;
            let variance = samples.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
            (mean, variance / n)
        });
        ((a.0 - b.0) / (a.1 + b.1).sqrt()).abs()
    };
    // A leak shows every time, noise does not.
    let ts: Vec<f64> = (0..4).map(|_| measure()).collect();
    assert!(ts.iter().any(|t| *t < 4.5), "{ts:?}");
}
