use super::FixableOnly;
use opendepot_plugin_sdk::fixture::scan::{artifact, context, finding, problems, report};
use opendepot_plugin_sdk::scan::{Finding, Outcome, ScanPlugin, Severity, Verdict};
use proptest::prelude::*;

fn judge(settings: &str, findings: Vec<Finding>) -> Outcome {
    FixableOnly::process(settings, &artifact(), &report(findings), &context(), 0).unwrap()
}

fn fixed(id: &str, severity: Severity, version: &str) -> Finding {
    let mut finding = finding(id, severity);
    finding.fixed_version = Some(version.to_owned());
    finding
}

fn suppressed(id: &str) -> Finding {
    let mut finding = fixed(id, Severity::Critical, "2");
    finding.suppressed = Some("scan-allowlist: accepted".to_owned());
    finding
}

/// The places of what is suppressed.
fn places(outcome: &Outcome) -> Vec<u32> {
    outcome
        .judgements
        .iter()
        .map(|judgement| judgement.finding)
        .collect()
}

#[test]
fn what_nothing_fixes_is_suppressed() {
    let findings = vec![
        finding("a", Severity::Critical),
        fixed("b", Severity::Critical, "1.1"),
        fixed("c", Severity::Low, " "),
        fixed("d", Severity::Low, ""),
        suppressed("e"),
        finding("f", Severity::Unknown),
    ];
    let outcome = judge(r#"{"mode": "suppress"}"#, findings.clone());
    assert_eq!(places(&outcome), [0, 2, 3, 5]);
    assert_eq!(outcome.verdict, Verdict::Abstain);
    let reason = outcome.judgements[0].suppressed.as_deref();
    assert_eq!(reason, Some("no version fixes it yet"));
    assert!(
        outcome
            .judgements
            .iter()
            .all(|judgement| judgement.severity.is_none())
    );
    let up_to = judge(r#"{"mode": "suppress", "upTo": "high"}"#, findings);
    assert_eq!(places(&up_to), [2, 3, 5]);
}

#[test]
fn only_what_a_version_fixes_blocks() {
    for (settings, findings, expected) in [
        (r#"{"mode": "block"}"#, vec![], None),
        (
            r#"{"mode": "block"}"#,
            vec![finding("a", Severity::Critical)],
            None,
        ),
        (
            r#"{"mode": "block"}"#,
            vec![fixed("a", Severity::Critical, "\t")],
            None,
        ),
        (r#"{"mode": "block"}"#, vec![suppressed("a")], None),
        (
            r#"{"mode": "block"}"#,
            vec![
                finding("a", Severity::Critical),
                fixed("b", Severity::Unknown, "2"),
            ],
            Some("a newer version fixes b (unknown, openssl)"),
        ),
        (
            r#"{"mode": "block", "from": "high"}"#,
            vec![fixed("a", Severity::Medium, "2")],
            None,
        ),
        (
            r#"{"mode": "block", "from": "high"}"#,
            vec![fixed("a", Severity::High, "2")],
            Some("a newer version fixes a (high, openssl)"),
        ),
    ] {
        let outcome = judge(settings, findings);
        let expected = match expected {
            Some(reason) => Verdict::Block(reason.to_owned()),
            None => Verdict::Publish,
        };
        assert_eq!(outcome, Outcome::new(expected), "{settings}");
    }
}

#[test]
fn hostile_settings_are_problems_not_panics() {
    for (settings, path) in [
        ("", ""),
        ("7", ""),
        ("{}", "mode"),
        (r#"{"mode": null}"#, "mode"),
        (r#"{"mode": "ignore"}"#, "mode"),
        (r#"{"mode": ["block"]}"#, "mode"),
        (r#"{"mode": "block", "upTo": "high"}"#, "upTo"),
        (r#"{"mode": "suppress", "from": "high"}"#, "from"),
        (r#"{"mode": "suppress", "upTo": "severe"}"#, "upTo"),
        (r#"{"mode": "suppress", "up-to": "high"}"#, "up-to"),
    ] {
        let found = problems::<FixableOnly>(settings);
        assert_eq!(found.len(), 1, "{settings}: {found:?}");
        assert_eq!(found[0].0, path, "{settings}");
    }
}

proptest! {
    /// Both modes look at the same line: what one suppresses never makes the other block.
    #[test]
    fn the_modes_divide_the_findings(
        findings in prop::collection::vec((0_usize..5, prop::option::of("[ 1]{0,2}")), 0..12),
    ) {
        let findings: Vec<Finding> = findings
            .into_iter()
            .map(|(severity, version)| {
                let mut finding = finding("a", Severity::NAMES[severity].1);
                finding.fixed_version = version;
                finding
            })
            .collect();
        let suppressed = places(&judge(r#"{"mode": "suppress"}"#, findings.clone()));
        for (finding, index) in findings.iter().zip(0..) {
            let alone = judge(r#"{"mode": "block"}"#, vec![finding.clone()]);
            let blocks = matches!(alone.verdict, Verdict::Block(_));
            prop_assert_ne!(suppressed.contains(&index), blocks);
        }
    }
}
