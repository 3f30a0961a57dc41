//! Starting with 10,000 Versions in the store, and how soon one more can be seen.

use super::Run;
use super::figure::{Figure, Goal};
use super::seed::{GROWING, LOADED, Seed};
use super::subject::{LOOK_CLOSELY, Listed, NAMESPACE, Subject};
use crate::http;
use anyhow::{Context, Result};
use serde_json::Value;
use std::time::{Duration, Instant};

const READY_GOAL_S: f64 = 3.0;
const RESIDENT_GOAL_MIB: f64 = 150.0;
const VISIBLE_GOAL_S: f64 = 1.0;
/// After it was ready, when its memory is looked at.
const SETTLED: Duration = Duration::from_secs(5);
const PUBLISHED_WITHIN: Duration = Duration::from_secs(60);

/// Starts once a round after a clean stop and once after a kill, then publishes one version a
/// round.
pub(super) async fn measure(run: &Run) -> Result<Vec<Figure>> {
    let seed = Seed::open(&run.root, &run.binary).await?;
    // The first start may still have to write what an older binary left otherwise.
    seed.serve(&run.binary, None, "").await?.stop().await?;
    let rounds = run.rounds.max(1);
    let (mut ready, mut resident, mut own) = (Vec::new(), 0.0_f64, 0.0_f64);
    for round in 1..=rounds {
        eprintln!("starting, {round} of {rounds}");
        let subject = Subject::start(&run.binary, seed.dir(), None).await?;
        tokio::time::sleep(SETTLED).await;
        ready.push(subject.ready_after().as_secs_f64());
        resident = resident.max(subject.resident_mib()?);
        own = own.max(subject.memory_mib()?);
        if round == rounds {
            // Killed, with nothing in flight.
            drop(subject);
        } else {
            subject.stop().await?;
        }
    }
    eprintln!("starting after a kill");
    let mut subject = seed.serve(&run.binary, None, "").await?;
    let after_kill = subject.ready_after().as_secs_f64();
    let mut published = Vec::new();
    for round in 1..=rounds {
        eprintln!("publishing one more version, {round} of {rounds}");
        published.push(publish(&seed, &mut subject).await?);
    }
    let loaded = LOADED + seed.growing()?;
    subject.stop().await?;

    let goal = Goal::AtMost(READY_GOAL_S);
    let visible = max(published.iter().map(|times| times.visible));
    let total = max(published.iter().map(|times| times.total));
    Ok(vec![
        Figure::new("ready", max(ready.iter().copied()), "s", goal).detail(format!(
            "/readyz 200 after the start, {loaded} Versions of modules in the store; the worst of {rounds}"
        )),
        Figure::new("ready, after `kill -9`", after_kill, "s", goal).detail("once"),
        Figure::new(
            "resident memory",
            resident,
            "MiB",
            Goal::AtMost(RESIDENT_GOAL_MIB),
        )
        .detail(format!(
            "VmRSS {} s after it was ready, {own:.0} MiB of it without mapped files",
            SETTLED.as_secs()
        )),
        Figure::new(
            "a publication is visible after its status says so",
            visible,
            "s",
            Goal::AtMost(VISIBLE_GOAL_S),
        )
        .detail(format!(
            "Ready=True at the control socket to the version list; the worst of {rounds}"
        )),
        Figure::new(
            "from a changed manifest to the version list",
            total,
            "s",
            Goal::None,
        ),
    ])
}

/// The times of one publication, in seconds.
struct Times {
    /// From the status to the list; 0 when the list was first.
    visible: f64,
    /// From the manifest to the list.
    total: f64,
}

async fn publish(seed: &Seed, subject: &mut Subject) -> Result<Times> {
    let module = Listed::Module(GROWING);
    let listed = http::client(None)?;
    let list = subject.url(&module.path());
    let control = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .unix_socket(subject.data().join("control.sock"))
        .build()?;
    let (mut in_status, mut in_list) = (None, None);
    let version = seed.grow()?;
    let started = Instant::now();
    let status = format!(
        "http://localhost/apis/opendepot.defdev.io/v1alpha1/namespaces/{NAMESPACE}/versions/{GROWING}-{}",
        version.replace('.', "-")
    );
    subject
        .poll(PUBLISHED_WITHIN, LOOK_CLOSELY, async || {
            // Both each time: the difference is off by one look at most.
            if in_list.is_none() {
                let json: Value = listed.get(&list).send().await?.json().await?;
                if module.has(&json, &version) {
                    in_list = Some(started.elapsed());
                }
            }
            if in_status.is_none() {
                let answer = control.get(&status).send().await?;
                if answer.status().is_success() && is_ready(&answer.json().await?) {
                    in_status = Some(started.elapsed());
                }
            }
            Ok(in_status.is_some() && in_list.is_some())
        })
        .await
        .with_context(|| format!("`{GROWING}` {version} was not published"))?;
    let (in_status, in_list) = in_status.zip(in_list).context("a time is missing")?;
    Ok(Times {
        visible: in_list.saturating_sub(in_status).as_secs_f64(),
        total: in_list.as_secs_f64(),
    })
}

fn is_ready(version: &Value) -> bool {
    let conditions = version
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let has = |condition: &Value, key: &str, value: &str| {
        condition.get(key).and_then(Value::as_str) == Some(value)
    };
    conditions.is_some_and(|list| {
        list.iter()
            .any(|one| has(one, "type", "Ready") && has(one, "status", "True"))
    })
}

fn max(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NAN, f64::max)
}
