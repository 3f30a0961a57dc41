//! Tars on which two parsers could disagree.

use super::build::{file, gzip, header, member, padded, pax, sealed, symlink, tar};
use super::{package_bytes, unzipped};
use crate::{Error, Wrapper};

fn main() -> Vec<u8> {
    file("main.tf", b"x")
}

fn long_name(flag: u8, name: &[u8]) -> Vec<u8> {
    let name = [name, b"\0"].concat();
    let mut bytes = header(b"././@LongLink", flag, 0o644, name.len() as u64).to_vec();
    bytes.extend(padded(&name));
    bytes
}

fn gnu(mut block: [u8; 512]) -> [u8; 512] {
    block[257..265].copy_from_slice(b"ustar  \0");
    sealed(block)
}

/// A tar as bytes, plain and in gzip.
fn both(bytes: Vec<u8>) -> [Vec<u8>; 2] {
    [gzip(&bytes), bytes]
}

fn refusal(case: &str, bytes: &[u8]) -> Error {
    package_bytes(bytes, Wrapper::Keep)
        .map_or_else(|error| error, |_| panic!("`{case}` was accepted"))
}

#[test]
fn archives_of_honest_writers_are_accepted() {
    let long = format!("{}/main.tf", "d".repeat(120));
    let prefixed = {
        let mut block = header(b"main.tf", b'0', 0o644, 0);
        block[345..348].copy_from_slice(b"a/b");
        sealed(block).to_vec()
    };
    for (case, members, path) in [
        ("ustar", vec![main()], "main.tf"),
        (
            "old file flag",
            vec![member("main.tf", 0, 0o644, b"x")],
            "main.tf",
        ),
        ("ustar prefix", vec![prefixed], "a/b/main.tf"),
        (
            "gnu",
            vec![gnu(header(b"main.tf", b'0', 0o644, 0)).to_vec()],
            "main.tf",
        ),
        (
            "gnu long name",
            vec![long_name(b'L', long.as_bytes()), file("d", b"x")],
            long.as_str(),
        ),
        (
            "pax path",
            vec![
                pax(b'x', &[("path", &long), ("size", "1"), ("mtime", "1.5")]),
                file("d", b"x"),
            ],
            long.as_str(),
        ),
        (
            "git archive",
            vec![pax(b'g', &[("comment", "c0ffee")]), main()],
            "main.tf",
        ),
        (
            "names from the folder itself",
            vec![member("./", b'5', 0o755, b""), file("./main.tf", b"x")],
            "main.tf",
        ),
        (
            "python's name for it",
            vec![member(".", b'5', 0o755, b""), main()],
            "main.tf",
        ),
        (
            "folder named twice",
            vec![
                member("a/", b'5', 0o755, b""),
                member("a/", b'5', 0o755, b""),
                file("a/b", b"x"),
            ],
            "a/b",
        ),
    ] {
        for bytes in both(tar(&members)) {
            let (_, bytes) = package_bytes(&bytes, Wrapper::Keep).expect(case);
            assert_eq!(unzipped(&bytes)[0].0, path, "{case}");
        }
    }
    let blocked = [tar(&[main()]), vec![0; 9216]].concat();
    assert!(package_bytes(&gzip(&blocked), Wrapper::Keep).is_ok());
}

