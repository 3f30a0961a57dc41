use super::Labels;
use opendepot_plugin_sdk::Attribute;
use opendepot_plugin_sdk::auth::{Action, AuthPlugin, Decision, Subject, Target};
use opendepot_plugin_sdk::fixture::auth::{anonymous, module, problems, subject};
use proptest::prelude::*;

/// A target whose labels are known; `n:key=value` is the namespace's, `key=value` its own.
fn target(labels: &[&str]) -> Target {
    let mut target = unlabelled();
    target.attributes = vec![
        Attribute::new("namespace-labels", "known"),
        Attribute::new("labels", "known"),
    ];
    for label in labels {
        let (key, value) = label.split_once('=').unwrap();
        let name = match key.strip_prefix("n:") {
            Some(key) => format!("namespace-label/{key}"),
            None => format!("label/{key}"),
        };
        target.attributes.push(Attribute::new(name, value));
    }
    target
}

/// A target as hosts that know nothing of labels pass it.
fn unlabelled() -> Target {
    module("prod", "vpc")
}

fn decide(settings: &str, subject: &Subject, action: &Action, targets: &[Target]) -> Vec<Decision> {
    let prepared = Labels::prepare(settings, &[]).unwrap();
    assert!(prepared.problems.is_empty());
    Labels::authorize(settings, &prepared.state, subject, action, targets, 0).unwrap()
}

fn one(settings: &str, subject: &Subject, target: Target) -> Decision {
    decide(settings, subject, &Action::Download, &[target]).remove(0)
}

/// One rule that allows the group `g`, with this selector of the resource.
fn allow(selector: &str) -> String {
    format!(
        r#"{{"rules": [{{"name": "r", "effect": "allow", "groups": ["g"], "actions": ["*"], "resource": {selector}}}]}}"#
    )
}

/// One rule that denies everybody, with this selector of the namespace.
fn deny(selector: &str) -> String {
    format!(
        r#"{{"rules": [{{"name": "r", "effect": "deny", "actions": ["*"], "namespace": {selector}}}]}}"#
    )
}

#[test]
fn operators_mean_what_they_mean_in_kubernetes() {
    let expression = |operator: &str, values: &str| {
        allow(&format!(
            r#"{{"matchExpressions": [{{"key": "tier", "operator": "{operator}"{values}}}]}}"#
        ))
    };
    let values = r#", "values": ["a", "b"]"#;
    for (operator, values, absent, listed, other) in [
        ("In", values, false, true, false),
        ("NotIn", values, true, false, true),
        ("Exists", "", false, true, true),
        ("DoesNotExist", "", true, false, false),
    ] {
        let settings = expression(operator, values);
        for (labels, expected) in [
            (&[][..], absent),
            (&["tier=a"], listed),
            (&["tier=b", "x=y"], listed),
            (&["tier=c"], other),
            (&["tier="], other),
            // The namespace's label is another label.
            (&["n:tier=a"], absent),
        ] {
            let decision = one(&settings, &subject(&["g"]), target(labels));
            let expected = if expected {
                Decision::Allow
            } else {
                Decision::Abstain
            };
            assert_eq!(decision, expected, "{operator} {labels:?}");
        }
    }
}

#[test]
fn everything_of_a_rule_must_match() {
    let settings = r#"{"rules": [{"name": "r", "effect": "allow", "groups": ["g"], "actions": ["download"],
        "namespace": {"matchLabels": {"env": "prod"}},
        "resource": {"matchLabels": {"example.com/team": "net", "tier": "a"},
                     "matchExpressions": [{"key": "retired", "operator": "DoesNotExist"}]}}]}"#;
    let full = ["n:env=prod", "example.com/team=net", "tier=a"];
    let member = subject(&["g"]);
    assert_eq!(one(settings, &member, target(&full)), Decision::Allow);
    for missing in 0..full.len() {
        let mut labels = full.to_vec();
        labels.remove(missing);
        assert_eq!(one(settings, &member, target(&labels)), Decision::Abstain);
    }
    let retired = [full.as_slice(), &["retired=yes"]].concat();
    assert_eq!(one(settings, &member, target(&retired)), Decision::Abstain);
    assert_eq!(
        one(settings, &subject(&["h"]), target(&full)),
        Decision::Abstain
    );
    let published = decide(settings, &member, &Action::Publish, &[target(&full)]);
    assert_eq!(published, [Decision::Abstain]);
}

