//! A figure, what it should be, and how a group of them is shown.

use super::machine::Machine;
use serde::Serialize;
use std::fmt::Write as _;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Goal {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// 1 stands for yes, and it should be.
    Holds,
    /// Nothing: it is there to explain the others.
    None,
}

/// One line of a table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    /// What was measured.
    case: String,
    value: f64,
    /// Of the value and of the goal; empty for a ratio.
    unit: &'static str,
    goal: Goal,
    /// `None` when there is no goal.
    met: Option<bool>,
    /// What the value comes from.
    detail: String,
}

impl Figure {
    pub(super) fn new(case: impl Into<String>, value: f64, unit: &'static str, goal: Goal) -> Self {
        // A value that could not be computed meets nothing.
        let met = match goal {
            Goal::AtLeast(least) => Some(value >= least),
            Goal::AtMost(most) => Some(value <= most),
            Goal::Holds => Some(value == 1.0),
            Goal::None => None,
        };
        Self {
            case: case.into(),
            value,
            unit,
            goal,
            met,
            detail: String::new(),
        }
    }

    /// A statement that should be true.
    pub(super) fn holds(case: impl Into<String>, is_true: bool) -> Self {
        Self::new(case, f64::from(u8::from(is_true)), "", Goal::Holds)
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    fn measured(&self) -> String {
        match (self.goal, self.unit) {
            (Goal::Holds, _) if self.value == 1.0 => "yes".to_owned(),
            (Goal::Holds, _) => "no".to_owned(),
            (_, unit) => number(self.value, unit),
        }
    }

    fn wanted(&self) -> String {
        match self.goal {
            Goal::AtLeast(least) => format!("≥ {}", number(least, self.unit)),
            Goal::AtMost(most) => format!("≤ {}", number(most, self.unit)),
            Goal::Holds => "yes".to_owned(),
            Goal::None => "–".to_owned(),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "",
        }
    }
}

/// A number with as many places as three digits need, and its unit.
fn number(value: f64, unit: &str) -> String {
    let places = match value.abs() {
        large if large >= 100.0 => 0,
        medium if medium >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    let text = match text.contains('.') {
        true if unit.is_empty() => &text,
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    match unit {
        "" => text.to_owned(),
        unit => format!("{text} {unit}"),
    }
}

/// The figures of one area.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    pub(super) area: String,
    /// What to run to have them again.
    pub(super) command: String,
    /// What they were measured on, as it was before the start.
    pub(super) machine: Machine,
    pub(super) figures: Vec<Figure>,
}

impl Outcome {
    /// The table, as Markdown.
    pub(super) fn table(&self) -> String {
        let mut text = format!("### {}\n\n`{}`", self.area, self.command);
        if let Some(note) = self.machine.noise() {
            text.push_str("  \n");
            text.push_str(&note);
        }
        text.push_str("\n\n| figure | measured | goal | | |\n|---|---|---|---|---|\n");
        for figure in &self.figures {
            // Writing to a String cannot fail.
            let _written = writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                figure.case,
                figure.measured(),
                figure.wanted(),
                figure.verdict(),
                figure.detail,
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(figure: Figure) -> String {
        let outcome = Outcome {
            area: "area".to_owned(),
            command: "command".to_owned(),
            machine: Machine::default(),
            figures: vec![figure],
        };
        outcome.table().lines().last().unwrap().to_owned()
    }

    #[test]
    fn a_line_says_whether_the_goal_is_met() {
        for (figure, expected) in [
            (
                Figure::new("ratio", 0.8, "", Goal::AtLeast(0.8)).detail("a / b"),
                "| ratio | 0.80 | ≥ 0.80 | met | a / b |",
            ),
            (
                Figure::new("ratio", 0.79, "", Goal::AtLeast(0.8)),
                "| ratio | 0.79 | ≥ 0.80 | missed |  |",
            ),
            (
                Figure::new("start", 3.001, "s", Goal::AtMost(3.0)),
                "| start | 3 s | ≤ 3 s | missed |  |",
            ),
            (
                Figure::new("memory", 150.0, "MiB", Goal::AtMost(150.0)),
                "| memory | 150 MiB | ≤ 150 MiB | met |  |",
            ),
            (
                Figure::new("nothing", f64::NAN, "MiB", Goal::AtMost(150.0)),
                "| nothing | NaN MiB | ≤ 150 MiB | missed |  |",
            ),
            (
                Figure::holds("lives", true),
                "| lives | yes | yes | met |  |",
            ),
            (
                Figure::holds("lives", false),
                "| lives | no | yes | missed |  |",
            ),
            (
                Figure::new("time", 12.34, "s", Goal::None),
                "| time | 12.3 s | – |  |  |",
            ),
        ] {
            assert_eq!(line(figure), expected);
        }
    }
}
