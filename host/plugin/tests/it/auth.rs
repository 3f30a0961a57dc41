//! The auth chain: answers, and what is not an answer.

use crate::guests::{self, ABSTAIN, ALLOW, DENY, auth};
use crate::support::{Site, failure, id, subject, targets};
use opendepot_domain::access::{Decider, Denial};
use opendepot_domain::seam::AccessPolicy as _;
use opendepot_domain::{Action, Decision, Sha256};
use opendepot_plugin::{Binding, BindingPolicies as _, PluginHost};

async fn ask(host: &PluginHost, count: usize) -> Vec<Decision> {
    host.authorize(&subject(), Action::Download, &targets(count), 1_000)
        .await
}

async fn ask_one(authorize: &str) -> Vec<Decision> {
    let mut site = Site::new();
    site.plugin("policy", "auth", &auth(authorize));
    let host = site.host().await;
    assert_eq!(failure(&host, "policy"), None);
    ask(&host, 3).await
}

/// The denial of a guest that says why, with who it is.
fn because(plugin: &str, authorize: &str) -> Decision {
    let digest = Sha256::of(&auth(authorize)).to_string();
    Decision::Deny(Denial {
        by: Some(Decider {
            plugin: id(plugin),
            digest: Some(digest.into()),
        }),
        reason: format!("policy `{plugin}`: because"),
    })
}

#[tokio::test]
async fn answers_come_one_a_target() {
    assert_eq!(ask_one(ALLOW).await, vec![Decision::Allow; 3]);
    assert_eq!(ask_one(ABSTAIN).await, vec![Decision::Abstain; 3]);
    let denied = ask_one(DENY).await;
    assert_eq!(denied, vec![because("policy", DENY); 3]);
}

#[tokio::test]
async fn anything_but_a_well_formed_answer_denies() {
    for (name, authorize, expected) in [
        (
            "one short",
            "(call $answer (i32.const 0) (i32.sub (local.get $n) (i32.const 1)))",
            "2 decisions for 3",
        ),
        (
            "one more",
            "(call $answer (i32.const 0) (i32.add (local.get $n) (i32.const 1)))",
            "4 decisions for 3",
        ),
        (
            "empty",
            "(call $answer (i32.const 0) (i32.const 0))",
            "0 decisions for 3",
        ),
        (
            "own error",
            "(i32.store8 (i32.const 2048) (i32.const 1)) (i32.const 2048)",
            "malformed",
        ),
        ("trap", "(unreachable)", "guest trap"),
        (
            "division by zero",
            "(i32.div_u (i32.const 1) (i32.const 0))",
            "guest trap",
        ),
        (
            "undefined decision",
            "(call $answer (i32.const 7) (local.get $n))",
            "abi trap",
        ),
        (
            "undefined result",
            "(drop (call $answer (i32.const 0) (local.get $n))) (i32.store8 (i32.const 2048) (i32.const 9)) (i32.const 2048)",
            "abi trap",
        ),
        (
            "invalid utf-8",
            "(drop (call $answer (i32.const 1) (local.get $n))) (i32.store offset=4 (i32.load (i32.const 2052)) (i32.const 3100)) (i32.store offset=8 (i32.load (i32.const 2052)) (i32.const 3)) (i32.const 2048)",
            "abi trap",
        ),
        (
            "string outside memory",
            "(drop (call $answer (i32.const 1) (local.get $n))) (i32.store offset=4 (i32.load (i32.const 2052)) (i32.const -16)) (i32.const 2048)",
            "abi trap",
        ),
        (
            "list outside memory",
            "(i32.store (i32.const 2052) (i32.const 65536)) (i32.store (i32.const 2056) (i32.const 0x0fffffff)) (i32.const 2048)",
            "trap",
        ),
        ("answer outside memory", "(i32.const -8)", "abi trap"),
        ("misaligned answer", "(i32.const 2049)", "abi trap"),
        (
            "huge list",
            "(call $answer (i32.const 0) (i32.const 4000000))",
            "fuel trap",
        ),
        (
            "huge string",
            "(drop (call $answer (i32.const 1) (local.get $n))) (i32.store offset=4 (i32.load (i32.const 2052)) (call $alloc (i32.const 33554432))) (i32.store offset=8 (i32.load (i32.const 2052)) (i32.const 33554432)) (i32.const 2048)",
            "fuel trap",
        ),
        (
            "memory growth",
            "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)",
            "memory trap",
        ),
        ("recursion", "(call $recurse (i32.const 0))", "stack trap"),
        ("endless loop", guests::LOOP, "deadline trap"),
        (
            "log for ever",
            "(loop $more (call $log (i32.const 0) (i32.const 3000) (i32.const 7) (i32.const 0) (i32.const 0)) (br $more)) (unreachable)",
            "fuel trap",
        ),
        (
            "undefined log level",
            "(call $log (i32.const 9) (i32.const 3000) (i32.const 7) (i32.const 0) (i32.const 0)) (call $answer (i32.const 0) (local.get $n))",
            "abi trap",
        ),
        (
            "log outside memory",
            "(call $log (i32.const 0) (i32.const -8) (i32.const 100) (i32.const 0) (i32.const 0)) (call $answer (i32.const 0) (local.get $n))",
            "abi trap",
        ),
    ] {
        let decisions = ask_one(authorize).await;
        assert_eq!(decisions.len(), 3, "{name}");
        for decision in decisions {
            let Decision::Deny(reason) = decision else {
                panic!("{name}: {decision:?}");
            };
            assert!(reason.contains(expected), "{name}: {reason}");
        }
    }
}

