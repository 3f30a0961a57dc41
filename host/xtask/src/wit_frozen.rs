//! `cargo xtask wit-frozen`: released WIT packages are as they were, and copies are copies.

use crate::workspace;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const NAMESPACE: &str = "opendepot:";
const DEPENDENCIES: &str = "deps";
const RELEASED: &str = "RELEASED";

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Prints the line that releases this package, such as `host@0.1.0`, and checks nothing.
    #[arg(long, value_name = "NAME@VERSION")]
    print: Option<String>,
}

/// Checks the folder `wit/`.
///
/// # Errors
/// All that is wrong, together.
pub(crate) fn run(args: Args) -> Result<()> {
    let wit = workspace::root()?.join("wit");
    let packages = Package::all(&wit)?;
    if let Some(name) = args.print {
        let Some(package) = packages.get(&name) else {
            bail!("there is no package `{name}` in `{}`", wit.display());
        };
        println!("{}", line_of(&name, package));
        return Ok(());
    }
    let released = wit.join(RELEASED);
    let released = fs::read_to_string(&released)
        .with_context(|| format!("cannot read `{}`", released.display()))?;
    let problems = problems(&packages, &released);
    if !problems.is_empty() {
        bail!("{}", problems.join("\n       "));
    }
    for (name, package) in &packages {
        let state = if is_released(&released, name) {
            "released"
        } else {
            "draft"
        };
        println!("{NAMESPACE}{name:<16} {state:<9} {}", package.digest());
    }
    Ok(())
}

/// File names and contents.
type Files = BTreeMap<String, Vec<u8>>;

/// One folder of `wit/`.
struct Package {
    files: Files,
    dependencies: BTreeMap<String, Files>,
}

impl Package {
    /// Every package, by folder name.
    fn all(wit: &Path) -> Result<BTreeMap<String, Self>> {
        let mut packages = BTreeMap::new();
        for name in folders(wit)? {
            let folder = wit.join(&name);
            let mut dependencies = BTreeMap::new();
            let below = folder.join(DEPENDENCIES);
            if below.is_dir() {
                for dependency in folders(&below)? {
                    let files = files(&below.join(&dependency))?;
                    dependencies.insert(dependency, files);
                }
            }
            let files = files(&folder)?;
            packages.insert(
                name,
                Self {
                    files,
                    dependencies,
                },
            );
        }
        Ok(packages)
    }

    /// The digest over names and contents, lengths first.
    fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for (name, content) in &self.files {
            for part in [name.as_bytes(), content] {
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part);
            }
        }
        format!("sha256:{}", hex::encode(hasher.finalize()))
    }
}

fn line_of(name: &str, package: &Package) -> String {
    format!("{NAMESPACE}{name} {}", package.digest())
}

/// The lines of the list that are no comments.
fn entries(released: &str) -> impl Iterator<Item = &str> {
    released
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn is_released(released: &str, name: &str) -> bool {
    entries(released).any(|line| line.split(' ').next() == Some(&format!("{NAMESPACE}{name}")))
}

/// Everything that is wrong with the packages.
fn problems(packages: &BTreeMap<String, Package>, released: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, package) in packages {
        if declared(&package.files).as_deref() != Some(name) {
            problems.push(format!(
                "`wit/{name}` does not declare `package {NAMESPACE}{name};`"
            ));
        }
        for (folder, copy) in &package.dependencies {
            let Some(original) = declared(copy) else {
                problems.push(format!("`wit/{name}/deps/{folder}` declares no package"));
                continue;
            };
            match packages.get(&original) {
                None => problems.push(format!(
                    "`wit/{name}/deps/{folder}` is a copy of `{original}`, which is not in `wit/`"
                )),
                Some(original_package) if original_package.files != *copy => {
                    problems.push(format!(
                        "`wit/{name}/deps/{folder}` differs from `wit/{original}`: copy it again"
                    ));
                }
                Some(_) => {}
            }
            if is_released(released, name) && !is_released(released, &original) {
                problems.push(format!(
                    "`{name}` is released and uses `{original}`, which is not"
                ));
            }
        }
    }
    for line in entries(released) {
        let name = line
            .split(' ')
            .next()
            .and_then(|package| package.strip_prefix(NAMESPACE));
        match name.and_then(|name| Some((name, packages.get(name)?))) {
            None => problems.push(format!(
                "`wit/{RELEASED}` lists `{line}`, which is no package of `wit/`: released \
                 packages stay"
            )),
            Some((name, package)) if line_of(name, package) != line => problems.push(format!(
                "`wit/{name}` is released and was changed: restore it and make a new version \
                 beside it"
            )),
            Some(_) => {}
        }
    }
    problems
}

