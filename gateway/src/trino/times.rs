//! Dates, times and intervals as Trino's clients read them.

use crate::text::civil;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// A date, from the days after 1970-01-01. The year has a sign if it has more than four digits, or is before the year 0.
pub(super) fn date(days: i64) -> String {
    let (year, month, day) = civil(days);
    let sign = match year {
        0..=9_999 => "",
        10_000.. => "+",
        _ => "-",
    };
    format!("{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs())
}

/// A fraction of a second, from its ticks. Of more digits than are shown, the last ones are cut.
fn fraction(ticks: i64, digits: u8, shown: u8) -> String {
    if shown == 0 {
        return String::new();
    }
    let all = if digits == 0 {
        String::new()
    } else {
        format!("{ticks:0>width$}", width = usize::from(digits))
    };
    let shown = usize::from(shown);
    let cut: String = all.chars().take(shown).collect();
    format!(".{cut:0<shown$}")
}

/// A time of a day, from its ticks, of which a second has ten to the power of `digits`.
pub(super) fn time(ticks: i64, digits: u8, shown: u8) -> String {
    let of_second = 10_i64.pow(digits.into());
    let seconds = ticks.div_euclid(of_second);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let fraction = fraction(ticks.rem_euclid(of_second), digits, shown);
    format!("{hours:02}:{minutes:02}:{:02}{fraction}", seconds % 60)
}

/// A time stamp, from its ticks after 1970.
pub(super) fn timestamp(ticks: i64, digits: u8, shown: u8) -> String {
    let of_day = DAY * 10_i64.pow(digits.into());
    let (day, rest) = (ticks.div_euclid(of_day), ticks.rem_euclid(of_day));
    format!("{} {}", date(day), time(rest, digits, shown))
}

/// An interval of months: `2-3`.
pub(super) fn year_to_month(months: i32) -> String {
    let sign = if months < 0 { "-" } else { "" };
    let months = months.unsigned_abs();
    format!("{sign}{}-{}", months / 12, months % 12)
}

/// An interval of milliseconds: `1 02:03:04.005`.
pub(super) fn day_to_second(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    let (seconds, rest) = (millis / 1_000, millis % 1_000);
    let (hours, minutes) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{sign}{} {hours:02}:{minutes:02}:{:02}.{rest:03}", seconds / 86_400, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_digits_of_their_type() {
        assert_eq!(timestamp(0, 0, 0), "1970-01-01 00:00:00");
        assert_eq!(timestamp(-1, 6, 6), "1969-12-31 23:59:59.999999");
        assert_eq!(timestamp(1_709_208_000_123_456_789, 9, 9), "2024-02-29 12:00:00.123456789");
        assert_eq!(timestamp(1_709_208_000_123_456_789, 9, 3), "2024-02-29 12:00:00.123");
        assert_eq!(timestamp(1_709_208_000, 0, 3), "2024-02-29 12:00:00.000");
        assert_eq!(timestamp(1_709_208_000_050, 3, 3), "2024-02-29 12:00:00.050");
        assert_eq!(time(86_399_999_999, 6, 6), "23:59:59.999999");
        assert_eq!(time(5, 0, 0), "00:00:05");
        assert_eq!(timestamp(i64::MAX, 9, 9), "2262-04-11 23:47:16.854775807");
        assert_eq!(timestamp(i64::MIN, 0, 0).chars().next(), Some('-'));
    }

    #[test]
    fn years_have_four_digits_or_a_sign() {
        assert_eq!(date(19_782), "2024-02-29");
        assert_eq!(date(-719_528), "0000-01-01");
        assert_eq!(date(-719_529), "-0001-12-31");
        assert_eq!(date(2_932_897), "+10000-01-01");
        assert_eq!(date(-400_000), "0874-11-02");
    }

    #[test]
    fn intervals_have_one_sign() {
        assert_eq!(year_to_month(27), "2-3");
        assert_eq!(year_to_month(-1), "-0-1");
        assert_eq!(year_to_month(i32::MIN), "-178956970-8");
        assert_eq!(day_to_second(93_784_005), "1 02:03:04.005");
        assert_eq!(day_to_second(-500), "-0 00:00:00.500");
        assert_eq!(day_to_second(0), "0 00:00:00.000");
    }
}
