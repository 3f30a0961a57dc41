//! Which versions a Depot takes: the constraint syntax of hashicorp/go-version, as the original
//! reads it (OD-3.1).

use crate::error::InvalidValue;
use crate::version::Version;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The longest text: that of `versionConstraints` in the schema.
const MAX_CHARS: usize = 256;

/// One or more constraints, all of which a version has to meet: `>= 1.2, < 2.0, != 1.5.1`.
///
/// Operators are none or `=`, `!=`, `>`, `<`, `>=`, `<=` and `~>`, before a version of one to three
/// numbers, with or without `v`. `~> 1.2.3` means `>= 1.2.3, < 1.3.0`; `~> 1.2` means
/// `>= 1.2.0, < 2.0.0`; `~> 1` has no upper end, as in the original.
///
/// A pre-release meets a constraint only if that names a pre-release of the same three numbers;
/// `=` and `!=` compare plainly. Pre-releases are ordered as SemVer says, build metadata counts for
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Constraints(Vec<Constraint>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Constraint {
    operator: Operator,
    /// Padded with zeros.
    bound: Version,
    /// Numbers that were written.
    num_segments: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Pessimistic,
}

impl Operator {
    /// Longer spellings first: `>=` is not `>` and a version that begins with `=`.
    const ALL: [(&'static str, Self); 7] = [
        ("!=", Self::NotEqual),
        (">=", Self::GreaterOrEqual),
        ("<=", Self::LessOrEqual),
        ("~>", Self::Pessimistic),
        ("=", Self::Equal),
        (">", Self::Greater),
        ("<", Self::Less),
    ];

    /// Splits the operator from the rest; none means equality.
    fn split(text: &str) -> (Self, &str) {
        let found = Self::ALL.iter().find_map(|(spelling, operator)| {
            let rest = text.strip_prefix(spelling)?;
            Some((*operator, rest))
        });
        found.unwrap_or((Self::Equal, text))
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::GreaterOrEqual => ">=",
            Self::LessOrEqual => "<=",
            Self::Pessimistic => "~>",
        }
    }
}

impl Constraints {
    /// Parses constraints that are separated by commas.
    ///
    /// # Errors
    /// [`InvalidValue`] for an empty text or part, an unknown operator, or what is no version of
    /// one to three numbers.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let refuse = || {
            InvalidValue::new(
                "version constraint",
                text,
                "such as `>= 1.2, < 2.0` with `=`, `!=`, `>`, `<`, `>=`, `<=` or `~>`",
            )
        };
        if text.chars().count() > MAX_CHARS {
            return Err(refuse());
        }
        let parts = text.split(',').map(Constraint::parse);
        let parts: Option<Vec<Constraint>> = parts.collect();
        parts.map(Self).ok_or_else(refuse)
    }

    /// Whether `version` meets every one of them.
    #[must_use]
    pub fn matches(&self, version: &Version) -> bool {
        self.0.iter().all(|constraint| constraint.matches(version))
    }
}

impl Constraint {
    fn parse(text: &str) -> Option<Self> {
        let (operator, rest) = Operator::split(text.trim());
        let rest = rest.trim_start();
        let rest = rest.strip_prefix('v').unwrap_or(rest);
        let rest = rest.split_once('+').map_or(rest, |(before, _)| before);
        let (numbers, pre) = match rest.split_once('-') {
            Some((numbers, pre)) => (numbers, Some(pre)),
            None => (rest, None),
        };
        let segments: Option<Vec<u64>> = numbers
            .split('.')
            .map(|number| {
                let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
                is_number.then(|| number.parse().ok()).flatten()
            })
            .collect();
        let segments = segments.filter(|segments| segments.len() <= 3)?;
        let at = |index: usize| segments.get(index).copied().unwrap_or(0);
        let pre = pre.map(|pre| format!("-{pre}")).unwrap_or_default();
        let bound = format!("{}.{}.{}{pre}", at(0), at(1), at(2));
        Some(Self {
            operator,
            bound: Version::parse(&bound).ok()?,
            num_segments: segments.len(),
        })
    }

    fn matches(&self, version: &Version) -> bool {
        let bound = &self.bound;
        let order = version.cmp_precedence(bound);
        let (has_pre, wants_pre) = (version.is_prerelease(), bound.is_prerelease());
        let is_comparable = match (has_pre, wants_pre) {
            (true, true) => version.triple() == bound.triple(),
            (true, false) => false,
            (false, _) => true,
        };
        match self.operator {
            Operator::Equal => order == Ordering::Equal,
            Operator::NotEqual => order != Ordering::Equal,
            Operator::Greater => is_comparable && order == Ordering::Greater,
            Operator::Less => is_comparable && order == Ordering::Less,
            Operator::GreaterOrEqual => is_comparable && order != Ordering::Less,
            Operator::LessOrEqual => is_comparable && order != Ordering::Greater,
            Operator::Pessimistic => {
                is_comparable
                    && has_pre == wants_pre
                    && order != Ordering::Less
                    && self.has_same_start(version)
            }
        }
    }

    /// Whether all numbers but the last one written are the same.
    fn has_same_start(&self, version: &Version) -> bool {
        let ((major, minor, _), (bound_major, bound_minor, _)) =
            (version.triple(), self.bound.triple());
        match self.num_segments {
            0 | 1 => true,
            2 => major == bound_major,
            _ => (major, minor) == (bound_major, bound_minor),
        }
    }
}

impl fmt::Display for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, constraint) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            let (major, minor, patch) = constraint.bound.triple();
            write!(f, "{} ", constraint.operator.as_str())?;
            match constraint.num_segments {
                0 | 1 => write!(f, "{major}")?,
                2 => write!(f, "{major}.{minor}")?,
                _ => write!(f, "{major}.{minor}.{patch}")?,
            }
            if constraint.bound.is_prerelease() {
                write!(f, "-{}", constraint.bound.prerelease())?;
            }
        }
        Ok(())
    }
}

