//! `plugin run` and `plugin test`: what they print, and what they exit with.

use crate::plugins::built;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Exit code, standard output, standard error.
fn plugin(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(opendepot_tests::server::binary())
        .arg("plugin")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not read its input may be gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn folder(name: &str) -> String {
    built(name).to_str().unwrap().to_owned()
}

#[test]
fn one_function_is_called_with_json() {
    let groups = &folder("auth-groups");
    let run = |input: &Value| {
        let input = input.to_string();
        plugin(&["run", groups, "authorize", "--input", "-"], &input)
    };
    let rule = json!({ "groups": ["developers"], "actions": ["download"] });
    let (code, out, err) = run(&json!({ "settings": { "rules": [rule] } }));
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "{\"ok\":[\"allow\"]}\n"),
        "{err}"
    );
    for part in [
        "loaded in ",
        "called in ",
        " of 50 ms",
        "memory ",
        "host calls 0 of 1000",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
    // An error of the plugin's is an answer as well, and not a success.
    let wrong = json!({ "settings": { "rulez": [] } }).to_string();
    let (code, out, _) = plugin(&["run", groups, "validate", "--input", "-"], &wrong);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &answer["err"]["invalid-settings"][0]["path"]),
        (Some(1), &json!("rulez"))
    );
    // What the caller got wrong is told with its place, and nothing is called.
    for (input, expected) in [
        (
            json!({ "action": "fetch" }),
            "`action` of the input is one of \"list-versions\"",
        ),
        (
            json!({ "targets": [{}] }),
            "lacks `targets[0].namespace`: a text",
        ),
        (
            json!({ "now": "soon" }),
            "`now` of the input is a whole number from 0, not `\"soon\"`",
        ),
        (json!([]), "`.` of the input is an object of the arguments"),
    ] {
        let (code, out, err) = run(&input);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.contains(expected), "{expected}: {err}");
    }
    let (code, out, err) = plugin(&["run", groups, "authorize", "--input", "-"], "{");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("the input is not JSON"), "{err}");
    let (code, _, err) = plugin(&["run", groups, "locate"], "");
    assert_eq!(code, Some(1));
    assert!(
        err.contains("it has `validate`, `prepare`, `authorize`"),
        "{err}"
    );
}

#[test]
fn an_example_is_an_input() {
    for (name, function, settings) in [
        ("auth-groups", "authorize", "{}"),
        ("scan-threshold", "process", "{}"),
        ("storage-fs", "plan", "root: /srv/artifacts"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let settings_file = dir.path().join("settings.yaml");
        fs::write(&settings_file, settings).unwrap();
        let settings_at = settings_file.to_str().unwrap();
        let folder = &folder(name);
        let run = ["run", folder, function, "--settings", settings_at];
        let (code, example, err) = plugin(&[&run[..], &["--example"]].concat(), "");
        assert_eq!(code, Some(0), "{err}");
        let (code, out, err) = plugin(&[&run[..], &["--input", "-"]].concat(), &example);
        assert_eq!(code, Some(0), "{name}: {out}{err}");
    }
}

#[test]
fn a_suite_tells_what_failed_in_its_exit_code_as_well() {
    let storage = &folder("storage-fs");
    let (code, out, err) = plugin(&["test", storage], "");
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("FAIL  settings-accepted: "), "{out}");
    assert!(out.contains("operator.root"), "{out}");
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("settings.yaml");
    fs::write(&settings, "root: /srv/artifacts\n").unwrap();
    let test = ["test", storage, "--settings", settings.to_str().unwrap()];
    let (code, out, err) = plugin(&test, "");
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        out.contains("ok    data-concurrent-writers") && out.contains(" 0 failed"),
        "{out}"
    );
    let (code, out, err) = plugin(&[&test[..], &["--json"]].concat(), "");
    assert_eq!(code, Some(0), "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&report["plugin"], &report["world"]),
        (&json!("storage-fs"), &json!("storage"))
    );
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() > 20, "{report}");
    let others = checks.iter().filter(|check| check["result"] != "passed");
    let others: Vec<_> = others
        .map(|check| (&check["name"], &check["result"]))
        .collect();
    // A file system has no links.
    let skipped = [
        json!("data-link"),
        json!("data-link-life"),
        json!("skipped"),
    ];
    assert_eq!(
        others,
        [(&skipped[0], &skipped[2]), (&skipped[1], &skipped[2])],
        "{report}"
    );
    let (code, _, err) = plugin(&["test", dir.path().join("nowhere").to_str().unwrap()], "");
    assert_eq!(code, Some(1));
    assert!(err.contains("there is no plugin in"), "{err}");
}
