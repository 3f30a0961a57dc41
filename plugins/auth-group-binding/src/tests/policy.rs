//! What bindings grant.

use crate::{GroupBinding, MAX_GROUPS};
use opendepot_plugin_sdk::ArtifactKind;
use opendepot_plugin_sdk::auth::{Action, AuthPlugin, Binding, Decision, Error, Subject, Target};
use opendepot_plugin_sdk::fixture::auth::{anonymous, module, problems, provider, subject, target};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const FIRST: &str = r#"{"merge": "first"}"#;
const UNION: &str = r#"{"merge": "union"}"#;

fn owned(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

/// A binding of these modules, and of the provider `aws`.
fn binding(name: &str, expression: &str, modules: &[&str]) -> Binding {
    Binding {
        name: name.to_owned(),
        expression: expression.to_owned(),
        modules: owned(modules),
        providers: owned(&["aws"]),
        namespaces: Vec::new(),
        attributes: Vec::new(),
    }
}

fn decide(
    settings: &str,
    bindings: &[Binding],
    subject: &Subject,
    action: &Action,
    targets: &[Target],
) -> Vec<Decision> {
    let state = GroupBinding::prepare(settings, bindings).unwrap().state;
    GroupBinding::authorize(settings, &state, subject, action, targets, 0).unwrap()
}

fn allows(settings: &str, bindings: &[Binding], groups: &[&str], target: Target) -> bool {
    let targets = [target];
    let decision = decide(
        settings,
        bindings,
        &subject(groups),
        &Action::Download,
        &targets,
    );
    match decision.as_slice() {
        [Decision::Allow] => true,
        [Decision::Abstain] => false,
        other => panic!("{other:?}"),
    }
}

/// The bindings that do not work, with what is wrong.
fn broken(bindings: &[Binding]) -> Vec<(String, String)> {
    GroupBinding::prepare(FIRST, bindings)
        .unwrap()
        .problems
        .into_iter()
        .map(|problem| (problem.binding, problem.message))
        .collect()
}

#[test]
fn the_first_by_name_decides_alone_unless_all_do() {
    // Handed over in any order.
    let bindings = [
        binding("b-wide", r#""dev" in groups"#, &["*"]),
        binding(
            "a-narrow",
            r#""dev" in groups or "ops" in groups"#,
            &["vpc"],
        ),
        binding("c-late", r#""ops" in groups"#, &["net"]),
    ];
    for (settings, groups, name, expected) in [
        (FIRST, &["dev"][..], "vpc", true),
        (FIRST, &["dev"], "net", false),
        (UNION, &["dev"], "net", true),
        (FIRST, &["ops"], "net", false),
        (UNION, &["ops"], "net", true),
        (UNION, &["ops"], "eks", false),
        (UNION, &[], "vpc", false),
        ("{}", &["dev"], "net", false),
    ] {
        let found = allows(settings, &bindings, groups, module("shared", name));
        assert_eq!(found, expected, "{settings} {groups:?} {name}");
    }
}

#[test]
fn a_broken_binding_grants_nothing_and_harms_no_other() {
    let good = binding("m-good", r#""dev" in groups"#, &["vpc"]);
    let expressions = [
        "this is [[ not valid expr",
        "len(groups)",
        "true || nosuch",
        r#"groups != "admin""#,
        "",
    ];
    for settings in [FIRST, UNION] {
        for name in ["a-before", "z-behind"] {
            for expression in expressions {
                let bindings = [binding(name, expression, &["*"]), good.clone()];
                let found = broken(&bindings);
                assert_eq!(found.len(), 1, "{expression}");
                assert_eq!(found[0].0, name);
                assert!(found[0].1.starts_with("`expression`: "), "{}", found[0].1);
                let allows = |module_name| {
                    allows(settings, &bindings, &["dev"], module("shared", module_name))
                };
                assert!(allows("vpc"), "{settings} {name} {expression}");
                assert!(!allows("net"), "{settings} {name} {expression}");
            }
        }
    }
    // One that fails only when it runs is passed over as well.
    let failing = binding("a", r#"groups[7] == "x" or true"#, &["*"]);
    let bindings = [failing, good];
    assert!(broken(&bindings).is_empty());
    assert!(allows(FIRST, &bindings, &["dev"], module("shared", "vpc")));
    assert!(!allows(FIRST, &bindings, &["dev"], module("shared", "net")));
}

#[test]
fn lists_are_those_of_the_original() {
    let mut one = binding("a", "true", &["net-[a-c]*", "v?c", "a\\*b"]);
    one.providers = owned(&["aws", "nu*"]);
    let mut all = one.clone();
    all.providers = owned(&["*"]);
    let mut none = one.clone();
    (none.modules, none.providers) = (Vec::new(), Vec::new());
    for (binding, target, expected) in [
        (&one, module("n", "net-b1"), true),
        (&one, module("n", "net-d1"), false),
        (&one, module("n", "vpc"), true),
        (&one, module("n", "vpcs"), false),
        (&one, module("n", "aws"), false),
        (&one, provider("n", "aws"), true),
        // Only exact names, or `*`.
        (&one, provider("n", "null"), false),
        (&one, provider("n", "vpc"), false),
        (&all, provider("n", "null"), true),
        (&none, module("n", "vpc"), false),
        (&none, provider("n", "aws"), false),
        (
            &all,
            target(ArtifactKind::Other("dataset".to_owned()), "n", "vpc"),
            false,
        ),
    ] {
        let shown = format!("{target:?}");
        assert_eq!(
            allows(FIRST, std::slice::from_ref(binding), &[], target),
            expected,
            "{shown}"
        );
    }
}

#[test]
fn namespaces_narrow_and_the_first_match_hides_all_the_same() {
    let mut here = binding("a", "true", &["*"]);
    here.namespaces = owned(&["team-*", "shared"]);
    let everywhere = binding("b", "true", &["vpc"]);
    let both = [here.clone(), everywhere];
    for (settings, bindings, namespace, expected) in [
        (FIRST, &both[..1], "team-a", true),
        (FIRST, &both[..1], "shared", true),
        (FIRST, &both[..1], "prod", false),
        (FIRST, &both, "prod", false),
        (UNION, &both, "prod", true),
    ] {
        let found = allows(settings, bindings, &[], module(namespace, "vpc"));
        assert_eq!(found, expected, "{settings} {namespace}");
    }
}

#[test]
fn reading_is_granted_and_nothing_else() {
    let bindings = [binding("a", "true", &["*"])];
    let targets = [module("n", "vpc"), provider("n", "gcp")];
    for (action, expected) in [
        (Action::ListVersions, true),
        (Action::ReadPackage, true),
        (Action::Download, true),
        (Action::Browse, true),
        (Action::Publish, false),
        (Action::Administer, false),
        (Action::Other("download".to_owned()), false),
    ] {
        let decisions = decide(FIRST, &bindings, &subject(&["dev"]), &action, &targets);
        let first = if expected {
            Decision::Allow
        } else {
            Decision::Abstain
        };
        assert_eq!(decisions, [first, Decision::Abstain], "{action:?}");
    }
}

#[test]
fn nobody_without_a_credential_and_nobody_with_too_many_groups() {
    let bindings = [binding("a", r#"not ("blocked" in groups)"#, &["*"])];
    let targets = [module("n", "vpc")];
    let decide = |subject: &Subject| decide(FIRST, &bindings, subject, &Action::Browse, &targets);
    assert_eq!(decide(&anonymous(&["dev"])), [Decision::Abstain]);
    assert_eq!(decide(&subject(&[])), [Decision::Allow]);
    let mut many = subject(&[]);
    many.groups = (0..MAX_GROUPS).map(|place| format!("g{place}")).collect();
    assert_eq!(decide(&many), [Decision::Allow]);
    // Cutting the list here would let this one in.
    many.groups.push("blocked".to_owned());
    assert_eq!(decide(&many), [Decision::Abstain]);
}

#[test]
fn hostile_bindings_are_reported() {
    let mut list = binding("a", "true", &["["]);
    assert_eq!(
        broken(&[list.clone()])[0].1,
        "`moduleResources`: `[` is no pattern"
    );
    list.modules = owned(&["x"]);
    list.namespaces = owned(&["a-[z"]);
    assert!(broken(&[list.clone()])[0].1.starts_with("`namespaces`: "));
    list.namespaces = vec!["a".to_owned(); 257];
    assert!(
        broken(&[list.clone()])[0]
            .1
            .contains("more than 256 entries")
    );
    list.namespaces = Vec::new();
    list.providers = owned(&[""]);
    assert!(
        broken(&[list.clone()])[0]
            .1
            .starts_with("`providerResources`: ")
    );
    list.providers = vec!["p".repeat(254)];
    assert!(broken(&[list.clone()])[0].1.contains("1 to 253 bytes"));
    // What `[` means to a provider's name is nothing.
    list.providers = owned(&["["]);
    assert!(broken(&[list]).is_empty());
    let huge = binding("a", &format!("true{}", " ".repeat(65_536)), &[]);
    assert!(broken(&[huge])[0].1.contains("longer than 4096 characters"));
}

#[test]
fn many_bindings_are_bounded_and_the_first_ones_work() {
    let named = |place: usize| format!("b{place:05}");
    let many: Vec<Binding> = (0..1002)
        .map(|place| binding(&named(place), "false", &["*"]))
        .collect();
    let found = broken(&many);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b01000", "b01001"]);
    let text = format!("\"{}\" in groups", "x".repeat(4000));
    let large: Vec<Binding> = (0..400)
        .map(|place| binding(&named(place), &text, &["*"]))
        .collect();
    let found = broken(&large);
    assert!(
        !found.is_empty() && found[0].1.contains("bytes"),
        "{}",
        found[0].1
    );
    let prepared = GroupBinding::prepare(FIRST, &large).unwrap();
    assert!(prepared.state.len() <= 1 << 20);
    assert!((130..150).contains(&found.len()), "{}", found.len());
}

/// A27: the share of a costly binding is its own.
#[test]
fn costly_bindings_cost_no_other_and_little_time() {
    let costly = r#"any(groups, any(groups, any(groups, # == "zz")))"#;
    let mut bindings: Vec<Binding> = (0..200)
        .map(|place| binding(&format!("a{place:03}"), costly, &["*"]))
        .collect();
    bindings.push(binding("z", r#""g7" in groups"#, &["vpc"]));
    let mut caller = subject(&[]);
    caller.groups = (0..MAX_GROUPS).map(|place| format!("g{place}")).collect();
    let started = Instant::now();
    let targets = [module("n", "vpc"), module("n", "net")];
    let decisions = decide(FIRST, &bindings, &caller, &Action::Browse, &targets);
    assert_eq!(decisions, [Decision::Allow, Decision::Abstain]);
    // Unoptimised, on any machine; the built component is far below.
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn settings() {
    for (settings, path) in [
        ("", ""),
        ("[]", ""),
        (r#"{"merge": "all"}"#, "merge"),
        (r#"{"merge": true}"#, "merge"),
        (r#"{"marge": "first"}"#, "marge"),
    ] {
        let found = problems::<GroupBinding>(settings);
        assert_eq!(found.len(), 1, "{settings}");
        assert_eq!(found[0].0, path, "{settings}");
    }
    for settings in ["{}", FIRST, UNION] {
        assert!(problems::<GroupBinding>(settings).is_empty(), "{settings}");
    }
    assert!(!allows(FIRST, &[], &["dev"], module("n", "vpc")));
}

#[test]
fn a_state_that_was_not_prepared_here_is_an_error() {
    let good = GroupBinding::prepare(FIRST, &[binding("a", "true", &["*"])])
        .unwrap()
        .state;
    let longer = [good.as_slice(), &[0]].concat();
    for state in [&[][..], b"{}", &longer, &good[..good.len() - 1]] {
        let subject = subject(&[]);
        let answer = GroupBinding::authorize(FIRST, state, &subject, &Action::Browse, &[], 0);
        assert!(matches!(answer, Err(Error::Other(_))), "{state:?}");
    }
}

proptest! {
    /// Whatever the bytes: an answer or an error, in time, and one decision a target.
    #[test]
    fn damaged_states_never_panic(changes in prop::collection::vec((0_usize..400, any::<u8>()), 1..4)) {
        let expression = r#"let n = "x"; any(groups, {let g = #; g == n or any(["a", "b"], # + g matches "^a")})
            ? groups[0] != "y" : len(filter(groups, # in groups)) > 1"#;
        let bindings = [binding("a", expression, &["v*"]), binding("b", "true", &["*"])];
        let mut state = GroupBinding::prepare(UNION, &bindings).unwrap().state;
        let length = state.len();
        for (at, value) in changes {
            state[at % length] = value;
        }
        let targets = [module("n", "vpc"), provider("n", "aws")];
        let subject = subject(&["x", "y"]);
        let answer = GroupBinding::authorize(UNION, &state, &subject, &Action::Browse, &targets, 0);
        if let Ok(decisions) = answer {
            prop_assert_eq!(decisions.len(), targets.len());
        }
    }
}
