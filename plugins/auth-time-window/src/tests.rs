use super::TimeWindow;
use opendepot_plugin_sdk::ArtifactKind;
use opendepot_plugin_sdk::auth::{Action, AuthPlugin, Decision, Error, Subject, Target};
use opendepot_plugin_sdk::date::{DAY, Date};
use opendepot_plugin_sdk::fixture::auth::{anonymous, module, problems, provider, subject, target};
use proptest::prelude::*;

fn vpc() -> Target {
    module("prod-eu", "vpc")
}

/// Unix time of a UTC date and `HH:MM`.
fn at(date: &str, time: &str) -> u64 {
    let (hour, minute) = time.split_once(':').unwrap();
    let minutes = hour.parse::<i64>().unwrap() * 60 + minute.parse::<i64>().unwrap();
    let days = i64::from(Date::parse(date).unwrap().days());
    u64::try_from(days * DAY + minutes * 60).unwrap()
}

fn decide(
    settings: &str,
    subject: &Subject,
    action: &Action,
    target: Target,
    now: u64,
) -> Decision {
    let prepared = TimeWindow::prepare(settings, &[]).unwrap();
    assert!(prepared.problems.is_empty());
    let targets = [target];
    let mut decisions =
        TimeWindow::authorize(settings, &prepared.state, subject, action, &targets, now).unwrap();
    assert_eq!(decisions.len(), 1);
    decisions.remove(0)
}

fn denies(settings: &str, date: &str, time: &str) -> bool {
    let now = at(date, time);
    match decide(settings, &subject(&[]), &Action::Publish, vpc(), now) {
        Decision::Deny(_) => true,
        Decision::Abstain => false,
        Decision::Allow => panic!("never allows"),
    }
}

