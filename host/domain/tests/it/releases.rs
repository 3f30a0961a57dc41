//! SHA256SUMS, capabilities and access decisions.

use opendepot_domain::access::{Base, combine};
use opendepot_domain::capability::{WINDOW_SECONDS, expiry};
use opendepot_domain::release::{release_id, sums_text};
use opendepot_domain::{
    ArtifactId, ArtifactKind, Capability, Decision, H1, Platform, Purpose, ReleaseFile,
    ResourceName, Sha256, Version,
};
use proptest::prelude::*;

fn files() -> impl Strategy<Value = Vec<ReleaseFile>> {
    let systems = prop::sample::select(vec!["linux", "darwin", "windows", "freebsd"]);
    let architectures = prop::sample::select(vec!["amd64", "arm64", "386", "arm"]);
    let file = |((os, arch), bytes): ((&str, &str), [u8; 32])| {
        let sha256 = Sha256::from_bytes(bytes);
        let h1 = H1::of_files([("binary", sha256)]);
        ReleaseFile {
            os: os.to_owned(),
            arch: arch.to_owned(),
            sha256,
            h1,
            size: 1,
        }
    };
    prop::collection::btree_map((systems, architectures), any::<[u8; 32]>(), 0..12)
        .prop_map(move |platforms| platforms.into_iter().map(file).collect::<Vec<_>>())
        .prop_shuffle()
}

fn decision() -> impl Strategy<Value = Decision> {
    prop_oneof![
        Just(Decision::Allow),
        Just(Decision::Abstain),
        Just(Decision::deny("no"))
    ]
}

proptest! {
    #[test]
    fn sums_are_sorted_unique_and_end_with_one_newline(files in files(), reversed in any::<bool>()) {
        let name = ResourceName::new("widget").unwrap();
        let version = Version::parse("1.2.3-rc.1+build").unwrap();
        let text = sums_text(&name, &version, &files);
        let lines: Vec<&str> = text.lines().collect();
        prop_assert_eq!(lines.len(), files.len());
        prop_assert!(text.is_empty() || (text.ends_with(".zip\n") && !text.contains("\n\n") && !text.contains('\r')));
        let mut names = Vec::new();
        for line in &lines {
            let (digest, name) = line.split_once("  ").unwrap();
            prop_assert!(digest.len() == 64 && !name.contains(' '));
            let (os, arch) = name.strip_prefix("terraform-provider-widget_1.2.3-rc.1+build_").unwrap().strip_suffix(".zip").unwrap().split_once('_').unwrap();
            let file = files.iter().find(|file| file.os == os && file.arch == arch).unwrap();
            prop_assert_eq!(file.sha256.to_string(), digest);
            names.push(name);
        }
        prop_assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", names);
        // The order in which the platforms come does not matter, what they are does.
        let mut other = files.clone();
        if reversed {
            other.reverse();
        }
        prop_assert_eq!(release_id(&sums_text(&name, &version, &other)), release_id(&text));
        if let Some(first) = other.first_mut() {
            first.sha256 = Sha256::of(b"other");
            prop_assert_ne!(release_id(&sums_text(&name, &version, &other)), release_id(&text));
        }
    }

    #[test]
    fn a_capability_lives_five_to_ten_minutes_and_all_of_a_window_end_together(now in 0..4_000_000_000_u64) {
        let end = expiry(now);
        prop_assert!((WINDOW_SECONDS..2 * WINDOW_SECONDS).contains(&(end - now)));
        prop_assert_eq!(end % WINDOW_SECONDS, 0);
        prop_assert!(expiry(now + 1) >= end);
    }

    #[test]
    fn capabilities_of_different_things_are_different_bytes(
        one in (0..4_usize, "[ab]{1,2}", "[ab]{1,2}", 0..2_u64, prop::option::of("[ab]{1,2}"), "[ab]{0,2}", 0..2_u64),
        other in (0..4_usize, "[ab]{1,2}", "[ab]{1,2}", 0..2_u64, prop::option::of("[ab]{1,2}"), "[ab]{0,2}", 0..2_u64),
    ) {
        let purposes = [Purpose::Module, Purpose::Archive, Purpose::Sums, Purpose::Signature];
        let input = |(purpose, namespace, name, patch, os, release, expires): &(usize, String, String, u64, Option<String>, String, u64)| {
            let id = ArtifactId {
                namespace: namespace.parse().unwrap(),
                kind: if os.is_some() { ArtifactKind::Provider } else { ArtifactKind::Module },
                name: name.parse().unwrap(),
                version: Version::parse(&format!("1.0.{patch}")).unwrap(),
                platform: os.as_ref().map(|os| Platform::new(os, "amd64").unwrap()),
            };
            let sha256 = Sha256::of(b"bytes");
            Capability { purpose: purposes[*purpose], id: &id, release, sha256: &sha256, expires: *expires }.input().as_bytes().to_vec()
        };
        prop_assert_eq!(input(&one) == input(&other), one == other);
    }

    #[test]
    fn access_is_allowed_only_without_a_denial_and_the_order_does_not_matter(answers in prop::collection::vec(decision(), 0..6)) {
        let is_denied = answers.iter().any(|answer| matches!(answer, Decision::Deny(_)));
        let is_allowed = answers.contains(&Decision::Allow);
        for (base, by_default) in [(Base::Allow, true), (Base::Deny, false)] {
            let expected = !is_denied && (is_allowed || by_default);
            let decided = combine(answers.clone(), base);
            prop_assert_eq!(decided == Decision::Allow, expected);
            prop_assert_ne!(decided, Decision::Abstain);
            let reversed = combine(answers.iter().rev().cloned(), base);
            prop_assert_eq!(reversed == Decision::Allow, expected);
        }
    }
}
