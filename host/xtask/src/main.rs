//! `cargo xtask`: what people run in a clone, one module a command.
//!
//! Nothing here is part of the product. What bounds it: each command does one thing, says what
//! it installs and where before it does so, and exits with a failure when its work failed. It
//! refuses to guess: a missing tool is an error that names the remedy. What may surprise: cargo
//! started this program and left its own variables in the environment, so inner cargo calls
//! clean them (`opendepot_toolchain`).

#![expect(
    clippy::print_stdout,
    reason = "a command line tool whose output is its result"
)]

mod bench;
mod build;
mod crds;
mod demo;
mod http;
mod plugins;
mod process;
mod test;
mod tools;
mod wit_frozen;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds everything and starts a registry on loopback with the resources under `examples/`.
    Demo(demo::Args),
    /// Builds and runs every test, real clients, servers and engines included.
    Test(test::Args),
    /// Builds the plugins of `plugins/` into `target/plugins/`.
    Plugins(plugins::Args),
    /// Prints the CustomResourceDefinitions, or writes them into a folder.
    Crds(crds::Args),
    /// Finds or builds the pinned test tools.
    Tools(tools::Args),
    /// Measures side by side with other servers.
    Bench(bench::Args),
    /// Checks that released WIT packages are unchanged and that copies agree.
    WitFrozen(wit_frozen::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(args) => demo::run(args),
        Command::Test(args) => test::run(args),
        Command::Plugins(args) => plugins::run(args),
        Command::Crds(args) => crds::run(args),
        Command::Tools(args) => tools::run(args),
        Command::Bench(args) => bench::run(args),
        Command::WitFrozen(args) => wit_frozen::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