fn rule(rest: &str) -> String {
    format!(r#"{{"rules": [{{"name": "r", "actions": ["*"], {rest}}}]}}"#)
}

// 2026-12-04 is a Friday.
#[test]
fn weekly_windows() {
    let friday = rule(
        r#""deny": "inside", "weekly": [{"days": ["friday"], "from": "12:00", "to": "24:00"}]"#,
    );
    let night =
        rule(r#""deny": "inside", "weekly": [{"days": ["fri"], "from": "22:00", "to": "06:00"}]"#);
    let office = rule(
        r#""deny": "outside", "weekly": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:00"}]"#,
    );
    let always = rule(r#""deny": "inside", "weekly": [{}]"#);
    let sunday_night =
        rule(r#""deny": "inside", "weekly": [{"days": ["sun"], "from": "23:59", "to": "00:01"}]"#);
    for (name, settings, date, time, expected) in [
        ("before", &friday, "2026-12-04", "11:59", false),
        ("first minute", &friday, "2026-12-04", "12:00", true),
        ("last minute", &friday, "2026-12-04", "23:59", true),
        ("after", &friday, "2026-12-05", "00:00", false),
        ("other day", &friday, "2026-12-03", "13:00", false),
        ("night begins", &night, "2026-12-04", "22:00", true),
        ("night goes on", &night, "2026-12-05", "05:59", true),
        ("night ends", &night, "2026-12-05", "06:00", false),
        ("the night before", &night, "2026-12-04", "05:00", false),
        ("second night", &night, "2026-12-05", "22:00", false),
        ("office", &office, "2026-12-04", "09:00", false),
        ("closing time", &office, "2026-12-04", "17:00", true),
        ("weekend", &office, "2026-12-05", "10:00", true),
        ("always", &always, "2026-12-05", "10:00", true),
        (
            "across the week",
            &sunday_night,
            "2026-12-06",
            "23:59",
            true,
        ),
        ("into Monday", &sunday_night, "2026-12-07", "00:00", true),
        (
            "over on Monday",
            &sunday_night,
            "2026-12-07",
            "00:01",
            false,
        ),
    ] {
        assert_eq!(denies(settings, date, time), expected, "{name}");
    }
}

#[test]
fn freezes_are_whole_days_in_the_rules_zone() {
    let freeze = |zone: &str| {
        rule(&format!(
            r#""deny": "inside", "zone": "{zone}", "dates": [{{"from": "2026-12-19", "to": "2027-01-06"}}]"#
        ))
    };
    for (zone, date, time, expected) in [
        ("UTC", "2026-12-18", "23:59", false),
        ("UTC", "2026-12-19", "00:00", true),
        ("UTC", "2027-01-06", "23:59", true),
        ("UTC", "2027-01-07", "00:00", false),
        ("Europe/Berlin", "2026-12-18", "22:59", false),
        ("Europe/Berlin", "2026-12-18", "23:00", true),
        ("Europe/Berlin", "2027-01-06", "23:00", false),
        ("-08:00", "2026-12-19", "07:59", false),
        ("-08:00", "2026-12-19", "08:00", true),
    ] {
        assert_eq!(
            denies(&freeze(zone), date, time),
            expected,
            "{zone} {date} {time}"
        );
    }
    let allowed_only =
        rule(r#""deny": "outside", "dates": [{"from": "2027-01-01", "to": "2027-01-01"}]"#);
    assert!(denies(&allowed_only, "2026-12-31", "12:00"));
    assert!(!denies(&allowed_only, "2027-01-01", "12:00"));
}

#[test]
fn windows_follow_the_wall_clock_of_the_zone() {
    let settings = r#"{"zone": "America/New_York", "rules": [
        {"name": "r", "deny": "inside", "actions": ["*"], "weekly": [{"from": "09:00", "to": "10:00"}]}
    ]}"#;
    // Five hours behind in winter, four in summer.
    assert!(denies(settings, "2027-01-04", "14:30"));
    assert!(!denies(settings, "2027-01-04", "13:30"));
    assert!(denies(settings, "2027-07-05", "13:30"));
    assert!(!denies(settings, "2027-07-05", "14:30"));
    // The hour that autumn repeats is inside both times.
    let repeated = settings.replace("09:00", "01:00").replace("10:00", "02:00");
    assert!(denies(&repeated, "2027-11-07", "05:30"));
    assert!(denies(&repeated, "2027-11-07", "06:30"));
}

#[test]
fn a_rule_concerns_what_it_names_and_nobody_exempt() {
    let settings = r#"{"rules": [{"name": "freeze", "deny": "inside", "weekly": [{}],
        "actions": ["publish"], "namespaces": ["prod-*"], "modules": ["*"], "exemptGroups": ["on-call"]}]}"#;
    let anonymous = anonymous(&["on-call"]);
    let nobody = subject(&[]);
    let other = Action::Other("publish".to_owned());
    let of = |namespace| module(namespace, "vpc");
    for (name, subject, action, target, expected) in [
        ("meant", &nobody, &Action::Publish, of("prod-eu"), true),
        (
            "other action",
            &nobody,
            &Action::Download,
            of("prod-eu"),
            false,
        ),
        ("unknown action", &nobody, &other, of("prod-eu"), false),
        (
            "other namespace",
            &nobody,
            &Action::Publish,
            of("dev"),
            false,
        ),
        (
            "exempt",
            &subject(&["a", "on-call"]),
            &Action::Publish,
            of("prod-eu"),
            false,
        ),
        (
            "anonymous is in no group",
            &anonymous,
            &Action::Publish,
            of("prod-eu"),
            true,
        ),
        (
            "provider",
            &nobody,
            &Action::Publish,
            provider("prod-eu", "aws"),
            false,
        ),
    ] {
        let decision = decide(settings, subject, action, target, at("2026-12-04", "12:04"));
        let reason = "not at fri 12:04, by rule `freeze`".to_owned();
        let expected = if expected {
            Decision::Deny(reason)
        } else {
            Decision::Abstain
        };
        assert_eq!(decision, expected, "{name}");
    }
}

