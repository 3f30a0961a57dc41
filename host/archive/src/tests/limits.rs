//! Bombs, floods, and calls that must stop.

use super::build::{Spec, file, gzip, header, member, padded, pax, tar, zip, zip_with};
use super::{on_disk, package_with};
use crate::{
    Cancel, Error, Format, Limits, ModuleInput, Wrapper, inspect_provider, package_module,
};
use flate2::{Compress, Compression, FlushCompress};
use opendepot_domain::{Kind, ResourceName};
use std::time::{Duration, Instant};

fn refused(bytes: &[u8], limits: &Limits) -> Error {
    let file = on_disk(bytes);
    let input = ModuleInput::Archive {
        file: file.path(),
        wrapper: Wrapper::Keep,
    };
    package_with(&input, None, Format::Zip, limits).expect_err("over a limit")
}

/// The start of a gzip of a tar with one file of zeros, about 10 MiB that unpack to 10 GiB. It
/// has no end: only who reads that far would notice.
fn gzip_bomb() -> Vec<u8> {
    let mut encoder = Compress::new(Compression::best(), false);
    let mut packed = |bytes: &[u8]| {
        let mut output = Vec::with_capacity(1 << 16);
        encoder
            .compress_vec(bytes, &mut output, FlushCompress::Full)
            .unwrap();
        output
    };
    let start = packed(&header(b"main.tf", b'0', 0o644, 7 << 30));
    // After a full flush each piece stands for itself, so it can be repeated.
    let zeros = packed(&vec![0; 1 << 20]);
    let mut bomb = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    bomb.extend(start);
    for _ in 0..10 << 10 {
        bomb.extend(&zeros);
    }
    bomb
}

#[test]
fn a_gzip_bomb_ends_at_the_ratio() {
    let bomb = gzip_bomb();
    assert!((8 << 20..16 << 20).contains(&bomb.len()), "{}", bomb.len());
    let error = refused(&bomb, &Limits::module());
    assert!(
        matches!(error, Error::TooLarge { what, .. } if what.contains("ratio")),
        "{error}"
    );
    assert_eq!(error.kind(), Kind::Invalid);
}

#[test]
fn a_gzip_bomb_ends_at_the_size_when_the_ratio_does_not_stop_it() {
    let limits = Limits {
        ratio: u64::MAX,
        unpacked_bytes: 8 << 20,
        ..Limits::module()
    };
    let error = refused(&gzip_bomb(), &limits);
    assert!(
        matches!(error, Error::TooLarge { limit, .. } if limit == 8 << 20),
        "{error}"
    );
}

#[test]
fn a_zip_bomb_is_refused_before_anything_is_unpacked() {
    // The data is damaged, which only unpacking would show.
    let entry = |name: &str, unpacked_bytes: u32| Spec {
        unpacked_bytes,
        packed: vec![0xff; 64],
        ..Spec::new(name, b"")
    };
    let error = refused(&zip(&[entry("a", 65 << 20)]).bytes, &Limits::module());
    assert!(
        matches!(error, Error::TooLarge { what, .. } if what.contains("ratio")),
        "{error}"
    );
    let many: Vec<Spec> = (0..5)
        .map(|index| entry(&index.to_string(), 1 << 30))
        .collect();
    let error = refused(&zip(&many).bytes, &Limits::module());
    assert!(
        matches!(error, Error::TooLarge { what, .. } if what.contains("unpacked")),
        "{error}"
    );
}

#[test]
fn an_archive_inside_an_archive_is_only_data() {
    let inner = gzip(&tar(&[file("x", &[0; 4096])]));
    let outer = on_disk(&zip(&[Spec::stored("inner.tar.gz", &inner)]).bytes);
    let input = ModuleInput::Archive {
        file: outer.path(),
        wrapper: Wrapper::Keep,
    };
    let (package, _) = package_with(&input, None, Format::Zip, &Limits::module()).unwrap();
    assert_eq!(package.files, 1);
}

#[test]
fn floods_end_at_their_limit() {
    let few = Limits {
        entries: 10,
        ..Limits::module()
    };
    let specs: Vec<Spec> = (0..11)
        .map(|index| Spec::stored(&format!("{index}"), b""))
        .collect();
    let members: Vec<Vec<u8>> = (0..11).map(|index| file(&index.to_string(), b"")).collect();
    let extensions: Vec<Vec<u8>> = (0..6)
        .flat_map(|index| [pax(b'x', &[("path", &index.to_string())]), file("a", b"")])
        .collect();
    for (case, bytes) in [
        ("zip", zip(&specs).bytes),
        (
            "zip that only claims them",
            zip(&[]).set16(8, u16::MAX).set16(10, u16::MAX).bytes,
        ),
        ("tar", gzip(&tar(&members))),
        ("extended headers count", gzip(&tar(&extensions))),
    ] {
        let error = refused(&bytes, &few);
        assert!(
            matches!(error, Error::TooLarge { limit: 10, .. }),
            "{case}: {error}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    for index in 0..11 {
        std::fs::write(folder.path().join(index.to_string()), b"").unwrap();
    }
    let input = ModuleInput::Folder(folder.path());
    let error = package_with(&input, None, Format::Zip, &few).expect_err("folder");
    assert_eq!(error.reason(), "TooLarge");
}

#[test]
fn sizes_end_at_their_limit() {
    let small = Limits {
        unpacked_bytes: 4096,
        ..Limits::module()
    };
    let content = [b'x'; 5000];
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), content).unwrap();
    let input = ModuleInput::Folder(folder.path());
    let error = package_with(&input, None, Format::Zip, &small).expect_err("folder");
    assert_eq!(error.reason(), "TooLarge");
    for bytes in [
        zip(&[Spec::new("a", &content)]).bytes,
        tar(&[file("a", &content)]),
        gzip(&tar(&[file("a", &content)])),
    ] {
        assert_eq!(refused(&bytes, &small).reason(), "TooLarge");
    }
    let packed = Limits {
        packed_bytes: 100,
        ..Limits::module()
    };
    for bytes in [
        zip_with(&[Spec::new("a", b"x")], b"", &[b' '; 100]).bytes,
        tar(&[file("a", b"x")]),
    ] {
        assert_eq!(refused(&bytes, &packed).reason(), "TooLarge");
    }
    // The package counts as well: here it is larger than what it comes from.
    std::fs::write(folder.path().join("a"), b"x").unwrap();
    let error = package_with(&input, None, Format::Zip, &packed).expect_err("output");
    assert_eq!(error.reason(), "TooLarge");
}

