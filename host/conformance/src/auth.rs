//! The auth world: one decision a target, each from its own question alone, and never an allow
//! for what is not known.

use crate::sample::{self, ACTIONS, NOW};
use crate::session::{Session, Unmet, cut};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};

/// The most targets of one call. What an interpreter needs for them may be more than the deadline.
const MANY: usize = 10_000;
/// What everything has to answer in time.
const SOME: usize = 1_000;
const FEW: usize = 24;

pub(crate) async fn check(session: &mut Session) {
    // A plugin to which bindings mean nothing decides as without.
    let state = match prepare(session, json!([good_binding()])).await {
        Ok(prepared) => prepared.state,
        Err(reason) => {
            session.note("prepare", Err(reason));
            return session.skip(
                "authorize",
                "nothing to ask with: `prepare` does not answer",
            );
        }
    };
    session.note("prepare", Ok(()));
    let alike = session
        .repeated("prepare", &json!({ "bindings": [] }))
        .await;
    session.note("prepare-deterministic", alike);
    let mut asked = Asked::new(state);
    let counted = one_a_target(session, &asked).await;
    session.note("one-decision-a-target", counted);
    let ordered = ordered(session, &asked).await;
    session.note("order", ordered);
    let closed = other_actions(session, &asked).await;
    session.note("other-actions", closed);
    let trusted = least_trusted(session, &asked).await;
    session.note("unknown-authentication", trusted);
    let ignored = unknown_attributes(session, &asked).await;
    session.note("unknown-attributes", ignored);
    let bindings = bindings(session).await;
    session.note("broken-binding", bindings);
    let hostile = hostile(session, &asked).await;
    session.note("hostile-texts", hostile);
    let one = asked.input(&sample::subject(), &json!("download"), &sample::targets(1));
    let alike = session.repeated("authorize", &one).await;
    session.note("deterministic", alike);
    const TENTH: u32 = 10;
    let in_time = session.within("authorize", &one, TENTH).await;
    session.note("time", in_time.map(drop).map_err(String::from));
    let some = many(session, &asked, SOME).await;
    session.note("1000-targets", some.map_err(String::from));
    match many(session, &asked, MANY).await {
        Err(Unmet::Late(reason)) => session.skip(
            "10000-targets",
            format!("a registry denies listings of so many, because {reason}"),
        ),
        other => session.note("10000-targets", other.map_err(String::from)),
    }
    if *asked.decides.get_mut() {
        session.note("decides", Ok(()));
    } else {
        session.skip(
            "decides",
            "it abstained from everything; with settings that decide something the suite says more",
        );
    }
}

/// What every question of the suite has.
struct Asked {
    state: Value,
    /// Whether anything but `abstain` was answered.
    decides: AtomicBool,
}

impl Asked {
    fn new(state: Value) -> Self {
        Self {
            state,
            decides: AtomicBool::new(false),
        }
    }

    fn input(&self, subject: &Value, action: &Value, targets: &[Value]) -> Value {
        json!({
            "state": self.state,
            "subject": subject,
            "action": action,
            "targets": targets,
            "now": NOW,
        })
    }

    /// The decisions; one a target, else it is an error.
    async fn decisions(
        &self,
        session: &mut Session,
        subject: &Value,
        action: &Value,
        targets: &[Value],
    ) -> Result<Vec<Value>, String> {
        let answer = session
            .ok("authorize", &self.input(subject, action, targets))
            .await?;
        let decisions = one_each(&answer, targets.len())?;
        if decisions.iter().any(|decision| decision != "abstain") {
            self.decides.store(true, Ordering::Relaxed);
        }
        Ok(decisions)
    }
}

struct Prepared {
    state: Value,
    problems: Vec<Value>,
}

async fn prepare(session: &mut Session, bindings: Value) -> Result<Prepared, String> {
    let prepared = session
        .ok("prepare", &json!({ "bindings": bindings }))
        .await?;
    let problems = prepared.get("problems").and_then(Value::as_array);
    Ok(Prepared {
        state: prepared.get("state").cloned().unwrap_or_default(),
        problems: problems.cloned().unwrap_or_default(),
    })
}

