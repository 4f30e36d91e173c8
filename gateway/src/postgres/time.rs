//! Dates, times and intervals as Postgres writes them in its ISO style.

use bytes::{BufMut, BytesMut};
use datafusion::arrow::datatypes::IntervalMonthDayNano;

use crate::text::civil;

/// Microseconds of a day.
pub(super) const DAY: i64 = 86_400_000_000;
const SECOND: i64 = 1_000_000;
/// Days from 1970-01-01 to 2000-01-01, where Postgres counts from.
pub(super) const EPOCH_DAYS: i64 = 10_957;

/// A date without the mark of the years before Christ, and whether it needs one.
fn date_part(days: i64, out: &mut BytesMut) -> bool {
    let (year, month, day) = civil(days);
    let before = year <= 0;
    let year = if before { 1 - year } else { year };
    out.put_slice(format!("{year:04}-{month:02}-{day:02}").as_bytes());
    before
}

/// A date.
pub(super) fn date(days: i64, out: &mut BytesMut) {
    if date_part(days, out) {
        out.put_slice(b" BC");
    }
}

/// A time of a day, from its microseconds.
pub(super) fn time(micros: i64, out: &mut BytesMut) {
    let seconds = micros / SECOND;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    out.put_slice(format!("{hours:02}:{minutes:02}:{:02}", seconds % 60).as_bytes());
    fraction(micros % SECOND, out);
}

/// The digits behind the point, without zeros at the end.
fn fraction(micros: i64, out: &mut BytesMut) {
    if micros != 0 {
        let digits = format!(".{micros:06}");
        out.put_slice(digits.trim_end_matches('0').as_bytes());
    }
}

/// A time stamp, from microseconds after 1970. `zone`: what is written behind the time.
pub(super) fn timestamp(micros: i64, zone: &str, out: &mut BytesMut) {
    let before = date_part(micros.div_euclid(DAY), out);
    out.put_u8(b' ');
    time(micros.rem_euclid(DAY), out);
    out.put_slice(zone.as_bytes());
    if before {
        out.put_slice(b" BC");
    }
}

/// An interval: `1 year 2 mons 3 days 04:05:06.7`.
pub(super) fn interval(value: IntervalMonthDayNano, out: &mut BytesMut) {
    let micros = value.nanoseconds.div_euclid(1_000);
    let parts = [(value.months / 12, "year"), (value.months % 12, "mon"), (value.days, "day")];
    let (mut is_first, mut after_minus) = (true, false);
    for (number, unit) in parts {
        if number == 0 {
            continue;
        }
        let space = if is_first { "" } else { " " };
        let plus = if after_minus && number > 0 { "+" } else { "" };
        let plural = if number == 1 { "" } else { "s" };
        out.put_slice(format!("{space}{plus}{number} {unit}{plural}").as_bytes());
        (is_first, after_minus) = (false, number < 0);
    }
    if !is_first && micros == 0 {
        return;
    }
    let space = if is_first { "" } else { " " };
    let sign = match (micros < 0, after_minus) {
        (true, _) => "-",
        (false, true) => "+",
        (false, false) => "",
    };
    out.put_slice(format!("{space}{sign}").as_bytes());
    let micros = micros.unsigned_abs();
    let seconds = micros / SECOND.unsigned_abs();
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    out.put_slice(format!("{hours:02}:{minutes:02}:{:02}", seconds % 60).as_bytes());
    fraction(i64::try_from(micros % SECOND.unsigned_abs()).unwrap_or(0), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn dates_follow_the_gregorian_calendar_in_both_directions() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (EPOCH_DAYS, "2000-01-01"),
            (19_782, "2024-02-29"),
            (2_932_897, "10000-01-01"),
            (-719_162, "0001-01-01"),
            (-719_163, "0001-12-31 BC"),
            (-719_528, "0001-01-01 BC"),
        ] {
            assert_eq!(text(|out| date(days, out)), expected);
        }
    }

    #[test]
    fn a_time_before_1970_counts_forward_within_its_day() {
        assert_eq!(text(|out| timestamp(-1, "", out)), "1969-12-31 23:59:59.999999");
        assert_eq!(text(|out| timestamp(1_500_000, "+00", out)), "1970-01-01 00:00:01.5+00");
        assert_eq!(text(|out| timestamp(-719_163 * DAY, "", out)), "0001-12-31 00:00:00 BC");
    }

    #[test]
    fn an_interval_is_written_as_postgres_writes_it() {
        let of = |months, days, nanos| {
            text(|out| interval(IntervalMonthDayNano::new(months, days, nanos), out))
        };
        assert_eq!(of(0, 0, 0), "00:00:00");
        assert_eq!(of(14, 3, 14_706_700_000_000), "1 year 2 mons 3 days 04:05:06.7");
        assert_eq!(of(1, 1, 0), "1 mon 1 day");
        assert_eq!(of(-12, 3, 0), "-1 years +3 days");
        assert_eq!(of(-1, 0, 1_000_000_000), "-1 mons +00:00:01");
        assert_eq!(of(0, 0, -1_500_000_000), "-00:00:01.5");
        assert_eq!(of(0, -1, 0), "-1 days");
    }
}
