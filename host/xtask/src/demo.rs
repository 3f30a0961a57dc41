//! `cargo xtask demo`: a registry on loopback with the resources under `examples/`, for people to
//! try; with `--check` real clients try it.
//!
//! What bounds it: everything is in `target/demo/` (with `--check` in a folder that is deleted),
//! started from nothing each time; every wait has a deadline; the server ends with this program.
//! What it refuses: a port that is taken. What may surprise: a machine without Go gets a public
//! provider, mirrored, instead of the one in `examples/provider`, and is told so.

mod check;
mod server;
mod stage;

use crate::process::on_path;
use crate::tools::{self, Tool};
use crate::{build, workspace};
use anyhow::{Context, Result, bail};
use server::Server;
use stage::{Provider, Stage};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

/// The port of the addresses in `examples/`.
const DEFAULT_PORT: u16 = 8443;

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs a real client through init, validate and apply, and exits with its result.
    #[arg(long)]
    check: bool,
    /// The registry's port; the admin port is the next one. Default 8443, with `--check` any.
    #[arg(long)]
    port: Option<u16>,
}

/// Runs the command.
///
/// # Errors
/// When something cannot be built, started or published in time, or a client fails.
pub(crate) fn run(args: Args) -> Result<()> {
    let root = workspace::root()?;
    let port = match args.port {
        Some(port) => port,
        None if args.check => free_port()?,
        None => DEFAULT_PORT,
    };
    for taken in [port, port.saturating_add(1)] {
        TcpListener::bind((Ipv4Addr::LOCALHOST, taken))
            .with_context(|| format!("port {taken} is taken; give another with --port"))?;
    }
    println!("1. Building plugins and server");
    let binary = build::release(&root)?;
    println!("2. Building the example provider");
    let provider = provider()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if args.check {
        let dir = tempfile::Builder::new()
            .prefix("opendepot-demo-")
            .tempdir()?;
        let stage = Stage::prepare(&root, dir.path(), &provider, port)?;
        return runtime.block_on(check(&binary, &stage));
    }
    let stage = Stage::prepare(
        &root,
        &workspace::target(&root).join("demo"),
        &provider,
        port,
    )?;
    runtime.block_on(serve(&binary, &stage))
}

/// The example provider, or, on a machine without Go, a mirrored one.
fn provider() -> Result<Provider> {
    match tools::require(Tool::ExampleProvider) {
        Ok(found) => Ok(Provider::Built(found.path)),
        Err(error) if on_path("go").is_none() => {
            println!(
                "   {error:#}\n   Instead, the public provider hashicorp/null 3.2.4 is mirrored."
            );
            Ok(Provider::Mirrored)
        }
        Err(error) => Err(error),
    }
}

async fn check(binary: &Path, stage: &Stage) -> Result<()> {
    let clients = check::clients()?;
    println!("3. Starting the registry");
    let mut server = Server::start(binary, stage)?;
    let outcome = async {
        server.wait_published(stage).await?;
        for client in &clients {
            check::run(client, stage)?;
        }
        Ok(())
    }
    .await;
    let ended = server.stop().await;
    if outcome.is_err() {
        server.print_log();
    }
    outcome.and(ended)?;
    println!("The registry ended cleanly. Everything worked.");
    Ok(())
}

async fn serve(binary: &Path, stage: &Stage) -> Result<()> {
    println!("3. Starting the registry");
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut server = Server::start(binary, stage)?;
    let work = async {
        server.wait_published(stage).await?;
        print_usage(stage);
        server.wait_ended().await
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
    };
    if outcome.is_err() {
        server.print_log();
    } else {
        println!("\nStopping");
    }
    outcome.and(server.stop().await)
}

fn print_usage(stage: &Stage) {
    let (ca, client) = (stage.ca(), stage.client());
    println!(
        "\nOpenDepot serves https://{}\n  published  {}\n  admin      http://{}/readyz?verbose, /metrics\n  \
         manifests  {} (watched: edit them)\n  log        {}\n",
        stage.address(),
        stage.published().join(", "),
        stage.admin_address(),
        stage.manifests().display(),
        stage.log().display(),
    );
    println!("Try it in another terminal:\n\n  cd {}", client.display());
    if cfg!(target_os = "macos") {
        println!(
            "  security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db {}",
            ca.display()
        );
    } else {
        println!("  export SSL_CERT_FILE={}", ca.display());
    }
    let mut names: Vec<&str> = ["tofu", "terraform"]
        .into_iter()
        .filter(|name| on_path(name).is_some())
        .collect();
    if names.is_empty() {
        println!("  # neither tofu nor terraform is on PATH; `cargo xtask tools tofu` builds one");
        names.push("tofu");
    }
    for name in names {
        println!("  {name} init && {name} validate && {name} apply");
    }
    println!("\nCtrl-C stops the registry.");
}

/// A port that is free together with the next one.
fn free_port() -> Result<u16> {
    for _ in 0..64 {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let next = port.checked_add(1);
        if next.is_some_and(|next| TcpListener::bind((Ipv4Addr::LOCALHOST, next)).is_ok()) {
            return Ok(port);
        }
    }
    bail!("no two free ports in a row; give one with --port")
}
