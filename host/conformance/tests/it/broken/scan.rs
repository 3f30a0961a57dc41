//! Post-processors of scans.

use super::{fails, outcome, report_of};
use crate::guests::{self, scan};
use opendepot_conformance::Outcome;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scan_faults_are_found() {
    const JUDGES: &str = "{ judge-findings: true }";
    const FINDINGS: &str = "(i32.load offset=144 (local.get 0))";
    let trapping =
        |when: &str| guests::scan_after(&[], 0, &format!("(if {when} (then (unreachable)))"));
    for (name, wasm, needs, check, expected) in [
        (
            "judges nothing that is there",
            scan(&[(0, Some(1), None)], 0),
            JUDGES,
            "empty-report",
            "finding 0 of a report with 0",
        ),
        (
            "out of range",
            scan(&[(9_999, Some(1), None)], 0),
            JUDGES,
            "judgements",
            "finding 9999 of a report with 1",
        ),
        (
            "twice",
            scan(&[(0, Some(1), None), (0, None, Some("x"))], 0),
            JUDGES,
            "judgements",
            "finding 0 twice",
        ),
        (
            "without asking",
            scan(&[(0, Some(1), None)], 0),
            "{}",
            "judgements",
            "judge-findings: true",
        ),
        (
            "undefined severity",
            scan(&[(0, Some(9), None)], 0),
            JUDGES,
            "judgements",
            "break the component ABI",
        ),
        (
            "judges more than there are",
            scan(&[(44, Some(1), None)], 0),
            JUDGES,
            "judgements",
            "finding 44 of a report with 1",
        ),
        (
            "traps on many",
            trapping(&format!("(i32.gt_u {FINDINGS} (i32.const 5000))")),
            "{}",
            "10000-findings",
            "it ended itself",
        ),
        (
            "traps on a scope of a later version",
            trapping("(i32.eq (i32.load8_u offset=128 (local.get 0)) (i32.const 3))"),
            "{}",
            "unknown-words",
            "`report.scope` of a later version",
        ),
        (
            "refuses an unknown attribute",
            guests::scan_after(&[], 2, "(if (i32.load offset=152 (local.get 0)) (then (return (i32.const 3000))))"),
            "{}",
            "unknown-attributes",
            "are to be ignored",
        ),
        (
            "traps on a long identifier",
            trapping(&format!(
                "(if (result i32) {FINDINGS} (then (i32.gt_u (i32.load offset=4 (i32.load offset=140 (local.get 0)))
                    (i32.const 60000))) (else (i32.const 0)))"
            )),
            "{}",
            "hostile-texts",
            "it ended itself",
        ),
        (
            "undefined verdict",
            scan(&[], 7),
            "{}",
            "empty-report",
            "break the component ABI",
        ),
    ] {
        println!("{name}");
        fails(&report_of("scan", &wasm, needs).await, check, expected);
    }
    let kind = report_of("scan", &scan(&[], 0), "{}").await;
    for check in [
        "empty-report",
        "judgements",
        "10000-findings",
        "unknown-words",
        "unknown-attributes",
        "hostile-texts",
        "time",
    ] {
        assert_eq!(*outcome(&kind, check), Outcome::Passed, "{check}");
    }
}