/// A long listing is one call.
async fn many(session: &mut Session, asked: &Asked, count: usize) -> Result<(), Unmet> {
    let targets = sample::targets(count);
    let input = asked.input(&sample::subject(), &json!("download"), &targets);
    let answer = session.within("authorize", &input, 1).await?;
    one_each(&answer, count).map(drop).map_err(Unmet::Wrong)
}

/// The decisions, when there are as many as targets.
fn one_each(answer: &Value, num_targets: usize) -> Result<Vec<Value>, String> {
    let decisions = answer.as_array().cloned().unwrap_or_default();
    if decisions.len() == num_targets {
        return Ok(decisions);
    }
    Err(format!(
        "expected one decision for each of {num_targets} targets, got {}",
        decisions.len()
    ))
}

async fn one_a_target(session: &mut Session, asked: &Asked) -> Result<(), String> {
    let (subject, action) = (sample::subject(), json!("download"));
    for count in [0, 1, 2, 100] {
        let targets = sample::targets(count);
        asked
            .decisions(session, &subject, &action, &targets)
            .await?;
    }
    Ok(())
}

/// A target's decision follows from that target: in whatever order they come, and by itself.
async fn ordered(session: &mut Session, asked: &Asked) -> Result<(), String> {
    let (subject, targets) = (sample::subject(), sample::targets(FEW));
    for action in ACTIONS {
        let action = json!(action);
        let decisions = asked
            .decisions(session, &subject, &action, &targets)
            .await?;
        for (name, permute) in [
            (
                "reversed",
                (|list: &mut Vec<Value>| list.reverse()) as fn(&mut Vec<Value>),
            ),
            ("rotated", |list| list.rotate_left(7)),
        ] {
            let (mut asked_of, mut expected) = (targets.clone(), decisions.clone());
            permute(&mut asked_of);
            permute(&mut expected);
            let got = asked
                .decisions(session, &subject, &action, &asked_of)
                .await?;
            if got != expected {
                return Err(format!(
                    "{action}: with the targets {name} the decisions are to be {name}: expected {}, got {}",
                    cut(&expected.into()),
                    cut(&got.into())
                ));
            }
        }
        for (target, expected) in targets.iter().zip(&decisions).step_by(5) {
            let alone = std::slice::from_ref(target);
            let got = asked.decisions(session, &subject, &action, alone).await?;
            if got.first() != Some(expected) {
                return Err(format!(
                    "{action} of {} alone is {}, among others {}",
                    cut(target),
                    cut(&got.into()),
                    cut(expected)
                ));
            }
        }
    }
    Ok(())
}

async fn other_actions(session: &mut Session, asked: &Asked) -> Result<(), String> {
    let targets = sample::targets(FEW);
    for name in ["conformance", "", "download", "*"] {
        let action = json!({ "other": name });
        for subject in [sample::subject(), sample::nobody(json!("anonymous"))] {
            let decisions = asked
                .decisions(session, &subject, &action, &targets)
                .await?;
            if decisions.iter().any(|decision| decision == "allow") {
                return Err(format!(
                    "an action that this version does not know, {action}, is never to be allowed; got {}",
                    cut(&decisions.into())
                ));
            }
        }
    }
    Ok(())
}

/// A way of proof that is not known gets no more than no proof.
async fn least_trusted(session: &mut Session, asked: &Asked) -> Result<(), String> {
    let targets = sample::targets(FEW);
    let anonymous = sample::nobody(json!("anonymous"));
    let unknown = sample::nobody(json!({ "other": "conformance" }));
    for action in ACTIONS {
        let action = json!(action);
        let least = asked
            .decisions(session, &anonymous, &action, &targets)
            .await?;
        let got = asked
            .decisions(session, &unknown, &action, &targets)
            .await?;
        let pairs = least.iter().zip(&got);
        for (least, got) in pairs {
            if got == "allow" && least != "allow" {
                return Err(format!(
                    "{action}: a caller whose authentication is `other` is to be trusted least; it is allowed \
                     what `anonymous` is not ({})",
                    cut(least)
                ));
            }
        }
    }
    Ok(())
}