#[test]
fn a_star_denies_unknown_actions_and_kinds_too() {
    let settings = rule(r#""deny": "inside", "weekly": [{}]"#);
    let strange = target(ArtifactKind::Other("dataset".to_owned()), "a", "b");
    let decision = decide(
        &settings,
        &subject(&[]),
        &Action::Other("x".to_owned()),
        strange,
        0,
    );
    assert!(matches!(decision, Decision::Deny(_)));
}

#[test]
fn without_rules_nothing_is_denied_and_a_star_exempts_credentials_only() {
    assert!(!denies(r#"{"rules": []}"#, "2026-12-04", "12:00"));
    let settings = rule(r#""deny": "inside", "weekly": [{}], "exemptGroups": ["*"]"#);
    assert!(!denies(&settings, "2026-12-04", "12:00"));
    let anonymous = anonymous(&[]);
    let decision = decide(&settings, &anonymous, &Action::Browse, vpc(), 0);
    assert!(matches!(decision, Decision::Deny(_)));
}

#[test]
fn every_mistake_has_its_path() {
    let found = problems::<TimeWindow>(
        r#"{"zome": "UTC", "zone": "Europe/Berln", "rules": [
            {"name": "a", "deny": "within", "actions": ["*"], "weekly": [
                {"days": ["frday", "sat"], "from": "9:00", "to": "25:00", "at": 1},
                {"days": [], "from": "24:00"},
                {"from": "10:00", "to": "10:00"},
                {"from": 540},
                "always"
            ]},
            {"deny": "inside", "actions": ["*"], "dates": [
                {"from": "2026-02-30", "to": "2026-03-01"},
                {"from": "2026-03-02", "to": "2026-03-01"},
                {"from": "2026-03-02"}
            ]},
            {"name": "", "deny": "inside", "weekly": [], "zone": "+99:00"},
            {"name": "c", "deny": "inside", "actions": ["*"], "exemptGroups": []}
        ]}"#,
    );
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "zome",
            "zone",
            "rules[0].deny",
            "rules[0].weekly[4]",
            "rules[0].weekly[0].at",
            "rules[0].weekly[0].days[0]",
            "rules[0].weekly[0].from",
            "rules[0].weekly[0].to",
            "rules[0].weekly[1].days",
            "rules[0].weekly[1].from",
            "rules[0].weekly[2].to",
            "rules[0].weekly[3].from",
            "rules[1].name",
            "rules[1].dates[0].from",
            "rules[1].dates[1].to",
            "rules[1].dates[2].to",
            "rules[2].name",
            "rules[2].weekly",
            "rules[2].zone",
            "rules[2].actions",
            "rules[3].weekly",
            "rules[3].exemptGroups",
        ],
        "{found:#?}"
    );
}