#[tokio::test]
async fn any_deny_denies_then_any_allow_allows() {
    for (name, policies, expected) in [
        ("allow, abstain", vec![ALLOW, ABSTAIN], Decision::Allow),
        ("abstain, allow", vec![ABSTAIN, ALLOW], Decision::Allow),
        ("allow, deny", vec![ALLOW, DENY], because("p1", DENY)),
        ("deny, allow", vec![DENY, ALLOW], because("p0", DENY)),
        ("abstain", vec![ABSTAIN], Decision::Abstain),
    ] {
        let mut site = Site::new();
        for (index, policy) in policies.iter().enumerate() {
            site.plugin(&format!("p{index}"), "auth", &auth(policy));
        }
        let host = site.host().await;
        assert_eq!(host.auth_chain_len(), policies.len());
        assert_eq!(ask(&host, 2).await, vec![expected; 2], "{name}");
    }
    let host = Site::new().host().await;
    assert!(host.is_empty());
    assert_eq!(ask(&host, 2).await, vec![Decision::Abstain; 2]);
}

#[tokio::test]
async fn a_failing_policy_does_not_hide_behind_an_allowing_one() {
    let mut site = Site::new();
    site.plugin("allows", "auth", &auth(ALLOW)).order = 1;
    site.plugin("traps", "auth", &auth("(unreachable)")).order = 2;
    let host = site.host().await;
    assert!(
        matches!(&ask(&host, 1).await[0], Decision::Deny(reason) if reason.contains("`traps`"))
    );
}

#[tokio::test]
async fn a_listed_policy_that_does_not_load_denies() {
    let mut site = Site::new();
    site.plugin("allows", "auth", &auth(ALLOW));
    site.plugin("broken", "auth", b"not wasm");
    let host = site.host().await;
    assert_eq!(host.auth_chain_len(), 2);
    assert!(!host.is_empty());
    assert!(
        matches!(&ask(&host, 1).await[0], Decision::Deny(reason) if reason.contains("`broken`"))
    );
}

#[tokio::test]
async fn a_long_listing_is_answered_in_order() {
    let mut site = Site::new();
    site.config.limits.num_targets = 400;
    site.plugin("policy", "auth", &auth(ALLOW));
    let host = site.host().await;
    assert_eq!(ask(&host, 1_001).await, vec![Decision::Allow; 1_001]);
    assert_eq!(ask(&host, 0).await, Vec::new());
}

#[tokio::test]
async fn ten_thousand_targets_are_one_call() {
    let mut site = Site::new();
    // Unoptimised test builds need more than the 50 ms that a release build keeps to.
    site.config.limits.auth_timeout = std::time::Duration::from_secs(5);
    site.plugin("policy", "auth", &auth(ALLOW));
    let host = site.host().await;
    assert_eq!(ask(&host, 10_000).await, vec![Decision::Allow; 10_000]);
}

#[tokio::test]
async fn nothing_survives_a_call() {
    let core = guests::auth_module_with(
        r#"(memory (export "memory") 2) (global $mark (mut i32) (i32.const 0))"#,
        "(i32.const 1024)",
        guests::MARK,
    );
    let mut site = Site::new();
    // One slot, so that every call gets the memory of the one before.
    site.config.limits.num_instances = 1;
    site.plugin("one", "auth", &guests::component("auth", &core));
    site.plugin("two", "auth", &guests::component("auth", &core));
    let host = site.host().await;
    for _ in 0..500 {
        assert_eq!(ask(&host, 1).await, vec![Decision::Allow]);
    }
}

#[tokio::test]
async fn bindings_swap_in_a_new_generation() {
    let mut site = Site::new();
    site.plugin("policy", "auth", &auth(ALLOW));
    let host = site.host().await;
    let before = host.generation();
    let binding = Binding {
        name: "b".into(),
        expression: "true".into(),
        modules: vec!["*".into()],
        providers: Vec::new(),
        namespaces: Vec::new(),
    };
    assert_eq!(host.set_bindings(&[binding]).await, Vec::new());
    assert!(host.generation() > before);
    assert_eq!(ask(&host, 1).await, vec![Decision::Allow]);
}

#[tokio::test]
async fn a_policy_that_cannot_prepare_denies_until_it_can() {
    // Answers `prepare` with an error as soon as there is a binding.
    let core = guests::auth_module(ALLOW).replace(
        "(param i32 i32 i32 i32) (result i32)\n    (i32.const 1024)",
        "(param i32 i32 i32 i32) (result i32)\n    (if (local.get 3) (then (unreachable))) (i32.const 1024)",
    );
    assert!(core.contains("(if (local.get 3)"), "the replacement fits");
    let mut site = Site::new();
    site.plugin("policy", "auth", &guests::component("auth", &core));
    let host = site.host().await;
    assert_eq!(ask(&host, 1).await, vec![Decision::Allow]);
    let binding = Binding {
        name: "b".into(),
        expression: "true".into(),
        modules: Vec::new(),
        providers: Vec::new(),
        namespaces: Vec::new(),
    };
    let problems = host.set_bindings(&[binding]).await;
    assert_eq!(problems.len(), 1);
    assert!(failure(&host, "policy").unwrap().contains("prepare"));
    assert!(matches!(&ask(&host, 1).await[0], Decision::Deny(_)));
    assert_eq!(host.set_bindings(&[]).await, Vec::new());
    assert_eq!(failure(&host, "policy"), None);
    assert_eq!(ask(&host, 1).await, vec![Decision::Allow]);
}
