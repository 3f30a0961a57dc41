//! Archives cut short or changed at random: refused or harmless, never a panic.

use super::build::{Spec, Zip, file, gzip, member, pax, symlink, tar, zip};
use super::{on_disk, package_bytes};
use crate::{Cancel, Limits, ProviderInspection, Wrapper, inspect_provider};
use opendepot_domain::ResourceName;
use proptest::prelude::*;

fn content() -> Vec<u8> {
    (0..4000_u32)
        .flat_map(|value| (value.wrapping_mul(2_654_435_761)).to_le_bytes())
        .collect()
}

fn good_zip() -> Zip {
    zip(&[
        Spec::new("terraform-provider-null_v1.0.0", &content()).mode(0o100_755),
        Spec::folder("docs/"),
        Spec::stored("docs/README.md", b"# null\n"),
        Spec::new("LICENSE", b"MPL MPL MPL MPL").descriptor(true, false),
    ])
}

fn good_tar() -> Vec<u8> {
    tar(&[
        pax(b'g', &[("comment", "c0ffee")]),
        member("top/", b'5', 0o755, b""),
        pax(b'x', &[("path", "top/main.tf"), ("size", "16000")]),
        file("x", &content()),
        symlink("top/link", "main.tf"),
        file("top/README.md", b"# top\n"),
    ])
}

fn inspect(bytes: &[u8]) -> Option<ProviderInspection> {
    inspect_provider(
        on_disk(bytes).path(),
        &ResourceName::new("null").unwrap(),
        &Limits::provider(),
        &Cancel::default(),
    )
    .ok()
}

#[test]
fn an_archive_cut_short_anywhere_is_refused() {
    let (zip, tar) = (good_zip().bytes, good_tar());
    for bytes in [zip, gzip(&tar), tar] {
        assert!(package_bytes(&bytes, Wrapper::Keep).is_ok());
        for percent in 0..100 {
            let length = bytes.len() * percent / 100;
            let error = package_bytes(&bytes[..length], Wrapper::Keep).expect_err("cut short");
            assert!(
                matches!(error.reason(), "Corrupt" | "NotAnArchive"),
                "{percent} %: {error}"
            );
        }
    }
    // And just short of the end.
    for bytes in [good_zip().bytes, gzip(&good_tar())] {
        for missing in 1..64 {
            let cut = &bytes[..bytes.len() - missing];
            assert!(package_bytes(cut, Wrapper::Keep).is_err(), "{missing}");
        }
    }
}

#[test]
fn no_single_changed_byte_changes_what_a_provider_package_holds() {
    let good = zip(&[
        Spec::new(
            "terraform-provider-null_v1.0.0",
            b"\x7fELF and so on and so on",
        )
        .mode(0o100_755),
        Spec::stored("LICENSE", b"MPL").descriptor(true, false),
    ])
    .bytes;
    let honest = inspect(&good).unwrap();
    for at in 0..good.len() {
        for mask in [0x01, 0x08, 0x20, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= mask;
            if let Some(found) = inspect(&bytes) {
                assert_eq!(found, honest, "byte {at}, mask {mask:#x}");
            }
        }
    }
}

fn changed(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    for (at, kind, value) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match kind {
            0 => {
                bytes.remove(at);
            }
            1 => bytes.insert(at, *value),
            2 => {
                let end = (at + usize::from(*value)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => bytes[at] = *value,
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8, any::<u8>()), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_zips_do_not_panic(changes in changes()) {
        let bytes = changed(good_zip().bytes, &changes);
        let _ = inspect(&bytes);
        let _ = package_bytes(&bytes, Wrapper::Keep);
    }

    #[test]
    fn changed_tars_do_not_panic(changes in changes()) {
        let _ = package_bytes(&changed(good_tar(), &changes), Wrapper::Strip);
        let _ = package_bytes(&changed(gzip(&good_tar()), &changes), Wrapper::Strip);
    }

    #[test]
    fn records_of_changed_zips_do_not_panic(changes in changes()) {
        // Small content, so that most changes hit a record.
        let small = zip(&[Spec::stored("a", b"x"), Spec::new("b/c", b"y").descriptor(false, true)]);
        let _ = package_bytes(&changed(small.bytes, &changes), Wrapper::Keep);
    }
}
