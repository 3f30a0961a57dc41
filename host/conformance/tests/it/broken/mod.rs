//! Plugins that are broken on purpose: each fails the check that is about its fault.

mod auth;
mod plan;
mod scan;
mod storage;

use crate::guests::{self, ABSTAIN, LOOP, Plan, auth, place};
use crate::suite;
use opendepot_conformance::{Outcome, Report};
use serde_json::Value;
use std::path::Path;

async fn report_of(world: &str, wasm: &[u8], needs: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), world, wasm, needs);
    suite(folder.path(), Value::Null).await
}

pub(crate) fn write(folder: &Path, world: &str, wasm: &[u8], needs: &str) {
    std::fs::write(folder.join("plugin.wasm"), wasm).unwrap();
    let manifest = format!(
        "apiVersion: opendepot.defdev.io/v1alpha1\nkind: Plugin\n\
         metadata: {{ name: broken, version: 1.0.0 }}\n\
         spec:\n  world: {world}\n  needs: {needs}\n"
    );
    std::fs::write(folder.join("plugin.yaml"), manifest).unwrap();
}

pub(crate) fn outcome<'a>(report: &'a Report, check: &str) -> &'a Outcome {
    let found = report.checks.iter().find(|c| c.name == check);
    &found
        .unwrap_or_else(|| panic!("no check `{check}`:\n{report}"))
        .outcome
}

#[track_caller]
pub(crate) fn fails(report: &Report, check: &str, expected: &str) {
    match outcome(report, check) {
        Outcome::Failed(reason) if reason.contains(expected) => {}
        other => panic!("`{check}` should fail with `{expected}`: {other:?}\n{report}"),
    }
    assert!(!report.is_ok());
}

/// Tens of milliseconds of work.
const WORK: &str = "(i32.store (i32.const 2048) (i32.const 50000000))
    (loop $more
      (i32.store (i32.const 2048) (i32.sub (i32.load (i32.const 2048)) (i32.const 1)))
      (br_if $more (i32.load (i32.const 2048))))
    (i32.store (i32.const 2048) (i32.const 0))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = folder.path().join("loops.wasm");
    std::fs::write(&wasm, auth(LOOP)).unwrap();
    let mut options = crate::options(Value::Null);
    options.limits.auth_timeout = std::time::Duration::from_millis(50);
    let report = opendepot_conformance::run(&wasm, &options).await.unwrap();
    fails(&report, "time", "longer than its deadline");
    fails(&report, "one-decision-a-target", "longer than its deadline");
    fails(&report, "1000-targets", "longer than its deadline");
    let many = outcome(&report, "10000-targets");
    assert!(
        matches!(many, Outcome::Skipped(reason) if reason.contains("a registry denies")),
        "{report}"
    );
    // A tenth of these deadlines is too short for the work.
    let short = std::time::Duration::from_millis(100);
    options.limits.auth_timeout = short;
    options.limits.scan_timeout = short;
    options.limits.storage_timeout = short;
    let here = place("file:///", "vpc/x.zip");
    let native = Plan::Native(here.clone());
    for (guest, check) in [
        (auth(&format!("{WORK} {ABSTAIN}")), "time"),
        (guests::scan_after(&[], 0, WORK), "time"),
        (
            guests::storage_after(&here, &native, WORK, ""),
            "locate-time",
        ),
        (guests::storage_after(&here, &native, "", WORK), "plan-time"),
    ] {
        std::fs::write(&wasm, guest).unwrap();
        let report = opendepot_conformance::run(&wasm, &options).await.unwrap();
        assert!(
            matches!(outcome(&report, check), Outcome::Failed(_)),
            "{report}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_host_loads_is_told() {
    for (name, world, wasm, check, expected) in [
        (
            "foreign import",
            "auth",
            guests::text(
                r#"(component (import "wasi:cli/environment@0.2.0" (instance)) (instance $i)
                    (export "opendepot:auth/policy@0.1.0" (instance $i)))"#,
            ),
            "imports",
            "wasi:cli/environment@0.2.0",
        ),
        (
            "two worlds",
            "auth",
            guests::text(
                r#"(component (instance $i) (export "opendepot:auth/policy@0.1.0" (instance $i))
                    (export "opendepot:scan/post-processor@0.1.0" (instance $i)))"#,
            ),
            "world",
            "both the auth and the scan world",
        ),
        (
            "no world",
            "auth",
            guests::text("(component)"),
            "world",
            "accepted is exactly one of",
        ),
        (
            "another world",
            "scan",
            auth(ABSTAIN),
            "world",
            "exports the auth world",
        ),
        (
            "not wasm",
            "auth",
            b"hello".to_vec(),
            "loads",
            "not a wasm component",
        ),
    ] {
        println!("{name}");
        fails(&report_of(world, &wasm, "{}").await, check, expected);
    }
    fails(
        &report_of("stroage", &auth(ABSTAIN), "{}").await,
        "manifest",
        "line 5",
    );
    let folder = tempfile::tempdir().unwrap();
    let error =
        opendepot_conformance::run(&folder.path().join("nowhere"), &crate::options(Value::Null))
            .await;
    assert!(error.unwrap_err().to_string().contains("plugin.yaml"));
}
