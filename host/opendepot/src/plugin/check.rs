//! `plugin check`: what a plugin is, and whether a registry would load it.

use super::{Manifest, settings};
use crate::cli::PluginCheckArgs;
use anyhow::Context as _;
use opendepot_domain::{PluginId, Sha256};
use opendepot_plugin::{
    GrantsConfig, HostConfig, Invoker, InvokerConfig, Limits, PluginEntry, PluginHost, PluginInfo,
    PluginPolicy, PluginState, Source, World,
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
        .with_context(|| format!("there is no folder or file `{}`", args.folder.display()))?;
    let settings = settings(args.settings.as_deref())?;
    if !folder.is_dir() {
        return tokio::runtime::Runtime::new()?.block_on(check_file(&folder, settings));
    }
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

/// A component without its `plugin.yaml`: the same questions, as far as it can answer them alone.
async fn check_file(file: &Path, settings: Value) -> anyhow::Result<ExitCode> {
    let has_settings = !settings.is_null();
    let config = InvokerConfig {
        settings,
        compile: super::compile(),
        ..InvokerConfig::default()
    };
    let invoker = match Invoker::open(file, config).await {
        Ok(invoker) => invoker,
        Err(error) => {
            eprintln!("error: a registry would refuse it: {error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let facts = invoker.facts();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "world     {}, `{}`",
        facts.world,
        facts.world.export()
    );
    let _ = writeln!(text, "size      {} bytes", facts.size_bytes);
    let _ = writeln!(text, "sha256    {}", facts.digest);
    for import in &facts.imports {
        let _ = writeln!(text, "imports   `{import}`");
    }
    crate::say(&text)?;
    let functions: &[&str] = match facts.world {
        World::Auth => &["validate", "prepare"],
        World::Storage | World::Scan => &["validate"],
    };
    for function in functions {
        let refusal = match invoker.invoke(function, &Value::Null).await?.answer {
            Ok(Ok(_)) => continue,
            // Without a `plugin.yaml` it has no defaults, so that it may well want some.
            Ok(Err(error)) if !has_settings => {
                let problems = problems(&error);
                crate::say(&format!("needs     settings: {problems}\n"))?;
                break;
            }
            Ok(Err(error)) => format!("`{function}` answered: {}", problems(&error)),
            Err(fault) => format!("`{function}` failed: {fault}; {}", fault.advice()),
        };
        eprintln!("error: a registry would refuse it: {refusal}");
        return Ok(ExitCode::FAILURE);
    }
    crate::say(
        "a registry would load it from a folder with a `plugin.yaml`, which says what it asks for\n",
    )
}

/// A guest's error as people read it.
fn problems(error: &Value) -> String {
    let listed = error.get("invalid-settings").and_then(Value::as_array);
    let Some(listed) = listed else {
        return error.to_string().escape_debug().take(400).collect();
    };
    let text = |problem: &Value, name: &str| {
        let text = problem.get(name).and_then(Value::as_str);
        text.unwrap_or_default().escape_debug().take(400).collect()
    };
    let problems = listed.iter().map(|problem| {
        let (path, message): (String, String) = (text(problem, "path"), text(problem, "message"));
        format!("{path}: {message}")
    });
    problems.take(10).collect::<Vec<_>>().join("; ")
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
        compile: super::compile(),
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
    let name = Manifest::read(folder).map(|(manifest, _)| manifest.metadata.name);
    let digest = info.digest.map(|digest| digest.to_string());
    format!(
        "plugins:\n  - name: {}\n    source: {{ folder: {} }}\n    sha256: {}\n",
        name.as_ref().map_or("NAME", PluginId::as_str),
        Value::from(folder.to_string_lossy()),
        digest.unwrap_or_default()
    )
}
