//! `plugin new`: a folder that builds to a plugin as it is.

use super::{shown, template};
use crate::cli::{PluginLanguage, PluginNewArgs};
use anyhow::{Context as _, bail};
use opendepot_domain::PluginId;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// What no crate may be called: words of the language, crates that come with it, and the SDK.
const RESERVED: &str = "abstract alloc as async await become box break const continue core crate do dyn else enum \
    extern false final fn for gen if impl in let loop macro match mod move mut \
    opendepot-plugin-sdk override priv proc-macro pub ref return self static std struct super \
    test trait true try type typeof unsafe unsized use virtual where";

/// Writes the folder and prints what to do next.
pub(crate) fn new(args: &PluginNewArgs) -> anyhow::Result<ExitCode> {
    check_name(&args.name)?;
    let folder = args.dir.join(&args.name);
    check_free(&folder)?;
    for (path, text) in template::files(&args.name, args.world, args.lang) {
        let path = folder.join(path);
        let context = || format!("cannot write `{}`", path.display());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(context)?;
        }
        fs::write(&path, text).with_context(context)?;
    }
    let shown = shown(&folder);
    crate::say(&format!(
        "wrote `{}`. Next:\n\n{}\n`README.md` there goes on: trying it on a registry, and listing it.\n",
        shown.display(),
        next(shown, args.lang)
    ))
}

/// The name is a folder's, an operator's and a crate's.
fn check_name(name: &str) -> anyhow::Result<()> {
    if let Err(error) = PluginId::new(name) {
        bail!("{error}; such as `no-friday-deploys`");
    }
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        bail!("`{name}` begins with a digit, which no crate may: put a word before it");
    }
    if RESERVED.split(' ').any(|reserved| reserved == name) {
        bail!("`{name}` is a reserved name: take a longer one, such as `{name}-policy`");
    }
    Ok(())
}

/// Nothing that somebody wrote is written over.
fn check_free(folder: &Path) -> anyhow::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("cannot use `{}`", folder.display()))?,
    };
    if entries.count() > 0 {
        bail!(
            "`{}` is not empty: take another name, or another parent folder with --dir",
            folder.display()
        );
    }
    Ok(())
}

fn next(folder: &Path, language: PluginLanguage) -> String {
    let (policy, test, install) = match language {
        PluginLanguage::Rust => ("src/lib.rs", "cargo test", None),
        PluginLanguage::Js => ("policy.mjs", "npm test", Some("npm ci")),
        PluginLanguage::Python => (
            "policy.py",
            "python3 -m unittest",
            Some("python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"),
        ),
    };
    let mut commands = vec![
        format!("cd {}", quoted(folder)),
        format!("{test:<27} # tries {policy}, the policy"),
    ];
    commands.extend(install.map(str::to_owned));
    for (command, meaning) in [
        ("build", "makes dist/, which is what a registry loads"),
        ("check dist", "says whether one would"),
        ("test dist", "tries what its world demands of it"),
    ] {
        commands.push(format!("opendepot plugin {command:<10} # {meaning}"));
    }
    commands.iter().map(|line| format!("  {line}\n")).collect()
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::PluginWorld;

    fn args(name: &str, dir: &Path) -> PluginNewArgs {
        PluginNewArgs {
            name: name.to_owned(),
            world: PluginWorld::Auth,
            lang: PluginLanguage::Python,
            dir: dir.to_owned(),
        }
    }

    #[test]
    fn names_that_cannot_be_are_refused_with_the_remedy() {
        for (name, part) in [
            ("", "plugin name"),
            ("My_Policy", "lower-case letters"),
            ("../x", "lower-case letters"),
            ("-x", "lower-case letters"),
            ("9to5", "begins with a digit"),
            ("match", "`match-policy`"),
            ("opendepot-plugin-sdk", "reserved"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let error = new(&args(name, dir.path())).unwrap_err().to_string();
            assert!(error.contains(part), "{name}: {error}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{name}");
        }
    }

    #[test]
    fn nothing_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().join("not/there");
        new(&args("mine", &parent)).unwrap();
        assert!(parent.join("mine/policy.py").is_file());
        let error = new(&args("mine", &parent)).unwrap_err().to_string();
        assert!(
            error.contains("not empty") && error.contains("--dir"),
            "{error}"
        );
        // An empty one is what people make first.
        fs::create_dir(parent.join("empty")).unwrap();
        new(&args("empty", &parent)).unwrap();
        fs::write(parent.join("file"), "").unwrap();
        let error = new(&args("file", &parent)).unwrap_err().to_string();
        assert!(error.contains("cannot use"), "{error}");
    }

    #[test]
    fn a_path_goes_into_a_shell_as_it_is() {
        assert_eq!(quoted(Path::new("./a-b/c.d")), "./a-b/c.d");
        assert_eq!(quoted(Path::new("a b/it's")), r"'a b/it'\''s'");
    }
}