#[test]
fn a_deny_rule_concerns_everybody_who_is_not_exempt_and_wins() {
    let settings = r#"{"rules": [
        {"name": "all", "effect": "allow", "groups": ["*"], "actions": ["*"],
         "resource": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}},
        {"name": "restricted", "effect": "deny", "actions": ["*"], "exemptGroups": ["security"],
         "namespace": {"matchLabels": {"data": "restricted"}}}
    ]}"#;
    let denied = Decision::Deny("by rule `restricted`".to_owned());
    let anonymous = anonymous(&["security"]);
    let restricted = || target(&["n:data=restricted"]);
    assert_eq!(one(settings, &subject(&["dev"]), restricted()), denied);
    assert_eq!(one(settings, &anonymous, restricted()), denied);
    assert_eq!(
        one(settings, &subject(&["security"]), restricted()),
        Decision::Allow
    );
    assert_eq!(
        one(settings, &subject(&["dev"]), target(&[])),
        Decision::Allow
    );
    // `*` is whoever has a credential.
    assert_eq!(one(settings, &anonymous, target(&[])), Decision::Abstain);
    let unknown = Action::Other("purge".to_owned());
    let decisions = decide(
        settings,
        &subject(&[]),
        &unknown,
        &[restricted(), target(&[])],
    );
    assert_eq!(decisions, [denied, Decision::Abstain]);
}

#[test]
fn labels_that_the_host_did_not_pass_never_open_anything() {
    let absent = r#"{"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}"#;
    let present = r#"{"matchLabels": {"tier": "a"}}"#;
    let member = subject(&["g"]);
    let unknown = Decision::Deny("labels unknown, by rule `r`".to_owned());
    for selector in [absent, present] {
        assert_eq!(
            one(&allow(selector), &member, unlabelled()),
            Decision::Abstain
        );
        assert_eq!(one(&deny(selector), &member, unlabelled()), unknown);
    }
    // The mark of one kind of label says nothing of the other, and must have its value.
    let mut half = unlabelled();
    half.attributes = vec![
        Attribute::new("namespace-labels", "yes"),
        Attribute::new("labels", "known"),
    ];
    assert_eq!(one(&allow(absent), &member, half.clone()), Decision::Allow);
    assert_eq!(one(&deny(absent), &member, half), unknown);
    // A rule that what is known excludes does not ask for the rest.
    let both = r#"{"rules": [{"name": "r", "effect": "deny", "actions": ["*"],
        "namespace": {"matchLabels": {"tier": "a"}}, "resource": {"matchLabels": {"tier": "a"}}}]}"#;
    let mut half = unlabelled();
    half.attributes = vec![Attribute::new("labels", "known")];
    assert_eq!(one(both, &member, half), Decision::Abstain);
}

#[test]
fn without_rules_it_abstains_whatever_the_labels() {
    let settings = r#"{"rules": []}"#;
    for target in [unlabelled(), target(&["a=b"])] {
        assert_eq!(one(settings, &subject(&["g"]), target), Decision::Abstain);
    }
    assert!(decide(settings, &subject(&[]), &Action::Browse, &[]).is_empty());
}

#[test]
fn every_mistake_has_its_path() {
    let found = problems::<Labels>(
        r#"{"rules": [
            {"name": "a", "effect": "alow", "actions": ["*"], "resource": {"matchlabels": {"a": "b"}}},
            {"effect": "allow", "actions": ["*"], "exemptGroups": ["x"], "namespace": {}},
            {"name": "c", "effect": "deny", "actions": ["*"]},
            {"name": "d", "effect": "deny", "actions": ["*"], "resource": {"matchLabels": {"-a": "b", "a": "b c", "b": 1}}},
            {"name": "e", "effect": "deny", "actions": ["*"], "resource": {"matchExpressions": [
                {"key": "a", "operator": "in", "values": ["b"]},
                {"key": "a", "operator": "In"},
                {"key": "a", "operator": "NotIn", "values": []},
                {"key": "a", "operator": "Exists", "values": ["b"]},
                {"key": "a/b/c", "operator": "In", "values": ["b", "-"]},
                {"operator": "Exists"}
            ]}},
            {"name": "f", "effect": "deny", "actions": ["*"], "resource": {"matchExpressions": []}}
        ]}"#,
    );
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "rules[0].effect",
            "rules[0].resource.matchlabels",
            "rules[0].resource",
            "rules[1].name",
            "rules[1].groups",
            "rules[1].exemptGroups",
            "rules[1].namespace",
            "rules[2].namespace",
            "rules[3].resource.matchLabels.-a",
            "rules[3].resource.matchLabels.a",
            "rules[3].resource.matchLabels.b",
            "rules[4].resource.matchExpressions[0].operator",
            "rules[4].resource.matchExpressions[1].values",
            "rules[4].resource.matchExpressions[2].values",
            "rules[4].resource.matchExpressions[3].values",
            "rules[4].resource.matchExpressions[4].key",
            "rules[4].resource.matchExpressions[4].values[1]",
            "rules[4].resource.matchExpressions[5].key",
            "rules[5].resource",
        ],
        "{found:#?}"
    );
    assert_eq!(found[0].1, "unknown word `alow`, did you mean `allow`?");
    assert_eq!(found[11].1, "unknown word `in`, did you mean `In`?");
}