#[test]
fn archives_with_two_readings_are_refused() {
    let smuggled = tar(&[file("hidden.tf", b"x")]);
    let broken = |at: usize| {
        let mut bytes = tar(&[main()]);
        bytes[at] ^= 1;
        bytes
    };
    let magic = {
        let mut block = gnu(header(b"main.tf", b'0', 0o644, 0));
        block[345..348].copy_from_slice(b"a/b");
        sealed(block).to_vec()
    };
    let base256 = {
        let mut block = header(b"main.tf", b'0', 0o644, 0);
        block[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x01");
        sealed(block).to_vec()
    };
    for (case, bytes) in [
        (
            "pax size differs from the header's",
            tar(&[pax(b'x', &[("size", "1025")]), file("a", &smuggled)]),
        ),
        (
            "pax size of zero shows a nested tar",
            tar(&[pax(b'x', &[("size", "0")]), file("a", &smuggled)]),
        ),
        (
            "duplicate pax keys",
            tar(&[pax(b'x', &[("path", "a"), ("path", "b")]), main()]),
        ),
        (
            "two pax headers",
            tar(&[
                pax(b'x', &[("path", "a")]),
                pax(b'x', &[("path", "b")]),
                main(),
            ]),
        ),
        (
            "two long names",
            tar(&[long_name(b'L', b"a"), long_name(b'L', b"b"), main()]),
        ),
        (
            "long name and pax path",
            tar(&[long_name(b'L', b"a"), pax(b'x', &[("path", "b")]), main()]),
        ),
        (
            "pax header for nothing",
            tar(&[main(), pax(b'x', &[("path", "b")])]),
        ),
        (
            "long name for nothing",
            tar(&[main(), long_name(b'L', b"a")]),
        ),
        ("checksum", broken(0)),
        ("checksum of the mode", broken(104)),
        ("text in a GNU header's prefix", tar(&[magic])),
        ("size in base 256", tar(&[base256])),
        ("file twice", tar(&[main(), main()])),
        (
            "file inside a file",
            tar(&[main(), file("main.tf/a", b"x")]),
        ),
        (
            "folder over a file",
            tar(&[main(), member("main.tf", b'5', 0o755, b"")]),
        ),
        ("file over a folder", tar(&[file("main.tf/a", b""), main()])),
        (
            "folder with content",
            tar(&[member("a/", b'5', 0o755, b"hidden")]),
        ),
        (
            "link with content",
            tar(&[member("a", b'2', 0o777, b"hidden")]),
        ),
        ("file named as a folder", tar(&[file("a/", b"")])),
        ("no end", main()),
        ("one zero block only", [main(), vec![0; 512]].concat()),
        (
            "one zero block, then more",
            [main(), vec![0; 512], smuggled.clone()].concat(),
        ),
        (
            "a tar behind the end",
            [tar(&[main()]), smuggled.clone()].concat(),
        ),
        (
            "a byte behind the end",
            [tar(&[main()]), b"x".to_vec()].concat(),
        ),
    ] {
        for bytes in both(bytes) {
            let error = refusal(case, &bytes);
            // An archive whose first header is broken may not look like one at all.
            assert!(matches!(error.reason(), "Corrupt"), "{case}: {error}");
        }
    }
}

#[test]
fn gzip_is_one_member_to_the_end() {
    let (first, second) = (tar(&[main()]), tar(&[file("hidden.tf", b"x")]));
    let mut wrong_checksum = gzip(&first);
    let at = wrong_checksum.len() - 8;
    wrong_checksum[at] ^= 1;
    let mut wrong_length = gzip(&first);
    let at = wrong_length.len() - 1;
    wrong_length[at] ^= 1;
    let half = first.len() / 2;
    for (case, bytes) in [
        ("two archives", [gzip(&first), gzip(&second)].concat()),
        (
            "one archive in two members",
            [gzip(&first[..half]), gzip(&first[half..])].concat(),
        ),
        ("trailing byte", [gzip(&first), vec![0]].concat()),
        ("gzip in gzip", gzip(&gzip(&first))),
        ("checksum", wrong_checksum),
        ("length", wrong_length),
        ("no tar inside", gzip(b"hello")),
        ("empty inside", gzip(b"")),
        ("magic only", vec![0x1f, 0x8b]),
    ] {
        let error = refusal(case, &bytes);
        assert!(
            matches!(error.reason(), "Corrupt" | "UnsupportedArchive"),
            "{case}: {error}"
        );
    }
}

#[test]
fn other_kinds_of_entries_are_unsupported() {
    let hard_link = {
        let mut block = header(b"a", b'1', 0o644, 0);
        block[157..164].copy_from_slice(b"main.tf");
        sealed(block).to_vec()
    };
    let v7 = {
        let mut block = header(b"main.tf", b'0', 0o644, 0);
        block[257..265].fill(0);
        sealed(block).to_vec()
    };
    for (case, members) in [
        ("hard link", vec![main(), hard_link]),
        ("character device", vec![member("a", b'3', 0o644, b"")]),
        ("block device", vec![member("a", b'4', 0o644, b"")]),
        ("named pipe", vec![member("a", b'6', 0o644, b"")]),
        ("contiguous file", vec![member("a", b'7', 0o644, b"")]),
        ("old sparse file", vec![member("a", b'S', 0o644, b"")]),
        (
            "new sparse file",
            vec![pax(b'x', &[("GNU.sparse.major", "1")]), main()],
        ),
        ("continued volume", vec![member("a", b'M', 0o644, b"")]),
        ("volume label", vec![member("a", b'V', 0o644, b"")]),
        ("dumped folder", vec![member("a", b'D', 0o644, b"")]),
        ("solaris extension", vec![member("a", b'X', 0o644, b"")]),
        (
            "another character set",
            vec![pax(b'x', &[("hdrcharset", "BINARY")]), main()],
        ),
        ("global path", vec![pax(b'g', &[("path", "a")]), main()]),
        ("global size", vec![pax(b'g', &[("size", "1")]), main()]),
        (
            "two global headers",
            vec![
                pax(b'g', &[("comment", "a")]),
                pax(b'g', &[("comment", "b")]),
                main(),
            ],
        ),
        ("seventh edition", vec![main(), v7]),
    ] {
        for bytes in both(tar(&members)) {
            let error = refusal(case, &bytes);
            assert_eq!(error.reason(), "UnsupportedArchive", "{case}: {error}");
        }
    }
}

#[test]
fn hostile_names_are_refused_wherever_they_stand() {
    let name = "../evil";
    let too_long = "a".repeat(4097);
    let prefixed = {
        let mut block = header(b"evil", b'0', 0o644, 0);
        block[345..347].copy_from_slice(b"..");
        sealed(block).to_vec()
    };
    for (case, members) in [
        ("header", vec![file(name, b"x")]),
        ("prefix", vec![prefixed]),
        ("long name", vec![long_name(b'L', name.as_bytes()), main()]),
        ("pax path", vec![pax(b'x', &[("path", name)]), main()]),
        (
            "pax path with nul",
            vec![pax(b'x', &[("path", "a\0b")]), main()],
        ),
        (
            "pax path too long",
            vec![pax(b'x', &[("path", &too_long)]), main()],
        ),
        ("absolute", vec![file("/etc/passwd", b"x")]),
        ("behind the current folder", vec![file("./../x", b"x")]),
        ("absolute link", vec![symlink("a", "/etc/passwd"), main()]),
        ("link out", vec![symlink("a", "../x"), main()]),
        (
            "link out by detour",
            vec![symlink("a", "main.tf/../../x"), main()],
        ),
        (
            "file through a link",
            vec![symlink("a", "."), file("a/x", b"x")],
        ),
        (
            "long link name",
            vec![
                long_name(b'K', b"/etc/passwd"),
                symlink("a", "main.tf"),
                main(),
            ],
        ),
    ] {
        for bytes in both(tar(&members)) {
            let error = refusal(case, &bytes);
            assert_eq!(error.reason(), "UnsafePath", "{case}: {error}");
        }
    }
}
