//! `plugin test`: the conformance suite of a plugin's world.

use super::{grants, settings};
use crate::cli::PluginTestArgs;
use opendepot_conformance::Options;
use opendepot_plugin::Limits;
use std::process::ExitCode;

/// Prints a line a check.
pub(crate) fn test(args: &PluginTestArgs) -> anyhow::Result<ExitCode> {
    let options = Options {
        settings: settings(args.settings.as_deref())?,
        grants: grants(args.grants.as_deref())?,
        secrets_dir: args.secrets_dir.clone(),
        limits: limits(),
        compile: super::compile(),
        ..Options::default()
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(opendepot_conformance::run(&args.plugin, &options))?;
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&report)?)
    } else {
        report.to_string()
    };
    crate::say(&text)?;
    Ok(if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Those of a registry. An unoptimised host hands ten thousand targets over too slowly for them,
/// which is not the plugin's fault.
fn limits() -> Limits {
    const SLOWER: u32 = 20;
    let mut limits = Limits::default();
    if cfg!(debug_assertions) {
        limits.auth_timeout *= SLOWER;
        limits.scan_timeout *= SLOWER;
    }
    limits
}
