//! `opendepot plugin …`: what authors of plugins use.

mod build;
mod check;
mod new;
mod run;
mod template;
mod test;

pub(crate) use build::build;
pub(crate) use check::check;
pub(crate) use new::new;
pub(crate) use run::run;
pub(crate) use test::test;

use anyhow::Context as _;
use opendepot_domain::{FileName, PluginId};
use opendepot_plugin::{CompileConfig, GrantsConfig, World};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What an author declares.
const MANIFEST: &str = "plugin.yaml";

/// As much of `plugin.yaml` as these commands need; loading checks all of it.
#[derive(Debug, Deserialize)]
struct Manifest {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: PluginId,
}

#[derive(Debug, Deserialize)]
struct Spec {
    world: World,
    component: Option<FileName>,
}

impl Manifest {
    /// What `plugin.yaml` in `folder` says, and its text.
    fn read(folder: &Path) -> anyhow::Result<(Self, String)> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read `{}`, which every plugin has", path.display()))?;
        let options = serde_saphyr::options! { with_snippet: false };
        let manifest = serde_saphyr::from_str_with_options(&text, options)
            .with_context(|| format!("cannot use `{}`", path.display()))?;
        Ok((manifest, text))
    }
}

/// A path as people write it: without a leading `./`.
fn shown(path: &Path) -> &Path {
    path.strip_prefix(".").unwrap_or(path)
}

/// As a registry compiles. What was compiled once is kept for whoever runs this: an interpreter in
/// a component takes seconds, and authors ask again and again.
pub(crate) fn compile() -> CompileConfig {
    let given = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty());
    let home = given
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cache")));
    CompileConfig {
        // Nothing is served meanwhile, and somebody waits.
        niceness: 0,
        ..crate::plugins::compile(home.map(|cache| cache.join("opendepot")))
    }
}

/// The operator's settings in a YAML file; null without one.
fn settings(file: Option<&Path>) -> anyhow::Result<Value> {
    yaml(file).map(Option::unwrap_or_default)
}

/// What an entry would have under `grants`; nothing without a file.
fn grants(file: Option<&Path>) -> anyhow::Result<Option<GrantsConfig>> {
    yaml(file)
}

fn yaml<T: serde::de::DeserializeOwned>(file: Option<&Path>) -> anyhow::Result<Option<T>> {
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read `{}`", file.display()))?;
    let parsed = serde_saphyr::from_str(&text);
    parsed
        .map(Some)
        .with_context(|| format!("cannot use `{}`", file.display()))
}
