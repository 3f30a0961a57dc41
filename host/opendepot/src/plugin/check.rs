//! `plugin check`: what a plugin is, and whether a registry would load it.

use crate::cli::PluginCheckArgs;
use anyhow::{Context as _, bail};
use opendepot_domain::{PluginId, Sha256};
use opendepot_plugin::{
    GrantsConfig, HostConfig, Limits, PluginEntry, PluginHost, PluginInfo, PluginPolicy,
    PluginState, Source,
};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Prints what is known of it, and what an operator would write to list it.
pub(crate) fn check(args: &PluginCheckArgs) -> anyhow::Result<ExitCode> {
    let folder = args
        .folder
        .canonicalize()
        .with_context(|| format!("there is no folder `{}`", args.folder.display()))?;
    if !folder.is_dir() {
        bail!(
            "`{}` is no folder; name the one with `plugin.yaml` and the component",
            args.folder.display()
        );
    }
    let settings = settings(args.settings.as_deref())?;
    let info = tokio::runtime::Runtime::new()?.block_on(async {
        // The digest is what listing it pins, so it has to be known first.
        let unpinned = load(&folder, None, &settings).await?;
        match unpinned.digest {
            Some(digest) => load(&folder, Some(digest), &settings).await,
            None => Ok(unpinned),
        }
    })?;
    crate::say(&facts(&info))?;
    match &info.state {
        PluginState::Failed(reason) => {
            eprintln!("error: a registry would refuse it: {reason}");
            if args.settings.is_none() {
                eprintln!("the operator's settings, where it needs any, come from --settings FILE");
            }
            Ok(ExitCode::FAILURE)
        }
        _ => crate::say(&format!(
            "a registry would load it\n\n{}",
            entry(&info, &folder)
        )),
    }
}

fn settings(file: Option<&Path>) -> anyhow::Result<Value> {
    let Some(file) = file else {
        return Ok(Value::Null);
    };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read `{}`", file.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("`{}` is not YAML", file.display()))
}

/// The one plugin as a host that lists nothing else sees it.
async fn load(
    folder: &Path,
    sha256: Option<Sha256>,
    settings: &Value,
) -> anyhow::Result<PluginInfo> {
    let host = PluginHost::load(HostConfig {
        entries: vec![PluginEntry {
            name: PluginId::new("checked")?,
            source: Source::Folder(folder.to_owned()),
            sha256,
            order: 100,
            settings: settings.clone(),
            grants: GrantsConfig::default(),
        }],
        // Has to be there; no entry names a built-in.
        builtin_dir: folder.to_owned(),
        plugin_dirs: Vec::new(),
        policy: PluginPolicy::default(),
        limits: Limits::default(),
        filesystem_root: PathBuf::from("/"),
        compile: crate::plugins::compile(None),
    })
    .await?;
    let infos = host.describe();
    let own = infos
        .into_iter()
        .find(|info| info.name.as_str() == "checked");
    own.context("the host does not know the plugin that it was given")
}

fn facts(info: &PluginInfo) -> String {
    let mut text = String::new();
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<9} {value}");
    };
    if let Some(version) = &info.version {
        fact("version", version.to_string());
    }
    if let Some(world) = info.world {
        fact("world", format!("{world}, `{}`", world.export()));
    }
    if let Some(size) = info.size_bytes {
        fact("size", format!("{size} bytes"));
    }
    if let Some(digest) = info.digest {
        fact("sha256", digest.to_string());
    }
    for import in &info.imports {
        fact("imports", format!("`{import}`"));
    }
    let needs = &info.needs;
    if needs.hosts {
        fact("asks for", "requests to hosts (`grants.hosts`)".to_owned());
    }
    for secret in &needs.secrets {
        let what = match secret.as_str() {
            "*" => "the secrets that its settings name".to_owned(),
            name => format!("the secret `{name}`"),
        };
        fact("asks for", format!("{what} (`grants.secrets`)"));
    }
    if needs.judge_findings {
        let what = "changing severities and suppressing findings (`grants.judge-findings`)";
        fact("asks for", what.to_owned());
    }
    for claim in &needs.claims {
        fact("asks for", format!("the claim `{claim}` (`grants.claims`)"));
    }
    text
}

/// The entry that lists it, to be pasted.
fn entry(info: &PluginInfo, folder: &Path) -> String {
    let name = folder.file_name().and_then(|name| name.to_str());
    // A folder may be called what no plugin may.
    let name = name.filter(|name| PluginId::new(*name).is_ok());
    let digest = info.digest.map(|digest| digest.to_string());
    format!(
        "plugins:\n  - name: {}\n    source: {{ folder: {} }}\n    sha256: {}\n",
        name.unwrap_or("NAME"),
        Value::from(folder.to_string_lossy()),
        digest.unwrap_or_default()
    )
}
