//! The S3 server that is measured with, and the plain reader beside it: `tests/examples/s3.rs`.

use super::super::Run;
use crate::process::{capture, cargo, run as run_command, shown};
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// As `opendepot_tests::s3` has them.
const BUCKET: &str = "depot";
const KEY: (&str, &str) = ("AKIAFIRSTKEY", "f1rst-5ecret-0f-the-bucket");

/// A running server; it ends when this is dropped.
pub(super) struct Bucket {
    program: PathBuf,
    child: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
    url: String,
}

impl Bucket {
    /// Builds and starts it.
    pub(super) fn start(run: &Run) -> Result<Self> {
        let mut build = cargo();
        build
            .args(["build", "--release", "--package", "opendepot-tests"])
            .args(["--example", "s3"])
            .current_dir(&run.root);
        eprintln!("running {}", shown(&build));
        run_command(&mut build)?;
        let program = workspace::target(&run.root).join("release/examples/s3");
        let mut child = Command::new(&program)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        let words = child.stdin.take().context("it has no input")?;
        let answers = BufReader::new(child.stdout.take().context("it has no output")?);
        let mut bucket = Self {
            program,
            child,
            words,
            answers,
            url: String::new(),
        };
        bucket.url = bucket.answer()?;
        Ok(bucket)
    }

    /// The configuration of a registry that keeps everything there.
    pub(super) fn config(&self, dir: &Path) -> Result<PathBuf> {
        let secrets = dir.join("secrets");
        fs::DirBuilder::new().mode(0o700).create(&secrets)?;
        let (id, secret) = KEY;
        let pair = format!(r#"{{ "accessKeyId": "{id}", "secretAccessKey": "{secret}" }}"#);
        fs::write(secrets.join("key"), pair)?;
        let file = dir.join("config.yaml");
        let (url, secrets) = (&self.url, secrets.display());
        fs::write(
            &file,
            format!(
                r#"plugins:
  - name: storage-s3
    source: {{ builtin: storage-s3 }}
    grants:
      stores: [{{ match: "s3://{BUCKET}", endpoint: "{url}", credentials: bucket }}]
      credentials: {{ bucket: {{ kind: aws-static, secret: key }} }}
pluginPolicy: {{ secretsDir: "{secrets}" }}
egress: {{ storage: {{ allowPrivate: ["127.0.0.0/8"], allowHttp: ["127.0.0.1"] }} }}
storage: {{ default: {{ s3: {{ bucket: {BUCKET}, region: eu-central-1 }} }} }}
"#
            ),
        )?;
        Ok(file)
    }

    /// How it behaves from now on.
    pub(super) fn set_mode(&mut self, mode: &str) -> Result<()> {
        match self.say(&format!("mode {mode}"))?.as_str() {
            "ok" => Ok(()),
            other => bail!("the server said `{other}`"),
        }
    }

    /// Requests since the last call, by what they do.
    pub(super) fn take_seen(&mut self) -> Result<BTreeMap<String, usize>> {
        Ok(serde_json::from_str(&self.say("seen")?)?)
    }

    /// The key of the object in this folder.
    pub(super) fn key_in(&mut self, folder: &str) -> Result<String> {
        let keys: Vec<String> = serde_json::from_str(&self.say("keys")?)?;
        let found = keys.into_iter().find(|key| key.starts_with(folder));
        found.with_context(|| format!("the bucket has nothing in `{folder}`"))
    }

    /// Bytes a second that a plain reader gets.
    pub(super) fn read(&self, key: &str, connections: u32, seconds: u32) -> Result<f64> {
        let (connections, seconds) = (connections.to_string(), seconds.to_string());
        let mut command = Command::new(&self.program);
        command.args(["read", &self.url, key, &connections, &seconds]);
        Ok(capture(&mut command)?.trim().parse()?)
    }

    fn say(&mut self, word: &str) -> Result<String> {
        writeln!(self.words, "{word}")?;
        self.words.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the S3 server has ended");
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
