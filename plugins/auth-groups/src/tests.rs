use super::Groups;
use opendepot_plugin_sdk::ArtifactKind;
use opendepot_plugin_sdk::auth::{Action, AuthPlugin, Decision, Error, Subject, Target};
use opendepot_plugin_sdk::fixture::auth::{anonymous, module, problems, provider, subject, target};
use proptest::prelude::*;

fn state(settings: &str) -> Vec<u8> {
    let prepared = Groups::prepare(settings, &[]).unwrap();
    assert!(prepared.problems.is_empty());
    prepared.state
}

fn decide(settings: &str, subject: &Subject, action: &Action, targets: &[Target]) -> Vec<bool> {
    Groups::authorize(settings, &state(settings), subject, action, targets, 0)
        .unwrap()
        .into_iter()
        .map(|decision| match decision {
            Decision::Allow => true,
            Decision::Abstain => false,
            Decision::Deny(reason) => panic!("never denies: {reason}"),
        })
        .collect()
}

fn allows(settings: &str, subject: &Subject, action: &Action, target: Target) -> bool {
    decide(settings, subject, action, &[target]) == [true]
}

const TEAM: &str = r#"{"rules": [
    {"groups": ["team-a"], "actions": ["list-versions", "download"],
     "namespaces": ["team-*"], "modules": ["aws-*"], "providers": ["null"]}
]}"#;

#[test]
fn a_rule_allows_exactly_what_it_says() {
    use Action::{Download, ListVersions, Publish, ReadPackage};
    let member = subject(&["other", "team-a"]);
    for (name, subject, action, target, expected) in [
        (
            "module",
            &member,
            ListVersions,
            module("team-a", "aws-eks"),
            true,
        ),
        (
            "second action",
            &member,
            Download,
            module("team-b", "aws-eks"),
            true,
        ),
        (
            "provider",
            &member,
            Download,
            provider("team-a", "null"),
            true,
        ),
        (
            "action not listed",
            &member,
            ReadPackage,
            module("team-a", "aws-eks"),
            false,
        ),
        (
            "publish",
            &member,
            Publish,
            module("team-a", "aws-eks"),
            false,
        ),
        (
            "namespace",
            &member,
            Download,
            module("prod", "aws-eks"),
            false,
        ),
        (
            "name",
            &member,
            Download,
            module("team-a", "gcp-gke"),
            false,
        ),
        (
            "module pattern, provider",
            &member,
            Download,
            provider("team-a", "aws-x"),
            false,
        ),
        (
            "provider pattern, module",
            &member,
            Download,
            module("team-a", "null"),
            false,
        ),
        (
            "no group",
            &subject(&[]),
            Download,
            module("team-a", "aws-eks"),
            false,
        ),
        (
            "other group",
            &subject(&["team"]),
            Download,
            module("team-a", "aws-eks"),
            false,
        ),
        (
            "case differs",
            &subject(&["Team-A"]),
            Download,
            module("team-a", "aws-eks"),
            false,
        ),
        (
            "unknown kind",
            &member,
            Download,
            target(
                ArtifactKind::Other("module".to_owned()),
                "team-a",
                "aws-eks",
            ),
            false,
        ),
    ] {
        assert_eq!(allows(TEAM, subject, &action, target), expected, "{name}");
    }
}

#[test]
fn answers_keep_the_order_and_number_of_targets() {
    let targets = [
        module("team-a", "aws-eks"),
        module("prod", "aws-eks"),
        provider("team-z", "null"),
    ];
    let member = subject(&["team-a"]);
    assert_eq!(
        decide(TEAM, &member, &Action::Download, &targets),
        [true, false, true]
    );
    assert!(decide(TEAM, &member, &Action::Download, &[]).is_empty());
}

#[test]
fn an_anonymous_caller_has_no_groups() {
    let everyone = r#"{"rules": [{"groups": ["*"], "actions": ["*"]}]}"#;
    let caller = subject(&["team-a", "*"]);
    assert!(allows(
        everyone,
        &caller,
        &Action::Download,
        module("a", "b")
    ));
    let caller = anonymous(&["team-a", "*"]);
    assert!(!allows(
        everyone,
        &caller,
        &Action::Download,
        module("a", "b")
    ));
    assert!(!allows(
        TEAM,
        &caller,
        &Action::Download,
        module("team-a", "aws-eks")
    ));
}

