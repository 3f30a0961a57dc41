//! One function called with JSON, as `opendepot plugin run` does.

use crate::built::built;
use crate::guests::{self, ALLOW, DENY, LOOP, Place, Plan, auth, place};
use crate::support::Site;
use opendepot_plugin::{
    Fault, Invocation, InvokeError, Invoker, InvokerConfig, Limits, TrapClass, World,
};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

fn config() -> InvokerConfig {
    InvokerConfig {
        limits: Limits {
            auth_timeout: Duration::from_millis(500),
            ..Limits::default()
        },
        ..InvokerConfig::default()
    }
}

async fn open(path: &Path) -> Invoker {
    Invoker::open(path, config()).await.unwrap()
}

async fn guest(world: &str, wasm: &[u8]) -> Invoker {
    let site = Site::new();
    open(&site.folder_needing("guest", world, wasm, "{ judge-findings: true }")).await
}

async fn call(invoker: &Invoker, function: &str, input: Value) -> Invocation {
    invoker.invoke(function, &input).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_every_world_are_json() {
    let invoker = guest("auth", &auth(DENY)).await;
    assert_eq!(invoker.facts().world, World::Auth);
    let targets = invoker.example("authorize").await.unwrap()["targets"][0].clone();
    let answered = call(
        &invoker,
        "authorize",
        json!({ "targets": [targets, targets] }),
    )
    .await;
    assert_eq!(
        answered.answer,
        Ok(Ok(json!([{ "deny": "because" }, { "deny": "because" }])))
    );
    assert_eq!(answered.memory_bytes, 2 * (64 << 10));
    assert_eq!(answered.num_host_calls, 0);
    let prepared = call(&invoker, "prepare", Value::Null).await;
    assert_eq!(
        prepared.answer,
        Ok(Ok(json!({ "state": "", "problems": [] })))
    );
    let validated = call(&invoker, "validate", Value::Null).await;
    assert_eq!(validated.answer, Ok(Ok(Value::Null)));

    let scan = guest(
        "scan",
        &guests::scan(&[(0, Some(4), None), (1, None, Some("why"))], 1),
    )
    .await;
    let answered = call(&scan, "process", json!({})).await;
    let expected = json!({
        "judgements": [
            { "finding": 0, "severity": "critical", "suppressed": null },
            { "finding": 1, "severity": null, "suppressed": "why" },
        ],
        "verdict": { "block": "too bad" },
    });
    assert_eq!(answered.answer, Ok(Ok(expected)));

    let at = Place {
        options: vec![("region", "eu-1")],
        credentials: Some("prod"),
        ..place("s3://depot", "vpc/x.zip")
    };
    let storage = guest("storage", &guests::storage(&at, &Plan::Native(at.clone()))).await;
    let native = json!({
        "store": "s3://depot", "key": "vpc/x.zip", "attributes": [], "credentials": "prod",
        "options": [{ "name": "region", "value": { "plain": "eu-1" } }],
    });
    assert_eq!(
        call(&storage, "locate", Value::Null).await.answer,
        Ok(Ok(native.clone()))
    );
    let planned = call(&storage, "plan", json!({ "operation": { "presign": 60 } })).await;
    assert_eq!(planned.answer, Ok(Ok(json!({ "native": native }))));
    let nothing = guest("storage", &guests::storage(&at, &Plan::Nothing)).await;
    assert_eq!(
        call(&nothing, "plan", Value::Null).await.answer,
        Ok(Ok(json!("nothing")))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_input_names_its_place_and_what_is_accepted() {
    let auth = guest("auth", &auth(ALLOW)).await;
    let at = place("file:///", "a.zip");
    let storage = guest("storage", &guests::storage(&at, &Plan::Nothing)).await;
    for (invoker, function, input, expected) in [
        (
            &auth,
            "authorise",
            json!({}),
            "the auth world has no function `authorise`; it has `validate`, `prepare`, `authorize`",
        ),
        (
            &auth,
            "authorize",
            json!([]),
            "`.` of the input is an object of the arguments, not `[]`",
        ),
        (
            &auth,
            "authorize",
            json!({ "target": [] }),
            "`target`, which nothing takes; accepted are settings, state, subject, action, targets, now, bindings",
        ),
        (
            &auth,
            "authorize",
            json!({ "targets": {} }),
            "`targets` of the input is a list, each of it an object with namespace, kind, name",
        ),
        (
            &auth,
            "authorize",
            json!({ "targets": [{}] }),
            "lacks `targets[0].namespace`: a text",
        ),
        (
            &auth,
            "authorize",
            json!({ "action": "fetch" }),
            "`action` of the input is one of \"list-versions\"",
        ),
        (
            &auth,
            "authorize",
            json!({ "action": { "other": 3 } }),
            "`action.other` of the input is a text, not `3`",
        ),
        (
            &auth,
            "authorize",
            json!({ "action": { "download": "x" } }),
            "{\"other\": a text}",
        ),
        (
            &auth,
            "authorize",
            json!({ "now": -1 }),
            "`now` of the input is a whole number from 0, not `-1`",
        ),
        (
            &auth,
            "authorize",
            json!({ "state": "!" }),
            "`state` of the input is base64 text",
        ),
        (
            &auth,
            "validate",
            json!({ "settings": 1 }),
            "`settings` of the input is a text",
        ),
        (
            &storage,
            "plan",
            json!({ "operation": { "presign": -5 } }),
            "`operation.presign` of the input is a number from 0 to 4294967295",
        ),
        (
            &storage,
            "plan",
            json!({ "placement": { "store": "s3://x" } }),
            "lacks `placement.key`: a text",
        ),
        (
            &storage,
            "locate",
            json!({ "artifact": { "nam": "x" } }),
            "`artifact.nam`, which nothing takes; accepted are namespace, kind, name",
        ),
    ] {
        let error = invoker.invoke(function, &input).await.unwrap_err();
        assert!(
            error.to_string().contains(expected),
            "{function} {input}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn examples_are_inputs() {
    let at = place("file:///", "a.zip");
    for (world, wasm, functions) in [
        (
            "auth",
            auth(ALLOW),
            &["validate", "prepare", "authorize"][..],
        ),
        ("scan", guests::scan(&[], 0), &["validate", "process"]),
        (
            "storage",
            guests::storage(&at, &Plan::Nothing),
            &["validate", "locate", "plan"],
        ),
    ] {
        let invoker = guest(world, &wasm).await;
        for function in functions {
            let example = invoker.example(function).await.unwrap();
            assert!(
                example
                    .as_object()
                    .is_some_and(|members| !members.is_empty()),
                "{example}"
            );
            let answer = call(&invoker, function, example.clone()).await.answer;
            assert!(
                matches!(answer, Ok(Ok(_))),
                "{function} {example}: {answer:?}"
            );
        }
    }
    let invoker = guest("storage", &guests::storage(&at, &Plan::Nothing)).await;
    let example = invoker.example("plan").await.unwrap();
    assert_eq!(
        example["placement"],
        json!({ "store": "file:///", "key": "a.zip" })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_bounded_as_in_a_registry_and_tell_why_they_ended() {
    for (name, authorize, class) in [
        ("trap", "(unreachable)".to_owned(), TrapClass::Guest),
        ("loop", LOOP.to_owned(), TrapClass::Deadline),
        (
            "recursion",
            "(call $recurse (i32.const 0))".to_owned(),
            TrapClass::Stack,
        ),
        (
            "growth",
            "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)".to_owned(),
            TrapClass::Memory,
        ),
        // 24 bytes each for the host: over the 1 MiB of `authorize`.
        (
            "large answer",
            "(call $answer (i32.const 0) (i32.const 44000))".to_owned(),
            TrapClass::Fuel,
        ),
        ("undefined", "(call $answer (i32.const 7) (local.get $n))".to_owned(), TrapClass::Abi),
    ] {
        let invoker = guest("auth", &auth(&authorize)).await;
        // More often than the breaker of a registry would allow.
        for _ in 0..12 {
            let answer = call(&invoker, "authorize", Value::Null).await.answer;
            let fault = answer.map(drop).unwrap_err();
            assert!(matches!(fault, Fault::Trap { class: c, .. } if c == class), "{name}: {fault}");
            assert!(!fault.advice().is_empty() && !class.meaning().is_empty());
        }
    }
    let fits = guest(
        "auth",
        &auth("(call $answer (i32.const 0) (i32.const 43000))"),
    )
    .await;
    let answer = call(&fits, "authorize", Value::Null).await.answer;
    assert_eq!(answer.unwrap().unwrap().as_array().unwrap().len(), 43_000);
    let talks = format!(
        "(call $log (i32.const 2) (i32.const 3200) (i32.const 27) (i32.const 0) (i32.const 0)) {ALLOW}"
    );
    let invoked = call(
        &guest("auth", &auth(&talks)).await,
        "authorize",
        Value::Null,
    )
    .await;
    assert_eq!(invoked.num_host_calls, 1);
    assert_eq!(invoked.log.len(), 1);
    assert!(
        invoked.log[0].1.contains(r"\u{1b}[31mred\n"),
        "{:?}",
        invoked.log
    );
    assert_eq!(invoked.log[0].0, "warn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_plugin_must_say_first_is_asked_of_it() {
    let Some(built) = built("auth-groups") else {
        return;
    };
    let invoker = open(&built.join("auth-groups")).await;
    let rules = json!({ "rules": [{ "groups": ["developers"], "actions": ["download"] }] });
    // Settings may be the object itself.
    let prepared = call(&invoker, "prepare", json!({ "settings": rules }))
        .await
        .answer
        .unwrap();
    let state = prepared.unwrap()["state"].clone();
    assert!(state.as_str().is_some_and(|text| text.len() > 8), "{state}");
    for input in [
        json!({ "settings": rules }),
        json!({ "settings": rules.to_string(), "state": state, "now": 1 }),
    ] {
        let answer = call(&invoker, "authorize", input.clone()).await.answer;
        assert_eq!(answer, Ok(Ok(json!(["allow"]))), "{input}");
    }
    let wrong = json!({ "settings": { "rulez": [] } });
    let error = invoker.invoke("authorize", &wrong).await.unwrap_err();
    assert!(matches!(error, InvokeError::Unanswered { .. }), "{error}");
    assert!(error.to_string().contains("rulez"), "{error}");
    // A component without its `plugin.yaml` has no settings, and is a plugin all the same.
    let bare = open(&built.join("auth-groups/plugin.wasm")).await;
    assert_eq!((bare.facts().world, bare.settings()), (World::Auth, "{}"));
    let answer = call(&bare, "authorize", json!({ "settings": rules }))
        .await
        .answer;
    assert_eq!(answer, Ok(Ok(json!(["allow"]))));
}
