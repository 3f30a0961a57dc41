//! The storage world: places that are granted, distinct and stable; plans that keep to the record.

use crate::sample::{self, NOW};
use crate::session::{Session, cut, shown};
use crate::{Error, Options, hosted};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// The operations that every plugin must plan.
const NEEDED: [&str; 4] = ["put", "get", "head", "delete"];
/// A link for fifteen minutes.
pub(crate) const PRESIGN_SECONDS: u32 = 900;

pub(crate) async fn check(
    session: &mut Session,
    plugin: &Path,
    options: &Options,
) -> Result<(), Error> {
    let located = located(session).await;
    let placements = match located {
        Ok(placements) => placements,
        Err(reason) => {
            session.note("locate", Err(reason));
            session.skip(
                "plan",
                "there is no place to plan for: `locate` does not answer",
            );
            return Ok(());
        }
    };
    session.note("locate", Ok(()));
    session.note("keys-distinct", distinct(&placements));
    let artifact = json!({ "artifact": sample::artifact() });
    let alike = session.repeated("locate", &artifact).await;
    session.note("locate-deterministic", alike);
    let place = placements.first().cloned().unwrap_or_default();
    let plans = raw_plans(session, &place).await;
    let keeps = keeps_place(session, &place).await;
    session.note("plan-keeps-place", keeps);
    session.note("nothing", nothing(&plans));
    session.note("presign", presign(&plans));
    let unsupported = unsupported(session, &place).await;
    session.note("unsupported", unsupported);
    let get = planning(&place, &json!("get"));
    let alike = session.repeated("plan", &get).await;
    session.note("plan-deterministic", alike);
    let hostile = hostile(session, &place).await;
    session.note("hostile-texts", hostile);
    const TENTH: u32 = 10;
    let in_time = session.within("locate", &artifact, TENTH).await;
    session.note("locate-time", in_time.map(drop).map_err(String::from));
    let in_time = session.within("plan", &get, TENTH).await;
    session.note("plan-time", in_time.map(drop).map_err(String::from));
    if !plugin.is_dir() {
        session.skip("plan", "a host loads folders, not a component alone");
        return Ok(());
    }
    let grants = match &options.grants {
        Some(grants) => grants.clone(),
        None => hosted::needed_grants(session, &placements, &plans),
    };
    hosted::check(session, plugin, options, grants).await
}

/// Store and key of every artifact of the suite.
async fn located(session: &mut Session) -> Result<Vec<Value>, String> {
    let mut placements = Vec::new();
    for artifact in sample::artifacts() {
        let placement = session.ok("locate", &json!({ "artifact": artifact })).await;
        let placement = placement.map_err(|reason| {
            let artifact = Value::Object(artifact);
            format!(
                "every artifact is to have a place, {}: {reason}",
                cut(&artifact)
            )
        })?;
        let member = |name: &str| placement.get(name).cloned().unwrap_or_default();
        placements.push(json!({ "store": member("store"), "key": member("key") }));
    }
    Ok(placements)
}

fn distinct(placements: &[Value]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (placement, artifact) in placements.iter().zip(sample::artifacts()) {
        if !seen.insert(placement.to_string()) {
            return Err(format!(
                "two artifacts are to have two places; {} got one that another has: {}",
                cut(&Value::Object(artifact)),
                cut(placement)
            ));
        }
    }
    Ok(())
}

fn planning(place: &Value, operation: &Value) -> Value {
    json!({
        "artifact": sample::artifact(),
        "placement": place,
        "operation": operation,
        "now": NOW,
    })
}

