use super::*;
use serde_json::json;

/// A program in the place of the binary: it saves its input and says what the test wants.
fn binary(script: &str) -> (std::path::PathBuf, Folder) {
    let folder = Folder::new();
    let path = folder.0.join("opendepot");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).unwrap();
    (path, folder)
}

/// A folder that goes with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("opendepot-sdk-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One at a time: while another test starts a program, a script that was just written is busy.
static STARTING: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn arguments_go_in_and_the_answer_comes_out() {
    let _alone = STARTING.lock().unwrap();
    let (binary, folder) =
        binary(r#"cat > "$3.input"; echo "$@" > "$3.args"; echo '{"ok": ["a"]}'"#);
    let plugin = folder.0.join("plugin");
    // More than a pipe holds.
    let long = "x".repeat(1 << 20);
    let arguments = json!({ "settings": long }).as_object().unwrap().clone();
    let answer: Result<Vec<String>, String> = ask(&binary, &plugin, "validate", arguments).unwrap();
    assert_eq!(answer, Ok(vec!["a".to_owned()]));
    let input = std::fs::read_to_string(folder.0.join("plugin.input")).unwrap();
    assert_eq!(input, json!({ "settings": long }).to_string());
    let words = std::fs::read_to_string(folder.0.join("plugin.args")).unwrap();
    let expected = format!("plugin run {} validate --input -\n", plugin.display());
    assert_eq!(words, expected);
}

#[test]
fn an_error_of_the_plugin_is_an_answer_and_all_else_is_not() {
    let _alone = STARTING.lock().unwrap();
    let call = |script: &str| {
        let (binary, folder) = binary(script);
        ask::<(), String>(&binary, &folder.0, "validate", Map::new())
    };
    assert_eq!(
        call(r#"echo '{"err": "no"}'; exit 1"#),
        Ok(Err("no".to_owned()))
    );
    assert_eq!(call(r#"echo '{"ok": null}'"#), Ok(Ok(())));
    for (script, part) in [
        ("echo 'error: a trap' >&2; exit 1", "error: a trap"),
        (r#"echo '{"ok": null, "err": "x"}'"#, "without an answer"),
        (r#"echo '{"ok": 5}'"#, "expected nothing, found `5`"),
    ] {
        let error = call(script).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let error = ask::<(), String>(Path::new("/nonexistent"), Path::new("x"), "f", Map::new());
    assert!(error.unwrap_err().contains("set OPENDEPOT"));
}

#[test]
fn a_component_that_is_not_built_is_named_with_the_remedy() {
    let folder = Folder::new();
    let path = folder.0.clone();
    let result = std::panic::catch_unwind(|| Component::in_folder(path));
    let message = *result.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("plugin.yaml"), "{message}");
    assert!(message.contains("opendepot plugin build"), "{message}");
    for file in FILES {
        std::fs::write(folder.0.join(file), "").unwrap();
    }
    let component = Component::in_folder(&folder.0).settings("{}").at(5);
    assert_eq!(component.now, Some(5));
    assert_eq!(component.settings.as_deref(), Some("{}"));
}

#[cfg(feature = "auth")]
#[test]
fn auth_values_are_as_the_host_has_them() {
    use crate::auth::{Action, Authentication, Decision, Error, Prepared};
    use crate::fixture::auth::{module, subject};
    use crate::harness::json::ToJson as _;

    let subject = subject(&["a"]).to_json();
    assert_eq!(subject["authentication"], "oidc");
    assert_eq!(subject["client-address"], "192.0.2.1");
    assert_eq!(
        Authentication::Other("x".to_owned()).to_json(),
        json!({ "other": "x" })
    );
    assert_eq!(Action::ListVersions.to_json(), "list-versions");
    assert_eq!(
        Action::Other("x".to_owned()).to_json(),
        json!({ "other": "x" })
    );
    assert_eq!(
        module("n", "m").to_json(),
        json!({
            "namespace": "n", "kind": "module", "name": "m", "version": null, "os": null,
            "arch": null, "attributes": [],
        })
    );
    let decisions = json!(["allow", { "deny": "why" }, "abstain"]);
    assert_eq!(
        Vec::<Decision>::from_json(&decisions).unwrap(),
        [
            Decision::Allow,
            Decision::Deny("why".to_owned()),
            Decision::Abstain
        ]
    );
    assert!(Decision::from_json(&json!("maybe")).is_err());
    let prepared = json!({ "state": "AAE=", "problems": [{ "binding": "b", "message": "m" }] });
    let prepared = Prepared::from_json(&prepared).unwrap();
    assert_eq!(
        (prepared.state.as_slice(), prepared.problems.len()),
        ([0, 1].as_slice(), 1)
    );
    assert!(Prepared::from_json(&json!({ "state": "?", "problems": [] })).is_err());
    let error = json!({ "invalid-settings": [{ "path": "p", "message": "m" }] });
    let problem = crate::Problem::new("p", "m");
    assert_eq!(
        Error::from_json(&error),
        Ok(Error::InvalidSettings(vec![problem]))
    );
}

#[cfg(feature = "scan")]
#[test]
fn scan_values_are_as_the_host_has_them() {
    use crate::fixture::scan::{context, finding, report};
    use crate::harness::json::ToJson as _;
    use crate::scan::{Outcome, Severity, Verdict};

    let report = report(vec![finding("CVE-1", Severity::High)]).to_json();
    assert_eq!(report["scope"], "provider-binary");
    assert_eq!(report["scanned-at"], 1_790_000_000);
    assert_eq!(report["findings"][0]["severity"], "high");
    assert_eq!(report["findings"][0]["fixed-version"], Value::Null);
    assert_eq!(context().to_json()["already-published"], false);
    let outcome = json!({
        "judgements": [{ "finding": 1, "severity": "low", "suppressed": null }],
        "verdict": { "block": "why" },
    });
    let outcome = Outcome::from_json(&outcome).unwrap();
    assert_eq!(outcome.verdict, Verdict::Block("why".to_owned()));
    assert_eq!(outcome.judgements[0].severity, Some(Severity::Low));
    assert_eq!(outcome.judgements[0].suppressed, None);
    let far = json!({ "judgements": [{ "finding": 1_u64 << 33 }], "verdict": "publish" });
    assert!(Outcome::from_json(&far).is_err());
}

#[cfg(feature = "storage")]
#[test]
fn storage_values_are_as_the_host_has_them() {
    use crate::harness::json::ToJson as _;
    use crate::http::{Header, HeaderValue};
    use crate::storage::{Operation, Placement, Transfer};

    assert_eq!(Operation::Presign(60).to_json(), json!({ "presign": 60 }));
    assert_eq!(Operation::Put.to_json(), "put");
    let placement = Placement::new("s3://b", "k");
    assert_eq!(
        Placement::from_json(&placement.to_json()),
        Ok(placement.clone())
    );
    let native = json!({ "native": placement.to_json() });
    assert_eq!(
        Transfer::from_json(&native),
        Ok(Transfer::Native(placement))
    );
    let signed = json!({ "signed": {
        "method": "PUT", "url": "https://h.example/k", "expires-at": 5, "success": [201],
        "exists": [], "missing": [404], "attributes": [], "headers": [
            { "name": "a", "value": { "plain": "b" } },
            { "name": "c", "value": { "secret": { "prefix": "Bearer ", "secret": "t" } } },
            { "name": "d", "value": { "basic": { "user": "u", "secret": "t" } } },
        ],
    } });
    let Ok(Transfer::Signed(request)) = Transfer::from_json(&signed) else {
        panic!("not signed");
    };
    assert_eq!(request.missing, [404]);
    assert_eq!(request.headers[0], Header::plain("a", "b"));
    assert!(matches!(request.headers[2].value, HeaderValue::Basic(_)));
}
