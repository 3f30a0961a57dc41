use super::Allowlist;
use opendepot_plugin_sdk::date::{DAY, Date};
use opendepot_plugin_sdk::fixture::scan::{artifact, context, finding, problems, report};
use opendepot_plugin_sdk::scan::{Error, Finding, ScanPlugin, Severity, Verdict};
use opendepot_plugin_sdk::{Artifact, ArtifactKind};
use proptest::prelude::*;

/// The last second of a day, in UTC.
fn end_of(date: &str) -> u64 {
    let days = i64::from(Date::parse(date).unwrap().days());
    u64::try_from((days + 1) * DAY - 1).unwrap()
}

fn entry(rest: &str) -> String {
    format!(
        r#"{{"accepted": [{{"id": "CVE-1", "reason": "never called", "expires": "2027-03-31"{rest}}}]}}"#
    )
}

/// Place and reason of what is suppressed.
fn suppressed(
    settings: &str,
    artifact: &Artifact,
    findings: Vec<Finding>,
    now: u64,
) -> Vec<(u32, String)> {
    let outcome =
        Allowlist::process(settings, artifact, &report(findings), &context(), now).unwrap();
    assert_eq!(outcome.verdict, Verdict::Abstain);
    outcome
        .judgements
        .into_iter()
        .map(|judgement| {
            assert_eq!(judgement.severity, None);
            (judgement.finding, judgement.suppressed.unwrap())
        })
        .collect()
}

#[test]
fn an_accepted_finding_is_suppressed_with_reason_and_date() {
    let findings = vec![
        finding("CVE-2", Severity::High),
        finding("cve-1", Severity::Critical),
        finding("CVE-11", Severity::High),
        finding("CVE-1", Severity::Low),
    ];
    let reason = "accepted until 2027-03-31: never called".to_owned();
    assert_eq!(
        suppressed(&entry(""), &artifact(), findings, end_of("2027-01-01")),
        [(1, reason.clone()), (3, reason)]
    );
}

#[test]
fn an_entry_counts_through_its_last_day() {
    let count = |now| {
        let findings = vec![finding("CVE-1", Severity::High)];
        suppressed(&entry(""), &artifact(), findings, now).len()
    };
    assert_eq!(count(0), 1);
    assert_eq!(count(end_of("2027-03-31")), 1);
    assert_eq!(count(end_of("2027-03-31") + 1), 0);
    assert_eq!(count(253_402_300_799), 0);
}

#[test]
fn a_later_entry_for_the_same_finding_counts_on() {
    let settings = r#"{"accepted": [
        {"id": "CVE-1", "reason": "second", "expires": "2028-01-01", "package": "openssl"},
        {"id": "CVE-1", "reason": "first", "expires": "2027-01-01"}
    ]}"#;
    let mut other = finding("CVE-1", Severity::High);
    other.package = "zlib".to_owned();
    let judge = |now| {
        let findings = vec![finding("CVE-1", Severity::High), other.clone()];
        suppressed(settings, &artifact(), findings, now)
    };
    assert_eq!(judge(end_of("2026-12-31")).len(), 2);
    let late = judge(end_of("2027-06-01"));
    assert_eq!(late, [(0, "accepted until 2028-01-01: second".to_owned())]);
}

