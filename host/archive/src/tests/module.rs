//! What a repackaged module looks like.

use super::build::{Spec, file, gzip, member, pax, symlink, tar, zip, zip_with};
use super::{on_disk, package_bytes, package_folder, package_with, untarred, unzipped};
use crate::{Format, Limits, ModuleInput, Sniffed, Wrapper, sniff};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink as make_link};
use std::path::Path;

const COMMIT: &str = "c0ffee0123456789c0ffee0123456789c0ffee01";

fn make_folder(root: &Path) {
    let write = |path: &str, content: &[u8], mode: u32| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    write("main.tf", b"module {}\n", 0o600);
    write("scripts/run.sh", b"#!/bin/sh\n", 0o700);
    write("modules/a/main.tf", b"a\n", 0o664);
    write("modules-b", b"", 0o444);
    write("README.md", "# H\u{e4}llo\n".as_bytes(), 0o644);
    write(".git/config", b"secret", 0o644);
    write("modules/.terraform/x", b"cache", 0o644);
    make_link("../scripts/run.sh", root.join("modules/run")).unwrap();
    make_link("modules/a", root.join("linked")).unwrap();
}

fn as_tar(prefix: &str) -> Vec<u8> {
    let at = |path: &str| format!("{prefix}{path}");
    tar(&[
        pax(b'g', &[("comment", COMMIT)]),
        symlink(&at("linked"), "modules/a"),
        file(&at("README.md"), "# H\u{e4}llo\n".as_bytes()),
        member(&at("modules/"), b'5', 0o775, b""),
        symlink(&at("modules/run"), "../scripts/run.sh"),
        file(&at("modules-b"), b""),
        member(&at("scripts/run.sh"), b'0', 0o775, b"#!/bin/sh\n"),
        file(&at("modules/a/main.tf"), b"a\n"),
        file(&at("main.tf"), b"module {}\n"),
    ])
}

fn as_zip(prefix: &str) -> Vec<u8> {
    let at = |path: &str| format!("{prefix}{path}");
    zip_with(
        &[
            Spec::new(&at("scripts/run.sh"), b"#!/bin/sh\n").mode(0o104_755),
            Spec::stored(&at("modules/a/main.tf"), b"a\n"),
            Spec::new(&at(".git/config"), b"secret"),
            Spec::folder(&at("empty/")),
            Spec::new(&at("modules-b"), b""),
            Spec::link(&at("modules/run"), "../scripts/run.sh"),
            Spec::new(&at("README.md"), "# H\u{e4}llo\n".as_bytes()).descriptor(true, false),
            Spec::new(&at("main.tf"), b"module {}\n"),
            Spec::link(&at("linked"), "modules/a/"),
        ],
        b"",
        COMMIT.as_bytes(),
    )
    .bytes
}

