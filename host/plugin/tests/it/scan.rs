//! The scan chain: judgements, verdicts, and what is not a judgement.

use crate::guests::{self, Judgement};
use crate::support::{Site, artifact, failure};
use opendepot_domain::scan::{
    Context, Finding, Outcome, Report, Scope, Severity, Trigger, Verdict,
};
use opendepot_domain::seam::ScanPolicy as _;
use opendepot_plugin::PluginHost;

const JUDGING: &str = "{ judge-findings: true }";

fn report() -> Report {
    let finding = |id: &str| Finding {
        id: id.into(),
        package: "p".into(),
        installed_version: "1".into(),
        fixed_version: None,
        severity: Severity::High,
        suppressed: None,
        title: "t".into(),
    };
    Report {
        scanner: "scanner 1".into(),
        scanned_at: 1,
        scope: Scope::Module,
        findings: vec![finding("a"), finding("b")],
    }
}

pub(crate) async fn process(host: &PluginHost) -> Outcome {
    let context = Context {
        artifact: artifact(),
        already_published: false,
        trigger: Trigger::Ingest,
    };
    host.process(report(), &context, 1_000).await
}

async fn judged(judgements: &[Judgement], verdict: u8, needs: &str, granted: bool) -> Outcome {
    let mut site = Site::new();
    let entry = site.plugin_needing("gate", "scan", &guests::scan(judgements, verdict), needs);
    entry.grants.judge_findings = granted;
    let host = site.host().await;
    assert_eq!(failure(&host, "gate"), None);
    process(&host).await
}

#[tokio::test]
async fn verdicts_and_judgements_are_applied() {
    let outcome = judged(&[], 0, "{}", false).await;
    assert_eq!(outcome.verdict, Verdict::Publish);
    let outcome = judged(&[], 2, "{}", false).await;
    assert_eq!(outcome.verdict, Verdict::Publish);
    let outcome = judged(&[], 1, "{}", false).await;
    assert_eq!(outcome.verdict, Verdict::Block("`gate`: too bad".into()));
    let outcome = judged(
        &[(1, Some(4), None), (0, None, Some("accepted"))],
        0,
        JUDGING,
        true,
    )
    .await;
    assert_eq!(outcome.findings[1].severity, Severity::Critical);
    assert_eq!(outcome.findings[0].severity, Severity::High);
    assert_eq!(
        outcome.findings[0].suppressed.as_deref(),
        Some("gate: accepted")
    );
}

#[tokio::test]
async fn judging_needs_need_and_grant_and_a_finding() {
    let one: &[Judgement] = &[(0, Some(1), None)];
    for (name, judgements, needs, granted) in [
        ("not granted", one, JUDGING, false),
        ("not declared", one, "{}", true),
        ("invented finding", &[(2, Some(1), None)], JUDGING, true),
        ("huge index", &[(u32::MAX, Some(1), None)], JUDGING, true),
        (
            "judged twice",
            &[(0, Some(1), None), (0, Some(2), None)],
            JUDGING,
            true,
        ),
        ("undefined severity", &[(0, Some(9), None)], JUDGING, true),
    ] {
        let outcome = judged(judgements, 0, needs, granted).await;
        assert!(
            matches!(outcome.verdict, Verdict::NotScanned(_)),
            "{name}: {outcome:?}"
        );
        assert_eq!(outcome.findings, report().findings, "{name}");
    }
}

#[tokio::test]
async fn a_block_stands_and_a_failure_is_no_pass() {
    let trap = guests::component(
        "scan",
        r#"(module (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2048))
  (func (export "opendepot:scan/post-processor@0.1.0#validate") (param i32 i32) (result i32)
    (i32.const 1024))
  (func (export "opendepot:scan/post-processor@0.1.0#process") (param i32) (result i32)
    unreachable))"#,
    );
    for (name, blocks, expects_block) in [("passes", 0, false), ("blocks", 1, true)] {
        for trap_order in [1, 300] {
            let mut site = Site::new();
            site.plugin("gate", "scan", &guests::scan(&[], blocks));
            site.plugin("traps", "scan", &trap).order = trap_order;
            let outcome = process(&site.host().await).await;
            assert_eq!(
                matches!(outcome.verdict, Verdict::Block(_)),
                expects_block,
                "{name}: {outcome:?}"
            );
            assert_ne!(outcome.verdict, Verdict::Publish, "{name}");
        }
    }
    let mut site = Site::new();
    site.plugin("broken", "scan", b"not wasm");
    let outcome = process(&site.host().await).await;
    assert!(matches!(outcome.verdict, Verdict::NotScanned(_)));
}

#[tokio::test]
async fn later_plugins_see_earlier_judgements() {
    let mut site = Site::new();
    let suppress = guests::scan(&[(0, Some(1), Some("first"))], 2);
    for (name, order, component) in [
        ("first", 1, &suppress),
        ("second", 2, &guests::scan(&[(0, None, Some("second"))], 2)),
    ] {
        let entry = site.plugin_needing(name, "scan", component, JUDGING);
        entry.order = order;
        entry.grants.judge_findings = true;
    }
    let outcome = process(&site.host().await).await;
    assert_eq!(outcome.findings[0].severity, Severity::Low);
    assert_eq!(
        outcome.findings[0].suppressed.as_deref(),
        Some("second: second")
    );
}
