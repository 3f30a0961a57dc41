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
    site.plugin("thief", "storage", &thief).grants = grants("stores: [{ match: 'file:///' }]");
    let host = site.host().await;
    for name in ["forger", "thief"] {
        assert_eq!(failure(&host, name), None, "{name}");
    }
    let log = Log::of_this_thread();
    let forger = id("forger");
    host.locate(&forger, None, &artifact()).await.unwrap_err();
    let recorded = record("forger", STORE, "a.zip");
    let planned = host.plan(&recorded, &artifact(), Operation::Get, 100).await;
    planned.unwrap_err();
    let refusals = log.lines_of("forger", "refused a plan of plugin `forger`");
    assert_eq!(refusals.len(), 2, "{}", log.text());
    assert!(
        refusals[0].to_string().contains("s3://others"),
        "{refusals:?}"
    );
    assert!(
        refusals[1].to_string().contains("169.254.169.254"),
        "{refusals:?}"
    );
    let opened = host.locate(&id("thief"), None, &artifact()).await.unwrap();
    assert_eq!(opened.key, "denied");
    let refusals = log.lines_of("thief", "refused `secrets.open` to plugin `thief`");
    assert_eq!(refusals.len(), 1, "{}", log.text());
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
    site.plugin_needing("gate", "scan", &guest, "{ judge-findings: true }")
        .grants
        .judge_findings = true;
    let host = site.host().await;
    let log = Log::of_this_thread();
    let outcome = process(&host).await;
    let reason = outcome.findings[0].suppressed.as_deref();
    assert_eq!(reason, Some("gate: accepted"), "who says so stays with it");
    let lines = log.lines_of("gate", "plugin `gate` judged finding");
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
