//! What the tests publish: module folders, provider release folders and the resources for them.

use crate::sha256;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// The namespace that fixtures are in.
pub const NAMESPACE: &str = "team";

/// A Module with its source folders.
#[derive(Clone, Debug)]
pub struct Module {
    name: String,
    provider: Option<String>,
    config: Vec<String>,
    versions: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
    is_written: bool,
}

impl Module {
    /// A module whose one file has an input and an output. `provider: local`.
    pub fn new(name: &str) -> Self {
        let main = "variable \"name\" {\n  type = string\n}\n\noutput \"message\" {\n  \
                    value = \"Hello, ${var.name}, from @VERSION@\"\n}\n";
        Self {
            name: name.to_owned(),
            provider: Some("local".to_owned()),
            config: Vec::new(),
            versions: vec!["1.0.0".to_owned()],
            files: BTreeMap::from([("main.tf".to_owned(), main.as_bytes().to_vec())]),
            is_written: true,
        }
    }

    /// Sets or leaves out `moduleConfig.provider`.
    #[must_use]
    pub fn provider(mut self, provider: Option<&str>) -> Self {
        self.provider = provider.map(str::to_owned);
        self
    }

    /// Adds a line of YAML to `moduleConfig`, such as `fileFormat: tar.gz`.
    #[must_use]
    pub fn config(mut self, line: &str) -> Self {
        self.config.push(line.to_owned());
        self
    }

    /// Sets `spec.versions`, as written.
    #[must_use]
    pub fn versions(mut self, versions: &[&str]) -> Self {
        self.versions = versions.iter().map(|v| (*v).to_owned()).collect();
        self
    }

    /// Adds a file to every version; `@VERSION@` in it becomes the version.
    #[must_use]
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), bytes.into());
        self
    }

    /// Leaves the source folders out, so that no version can be fetched.
    #[must_use]
    pub fn without_sources(mut self) -> Self {
        self.is_written = false;
        self
    }

    /// The resource as YAML.
    pub fn yaml(&self) -> String {
        let name = &self.name;
        let mut yaml = format!(
            "apiVersion: opendepot.defdev.io/v1alpha1\nkind: Module\nmetadata:\n  name: {name}\n  \
             namespace: {NAMESPACE}\nspec:\n  moduleConfig:\n    name: {name}\n"
        );
        if let Some(provider) = &self.provider {
            writeln!(yaml, "    provider: {provider}").unwrap();
        }
        for line in &self.config {
            writeln!(yaml, "    {line}").unwrap();
        }
        writeln!(yaml, "    source:\n      path: \"src/{name}/{{version}}\"").unwrap();
        push_versions(&mut yaml, &self.versions);
        yaml
    }

    /// Writes the sources and the resource under a manifests folder.
    pub fn write(&self, manifests: &Path) {
        if self.is_written {
            for version in &self.versions {
                self.write_sources(manifests, version);
            }
        }
        write(
            &manifests.join(format!("{}.yaml", self.name)),
            self.yaml().as_bytes(),
        );
    }

    /// Writes the source folder of one version.
    pub fn write_sources(&self, manifests: &Path, version: &str) {
        let bare = version.strip_prefix('v').unwrap_or(version);
        let dir = manifests.join("src").join(&self.name).join(bare);
        for (path, bytes) in &self.files {
            let bytes = match std::str::from_utf8(bytes) {
                Ok(text) => text.replace("@VERSION@", bare).into_bytes(),
                Err(_) => bytes.clone(),
            };
            write(&dir.join(path), &bytes);
        }
    }
}

/// A Provider with its release folders, as goreleaser writes them.
#[derive(Clone, Debug)]
pub struct Release {
    name: String,
    versions: Vec<String>,
    platforms: Vec<(String, String)>,
    has_identical_archives: bool,
    protocols: Option<String>,
    version_lines: Vec<String>,
}

impl Release {
    /// A provider for `linux_amd64` and `darwin_arm64`, protocol 6.0. Its program is a text file:
    /// enough for everything but `apply`.
    pub fn new(name: &str) -> Self {
        let platform = |os: &str, arch: &str| (os.to_owned(), arch.to_owned());
        Self {
            name: name.to_owned(),
            versions: vec!["1.0.0".to_owned()],
            platforms: vec![platform("linux", "amd64"), platform("darwin", "arm64")],
            has_identical_archives: false,
            protocols: Some("6.0".to_owned()),
            version_lines: Vec::new(),
        }
    }

    /// Sets `spec.versions`, as written.
    #[must_use]
    pub fn versions(mut self, versions: &[&str]) -> Self {
        self.versions = versions.iter().map(|v| (*v).to_owned()).collect();
        self
    }

    /// Sets the platforms that the source has.
    #[must_use]
    pub fn platforms(mut self, platforms: &[(&str, &str)]) -> Self {
        let owned = |(os, arch): &(&str, &str)| ((*os).to_owned(), (*arch).to_owned());
        self.platforms = platforms.iter().map(owned).collect();
        self
    }

    /// Gives every platform the same archive.
    #[must_use]
    pub fn identical_archives(mut self) -> Self {
        self.has_identical_archives = true;
        self
    }

    /// Leaves the manifest out.
    #[must_use]
    pub fn without_manifest(mut self) -> Self {
        self.protocols = None;
        self
    }

