//! Wrong flags and configuration: exit 2, every error listed, nothing listening.

use opendepot_tests::{Setup, client, server};
use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What `opendepot` says to arguments that it should refuse.
fn refused(setup: &Setup, arguments: &[&str]) -> String {
    let mut command = Command::new(server::binary());
    command
        .args(arguments)
        .env_remove("KUBECONFIG")
        .env("NO_COLOR", "1")
        .current_dir(setup.dir())
        .stdin(Stdio::null());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while child.try_wait().unwrap().is_none() {
        assert!(
            TcpStream::connect(setup.address()).is_err(),
            "{arguments:?}: it listens"
        );
    }
    let outcome = child.wait_with_output().unwrap();
    let said = [outcome.stdout, outcome.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(outcome.status.code(), Some(2), "{arguments:?}: {said}");
    assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    assert!(
        !setup.data_dir().exists(),
        "{arguments:?}: it made a folder"
    );
    said
}

#[test]
fn unknown_flags_and_commands_are_refused() {
    let setup = Setup::plain();
    for arguments in [
        &["serve", "--no-such-flag"][..],
        &["no-such-command"],
        &["serve", "--listen"],
        &["serve", "--listen", "nonsense"],
        &["serve", "--listen", "127.0.0.1:99999"],
    ] {
        refused(&setup, arguments);
    }
}

#[test]
fn every_error_is_listed_at_once() {
    let setup = Setup::plain();
    let config = setup.dir().join("config.yaml");
    fs::write(
        &config,
        "noSuchKey: 1\nstatsValkeyAddr: x\nmodules:\n  directDownload: maybe\n  anotherWrongKey: true\n\
         limits:\n  http:\n    numDownloads: -3\n    nope: 1\nplugins:\n  - name: a\n    sauce: 1\n",
    )
    .unwrap();
    let listen = setup.address().to_string();
    let arguments = [
        "serve",
        "--listen",
        &listen,
        "--tls-cert-path",
        "cert.pem",
        "--manifests",
        "not-there",
        "--config",
        config.to_str().unwrap(),
    ];
    let said = refused(&setup, &arguments);
    for wrong in [
        "`noSuchKey`",
        "`statsValkeyAddr`",
        "`modules.directDownload`",
        "`modules.anotherWrongKey`",
        "`limits.http.numDownloads`",
        "`limits.http.nope`",
        "`plugins[0].sauce`",
        "`plugins[0]`: missing field `source`",
        "--tls-cert-key",
        "`not-there`",
    ] {
        assert!(said.contains(wrong), "no {wrong} in: {said}");
    }
    let num = said
        .lines()
        .filter(|line| line.starts_with("error: "))
        .count();
    assert_eq!(num, 10, "{said}");
}

#[test]
fn conflicting_modes_are_refused_together() {
    let setup = Setup::plain();
    let listen = setup.address().to_string();
    let manifests = setup.manifests();
    let said = refused(
        &setup,
        &[
            "serve",
            "--listen",
            &listen,
            "--kubernetes",
            "--manifests",
            manifests.to_str().unwrap(),
            "--tls-cert-path",
            "cert.pem",
            "--dev-tls",
        ],
    );
    assert!(
        said.contains("--kubernetes") && said.contains("--dev-tls"),
        "{said}"
    );
}

#[test]
fn a_public_address_needs_an_authentication_mode() {
    let setup = Setup::plain();
    let port = setup.address().port();
    let data = setup.data_dir();
    let said = refused(
        &setup,
        &[
            "serve",
            "--listen",
            &format!("0.0.0.0:{port}"),
            "--data-dir",
            data.to_str().unwrap(),
        ],
    );
    assert!(said.contains("anonymous"), "no remedy in: {said}");
}

#[test]
fn a_switch_that_does_nothing_yet_is_refused_by_name() {
    let setup = Setup::plain();
    let listen = setup.address().to_string();
    for switch in [
        &["--scanning-enabled"][..],
        &["--stats-valkey-addr", "127.0.0.1:6379"],
        &["--oidc-issuer-url", "https://id.example.com"],
        &["--use-bearer-token"],
    ] {
        let mut arguments = vec!["serve", "--listen", &listen];
        arguments.extend_from_slice(switch);
        let said = refused(&setup, &arguments);
        assert!(said.contains(switch[0].trim_start_matches("--")), "{said}");
    }
}

#[test]
fn check_config_refuses_what_serve_refuses() {
    let setup = Setup::plain();
    let config = setup.dir().join("config.yaml");
    fs::write(&config, "noSuchKey: 1\n").unwrap();
    let said = refused(
        &setup,
        &["check-config", "--config", config.to_str().unwrap()],
    );
    assert!(said.contains("noSuchKey"), "{said}");
}

#[test]
fn a_taken_address_is_an_error_at_once() {
    let setup = Setup::plain();
    let _taken = std::net::TcpListener::bind(setup.address()).unwrap();
    let mut command = setup.command();
    let outcome = client::run_within(command.stdout(Stdio::piped()), Duration::from_secs(30));
    assert!(!outcome.is_success);
}
