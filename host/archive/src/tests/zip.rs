//! Zips on which two parsers could disagree.

use super::build::{Spec, Zip, deflate, gzip, tar, zip, zip_with};
use super::{build, package_bytes, unzipped};
use crate::Wrapper;

fn two() -> Zip {
    zip(&[
        Spec::new("main.tf", b"variable \"a\" {}\n"),
        Spec::stored("b.tf", b"variable \"b\" {}\n"),
    ])
}

fn spec() -> Spec {
    Spec::new("main.tf", b"variable \"a\" {}\n")
}

/// Inserts zip64 records that say `entries`, `size` and `offset`.
fn with_zip64(zip: Zip, entries: u64, size: u64, offset: u64) -> Vec<u8> {
    let mut records = b"PK\x06\x06".to_vec();
    records.extend(44_u64.to_le_bytes());
    records.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for value in [entries, entries, size, offset] {
        records.extend(value.to_le_bytes());
    }
    records.extend(b"PK\x06\x07\0\0\0\0");
    records.extend((zip.end as u64).to_le_bytes());
    records.extend(1_u32.to_le_bytes());
    let mut bytes = zip.bytes;
    bytes.splice(zip.end..zip.end, records);
    bytes
}

fn extra_field(id: u16, data: &[u8]) -> Vec<u8> {
    let mut field = id.to_le_bytes().to_vec();
    field.extend((data.len() as u16).to_le_bytes());
    field.extend(data);
    field
}

#[test]
fn archives_of_honest_writers_are_accepted() {
    let large = two();
    let (size, offset) = (large.get32(large.end + 12), large.get32(large.end + 16));
    let mut full_zip64 = Vec::new();
    full_zip64.extend((spec().unpacked_bytes as u64).to_le_bytes());
    full_zip64.extend((spec().packed.len() as u64).to_le_bytes());
    let mut unicode = vec![1, 0, 0, 0, 0];
    unicode.extend(b"main.tf");
    for (case, bytes) in [
        ("stored and deflated", two().bytes),
        (
            "comment of git archive",
            zip_with(&[spec()], b"", &[b'a'; 40]).bytes,
        ),
        ("folders", {
            zip(&[Spec::folder("m/"), Spec::new("m/main.tf", b"x")]).bytes
        }),
        (
            "unix mode without type, from MS-DOS",
            zip(&[Spec {
                system: 0,
                mode: 0,
                ..spec()
            }])
            .bytes,
        ),
        ("descriptor", zip(&[spec().descriptor(false, false)]).bytes),
        (
            "signed descriptor",
            zip(&[spec().descriptor(true, false)]).bytes,
        ),
        (
            "wide descriptor",
            zip(&[spec().descriptor(false, true)]).bytes,
        ),
        (
            "signed wide descriptor",
            zip(&[spec().descriptor(true, true)]).bytes,
        ),
        (
            "zip64 end record",
            with_zip64(two(), 2, size.into(), offset.into()),
        ),
        (
            "unicode path that agrees",
            zip(&[Spec {
                extra: extra_field(0x7075, &unicode),
                ..spec()
            }])
            .bytes,
        ),
        ("unknown extra field", {
            zip(&[Spec {
                extra: extra_field(0x5455, &[0; 5]),
                ..spec()
            }])
            .bytes
        }),
    ] {
        let (package, bytes) = package_bytes(&bytes, Wrapper::Keep).expect(case);
        assert_eq!(package.files, unzipped(&bytes).len(), "{case}");
    }
}

