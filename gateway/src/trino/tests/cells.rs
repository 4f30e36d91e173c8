//! Values of every type, as they are written.

#![allow(clippy::unwrap_used)]

use arrow::array::{
    ArrayRef, BinaryViewArray, Date64Array, Decimal256Array, DictionaryArray,
    DurationNanosecondArray, FixedSizeBinaryArray, FixedSizeListArray, Int8Array, Int32Array,
    Int64Builder, IntervalDayTimeArray, IntervalMonthDayNanoArray, IntervalYearMonthArray,
    ListArray, MapBuilder, NullArray, StringArray, StringBuilder, StringViewArray, StructArray,
    Time32SecondArray, Time64NanosecondArray, TimestampMicrosecondArray, TimestampSecondArray,
    UInt64Array,
};
use arrow::datatypes::{Field, IntervalDayTime, IntervalMonthDayNano, i256};

use super::*;

fn written_with(array: ArrayRef, field: &Field, has_digits: bool) -> String {
    let kind = Kind::of(field).unwrap();
    let cells = Cells::of(&array, &kind).unwrap();
    let mut out = Vec::new();
    for row in 0..array.len() {
        if row > 0 {
            out.push(b' ');
        }
        cells.write(row, has_digits, &mut out);
    }
    String::from_utf8(out).unwrap()
}

fn written(array: impl Array + 'static) -> String {
    let field = Field::new("a", array.data_type().clone(), true);
    written_with(Arc::new(array), &field, true)
}

#[test]
fn numbers_are_numbers_and_decimals_are_texts() {
    assert_eq!(written(Int8Array::from(vec![Some(-128), None, Some(127)])), "-128 null 127");
    assert_eq!(
        written(Int64Array::from(vec![i64::MIN, i64::MAX])),
        format!("{} {}", i64::MIN, i64::MAX)
    );
    assert_eq!(written(UInt64Array::from(vec![u64::MAX, 0])), "\"18446744073709551615\" \"0\"");
    let doubles = vec![0.1, -0.0, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    assert_eq!(
        written(Float64Array::from(doubles)),
        "0.1 -0.0 1e+300 \"NaN\" \"Infinity\" \"-Infinity\""
    );
    assert_eq!(written(Float32Array::from(vec![0.1, f32::MAX])), "0.1 3.4028235e+38");
    let decimals = Decimal128Array::from(vec![Some(-5), Some(12_345), None, Some(0)]);
    let decimals = decimals.with_precision_and_scale(10, 3).unwrap();
    assert_eq!(written(decimals), "\"-0.005\" \"12.345\" null \"0.000\"");
    let zeros = Decimal128Array::from(vec![-12]).with_precision_and_scale(5, -2).unwrap();
    assert_eq!(written(zeros), "\"-1200\"");
    let long = i256::from_string(&"9".repeat(76)).unwrap();
    let long = Decimal256Array::from(vec![long]).with_precision_and_scale(76, 6).unwrap();
    assert_eq!(written(long), format!("\"{}.999999\"", "9".repeat(70)));
    assert_eq!(written(BooleanArray::from(vec![true, false])), "true false");
    assert_eq!(written(NullArray::new(2)), "null null");
}

#[test]
fn texts_are_escaped_and_bytes_are_base64() {
    assert_eq!(written(StringArray::from(vec!["a\"\\\n\u{1}ä😀"])), "\"a\\\"\\\\\\n\\u0001ä😀\"");
    let views = StringViewArray::from(vec![Some("x"), None, Some("longer than twelve bytes")]);
    assert_eq!(written(views), "\"x\" null \"longer than twelve bytes\"");
    let words: DictionaryArray<Int32Type> = [Some("y"), None, Some("y")].into_iter().collect();
    assert_eq!(written(words), "\"y\" null \"y\"");
    assert_eq!(written(BinaryViewArray::from(vec![&b"\x00\xff"[..], b""])), "\"AP8=\" \"\"");
    let id = FixedSizeBinaryArray::try_from_iter([[0x12_u8; 16]].into_iter()).unwrap();
    let field = Field::new("id", DataType::FixedSizeBinary(16), true)
        .with_metadata([("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned())].into());
    assert_eq!(
        written_with(Arc::new(id), &field, true),
        "\"12121212-1212-1212-1212-121212121212\""
    );
}

#[test]
fn times_are_texts_with_the_digits_of_their_type() {
    assert_eq!(written(Date32Array::from(vec![19_782, -1])), "\"2024-02-29\" \"1969-12-31\"");
    assert_eq!(written(Date64Array::from(vec![1])), "\"1970-01-01 00:00:00.001\"");
    assert_eq!(written(Time32SecondArray::from(vec![3_661])), "\"01:01:01\"");
    assert_eq!(written(Time64NanosecondArray::from(vec![1])), "\"00:00:00.000000001\"");
    assert_eq!(written(TimestampSecondArray::from(vec![0])), "\"1970-01-01 00:00:00\"");
    let utc = TimestampMicrosecondArray::from(vec![1]).with_timezone("Europe/Berlin");
    assert_eq!(written(utc.clone()), "\"1970-01-01 00:00:00.000001 UTC\"");
    let field = Field::new("a", utc.data_type().clone(), true);
    assert_eq!(written_with(Arc::new(utc), &field, false), "\"1970-01-01 00:00:00.000 UTC\"");
    assert_eq!(written(IntervalYearMonthArray::from(vec![-14])), "\"-1-2\"");
    let days = IntervalDayTime::new(1, 1_500);
    assert_eq!(written(IntervalDayTimeArray::from(vec![days])), "\"1 00:00:01.500\"");
    assert_eq!(written(DurationNanosecondArray::from(vec![-1_999_999])), "\"-0 00:00:00.001\"");
    let both = IntervalMonthDayNano::new(1, 2, 3_000_000_000);
    assert_eq!(
        written(IntervalMonthDayNanoArray::from(vec![both])),
        "\"1 mons 2 days 3.000000000 secs\""
    );
    let whole = DurationSecondTypeArray::from(vec![i64::MAX]);
    assert!(Cells::of(&(Arc::new(whole) as ArrayRef), &Kind::DayToSecond).is_err());
}

type DurationSecondTypeArray = arrow::array::DurationSecondArray;

#[test]
fn nested_values_are_lists_and_objects() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    assert_eq!(written(lists.clone()), "[1,null] null []");
    // A part of a longer column.
    assert_eq!(written(lists.slice(1, 2)), "null []");
    let item = Arc::new(Field::new_list_field(DataType::Int32, true));
    let fixed =
        FixedSizeListArray::new(item, 2, Arc::new(Int32Array::from(vec![1, 2, 3, 4])), None);
    assert_eq!(written(fixed.slice(1, 1)), "[3,4]");
    let mut map = MapBuilder::new(None, Int64Builder::new(), StringBuilder::new());
    map.keys().append_value(7);
    map.values().append_value("x");
    map.keys().append_value(8);
    map.values().append_null();
    map.append(true).unwrap();
    map.append(false).unwrap();
    map.append(true).unwrap();
    assert_eq!(written(map.finish()), "{\"7\":\"x\",\"8\":null} null {}");
    let rows = StructArray::from(vec![
        (
            Arc::new(Field::new("n", DataType::Int32, true)),
            Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef,
        ),
        (Arc::new(Field::new("l", lists.data_type().clone(), true)), Arc::new(lists.slice(0, 2))),
    ]);
    assert_eq!(written(rows), "[1,[1,null]] [null,null]");
}