#[test]
fn the_group_star_of_a_subject_means_nothing() {
    let exact = r#"{"rules": [{"groups": ["admins"], "actions": ["*"]}]}"#;
    assert!(!allows(
        exact,
        &subject(&["*"]),
        &Action::Download,
        module("a", "b")
    ));
}

#[test]
fn every_action_is_every_known_one() {
    let everything = r#"{"rules": [{"groups": ["g"], "actions": ["*"]}]}"#;
    let member = subject(&["g"]);
    for action in [
        Action::ListVersions,
        Action::ReadPackage,
        Action::Download,
        Action::Browse,
        Action::Publish,
        Action::Administer,
    ] {
        assert!(allows(everything, &member, &action, provider("a", "b")));
    }
    for name in ["delete", "download", "*"] {
        let action = Action::Other(name.to_owned());
        assert!(
            !allows(everything, &member, &action, provider("a", "b")),
            "{name}"
        );
    }
}

#[test]
fn absent_lists_and_empty_lists_differ() {
    let member = subject(&["g"]);
    let rule =
        |rest: &str| format!(r#"{{"rules": [{{"groups": ["g"], "actions": ["*"]{rest}}}]}}"#);
    for (rest, on_module, on_provider) in [
        ("", true, true),
        (r#", "namespaces": null"#, true, true),
        (r#", "modules": ["*"]"#, true, false),
        (r#", "providers": ["*"]"#, false, true),
        (r#", "modules": [], "providers": ["*"]"#, false, true),
    ] {
        let settings = rule(rest);
        let allows = |target| allows(&settings, &member, &Action::Browse, target);
        assert_eq!(allows(module("a", "b")), on_module, "{rest}");
        assert_eq!(allows(provider("a", "b")), on_provider, "{rest}");
    }
    for rest in [
        r#", "namespaces": []"#,
        r#", "modules": []"#,
        r#", "providers": []"#,
        r#", "modules": [], "providers": []"#,
    ] {
        assert_eq!(problems::<Groups>(&rule(rest)).len(), 1, "{rest}");
    }
}

#[test]
fn a_star_does_not_cross_from_namespace_to_name() {
    let settings = r#"{"rules": [{"groups": ["g"], "actions": ["*"], "namespaces": ["a*"], "modules": ["*b"]}]}"#;
    let member = subject(&["g"]);
    assert!(allows(
        settings,
        &member,
        &Action::Download,
        module("ax", "xb")
    ));
    assert!(!allows(
        settings,
        &member,
        &Action::Download,
        module("x", "axb")
    ));
    assert!(!allows(
        settings,
        &member,
        &Action::Download,
        module("axb", "x")
    ));
}

#[test]
fn without_rules_nobody_is_allowed_anything() {
    let member = subject(&["g"]);
    assert!(!allows(
        r#"{"rules": []}"#,
        &member,
        &Action::Browse,
        module("a", "b")
    ));
}

#[test]
fn every_mistake_has_its_path_and_a_suggestion() {
    let found = problems::<Groups>(
        r#"{"ruels": [], "rules": [
            {"group": ["a"], "actions": ["downlod", 3], "namespaces": ["Team"]},
            {"groups": [], "actions": "download"},
            "all",
            {"groups": ["team-*", "", "ok"], "actions": ["everything"], "modules": ["ns/name"]}
        ]}"#,
    );
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "ruels",
            "rules[2]",
            "rules[0].group",
            "rules[0].groups",
            "rules[0].actions[1]",
            "rules[0].actions[0]",
            "rules[0].namespaces[0]",
            "rules[1].groups",
            "rules[1].actions",
            "rules[3].groups[0]",
            "rules[3].groups[1]",
            "rules[3].actions[0]",
            "rules[3].modules[0]",
        ]
    );
    let message = |path: &str| {
        let (_, message) = found.iter().find(|(found, _)| found == path).unwrap();
        message.as_str()
    };
    assert_eq!(message("ruels"), "unknown key, did you mean `rules`?");
    assert_eq!(
        message("rules[0].group"),
        "unknown key, did you mean `groups`?"
    );
    assert_eq!(
        message("rules[0].actions[0]"),
        "unknown action `downlod`, did you mean `download`?"
    );
    assert!(message("rules[3].actions[0]").contains("one of `list-versions`"));
}

#[test]
fn hostile_settings_are_problems_not_panics() {
    let rule = r#"{"groups": ["g"], "actions": ["*"]}"#;
    let many_rules = format!(r#"{{"rules": [{}]}}"#, vec![rule; 1001].join(","));
    let many_groups = format!(
        r#"{{"rules": [{{"groups": [{}], "actions": ["*"]}}]}}"#,
        vec![r#""g""#; 1001].join(",")
    );
    let long_group = format!(
        r#"{{"rules": [{{"groups": ["{}"], "actions": ["*"]}}]}}"#,
        "g".repeat(257)
    );
    for (name, settings) in [
        ("nothing", ""),
        ("null", "null"),
        ("a list", "[]"),
        ("no rules", "{}"),
        ("null rules", r#"{"rules": null}"#),
        ("an object", r#"{"rules": {}}"#),
        ("deep", &"[".repeat(10_000)),
        ("too many rules", &many_rules),
        ("too many groups", &many_groups),
        ("long group", &long_group),
        (
            "control character",
            r#"{"rules": [{"groups": ["a\u0000"], "actions": ["*"]}]}"#,
        ),
    ] {
        assert_eq!(problems::<Groups>(settings).len(), 1, "{name}");
    }
}

#[test]
fn a_state_that_was_not_prepared_here_is_an_error() {
    let mut other_version = state(TEAM);
    other_version[0] = 1;
    let mut longer = state(TEAM);
    longer.push(0);
    let mut shorter = state(TEAM);
    shorter.pop();
    for (name, state) in [
        ("empty", Vec::new()),
        ("text", b"{}".to_vec()),
        ("huge lengths", vec![2, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("other version", other_version),
        ("longer", longer),
        ("shorter", shorter),
    ] {
        let result = Groups::authorize(
            TEAM,
            &state,
            &subject(&["team-a"]),
            &Action::Download,
            &[module("team-a", "aws-eks")],
            0,
        );
        assert!(matches!(result, Err(Error::Other(_))), "{name}: {result:?}");
    }
}

proptest! {
    /// Whatever the bytes, an answer or an error; and any answer has one decision a target.
    #[test]
    fn damaged_states_never_panic(at in 0_usize..200, value in any::<u8>()) {
        let mut state = state(TEAM);
        let length = state.len();
        state[at % length] = value;
        let targets = [module("team-a", "aws-eks"), provider("x", "y")];
        if let Ok(decisions) =
            Groups::authorize(TEAM, &state, &subject(&["team-a"]), &Action::Download, &targets, 0)
        {
            prop_assert_eq!(decisions.len(), targets.len());
        }
    }

    /// The compiled form agrees with the rules read naively.
    #[test]
    fn compiling_changes_nothing(
        rules in prop::collection::vec(
            (
                prop::collection::vec("[abc*]", 1..3),
                prop::collection::vec("[xy?*]{1,2}", 1..3),
                prop::collection::vec("[xy?*]{1,2}", 1..3),
            ),
            0..4,
        ),
        held in prop::collection::vec("[abc]", 0..3),
        namespace in "[xy]{1,2}",
        name in "[xy]{1,2}",
    ) {
        let text = |list: &[String]| {
            list.iter().map(|entry| format!("\"{entry}\"")).collect::<Vec<_>>().join(",")
        };
        let rule_texts: Vec<String> = rules
            .iter()
            .map(|(groups, namespaces, modules)| {
                format!(
                    r#"{{"groups": [{}], "actions": ["browse"], "namespaces": [{}], "modules": [{}]}}"#,
                    text(groups),
                    text(namespaces),
                    text(modules),
                )
            })
            .collect();
        let settings = format!(r#"{{"rules": [{}]}}"#, rule_texts.join(","));
        let any = |patterns: &[String], name: &str| {
            patterns.iter().any(|pattern| opendepot_plugin_sdk::glob::matches(pattern, name))
        };
        let expected = rules.iter().any(|(groups, namespaces, modules)| {
            groups.iter().any(|group| group == "*" || held.contains(group))
                && any(namespaces, &namespace)
                && any(modules, &name)
        });
        let held: Vec<&str> = held.iter().map(String::as_str).collect();
        prop_assert_eq!(
            allows(&settings, &subject(&held), &Action::Browse, module(&namespace, &name)),
            expected
        );
    }
}