#[test]
fn one_tree_gives_one_package_whatever_it_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    make_folder(folder.path());
    let wrapped = (as_tar("top-c0ffee/"), as_zip("top-c0ffee/"));
    let archives = [
        (as_tar(""), Wrapper::Keep),
        (gzip(&as_tar("")), Wrapper::Keep),
        (gzip(&as_tar("./")), Wrapper::Keep),
        (as_zip(""), Wrapper::Keep),
        (wrapped.0, Wrapper::Strip),
        (wrapped.1, Wrapper::Strip),
    ];
    let mut digests = Vec::new();
    for format in [Format::Zip, Format::TarGz] {
        let (first, bytes) = package_folder(folder.path(), None, format).unwrap();
        assert_eq!(first.commit, None);
        assert_eq!(first.readme.as_deref(), Some("# H\u{e4}llo\n"));
        assert_eq!(first.files, 7);
        digests.push(first.tree_digest);
        for (index, (archive, wrapper)) in archives.iter().enumerate() {
            let archive = on_disk(archive);
            let input = ModuleInput::Archive {
                file: archive.path(),
                wrapper: *wrapper,
            };
            let (package, again) = package_with(&input, None, format, &Limits::module()).unwrap();
            assert_eq!(package.commit.as_deref(), Some(COMMIT), "{index}");
            assert_eq!(again, bytes, "{index}");
            assert_eq!(package.tree_digest, first.tree_digest, "{index}");
        }
        // What we write is among what we accept, and does not change again.
        let archive = on_disk(&bytes);
        let input = ModuleInput::Archive {
            file: archive.path(),
            wrapper: Wrapper::Keep,
        };
        let (_, again) = package_with(&input, None, format, &Limits::module()).unwrap();
        assert_eq!(again, bytes);
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn packages_are_sorted_normalised_and_readable_by_others() {
    let folder = tempfile::tempdir().unwrap();
    make_folder(folder.path());
    let (_, zipped) = package_folder(folder.path(), None, Format::Zip).unwrap();
    let expected: Vec<(&str, u32, &[u8])> = vec![
        ("README.md", 0o644, "# H\u{e4}llo\n".as_bytes()),
        ("linked/main.tf", 0o644, b"a\n"),
        ("main.tf", 0o644, b"module {}\n"),
        ("modules-b", 0o644, b""),
        ("modules/a/main.tf", 0o644, b"a\n"),
        ("modules/run", 0o755, b"#!/bin/sh\n"),
        ("scripts/run.sh", 0o755, b"#!/bin/sh\n"),
    ];
    let found = unzipped(&zipped);
    assert_eq!(found.len(), expected.len());
    for (found, (path, mode, content)) in found.iter().zip(&expected) {
        assert_eq!(
            found,
            &(path.to_string(), 0o100_000 | mode, content.to_vec())
        );
    }
    let (_, tarred) = package_folder(folder.path(), None, Format::TarGz).unwrap();
    for (found, (path, mode, content)) in untarred(&tarred).iter().zip(&expected) {
        assert_eq!(found, &(path.to_string(), *mode, content.to_vec()));
    }
}

#[test]
fn the_tree_digest_depends_on_mode_path_and_content() {
    let digest = |spec: Spec| {
        package_bytes(&zip(&[spec]).bytes, Wrapper::Keep)
            .unwrap()
            .0
            .tree_digest
    };
    let base = digest(Spec::new("a", b"x"));
    assert_eq!(base, digest(Spec::stored("a", b"x").mode(0o100_600)));
    assert_ne!(base, digest(Spec::new("a", b"x").mode(0o100_744)));
    assert_ne!(base, digest(Spec::new("b", b"x")));
    assert_ne!(base, digest(Spec::new("a", b"y")));
}

#[test]
fn long_and_foreign_names_survive_both_formats() {
    let long = format!("{0}/{0}/main.tf", "d".repeat(200));
    let names = ["\u{e4}/\u{1f600}.tf", long.as_str()];
    let archive = on_disk(
        &zip(&names.map(|name| Spec {
            flags: 1 << 11,
            ..Spec::new(name, b"x")
        }))
        .bytes,
    );
    let input = ModuleInput::Archive {
        file: archive.path(),
        wrapper: Wrapper::Keep,
    };
    let limits = Limits::module();
    let (_, zipped) = package_with(&input, None, Format::Zip, &limits).unwrap();
    let (_, tarred) = package_with(&input, None, Format::TarGz, &limits).unwrap();
    for found in [unzipped(&zipped), untarred(&tarred)] {
        let mut found: Vec<_> = found.into_iter().map(|(path, ..)| path).collect();
        found.sort();
        let mut names = names.map(str::to_owned);
        names.sort();
        assert_eq!(found, names);
    }
    let tarred = on_disk(&tarred);
    let input = ModuleInput::Archive {
        file: tarred.path(),
        wrapper: Wrapper::Keep,
    };
    let (_, again) = package_with(&input, None, Format::Zip, &limits).unwrap();
    assert_eq!(again, zipped);
}

#[test]
fn exactly_one_wrapper_is_stripped() {
    for (case, entries) in [
        (
            "two folders",
            vec![Spec::new("a/x", b""), Spec::new("b/x", b"")],
        ),
        (
            "file beside",
            vec![Spec::new("a/x", b""), Spec::new("b", b"")],
        ),
        ("no folder", vec![Spec::new("main.tf", b"")]),
        ("link at the top", vec![Spec::link("a", "b")]),
        (
            "empty folder beside",
            vec![Spec::new("a/x", b""), Spec::folder("b/")],
        ),
    ] {
        let error = package_bytes(&zip(&entries).bytes, Wrapper::Strip).expect_err(case);
        assert_eq!(error.reason(), "UnexpectedLayout", "{case}");
    }
    let nested = zip(&[Spec::new("a/b/x", b"")]);
    let (_, bytes) = package_bytes(&nested.bytes, Wrapper::Strip).unwrap();
    assert_eq!(unzipped(&bytes)[0].0, "b/x");
}

#[test]
fn links_become_copies_or_refuse_the_module() {
    let outcome = |links: &[(&str, &str)]| {
        let mut entries: Vec<Spec> = vec![
            Spec::new("d/e/f", b"f"),
            Spec::new("g", b"g").mode(0o100_755),
        ];
        entries.extend(links.iter().map(|(name, target)| Spec::link(name, target)));
        package_bytes(&zip(&entries).bytes, Wrapper::Keep).map(|(_, bytes)| {
            let mut paths: Vec<String> = unzipped(&bytes)
                .into_iter()
                .map(|(path, mode, content)| {
                    format!(
                        "{path}={}{:o}",
                        String::from_utf8_lossy(&content),
                        mode & 0o777
                    )
                })
                .collect();
            paths.retain(|path| !path.starts_with("d/e/f") && !path.starts_with("g="));
            paths.join(" ")
        })
    };
    for (case, links, expected) in [
        ("file", vec![("l", "g")], "l=g755"),
        ("folder", vec![("l", "d")], "l/e/f=f644"),
        ("chain", vec![("l", "m"), ("m", "d/e/f")], "l=f644 m=f644"),
        ("upwards", vec![("d/l", "../g")], "d/l=g755"),
        ("dots", vec![("l", "./d/./e/../e/f")], "l=f644"),
        (
            "through a folder link",
            vec![("l", "m/f"), ("m", "d/e")],
            "l=f644 m/f=f644",
        ),
        (
            "parent of where a link leads",
            vec![("l", "m/../../g"), ("m", "d/e")],
            "l=g755 m/f=f644",
        ),
        (
            "link within a linked folder",
            vec![("d/l", "e/f"), ("m", "d")],
            "d/l=f644 m/e/f=f644 m/l=f644",
        ),
    ] {
        assert_eq!(outcome(&links).expect(case), expected, "{case}");
    }
    for (case, links) in [
        ("out", vec![("l", "../g")]),
        ("out and in again", vec![("l", "../top/g")]),
        ("absolute", vec![("l", "/etc/passwd")]),
        ("dangling", vec![("l", "nothing")]),
        ("empty", vec![("l", "")]),
        ("into a file", vec![("l", "g/x")]),
        ("up from a file", vec![("l", "g/../g")]),
        ("itself", vec![("l", "l")]),
        ("each other", vec![("l", "m"), ("m", "l")]),
        ("its own folder", vec![("d/l", ".")]),
        ("the root", vec![("d/l", "..")]),
        (
            "two folders in each other",
            vec![("d/l", "../h"), ("h/l", "../d")],
        ),
        ("left out", vec![("l", ".git/config"), (".git/config", "g")]),
        ("backslash", vec![("l", "d\\e")]),
    ] {
        let error = outcome(&links).map_or_else(|error| error, |found| panic!("{case}: {found}"));
        assert_eq!(error.reason(), "UnsafePath", "{case}: {error}");
    }
}

#[test]
fn a_link_may_not_leave_what_the_wrapper_wraps() {
    let entries = [Spec::new("top/x", b"x"), Spec::link("top/l", "../top/x")];
    let error = package_bytes(&zip(&entries).bytes, Wrapper::Strip).expect_err("leaves");
    assert_eq!(error.reason(), "UnsafePath");
}

#[test]
fn links_cannot_multiply_without_bound() {
    let mut entries = vec![Spec::new("d0/f", b"x")];
    for level in 1..40 {
        for link in ["a", "b"] {
            entries.push(Spec::link(
                &format!("d{level}/{link}"),
                &format!("../d{}", level - 1),
            ));
        }
    }
    let error = package_bytes(&zip(&entries).bytes, Wrapper::Keep).expect_err("2^39 files");
    assert_eq!(error.reason(), "TooLarge", "{error}");
}

#[test]
fn a_subdirectory_is_packaged_alone() {
    let folder = tempfile::tempdir().unwrap();
    make_folder(folder.path());
    // Elsewhere, so it does not matter.
    make_link("/nowhere", folder.path().join("broken")).unwrap();
    let paths = |subdirectory| {
        package_folder(folder.path(), Some(subdirectory), Format::Zip).map(|(package, bytes)| {
            let paths: Vec<String> = unzipped(&bytes).into_iter().map(|file| file.0).collect();
            (package.readme.is_some(), paths.join(" "))
        })
    };
    assert_eq!(
        paths("modules").unwrap(),
        (false, "a/main.tf run".to_owned())
    );
    assert_eq!(paths("modules/a/").unwrap().1, "main.tf");
    assert_eq!(paths("linked").unwrap().1, "main.tf");
    for (subdirectory, reason) in [
        ("nothing", "MissingSubdirectory"),
        ("main.tf", "MissingSubdirectory"),
        (".git", "MissingSubdirectory"),
        ("../x", "UnsafePath"),
        ("/etc", "UnsafePath"),
        ("modules/..", "UnsafePath"),
        ("", "UnsafePath"),
    ] {
        let error = paths(subdirectory).expect_err(subdirectory);
        assert_eq!(error.reason(), reason, "{subdirectory}");
    }
}

#[test]
fn folders_with_special_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("main.tf"), b"x").unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("pipe"), 0o644.into()).unwrap();
    let error = package_folder(folder.path(), None, Format::Zip).expect_err("a pipe");
    assert_eq!(error.reason(), "UnsupportedArchive");
    fs::remove_file(folder.path().join("pipe")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
    let error = package_folder(folder.path(), None, Format::Zip).expect_err("a socket");
    assert_eq!(error.reason(), "UnsupportedArchive");
}

