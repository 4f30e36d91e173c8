#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::prelude::SessionContext;

use super::*;

async fn run(context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    context.sql(sql).await?.collect().await
}

fn contexts() -> (SessionContext, SessionContext) {
    (SessionContext::new_with_state(session()), SessionContext::new())
}

#[tokio::test]
async fn more_than_the_bound_is_refused_and_names_the_function() {
    let (bounded, _) = contexts();
    for (name, call) in [
        ("repeat", "repeat('x', 300000000)"),
        ("repeat", "repeat('x', 9223372036854775807)"),
        ("lpad", "lpad('x', 300000000)"),
        ("rpad", "rpad('x', 300000000, 'ab')"),
        ("rpad", "rpad('x', 100000000, '漢')"),
        ("replace", "replace(repeat('x', 100000), 'x', repeat('y', 10000))"),
        ("regexp_replace", "regexp_replace(repeat('x', 100000), 'x', repeat('y', 10000), 'g')"),
        ("array_to_string", "array_to_string(range(0, 100000), repeat('y', 10000))"),
        ("range", "range(0, 100000000)"),
        ("range", "range(9223372036854775807, -9223372036854775808, -1)"),
        ("range", "range(DATE '2020-01-01', DATE '2021-01-01', INTERVAL '1 month -30 days')"),
        ("generate_series", "generate_series(0, 5000000000)"),
        (
            "generate_series",
            "generate_series(TIMESTAMP '2000-01-01', TIMESTAMP '2001-01-01', INTERVAL '1 microsecond')",
        ),
        ("array_repeat", "array_repeat(1, 100000000)"),
        ("list_repeat", "list_repeat(range(0, 100000), 100000)"),
        ("array_resize", "array_resize([1], 100000000, 0)"),
    ] {
        // As a constant, which is computed while the statement is planned, and over rows.
        for sql in
            [format!("SELECT {call}"), format!("SELECT {call}, x FROM (VALUES (1), (2)) v(x)")]
        {
            let error = run(&bounded, &sql).await.unwrap_err().to_string();
            let name = name.replace("list_", "array_");
            assert!(error.contains(&format!("{name} would make more than")), "{sql}: {error}");
        }
    }
    // Of what only rows have: constants of that size are refused before.
    for (name, call) in [
        ("concat", "concat(repeat('x', n), repeat('x', n), repeat('x', n))"),
        ("encode", "encode(repeat('x', n + n / 2), 'hex')"),
        ("array_concat", "array_concat(range(0, n / 5), range(0, n / 5))"),
    ] {
        let sql = format!("SELECT {call} FROM (VALUES (100000000)) v(n)");
        let error = run(&bounded, &sql).await.unwrap_err().to_string();
        assert!(error.contains(&format!("{name} would make more than")), "{sql}: {error}");
    }
    let error = run(&bounded, "SELECT array_resize([1], -1, 0)").await.unwrap_err().to_string();
    assert!(error.contains("array_resize cannot make"), "{error}");
}

#[tokio::test]
async fn below_the_bound_answers_are_the_engine_s() {
    let (bounded, plain) = contexts();
    for sql in [
        "SELECT repeat(a, b), lpad(a, abs(b)), rpad(a, abs(b), 'xy'), lpad(a, -1), lpad(a, abs(b), a) FROM v",
        "SELECT replace(a, 'a', 'bb'), replace(a, '', 'x'), replace(a, a, a) FROM v",
        "SELECT regexp_replace(a, 'a', '[\\0]', 'g'), regexp_replace(a, '(.)', '\\1\\1', 'g') FROM v",
        "SELECT concat(a, b, a), concat_ws(',', a, a, NULL), concat(a), concat('x', 'y', a) FROM v",
        "SELECT range(b), range(0, b, 2), generate_series(b, 0, -1), generate_series(0, b) FROM v WHERE b < 9",
        "SELECT range(DATE '2020-01-01', DATE '2020-02-01', INTERVAL '1' DAY), range(NULL), range(0, NULL)",
        "SELECT generate_series(TIMESTAMP '2020-01-01', TIMESTAMP '2020-06-01', INTERVAL '1' MONTH)",
        "SELECT array_repeat(a, b), list_repeat([a], b), array_resize([b], abs(b), 7), array_resize([a], 2) FROM v",
        "SELECT array_concat([a], [a, a]), array_to_string([a, NULL], ',', '-'), encode(a, 'hex') FROM v",
        // More than the limit, if only the lengths of the text and the pattern are known.
        "SELECT length(replace(repeat('x', 100000), 'y', repeat('y', 100000)))",
        "SELECT length(regexp_replace(repeat('x', 100000), 'y', repeat('y', 100000), 'g'))",
        "SELECT length(regexp_replace(repeat('x', 100000), '^x', repeat('y', 100000)))",
        "SELECT length(lpad('x', n)), length(rpad(repeat('y', n), n, '漢')) FROM (VALUES (90000000)) w(n)",
    ] {
        let rows = "WITH v AS (SELECT * FROM (VALUES ('', 0), ('a', 3), ('aäa漢', -1), (NULL, 5), ('b', NULL)) v(a, b))";
        let sql = format!("{rows} {sql}");
        let (got, want) = (run(&bounded, &sql).await, run(&plain, &sql).await);
        match (got, want) {
            (Ok(got), Ok(want)) => assert_eq!(got, want, "{sql}"),
            (Err(got), Err(want)) => {
                assert_eq!(got.strip_backtrace(), want.strip_backtrace(), "{sql}");
            }
            (got, want) => panic!("{sql}: {got:?}, not {want:?}"),
        }
    }
}

