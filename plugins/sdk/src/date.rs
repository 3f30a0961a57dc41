//! Calendar dates of the proleptic Gregorian calendar, without time zone or clock.

use std::fmt;

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// A day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(i32);

impl Date {
    /// Parses `2026-12-31`, years 1970 to 9999.
    ///
    /// # Errors
    /// The reason, to be put behind the text in a problem.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "a date is written `2026-12-31`";
        let bytes: &[u8; 10] = text.as_bytes().try_into().map_err(|_| SHAPE)?;
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = bytes else {
            return Err(SHAPE);
        };
        let number = |digits: &[u8]| {
            digits.iter().try_fold(0_i32, |number, digit| {
                let digit = digit.is_ascii_digit().then(|| i32::from(digit - b'0'));
                digit.map(|digit| number * 10 + digit).ok_or(SHAPE)
            })
        };
        let year = number(&[*y1, *y2, *y3, *y4])?;
        let (month, day) = (number(&[*m1, *m2])?, number(&[*d1, *d2])?);
        if year < 1970 {
            return Err("the year is before 1970");
        }
        let date = Self::from_civil(year, month, day);
        // A day that the month does not have comes back as one of the next month.
        if (1..=12).contains(&month) && day >= 1 && date.civil() == (year, month, day) {
            Ok(date)
        } else {
            Err("there is no such day")
        }
    }

    /// The day number `days` after 1970-01-01, from 1969-12-31 to 9999-12-31.
    #[must_use]
    pub fn from_days(days: i64) -> Option<Self> {
        const LAST: i64 = 2_932_896;
        if (-1..=LAST).contains(&days) {
            i32::try_from(days).ok().map(Self)
        } else {
            None
        }
    }

    /// The day of Unix time `seconds`, in UTC.
    #[must_use]
    pub fn from_unix(seconds: u64) -> Option<Self> {
        Self::from_days(i64::try_from(seconds).ok()?.div_euclid(DAY))
    }

    /// Days after 1970-01-01.
    #[must_use]
    pub const fn days(self) -> i32 {
        self.0
    }

    /// The day of the week: 0 is Monday.
    #[must_use]
    pub fn weekday(self) -> u8 {
        // 1970-01-01 was a Thursday.
        u8::try_from((self.0 + 3).rem_euclid(7)).unwrap_or(0)
    }

    // Both directions count years from March, so that the leap day is a year's last
    // (Howard Hinnant's algorithms).
    const fn from_civil(year: i32, month: i32, day: i32) -> Self {
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self(era * 146_097 + day_of_era - 719_468)
    }

    const fn civil(self) -> (i32, i32, i32) {
        let days = self.0 + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = year_of_era + era * 400;
        (if month <= 2 { year + 1 } else { year }, month, day)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (text, days, weekday) in [
            ("1970-01-01", 0, 3),
            ("2000-02-29", 11_016, 1),
            ("2024-02-29", 19_782, 3),
            ("2026-12-31", 20_818, 3),
            ("9999-12-31", 2_932_896, 4),
        ] {
            let date = Date::parse(text).unwrap();
            assert_eq!((date.days(), date.weekday()), (days, weekday), "{text}");
            assert_eq!(date.to_string(), text);
        }
        assert_eq!(Date::from_unix(86_399), Date::parse("1970-01-01").ok());
        assert_eq!(Date::from_unix(u64::MAX), None);
        assert_eq!(Date::from_unix(253_402_300_800), None);
    }

    #[test]
    fn every_day_comes_back() {
        let mut last = (1969, 12, 31);
        for days in 0..=2_932_896 {
            let date = Date::from_days(days).unwrap();
            let (year, month, day) = date.civil();
            assert_eq!(Date::from_civil(year, month, day), date);
            assert!((year, month, day) > last, "{date}");
            last = (year, month, day);
        }
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "",
            "2026-1-1",
            "2026-13-01",
            "2026-00-10",
            "2026-02-30",
            "2025-02-29",
            "2100-02-29",
            "2026-04-31",
            "2026-01-00",
            "1969-12-31",
            "2026/01/01",
            "20260101",
            "2026-01-01T00:00:00Z",
            "+026-01-01",
            "２０２６-01-01",
            "not a date",
        ] {
            assert!(Date::parse(text).is_err(), "{text}");
        }
    }
}