#[test]
fn hostile_settings_are_problems_not_panics() {
    let many = |entry: &str, most: usize| vec![entry; most].join(",");
    let one = r#"{"name": "r", "deny": "inside", "actions": ["*"], "weekly": [{}]}"#;
    let rules = format!(r#"{{"rules": [{}]}}"#, many(one, 201));
    let windows = rule(&format!(
        r#""deny": "inside", "weekly": [{}]"#,
        many("{}", 101)
    ));
    let days = rule(&format!(
        r#""deny": "inside", "weekly": [{{"days": [{}]}}]"#,
        many("\"mon\"", 15)
    ));
    let name = one.replace("\"r\"", &format!("\"{}\"", "r".repeat(41)));
    let name = format!(r#"{{"rules": [{name}]}}"#);
    for (what, settings) in [
        ("nothing", ""),
        ("null", "null"),
        ("no rules", "{}"),
        ("an object", r#"{"rules": {}}"#),
        ("deep", &"[".repeat(10_000)),
        ("too many rules", &rules),
        ("too many windows", &windows),
        ("too many days", &days),
        ("long name", &name),
        (
            "control character",
            r#"{"rules": [{"name": "a\nb", "deny": "inside", "actions": ["*"], "weekly": [{}]}]}"#,
        ),
    ] {
        let num_problems = problems::<TimeWindow>(settings).len();
        assert!((1..=2).contains(&num_problems), "{what}: {num_problems}");
    }
}

#[test]
fn a_clock_without_a_calendar_is_an_error() {
    let settings = rule(r#""deny": "inside", "weekly": [{"days": ["mon"]}]"#);
    let state = TimeWindow::prepare(&settings, &[]).unwrap().state;
    for now in [253_402_300_800, u64::MAX / 2, u64::MAX] {
        let answer = TimeWindow::authorize(
            &settings,
            &state,
            &subject(&[]),
            &Action::Publish,
            &[vpc()],
            now,
        );
        assert!(matches!(answer, Err(Error::Other(_))), "{now}");
    }
    assert!(!denies(&settings, "1970-01-01", "00:00"));
}

#[test]
fn ten_thousand_denials_fit_into_an_answer() {
    let name = "n".repeat(40);
    let settings =
        rule(r#""deny": "inside", "weekly": [{}]"#).replace("\"r\"", &format!("\"{name}\""));
    let Decision::Deny(reason) = decide(&settings, &subject(&[]), &Action::Browse, vpc(), 0) else {
        panic!("expected a deny");
    };
    // A decision is a case, a pointer and a length: 12 bytes.
    assert!((reason.len() + 12) * 10_000 < 1 << 20, "{reason}");
}

proptest! {
    /// Whatever the bytes, an answer or an error; and any answer has one decision a target.
    #[test]
    fn damaged_states_never_panic(at in 0_usize..200, value in any::<u8>(), now in any::<u64>()) {
        let settings = rule(
            r#""deny": "outside", "exemptGroups": ["a"], "zone": "Europe/Berlin",
               "weekly": [{"days": ["fri"], "from": "22:00", "to": "06:00"}],
               "dates": [{"from": "2026-12-19", "to": "2027-01-06"}]"#,
        );
        let mut state = TimeWindow::prepare(&settings, &[]).unwrap().state;
        let length = state.len();
        state[at % length] = value;
        let targets = [vpc(), vpc()];
        if let Ok(decisions) =
            TimeWindow::authorize(&settings, &state, &subject(&["b"]), &Action::Browse, &targets, now)
        {
            prop_assert_eq!(decisions.len(), targets.len());
        }
    }

    /// Inside and outside are each other's opposite at every minute.
    #[test]
    fn inside_and_outside_are_opposites(
        minute in 0_u64..4 * 7 * 24 * 60,
        from in 0_u32..24 * 60,
        to in 0_u32..=24 * 60,
        day in prop::sample::select(vec!["mon", "wed", "sun"]),
    ) {
        prop_assume!(from != to);
        let time = |minutes: u32| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let settings = |deny: &str| rule(&format!(
            r#""deny": "{deny}", "weekly": [{{"days": ["{day}"], "from": "{}", "to": "{}"}}]"#,
            time(from),
            time(to),
        ));
        let now = at("2026-12-07", "00:00") + minute * 60;
        let denies = |deny| {
            decide(&settings(deny), &subject(&[]), &Action::Browse, vpc(), now) != Decision::Abstain
        };
        let inside = denies("inside");
        prop_assert_eq!(inside, !denies("outside"));
        // 2026-12-07 is a Monday.
        let length = if from < to { to - from } else { 24 * 60 - from + to };
        let start = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
            .iter()
            .position(|name| *name == day)
            .unwrap();
        let week = 7 * 24 * 60;
        let start = u64::try_from(start).unwrap() * 24 * 60 + u64::from(from);
        prop_assert_eq!(inside, (minute % week + week - start) % week < u64::from(length));
    }
}
