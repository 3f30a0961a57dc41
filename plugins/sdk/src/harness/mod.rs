//! The built component under the real host, for a plugin's own tests.
//!
//! [`Component`] runs `opendepot plugin run`, which calls one function of the component under the
//! limits, deadlines and grants that a registry would give it. The binary is `$OPENDEPOT`, else
//! `opendepot` on the PATH. Build the component first: `opendepot plugin build`.
//!
//! ```no_run
//! # #[cfg(feature = "auth")]
//! # fn test() {
//! use opendepot_plugin_sdk::auth::{Action, Decision};
//! use opendepot_plugin_sdk::fixture::auth::{module, subject};
//! use opendepot_plugin_sdk::harness::Component;
//!
//! let plugin = Component::built().settings(r#"{"groups": ["platform"]}"#);
//! let answer = plugin.authorize(&subject(&["dev"]), &Action::Publish, &[module("demo", "vpc")]);
//! assert!(matches!(answer.unwrap().as_slice(), [Decision::Deny(_)]));
//! # }
//! ```
//!
//! **What bounds it.** One process a call, and the deadlines of the host.
//!
//! **What may surprise.** An error that the plugin answers is an `Err`; everything else that keeps
//! a call from an answer (a trap, a missing component or binary) is a panic that says what to do.

#![expect(
    clippy::panic,
    reason = "part of a test: the way it reports is to panic with what it saw"
)]

#[cfg(feature = "auth")]
mod auth;
mod json;
#[cfg(feature = "scan")]
mod scan;
#[cfg(feature = "storage")]
mod storage;

use json::FromJson;
use serde_json::{Map, Value};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The files of a built plugin.
const FILES: [&str; 2] = ["plugin.yaml", "plugin.wasm"];

/// A built plugin, and what each call of it gets besides its arguments.
#[derive(Clone, Debug)]
pub struct Component {
    folder: PathBuf,
    settings: Option<String>,
    now: Option<u64>,
}

impl Component {
    /// What `opendepot plugin build` made of the crate whose test this is.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    #[track_caller]
    pub fn built() -> Self {
        // Cargo says it to every test that it runs; by hand the working directory has to do.
        let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from);
        Self::in_folder(root.join("dist"))
    }

    /// A folder with `plugin.yaml` and `plugin.wasm`.
    ///
    /// # Panics
    /// When one of them is not there.
    #[must_use]
    #[track_caller]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        for file in FILES.map(|name| folder.join(name)) {
            if !file.is_file() {
                panic!(
                    "there is no `{}`: run `opendepot plugin build` first",
                    file.display()
                );
            }
        }
        Self {
            folder,
            settings: None,
            now: None,
        }
    }

    /// Settings as JSON text, in place of those of `plugin.yaml`.
    #[must_use]
    pub fn settings(self, settings: impl Into<String>) -> Self {
        Self {
            settings: Some(settings.into()),
            ..self
        }
    }

    /// The time of the calls in Unix seconds, in place of the clock's.
    #[must_use]
    pub fn at(self, now: u64) -> Self {
        Self {
            now: Some(now),
            ..self
        }
    }

    /// The settings and the time, for worlds whose functions take both by these names.
    #[cfg(any(feature = "auth", feature = "scan"))]
    fn arguments(&self, with_now: bool) -> Map<String, Value> {
        let mut arguments = Map::new();
        if let Some(settings) = &self.settings {
            arguments.insert("settings".to_owned(), settings.as_str().into());
        }
        if let Some(now) = self.now.filter(|_| with_now) {
            arguments.insert("now".to_owned(), now.into());
        }
        arguments
    }

    /// Calls one function; the inner result is the plugin's.
    #[track_caller]
    fn call<T: FromJson, E: FromJson>(
        &self,
        function: &str,
        arguments: Map<String, Value>,
    ) -> Result<T, E> {
        let binary = std::env::var_os("OPENDEPOT").unwrap_or_else(|| "opendepot".into());
        match ask(Path::new(&binary), &self.folder, function, arguments) {
            Ok(answer) => answer,
            Err(message) => panic!("cannot call `{function}`: {message}"),
        }
    }
}

fn ask<T: FromJson, E: FromJson>(
    binary: &Path,
    folder: &Path,
    function: &str,
    arguments: Map<String, Value>,
) -> Result<Result<T, E>, String> {
    let mut child = Command::new(binary)
        .args(["plugin", "run"])
        .arg(folder)
        .args([function, "--input", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            format!(
                "cannot start `{}`: {error}; set OPENDEPOT to the path of the binary `opendepot`, \
                 or put its folder on the PATH",
                binary.display()
            )
        })?;
    let input = Value::Object(arguments).to_string();
    // Written beside reading: an answer may fill its pipe while the input fills the other one.
    let writer = child
        .stdin
        .take()
        .map(|mut stdin| std::thread::spawn(move || stdin.write_all(input.as_bytes())));
    let output = child
        .wait_with_output()
        .map_err(|error| format!("cannot read what `{}` says: {error}", binary.display()))?;
    // A program that failed early does not read its input; what it says counts, not this.
    drop(writer.map(std::thread::JoinHandle::join));
    answer_of(&output.stdout)?.ok_or_else(|| {
        format!(
            "`{} plugin run` ended with {} and without an answer: {}",
            binary.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        )
    })
}

/// The answer on standard output, when there is one.
fn answer_of<T: FromJson, E: FromJson>(stdout: &[u8]) -> Result<Option<Result<T, E>>, String> {
    let Ok(Value::Object(answer)) = serde_json::from_slice(stdout) else {
        return Ok(None);
    };
    match (answer.get("ok"), answer.get("err")) {
        (Some(ok), None) => T::from_json(ok).map(|ok| Some(Ok(ok))),
        (None, Some(err)) => E::from_json(err).map(|err| Some(Err(err))),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