/// The `name@version` that the files declare; `None` unless they agree on one of ours.
fn declared(files: &Files) -> Option<String> {
    let mut names = files.values().filter_map(|content| {
        std::str::from_utf8(content).ok()?.lines().find_map(|line| {
            let rest = line.trim().strip_prefix("package ")?;
            Some(
                rest.strip_suffix(';')?
                    .trim()
                    .strip_prefix(NAMESPACE)?
                    .to_owned(),
            )
        })
    });
    let first = names.next()?;
    names.all(|name| name == first).then_some(first)
}

/// The visible folders in a folder, by name.
fn folders(path: &Path) -> Result<Vec<String>> {
    listed(path, Path::is_dir)
}

fn files(path: &Path) -> Result<Files> {
    listed(path, Path::is_file)?
        .into_iter()
        .map(|name| {
            let file = path.join(&name);
            let content =
                fs::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
            Ok((name, content))
        })
        .collect()
}

fn listed(path: &Path, keep: fn(&Path) -> bool) -> Result<Vec<String>> {
    let context = || format!("cannot list `{}`", path.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(path).with_context(context)? {
        let entry = entry.with_context(context)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if keep(&entry.path()) && !name.starts_with('.') && name != DEPENDENCIES {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(content: &str) -> Files {
        Files::from([("x.wit".to_owned(), content.as_bytes().to_vec())])
    }

    fn packages(host: &str, copy: &str) -> BTreeMap<String, Package> {
        let package = |content: &str, dependencies| Package {
            files: files(content),
            dependencies,
        };
        BTreeMap::from([
            ("host@0.1.0".to_owned(), package(host, BTreeMap::new())),
            (
                "auth@0.1.0".to_owned(),
                package(
                    "package opendepot:auth@0.1.0;",
                    BTreeMap::from([("host".to_owned(), files(copy))]),
                ),
            ),
        ])
    }

    const HOST: &str = "/// Doc.\npackage opendepot:host@0.1.0;\ninterface a {}";

    fn only(problems: &[String], part: &str) {
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(part), "{problems:?}");
    }

    #[test]
    fn drafts_may_change_while_copies_agree() {
        let packages = packages(HOST, HOST);
        assert!(problems(&packages, "# nothing yet\n\n").is_empty());
    }

    #[test]
    fn a_copy_that_differs_is_a_problem() {
        let packages = packages(HOST, &HOST.replace("Doc", "Other"));
        only(&problems(&packages, ""), "copy it again");
    }

    #[test]
    fn a_copy_of_nothing_is_a_problem() {
        let packages = packages(HOST, "package opendepot:host@0.2.0;");
        only(&problems(&packages, ""), "which is not in `wit/`");
    }

    #[test]
    fn a_folder_holds_the_package_that_it_is_named_for() {
        let packages = packages("package opendepot:host@0.1.1;", HOST);
        let found = problems(&packages, "");
        assert!(
            found
                .iter()
                .any(|problem| problem.contains("does not declare")),
            "{found:?}"
        );
    }

    #[test]
    fn a_released_package_that_changed_is_a_problem() {
        let before = packages(HOST, HOST);
        let released = line_of("host@0.1.0", &before["host@0.1.0"]);
        assert!(problems(&before, &released).is_empty());
        let changed = HOST.replace("Doc", "Other");
        let after = packages(&changed, &changed);
        only(&problems(&after, &released), "is released and was changed");
    }

    #[test]
    fn a_released_package_that_is_gone_is_a_problem() {
        let packages = packages(HOST, HOST);
        let released = "opendepot:scan@0.1.0 sha256:00";
        only(&problems(&packages, released), "released packages stay");
    }

    #[test]
    fn what_a_released_package_uses_is_released() {
        let packages = packages(HOST, HOST);
        let released = line_of("auth@0.1.0", &packages["auth@0.1.0"]);
        only(&problems(&packages, &released), "which is not");
    }

    #[test]
    fn an_entry_without_a_digest_guards_nothing_and_is_a_problem() {
        let packages = packages(HOST, HOST);
        only(&problems(&packages, "opendepot:host@0.1.0"), "was changed");
    }
}
