//! What every world demands of `validate`: good settings pass, mistakes are told with their
//! place, nothing traps.

use crate::sample;
use crate::session::{Session, shown};
use opendepot_plugin::World;
use serde_json::{Map, Value, json};

/// A key that no plugin has.
const UNKNOWN_KEY: &str = "conformanceUnknownKey";

/// Texts that are no JSON object.
const NO_OBJECTS: [&str; 7] = ["", "{", "null", "[]", "1", "\"text\"", "{\"a\":1}x"];

/// Whether the plugin accepts its settings; without that it can be asked nothing else.
pub(crate) async fn check(session: &mut Session) -> bool {
    let settings = session.invoker.settings().to_owned();
    let input = input(session, &settings);
    let accepted = session.ok("validate", &input).await;
    let accepted = accepted.map(drop).map_err(|reason| {
        format!(
            "`validate` is to accept the defaults of `plugin.yaml`, or the operator's settings over them: {reason}"
        )
    });
    let is_accepted = accepted.is_ok();
    session.note("settings-accepted", accepted);
    let malformed = malformed(session).await;
    session.note("settings-malformed", malformed);
    let unknown = unknown_key(session, &settings).await;
    session.note("settings-unknown-key", unknown);
    let hostile = hostile(session, &settings).await;
    session.note("settings-hostile", hostile);
    let alike = session.repeated("validate", &input).await;
    session.note("settings-deterministic", alike);
    if is_accepted {
        const TENTH: u32 = 10;
        let in_time = session.within("validate", &input, TENTH).await;
        session.note("settings-time", in_time.map(drop).map_err(String::from));
    }
    is_accepted
}

/// The argument of `validate` that carries the operator's settings.
fn input(session: &Session, settings: &str) -> Value {
    match session.invoker.facts().world {
        World::Storage => json!({ "configuration": { "operator": settings } }),
        World::Auth | World::Scan => json!({ "settings": settings }),
    }
}

/// The problems of an `invalid-settings`.
fn problems(answer: &Result<Value, Value>) -> Option<&Vec<Value>> {
    let problems = answer.as_ref().err()?.get("invalid-settings")?.as_array()?;
    (!problems.is_empty()).then_some(problems)
}

async fn malformed(session: &mut Session) -> Result<(), String> {
    for text in NO_OBJECTS {
        let input = input(session, text);
        let answer = session.call("validate", &input).await;
        let answer = answer.map_err(|reason| format!("settings {text:?}: {reason}"))?;
        if problems(&answer).is_none() {
            return Err(format!(
                "settings {text:?} are no JSON object: expected `invalid-settings` with a problem, got {}",
                shown(&answer)
            ));
        }
    }
    Ok(())
}

async fn unknown_key(session: &mut Session, settings: &str) -> Result<(), String> {
    let mut members = members(settings);
    members.insert(UNKNOWN_KEY.to_owned(), json!(1));
    let input = input(session, &Value::Object(members).to_string());
    let answer = session.call("validate", &input).await?;
    let path_of = |problem: &Value| {
        problem
            .get("path")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let paths: Option<Vec<String>> =
        problems(&answer).map(|problems| problems.iter().filter_map(path_of).collect());
    match paths {
        Some(paths) if paths.iter().any(|path| path.contains(UNKNOWN_KEY)) => Ok(()),
        _ => Err(format!(
            "a key that the settings do not have, `{UNKNOWN_KEY}`, is to be refused as `invalid-settings` with \
             its path, so that a misspelt key does not go unnoticed; got {}",
            shown(&answer)
        )),
    }
}

/// Anything may be answered; not answering is the failure.
async fn hostile(session: &mut Session, settings: &str) -> Result<(), String> {
    let members = members(settings);
    let mut keys: Vec<String> = members.keys().cloned().collect();
    keys.push(UNKNOWN_KEY.to_owned());
    for key in keys {
        for value in sample::hostile_values() {
            let mut changed = members.clone();
            changed.insert(key.clone(), value.clone());
            let input = input(session, &Value::Object(changed).to_string());
            let what = || format!("setting `{key}` to {}", crate::session::cut(&value));
            session.answers("validate", &input, what).await?;
        }
    }
    // As deep as a host reads, and so the deepest that it hands on.
    const DEEPEST: usize = 126;
    for text in ["[".repeat(DEEPEST), "{\"a\":".repeat(DEEPEST)] {
        let input = input(session, &text);
        let what = || format!("settings nested {DEEPEST} deep");
        session.answers("validate", &input, what).await?;
    }
    Ok(())
}

fn members(settings: &str) -> Map<String, Value> {
    match serde_json::from_str(settings) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}