    /// Adds a line of YAML to every entry of `spec.versions`.
    #[must_use]
    pub fn version_line(mut self, line: &str) -> Self {
        self.version_lines.push(line.to_owned());
        self
    }

    /// The resource as YAML. It asks for `windows` too, which the source never has.
    pub fn yaml(&self) -> String {
        provider_yaml(
            &self.name,
            &self.versions,
            &self.version_lines,
            &self.platforms,
        )
    }

    /// The archive of one platform.
    pub fn archive(&self, version: &str, os: &str, arch: &str) -> Vec<u8> {
        let platform = match self.has_identical_archives {
            true => "any".to_owned(),
            false => format!("{os}_{arch}"),
        };
        let name = format!("terraform-provider-{}_v{version}", self.name);
        zip(&[(
            &name,
            0o755,
            format!("#!/bin/false\n{name} {platform}\n").as_bytes(),
        )])
    }

    /// The conventional name of an archive.
    pub fn file_name(&self, version: &str, os: &str, arch: &str) -> String {
        format!("terraform-provider-{}_{version}_{os}_{arch}.zip", self.name)
    }

    /// Writes the release folders and the resource under a manifests folder.
    pub fn write(&self, manifests: &Path) {
        for version in &self.versions {
            let bare = version.strip_prefix('v').unwrap_or(version);
            let dir = manifests.join("dist").join(&self.name).join(bare);
            let mut sums = String::new();
            for (os, arch) in &self.platforms {
                let name = self.file_name(bare, os, arch);
                let bytes = self.archive(bare, os, arch);
                writeln!(sums, "{}  {name}", sha256(&bytes)).unwrap();
                write(&dir.join(name), &bytes);
            }
            let stem = format!("terraform-provider-{}_{bare}", self.name);
            if let Some(protocols) = &self.protocols {
                let manifest = format!(
                    r#"{{"version":1,"metadata":{{"protocol_versions":["{protocols}"]}}}}"#
                );
                let name = format!("{stem}_manifest.json");
                writeln!(sums, "{}  {name}", sha256(manifest.as_bytes())).unwrap();
                write(&dir.join(name), manifest.as_bytes());
            }
            write(&dir.join(format!("{stem}_SHA256SUMS")), sums.as_bytes());
        }
        write(
            &manifests.join(format!("{}.yaml", self.name)),
            self.yaml().as_bytes(),
        );
    }
}

/// Publishes the release folders that `cargo xtask tools` built from `examples/provider`, as the
/// provider `example`: a real one, which can be applied.
pub fn write_example_provider(manifests: &Path) {
    let from = crate::client::tool("OPENDEPOT_EXAMPLE_PROVIDER", "example-provider-");
    let mut versions = Vec::new();
    for entry in fs::read_dir(&from).unwrap() {
        let dir = entry.unwrap().path();
        let version = dir.file_name().unwrap().to_string_lossy().into_owned();
        let to = manifests.join("dist/example").join(&version);
        fs::create_dir_all(&to).unwrap();
        for file in fs::read_dir(&dir).unwrap() {
            let file = file.unwrap().path();
            fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
        versions.push(version);
    }
    versions.sort();
    let platforms = [
        ("linux", "amd64"),
        ("linux", "arm64"),
        ("darwin", "amd64"),
        ("darwin", "arm64"),
    ];
    let platforms = platforms.map(|(os, arch)| (os.to_owned(), arch.to_owned()));
    let yaml = provider_yaml("example", &versions, &[], &platforms);
    write(&manifests.join("example.yaml"), yaml.as_bytes());
}

fn provider_yaml(
    name: &str,
    versions: &[String],
    version_lines: &[String],
    platforms: &[(String, String)],
) -> String {
    let listed = |pick: fn(&(String, String)) -> &String| {
        let mut names: Vec<&str> = platforms.iter().map(|p| pick(p).as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    };
    let (systems, architectures) = (listed(|p| &p.0), listed(|p| &p.1));
    let mut yaml = format!(
        "apiVersion: opendepot.defdev.io/v1alpha1\nkind: Provider\nmetadata:\n  name: {name}\n  \
         namespace: {NAMESPACE}\nspec:\n  providerConfig:\n    name: {name}\n    \
         operatingSystems: [{systems}, windows]\n    architectures: [{architectures}]\n    \
         source:\n      path: \"dist/{name}/{{version}}\"\n"
    );
    yaml.push_str("  versions:\n");
    for version in versions {
        writeln!(yaml, "    - version: \"{version}\"").unwrap();
        for line in version_lines {
            writeln!(yaml, "      {line}").unwrap();
        }
    }
    yaml
}

fn push_versions(yaml: &mut String, versions: &[String]) {
    yaml.push_str("  versions:\n");
    for version in versions {
        writeln!(yaml, "    - version: \"{version}\"").unwrap();
    }
}

/// A zip of `(name, mode, bytes)`.
pub fn zip(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, mode, bytes) in entries {
        let options = zip::write::SimpleFileOptions::default().unix_permissions(*mode);
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The names and bytes of a zip's entries.
pub fn unzip(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("a zip archive");
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        entries.insert(entry.name().unwrap().into_owned(), content);
    }
    entries
}

/// Writes a file and the folders above it.
pub fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Bytes that do not compress, the same in every run.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    // xorshift64*: enough to defeat compression.
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