#[test]
fn headers_cannot_be_huge() {
    let long = |flag: u8, size: u64| {
        let mut bytes = header(b"././@LongLink", flag, 0o644, size).to_vec();
        bytes.extend(padded(&[b'a'; 8192]));
        gzip(&bytes)
    };
    for (case, bytes) in [
        ("long name of 1 GiB", long(b'L', 1 << 30)),
        ("long link of 1 GiB", long(b'K', 1 << 30)),
        ("long name of 8 KiB", long(b'L', 8192)),
        ("pax header of 1 GiB", long(b'x', 1 << 30)),
        ("global header of 1 GiB", long(b'g', 1 << 30)),
    ] {
        let error = refused(&bytes, &Limits::module());
        assert_eq!(error.reason(), "TooLarge", "{case}: {error}");
    }
}

#[test]
fn names_cannot_fill_the_memory() {
    // Each within its limits, 64 new folders an entry.
    let name = |index: usize| {
        let mut name = format!("{index}");
        for _ in 0..60 {
            name.push_str("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        }
        name
    };
    let members: Vec<Vec<u8>> = (0..4000)
        .flat_map(|index| [pax(b'x', &[("path", &name(index))]), file("a", b"")])
        .collect();
    let error = refused(&gzip(&tar(&members)), &Limits::module());
    assert!(
        matches!(error, Error::TooLarge { what, .. } if what.contains("names")),
        "{error}"
    );
}

#[test]
fn deep_trees_end_at_their_limit() {
    let deep = ["d"; 65].join("/");
    for bytes in [
        zip(&[Spec::new(&deep, b"x")]).bytes,
        gzip(&tar(&[
            pax(b'x', &[("path", &deep)]),
            member("d", b'5', 0o755, b""),
        ])),
    ] {
        assert_eq!(refused(&bytes, &Limits::module()).reason(), "UnsafePath");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join(&deep)).unwrap();
    let input = ModuleInput::Folder(folder.path());
    let error =
        package_with(&input, None, Format::Zip, &Limits::module()).expect_err("deep folder");
    assert_eq!(error.reason(), "UnsafePath");
}

#[test]
fn a_call_stops_when_it_is_cancelled_or_late() {
    let file = on_disk(&zip(&[Spec::new("terraform-provider-null", b"x")]).bytes);
    let null = ResourceName::new("null").unwrap();
    let cancelled = Cancel::default();
    cancelled.clone().cancel();
    let error = inspect_provider(file.path(), &null, &Limits::provider(), &cancelled)
        .expect_err("cancelled");
    assert!(matches!(error, Error::Cancelled));
    let late = Limits {
        inspect_time: Duration::ZERO,
        ..Limits::module()
    };
    let input = ModuleInput::Archive {
        file: file.path(),
        wrapper: Wrapper::Keep,
    };
    let error = package_with(&input, None, Format::Zip, &late).expect_err("late");
    assert!(matches!(error, Error::TimedOut { .. }));
    assert_eq!(error.kind(), Kind::Busy);
}

#[test]
fn links_that_are_slow_to_follow_end_at_the_time_limit() {
    // Each of the many links leads through a chain of long ones: a billion steps in all.
    let detour = "d/../".repeat(800);
    let mut entries = vec![Spec::new("d/f", b"x")];
    entries.extend(
        (0..38).map(|hop| Spec::link(&format!("c{hop}"), &format!("{detour}c{}", hop + 1))),
    );
    entries.push(Spec::link("c38", "d/f"));
    entries.extend((0..20_000).map(|index| Spec::link(&format!("l{index}"), "c0")));
    let file = on_disk(&zip(&entries).bytes);
    let input = ModuleInput::Archive {
        file: file.path(),
        wrapper: Wrapper::Keep,
    };
    let limits = Limits {
        inspect_time: Duration::from_secs(2),
        ..Limits::module()
    };
    let started = Instant::now();
    let error = package_with(&input, None, Format::Zip, &limits).expect_err("slow");
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    // Whoever looks at the clock afterwards only notices late; it would take minutes.
    assert!(started.elapsed() < 10 * limits.inspect_time);
}

#[test]
fn a_full_disk_is_our_own_failure() {
    // A folder that is not there stands for a disk that takes nothing.
    let file = on_disk(&zip(&[Spec::new("a", b"x")]).bytes);
    let gone = tempfile::tempdir().unwrap().path().join("gone");
    let error = package_module(
        &ModuleInput::Archive {
            file: file.path(),
            wrapper: Wrapper::Keep,
        },
        None,
        Format::Zip,
        &mut tempfile::tempfile().unwrap(),
        &gone,
        &Limits::module(),
        &Cancel::default(),
    )
    .expect_err("no scratch folder");
    assert_eq!(error.kind(), Kind::Internal);
}
