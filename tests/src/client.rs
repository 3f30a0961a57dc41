//! The real clients, each run in a folder of its own with nothing of the user's configuration.

use crate::server::Registry;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OpenTofu 1.12.6.
    Tofu,
    /// OpenTofu 1.6.2.
    TofuOld,
    /// Terraform, whichever is installed.
    Terraform,
}

impl Kind {
    fn program(self) -> PathBuf {
        match self {
            Self::Tofu => tool("OPENDEPOT_TOFU", "tofu-1.12.6/tofu"),
            Self::TofuOld => tool("OPENDEPOT_TOFU_OLD", "tofu-1.6.2/tofu"),
            Self::Terraform => match std::env::var_os("OPENDEPOT_TERRAFORM") {
                Some(path) => PathBuf::from(path),
                None => std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
                    .map(|dir| dir.join("terraform"))
                    .find(|path| path.is_file())
                    .expect(
                        "terraform is not on PATH; `cargo xtask test` skips these tests by name",
                    ),
            },
        }
    }
}

/// A tool by its environment variable, else from the cache of `cargo xtask tools`. A name that
/// ends in `-` stands for the newest entry that begins so.
pub fn tool(variable: &str, cached: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return PathBuf::from(path);
    }
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => std::env::home_dir().expect("a home folder").join(".cache"),
    }
    .join("opendepot/tools/1");
    let path = if cached.ends_with('-') {
        fs::read_dir(&cache)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(cached))
            .max_by_key(|entry| entry.metadata().and_then(|m| m.modified()).ok())
            .map(|entry| entry.path())
    } else {
        Some(cache.join(cached)).filter(|path| path.exists())
    };
    path.unwrap_or_else(|| {
        panic!(
            "no `{cached}` in `{}`; run `cargo xtask tools`",
            cache.display()
        )
    })
}

/// A configuration folder with a client to run in it.
pub struct Client {
    kind: Kind,
    program: PathBuf,
    dir: TempDir,
    ca: PathBuf,
}

/// What a client did.
#[derive(Debug)]
pub struct Outcome {
    /// Whether it exited with 0.
    pub is_success: bool,
    /// Standard output and standard error, in that order.
    pub text: String,
}

impl Outcome {
    /// Panics with everything it said unless it succeeded.
    #[track_caller]
    pub fn expect_success(&self) -> &Self {
        assert!(self.is_success, "the client failed:\n{}", self.text);
        self
    }

    /// Panics unless it failed and said `words` (line breaks and boxes do not matter).
    #[track_caller]
    pub fn expect_failure(&self, words: &str) -> &Self {
        assert!(!self.is_success, "the client succeeded:\n{}", self.text);
        let flat = self.text.replace('│', " ");
        let flat = flat.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(words), "no `{words}` in:\n{}", self.text);
        self
    }
}

impl Client {
    /// A client in a new folder with this `main.tf`; `HOST` in it becomes the registry's
    /// `address:port`.
    pub fn new(kind: Kind, registry: &Registry, main: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("opendepot-client-")
            .tempdir()
            .unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        fs::write(dir.path().join("cli.tfrc"), "").unwrap();
        let client = Self {
            kind,
            program: kind.program(),
            dir,
            ca: registry.ca(),
        };
        client.write(
            "main.tf",
            &main.replace("HOST", &registry.setup().address().to_string()),
        );
        client
    }

    /// Which client this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The configuration folder.
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Writes a file of the configuration.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.work().join(name), text).unwrap();
    }

    /// The dependency lock file.
    pub fn lock(&self) -> String {
        fs::read_to_string(self.work().join(".terraform.lock.hcl")).unwrap_or_default()
    }

    /// Writes credentials for the registry into the command line configuration.
    pub fn set_token(&self, registry: &Registry, token: &str) {
        let host = registry.setup().address();
        let text = format!("credentials \"{host}\" {{\n  token = \"{token}\"\n}}\n");
        fs::write(self.dir.path().join("cli.tfrc"), text).unwrap();
    }

    /// Runs the client with arguments, `-no-color` added.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .args(
                arguments
                    .first()
                    .filter(|a| **a != "output")
                    .map(|_| "-no-color"),
            )
            .current_dir(self.work())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path().join("home"))
            .env("TF_CLI_CONFIG_FILE", self.dir.path().join("cli.tfrc"))
            .env("SSL_CERT_FILE", &self.ca)
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_INPUT", "0");
        run_within(&mut command, Duration::from_secs(120))
    }

    /// The value of an output, as text.
    pub fn output(&self, name: &str) -> String {
        let outcome = self.run(&["output", "-raw", name]);
        outcome.expect_success().text.trim().to_owned()
    }
}

/// Runs a command to its end or kills it when `within` is over, which fails the test.
pub fn run_within(command: &mut Command, within: Duration) -> Outcome {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let reader = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = reader(Box::new(child.stdout.take().unwrap()));
    let stderr = reader(Box::new(child.stderr.take().unwrap()));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > within {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} still ran after {within:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let text = stdout.join().unwrap() + &stderr.join().unwrap();
    Outcome {
        is_success: status.success(),
        text,
    }
}