#[test]
fn folders_with_links_out_are_refused() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("main.tf"), b"x").unwrap();
    fs::write(outside.path().join("secret"), b"x").unwrap();
    let link = folder.path().join("link");
    let neighbour = Path::new("..").join(outside.path().file_name().unwrap());
    for target in [outside.path(), &neighbour, &neighbour.join("secret")] {
        make_link(target, &link).unwrap();
        let error = package_folder(folder.path(), None, Format::Zip).expect_err("a link out");
        assert_eq!(error.reason(), "UnsafePath", "{target:?}");
        fs::remove_file(&link).unwrap();
    }
}

#[test]
fn nothing_to_package_is_an_error() {
    let empty = tempfile::tempdir().unwrap();
    let error = package_folder(empty.path(), None, Format::Zip).expect_err("empty");
    assert_eq!(error.reason(), "EmptyModule");
    let only_git = zip(&[Spec::new("top/.git/x", b"x"), Spec::folder("top/d/")]);
    let error = package_bytes(&only_git.bytes, Wrapper::Strip).expect_err("empty");
    assert_eq!(error.reason(), "EmptyModule");
    let error = package_bytes(&zip(&[]).bytes, Wrapper::Strip).expect_err("empty");
    assert_eq!(error.reason(), "EmptyModule");
}