async fn unknown_attributes(session: &mut Session, asked: &Asked) -> Result<(), String> {
    let attribute = json!({ "name": "conformance-unknown", "value": "x" });
    let with = |value: &Value| {
        let mut value = value.clone();
        let attributes = value.get_mut("attributes").and_then(Value::as_array_mut);
        if let Some(attributes) = attributes {
            attributes.push(attribute.clone());
        }
        value
    };
    let (subject, targets) = (sample::subject(), sample::targets(FEW));
    let more: Vec<Value> = targets.iter().map(with).collect();
    for action in ACTIONS {
        let action = json!(action);
        let expected = asked
            .decisions(session, &subject, &action, &targets)
            .await?;
        let got = asked
            .decisions(session, &with(&subject), &action, &more)
            .await?;
        if got != expected {
            return Err(format!(
                "{action}: attributes with unknown names are to be ignored: expected {}, got {}",
                cut(&expected.into()),
                cut(&got.into())
            ));
        }
    }
    Ok(())
}

fn binding(name: &str, expression: &str) -> Value {
    json!({
        "name": name,
        "expression": expression,
        "modules": ["*"],
        "providers": ["*"],
        "namespaces": [],
        "attributes": [],
    })
}

/// A binding that grants the suite's caller something.
fn good_binding() -> Value {
    binding("good", "\"developers\" in groups")
}

/// A binding that cannot work is reported, and changes nothing for the others. A plugin to which
/// bindings mean nothing passes by answering.
async fn bindings(session: &mut Session) -> Result<(), String> {
    let good = good_binding();
    let (subject, action) = (sample::subject(), json!("list-versions"));
    let targets = sample::targets(FEW);
    let mut decided = Vec::new();
    for bindings in [json!([]), json!([good])] {
        let state = prepare(session, bindings).await?.state;
        decided.push(
            Asked::new(state)
                .decisions(session, &subject, &action, &targets)
                .await?,
        );
    }
    let [without, expected] = decided.as_slice() else {
        return Err("the suite lost its own answers".to_owned());
    };
    let means_something = without != expected;
    for expression in [")(", "", "\"developers\" in grups", "\u{202e}\0🦀"] {
        // Before the good one by name, so that it would be asked first.
        let broken = binding("broken", expression);
        let prepared = prepare(session, json!([broken, good])).await;
        let prepared = prepared.map_err(|reason| {
            format!("the broken binding {expression:?} is to be a problem, not the end of `prepare`: {reason}")
        })?;
        let of = |problem: &Value| {
            let name = problem.get("binding").and_then(Value::as_str);
            name.unwrap_or_default().to_owned()
        };
        let names: Vec<String> = prepared.problems.iter().map(of).collect();
        if let Some(stranger) = names.iter().find(|name| *name != "broken") {
            return Err(format!(
                "problem of `{stranger}`: expected one of `broken`, which is broken"
            ));
        }
        if means_something && names.is_empty() {
            return Err(format!(
                "the broken binding {expression:?} is not among the problems"
            ));
        }
        let state = prepared.state;
        let got = Asked::new(state)
            .decisions(session, &subject, &action, &targets)
            .await?;
        if got != *expected {
            return Err(format!(
                "the broken binding {expression:?} is to harm no other: expected {}, got {}",
                cut(&expected.clone().into()),
                cut(&got.into())
            ));
        }
    }
    Ok(())
}

async fn hostile(session: &mut Session, asked: &Asked) -> Result<(), String> {
    for text in sample::hostile_texts() {
        let label: String = text.chars().take(20).collect();
        let mut subject = sample::subject();
        let mut targets = sample::targets(2);
        let members = |value: &mut Value, names: &[&str]| {
            for name in names {
                if let Some(member) = value.get_mut(*name) {
                    *member = text.as_str().into();
                }
            }
        };
        members(
            &mut subject,
            &["issuer", "name", "claims", "client-address"],
        );
        if let Some(groups) = subject.get_mut("groups") {
            *groups = json!([text, text]);
        }
        for target in &mut targets {
            members(target, &["namespace", "name", "version"]);
        }
        for action in [json!("download"), json!({ "other": text })] {
            let answer = session
                .call("authorize", &asked.input(&subject, &action, &targets))
                .await;
            let answer = answer.map_err(|reason| format!("names like {label:?}: {reason}"))?;
            // An error is a deny.
            let num = answer
                .ok()
                .and_then(|decisions| decisions.as_array().map(Vec::len));
            if num.is_some_and(|num| num != targets.len()) {
                return Err(format!(
                    "names like {label:?}: {num:?} decisions for 2 targets"
                ));
            }
        }
    }
    Ok(())
}
