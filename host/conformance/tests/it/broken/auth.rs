//! Policies.

use super::{fails, outcome, report_of};
use crate::guests::{self, ABSTAIN, ALLOW, DENY, auth};
use opendepot_conformance::Outcome;

/// Abstains, but for the first target.
const FIRST_ALLOWS: &str = "(drop (call $answer (i32.const 2) (local.get $n)))
    (i32.store8 (i32.load (i32.const 2052)) (i32.const 0)) (i32.const 2048)";

/// How `prepare` begins; the last argument is the number of bindings.
const PREPARE: &str = "#prepare\") (param i32 i32 i32 i32) (result i32)";

fn when(condition: &str, then: &str) -> Vec<u8> {
    auth(&format!(
        "(if {condition} (then (return {then}))) {ABSTAIN}"
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auth_faults_are_found() {
    let at = |offset: u32| format!("(i32.load offset={offset} (local.get $args))");
    let byte = |offset: u32| format!("(i32.load8_u offset={offset} (local.get $args))");
    for (name, wasm, check, expected) in [
        (
            "one short",
            auth(
                "(call $answer (i32.const 2) (i32.sub (local.get $n) (i32.ne (local.get $n) (i32.const 0))))",
            ),
            "one-decision-a-target",
            "1 targets, got 0",
        ),
        (
            "one for nothing",
            auth("(call $answer (i32.const 2) (i32.add (local.get $n) (i32.eqz (local.get $n))))"),
            "one-decision-a-target",
            "0 targets, got 1",
        ),
        (
            "traps on nothing",
            when("(i32.eqz (local.get $n))", "(unreachable)"),
            "one-decision-a-target",
            "it ended itself",
        ),
        (
            "traps on many",
            when(
                "(i32.gt_u (local.get $n) (i32.const 5000))",
                "(unreachable)",
            ),
            "10000-targets",
            "it ended itself",
        ),
        (
            "decides by place",
            auth(FIRST_ALLOWS),
            "order",
            "targets reversed",
        ),
        (
            "allows what it does not know",
            auth(ALLOW),
            "other-actions",
            "never to be allowed",
        ),
        (
            "trusts what it does not know",
            when(&format!("(i32.eq {} (i32.const 6))", byte(16)), ALLOW),
            "unknown-authentication",
            "trusted least",
        ),
        (
            "decides by an unknown attribute",
            when(&at(72), DENY),
            "unknown-attributes",
            "are to be ignored",
        ),
        (
            "traps on a long name",
            when(
                &format!("(i32.gt_u {} (i32.const 60000))", at(40)),
                "(unreachable)",
            ),
            "hostile-texts",
            "it ended itself",
        ),
        (
            "holds much",
            guests::component(
                "auth",
                &guests::auth_module_with(
                    r#"(memory (export "memory") 900)"#,
                    "(i32.const 1024)",
                    ABSTAIN,
                ),
            ),
            "memory",
            "at most 0.75",
        ),
        (
            "accepts any settings",
            auth(ABSTAIN),
            "settings-unknown-key",
            "conformanceUnknownKey",
        ),
        (
            "accepts what is no settings",
            auth(ABSTAIN),
            "settings-malformed",
            "no JSON object",
        ),
        (
            "refuses its own settings",
            guests::component(
                "auth",
                &guests::auth_module_with(
                    r#"(memory (export "memory") 2)"#,
                    "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.const 1024)",
                    ABSTAIN,
                ),
            ),
            "settings-accepted",
            "invalid-settings",
        ),
        (
            "traps on settings",
            guests::component(
                "auth",
                &guests::auth_module_with(
                    r#"(memory (export "memory") 2)"#,
                    "(unreachable)",
                    ABSTAIN,
                ),
            ),
            "settings-hostile",
            "it ended itself",
        ),
        (
            "cannot prepare with a binding",
            guests::component(
                "auth",
                &guests::auth_module(ABSTAIN).replace(
                    PREPARE,
                    &format!(
                        "{PREPARE} (if (i32.gt_u (local.get 3) (i32.const 1)) (then (unreachable)))"
                    ),
                ),
            ),
            "broken-binding",
            "not the end of `prepare`",
        ),
    ] {
        println!("{name}");
        fails(&report_of("auth", &wasm, "{}").await, check, expected);
    }
    let cannot_prepare =
        guests::auth_module(ABSTAIN).replace(PREPARE, &format!("{PREPARE} (unreachable)"));
    assert!(cannot_prepare.contains(&format!("{PREPARE} (unreachable)")));
    let report = report_of("auth", &guests::component("auth", &cannot_prepare), "{}").await;
    fails(&report, "prepare", "it ended itself");
    let kind = report_of("auth", &auth(ABSTAIN), "{}").await;
    for check in [
        "one-decision-a-target",
        "order",
        "other-actions",
        "unknown-attributes",
        "broken-binding",
        "hostile-texts",
        "memory",
        "time",
    ] {
        assert_eq!(*outcome(&kind, check), Outcome::Passed, "{check}");
    }
}
