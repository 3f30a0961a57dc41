//! Real clients against a running demo.

use super::stage::Stage;
use crate::process::{output, shown};
use crate::tools::{self, Found, Lookup, Tool};
use anyhow::{Result, bail};
use std::fs;
use std::process::Command;

/// A client to run: its name and the program.
pub(super) struct Client {
    name: &'static str,
    found: Found,
}

/// OpenTofu, which is built when it is not there, and Terraform, when it is on PATH.
pub(super) fn clients() -> Result<Vec<Client>> {
    let mut clients = vec![Client {
        name: "tofu",
        found: tools::require(Tool::Tofu)?,
    }];
    match tools::find(Tool::Terraform)? {
        Lookup::Found(found) => clients.push(Client {
            name: "terraform",
            found,
        }),
        Lookup::Absent(reason) => println!("Terraform is left out: {reason}."),
    }
    Ok(clients)
}

/// Runs a client through init, validate, apply and output, in a folder with nothing of the
/// user's configuration.
pub(super) fn run(client: &Client, stage: &Stage) -> Result<()> {
    let dir = tempfile::Builder::new()
        .prefix("opendepot-client-")
        .tempdir()?;
    let (home, work) = (dir.path().join("home"), dir.path().join("work"));
    fs::create_dir(&home)?;
    fs::create_dir(&work)?;
    fs::copy(stage.client().join("main.tf"), work.join("main.tf"))?;
    fs::write(dir.path().join("cli.tfrc"), "")?;
    println!("\n== {} {} ==", client.name, client.found.version);
    for arguments in [
        &["init", "-no-color", "-input=false"][..],
        &["validate", "-no-color"],
        &["apply", "-no-color", "-input=false", "-auto-approve"],
        &["output", "-no-color"],
    ] {
        let mut command = Command::new(&client.found.path);
        command
            .args(arguments)
            .current_dir(&work)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &home)
            .env("TF_CLI_CONFIG_FILE", dir.path().join("cli.tfrc"))
            .env("SSL_CERT_FILE", stage.ca())
            .env("CHECKPOINT_DISABLE", "1");
        println!("$ {} {}", client.name, arguments.join(" "));
        let said = output(&mut command)?;
        print!("{}", String::from_utf8_lossy(&said.stdout));
        eprint!("{}", String::from_utf8_lossy(&said.stderr));
        if !said.status.success() {
            bail!("{} failed: {}", shown(&command), said.status);
        }
    }
    let lock = fs::read_to_string(work.join(".terraform.lock.hcl"))?;
    let (zh, h1) = (lock.matches("\"zh:").count(), lock.matches("\"h1:").count());
    println!("The lock file has {zh} zh and {h1} h1 hashes.");
    if zh < 2 {
        bail!("the lock file should have a hash for each of the platforms");
    }
    Ok(())
}