#[test]
fn package_and_artifact_narrow_an_entry() {
    let mut module = artifact();
    module.kind = ArtifactKind::Module;
    let mut strange = artifact();
    strange.kind = ArtifactKind::Other("dataset".to_owned());
    for (rest, artifact, expected) in [
        (r#", "package": "openssl""#, artifact(), true),
        (r#", "package": "openss""#, artifact(), false),
        (r#", "package": "OpenSSL""#, artifact(), false),
        (r#", "providers": ["aws"]"#, artifact(), true),
        (
            r#", "providers": ["a?s"], "namespaces": ["team-*"]"#,
            artifact(),
            true,
        ),
        (
            r#", "providers": ["aws"], "namespaces": ["team-b"]"#,
            artifact(),
            false,
        ),
        (r#", "providers": ["null"]"#, artifact(), false),
        (r#", "modules": ["*"]"#, artifact(), false),
        (r#", "modules": ["*"]"#, module, true),
        (
            r#", "modules": ["*"], "providers": ["*"]"#,
            strange.clone(),
            false,
        ),
        ("", strange, true),
    ] {
        let findings = vec![finding("CVE-1", Severity::High)];
        let judged = suppressed(&entry(rest), &artifact, findings, 0);
        assert_eq!(judged.len() == 1, expected, "{rest}");
    }
}

#[test]
fn what_is_suppressed_already_keeps_its_reason() {
    let mut earlier = finding("CVE-1", Severity::High);
    earlier.suppressed = Some("scan-fixable-only: no version fixes it yet".to_owned());
    assert!(suppressed(&entry(""), &artifact(), vec![earlier], 0).is_empty());
}

#[test]
fn many_findings_are_judged_once_each() {
    let findings = vec![finding("CVE-1", Severity::High); 20_000];
    let judged = suppressed(&entry(""), &artifact(), findings.clone(), 0);
    assert!(
        judged
            .iter()
            .zip(0..)
            .all(|((index, _), expected)| *index == expected)
    );
    assert_eq!(judged.len(), 20_000);
    // Expired ones are many too, and say so without filling the log.
    assert!(suppressed(&entry(""), &artifact(), findings, end_of("2030-01-01")).is_empty());
}

#[test]
fn hostile_settings_are_problems_not_panics() {
    let good = r#"{"id": "a", "reason": "b", "expires": "2027-01-01"}"#;
    let many = format!(r#"{{"accepted": [{}]}}"#, vec![good; 1001].join(","));
    let one = |from: &str, to: &str| format!(r#"{{"accepted": [{}]}}"#, good.replace(from, to));
    let long = "x".repeat(513);
    for (settings, path) in [
        (String::new(), ""),
        ("[]".to_owned(), ""),
        ("{}".to_owned(), "accepted"),
        (r#"{"accepted": {}}"#.to_owned(), "accepted"),
        (r#"{"accepted": ["CVE-1"]}"#.to_owned(), "accepted[0]"),
        (r#"{"accepted": [], "ignored": []}"#.to_owned(), "ignored"),
        (many, "accepted"),
        (one("\"id\"", "\"cve\""), "accepted[0].cve"),
        (one("\"a\"", "\"\""), "accepted[0].id"),
        (one("\"a\"", "7"), "accepted[0].id"),
        (one("\"b\"", "\" \\n\""), "accepted[0].reason"),
        (one("\"b\"", &format!("\"{long}\"")), "accepted[0].reason"),
        (one("\"b\"", "\"\""), "accepted[0].reason"),
        (one("2027-01-01", "2027-02-29"), "accepted[0].expires"),
        (one("2027-01-01", "never"), "accepted[0].expires"),
        (one("\"2027-01-01\"", "20270101"), "accepted[0].expires"),
        (
            one("\"reason\"", "\"package\": \"\", \"reason\""),
            "accepted[0].package",
        ),
        (
            one("\"reason\"", "\"modules\": [], \"reason\""),
            "accepted[0].modules",
        ),
    ] {
        let found = problems::<Allowlist>(&settings);
        assert_eq!(
            found.first().map(|(path, _)| path.as_str()),
            Some(path),
            "{settings:.80}"
        );
    }
    let found = problems::<Allowlist>(r#"{"accepted": [{}]}"#);
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "accepted[0].id",
            "accepted[0].reason",
            "accepted[0].expires"
        ]
    );
}

#[test]
fn a_clock_without_a_calendar_is_no_scan() {
    for now in [253_402_300_800, u64::MAX] {
        let outcome = Allowlist::process(
            &entry(""),
            &artifact(),
            &report(Vec::new()),
            &context(),
            now,
        );
        assert!(matches!(outcome, Err(Error::Other(_))), "{now}");
    }
}

proptest! {
    /// Whatever the scanner wrote, only findings of the accepted id are suppressed, each once.
    #[test]
    fn only_the_accepted_id(ids in prop::collection::vec("(CVE|cve)-[12]|\\PC{0,8}", 0..12)) {
        let findings: Vec<Finding> = ids.iter().map(|id| finding(id, Severity::High)).collect();
        let judged = suppressed(&entry(""), &artifact(), findings, 0);
        let expected: Vec<u32> = ids
            .iter()
            .zip(0..)
            .filter(|(id, _)| id.eq_ignore_ascii_case("CVE-1"))
            .map(|(_, index)| index)
            .collect();
        let places: Vec<u32> = judged.into_iter().map(|(index, _)| index).collect();
        prop_assert_eq!(places, expected);
    }
}
