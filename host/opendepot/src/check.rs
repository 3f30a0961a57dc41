//! `check-config`: the effective configuration, and where each value came from.

use crate::config::Settled;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Prints YAML: settled values with their source behind them, then the file's sections.
pub(crate) fn print(settled: &Settled) -> anyhow::Result<ExitCode> {
    let mut text = String::from("# effective configuration\n");
    for (key, value, source) in &settled.values {
        writeln!(text, "{key}: {value} # {source}")?;
    }
    let config = &settled.config;
    writeln!(text, "# settled: auth {:?}, tls {:?}", config.auth, config.tls)?;
    let mut sections = serde_json::to_value(&config.file)?;
    if let Some(sections) = sections.as_object_mut() {
        sections.retain(|key, _| !settled.values.iter().any(|(settled, ..)| settled == key));
        sections.retain(|_, value| !value.is_null());
    }
    text.push_str(&serde_saphyr::to_string(&sections)?);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    crate::say(&text)
}