#[test]
fn archives_with_two_readings_are_refused() {
    let good = two();
    let local = good.locals[1];
    let central = good.centrals[1];
    let end = good.end;
    let second_offset = good.get32(central + 42);
    let one = |spec: Spec| zip(&[spec]).bytes;
    let named = |mutate: fn(&mut Zip)| {
        let mut zip = two();
        mutate(&mut zip);
        zip.bytes
    };
    let with_extra = |extra: Vec<u8>| one(Spec { extra, ..spec() });
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "local name differs",
            named(|zip| zip.bytes[zip.locals[1] + 30] = b'c'),
        ),
        (
            "local size differs",
            good.clone().set32(local + 22, 15).bytes,
        ),
        (
            "local packed size differs",
            good.clone().set32(local + 18, 15).bytes,
        ),
        (
            "local checksum differs",
            good.clone().set32(local + 14, 1).bytes,
        ),
        (
            "local checksum absent without descriptor",
            good.clone().set32(local + 14, 0).bytes,
        ),
        (
            "local method differs",
            good.clone().set16(local + 8, 8).bytes,
        ),
        (
            "local flags announce a descriptor",
            good.clone().set16(local + 6, 8).bytes,
        ),
        (
            "local flags encrypt",
            good.clone().set16(local + 6, 1).bytes,
        ),
        (
            "local signature",
            good.clone().set32(local, 0x0102_4b50).bytes,
        ),
        (
            "central signature",
            good.clone().set32(central, 0x0403_4b50).bytes,
        ),
        (
            "checksum of the content",
            good.clone()
                .set32(local + 14, 7)
                .set32(central + 16, 7)
                .bytes,
        ),
        ("duplicate names", zip(&[spec(), spec()]).bytes),
        (
            "duplicate folders",
            zip(&[Spec::folder("a/"), Spec::folder("a/")]).bytes,
        ),
        (
            "file and folder",
            zip(&[spec(), Spec::folder("main.tf/")]).bytes,
        ),
        (
            "file inside a file",
            zip(&[spec(), Spec::new("main.tf/a", b"x")]).bytes,
        ),
        (
            "two entries with one body",
            good.clone().set32(central + 42, 0).bytes,
        ),
        (
            "entry inside another entry's data",
            good.clone().set32(central + 42, second_offset - 3).bytes,
        ),
        (
            "entry behind the directory",
            good.clone().set32(central + 42, end as u32).bytes,
        ),
        ("prepended data", [b"#!/bin/sh\n", &good.bytes[..]].concat()),
        (
            "prepended local header",
            [&good.bytes[..good.locals[1]], &good.bytes[..]].concat(),
        ),
        ("trailing byte", [&good.bytes[..], b"\n"].concat()),
        ("trailing zip", good.bytes.repeat(2)),
        (
            "gap before the directory",
            zip_with(&[spec()], b"hidden", b"").bytes,
        ),
        (
            "entry that the directory leaves out",
            good.clone().set16(end + 8, 1).set16(end + 10, 1).bytes,
        ),
        ("entry that the directory passes over", {
            let mut zip = zip(&[spec(), Spec::new("hidden.tf", b"x"), Spec::new("z", b"")]);
            let (from, to) = (zip.centrals[1], zip.centrals[2]);
            let (end, size) = (zip.end, zip.get32(zip.end + 12));
            let left = size - (to - from) as u32;
            zip = zip
                .set16(end + 8, 2)
                .set16(end + 10, 2)
                .set32(end + 12, left);
            zip.bytes.drain(from..to);
            zip.bytes
        }),
        ("prepended data that the offsets allow for", {
            let mut zip = two();
            for at in [zip.centrals[0] + 42, zip.centrals[1] + 42, zip.end + 16] {
                let offset = zip.get32(at) + 8;
                zip = zip.set32(at, offset);
            }
            [b"PK\x03\x04junk", &zip.bytes[..]].concat()
        }),
        (
            "directory shorter than its count",
            good.clone().set16(end + 8, 3).set16(end + 10, 3).bytes,
        ),
        ("directory elsewhere", good.clone().set32(end + 16, 0).bytes),
        (
            "second end record in the comment",
            zip_with(&[spec()], b"", &zip(&[]).bytes).bytes,
        ),
        (
            "signature of an end record in the comment",
            zip_with(&[spec()], b"", b"PK\x05\x06").bytes,
        ),
        (
            "zip64 end record with another count",
            with_zip64(two(), 1, 1, 1),
        ),
        (
            "zip64 referred to and absent",
            good.clone().set32(end + 16, u32::MAX).bytes,
        ),
        (
            "zip64 field that nothing refers to",
            with_extra(extra_field(1, &[7; 8])),
        ),
        (
            "zip64 field that contradicts",
            with_extra(extra_field(1, &[0; 24])),
        ),
        (
            "zip64 field twice",
            with_extra([extra_field(1, &[]), extra_field(1, &[])].concat()),
        ),
        (
            "extra field cut short",
            with_extra(vec![0x55, 0x54, 9, 0, 1]),
        ),
        (
            "unicode path that differs",
            with_extra(extra_field(0x7075, b"\x01\0\0\0\0other.tf")),
        ),
        (
            "descriptor wrong",
            one({
                let mut spec = spec().descriptor(true, false);
                spec.descriptor.as_mut().unwrap()[8] ^= 1;
                spec
            }),
        ),
        (
            "descriptor missing",
            one(Spec {
                descriptor: Some(Vec::new()),
                ..spec().descriptor(true, false)
            }),
        ),
        (
            "descriptor with data behind",
            one({
                let mut spec = spec().descriptor(true, false);
                spec.descriptor.as_mut().unwrap().push(0);
                spec
            }),
        ),
        (
            "larger than it says",
            one(Spec {
                unpacked_bytes: 3,
                ..spec()
            }),
        ),
        (
            "smaller than it says",
            one(Spec {
                unpacked_bytes: 300,
                ..spec()
            }),
        ),
        (
            "stored with two sizes",
            one(Spec {
                unpacked_bytes: 3,
                ..Spec::stored("a", b"abcd")
            }),
        ),
        (
            "data behind compressed data",
            one({
                let mut spec = spec();
                spec.packed.extend(b"hidden");
                spec
            }),
        ),
        (
            "compressed data that never ends",
            one({
                let mut spec = spec();
                // A stored block that is not the last one.
                spec.packed = vec![0, 3, 0, 0xfc, 0xff, b'a', b'b', b'c'];
                spec.unpacked_bytes = 3;
                spec.crc = build::crc(b"abc");
                spec
            }),
        ),
        (
            "damaged compressed data",
            one(Spec {
                packed: vec![0xff; 16],
                ..spec()
            }),
        ),
        (
            "folder with content",
            one(Spec::stored("a/", b"hidden").mode(0o040_755)),
        ),
        ("folder by mode only", one(spec().mode(0o040_755))),
        (
            "folder by name only",
            one(Spec::stored("a/", b"").mode(0o100_644)),
        ),
        ("folder by the MS-DOS attribute only", {
            let zip = zip(&[Spec {
                system: 0,
                ..spec()
            }]);
            let attributes = zip.centrals[0] + 38;
            zip.set32(attributes, 0x10).bytes
        }),
        ("folder by name and attribute, yet a file by mode", {
            let zip = zip(&[Spec::stored("a/", b"")]);
            let attributes = zip.centrals[0] + 38;
            zip.set32(attributes, 0o100_644 << 16 | 0x10).bytes
        }),
        (
            "link that is none on MS-DOS",
            one(Spec {
                system: 0,
                ..Spec::link("a", "b")
            }),
        ),
        (
            "gzip in front: a polyglot",
            [gzip(&tar(&[build::file("a", b"x")])), two().bytes].concat(),
        ),
    ];
    for (case, bytes) in cases {
        let error = package_bytes(&bytes, Wrapper::Keep).expect_err(case);
        assert!(
            matches!(error.reason(), "Corrupt" | "NotAnArchive"),
            "{case}: {error}"
        );
    }
}

