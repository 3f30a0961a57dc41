use super::*;
use std::io::Write as _;

fn problems(args: &ServeArgs) -> Vec<String> {
    load(args, None, Vec::new()).unwrap_err().0
}

#[test]
fn the_defaults_are_anonymous_on_loopback() {
    let config = load(&ServeArgs::default(), None, Vec::new())
        .unwrap()
        .config;
    assert_eq!(config.auth, AuthMode::Anonymous { local_only: true });
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert!(config.plugin_policy.allow_unlisted);
    assert_eq!(config.controllers.len(), 3);
}

#[test]
fn a_registry_that_others_reach_needs_a_mode() {
    let args = ServeArgs {
        listen: Some("0.0.0.0:8080".into()),
        ..ServeArgs::default()
    };
    assert!(problems(&args)[0].contains("mode must be chosen"));
    let args = ServeArgs {
        anonymous_auth: Some(true),
        ..args
    };
    let config = load(&args, None, Vec::new()).unwrap().config;
    assert_eq!(config.auth, AuthMode::Anonymous { local_only: false });
    assert!(!config.plugin_policy.allow_unlisted);
}

#[test]
fn all_problems_are_listed_at_once() {
    let args = ServeArgs {
        listen: Some("nowhere".into()),
        admin_listen: Some("127.0.0.1:x".into()),
        manifests: Some("does/not/exist".into()),
        tls_cert_path: Some("a.pem".into()),
        controllers: Some("module,depot,nonsense".into()),
        log_format: Some("xml".into()),
        ..ServeArgs::default()
    };
    let found = problems(&args);
    for part in [
        "nowhere",
        "127.0.0.1:x",
        "does/not/exist",
        "--tls-cert-key",
        "`depot`",
        "`nonsense`",
        "`xml`",
    ] {
        assert!(
            found.iter().any(|problem| problem.contains(part)),
            "{part} in {found:?}"
        );
    }
}

#[test]
fn unknown_and_refused_keys_of_the_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "listenn: 127.0.0.1:1").unwrap();
    let args = ServeArgs {
        config: Some(file.path().into()),
        ..ServeArgs::default()
    };
    assert!(problems(&args)[0].contains("listenn"));

    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "oidcIssuerUrl: https://x\nscanningEnabled: true").unwrap();
    let args = ServeArgs {
        config: Some(file.path().into()),
        ..ServeArgs::default()
    };
    let found = problems(&args);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("not available yet"));
}

#[test]
fn everything_that_is_wrong_in_a_file_is_named() {
    let text = "noSuchKey: 1
oidcIssuerUrl: https://x
listen: 127.0.0.1:8443
modules: {directDownload: maybe, another: true}
limits: {http: {numDownloads: -3, nope: 1}, none: {a: 1}}
plugins:
  - {name: a, source: {builtin: auth-groups}, sauce: 1}
  - 7
  - {name: b, source: {builtin: auth-groups}, other: 1}
";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let args = ServeArgs {
        config: Some(file.path().into()),
        ..ServeArgs::default()
    };
    let found = problems(&args);
    for place in [
        "`noSuchKey`",
        "`oidcIssuerUrl`",
        "`modules.directDownload`",
        "`modules.another`",
        "`limits.http.numDownloads`",
        "`limits.http.nope`",
        "`limits.none`",
        "`plugins[0].sauce`",
        "`plugins[1]`",
        "`plugins[2].other`",
    ] {
        let num = found.iter().filter(|one| one.contains(place)).count();
        assert_eq!(num, 1, "{place} in {found:#?}");
    }
    assert_eq!(found.len(), 10, "{found:#?}");

    // What is no YAML has one problem, with its line.
    std::fs::write(file.path(), "listen: [\n").unwrap();
    let found = problems(&args);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("line"), "{found:#?}");
}

#[test]
fn tokens_without_a_policy_are_refused_with_an_entry_to_paste() {
    let args = ServeArgs {
        anonymous_auth: Some(false),
        ..ServeArgs::default()
    };
    assert!(problems(&args)[0].contains("builtin: auth-groups"));
}

#[test]
fn refused_switches_are_listed_with_everything_else() {
    let given = [
        "opendepot",
        "serve",
        "--oidc-issuer-url",
        "https://x",
        "--use-bearer-token",
        "--listen",
        "nowhere",
    ];
    let (kept, refused) = without_refused(given.iter().map(|text| (*text).to_owned()).collect());
    assert_eq!(kept, ["opendepot", "serve", "--listen", "nowhere"]);
    let args = ServeArgs {
        listen: Some("nowhere".into()),
        ..ServeArgs::default()
    };
    let found = load(&args, None, refused).unwrap_err().0;
    assert_eq!(found.len(), 3, "{found:?}");
}
