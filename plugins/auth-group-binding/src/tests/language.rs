//! What expressions mean, and what is no expression.

use super::{evaluate, owned};
use crate::compile::compile;
use crate::machine::Stop;
use proptest::prelude::*;

#[test]
fn what_is_true_and_what_is_false() {
    let groups = owned(&["dev", "team-a", "Ops Berlin"]);
    for (expression, expected) in [
        // The examples of the original's documentation.
        (r#""dev" in groups"#, true),
        (r#""admin" in groups"#, false),
        (r#""admin" in groups || "dev" in groups"#, true),
        ("len(groups) > 0", true),
        (r#"len(filter(groups, {# startsWith("team-")})) > 0"#, true),
        ("true", true),
        ("false", false),
        // Words and signs.
        (r#""dev" in groups and not ("admin" in groups)"#, true),
        (r#""dev" in groups && !("team-a" in groups)"#, false),
        (r#""admin" not in groups"#, true),
        (r#"not ("dev" in groups) or false"#, false),
        (r#"'dev' in groups"#, true),
        ("`dev` in groups", true),
        (r#""d\u0065v" in groups"#, true),
        (r#""team-" + "a" in groups"#, true),
        // `and` binds before `or`, `not` before both.
        ("true or false and false", true),
        ("(true or false) and false", false),
        ("not true or true", true),
        ("not (true or true)", false),
        ("1 + 2 - 3 == 0", true),
        ("1 - 2 - 3 == -4", true),
        ("- 1 + 2 == 1", true),
        ("+1 == 1", true),
        ("1_000 > 999", true),
        (r#""a" < "b" and "b" >= "b" and not ("b" < "a")"#, true),
        ("true == true and true != false", true),
        // Loops.
        (r#"any(groups, # startsWith "team-")"#, true),
        (r#"any(groups, {# == "TEAM-A"})"#, false),
        (r#"all(groups, len(#) > 2)"#, true),
        (r#"none(groups, # endsWith "-b")"#, true),
        (r#"one(groups, # contains "a-")"#, false),
        (r#"one(groups, # startsWith "team")"#, true),
        (r#"count(groups, # contains "e") == 3"#, true),
        (r#""TEAM-A" in map(groups, upper(#))"#, true),
        (r#"groups | any(# == "dev")"#, true),
        (r#"groups | filter(# contains "-") | len() == 1"#, true),
        (r#"any(groups, # not contains "e")"#, false),
        (r#"any(["dev", "x"], # in groups)"#, true),
        (r#"all(["dev", "x",], # in groups)"#, false),
        (
            r#"any(groups, {let g = #; any(["a", "b"], g == "team-" + #)})"#,
            true,
        ),
        ("any([], true)", false),
        ("all([], false)", true),
        ("none([], true)", true),
        ("one([], true)", false),
        ("count([], true) == 0", true),
        ("len(map([], #)) == 0", true),
        // Patterns.
        (r#"any(groups, # matches "^team-[a-z]$")"#, true),
        (r#"any(groups, # matches "^eam")"#, false),
        (r#"any(groups, # not matches "(?i)^TEAM")"#, true),
        // Functions.
        (r#"lower("AbC") == "abc" and upper("aB") == "AB""#, true),
        (r#"trim("  a ") == "a""#, true),
        (
            r#"trimPrefix("team-a", "team-") == "a" and trimSuffix("a.x", ".x") == "a""#,
            true,
        ),
        (
            r#"hasPrefix("team-a", "team") and hasSuffix("team-a", "-a")"#,
            true,
        ),
        (r#""b" in split("a,b,c", ",")"#, true),
        (r#"len(split("äb", "")) == 2"#, true),
        (
            r#"join(["a", "b"], "-") == "a-b" and join([], "x") == """#,
            true,
        ),
        (r#"replace("aba", "a", "x") == "xbx""#, true),
        (
            r#"indexOf("abc", "c") == 2 and indexOf("abc", "x") == -1"#,
            true,
        ),
        (r#"len("äöü") == 3"#, true),
        // Places, choices, variables, comments.
        (r#"groups[0] == "dev" and groups[-1] == "Ops Berlin""#, true),
        (r#""dev" in groups ? len(groups) == 3 : false"#, true),
        (
            r#"len(groups) == 1 ? true : len(groups) == 2 ? true : false"#,
            false,
        ),
        (
            r#"let wanted = "dev"; let n = 3; wanted in groups and len(groups) == n"#,
            true,
        ),
        ("// a comment\ntrue /* and */ && true", true),
        // What is not asked is not evaluated.
        ("false and groups[99] == \"x\"", false),
        ("true or groups[99] == \"x\"", true),
    ] {
        let found = evaluate(expression, &groups);
        assert_eq!(found, Ok(Ok(expected)), "{expression}");
    }
}

#[test]
fn what_is_no_expression() {
    for (expression, message) in [
        ("", "the expression ends too early (character 1)"),
        ("   ", "the expression ends too early"),
        ("this is [[ not valid expr", "unknown name `this`"),
        (
            r#""dev" in group"#,
            "unknown name `group`, did you mean `groups`? (character 10)",
        ),
        (r#""dev" in groups || nosuch"#, "unknown name `nosuch`"),
        (r#""dev" in groups or true or x"#, "unknown name `x`"),
        (r#"false and x == "y""#, "unknown name `x`"),
        (
            "len(groups)",
            "the whole expression must be true or false, is a number",
        ),
        ("groups", "is a list of texts"),
        (r#""dev""#, "is a text"),
        (
            "true || 1",
            "what stands behind it must be true or false, is a number",
        ),
        (
            "1 && true",
            "what stands before it must be true or false, is a number",
        ),
        (r#"groups != "admin""#, "lists cannot be compared"),
        (r#"groups == ["admin"]"#, "lists cannot be compared"),
        (r#"groups contains "dev""#, "`\"name\" in groups`"),
        (
            r#""dev" == 1"#,
            "what it is compared with must be a text, is a number",
        ),
        ("true < false", "no order"),
        (
            "1 < 2 < 3",
            "what it is compared with must be true or false, is a number",
        ),
        (
            r#""a" in "abc""#,
            "what stands behind `in` must be a list of texts, is a text",
        ),
        (
            "1 in groups",
            "what stands before `in` must be a text, is a number",
        ),
        (
            r#"not "dev" in groups"#,
            "what `not` negates must be true or false, is a text",
        ),
        (r#"not groups"#, "what `not` negates"),
        ("- true", "what has a sign"),
        (r##"# == "x""##, "only in a predicate"),
        (r##"any(groups, true) and # == "x""##, "only in a predicate"),
        (
            r##"any(groups, #)"##,
            "the predicate must be true or false, is a text",
        ),
        (
            r##"map(groups, true) == groups"##,
            "the predicate must be a text",
        ),
        (
            r##"any("x", true)"##,
            "what is looped over must be a list of texts, is a text",
        ),
        (r##"any(groups)"##, "`,` is expected"),
        (
            r##"any(groups, # matches lower("X"))"##,
            "a pattern in quotes, nothing computed",
        ),
        (r#""a" matches "(""#, "the pattern is wrong"),
        (r#""a" matches "\\pL""#, "the pattern is wrong"),
        (r#""a" matches "(?x) a""#, "unknown flag"),
        (r#""a" matches "(a{99}){99}""#, "the pattern is wrong"),
        ("len(1..9) > 0", "this operator is not supported"),
        ("2 ** 3 == 8", "this operator is not supported"),
        ("1.5 > 1", "only whole decimal numbers"),
        ("0x1f > 1", "only whole decimal numbers"),
        ("9223372036854775808 > 1", "only whole decimal numbers"),
        ("nil == nil", "`nil` is not supported"),
        ("if true { true } else { false }", "`if` is not supported"),
        (r#"groups?.x"#, "no fields"),
        (r#"groups.x"#, "no fields"),
        (r#"$env.groups"#, "unknown name `$env`"),
        (r#"repeat("x", 9) == """#, "unknown function `repeat`"),
        (r#"lenn(groups) > 0"#, "did you mean `len`?"),
        (r#"lower() == "x""#, "`)` has no meaning here"),
        (r#"lower("a", "b") == "x""#, "`lower` takes 1 argument"),
        (r#"hasPrefix("a") "#, "`hasPrefix` takes 2 arguments"),
        (r#""a" | hasPrefix()"#, "`)` has no meaning here"),
        (
            r#"groups["a"] == "a""#,
            "a place in a list must be a number",
        ),
        (r#""abc"[0] == "a""#, "what stands before `[`"),
        (
            r#"["a", 1] == 1"#,
            "what is in a list must be a text, is a number",
        ),
        (
            r#"true ? 1 : "a""#,
            "what stands behind `:` must be a number, is a text",
        ),
        (r#"1 ? true : true"#, "what stands before `?`"),
        ("let groups = 1; true", "`groups` is taken"),
        ("let len = 1; true", "`len` is taken"),
        ("let a = 1; let a = 2; true", "`a` is taken"),
        ("let in = 1; true", "`in` is taken"),
        (
            "any(groups, {let a = #; true}) and a == \"x\"",
            "unknown name `a`",
        ),
        ("let a = 1", "`;` is expected"),
        (r#""dev"#, "closing quote"),
        ("\"a\nb\" == \"\"", "closing quote"),
        ("`a", "closing quote"),
        (r#""\x" == "a""#, "unknown escape"),
        (r#""\ud800" == "a""#, "unknown escape"),
        (r#""\u00" == "a""#, "unknown escape"),
        ("true /*", "the comment does not end"),
        ("true true", "`true` has no meaning here"),
        ("true)", "`)` has no meaning here"),
        ("(true", "`)` is expected"),
        ("true and", "ends too early"),
        ("true = true", "`=` has no meaning here"),
        ("tr\u{fc}e", "`ü` has no meaning here (character 3)"),
        ("\u{ab}true\u{bb}", "`«` has no meaning here (character 1)"),
        ("notx", "unknown name `notx`"),
        ("true not true", "`not` has no meaning here"),
    ] {
        let found = compile(expression).expect_err(expression);
        assert!(found.contains(message), "{expression}: {found}");
    }
}

#[test]
fn hostile_expressions_cost_little() {
    let long = format!("{}true", "true && ".repeat(511));
    assert_eq!(evaluate(&long, &[]), Ok(Ok(true)));
    let choices = format!("{}true", "false?true:".repeat(28));
    assert_eq!(evaluate(&choices, &[]), Ok(Ok(true)));
    for (expression, message) in [
        (
            format!("true{}", " ".repeat(4093)),
            "longer than 4096 characters",
        ),
        ("ä".repeat(4097), "longer than 4096 characters"),
        ("(".repeat(4096), "nested deeper than 32"),
        ("[".repeat(4096), "nested deeper than 32"),
        ("!".repeat(4096), "nested deeper than 32"),
        ("-".repeat(4096), "nested deeper than 32"),
        ("not ".repeat(1024), "nested deeper than 32"),
        ("any(groups,".repeat(300), "nested deeper than 32"),
        ("true?".repeat(800), "nested deeper than 32"),
        ("false?true:".repeat(370), "nested deeper than 32"),
        ("let a=".repeat(600), "`let` is not supported here"),
        (
            (0..40)
                .map(|place| format!("let v{place}=1;"))
                .collect::<String>()
                + "true",
            "more than 32 variables",
        ),
    ] {
        let found = compile(&expression).expect_err("hostile");
        assert!(found.contains(message), "{expression:.20}: {found}");
    }
}

#[test]
fn what_costs_too_much_stops() {
    let groups: Vec<String> = (0..1000)
        .map(|place| format!("group-{place:04}-{}", "x".repeat(50)))
        .collect();
    let doubling = format!(
        "{}len(a9) > 0",
        (0..10)
            .map(|place| match place {
                0 => r#"let a0 = join(groups, ",");"#.to_owned(),
                _ => format!("let a{place} = a{0} + a{0} + a{0} + a{0};", place - 1),
            })
            .collect::<String>()
    );
    for expression in [
        r#"any(groups, {let a = #; any(groups, # + a == "x")})"#,
        r#"any(groups, any(groups, any(groups, # == "x")))"#,
        r#"len(map(groups, join(groups, #))) == 0"#,
        r#"any(groups, # matches "(x{9}|y*)*z")"#,
        r#"len(replace(join(groups, ""), "x", join(groups, ""))) == 0"#,
        doubling.as_str(),
    ] {
        let found = evaluate(expression, &groups);
        assert_eq!(found, Ok(Err(Stop::TooCostly)), "{expression}");
    }
    // The ordinary ones are far from it.
    for expression in [
        r#"any(groups, # startsWith "team-")"#,
        r#"len(filter(groups, {# startsWith("team-")})) > 0"#,
        r#""dev" in map(groups, lower(#))"#,
    ] {
        assert_eq!(evaluate(expression, &groups), Ok(Ok(false)), "{expression}");
    }
    let pattern = r#"any(groups, # matches "^team-[a-z]+$")"#;
    assert_eq!(evaluate(pattern, &groups[..200]), Ok(Ok(false)));
}

#[test]
fn what_fails_for_a_caller_stops() {
    for (expression, stop) in [
        (r#"groups[0] == "x""#, Stop::OutOfRange),
        (r#"groups[-1] == "x""#, Stop::OutOfRange),
        (r#"["a"][1] == "x""#, Stop::OutOfRange),
        (r#"["a"][-2] == "x""#, Stop::OutOfRange),
        ("9223372036854775807 + 1 > 0", Stop::Overflow),
        ("-9223372036854775807 - 2 > 0", Stop::Overflow),
    ] {
        assert_eq!(evaluate(expression, &[]), Ok(Err(stop)), "{expression}");
    }
    assert!(compile("-9223372036854775808 == 0").is_err());
}

#[test]
fn groups_are_data() {
    let hostile = owned(&[
        "\" in groups || true || \"",
        "#",
        "groups",
        "a\u{0}b",
        "",
        "\u{202e}",
    ]);
    for (expression, expected) in [
        (r#""admin" in groups"#, false),
        (r##"any(groups, # == "#")"##, true),
        (r#"any(groups, # contains "|| true")"#, true),
        (r#""" in groups"#, true),
        (r#"any(groups, # matches "^a.b$")"#, true),
    ] {
        assert_eq!(
            evaluate(expression, &hostile),
            Ok(Ok(expected)),
            "{expression}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = evaluate(&text, &owned(&["a"]));
    }

    /// Whatever compiles never finds its own code damaged.
    #[test]
    fn no_soup_of_tokens_panics(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "groups", "#", "any", "filter", "map", "len", "lower", "(", ")", "[", "]", "{", "}", ",",
                "|", "||", "&&", "==", "!=", "<", "+", "-", "?", ":", ";", "let", "x", "=", "not", "in",
                "contains", "matches", "\"a\"", "'b'", "1", "0", "true", "false", "..", ".", "nil",
            ]),
            0..25,
        ),
        groups in prop::collection::vec("[ab]{0,2}", 0..4),
    ) {
        let found = evaluate(&words.join(" "), &groups);
        prop_assert_ne!(found, Ok(Err(Stop::Damaged)));
    }
}
