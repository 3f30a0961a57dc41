//! What a plugin is refused, and what it changes, is in the log under its name and digest.

use crate::guests::{self, Plan, Request, place};
use crate::scan::process;
use crate::support::{Log, Site, artifact, failure, grants, id, record};
use opendepot_domain::Operation;
use opendepot_domain::seam::StorageDecisions as _;

const STORE: &str = "s3://depot";

#[tokio::test]
async fn what_a_plugin_is_refused_is_logged() {
    let forged = Request {
        method: "GET",
        url: "http://169.254.169.254/latest/meta-data",
        headers: Vec::new(),
        expires_at: 4_000_000_000,
    };
    let guest = guests::storage(&place("s3://others", "a.zip"), &Plan::Signed(forged));
    let mut site = Site::new();
    site.plugin_needing("forger", "storage", &guest, "{ hosts: true }")
        .grants = grants("{ stores: [{ match: 's3://depot' }], hosts: ['artifactory.test:443'] }");
    let thief = guests::storage_opening("prod-keys");
    site.plugin("audited-thief", "storage", &thief).grants =
        grants("stores: [{ match: 'file:///' }]");
    let host = site.host().await;
    for name in ["forger", "audited-thief"] {
        assert_eq!(failure(&host, name), None, "{name}");
    }
    let (forged, stolen) = (Log::of("forger"), Log::of("audited-thief"));
    let forger = id("forger");
    host.locate(&forger, None, &artifact()).await.unwrap_err();
    let recorded = record("forger", STORE, "a.zip");
    let planned = host.plan(&recorded, &artifact(), Operation::Get, 100).await;
    planned.unwrap_err();
    // One line a minute and kind; the rest is counted.
    let refusals = forged.lines("refused `plan` to plugin `forger`");
    assert_eq!(refusals.len(), 1, "{}", forged.text());
    assert!(
        refusals[0].to_string().contains("s3://others"),
        "{refusals:?}"
    );
    let opened = host
        .locate(&id("audited-thief"), None, &artifact())
        .await
        .unwrap();
    assert_eq!(opened.key, "denied");
    let refusals = stolen.lines("refused `secrets.open` to plugin `audited-thief`");
    assert_eq!(refusals.len(), 1, "{}", stolen.text());
    assert!(
        refusals[0].to_string().contains("prod-keys"),
        "{refusals:?}"
    );
}

#[tokio::test]
async fn every_judgement_is_logged() {
    let judgements = [(0, None, Some("accepted")), (1, Some(1), None)];
    let guest = guests::scan(&judgements, 0);
    let mut site = Site::new();
    site.plugin_needing("audited-gate", "scan", &guest, "{ judge-findings: true }")
        .grants
        .judge_findings = true;
    let host = site.host().await;
    let log = Log::of("audited-gate");
    let outcome = process(&host).await;
    let reason = outcome.findings[0].suppressed.as_deref();
    assert_eq!(
        reason,
        Some("audited-gate: accepted"),
        "who says so stays with it"
    );
    let lines = log.lines("plugin `audited-gate` judged finding");
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let fields = &line["fields"];
            (
                fields["finding.id"].as_str(),
                fields["finding.suppressed"].as_bool(),
            )
        })
        .collect();
    assert_eq!(told, [(Some("a"), Some(true)), (Some("b"), Some(false))]);
}
