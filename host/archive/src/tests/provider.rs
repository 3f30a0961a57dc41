//! Provider packages.

use super::build::{Spec, file, gzip, tar, zip};
use super::on_disk;
use crate::{Cancel, Error, Limits, ProviderInspection, copy_executable, inspect_provider};
use opendepot_domain::{ResourceName, Sha256};

fn null() -> ResourceName {
    ResourceName::new("null").unwrap()
}

fn inspect(bytes: &[u8]) -> Result<ProviderInspection, Error> {
    inspect_provider(
        on_disk(bytes).path(),
        &null(),
        &Limits::provider(),
        &Cancel::default(),
    )
}

fn executable(name: &str) -> Spec {
    Spec::new(name, b"\x7fELF").mode(0o100_755)
}

#[test]
fn the_directory_hash_is_the_one_clients_compute() {
    let archive = zip(&[
        executable("terraform-provider-null_v3.2.3_x5"),
        Spec::folder("docs/"),
        Spec::stored("docs/index.md", b"# null\n"),
        Spec::new("LICENSE", b"MPL"),
    ]);
    let found = inspect(&archive.bytes).unwrap();
    let lines = format!(
        "{}  LICENSE\n{}  docs/index.md\n{}  terraform-provider-null_v3.2.3_x5\n",
        Sha256::of(b"MPL"),
        Sha256::of(b"# null\n"),
        Sha256::of(b"\x7fELF"),
    );
    assert_eq!(
        found.h1.as_str(),
        format!("h1:{}", Sha256::of(lines.as_bytes()).to_base64())
    );
    assert_eq!(found.executable, "terraform-provider-null_v3.2.3_x5");
    assert_eq!((found.entries, found.unpacked_bytes), (4, 14));
}

#[test]
fn a_directory_hash_worked_out_elsewhere() {
    // printf of the line `sha256("x")  terraform-provider-null\n`, then sha256 and base64.
    let found = inspect(&zip(&[Spec::new("terraform-provider-null", b"x")]).bytes).unwrap();
    assert_eq!(
        found.h1.as_str(),
        "h1:jr4laGy8Q4kju2bMQ6Yng/5rD1M5U9mz7Tq1G0thY+I="
    );
}

#[test]
fn the_names_that_clients_start_are_accepted() {
    for name in [
        "terraform-provider-null",
        "terraform-provider-null.exe",
        "terraform-provider-null_v3.2.3",
        "terraform-provider-null_v3.2.3_x5.exe",
        "terraform-provider-null_3.2.3",
    ] {
        let archive = zip(&[executable(name), Spec::new("README.md", b"")]);
        assert_eq!(inspect(&archive.bytes).unwrap().executable, name);
    }
}

#[test]
fn a_package_for_another_resource_names_the_one_that_would_fit() {
    for (name, fits) in [
        ("terraform-provider-random_v1.0.0", Some("random")),
        ("terraform-provider-null-ext", Some("null-ext")),
        ("terraform-provider-nullx.exe", Some("nullx")),
        ("terraform-provider-UPPER_v1", None),
        ("bin/terraform-provider-null_v1.0.0", None),
        ("null", None),
    ] {
        let error = inspect(&zip(&[executable(name)]).bytes).expect_err(name);
        let Error::MissingExecutable { expected, found } = &error else {
            panic!("{name}: {error}");
        };
        assert_eq!(expected, "terraform-provider-null");
        assert_eq!(found.as_deref(), fits, "{name}");
        assert_eq!(
            error.to_string().contains("would fit"),
            fits.is_some(),
            "{error}"
        );
    }
}

#[test]
fn doubtful_packages_are_refused() {
    let good = || executable("terraform-provider-null_v1.0.0");
    for (case, bytes, reason) in [
        (
            "two executables",
            zip(&[good(), executable("terraform-provider-null.exe")]).bytes,
            "AmbiguousExecutable",
        ),
        (
            "set-user-id",
            zip(&[good().mode(0o104_755)]).bytes,
            "SpecialMode",
        ),
        (
            "set-group-id beside it",
            zip(&[good(), Spec::new("helper", b"x").mode(0o102_755)]).bytes,
            "SpecialMode",
        ),
        (
            "link as executable",
            zip(&[Spec::link("terraform-provider-null", "/bin/sh")]).bytes,
            "UnsupportedArchive",
        ),
        (
            "link beside it",
            zip(&[good(), Spec::link("a", "b")]).bytes,
            "UnsupportedArchive",
        ),
        (
            "escaping name",
            zip(&[good(), Spec::new("../x", b"x")]).bytes,
            "UnsafePath",
        ),
        (
            "name from the current folder",
            zip(&[good(), Spec::new("./x", b"x")]).bytes,
            "UnsafePath",
        ),
        (
            "line break in a name",
            zip(&[good(), Spec::new("a\r\nb", b"x")]).bytes,
            "UnsafePath",
        ),
        (
            "tar",
            gzip(&tar(&[file("terraform-provider-null", b"x")])),
            "UnsupportedArchive",
        ),
        ("web page", b"<html>".to_vec(), "NotAnArchive"),
        ("empty", zip(&[]).bytes, "MissingExecutable"),
    ] {
        let error = inspect(&bytes).expect_err(case);
        assert_eq!(error.reason(), reason, "{case}: {error}");
    }
}

#[test]
fn a_name_that_differs_in_case_alone_is_a_second_executable() {
    let aws = ResourceName::new("aws").unwrap();
    for (double, is_refused) in [
        ("Terraform-Provider-aws_v1.0.0", true),
        ("terraform-provider-AWS_V1.0.0", true),
        ("terraform-provider-aw\u{17f}_v1.0.0", true),
        ("docs/Terraform-Provider-aws_v1.0.0", false),
        ("TERRAFORM-PROVIDER-AWS", false),
    ] {
        let entries = [
            executable("terraform-provider-aws_v1.0.0"),
            Spec::new(double, b"x"),
        ];
        let file = on_disk(&zip(&entries).bytes);
        let found = inspect_provider(file.path(), &aws, &Limits::provider(), &Cancel::default());
        let is_ambiguous = matches!(found, Err(Error::AmbiguousExecutable { .. }));
        assert_eq!(is_ambiguous, is_refused, "{double}: {found:?}");
    }
}

#[test]
fn the_executable_can_be_copied_out() {
    let archive = on_disk(
        &zip(&[
            Spec::new("LICENSE", b"MPL"),
            executable("terraform-provider-null_v1.0.0"),
        ])
        .bytes,
    );
    let mut copied = Vec::new();
    let size = copy_executable(
        archive.path(),
        &null(),
        &mut copied,
        &Limits::provider(),
        &Cancel::default(),
    )
    .unwrap();
    assert_eq!((size, copied.as_slice()), (4, &b"\x7fELF"[..]));
}
