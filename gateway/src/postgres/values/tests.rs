#![allow(clippy::unwrap_used)]
use bytes::BytesMut;

use super::super::number::decimal_binary;
use super::*;

fn text(kind: &Kind, text: &str) -> Result<ScalarValue, Failure> {
    read(1, kind, false, Some(&Bytes::copy_from_slice(text.as_bytes())))
}

#[test]
fn a_decimal_keeps_exactly_its_digits() {
    let of = |it: &str| text(&Kind::Numeric, it).unwrap();
    assert_eq!(of("0.055"), ScalarValue::Decimal128(Some(55), 3, 3));
    assert_eq!(of("-12.50"), ScalarValue::Decimal128(Some(-1250), 4, 2));
    assert_eq!(of("1e3"), ScalarValue::Decimal128(Some(1000), 4, 0));
    assert_eq!(of("15e-1"), ScalarValue::Decimal128(Some(15), 2, 1));
    assert_eq!(of("0"), ScalarValue::Decimal128(Some(0), 1, 0));
    assert!(matches!(of(&"9".repeat(76)), ScalarValue::Decimal256(Some(_), 76, 0)));
    for it in ["", ".", "x", "1.2.3", "NaN", "Infinity", "1e99999", &"9".repeat(77), "--1"] {
        assert!(text(&Kind::Numeric, it).is_err(), "{it}");
    }
}

#[test]
fn the_binary_form_of_a_decimal_is_read_as_it_is_written() {
    for (unscaled, scale) in
        [("0", 0), ("12345", 2), ("-1", 4), ("100000000", 0), ("1", 8), ("-99990001", 3)]
    {
        let mut out = BytesMut::new();
        decimal_binary(unscaled, scale, &mut out);
        let read = read(1, &Kind::Numeric, true, Some(&out.freeze())).unwrap();
        let ScalarValue::Decimal128(Some(value), _, found) = read else { panic!("{read}") };
        assert_eq!((value.to_string().as_str(), found), (unscaled, scale));
    }
}

#[test]
fn a_zone_changes_no_time_that_has_none() {
    let of = |kind: &Kind, it: &str| text(kind, it).unwrap().to_string();
    for it in ["2024-02-29 01:02:03.5+05", "2024-02-29T01:02:03.5Z", "2024-02-29 01:02:03.5"] {
        assert_eq!(of(&Kind::Timestamp, it), of(&Kind::Timestamp, "2024-02-29 01:02:03.5"));
    }
    assert_eq!(of(&Kind::Date, "2024-02-29 +01"), of(&Kind::Date, "2024-02-29"));
    assert_eq!(of(&Kind::Time, "01:02:03+01"), of(&Kind::Time, "01:02:03"));
    assert_eq!(
        of(&Kind::TimestampTz, "2024-02-29 01:00:00+01"),
        of(&Kind::TimestampTz, "2024-02-29 00:00:00+00")
    );
}

#[test]
fn values_with_a_binary_form_of_their_own_become_their_text() {
    let binary =
        |kind: &Kind, bytes: &[u8]| read(1, kind, true, Some(&Bytes::copy_from_slice(bytes)));
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
    let nil = "00000000-0000-0000-0000-000000000000";
    assert_eq!(binary(&Kind::Uuid, &[0; 16]).unwrap(), text(nil));
    let id: Vec<u8> = (0xa0..0xb0).collect();
    assert_eq!(binary(&Kind::Uuid, &id).unwrap(), text("a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf"));
    assert!(binary(&Kind::Uuid, &[0; 15]).is_err());
    assert_eq!(binary(&Kind::Jsonb, b"\x01{}").unwrap(), text("{}"));
    assert!(binary(&Kind::Jsonb, b"{}").is_err());
    assert_eq!(binary(&Kind::Text, &[b'x'; 16]).unwrap(), text(&"x".repeat(16)));
}

#[test]
fn a_year_before_the_first_one_is_refused() {
    for (kind, value) in [
        (Kind::Date, "0044-03-15 BC"),
        (Kind::Date, "0044-03-15 +01 bc"),
        (Kind::Timestamp, "0044-03-15 12:00:00 BC"),
        (Kind::TimestampTz, "0044-03-15 12:00:00+00 BC"),
    ] {
        let bytes = Bytes::copy_from_slice(value.as_bytes());
        assert!(read(1, &kind, false, Some(&bytes)).is_err(), "{value}");
    }
}

#[test]
fn arrays_are_read_with_quotes_and_nulls() {
    let parts = items(r#"{a, "b,\"c" ,NULL,"null",""}"#).unwrap();
    let expected =
        [Some("a"), Some("b,\"c"), None, Some("null"), Some("")].map(|it| it.map(str::to_owned));
    assert_eq!(parts, expected);
    assert!(items("{}").unwrap().is_empty());
    for it in ["", "{", "{a,}", "{\"a}", "{{1},{2}}", "{a\\}"] {
        assert!(items(it).is_err(), "{it}");
    }
}

#[test]
fn no_bytes_are_more_than_an_error() {
    let kinds = [
        Kind::Bool,
        Kind::Int2,
        Kind::Int4,
        Kind::Int8,
        Kind::Float4,
        Kind::Float8,
        Kind::Numeric,
        Kind::Text,
        Kind::Uuid,
        Kind::Jsonb,
        Kind::Bytea,
        Kind::Date,
        Kind::Time,
        Kind::Timestamp,
        Kind::TimestampTz,
        Kind::Interval,
        Kind::Oid,
        Kind::Array(Box::new(Kind::Int4)),
    ];
    for kind in kinds {
        for fill in [0u8, 1, 0x7f, 0x80, 0xff] {
            for length in 0..40 {
                let bytes = Bytes::from(vec![fill; length]);
                let _ = read(1, &kind, true, Some(&bytes));
                let _ = read(1, &kind, false, Some(&bytes));
            }
        }
        assert!(read(1, &kind, true, None).unwrap().is_null());
    }
}