#[tokio::test]
async fn lengths_below_zero_are_zero_for_columns_as_for_constants() {
    let (bounded, _) = contexts();
    for name in ["lpad", "rpad"] {
        let sql = format!("SELECT {name}(a, b) = '' FROM (VALUES ('ab', -1), ('c', -99)) v(a, b)");
        let batches = run(&bounded, &sql).await.unwrap();
        let batch = datafusion::arrow::compute::concat_batches(&batches[0].schema(), &batches);
        assert_eq!(batch.unwrap().column(0).as_boolean().true_count(), 2, "{name}");
    }
}

#[test]
fn every_bounded_function_is_found_by_each_of_its_names() {
    let state = session();
    for (name, _) in BOUNDED {
        let function = state.udf(name).unwrap();
        assert!(function.inner().is::<Bounded>(), "{name}");
        for alias in function.aliases() {
            let other = state.udf(alias).unwrap();
            assert!(Arc::ptr_eq(&function, &other) || *function == *other, "{alias}");
        }
    }
}

/// Rows of one column of texts, in order.
fn texts(rows: &[RecordBatch]) -> Vec<String> {
    let one = |batch: &RecordBatch| {
        let column = datafusion::arrow::compute::cast(
            batch.column(0),
            &datafusion::arrow::datatypes::DataType::Utf8,
        );
        let column = column.unwrap();
        let texts = column.as_string::<i32>().iter();
        texts.map(|text| text.unwrap_or("null").to_owned()).collect::<Vec<_>>()
    };
    rows.iter().flat_map(one).collect()
}

#[tokio::test]
async fn a_sum_of_whole_numbers_is_exact_or_an_error_however_rows_are_divided() {
    const HUGE: &str = "9223372036854775807";
    for partitions in [1, 3] {
        let mut state = session();
        state.config_mut().options_mut().execution.target_partitions = partitions;
        let context = SessionContext::new_with_state(state);
        // Sums of parts of these do not fit; the whole sums of group 1 and of the negative ones do.
        run(
            &context,
            "create table t as select arrow_cast(n, 'Int64') as n, arrow_cast(abs(n), 'UInt64') as u, g from (values \
             (9223372036854775807, 1), (9223372036854775806, 1), (-9223372036854775807, 1), (-9223372036854775800, 1), \
             (9223372036854775807, 2), (1, 2), (null, 3), (7, 4), (7, 4), (5, 4)) as v (n, g)",
        )
        .await
        .unwrap();
        for (sql, want) in [
            ("select sum(n) from t where g = 1", &["6"][..]),
            (
                "select sum(n) as s from t where g <> 2 group by g order by s nulls last",
                &["6", "19", "null"],
            ),
            ("select sum(distinct n) from t where g = 4", &["12"]),
            ("select sum(n) filter (where g = 1) from t", &["6"]),
            ("select sum(n) from t where g = 3", &["null"]),
            ("select sum(u) from t where g = 2", &["9223372036854775808"]),
            (
                "select sum(n) over (partition by g order by n rows between unbounded preceding and current row) as s \
                 from t where g = 4 order by s",
                &["5", "12", "19"],
            ),
            (
                "select sum(n) over (order by n desc rows between 1 preceding and current row) as s from t \
                 where g in (2, 4) and n < 100 order by s",
                &["6", "7", "12", "14"],
            ),
            ("select sum(arrow_cast(g, 'Int32')) from t where g = 4", &["12"]),
            ("select sum(n + 1) from t where g = 4", &["22"]),
        ] {
            let rows = run(&context, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(texts(&rows), want, "{sql}, {partitions} partitions");
        }
        for sql in [
            "select sum(n) from t where g = 2",
            "select g, sum(n) from t group by g",
            "select sum(distinct n) from t where g = 2",
            "select sum(n) over (order by n rows between 1 preceding and current row) from t where g = 2",
            "select sum(u) from t where g = 1",
            // The engine makes three products of the number of rows of these.
            "select sum(arrow_cast(g, 'Int8') + 5000000000000000000), sum(arrow_cast(g, 'Int8') + 5000000000000000001), \
             sum(arrow_cast(g, 'Int8') + 5000000000000000002) from t where g = 4",
        ] {
            let error = run(&context, sql).await.map(|rows| panic!("{sql}: {rows:?}")).unwrap_err();
            assert!(error.to_string().contains("Overflow happened on: sum = "), "{sql}: {error}");
            assert!(!error.to_string().contains(HUGE), "{sql}: {error}");
        }
    }
}

#[tokio::test]
async fn an_order_by_a_function_of_which_nothing_is_known_is_planned() {
    let context = contexts().0;
    for key in [
        "abs(id / 2)",
        "abs(coalesce(id, 0))",
        "ln(nullif(id, 5))",
        "sqrt(id % 7)",
        "log(2, id / 2)",
    ] {
        let sql = format!(
            "select id from (values (4), (2), (8)) as t (id) order by {key} desc, id limit 1"
        );
        assert_eq!(
            texts(&run(&context, &sql).await.unwrap()),
            [if key.contains('%') { "4" } else { "8" }]
        );
    }
}