impl FromStr for Constraints {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Constraints {
    type Error = InvalidValue;
    fn try_from(text: String) -> Result<Self, InvalidValue> {
        Self::parse(&text)
    }
}

impl From<Constraints> for String {
    fn from(constraints: Constraints) -> Self {
        constraints.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(constraints: &str, version: &str) -> bool {
        let constraints = Constraints::parse(constraints).unwrap();
        constraints.matches(&Version::parse(version).unwrap())
    }

    #[test]
    fn operators() {
        for (constraints, yes, no) in [
            (
                "1.2.3",
                &["1.2.3", "1.2.3+build"][..],
                &["1.2.4", "1.2.3-rc"][..],
            ),
            ("= v1.2", &["1.2.0"], &["1.2.1"]),
            (
                "!= 1.2.3",
                &["1.2.4", "1.2.3-rc"],
                &["1.2.3", "1.2.3+build"],
            ),
            (
                "> 1.2.3",
                &["1.2.4", "2.0.0"],
                &["1.2.3", "1.2.2", "1.3.0-rc"],
            ),
            ("< 1.2.3", &["1.2.2", "0.0.1"], &["1.2.3", "1.2.3-rc"]),
            (
                ">= 1.2",
                &["1.2.0", "1.10.0"],
                &["1.1.9", "1.2.0-rc", "2.0.0-rc"],
            ),
            ("<=1.2", &["1.2.0", "1.1.9"], &["1.2.1"]),
            (
                "~> 1.2.3",
                &["1.2.3", "1.2.10"],
                &["1.2.2", "1.3.0", "2.2.3", "1.2.4-rc"],
            ),
            ("~> 1.2.0", &["1.2.0", "1.2.99"], &["1.3.0", "1.1.0"]),
            ("~> 1.2", &["1.2.0", "1.3.0", "1.99.9"], &["1.1.9", "2.0.0"]),
            ("~> 1", &["1.0.0", "1.9.9", "2.0.0"], &["0.9.9"]),
            (
                ">= 1.2, < 2.0, != 1.5.1",
                &["1.2.0", "1.5.0", "1.9.9"],
                &["1.5.1", "2.0.0", "1.1.0"],
            ),
            (" >=1.0 ,\t<3 ", &["1.0.0", "2.9.9"], &["3.0.0"]),
            // Nothing can meet both.
            ("> 2, < 1", &[], &["0.5.0", "1.5.0", "3.0.0"]),
        ] {
            for version in yes {
                assert!(
                    matches(constraints, version),
                    "{constraints} takes {version}"
                );
            }
            for version in no {
                assert!(
                    !matches(constraints, version),
                    "{constraints} refuses {version}"
                );
            }
        }
    }

    #[test]
    fn pre_releases_are_taken_only_where_one_of_the_same_numbers_is_named() {
        for (constraints, yes, no) in [
            (
                ">= 1.2.0-beta",
                &["1.2.0-beta", "1.2.0-rc.1", "1.2.0", "3.0.0"][..],
                &["1.2.0-alpha", "1.3.0-beta", "1.1.0"][..],
            ),
            (
                "< 1.2.0-beta",
                &["1.2.0-alpha", "1.1.0"],
                &["1.2.0-rc", "1.1.0-alpha", "1.2.0"],
            ),
            (
                "~> 1.2.0-beta",
                &["1.2.0-beta.2", "1.2.0-rc"],
                &["1.2.0", "1.2.1", "1.2.0-alpha"],
            ),
            ("= 1.2.0-rc.1", &["1.2.0-rc.1"], &["1.2.0", "1.2.0-rc.2"]),
        ] {
            for version in yes {
                assert!(
                    matches(constraints, version),
                    "{constraints} takes {version}"
                );
            }
            for version in no {
                assert!(
                    !matches(constraints, version),
                    "{constraints} refuses {version}"
                );
            }
        }
    }

    #[test]
    fn garbage_is_refused() {
        for text in [
            "",
            " ",
            ",",
            "1.0,",
            ",1.0",
            "1.0,,2.0",
            ">",
            "~>",
            ">> 1",
            "=> 1",
            "=< 1",
            "== 1",
            "^1.2",
            "~1.2",
            "1.x",
            "*",
            "latest",
            "1.2.3.4",
            "1..2",
            ".1",
            "1.",
            "-1",
            "+1",
            "1.2 || 1.3",
            "1.2 1.3",
            "1.2.0-",
            "1.2.0-a..b",
            "vv1",
            "99999999999999999999999",
            "１.2",
            "1.2\n",
            ">= 1.0 <2.0",
        ] {
            // Blanks around are the one thing that is forgiven.
            assert_eq!(
                Constraints::parse(text).is_ok(),
                text == "1.2\n",
                "{text:?}"
            );
        }
        assert!(Constraints::parse(&vec!["1.0"; 100].join(",")).is_err());
        let error = Constraints::parse("latest").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("`latest` is not a valid version constraint"),
            "{error}"
        );
    }

    #[test]
    fn they_print_as_they_are_read() {
        for (text, printed) in [
            (">=1.2,<2", ">= 1.2, < 2"),
            ("v1.2.3", "= 1.2.3"),
            ("~> 1.2.0-rc.1+build", "~> 1.2.0-rc.1"),
        ] {
            let constraints = Constraints::parse(text).unwrap();
            assert_eq!(constraints.to_string(), printed);
            assert_eq!(Constraints::parse(printed).unwrap(), constraints);
        }
    }
}
