//! The same expressions through the crate `expr-lang`, which was written apart from this one.

use super::evaluate;
use proptest::prelude::*;

fn by_crate(expression: &str, groups: &[String]) -> Option<bool> {
    let mut context = expr::Context::default();
    context.insert("groups".to_owned(), groups.to_vec());
    expr::eval(expression, &context).ok()?.as_bool()
}

/// Texts, in a predicate or not.
fn text(in_predicate: bool) -> BoxedStrategy<String> {
    let mut leaves = vec!["\"a\"", "'ab'", "\"\"", "\"A b\"", "\"a-b\""];
    if in_predicate {
        leaves.extend(["#", "#", "#"]);
    }
    prop::sample::select(leaves)
        .prop_map(str::to_owned)
        .prop_recursive(2, 6, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|a| format!("lower({a})")),
                inner.clone().prop_map(|a| format!("upper({a})")),
                inner.clone().prop_map(|a| format!("trim({a})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("trimPrefix({a}, {b})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("trimSuffix({a}, {b})")),
                // The crate splits at an empty separator as Rust does, not as Go.
                inner
                    .clone()
                    .prop_map(|a| format!("join(split({a}, \"b\"), \"+\")")),
                (inner.clone(), inner.clone(), inner)
                    .prop_map(|(a, b, c)| format!("replace({a}, {b}, {c})")),
            ]
        })
        .boxed()
}

fn list() -> BoxedStrategy<String> {
    prop_oneof![
        Just("groups".to_owned()),
        Just("groups".to_owned()),
        prop::collection::vec(text(false), 1..4)
            .prop_map(|texts| format!("[{}]", texts.join(", "))),
        predicate().prop_map(|predicate| format!("filter(groups, {{{predicate}}})")),
        text(true).prop_map(|text| format!("map(groups, {{{text}}})")),
    ]
    .boxed()
}

fn number(in_predicate: bool) -> BoxedStrategy<String> {
    prop_oneof![
        (0_u8..4).prop_map(|number| number.to_string()),
        text(in_predicate).prop_map(|text| format!("len({text})")),
        (text(in_predicate), text(in_predicate)).prop_map(|(a, b)| format!("indexOf({a}, {b})")),
    ]
    .boxed()
}

/// Comparisons of texts and numbers.
fn comparison(in_predicate: bool) -> BoxedStrategy<String> {
    let texts = (text(in_predicate), text(in_predicate));
    let between = prop::sample::select(vec![
        "==",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "contains",
        "startsWith",
        "endsWith",
    ]);
    let numbers = (number(in_predicate), number(in_predicate));
    let orders = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let patterns = prop::sample::select(vec!["^a", "b$", "^[a-z]+$", "a.b", "(?i)A", "x|^$"]);
    prop_oneof![
        (texts, between).prop_map(|((a, b), operator)| format!("({a} {operator} {b})")),
        (numbers, orders).prop_map(|((a, b), operator)| format!("({a} {operator} {b})")),
        (text(in_predicate), patterns)
            .prop_map(|(a, pattern)| format!("({a} matches \"{pattern}\")")),
        text(in_predicate).prop_map(|a| format!("({a} in groups)")),
    ]
    .boxed()
}

fn predicate() -> BoxedStrategy<String> {
    joined(comparison(true))
}

/// Truths joined by words and signs.
fn joined(leaf: BoxedStrategy<String>) -> BoxedStrategy<String> {
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
    .boxed()
}

fn truth() -> BoxedStrategy<String> {
    let loops = prop::sample::select(vec!["any", "all", "none", "one"]);
    joined(
        prop_oneof![
            comparison(false),
            (loops, list(), predicate())
                .prop_map(|(kind, list, predicate)| format!("{kind}({list}, {{{predicate}}})")),
            (list(), predicate(), 0..3)
                .prop_map(|(list, predicate, n)| format!("(count({list}, {{{predicate}}}) > {n})")),
            (text(false), list()).prop_map(|(text, list)| format!("({text} in {list})")),
            (list(), 0..3).prop_map(|(list, n)| format!("(len({list}) == {n})")),
        ]
        .boxed(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Well-typed expressions mean the same to both.
    #[test]
    fn agrees_with_the_crate(
        expression in truth(),
        groups in prop::collection::vec("[abAB -]{0,3}", 0..5),
    ) {
        let ours = evaluate(&expression, &groups);
        let theirs = by_crate(&expression, &groups);
        prop_assert_eq!(ours.clone().ok().and_then(Result::ok), theirs, "{:?}", ours);
        prop_assert!(theirs.is_some());
    }
}

/// Where the two differ on purpose: the original refuses these before it asks anybody's groups,
/// and the crate grants.
#[test]
fn the_crate_grants_what_the_original_refuses() {
    let groups = vec!["dev".to_owned()];
    for expression in [
        r#"groups != "admin""#,
        r#""dev" in groups || nosuch"#,
        "true || 1",
        r#"groups contains "dev""#,
    ] {
        assert_eq!(by_crate(expression, &groups), Some(true), "{expression}");
        assert!(evaluate(expression, &groups).is_err(), "{expression}");
    }
}
