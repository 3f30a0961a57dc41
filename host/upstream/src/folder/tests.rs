use super::beneath::{open_folder, stepwise};
use super::*;
use opendepot_domain::{Kind, Platform, ResourceName, Sha256, Version};
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

const BYTES: &[u8] = b"PK\x03\x04 a package";
const STEM: &str = "terraform-provider-demo_1.0.0";

fn demo() -> (ResourceName, Version, Platform) {
    (
        ResourceName::new("demo").unwrap(),
        Version::parse("1.0.0").unwrap(),
        Platform::new("linux", "amd64").unwrap(),
    )
}

/// A root with `dist/1.0.0` in it, holding one package.
fn release() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("dist/1.0.0");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{STEM}_linux_amd64.zip")), BYTES).unwrap();
    root
}

fn write(root: &TempDir, name: &str, content: impl AsRef<[u8]>) {
    fs::write(root.path().join("dist/1.0.0").join(name), content).unwrap();
}

fn package(root: &TempDir) -> Result<LocalPackage, Error> {
    let (name, version, platform) = demo();
    ReleaseFolder::open(root.path(), "dist/1.0.0")?.package(&name, &version, &platform)
}

#[test]
fn a_folder_stays_the_one_that_was_opened() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("modules/vpc")).unwrap();
    fs::write(root.path().join("modules/vpc/main.tf"), "one").unwrap();
    let folder = ModuleFolder::open(root.path(), "./modules//vpc/").unwrap();
    fs::rename(root.path().join("modules/vpc"), root.path().join("old")).unwrap();
    fs::create_dir(root.path().join("modules/vpc")).unwrap();
    fs::write(root.path().join("modules/vpc/main.tf"), "two").unwrap();
    assert_eq!(
        fs::read_to_string(folder.path().join("main.tf")).unwrap(),
        "one"
    );
}

#[test]
fn nothing_leads_out_of_the_root() {
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("secret")).unwrap();
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    fs::create_dir_all(path.join("real/inner")).unwrap();
    fs::write(path.join("file"), "x").unwrap();
    symlink(outside.path(), path.join("out")).unwrap();
    symlink("real", path.join("alias")).unwrap();
    symlink("/proc/self/root", path.join("magic")).unwrap();
    assert!(open_folder(path, "real/inner").is_ok());
    for hostile in [
        "..",
        "real/..",
        "../x",
        "/etc",
        "real/../../etc",
        "real\\inner",
        "real\0",
        "",
        ".",
        "out",
        "out/secret",
        "alias",
        "alias/inner",
        "magic/etc",
        "file",
        "file/x",
    ] {
        let error = open_folder(path, hostile).unwrap_err();
        assert!(
            matches!(error, Error::Path { .. }),
            "{hostile:?}: {error:?}"
        );
        assert_eq!(error.kind(), Kind::Invalid);
    }
    assert!(matches!(
        open_folder(path, "gone").unwrap_err(),
        Error::PathNotFound { .. }
    ));
    assert!(open_folder(path, &"a/".repeat(100)).is_err());
    // The operator's root may be a link.
    let link = outside.path().join("root");
    symlink(path, &link).unwrap();
    assert!(open_folder(&link, "real/inner").is_ok());
}

#[test]
fn the_way_without_openat2_refuses_the_same() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("real/inner")).unwrap();
    symlink("real", root.path().join("alias")).unwrap();
    symlink("/", root.path().join("out")).unwrap();
    let open = |segments: &[&str]| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = rustix::fs::open(root.path(), flags, Mode::empty()).unwrap();
        stepwise(fd, segments)
    };
    assert!(open(&["real", "inner"]).is_ok());
    for hostile in [
        &["alias"][..],
        &["alias", "inner"],
        &["out", "etc"],
        &["gone"],
    ] {
        assert!(open(hostile).is_err(), "{hostile:?}");
    }
}

#[test]
fn a_package_without_anything_else() {
    let root = release();
    let mut found = package(&root).unwrap();
    assert_eq!(found.file_name, format!("{STEM}_linux_amd64.zip"));
    assert!(found.sha256.is_none() && found.protocols.is_empty() && found.signature.is_none());
    assert!(found.verify(&Sha256::of(b"anything")).is_ok());
    let mut bytes = Vec::new();
    found.file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, BYTES);
}

