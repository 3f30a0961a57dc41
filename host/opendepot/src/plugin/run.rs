//! `plugin run`: one call of one function.

use super::{grants, settings};
use crate::cli::PluginRunArgs;
use anyhow::Context as _;
use opendepot_plugin::{Fault, Invocation, Invoker, InvokerConfig};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

/// Prints the answer, and on standard error what the call took.
pub(crate) fn run(args: &PluginRunArgs) -> anyhow::Result<ExitCode> {
    let input = input(args.input.as_deref())?;
    let config = InvokerConfig {
        settings: settings(args.settings.as_deref())?,
        grants: grants(args.grants.as_deref())?.unwrap_or_default(),
        secrets_dir: args.secrets_dir.clone(),
        compile: super::compile(),
        ..InvokerConfig::default()
    };
    tokio::runtime::Runtime::new()?.block_on(async {
        let invoker = Invoker::open(&args.plugin, config)
            .await
            .with_context(|| format!("cannot load `{}`", args.plugin.display()))?;
        if args.example {
            let example = invoker.example(&args.function).await?;
            return crate::say(&format!("{example:#}\n"));
        }
        let invocation = invoker.invoke(&args.function, &input).await?;
        report(&invoker, &args.function, &invocation);
        match invocation.answer {
            Ok(Ok(answer)) => crate::say(&line("ok", &answer)),
            Ok(Err(error)) => {
                crate::say(&line("err", &error))?;
                Ok(ExitCode::FAILURE)
            }
            Err(fault) => {
                eprintln!("error: {}", explain(&fault));
                Ok(ExitCode::FAILURE)
            }
        }
    })
}

/// The answer on one line, without characters that a terminal would obey or not show.
fn line(case: &str, value: &Value) -> String {
    let mut line = String::new();
    for char in json!({ case: value }).to_string().chars() {
        if matches!(char, ' '..='~') || (!char.is_ascii() && char.escape_debug().len() == 1) {
            line.push(char);
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
    }
    line.push('\n');
    line
}

fn report(invoker: &Invoker, function: &str, invocation: &Invocation) {
    for (level, line) in &invocation.log {
        eprintln!("log {level}: {line}");
    }
    let limits = invoker.limits();
    let deadline = invoker.deadline(function).unwrap_or_default();
    eprintln!(
        "loaded in {:.1} ms; called in {:.3} ms of {} ms; memory {} KiB of {} KiB; host calls {} of {}",
        invoker.facts().compile_time.as_secs_f64() * 1e3,
        invocation.elapsed.as_secs_f64() * 1e3,
        deadline.as_millis(),
        invocation.memory_bytes.div_ceil(1 << 10),
        limits.memory_bytes >> 10,
        invocation.num_host_calls,
        limits.num_host_calls,
    );
}

fn explain(fault: &Fault) -> String {
    match fault {
        Fault::Trap { class, message } => format!(
            "no answer: {} ({} trap: {message})\nhint: {}",
            class.meaning(),
            class.label(),
            fault.advice()
        ),
        other => format!("no answer: {other}\nhint: {}", other.advice()),
    }
}

fn input(file: Option<&Path>) -> anyhow::Result<Value> {
    let Some(file) = file else {
        return Ok(Value::Null);
    };
    let (name, text) = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the input")?;
        ("the input".to_owned(), text)
    } else {
        let name = format!("`{}`", file.display());
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
        (name, text)
    };
    serde_json::from_str(&text).with_context(|| format!("{name} is not JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_line_and_still_what_was_answered() {
        let answer = json!("a\nb\u{1b}[31m\u{7f}\u{9b}\u{202e}é🦀\u{e0001}\"\\");
        let line = line("ok", &answer);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(
            line.contains("é🦀") && line.contains("\\udb40\\udc01"),
            "{line}"
        );
        assert!(
            !line.contains(['\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}']),
            "{line}"
        );
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read, json!({ "ok": answer }));
    }
}
