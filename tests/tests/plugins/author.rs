//! An author's folder and commands, and a registry that gets the result.

use opendepot_tests::server::{MODULES, binary};
use opendepot_tests::wait::SOON;
use opendepot_tests::{Module, Registry, Setup, fixture::NAMESPACE, sha256, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) const WORLDS: [&str; 3] = ["auth", "scan", "storage"];

/// One author at a time: a component of 12 MB is compiled at the lowest priority within 30 s, which
/// another author's cargo would take from it.
static ALONE: Mutex<()> = Mutex::new(());

/// An empty folder, and what is done in it.
pub(crate) struct Author {
    _alone: MutexGuard<'static, ()>,
    dir: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Author {
    /// In a folder of its own that is the same in every run, outside of this clone: cargo keeps what
    /// it builds by the place of the sources, so that a random one would fill the target folder.
    pub(crate) fn new(test: &str) -> Self {
        let clone = sha256(env!("CARGO_TARGET_TMPDIR").as_bytes());
        let clone = clone.get(..8).unwrap();
        let dir = std::env::temp_dir().join(format!("opendepot-author-{clone}-{test}"));
        // Absent, unless a run was ended.
        let _left = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        Self {
            // One that failed has left nothing that another one needs.
            _alone: ALONE.lock().unwrap_or_else(PoisonError::into_inner),
            dir,
            environment: Vec::new(),
        }
    }

    /// Adds a variable to the environment of every command.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<PathBuf>) {
        self.environment.push((name, value.into()));
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// `opendepot plugin …` in the empty folder.
    pub(crate) fn opendepot(&self, words: &[&str]) -> Output {
        let mut command = self.binary();
        command.arg("plugin").args(words);
        self.output(command, &self.dir)
    }

    /// The binary, which keeps what it compiles in this folder.
    fn binary(&self) -> Command {
        let mut command = Command::new(binary());
        command.env("XDG_CACHE_HOME", self.dir.join(".cache"));
        command
    }

    /// `opendepot plugin …` in the empty folder, which has to succeed; returns what it prints.
    #[track_caller]
    pub(crate) fn plugin(&self, words: &[&str]) -> String {
        succeeded(&format!("{words:?}"), self.opendepot(words))
    }

    /// A command in a plugin's folder, which has to succeed; returns what it prints.
    #[track_caller]
    pub(crate) fn run(&self, name: &str, words: &[&str]) -> String {
        let [program, arguments @ ..] = words else {
            panic!("no program");
        };
        let mut command = Command::new(program);
        command.args(arguments);
        let output = self.output(command, &self.folder(name));
        succeeded(&format!("{words:?} in {name}"), output)
    }

    fn output(&self, mut command: Command, folder: &Path) -> Output {
        // What the test's own cargo says is not for the author's.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let kept = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR"];
            if text.starts_with("CARGO") && !kept.iter().any(|kept| text.starts_with(kept)) {
                command.env_remove(&name);
            }
        }
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("OPENDEPOT", binary())
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
    }

    /// What every built plugin has to be, whatever it was written in.
    #[track_caller]
    pub(crate) fn judge(&self, name: &str, world: &str) {
        let dist = format!("{name}/dist");
        let said = self.plugin(&["check", &dist]);
        assert!(said.contains("a registry would load it"), "{said}");
        assert!(said.contains(&format!("world     {world}")), "{said}");
        // No world offers anything else, WASI least of all.
        let imports = said.lines().filter(|line| line.starts_with("imports"));
        for import in imports {
            assert!(import.contains("`opendepot:"), "{import}");
        }
        let said = self.plugin(&["test", &dist]);
        assert!(!said.contains("FAIL"), "{said}");
    }

    /// What `policy explain` says of a module that somebody without a credential asks for.
    pub(crate) fn explain(&self, registry: &Registry, module: &str) -> String {
        let mut command = self.binary();
        command
            .args(["policy", "explain", "--action", "list-versions", "--target"])
            .arg(format!("module/{NAMESPACE}/{module}"))
            .arg("--data-dir")
            .arg(registry.setup().data_dir());
        said(&self.output(command, &self.dir))
    }

    /// What one function of a built plugin answers.
    #[track_caller]
    pub(crate) fn ask(&self, name: &str, function: &str, input: &Value) -> Value {
        let mut child = self
            .binary()
            .args(["plugin", "run"])
            .arg(self.folder(name).join("dist"))
            .args([function, "--input", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.to_string().as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
    }
}

impl Drop for Author {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.dir);
    }
}

#[track_caller]
fn succeeded(what: &str, output: Output) -> String {
    let said = said(&output);
    assert!(output.status.success(), "{what}: {}\n{said}", output.status);
    said
}