#[test]
fn a_complete_release_as_goreleaser_writes_it() {
    let root = release();
    let manifest = r#"{"version": 1, "metadata": {"protocol_versions": ["6.0", "5.1"]}}"#;
    write(&root, &format!("{STEM}_manifest.json"), manifest);
    let sums = format!(
        "{}  {STEM}_linux_amd64.zip\n{}  {STEM}_manifest.json\n",
        Sha256::of(BYTES),
        Sha256::of(manifest.as_bytes())
    );
    write(&root, &format!("{STEM}_SHA256SUMS"), &sums);
    write(&root, &format!("{STEM}_SHA256SUMS.sig"), b"signature");
    let found = package(&root).unwrap();
    assert_eq!(found.protocols, ["6.0", "5.1"]);
    assert_eq!(found.sums_text.as_deref(), Some(sums.as_str()));
    assert_eq!(found.signature.as_deref(), Some(&b"signature"[..]));
    assert!(found.verify(&Sha256::of(BYTES)).is_ok());
    let error = found.verify(&Sha256::of(b"other")).unwrap_err();
    assert_eq!(error.reason(), "DigestMismatch");
}

#[test]
fn sums_and_manifests_that_do_not_fit_are_refused() {
    let zip = format!("{STEM}_linux_amd64.zip");
    let digest = Sha256::of(BYTES);
    for (case, sums) in [
        ("not listed", format!("{digest}  other.zip\n")),
        ("twice", format!("{digest}  {zip}\n{digest}  {zip}\n")),
        ("carriage returns", format!("{digest}  {zip}\r\n")),
        (
            "manifest differs",
            format!("{digest}  {zip}\n{digest}  {STEM}_manifest.json\n"),
        ),
    ] {
        let root = release();
        write(
            &root,
            &format!("{STEM}_manifest.json"),
            r#"{"metadata": {"protocol_versions": ["6.0"]}}"#,
        );
        write(&root, &format!("{STEM}_SHA256SUMS"), sums);
        let error = package(&root).unwrap_err();
        assert!(matches!(error, Error::Digest { .. }), "{case}: {error}");
    }
    for manifest in [
        "",
        "{}",
        "[]",
        r#"{"metadata": {"protocol_versions": []}}"#,
        r#"{"metadata": {"protocol_versions": ["six"]}}"#,
    ] {
        let root = release();
        write(&root, &format!("{STEM}_manifest.json"), manifest);
        assert!(
            matches!(package(&root).unwrap_err(), Error::Path { .. }),
            "{manifest}"
        );
    }
    let root = release();
    write(&root, &format!("{STEM}_manifest.json"), vec![b' '; 100_000]);
    assert!(package(&root).is_err());
}

#[test]
fn platforms_are_those_that_have_a_package() {
    let root = release();
    for name in [
        format!("{STEM}_darwin_arm64.zip"),
        format!("{STEM}_Linux_amd64.zip"),
        format!("{STEM}_linux.zip"),
        format!("{STEM}_linux_amd64.zip.sig"),
        "terraform-provider-demo_1.0.1_linux_arm64.zip".to_owned(),
        "terraform-provider-other_1.0.0_linux_arm64.zip".to_owned(),
    ] {
        write(&root, &name, b"");
    }
    let (name, version, _) = demo();
    let folder = ReleaseFolder::open(root.path(), "dist/1.0.0").unwrap();
    let platforms = folder.platforms(&name, &version).unwrap();
    let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["darwin_arm64", "linux_amd64"]);
    // Listing leaves the folder usable, also twice.
    assert_eq!(folder.platforms(&name, &version).unwrap().len(), 2);
}

#[test]
fn a_platform_without_a_package_and_links_in_place_of_files() {
    let root = release();
    let (name, version, _) = demo();
    let folder = ReleaseFolder::open(root.path(), "dist/1.0.0").unwrap();
    let plan9 = Platform::new("plan9", "amd64").unwrap();
    let error = folder.package(&name, &version, &plan9).unwrap_err();
    assert_eq!(error.reason(), "PlatformUnavailable");
    let target = root
        .path()
        .join("dist/1.0.0")
        .join(format!("{STEM}_plan9_amd64.zip"));
    symlink("/etc/passwd", &target).unwrap();
    assert!(matches!(
        folder.package(&name, &version, &plan9).unwrap_err(),
        Error::Path { .. }
    ));
    fs::remove_file(&target).unwrap();
    fs::create_dir(&target).unwrap();
    assert!(matches!(
        folder.package(&name, &version, &plan9).unwrap_err(),
        Error::Path { .. }
    ));
    assert!(ReleaseFolder::open(root.path(), "dist/2.0.0").is_err());
}
