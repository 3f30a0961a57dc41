//! `check-config`: the effective configuration, and where each value came from.

use crate::config::{Config, Settled};
use crate::egress::Egress;
use crate::oci::Puller;
use opendepot_plugin::{HostConfig, PluginHost, PluginState};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Prints YAML: settled values with their source behind them, then the file's sections.
pub(crate) fn print(settled: &Settled) -> anyhow::Result<ExitCode> {
    let mut text = String::from("# effective configuration\n");
    for (key, value, source) in &settled.values {
        writeln!(text, "{key}: {value} # {source}")?;
    }
    let config = &settled.config;
    writeln!(
        text,
        "# settled: auth {:?}, tls {:?}",
        config.auth, config.tls
    )?;
    let mut sections = serde_json::to_value(&config.file)?;
    if let Some(sections) = sections.as_object_mut() {
        sections.retain(|key, _| !settled.values.iter().any(|(settled, ..)| settled == key));
        sections.retain(|_, value| !value.is_null());
    }
    text.push_str(&serde_saphyr::to_string(&sections)?);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    crate::say(&text)?;
    check_plugins(config)
}

/// Loads the plugins as `serve` would: their settings and grants are a part of the configuration.
fn check_plugins(config: &Config) -> anyhow::Result<ExitCode> {
    let host = HostConfig {
        // What is checked leaves nothing behind.
        compile: crate::plugins::compile(None),
        ..crate::plugins::host_config(config)?
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let services = Puller::of_a_look(config)?.with(Egress::new(config)?.services());
    let plugins = runtime.block_on(PluginHost::load_with(host, services))?;
    let mut code = ExitCode::SUCCESS;
    for plugin in plugins.describe() {
        if let PluginState::Failed(reason) = &plugin.state {
            eprintln!("error: plugin `{}`: {reason}", plugin.name);
            code = ExitCode::from(crate::EXIT_USAGE);
        }
    }
    Ok(code)
}