#[test]
fn other_kinds_of_zip_are_unsupported() {
    let end = two().end;
    for (case, bytes) in [
        ("encrypted", zip(&[Spec { flags: 1, ..spec() }]).bytes),
        (
            "strongly encrypted",
            zip(&[Spec {
                flags: 1 << 6,
                ..spec()
            }])
            .bytes,
        ),
        (
            "patch data",
            zip(&[Spec {
                flags: 1 << 5,
                ..spec()
            }])
            .bytes,
        ),
        (
            "bzip2",
            zip(&[Spec {
                method: 12,
                ..spec()
            }])
            .bytes,
        ),
        (
            "deflate64",
            zip(&[Spec {
                method: 9,
                ..spec()
            }])
            .bytes,
        ),
        ("second disk", two().set16(end + 4, 1).bytes),
        ("entries on another disk", two().set16(end + 8, 1).bytes),
        ("named pipe", zip(&[spec().mode(0o010_644)]).bytes),
        ("device", zip(&[spec().mode(0o020_644)]).bytes),
    ] {
        let error = package_bytes(&bytes, Wrapper::Keep).expect_err(case);
        assert_eq!(error.reason(), "UnsupportedArchive", "{case}: {error}");
    }
}

#[test]
fn a_web_page_is_not_an_archive() {
    for bytes in [
        &b"<!DOCTYPE html><title>Sign in</title>"[..],
        b"{\"message\":\"Not Found\"}",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"",
        b"PK",
    ] {
        let error = package_bytes(bytes, Wrapper::Keep).expect_err("no archive");
        assert_eq!(error.reason(), "NotAnArchive");
    }
}

#[test]
fn hostile_names_are_refused_in_both_positions() {
    for name in [
        "../x",
        "/x",
        "C:\\x",
        "..\\x",
        "a/../../x",
        "a\0",
        "~",
        "x.",
    ] {
        let error =
            package_bytes(&zip(&[Spec::new(name, b"x")]).bytes, Wrapper::Keep).expect_err(name);
        assert_eq!(error.reason(), "UnsafePath", "{name}");
    }
    let wrapped = zip(&[Spec::new("top/~root/x", b"x")]);
    assert!(package_bytes(&wrapped.bytes, Wrapper::Keep).is_ok());
    let error = package_bytes(&wrapped.bytes, Wrapper::Strip).expect_err("first after stripping");
    assert_eq!(error.reason(), "UnsafePath");
}

#[test]
fn a_deflated_empty_folder_is_accepted() {
    let folder = Spec {
        packed: deflate(b""),
        method: 8,
        ..Spec::folder("a/")
    };
    assert!(package_bytes(&zip(&[folder, spec()]).bytes, Wrapper::Keep).is_ok());
}