#[test]
fn keys_and_values_that_kubernetes_refuses() {
    let long = "a".repeat(64);
    let prefix = format!("{}/a", "a".repeat(254));
    for key in [
        "", "/", "a/", "/a", "a b", "a.", "_a", "ä", "A/", "Ex.com/a", "a_b/c", "a..b/c", &long,
        &prefix,
    ] {
        assert_eq!(
            problems::<Labels>(&deny(&format!(r#"{{"matchLabels": {{"{key}": ""}}}}"#))).len(),
            1,
            "{key}"
        );
    }
    for key in ["a", "A", "9", "a_B.c-d", "example.com/a", &long[1..]] {
        let settings = deny(&format!(r#"{{"matchLabels": {{"{key}": ""}}}}"#));
        assert!(Labels::validate(&settings).is_ok(), "{key}");
    }
    for value in [" ", "a b", "-a", "a/b", &long, "\\u0000"] {
        assert_eq!(
            problems::<Labels>(&deny(&format!(r#"{{"matchLabels": {{"a": "{value}"}}}}"#))).len(),
            1,
            "{value}"
        );
    }
}

#[test]
fn hostile_settings_are_problems_not_panics() {
    let many = |entry: &str, most: usize| vec![entry; most].join(",");
    let rule = r#"{"name": "r", "effect": "deny", "actions": ["*"], "namespace": {"matchLabels": {"a": "b"}}}"#;
    let rules = format!(r#"{{"rules": [{}]}}"#, many(rule, 201));
    let expressions = deny(&format!(
        r#"{{"matchExpressions": [{}]}}"#,
        many(r#"{"key": "a", "operator": "Exists"}"#, 51)
    ));
    let labels: Vec<String> = (0..51).map(|place| format!(r#""a{place}": "b""#)).collect();
    let labels = deny(&format!(r#"{{"matchLabels": {{{}}}}}"#, labels.join(",")));
    let values = deny(&format!(
        r#"{{"matchExpressions": [{{"key": "a", "operator": "In", "values": [{}]}}]}}"#,
        many("\"b\"", 101)
    ));
    for (what, settings) in [
        ("nothing", ""),
        ("null", "null"),
        ("no rules", "{}"),
        ("an object", r#"{"rules": {}}"#),
        ("deep", &"[".repeat(10_000)),
        ("too many rules", &rules),
        ("too many expressions", &expressions),
        ("too many labels", &labels),
        ("too many values", &values),
        ("a list", &deny("[]")),
        ("a text", &deny("\"a=b\"")),
    ] {
        assert_eq!(
            problems::<Labels>(settings).len(),
            1,
            "{what}: {:?}",
            problems::<Labels>(settings)
        );
    }
}

#[test]
fn ten_thousand_denials_fit_into_an_answer() {
    let settings =
        deny(r#"{"matchLabels": {"a": "b"}}"#).replace("\"r\"", &format!("\"{}\"", "n".repeat(40)));
    let Decision::Deny(reason) = one(&settings, &subject(&[]), unlabelled()) else {
        panic!("expected a deny");
    };
    // A decision is a case, a pointer and a length: 12 bytes.
    assert!((reason.len() + 12) * 10_000 < 1 << 20, "{reason}");
}

proptest! {
    /// Whatever the bytes, an answer or an error; and any answer has one decision a target.
    #[test]
    fn damaged_states_never_panic(at in 0_usize..200, value in any::<u8>()) {
        let settings = allow(
            r#"{"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d", "e"]}]}"#,
        );
        let mut state = Labels::prepare(&settings, &[]).unwrap().state;
        let length = state.len();
        state[at % length] = value;
        let targets = [target(&["a=b", "c=d"]), unlabelled()];
        let answer =
            Labels::authorize(&settings, &state, &subject(&["g"]), &Action::Browse, &targets, 0);
        if let Ok(decisions) = answer {
            prop_assert_eq!(decisions.len(), targets.len());
        }
    }

    /// An operator and its opposite never agree on a target whose labels are known.
    #[test]
    fn opposites(
        labels in prop::collection::btree_map("[ab]", "[xy]", 0..3),
        key in "[ab]",
        values in prop::collection::btree_set("[xyz]", 1..3),
    ) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let values: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
        let allows = |operator: &str, values: &str| {
            let settings = allow(&format!(
                r#"{{"matchExpressions": [{{"key": "{key}", "operator": "{operator}"{values}}}]}}"#
            ));
            one(&settings, &subject(&["g"]), target(&labels)) == Decision::Allow
        };
        let values = format!(r#", "values": [{}]"#, values.join(","));
        prop_assert_ne!(allows("In", &values), allows("NotIn", &values));
        prop_assert_ne!(allows("Exists", ""), allows("DoesNotExist", ""));
    }
}
