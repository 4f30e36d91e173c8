//! Decimal and floating point numbers as Postgres writes them.

use bytes::{BufMut, BytesMut};

/// Digits of one group of the binary form of a numeric.
const GROUP: usize = 4;

/// The digits of a decimal, from its unscaled value as text: sign, digits before the point, digits behind it.
fn split(unscaled: &str, scale: i8) -> (bool, String, String) {
    let (negative, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, unscaled),
    };
    let Ok(behind) = usize::try_from(scale) else {
        let zeros = usize::from(scale.unsigned_abs());
        let whole =
            if digits == "0" { "0".to_owned() } else { digits.to_owned() + &"0".repeat(zeros) };
        return (negative, whole, String::new());
    };
    let padded = format!("{digits:0>width$}", width = behind + 1);
    let (whole, fraction) = padded.split_at(padded.len() - behind);
    (negative, whole.to_owned(), fraction.to_owned())
}

/// A decimal as text.
pub(super) fn decimal_text(unscaled: &str, scale: i8, out: &mut BytesMut) {
    let (negative, whole, fraction) = split(unscaled, scale);
    if negative {
        out.put_u8(b'-');
    }
    out.put_slice(whole.as_bytes());
    if !fraction.is_empty() {
        out.put_u8(b'.');
        out.put_slice(fraction.as_bytes());
    }
}

/// A decimal in the binary form of numeric: groups of four digits.
pub(super) fn decimal_binary(unscaled: &str, scale: i8, out: &mut BytesMut) {
    let (negative, whole, fraction) = split(unscaled, scale);
    let lead = (GROUP - whole.len() % GROUP) % GROUP;
    let trail = (GROUP - fraction.len() % GROUP) % GROUP;
    let text = format!("{}{whole}{fraction}{}", "0".repeat(lead), "0".repeat(trail));
    let groups: Vec<i16> = text
        .as_bytes()
        .chunks(GROUP)
        .map(|group| group.iter().fold(0, |sum, digit| sum * 10 + i16::from(digit - b'0')))
        .collect();
    let before = (lead + whole.len()) / GROUP;
    let skipped = groups.iter().take_while(|group| **group == 0).count();
    let kept = &groups[skipped..];
    let kept = &kept[..kept.len() - kept.iter().rev().take_while(|group| **group == 0).count()];
    // A value has at most 76 digits, so all of these are small.
    let small = |number: usize| i16::try_from(number).unwrap_or(i16::MAX);
    out.put_i16(small(kept.len()));
    out.put_i16(if kept.is_empty() { 0 } else { small(before) - 1 - small(skipped) });
    out.put_u16(if negative && !kept.is_empty() { 0x4000 } else { 0 });
    out.put_i16(small(fraction.len()));
    for group in kept {
        out.put_i16(*group);
    }
}

/// A floating point number as Postgres writes it: the shortest digits that give the same number, without an exponent from
/// 0.0001 up to `whole` digits. `scientific`: the number as `{:e}` writes it.
pub(super) fn float_text(scientific: &str, whole: i32, out: &mut BytesMut) {
    let (digits, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    out.put_slice(sign.as_bytes());
    if !(-4..whole).contains(&exponent) {
        out.put_slice(digits.as_bytes());
        let mark = if exponent < 0 { '-' } else { '+' };
        out.put_slice(format!("e{mark}{:02}", exponent.abs()).as_bytes());
        return;
    }
    let digits: String = digits.chars().filter(|letter| *letter != '.').collect();
    let text = match usize::try_from(exponent) {
        Err(_) => {
            let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
            format!("0.{}{digits}", "0".repeat(zeros))
        }
        Ok(place) if digits.len() <= place + 1 => format!("{digits:0<width$}", width = place + 1),
        Ok(place) => format!("{}.{}", &digits[..=place], &digits[place + 1..]),
    };
    out.put_slice(text.as_bytes());
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
    fn decimals_have_all_their_digits() {
        for (unscaled, scale, expected) in [
            ("0", 2, "0.00"),
            ("-5", 3, "-0.005"),
            ("12345", 2, "123.45"),
            ("12345", 0, "12345"),
            ("12", -3, "12000"),
            ("0", -3, "0"),
            (
                "-99999999999999999999999999999999999999",
                10,
                "-9999999999999999999999999999.9999999999",
            ),
        ] {
            assert_eq!(text(|out| decimal_text(unscaled, scale, out)), expected);
        }
    }

    #[test]
    fn the_binary_form_has_groups_of_four_digits() {
        let groups = |unscaled: &str, scale| {
            let mut out = BytesMut::new();
            decimal_binary(unscaled, scale, &mut out);
            out.chunks(2).map(|two| i16::from_be_bytes([two[0], two[1]])).collect::<Vec<_>>()
        };
        // Number of groups, place of the first, sign, digits behind the point, groups.
        assert_eq!(groups("0", 2), [0, 0, 0, 2]);
        assert_eq!(groups("12345", 2), [2, 0, 0, 2, 123, 4500]);
        assert_eq!(groups("-1", 4), [1, -1, 0x4000, 4, 1]);
        assert_eq!(groups("100000000", 0), [1, 2, 0, 0, 1]);
        assert_eq!(groups("1", 8), [1, -2, 0, 8, 1]);
    }

    #[test]
    fn floats_change_to_an_exponent_where_postgres_does() {
        for (value, expected) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (-0.0, "-0"),
            (100_000_000_000_000.0, "100000000000000"),
            (1e15, "1e+15"),
            (123_456.789, "123456.789"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.234_567_890_123_456_8e17, "1.2345678901234568e+17"),
            (1e100, "1e+100"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(text(|out| float_text(&format!("{value:e}"), 15, out)), expected);
        }
        assert_eq!(text(|out| float_text(&format!("{:e}", 1e6f32), 6, out)), "1e+06");
        assert_eq!(text(|out| float_text(&format!("{:e}", 100_000f32), 6, out)), "100000");
    }
}
