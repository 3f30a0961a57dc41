//! The scan world: judgements that fit the report, whatever the report is.

use crate::sample::{self, NOW};
use crate::session::{Session, cut, shown};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Findings in the largest report of the suite.
const MANY: usize = 10_000;

pub(crate) async fn check(session: &mut Session) {
    let empty = outcome(session, &sample::report(Vec::new())).await;
    session.note("empty-report", empty);
    let mut judged = Ok(());
    for count in [1, 2, 5, 45] {
        let report = sample::report(sample::findings(count));
        if judged.is_ok() {
            judged = outcome(session, &report).await;
        }
    }
    session.note("judgements", judged);
    let many = sample::report(sample::findings(MANY));
    let judged = session.within("process", &input(&many), 1).await;
    let judged = judged
        .map_err(String::from)
        .and_then(|outcome| fits(session, &many, &outcome));
    session.note("10000-findings", judged);
    let small = input(&sample::report(sample::findings(20)));
    let unknown = unknown_words(session).await;
    session.note("unknown-words", unknown);
    let ignored = unknown_attributes(session, &small).await;
    session.note("unknown-attributes", ignored);
    let hostile = hostile(session).await;
    session.note("hostile-texts", hostile);
    let alike = session.repeated("process", &small).await;
    session.note("deterministic", alike);
    const TENTH: u32 = 10;
    let in_time = session.within("process", &small, TENTH).await;
    session.note("time", in_time.map(drop).map_err(String::from));
}

fn input(report: &Value) -> Value {
    json!({
        "artifact": sample::artifact(),
        "report": report,
        "context": { "already-published": false, "trigger": "ingest", "attributes": [] },
        "now": NOW,
    })
}

/// Asks about a report, and holds the outcome against it.
async fn outcome(session: &mut Session, report: &Value) -> Result<(), String> {
    let outcome = session.ok("process", &input(report)).await?;
    fits(session, report, &outcome)
}

fn fits(session: &Session, report: &Value, outcome: &Value) -> Result<(), String> {
    let list = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned();
    let num_findings = list(report, "findings").unwrap_or_default().len();
    let judgements = list(outcome, "judgements").unwrap_or_default();
    if !judgements.is_empty() && !session.invoker.facts().needs.judge_findings {
        return Err(format!(
            "it judges findings, which needs `judge-findings: true` under `needs` in `plugin.yaml`: {}",
            cut(outcome)
        ));
    }
    let mut seen = BTreeSet::new();
    for judgement in &judgements {
        let index = judgement
            .get("finding")
            .and_then(Value::as_u64)
            .unwrap_or(u64::MAX);
        if index >= num_findings as u64 {
            return Err(format!(
                "it judges finding {index} of a report with {num_findings}: expected 0 to {} at most",
                num_findings.saturating_sub(1)
            ));
        }
        if !seen.insert(index) {
            return Err(format!(
                "it judges finding {index} twice, expected once at most"
            ));
        }
    }
    Ok(())
}

/// Scopes, triggers and kinds that a later host may have.
async fn unknown_words(session: &mut Session) -> Result<(), String> {
    let mut asked = input(&sample::report(sample::findings(5)));
    for (part, member, value) in [
        ("report", "scope", json!({ "other": "conformance" })),
        ("context", "trigger", json!("conformance")),
        ("artifact", "kind", json!({ "other": "conformance" })),
    ] {
        let label = || format!("`{part}.{member}` of a later version");
        if let Some(part) = asked.get_mut(part).and_then(Value::as_object_mut) {
            part.insert(member.to_owned(), value);
        }
        session.answers("process", &asked, label).await?;
    }
    Ok(())
}

async fn unknown_attributes(session: &mut Session, plain: &Value) -> Result<(), String> {
    let attribute = json!([{ "name": "conformance-unknown", "value": "x" }]);
    let expected = session.call("process", plain).await?;
    let mut more = plain.clone();
    for part in ["report", "context"] {
        if let Some(part) = more.get_mut(part).and_then(Value::as_object_mut) {
            part.insert("attributes".to_owned(), attribute.clone());
        }
    }
    let findings = more
        .pointer_mut("/report/findings")
        .and_then(Value::as_array_mut);
    for finding in findings.into_iter().flatten() {
        if let Some(finding) = finding.as_object_mut() {
            finding.insert("attributes".to_owned(), attribute.clone());
        }
    }
    let got = session.call("process", &more).await?;
    if got == expected {
        return Ok(());
    }
    Err(format!(
        "attributes with unknown names are to be ignored: expected {}, got {}",
        shown(&expected),
        shown(&got)
    ))
}

async fn hostile(session: &mut Session) -> Result<(), String> {
    for text in sample::hostile_texts() {
        let mut findings = sample::findings(3);
        for finding in findings.iter_mut().filter_map(Value::as_object_mut) {
            for member in [
                "id",
                "package",
                "installed-version",
                "fixed-version",
                "title",
            ] {
                finding.insert(member.to_owned(), text.as_str().into());
            }
        }
        let report = sample::report(findings);
        let answer = session.call("process", &input(&report)).await;
        let label: String = text.chars().take(20).collect();
        let answer =
            answer.map_err(|reason| format!("findings with the text {label:?}: {reason}"))?;
        // It may refuse; the host then counts the artifact as not scanned.
        if let Ok(outcome) = answer {
            fits(session, &report, &outcome)?;
        }
    }
    Ok(())
}
