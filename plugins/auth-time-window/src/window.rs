//! Times of a rule: weekly windows and ranges of dates, on a wall clock.

use opendepot_plugin_sdk::date::Date;
use opendepot_plugin_sdk::settings::{Object, hint, shown};
use serde::{Deserialize, Serialize};

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Long names, then short ones, Monday first.
const DAYS: [&str; 14] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "mon",
    "tue",
    "wed",
    "thu",
    "fri",
    "sat",
    "sun",
];

const EVERY_DAY: u8 = 0b111_1111;

/// A window that comes every week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Weekly {
    /// On which days it starts: bit 0 is Monday.
    days: u8,
    /// Minutes from midnight: it starts with `from`, and ends before `to`. `to` earlier than `from`
    /// is one of the next day.
    from: u16,
    to: u16,
}

impl Weekly {
    /// Reads one entry of `weekly`; problems go to it.
    pub(crate) fn read(entry: &Object<'_>) -> Option<Self> {
        entry.deny_unknown(&["days", "from", "to"]);
        let days = days(entry);
        let (from, to) = (time(entry, "from", 0), time(entry, "to", DAY));
        let (from, to) = (from?, to?);
        if from == DAY {
            entry.problem("from", "a window cannot start at `24:00`: write `00:00`");
        } else if from == to {
            entry.problem("to", "is the time at which the window starts");
        }
        Some(Self {
            days: days?,
            from,
            to,
        })
    }

    /// Whether the window is open in this minute of this day.
    pub(crate) fn contains(self, date: Date, minute: u16) -> bool {
        let starts_on = |weekday: u8| self.days & (1 << weekday) != 0;
        let today = date.weekday();
        if self.from < self.to {
            starts_on(today) && self.from <= minute && minute < self.to
        } else {
            let yesterday = (today + 6) % 7;
            (starts_on(today) && self.from <= minute) || (starts_on(yesterday) && minute < self.to)
        }
    }
}

/// The days of an entry, as bits; every day when there are none.
fn days(entry: &Object<'_>) -> Option<u8> {
    if !entry.has("days") {
        return Some(EVERY_DAY);
    }
    if entry.is_empty_list("days") {
        entry.problem("days", "is empty: the window never opens");
    }
    let mut days = 0;
    for (path, name) in entry.few_texts("days", DAYS.len())? {
        match DAYS.iter().position(|day| *day == name) {
            Some(place) => days |= 1 << (place % 7),
            None => entry.problem_at(
                path,
                format!("unknown day `{}`{}", shown(name), hint(name, &DAYS)),
            ),
        }
    }
    Some(days)
}

/// `HH:MM` in minutes, `24:00` included; nothing only where there is a problem.
fn time(entry: &Object<'_>, key: &str, default: u16) -> Option<u16> {
    if !entry.has(key) {
        return Some(default);
    }
    let text = entry.text(key)?;
    let minutes = minutes(text);
    if minutes.is_none() {
        let message = format!("`{}` is no time: write `00:00` to `24:00`", shown(text));
        entry.problem(key, message);
    }
    minutes
}

fn minutes(text: &str) -> Option<u16> {
    let [h1, h2, b':', m1, m2] = text.as_bytes() else {
        return None;
    };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(*byte - b'0'));
    let (hour, minute) = (digit(h1)? * 10 + digit(h2)?, digit(m1)? * 10 + digit(m2)?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= DAY).then_some(minutes)
}

/// Whole days, first and last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dates {
    first: i32,
    last: i32,
}

impl Dates {
    /// Reads one entry of `dates`; problems go to it.
    pub(crate) fn read(entry: &Object<'_>) -> Option<Self> {
        entry.deny_unknown(&["from", "to"]);
        let date = |key| {
            let text = entry.required_text(key)?;
            Date::parse(text)
                .map_err(|reason| entry.problem(key, format!("`{}`: {reason}", shown(text))))
                .ok()
        };
        let (first, last) = (date("from"), date("to"));
        let (first, last) = (first?, last?);
        if last < first {
            entry.problem("to", format!("`{last}` is before `{first}`"));
        }
        Some(Self {
            first: first.days(),
            last: last.days(),
        })
    }

    /// Whether the day is one of them.
    pub(crate) fn contains(self, date: Date) -> bool {
        (self.first..=self.last).contains(&date.days())
    }
}

/// `fri 12:04`.
pub(crate) fn clock(date: Date, minute: u16) -> String {
    let day = DAYS.get(7 + usize::from(date.weekday())).unwrap_or(&"");
    format!("{day} {:02}:{:02}", minute / 60, minute % 60)
}
