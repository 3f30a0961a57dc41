//! The files of a new plugin, made of what is in this binary.
//!
//! The sources are those of `plugins/template`, `plugins/sdk` and `wit`. Templates of Rust are
//! crates of the plugins' workspace, so names in them are `template-auth` and the like; elsewhere
//! `@NAME@` and `@WORLD@` are.

use crate::cli::{PluginLanguage, PluginWorld};

/// Every file of the three folders and the lock file, by its path in the clone.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/template.rs"));

/// The version of the contract that new plugins speak.
const WIT_VERSION: &str = "0.1.0";
/// Where the templates of Rust find the SDK, and where a new plugin has it.
const SDK_PATHS: [&str; 2] = ["\"../../../sdk\"", "\"sdk\""];
/// Where the SDK finds the contract, and where it does in a new plugin.
const WIT_PATHS: [&str; 2] = ["\"../../wit/", "\"wit/"];

impl PluginWorld {
    /// The world's name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Scan => "scan",
            Self::Storage => "storage",
        }
    }
}

impl PluginLanguage {
    /// The folder of its templates.
    const fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Python => "python",
        }
    }
}

/// Path and content of every file of the new plugin `name`, in the order of their paths.
pub(super) fn files(
    name: &str,
    world: PluginWorld,
    language: PluginLanguage,
) -> Vec<(String, String)> {
    let template = Template { name, world };
    let (of_world, of_language) = (world.as_str(), language.folder());
    let mut files = Vec::new();
    for (path, text) in below(&format!("plugins/template/{of_language}/{of_world}/")) {
        files.push((path.to_owned(), template.filled(text)));
    }
    let yaml = of(&format!("plugins/template/world/{of_world}/plugin.yaml"));
    files.push(("plugin.yaml".to_owned(), template.filled(yaml)));
    let shared = |file: &str| of(&format!("plugins/template/{of_language}/{file}"));
    files.push((".gitignore".to_owned(), shared("gitignore").to_owned()));
    let try_it = of(&format!("plugins/template/world/{of_world}/try.md"));
    let readme = shared("README.md").replace("@TRY@", try_it);
    files.push(("README.md".to_owned(), template.filled(&readme)));
    match language {
        PluginLanguage::Rust => {
            for (path, text) in &mut files {
                if path == "Cargo.toml" {
                    text.push_str(shared("workspace.toml"));
                }
            }
            // With more crates in it than a plugin needs, which the first build drops.
            let lock = of("plugins/Cargo.lock");
            files.push(("Cargo.lock".to_owned(), lock.to_owned()));
            files.extend(sdk(shared("sdk.toml")));
        }
        PluginLanguage::Js => {
            for file in ["build.mjs", "package.json", "package-lock.json"] {
                files.push((file.to_owned(), template.filled(shared(file))));
            }
            files.extend(wit("wit", of_world));
        }
        PluginLanguage::Python => {
            let pinned = shared("requirements.txt");
            files.push(("requirements.txt".to_owned(), pinned.to_owned()));
            files.extend(wit("wit", of_world));
        }
    }
    files.sort();
    files
}

/// What is written into the placeholders.
struct Template<'a> {
    name: &'a str,
    world: PluginWorld,
}

impl Template<'_> {
    fn filled(&self, text: &str) -> String {
        let world = self.world.as_str();
        let [from, to] = SDK_PATHS;
        text.replace("@NAME@", self.name)
            .replace("@WORLD@", world)
            .replace(&format!("template-{world}"), self.name)
            .replace(from, to)
    }
}

/// The SDK as a crate of its own, with the contract inside.
fn sdk(manifest: &str) -> Vec<(String, String)> {
    let mut files = vec![("sdk/Cargo.toml".to_owned(), manifest.to_owned())];
    let [from, to] = WIT_PATHS;
    for (path, text) in below("plugins/sdk/src/") {
        files.push((format!("sdk/src/{path}"), text.replace(from, to)));
    }
    for package in ["host", "auth", "scan", "storage"] {
        files.extend(wit(&format!("sdk/wit/{package}@{WIT_VERSION}"), package));
    }
    files
}

/// The contract of one package, with what it uses.
fn wit(folder: &str, package: &str) -> Vec<(String, String)> {
    below(&format!("wit/{package}@{WIT_VERSION}/"))
        .map(|(path, text)| (format!("{folder}/{path}"), text.to_owned()))
        .collect()
}

/// The files below a folder, by their paths in it.
fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().filter_map(move |(path, text)| {
        let path = path.strip_prefix(folder)?;
        Some((path, *text))
    })
}

