//! `opendepot`: a private registry for OpenTofu and Terraform modules and providers.

mod admin;
mod check;
mod cli;
mod config;
mod control;
mod data;
mod egress;
mod heartbeat;
mod limits;
mod memory;
mod oci;
mod orphans;
mod paths;
mod plugin;
mod plugins;
mod policy;
mod progress;
mod resources;
mod run;
mod sources;
mod telemetry;
mod tokens;
mod verify;

use clap::{CommandFactory as _, FromArgMatches as _};
use cli::{Cli, Command, PluginCommand, PolicyCommand};
use std::process::ExitCode;

/// Wrong flags or configuration.
const EXIT_USAGE: u8 = 2;
/// Anything else that failed.
const EXIT_FAILURE: u8 = 1;

fn main() -> ExitCode {
    memory::bound_arenas();
    let mut own = std::env::args().skip(1);
    if own.next().as_deref() == Some(opendepot_plugin::WORKER_COMMAND) {
        // The host's own use: see `opendepot_plugin::compile_worker`.
        let code = opendepot_plugin::compile_worker(&own.next().unwrap_or_default());
        return ExitCode::from(u8::try_from(code).unwrap_or(EXIT_FAILURE));
    }
    let arguments = normalised(std::env::args().collect());
    let is_server = arguments
        .iter()
        .any(|argument| argument == "serve" || argument == "check-config");
    let (arguments, refused) = if is_server {
        config::without_refused(arguments)
    } else {
        (arguments, Vec::new())
    };
    let matches = match Cli::command().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => {
            eprint!("{}", config::Problems(refused));
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    let Ok(cli) = Cli::from_arg_matches(&matches) else {
        return ExitCode::from(EXIT_USAGE);
    };
    let sub = matches.subcommand().map(|(_, matches)| matches);
    match cli.command {
        Command::Serve(args) => match config::load(&args, sub, refused) {
            Ok(settled) => {
                let reload = config::Reload::new(&args, sub);
                outcome(run::serve(settled.config, reload))
            }
            Err(problems) => usage(&problems),
        },
        Command::CheckConfig(args) => match config::load(&args, sub, refused) {
            Ok(settled) => outcome(check::print(&settled)),
            Err(problems) => usage(&problems),
        },
        Command::Verify(args) => match config::load(&args.serve, sub, refused) {
            Ok(settled) => outcome(verify::run(settled.config, &args)),
            Err(problems) => usage(&problems),
        },
        Command::Plugin(PluginCommand::New(args)) => outcome(plugin::new(&args)),
        Command::Plugin(PluginCommand::Build(args)) => outcome(plugin::build(&args)),
        Command::Plugin(PluginCommand::Check(args)) => outcome(plugin::check(&args)),
        Command::Plugin(PluginCommand::Run(args)) => outcome(plugin::run(&args)),
        Command::Plugin(PluginCommand::Test(args)) => outcome(plugin::test(&args)),
        Command::Policy(PolicyCommand::Explain(args)) => {
            let own = sub.and_then(|policy| policy.subcommand());
            match config::load(&args.serve, own.map(|(_, matches)| matches), refused) {
                Ok(settled) => outcome(policy::explain(&settled.config, &args)),
                Err(problems) => usage(&problems),
            }
        }
        Command::Crds => outcome(
            opendepot_crds::to_yaml()
                .map_err(Into::into)
                .and_then(|yaml| say(&yaml)),
        ),
        Command::Status(args) => outcome(resources::status(&args)),
        Command::Annotate(args) => outcome(resources::annotate(&args)),
        Command::Token(command) => outcome(tokens::run(command)),
        Command::Version => outcome(say(&format!("opendepot {}\n", env!("CARGO_PKG_VERSION")))),
    }
}

/// The original's flags may have one dash, as Go's do.
fn normalised(arguments: Vec<String>) -> Vec<String> {
    arguments
        .into_iter()
        .map(|argument| {
            let is_go_style = argument.strip_prefix('-').is_some_and(|rest| {
                !rest.starts_with('-')
                    && rest
                        .split('=')
                        .next()
                        .is_some_and(|name| name.len() > 1 && name.contains(char::is_alphabetic))
            });
            if is_go_style {
                format!("-{argument}")
            } else {
                argument
            }
        })
        .collect()
}

fn usage(problems: &config::Problems) -> ExitCode {
    eprint!("{problems}");
    eprintln!("see `opendepot serve --help`");
    ExitCode::from(EXIT_USAGE)
}

fn outcome(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(EXIT_FAILURE)
    })
}

/// Writes to standard output; a closed pipe is no failure.
fn say(text: &str) -> anyhow::Result<ExitCode> {
    use std::io::Write as _;
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn one_dash_is_enough_as_in_the_original() {
        let given = [
            "opendepot",
            "serve",
            "-anonymous-auth",
            "-tls-cert-path=x",
            "-h",
            "--dev-tls",
            "-",
        ];
        let normal = normalised(given.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(
            normal,
            [
                "opendepot",
                "serve",
                "--anonymous-auth",
                "--tls-cert-path=x",
                "-h",
                "--dev-tls",
                "-"
            ]
        );
    }
}
