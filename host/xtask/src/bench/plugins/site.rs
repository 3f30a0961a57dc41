//! A registry with one module, and plugins to put beside it.

use super::super::Run;
use super::super::content::{module_yaml, place, write_module_source};
use super::super::subject::{Listed, NAMESPACE, Subject};
use crate::workspace;
use anyhow::{Context, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The module, with one version.
pub(super) const MODULE: &str = "hello";
const VERSION: &str = "1.0.0";

/// Where it all is; removed when dropped.
pub(super) struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    pub(super) fn new() -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("opendepot-bench-")
            .tempdir()?;
        let manifests = dir.path().join("manifests");
        write_module_source(&manifests, MODULE, VERSION)?;
        let yaml = module_yaml(MODULE, &[VERSION.to_owned()]);
        place(&manifests.join("hello.yaml"), &yaml)?;
        // As the server makes it: for its user alone.
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700).create(dir.path().join("data"))?;
        Ok(Self { dir })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The folder whose plugins need no entry on loopback.
    pub(super) fn plugins(&self) -> PathBuf {
        self.path().join("data/plugins")
    }

    /// Writes a configuration with these entries.
    pub(super) fn config(&self, name: &str, entries: &[String]) -> Result<PathBuf> {
        let file = self.path().join(name);
        let text = match entries {
            [] => "plugins: []\n".to_owned(),
            entries => format!("plugins:\n{}", entries.concat()),
        };
        fs::write(&file, text)?;
        Ok(file)
    }

    /// Starts a server that may list the module to anybody, and waits until it does.
    pub(super) async fn serve(&self, run: &Run, config: Option<&Path>) -> Result<Subject> {
        let mut subject = Subject::start(&run.binary, self.path(), config).await?;
        subject.wait_listed(Listed::Module(MODULE), 1, "").await?;
        subject.wait_quiet().await?;
        Ok(subject)
    }
}

/// The URL of the module's list.
pub(super) fn list_url(subject: &Subject) -> String {
    subject.url(&Listed::Module(MODULE).path())
}

/// The URL of the module's bytes: whoever has it was asked about before.
pub(super) async fn archive_url(subject: &Subject) -> Result<String> {
    let path = format!("/opendepot/modules/v1/{NAMESPACE}/{MODULE}/local/{VERSION}/download");
    let page = reqwest::Url::parse(&subject.url(&path))?;
    let answer = crate::http::client(None)?.get(page.clone()).send().await?;
    let link = answer.headers().get("x-terraform-get");
    let link = link.context("no `X-Terraform-Get`")?.to_str()?;
    Ok(page.join(link)?.to_string())
}

/// A built-in as the build left it, with a digest of its own.
pub(super) struct Copy {
    pub(super) folder: PathBuf,
    pub(super) digest: String,
}

impl Copy {
    /// Writes `builtin` as the plugin `name` into `parent`, or changes it there: `number` goes into a
    /// custom section, which nothing reads.
    pub(super) fn write(
        run: &Run,
        builtin: &str,
        parent: &Path,
        name: &str,
        number: u8,
    ) -> Result<Self> {
        let built = workspace::target(&run.root).join("plugins").join(builtin);
        let read = |file: &str| {
            let path = built.join(file);
            fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))
        };
        let mut component = read("plugin.wasm")?;
        component.extend([0, 3, 1, b'n', number]);
        let manifest = String::from_utf8(read("plugin.yaml")?)?;
        let manifest = manifest.replacen(&format!("name: {builtin}"), &format!("name: {name}"), 1);
        let folder = parent.join(name);
        put(&folder, "plugin.wasm", &component)?;
        put(&folder, "plugin.yaml", manifest.as_bytes())?;
        Ok(Self {
            digest: hex::encode(Sha256::digest(&component)),
            folder,
        })
    }
}

/// Puts a file into a plugin folder at once.
pub(super) fn put(folder: &Path, file: &str, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(folder)?;
    let partial = folder.join(format!(".{file}"));
    fs::write(&partial, bytes)?;
    Ok(fs::rename(partial, folder.join(file))?)
}

/// What `/version` says of a plugin.
pub(super) async fn told(subject: &Subject, name: &str) -> Result<Option<Value>> {
    let all = plugins(subject).await?;
    Ok(all.into_iter().find(|plugin| plugin["name"] == name))
}

/// What `/version` says of all plugins.
pub(super) async fn plugins(subject: &Subject) -> Result<Vec<Value>> {
    let version = subject.admin("/version").await?;
    let plugins = version.get("plugins").and_then(Value::as_array);
    Ok(plugins.context("`/version` names no plugins")?.clone())
}