/// One file; the tests ask for every one that is named here.
fn of(path: &str) -> &'static str {
    let found = FILES.iter().find(|(name, _)| *name == path);
    found.map_or("", |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    const WORLDS: [PluginWorld; 3] = [PluginWorld::Auth, PluginWorld::Scan, PluginWorld::Storage];

    fn new(world: PluginWorld, language: PluginLanguage) -> BTreeMap<String, String> {
        let files = files("my-policy", world, language);
        let num = files.len();
        let files: BTreeMap<_, _> = files.into_iter().collect();
        assert_eq!(files.len(), num, "a file twice");
        files
    }

    #[test]
    fn every_template_is_whole_and_filled_in() {
        for (language, expected) in [
            (
                PluginLanguage::Rust,
                &[
                    "Cargo.toml",
                    "Cargo.lock",
                    "src/lib.rs",
                    "tests/built.rs",
                    "sdk/Cargo.toml",
                    "sdk/src/lib.rs",
                    "sdk/wit/host@0.1.0/host.wit",
                ][..],
            ),
            (
                PluginLanguage::Js,
                &[
                    "package.json",
                    "package-lock.json",
                    "build.mjs",
                    "policy.mjs",
                    "plugin.mjs",
                    "policy.test.mjs",
                    "wit/deps/host/host.wit",
                ],
            ),
            (
                PluginLanguage::Python,
                &[
                    "requirements.txt",
                    "policy.py",
                    "app.py",
                    "test_policy.py",
                    "wit/deps/host/host.wit",
                ],
            ),
        ] {
            for world in WORLDS {
                let files = new(world, language);
                let common = ["plugin.yaml", "README.md", ".gitignore"];
                for file in expected.iter().chain(&common) {
                    let text = files.get(*file).map_or("", String::as_str);
                    assert!(!text.trim().is_empty(), "{file} of {language:?} {world:?}");
                }
                for (path, text) in &files {
                    for left in ["@NAME@", "@WORLD@", "@TRY@", "\"../.."] {
                        assert!(!text.contains(left), "`{left}` in {path}");
                    }
                    let own = !path.starts_with("sdk/") && path != "Cargo.lock";
                    assert!(!own || !text.contains("template-"), "{path}");
                }
                let manifest = &files["plugin.yaml"];
                assert!(manifest.contains("name: my-policy"), "{manifest}");
                let declared = format!("world: {}", world.as_str());
                assert!(manifest.contains(&declared), "{manifest}");
            }
        }
    }

    #[test]
    fn a_new_crate_is_a_workspace_with_the_sdk_inside() {
        for world in WORLDS {
            let files = new(world, PluginLanguage::Rust);
            let manifest = &files["Cargo.toml"];
            for part in ["name = \"my-policy\"", "[workspace]", "path = \"sdk\""] {
                assert!(manifest.contains(part), "{part}: {manifest}");
            }
            let bindings = &files["sdk/src/bindings/mod.rs"];
            for package in ["host", "auth", "scan", "storage"] {
                let path = format!("wit/{package}@{WIT_VERSION}");
                assert!(bindings.contains(&format!("path: \"{path}\"")), "{path}");
                assert!(
                    files
                        .keys()
                        .any(|file| file.starts_with(&format!("sdk/{path}/")))
                );
            }
        }
    }

    /// The `[features]` and `[dependencies]` of a manifest: name, and the rest without what only a
    /// member of a workspace says.
    fn lines(manifest: &str, section: &str) -> BTreeSet<String> {
        let rest = manifest.split(&format!("[{section}]\n")).nth(1).unwrap();
        let section = rest.split("\n[").next().unwrap();
        let lines = section.lines().filter(|line| line.contains('='));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn the_sdk_depends_on_what_it_depends_on_here() {
        let written = of("plugins/template/rust/sdk.toml");
        let ours = of("plugins/sdk/Cargo.toml");
        assert_eq!(lines(written, "features"), lines(ours, "features"));
        let workspace = include_str!("../../../../plugins/Cargo.toml");
        let pinned = lines(workspace, "workspace.dependencies");
        let mut expected = BTreeSet::new();
        for line in lines(ours, "dependencies") {
            let name = line.split([' ', '.']).next().unwrap();
            let of_name = |pinned: &&String| pinned.split(' ').next() == Some(name);
            let pinned = pinned.iter().find(of_name).unwrap();
            expected.insert(if line.contains("optional = true") {
                pinned.replace(" }", ", optional = true }")
            } else {
                pinned.clone()
            });
        }
        assert_eq!(lines(written, "dependencies"), expected);
        for key in ["edition", "rust-version", "license"] {
            let line = |text: &str| {
                let line = text
                    .lines()
                    .find(|line| line.starts_with(&format!("{key} =")));
                line.unwrap().to_owned()
            };
            assert_eq!(line(written), line(workspace), "{key}");
        }
    }
}