pub(crate) type Plans = Vec<(&'static str, Result<Result<Value, Value>, String>)>;

/// What the guest itself says to every operation.
async fn raw_plans(session: &mut Session, place: &Value) -> Plans {
    let mut plans = Vec::new();
    for name in NEEDED {
        plans.push((
            name,
            session.call("plan", &planning(place, &json!(name))).await,
        ));
    }
    let presign = json!({ "presign": PRESIGN_SECONDS });
    plans.push((
        "presign",
        session.call("plan", &planning(place, &presign)).await,
    ));
    plans.push((
        "prepare",
        session
            .call("plan", &planning(place, &json!("prepare")))
            .await,
    ));
    plans
}

/// A native plan is for the place that was recorded, also for one that `locate` never said.
async fn keeps_place(session: &mut Session, place: &Value) -> Result<(), String> {
    let mut other = place.clone();
    if let Some(key) = other.get_mut("key") {
        *key = "conformance/elsewhere/recorded-long-ago.zip".into();
    }
    for place in [place, &other] {
        for name in NEEDED {
            let plan = session.call("plan", &planning(place, &json!(name))).await?;
            let Some(native) = plan.as_ref().ok().and_then(|plan| plan.get("native")) else {
                continue;
            };
            let member = |name: &str| native.get(name).cloned().unwrap_or_default();
            let got = json!({ "store": member("store"), "key": member("key") });
            if got != *place {
                return Err(format!(
                    "`{name}` of what is recorded at {place} is to be planned there, got {got}"
                ));
            }
        }
    }
    Ok(())
}

fn nothing(plans: &Plans) -> Result<(), String> {
    for (name, plan) in plans {
        if *name != "prepare" && matches!(plan, Ok(Ok(plan)) if plan == "nothing") {
            return Err(format!(
                "`nothing` is an answer to `prepare` only, got it for `{name}`"
            ));
        }
    }
    Ok(())
}

fn presign(plans: &Plans) -> Result<(), String> {
    let plan = plans.iter().find(|(name, _)| *name == "presign");
    let answer = match plan {
        Some((_, Ok(answer))) => answer,
        Some((_, Err(reason))) => return Err(reason.clone()),
        None => return Ok(()),
    };
    match answer {
        Ok(plan) => {
            let headers = plan.pointer("/signed/headers").and_then(Value::as_array);
            match headers {
                Some(headers) if !headers.is_empty() => Err(format!(
                    "a link for a client carries no headers, got {}",
                    cut(&headers.clone().into())
                )),
                _ => Ok(()),
            }
        }
        Err(error) if error.get("unsupported").is_some() => Ok(()),
        Err(error) => Err(format!(
            "`presign` is to be planned, or to be `unsupported`, got {}",
            cut(error)
        )),
    }
}

async fn unsupported(session: &mut Session, place: &Value) -> Result<(), String> {
    let operation = json!({ "other": "conformance" });
    let answer = session.call("plan", &planning(place, &operation)).await?;
    match &answer {
        Err(error) if error.get("unsupported").is_some() => Ok(()),
        other => Err(format!(
            "an operation that this version does not know is to be `unsupported`, got {}",
            shown(other)
        )),
    }
}

/// Anything may be answered; not answering is the failure.
async fn hostile(session: &mut Session, place: &Value) -> Result<(), String> {
    for text in sample::hostile_texts() {
        let label: String = text.chars().take(20).collect();
        let mut artifact = sample::artifact();
        for name in [
            "namespace",
            "name",
            "version",
            "file-name",
            "media-type",
            "os",
        ] {
            artifact.insert(name.to_owned(), text.as_str().into());
        }
        artifact.insert("kind".to_owned(), json!({ "other": text }));
        let attributes = json!([{ "name": "config-name", "value": text }]);
        artifact.insert("attributes".to_owned(), attributes);
        let locate = json!({ "artifact": artifact });
        let what = || format!("an artifact named like {label:?}");
        session.answers("locate", &locate, what).await?;
        let mut place = place.clone();
        if let Some(key) = place.get_mut("key") {
            *key = text.as_str().into();
        }
        let what = || format!("a record with the key {label:?}");
        session
            .answers("plan", &planning(&place, &json!("get")), what)
            .await?;
        let block = json!({ "configuration": { "backend": text } });
        let what = || format!("a resource's block {label:?}");
        session.answers("validate", &block, what).await?;
    }
    Ok(())
}
