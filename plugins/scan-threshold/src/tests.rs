use super::Threshold;
use opendepot_plugin_sdk::fixture::scan::{artifact, context, finding, problems, report};
use opendepot_plugin_sdk::scan::{
    Error, Finding, Outcome, Report, ScanPlugin, Scope, Severity, Verdict,
};
use proptest::prelude::*;

fn judge(settings: &str, report: &Report) -> Outcome {
    let outcome = Threshold::process(settings, &artifact(), report, &context(), 0).unwrap();
    assert!(outcome.judgements.is_empty(), "it changes nothing");
    outcome
}

fn blocks(settings: &str, findings: Vec<Finding>) -> bool {
    match judge(settings, &report(findings)).verdict {
        Verdict::Block(_) => true,
        Verdict::Publish => false,
        Verdict::Abstain => panic!("it has an opinion"),
    }
}

#[test]
fn at_or_above_the_severity_blocks() {
    for (limit, num_blocking) in [("low", 4), ("medium", 3), ("high", 2), ("critical", 1)] {
        let settings = format!(r#"{{"block": "{limit}"}}"#);
        let blocking = Severity::NAMES
            .iter()
            .filter(|(name, severity)| blocks(&settings, vec![finding(name, *severity)]));
        assert_eq!(blocking.count(), num_blocking, "{limit}");
        assert!(!blocks(&settings, Vec::new()), "{limit}");
    }
    let none = judge(
        r#"{"block": "none"}"#,
        &report(vec![finding("a", Severity::Critical)]),
    );
    assert_eq!(none.verdict, Verdict::Abstain);
}

#[test]
fn the_reason_counts_all_and_names_the_worst() {
    let findings = vec![
        finding("CVE-1", Severity::High),
        finding("CVE-2", Severity::Low),
        finding("CVE-3", Severity::Critical),
    ];
    let outcome = judge(r#"{"block": "high"}"#, &report(findings));
    assert_eq!(
        outcome.verdict,
        Verdict::Block(
            "2 findings at or above `high`: CVE-3 (critical, openssl) and CVE-1 (high, openssl)"
                .to_owned()
        )
    );
    let one = judge(
        r#"{"block": "high"}"#,
        &report(vec![finding("CVE-1", Severity::High)]),
    );
    assert!(matches!(one.verdict, Verdict::Block(reason) if reason.starts_with("1 finding at")));
}

#[test]
fn suppressed_findings_do_not_count() {
    let mut suppressed = finding("a", Severity::Critical);
    suppressed.suppressed = Some("scan-allowlist: accepted".to_owned());
    assert!(!blocks(r#"{"block": "low"}"#, vec![suppressed.clone()]));
    assert!(blocks(
        r#"{"block": "low"}"#,
        vec![suppressed, finding("b", Severity::Low)]
    ));
}

#[test]
fn a_scope_may_have_its_own_limit() {
    let settings = r#"{"block": "medium", "scopes": {"provider-binary": "critical", "provider-source": "none"}}"#;
    let unknown = Scope::Other("container".to_owned());
    for (scope, severity, blocking) in [
        (Scope::ProviderBinary, Severity::High, false),
        (Scope::ProviderBinary, Severity::Critical, true),
        (Scope::ProviderSource, Severity::Critical, false),
        (Scope::Module, Severity::Medium, true),
        (Scope::Module, Severity::Low, false),
        (unknown.clone(), Severity::Medium, true),
        (unknown, Severity::Low, false),
    ] {
        let mut report = report(vec![finding("a", severity)]);
        report.scope = scope;
        let verdict = judge(settings, &report).verdict;
        assert_eq!(matches!(verdict, Verdict::Block(_)), blocking, "{report:?}");
    }
}

#[test]
fn what_has_no_severity_counts_as_the_operator_says() {
    let unscored = || vec![finding("a", Severity::Unknown)];
    for (settings, blocking) in [
        (r#"{"block": "low"}"#, false),
        (r#"{"block": "medium", "unscored": "low"}"#, false),
        (r#"{"block": "medium", "unscored": "medium"}"#, true),
        (r#"{"block": "critical", "unscored": "critical"}"#, true),
    ] {
        assert_eq!(blocks(settings, unscored()), blocking, "{settings}");
    }
}

#[test]
fn what_is_published_is_withdrawn_unless_the_operator_says_otherwise() {
    let mut published = context();
    published.already_published = true;
    let report = report(vec![finding("a", Severity::Critical)]);
    for (settings, blocking) in [
        (r#"{"block": "high"}"#, true),
        (r#"{"block": "high", "withdraw": true}"#, true),
        (r#"{"block": "high", "withdraw": false}"#, false),
    ] {
        let judge =
            |context| Threshold::process(settings, &artifact(), &report, context, 0).unwrap();
        let verdict = judge(&published).verdict;
        assert_eq!(matches!(verdict, Verdict::Block(_)), blocking, "{settings}");
        // The first look blocks whatever `withdraw` says.
        assert!(
            matches!(judge(&context()).verdict, Verdict::Block(_)),
            "{settings}"
        );
    }
}

#[test]
fn hostile_settings_are_problems_not_panics() {
    for (settings, path) in [
        ("", ""),
        ("null", ""),
        ("[]", ""),
        ("{}", "block"),
        (r#"{"block": null}"#, "block"),
        (r#"{"block": "unknown"}"#, "block"),
        (r#"{"block": "High"}"#, "block"),
        (r#"{"block": 7}"#, "block"),
        (r#"{"block": "low", "blok": "low"}"#, "blok"),
        (
            r#"{"block": "low", "scopes": {"module": "mid"}}"#,
            "scopes.module",
        ),
        (
            r#"{"block": "low", "scopes": {"modules": "low"}}"#,
            "scopes.modules",
        ),
        (r#"{"block": "low", "scopes": "all"}"#, "scopes"),
        (r#"{"block": "low", "unscored": "none"}"#, "unscored"),
        (r#"{"block": "low", "withdraw": "no"}"#, "withdraw"),
    ] {
        let found = problems::<Threshold>(settings);
        assert_eq!(found.len(), 1, "{settings}: {found:?}");
        assert_eq!(found[0].0, path, "{settings}");
        // What cannot be read judges nothing either.
        let outcome = Threshold::process(settings, &artifact(), &report(Vec::new()), &context(), 0);
        assert!(
            matches!(outcome, Err(Error::InvalidSettings(_))),
            "{settings}"
        );
    }
    assert!(
        problems::<Threshold>(r#"{"block": "hihg"}"#)[0]
            .1
            .contains("did you mean `high`?")
    );
}

proptest! {
    /// More findings never turn a block into a pass, and the order never matters to the verdict.
    #[test]
    fn more_is_never_better(severities in prop::collection::vec(0_usize..5, 0..20), limit in 1_usize..5) {
        let settings = format!(r#"{{"block": "{}"}}"#, Severity::NAMES[limit].0);
        let mut findings: Vec<Finding> = severities
            .iter()
            .map(|index| finding("a", Severity::NAMES[*index].1))
            .collect();
        let expected = severities.iter().any(|index| *index >= limit);
        prop_assert_eq!(blocks(&settings, findings.clone()), expected);
        findings.reverse();
        prop_assert_eq!(blocks(&settings, findings), expected);
    }
}