#[test]
fn a_large_or_binary_readme_is_cut_and_made_text() {
    let large = "\u{20ac}".repeat(4 << 20);
    let (package, _) = package_bytes(
        &zip(&[Spec::stored("ReadMe", large.as_bytes())]).bytes,
        Wrapper::Keep,
    )
    .unwrap();
    let readme = package.readme.unwrap();
    assert_eq!(readme.len(), (256 << 10) / 3 * 3);
    assert!(large.starts_with(&readme));
    let (package, _) = package_bytes(
        &zip(&[Spec::stored("docs/README.rst", &[0xff; 300 << 10])]).bytes,
        Wrapper::Keep,
    )
    .unwrap();
    let readme = package.readme.unwrap();
    assert!(readme.len() <= 256 << 10 && readme.chars().all(|c| c == '\u{fffd}'));
}

#[test]
fn a_commit_must_look_like_one() {
    for comment in ["", "c0ffee", "HEAD", &"g".repeat(40)] {
        let bytes = zip_with(&[Spec::new("a", b"x")], b"", comment.as_bytes()).bytes;
        assert_eq!(package_bytes(&bytes, Wrapper::Keep).unwrap().0.commit, None);
    }
}

#[test]
fn archives_are_known_by_their_first_bytes() {
    for (bytes, expected) in [
        (as_zip(""), Some(Sniffed::Zip)),
        (zip(&[]).bytes, Some(Sniffed::Zip)),
        (gzip(b""), Some(Sniffed::Gzip)),
        (as_tar(""), Some(Sniffed::Tar)),
        (b"<html>".to_vec(), None),
        (Vec::new(), None),
    ] {
        assert_eq!(sniff(on_disk(&bytes).path()).unwrap(), expected);
    }
}

#[test]
fn file_formats_of_the_original_are_known() {
    for (file_format, extension) in [
        (None, Some("zip")),
        (Some("zip"), Some("zip")),
        (Some("tar"), Some("tar.gz")),
        (Some("tar.gz"), Some("tar.gz")),
        (Some("rar"), None),
    ] {
        assert_eq!(
            Format::of_file_format(file_format).map(Format::extension),
            extension
        );
    }
}
