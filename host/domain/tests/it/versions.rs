//! The order of versions, their text, and constraints over them.

use opendepot_domain::{Constraints, Version};
use proptest::prelude::*;
use std::cmp::Ordering;

/// Small numbers and few words, so that ties and near misses are common.
fn version_text() -> impl Strategy<Value = String> {
    let identifier = prop_oneof![
        (0..12_u32).prop_map(|number| number.to_string()),
        prop::sample::select(vec!["alpha", "beta", "rc", "RC", "a-b", "x1", "-"])
            .prop_map(str::to_owned),
    ];
    let identifiers = |strategy| {
        prop::collection::vec(strategy, 1..4).prop_map(|parts: Vec<String>| parts.join("."))
    };
    let build = prop::collection::vec("[0-9a-z]{1,3}", 1..3).prop_map(|parts| parts.join("."));
    (
        0..4_u64,
        0..4_u64,
        0..12_u64,
        prop::option::of(identifiers(identifier)),
        prop::option::of(build),
    )
        .prop_map(|(major, minor, patch, pre, build)| {
            let pre = pre.map(|pre| format!("-{pre}")).unwrap_or_default();
            let build = build.map(|build| format!("+{build}")).unwrap_or_default();
            format!("{major}.{minor}.{patch}{pre}{build}")
        })
}

fn version() -> impl Strategy<Value = Version> {
    version_text().prop_map(|text| Version::parse(&text).unwrap())
}

/// SemVer 2.0 section 11, written out once more.
fn precedence(a: &Version, b: &Version) -> Ordering {
    let pre = |version: &Version| version.prerelease().to_owned();
    a.triple()
        .cmp(&b.triple())
        .then_with(|| match (pre(a).as_str(), pre(b).as_str()) {
            ("", "") => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (left, right) => {
                let (mut left, mut right) = (left.split('.'), right.split('.'));
                loop {
                    let order = match (left.next(), right.next()) {
                        (None, None) => return Ordering::Equal,
                        (None, Some(_)) => Ordering::Less,
                        (Some(_), None) => Ordering::Greater,
                        (Some(one), Some(other)) => {
                            match (one.parse::<u64>(), other.parse::<u64>()) {
                                (Ok(one), Ok(other)) => one.cmp(&other),
                                (Ok(_), Err(_)) => Ordering::Less,
                                (Err(_), Ok(_)) => Ordering::Greater,
                                (Err(_), Err(_)) => one.as_bytes().cmp(other.as_bytes()),
                            }
                        }
                    };
                    if order != Ordering::Equal {
                        return order;
                    }
                }
            }
        })
}

#[derive(Clone, Debug)]
struct Simple {
    operator: &'static str,
    numbers: Vec<u64>,
    pre: Option<String>,
}

fn constraint() -> impl Strategy<Value = Simple> {
    let operator = prop::sample::select(vec!["", "=", "!=", ">", "<", ">=", "<=", "~>"]);
    let pre = prop::option::of(
        prop::sample::select(vec!["alpha", "beta.2", "rc", "1"]).prop_map(str::to_owned),
    );
    (operator, prop::collection::vec(0..4_u64, 1..4), pre).prop_map(|(operator, numbers, pre)| {
        Simple {
            operator,
            numbers,
            pre,
        }
    })
}

impl Simple {
    fn text(&self) -> String {
        let numbers: Vec<String> = self.numbers.iter().map(u64::to_string).collect();
        let pre = self
            .pre
            .as_ref()
            .map(|pre| format!("-{pre}"))
            .unwrap_or_default();
        format!("{} {}{pre}", self.operator, numbers.join("."))
    }

    /// What go-version's documentation says, by bounds rather than by segments.
    fn allows(&self, version: &Version) -> bool {
        let at = |index: usize| self.numbers.get(index).copied().unwrap_or(0);
        let pre = self
            .pre
            .as_ref()
            .map(|pre| format!("-{pre}"))
            .unwrap_or_default();
        let bound = Version::parse(&format!("{}.{}.{}{pre}", at(0), at(1), at(2))).unwrap();
        let order = precedence(version, &bound);
        if self.operator.is_empty() || self.operator == "=" {
            return order == Ordering::Equal;
        }
        if self.operator == "!=" {
            return order != Ordering::Equal;
        }
        let is_pre = version.is_prerelease();
        if is_pre && (self.pre.is_none() || version.triple() != bound.triple()) {
            return false;
        }
        match self.operator {
            ">" => order == Ordering::Greater,
            "<" => order == Ordering::Less,
            ">=" => order != Ordering::Less,
            "<=" => order != Ordering::Greater,
            _ => {
                let end = match self.numbers.len() {
                    1 => (u64::MAX, 0, 0),
                    2 => (at(0) + 1, 0, 0),
                    _ => (at(0), at(1) + 1, 0),
                };
                order != Ordering::Less && version.triple() < end && is_pre == self.pre.is_some()
            }
        }
    }
}

proptest! {
    #[test]
    fn the_order_is_total(a in version(), b in version(), c in version()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
    }

    #[test]
    fn the_order_is_semvers_and_build_metadata_only_breaks_ties(a in version(), b in version()) {
        let expected = precedence(&a, &b);
        prop_assert_eq!(a.cmp_precedence(&b), expected);
        if expected != Ordering::Equal {
            prop_assert_eq!(a.cmp(&b), expected);
        }
        prop_assert_eq!(a.is_same_release(&b), expected == Ordering::Equal);
        prop_assert_eq!(a.release_key() == b.release_key(), expected == Ordering::Equal);
    }

    #[test]
    fn what_is_printed_is_read_again(text in version_text()) {
        let version = Version::parse(&text).unwrap();
        prop_assert_eq!(version.to_string(), &*text);
        prop_assert_eq!(Version::parse(&format!("v{text}")).unwrap(), version);
    }

    #[test]
    fn parsing_never_panics_and_what_it_takes_is_canonical(text in "\\PC{0,40}") {
        if let Ok(version) = Version::parse(&text) {
            prop_assert_eq!(version.to_string(), text.strip_prefix('v').unwrap_or(&text));
        }
        let _ = Constraints::parse(&text);
    }

    #[test]
    fn almost_versions_never_panic(text in "v?[0-9]{1,3}(\\.[0-9x]{0,2}){0,4}(-[0-9a-z.-]{0,6})?(\\+[0-9a-z.]{0,4})?") {
        if let Ok(version) = Version::parse(&text) {
            prop_assert!(Version::parse(&version.to_string()).is_ok());
        }
        if let Ok(constraints) = Constraints::parse(&text) {
            prop_assert_eq!(Constraints::parse(&constraints.to_string()).unwrap(), constraints);
        }
    }

    #[test]
    fn object_names_are_kubernetes_names(version in version()) {
        let part = version.object_name_part();
        prop_assert!(part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
        prop_assert!(part.starts_with(|first: char| first.is_ascii_digit()));
    }

    #[test]
    fn constraints_say_what_the_oracle_says(parts in prop::collection::vec(constraint(), 1..4), version in version()) {
        let text: Vec<String> = parts.iter().map(Simple::text).collect();
        let text = text.join(",");
        let constraints = Constraints::parse(&text).unwrap();
        let expected = parts.iter().all(|part| part.allows(&version));
        prop_assert_eq!(constraints.matches(&version), expected, "{} and {}", text, version);
        prop_assert_eq!(Constraints::parse(&constraints.to_string()).unwrap(), constraints);
    }
}