/// All that a command prints.
pub(crate) fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// What the templates decide is the same in every language.
pub(crate) fn answers_as_its_world_does(author: &Author, name: &str, world: &str) {
    let target =
        |namespace: &str| json!({ "namespace": namespace, "kind": "module", "name": "vpc" });
    match world {
        "auth" => {
            let input = json!({
                "settings": r#"{"namespaces": ["secret-*"], "groups": ["platform"]}"#,
                "targets": [target("secret-a"), target("demo")],
            });
            let answer = author.ask(name, "authorize", &input);
            let reason = "only platform may have it";
            assert_eq!(answer, json!({ "ok": [{ "deny": reason }, "abstain"] }));
        }
        "scan" => {
            let finding = |id: &str, severity: &str| {
                json!({
                    "id": id, "package": "p", "installed-version": "1", "severity": severity,
                    "title": "", "attributes": [],
                })
            };
            let report = |findings: Value| {
                json!({
                    "scanner": "s", "scanned-at": 1, "scope": "module", "findings": findings,
                    "attributes": [],
                })
            };
            let verdict = |findings: Value| {
                let settings = r#"{"block": "high", "except": ["CVE-2"]}"#;
                let input = json!({ "settings": settings, "report": report(findings) });
                author.ask(name, "process", &input)["ok"]["verdict"].clone()
            };
            assert_eq!(verdict(json!([])), "publish");
            assert_eq!(verdict(json!([finding("CVE-2", "critical")])), "publish");
            let blocked = verdict(json!([finding("CVE-1", "high")]));
            let reason = blocked["block"].as_str().unwrap();
            assert!(reason.starts_with("CVE-1 (high"), "{reason}");
        }
        _ => {
            let configuration = json!({
                "operator": r#"{"store": "s3://depot"}"#, "backend": r#"{"folder": "x"}"#,
            });
            let input = json!({ "configuration": configuration });
            let placed = author.ask(name, "locate", &input)["ok"].clone();
            assert_eq!(placed["store"], "s3://depot");
            let key = placed["key"].as_str().unwrap();
            assert!(key.starts_with("x/module/demo/vpc/1.2.3/"), "{key}");
            let planned = author.ask(name, "plan", &json!({ "placement": placed }));
            assert_eq!(planned["ok"]["native"]["key"], key);
        }
    }
    let hostile = json!({ "settings": "[" });
    let hostile = match world {
        "storage" => json!({ "configuration": { "operator": "[" } }),
        _ => hostile,
    };
    let answer = author.ask(name, "validate", &hostile);
    assert!(answer["err"]["invalid-settings"].is_array(), "{answer}");
}

/// Drops a built auth plugin into the folder of a running registry: what everybody could read is
/// denied from then on, and can be read again when the plugin goes.
pub(crate) async fn is_obeyed(author: &Author, name: &str) {
    let setup = Setup::plain();
    Module::new("vpc").write(&setup.manifests());
    let registry = setup.start().await;
    registry.wait_module("vpc", &["1.0.0"]).await;
    let path = format!("{MODULES}/{NAMESPACE}/vpc/local/versions");
    let answers = async |status: u16| {
        let what = format!("{path} to answer {status}");
        wait_until(&what, SOON, || async {
            let found = registry.status(&path).await;
            (found == status).then_some(()).ok_or(found)
        })
        .await;
    };
    answers(200).await;
    let manifest = author.folder(name).join("dist/plugin.yaml");
    let open = fs::read_to_string(&manifest).unwrap();
    let closed = open.replace("namespaces: []", "namespaces: [\"*\"]");
    assert_ne!(open, closed);
    fs::write(&manifest, closed).unwrap();
    drop_until_refused(&registry, author, name, &path).await;
    take_away(&registry, name);
    answers(200).await;
}

/// Drops a built plugin into the folder of a running registry, and waits until it refuses `path`.
/// A registry compiles at the lowest priority, and gives up after 30 s until the folder changes: on
/// a busy machine it is dropped again.
pub(crate) async fn drop_until_refused(
    registry: &Registry,
    author: &Author,
    name: &str,
    path: &str,
) {
    drop_into(registry, author, name);
    let mut dropped = Instant::now();
    wait_until(&format!("{path} to be refused"), 5 * SOON, || {
        if dropped.elapsed() > SOON + Duration::from_secs(5) {
            drop_into(registry, author, name);
            dropped = Instant::now();
        }
        async {
            let found = registry.status(path).await;
            (found == 403).then_some(()).ok_or(found)
        }
    })
    .await;
}

/// `rm -r DATA_DIR/plugins/NAME`.
pub(crate) fn take_away(registry: &Registry, name: &str) {
    fs::remove_dir_all(registry.setup().data_dir().join("plugins").join(name)).unwrap();
}

/// `cp dist/* DATA_DIR/plugins/NAME/`.
fn drop_into(registry: &Registry, author: &Author, name: &str) {
    let folder = registry.setup().data_dir().join("plugins").join(name);
    fs::create_dir_all(&folder).unwrap();
    for file in ["plugin.wasm", "plugin.yaml"] {
        fs::copy(
            author.folder(name).join("dist").join(file),
            folder.join(file),
        )
        .unwrap();
    }
}
