//! Every type that SQL yields, as Postgres prints it and as a driver reads its binary form.

use std::time::{Duration, SystemTime};

use dunlin_gateway::GatewayOptions;
use tokio_postgres::types::{FromSql, Type};

use super::*;

/// Expressions, their types, and their texts. `None` is NULL.
const TEXTS: &[(&str, u32, Option<&str>)] = &[
    ("true", 16, Some("t")),
    ("false", 16, Some("f")),
    ("null", 25, None),
    ("cast(null as int)", 23, None),
    ("arrow_cast(-128, 'Int8')", 21, Some("-128")),
    ("arrow_cast(255, 'UInt8')", 21, Some("255")),
    ("arrow_cast(-32768, 'Int16')", 21, Some("-32768")),
    ("arrow_cast(65535, 'UInt16')", 23, Some("65535")),
    ("arrow_cast(-2147483648, 'Int32')", 23, Some("-2147483648")),
    ("arrow_cast(4294967295, 'UInt32')", 20, Some("4294967295")),
    ("9223372036854775807", 20, Some("9223372036854775807")),
    ("arrow_cast('18446744073709551615', 'UInt64')", 1700, Some("18446744073709551615")),
    ("arrow_cast(1.5, 'Float16')", 700, Some("1.5")),
    ("arrow_cast(0.1, 'Float32')", 700, Some("0.1")),
    ("arrow_cast(1000000, 'Float32')", 700, Some("1e+06")),
    ("arrow_cast(0.1, 'Float64')", 701, Some("0.1")),
    ("arrow_cast(1e15, 'Float64')", 701, Some("1e+15")),
    ("arrow_cast('NaN', 'Float64')", 701, Some("NaN")),
    ("arrow_cast('-inf', 'Float64')", 701, Some("-Infinity")),
    ("arrow_cast('inf', 'Float32')", 700, Some("Infinity")),
    ("cast(123.45 as decimal(10,2))", 1700, Some("123.45")),
    ("cast(-0.005 as decimal(10,3))", 1700, Some("-0.005")),
    ("cast(0 as decimal(10,2))", 1700, Some("0.00")),
    (
        "arrow_cast('99999999999999999999999999999999999999', 'Decimal128(38, 0)')",
        1700,
        Some("99999999999999999999999999999999999999"),
    ),
    (
        "arrow_cast('1234567890123456789012345678901234567890.5', 'Decimal256(50, 2)')",
        1700,
        Some("1234567890123456789012345678901234567890.50"),
    ),
    ("'a''b'", 25, Some("a'b")),
    ("''", 25, Some("")),
    ("arrow_cast('ä', 'LargeUtf8')", 25, Some("ä")),
    (
        "arrow_cast('a view that is longer than twelve bytes', 'Utf8View')",
        25,
        Some("a view that is longer than twelve bytes"),
    ),
    ("arrow_cast('word', 'Dictionary(Int32, Utf8)')", 25, Some("word")),
    ("x'00ff'", 17, Some("\\x00ff")),
    ("arrow_cast('ab', 'BinaryView')", 17, Some("\\x6162")),
    ("arrow_cast(x'6162', 'FixedSizeBinary(2)')", 17, Some("\\x6162")),
    ("date '2024-02-29'", 1082, Some("2024-02-29")),
    ("arrow_cast(-719163, 'Date32')", 1082, Some("0001-12-31 BC")),
    ("arrow_cast('2024-02-29T01:02:03', 'Date64')", 1114, Some("2024-02-29 01:02:03")),
    ("time '01:02:03.4'", 1083, Some("01:02:03.4")),
    ("arrow_cast('23:59:59', 'Time32(Second)')", 1083, Some("23:59:59")),
    ("arrow_cast('23:59:59.123', 'Time32(Millisecond)')", 1083, Some("23:59:59.123")),
    ("timestamp '2024-02-29 01:02:03.456789'", 1114, Some("2024-02-29 01:02:03.456789")),
    (
        "arrow_cast('1969-12-31T23:59:59', 'Timestamp(Second, None)')",
        1114,
        Some("1969-12-31 23:59:59"),
    ),
    // Postgres has no finer time than microseconds.
    (
        "arrow_cast('1969-12-31T23:59:59.999999999', 'Timestamp(Nanosecond, None)')",
        1114,
        Some("1969-12-31 23:59:59.999999"),
    ),
    (
        "arrow_cast('2024-06-01T12:00:00+02:00', 'Timestamp(Microsecond, Some(\"Europe/Berlin\"))')",
        1184,
        Some("2024-06-01 10:00:00+00"),
    ),
    (
        "interval '1 year 2 months 3 days 4 hours 5 minutes 6.7 seconds'",
        1186,
        Some("1 year 2 mons 3 days 04:05:06.7"),
    ),
    ("interval '-1 months 2 days'", 1186, Some("-1 mons +2 days")),
    ("arrow_cast(90061, 'Duration(Second)')", 1186, Some("25:01:01")),
    ("[1, null, 3]", 1016, Some("{1,NULL,3}")),
    ("make_array()", 1009, Some("{}")),
    (
        "['a b', '', 'null', 'q\"\\', 'plain']",
        1009,
        Some("{\"a b\",\"\",\"null\",\"q\\\"\\\\\",plain}"),
    ),
    ("[[1, 2], [3, 4]]", 1016, Some("{{1,2},{3,4}}")),
    ("arrow_cast([1, 2], 'FixedSizeList(2, Int32)')", 1007, Some("{1,2}")),
    ("arrow_cast([1, 2], 'LargeList(Int64)')", 1016, Some("{1,2}")),
    ("[true, false]", 1000, Some("{t,f}")),
    ("struct(1, 'a,b', null, '')", 2249, Some("(1,\"a,b\",,\"\")")),
    ("named_struct('x', 1.5, 'y', [1, 2])", 2249, Some("(1.5,\"{1,2}\")")),
    ("[struct(1, 'a'), struct(2, null)]", 2287, Some("{\"(1,a)\",\"(2,)\"}")),
    ("map(['k'], [1])", 2287, Some("{\"(k,1)\"}")),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_printed_as_postgres_prints_it() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let talk = server.talk().await;
    let mut wrong = Vec::new();
    for (expression, oid, expected) in TEXTS {
        let sql = format!("select {expression} as x");
        let found = match talk.client.simple_query(&sql).await {
            Ok(_) => talk.texts(&sql).await.remove(0),
            Err(error) => Some(format!("{error:?}")),
        };
        if found.as_deref() != *expected {
            wrong.push(format!("{expression}: {found:?} instead of {expected:?}"));
        }
        match talk.client.prepare(&sql).await {
            Ok(statement) if statement.columns()[0].type_().oid() == *oid => {}
            Ok(statement) => {
                wrong.push(format!("{expression}: {:?}", statement.columns()[0].type_()))
            }
            Err(error) => wrong.push(format!("{expression}: {error:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(talk.state("select [[1], [2, 3]]").await, "2202E");
}

/// Any value, as the bytes of its binary form.
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_has_the_binary_form_that_drivers_read() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let Talk { client, .. } = server.talk().await;
    let row = client
        .query_one(
            "select true, arrow_cast(-7, 'Int16'), arrow_cast(-7, 'Int32'), arrow_cast(4294967295, 'UInt32'),
                    arrow_cast(0.5, 'Float32'), arrow_cast('NaN', 'Float64'), 'ä', x'00ff',
                    timestamp '1999-12-31 23:59:59.5', arrow_cast('2024-01-01T00:00:00Z', 'Timestamp(Second, Some(\"UTC\"))'),
                    [1, null, 3], ['a', null], [date '2000-01-02'], cast(null as bigint)",
            &[],
        )
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0));
    assert_eq!(
        (row.get::<_, i16>(1), row.get::<_, i32>(2), row.get::<_, i64>(3)),
        (-7, -7, 4_294_967_295)
    );
    assert_eq!(row.get::<_, f32>(4), 0.5);
    assert!(row.get::<_, f64>(5).is_nan());
    assert_eq!((row.get::<_, &str>(6), row.get::<_, &[u8]>(7)), ("ä", &[0u8, 255][..]));
    let after_1970 = |seconds: f64| SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds);
    assert_eq!(row.get::<_, SystemTime>(8), after_1970(946_684_799.5));
    assert_eq!(row.get::<_, SystemTime>(9), after_1970(1_704_067_200.0));
    assert_eq!(row.get::<_, Vec<Option<i64>>>(10), [Some(1), None, Some(3)]);
    assert_eq!(row.get::<_, Vec<Option<&str>>>(11), [Some("a"), None]);
    let dates = row.get::<_, Raw>(12).0;
    // One dimension, no NULL, type 1082, one item from 1 on: one day after 2000-01-01, in four bytes.
    assert_eq!(
        dates,
        [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 58, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1]
    );
    assert_eq!(row.get::<_, Option<i64>>(13), None);
    let raw = async |sql: &str| client.query_one(sql, &[]).await.unwrap().get::<_, Raw>(0).0;
    assert_eq!(
        raw("select cast(-123.45 as decimal(10,2))").await,
        [0, 2, 0, 0, 64, 0, 0, 2, 0, 123, 17, 148]
    );
    assert_eq!(raw("select date '1999-12-31'").await, (-1i32).to_be_bytes());
    assert_eq!(raw("select time '00:00:01'").await, 1_000_000i64.to_be_bytes());
    let interval =
        [&1_000_000i64.to_be_bytes()[..], &3i32.to_be_bytes(), &14i32.to_be_bytes()].concat();
    assert_eq!(raw("select interval '14 months 3 days 1 second'").await, interval);
    let record = [
        &2i32.to_be_bytes()[..],
        &20u32.to_be_bytes(),
        &8i32.to_be_bytes(),
        &1i64.to_be_bytes(),
        &25u32.to_be_bytes(),
        &(-1i32).to_be_bytes(),
    ]
    .concat();
    assert_eq!(raw("select struct(1, null)").await, record);
    let square = client.query_one("select [[1, 2], [3, 4]]", &[]).await.unwrap().get::<_, Raw>(0).0;
    assert_eq!(&square[..12], &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 20]);
    assert_eq!(square.len(), 12 + 16 + 4 * 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_each_type_is_read_as_it_was_sent() {
    let site = Site::new();
    let server = site.postgres(GatewayOptions::default()).await;
    let Talk { client, .. } = server.talk().await;
    macro_rules! same {
        ($($kind:expr, $value:expr, $of:ty;)*) => {$(
            let statement = client.prepare_typed("select $1 as x", &[$kind]).await.unwrap();
            let row = client.query_one(&statement, &[&$value]).await.unwrap();
            assert_eq!(row.get::<_, $of>(0), $value, "{}", $kind);
            let none: Option<$of> = None;
            let row = client.query_one(&statement, &[&none]).await.unwrap();
            assert_eq!(row.get::<_, Option<$of>>(0), None, "{}", $kind);
        )*};
    }
    same! {
        Type::BOOL, true, bool;
        Type::INT2, -3i16, i16;
        Type::INT4, i32::MIN, i32;
        Type::INT8, i64::MAX, i64;
        Type::FLOAT4, 0.1f32, f32;
        Type::FLOAT8, f64::MIN_POSITIVE, f64;
        Type::TEXT, "ä;'\"".to_owned(), String;
        Type::BYTEA, vec![0u8, 1, 255], Vec<u8>;
        Type::TIMESTAMP, SystemTime::UNIX_EPOCH + Duration::from_micros(1), SystemTime;
        Type::TIMESTAMPTZ, SystemTime::UNIX_EPOCH - Duration::from_micros(1), SystemTime;
        Type::INT8_ARRAY, vec![Some(1i64), None], Vec<Option<i64>>;
        Type::TEXT_ARRAY, vec!["a,b".to_owned(), String::new()], Vec<String>;
    }
}
