#![allow(clippy::unwrap_used)]

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use datafusion::prelude::SessionContext;

use super::*;

/// `a` and `b` have NULLs, `c` has none, and `nothing` has no rows.
const TABLES: [&str; 4] = [
    "CREATE TABLE a (id INT, k INT, g INT) AS VALUES \
     (1, 1, 1), (2, 2, 1), (3, NULL, 1), (4, 4, 2), (5, NULL, 3), (6, 0, 3), (7, 1, 2)",
    "CREATE TABLE b (k INT, g INT) AS VALUES (1, 1), (NULL, 1), (4, 2), (9, 2)",
    "CREATE TABLE c (k INT, g INT) AS VALUES (1, 1), (4, 2), (9, 2)",
    "CREATE TABLE nothing (k INT, g INT)",
];

async fn context() -> SessionContext {
    crate::sound::context(vec![rule()], &TABLES).await
}

/// The numbers of the first column, in order.
async fn numbers(context: &SessionContext, text: &str) -> Vec<Option<i32>> {
    let frame = context.sql(text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
    let batches = frame.collect().await.unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut numbers = Vec::new();
    for batch in batches {
        numbers.extend(batch.column(0).as_primitive::<Int32Type>().iter());
    }
    numbers.sort_unstable();
    numbers
}

async fn check(conditions: &[(&str, &[i32])]) {
    let context = context().await;
    for (condition, expected) in conditions {
        let text = format!("SELECT id FROM a WHERE {condition}");
        let expected: Vec<_> = expected.iter().copied().map(Some).collect();
        assert_eq!(numbers(&context, &text).await, expected, "{condition}");
    }
}

#[tokio::test]
async fn not_in_beside_others_knows_null() {
    check(&[
        // A NULL in the subquery.
        ("k NOT IN (SELECT k FROM b) OR id < 3", &[1, 2]),
        ("id < 3 OR k NOT IN (SELECT k FROM b)", &[1, 2]),
        // Only in the key.
        ("k NOT IN (SELECT k FROM c) OR id = 1", &[1, 2, 6]),
        ("k NOT IN (SELECT k FROM c) OR k NOT IN (SELECT k FROM b)", &[2, 6]),
        // Of no row, all is true.
        ("k NOT IN (SELECT k FROM nothing) OR id = 1", &[1, 2, 3, 4, 5, 6, 7]),
        ("NULL NOT IN (SELECT k FROM nothing) OR id = 1", &[1, 2, 3, 4, 5, 6, 7]),
        ("NULL NOT IN (SELECT k FROM c) OR id = 1", &[1]),
        ("id = 7 OR (id > 1 AND k NOT IN (SELECT k FROM c))", &[2, 6, 7]),
        ("NOT (k IN (SELECT k FROM c) AND id > 1)", &[1, 2, 6]),
        ("NOT (k IN (SELECT k FROM b) AND id > 3)", &[1, 2, 3]),
        ("NOT (k IN (SELECT k FROM c) OR id < 3)", &[6]),
        ("NOT (k IN (SELECT k FROM b) OR id < 3)", &[]),
        ("NOT (k NOT IN (SELECT k FROM b) AND id < 3)", &[1, 3, 4, 5, 6, 7]),
        ("k IN (SELECT k FROM b) OR id = 3", &[1, 3, 4, 7]),
    ])
    .await;
}

#[tokio::test]
async fn not_in_that_stands_alone_knows_null() {
    check(&[
        ("k NOT IN (SELECT k FROM b)", &[]),
        ("k NOT IN (SELECT k FROM c)", &[2, 6]),
        ("k NOT IN (SELECT k FROM nothing)", &[1, 2, 3, 4, 5, 6, 7]),
        ("k NOT IN (SELECT k FROM c) AND id > 2", &[6]),
        // These are not what the engine's join takes as a key.
        ("5 NOT IN (SELECT k FROM b)", &[]),
        ("5 NOT IN (SELECT k FROM c) AND id < 3", &[1, 2]),
        ("nullif(k, 0) NOT IN (SELECT k FROM c)", &[2]),
        ("k + 1 NOT IN (SELECT k FROM c)", &[1, 2, 4, 7]),
    ])
    .await;
}

#[tokio::test]
async fn not_in_that_depends_on_the_row_around() {
    check(&[
        // In group 1 of b there is a NULL; group 3 has no rows.
        ("k NOT IN (SELECT b.k FROM b WHERE b.g = a.g)", &[5, 6, 7]),
        ("k NOT IN (SELECT b.k FROM b WHERE b.g = a.g) OR id = 2", &[2, 5, 6, 7]),
        ("k NOT IN (SELECT c.k FROM c WHERE c.g = a.g) OR id = 1", &[1, 2, 5, 6, 7]),
        ("NOT (k IN (SELECT c.k FROM c WHERE c.g = a.g) OR id = 6)", &[2, 5, 7]),
        // Rows of greater groups: for group 1 those of group 2, and for the others none.
        ("k NOT IN (SELECT b.k FROM b WHERE b.g > a.g)", &[1, 2, 4, 5, 6, 7]),
        ("k NOT IN (SELECT b.k FROM b WHERE b.k = a.k)", &[2, 3, 5, 6]),
    ])
    .await;
}

#[tokio::test]
async fn the_value_of_in_can_be_null() {
    check(&[
        ("(k IN (SELECT k FROM b)) IS NULL", &[2, 3, 5, 6]),
        ("(k NOT IN (SELECT k FROM c)) IS NULL", &[3, 5]),
        ("(k IN (SELECT k FROM nothing)) IS NULL", &[]),
        ("(k IN (SELECT k FROM b)) IS NOT TRUE", &[2, 3, 5, 6]),
        ("(k NOT IN (SELECT k FROM c)) IS TRUE", &[2, 6]),
        ("(k IN (SELECT k FROM c)) IS FALSE", &[2, 6]),
        ("(k IN (SELECT k FROM c)) IS NOT FALSE", &[1, 3, 4, 5, 7]),
        ("(k NOT IN (SELECT k FROM c)) = true", &[2, 6]),
        ("(k IN (SELECT k FROM c)) IS DISTINCT FROM false", &[1, 3, 4, 5, 7]),
        ("CASE WHEN k NOT IN (SELECT k FROM c) THEN id < 6 ELSE id > 4 END", &[2, 5, 7]),
    ])
    .await;
}

#[tokio::test]
async fn not_in_after_groups_and_in_subqueries() {
    let context = context().await;
    for (text, expected) in [
        (
            "SELECT g FROM a GROUP BY g HAVING g NOT IN (SELECT g FROM c) OR count(*) > 2",
            vec![Some(1), Some(3)],
        ),
        (
            "SELECT k FROM a GROUP BY k HAVING k NOT IN (SELECT k FROM c) OR count(*) > 5",
            vec![Some(0), Some(2)],
        ),
        (
            "SELECT id FROM a WHERE id IN \
             (SELECT id FROM a WHERE k NOT IN (SELECT k FROM c) OR id = 1)",
            vec![Some(1), Some(2), Some(6)],
        ),
        (
            "SELECT g FROM c WHERE EXISTS (SELECT 1 FROM a WHERE a.g = c.g \
             AND (a.k NOT IN (SELECT k FROM b) OR a.id = 4))",
            vec![Some(2), Some(2)],
        ),
    ] {
        assert_eq!(numbers(&context, text).await, expected, "{text}");
    }
}

#[tokio::test]
async fn an_aggregate_has_a_row_over_no_rows() {
    check(&[
        ("EXISTS (SELECT count(*) FROM b WHERE b.k = a.k)", &[1, 2, 3, 4, 5, 6, 7]),
        ("NOT EXISTS (SELECT count(*) FROM b WHERE b.k = a.k)", &[]),
        ("NOT EXISTS (SELECT max(b.k) + 1 FROM b WHERE b.k = a.k) OR id = 2", &[2]),
        (
            "EXISTS (SELECT count(*) FROM b WHERE b.k = a.k ORDER BY 1 LIMIT 3)",
            &[1, 2, 3, 4, 5, 6, 7],
        ),
        ("EXISTS (SELECT count(*) FROM b WHERE b.k = a.k GROUP BY b.g)", &[1, 4, 7]),
        ("EXISTS (SELECT 1 FROM b WHERE b.k = a.k HAVING count(*) = 0)", &[2, 3, 5, 6]),
        ("NOT EXISTS (SELECT 1 FROM b WHERE b.k = a.k HAVING count(*) > 0)", &[2, 3, 5, 6]),
        ("k IN (SELECT count(*) FROM b WHERE b.k = a.k)", &[1, 6, 7]),
        ("k NOT IN (SELECT count(*) FROM b WHERE b.k = a.k)", &[2, 4]),
        ("k NOT IN (SELECT max(b.k) FROM b WHERE b.g = a.g)", &[2, 4, 7]),
        ("k IN (SELECT count(*) FROM b WHERE b.k = a.k HAVING count(*) > 0)", &[1, 7]),
        ("k NOT IN (SELECT count(*) FROM b WHERE b.k = a.k HAVING count(*) = 0)", &[1, 2, 4, 7]),
        ("k = ANY (SELECT count(*) FROM b WHERE b.k = a.k)", &[1, 6, 7]),
        ("k <> ALL (SELECT count(*) FROM b WHERE b.k = a.k)", &[2, 4]),
    ])
    .await;
}

#[tokio::test]
async fn a_column_that_the_engine_moves_into_a_filter() {
    let context = context().await;
    let text = "SELECT id FROM (SELECT id, k NOT IN (SELECT k FROM c) AS is_new FROM a) AS t \
                WHERE is_new OR id = 1";
    assert_eq!(numbers(&context, text).await, [Some(1), Some(2), Some(6)]);
}

#[tokio::test]
async fn a_condition_of_a_join_that_the_engine_moves_into_a_filter() {
    let context = context().await;
    let text = "SELECT a.id FROM a JOIN c ON a.g = c.g \
                AND (a.k NOT IN (SELECT k FROM b) OR a.id = 1)";
    assert_eq!(numbers(&context, text).await, [Some(1)]);
}

#[tokio::test]
async fn an_aggregate_that_the_rule_does_not_understand_is_refused() {
    let context = context().await;
    for inner in [
        "SELECT count(*) FROM b WHERE b.k = a.k OFFSET 1",
        "SELECT 1 FROM (SELECT count(*) AS n FROM b WHERE b.k = a.k) AS t WHERE n = 0",
    ] {
        let frame = context.sql(&format!("SELECT id FROM a WHERE EXISTS ({inner})")).await.unwrap();
        let error = frame.collect().await.unwrap_err().to_string();
        assert!(error.contains("compare it as a value instead"), "{error}");
    }
}

#[tokio::test]
async fn a_second_look_changes_nothing() {
    let context = context().await;
    let text = "SELECT id FROM a WHERE (k NOT IN (SELECT k FROM b WHERE b.g = a.g) OR id = 1) \
                AND (k IN (SELECT k FROM c)) IS NOT NULL \
                AND NOT EXISTS (SELECT 1 FROM b WHERE b.k = a.k HAVING count(*) > 1)";
    let plan = context.state().create_logical_plan(text).await.unwrap();
    let state = context.state();
    let analysed =
        |plan| state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {});
    let once = analysed(plan).unwrap();
    let twice = analysed(once.clone()).unwrap();
    assert_eq!(once.display_indent().to_string(), twice.display_indent().to_string());
}

#[tokio::test]
async fn in_a_list_of_values_exists_and_in_have_their_three_values() {
    let context = context().await;
    // By id: 1, 0 or NULL.
    for (value, expected) in [
        ("EXISTS (SELECT 1 FROM b WHERE b.k = a.k)", "1001001"),
        ("NOT EXISTS (SELECT 1 FROM b WHERE b.k = a.k)", "0110110"),
        ("EXISTS (SELECT 1 FROM c WHERE c.g = a.g AND c.k = a.k)", "1001000"),
        ("EXISTS (SELECT 1 FROM nothing)", "0000000"),
        ("EXISTS (SELECT 1 FROM b)", "1111111"),
        ("EXISTS (SELECT k FROM b WHERE b.g = a.g GROUP BY k)", "1111001"),
        ("k IN (SELECT k FROM b)", "1NN1NN1"),
        ("k NOT IN (SELECT k FROM b)", "0NN0NN0"),
        ("k IN (SELECT k FROM c)", "10N1N01"),
        ("k NOT IN (SELECT k FROM c)", "01N0N10"),
        ("k IN (SELECT k FROM nothing)", "0000000"),
        ("k IN (SELECT k FROM c WHERE c.g = a.g)", "10N1000"),
        ("k + 3 IN (SELECT k FROM c)", "10N0N01"),
        ("4 IN (SELECT k FROM b)", "1111111"),
        ("5 IN (SELECT k FROM b)", "NNNNNNN"),
        ("id < 3 OR k IN (SELECT k FROM b)", "11N1NN1"),
        (
            "EXISTS (SELECT 1 FROM b WHERE b.k = a.k) AND k NOT IN (SELECT k FROM c WHERE c.k > 1)",
            "1000001",
        ),
    ] {
        let text = format!("SELECT id, CAST({value} AS INT) AS v FROM a ORDER BY id");
        let frame = context.sql(&text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
        let batches = frame.collect().await.unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut found = String::new();
        for batch in batches {
            for value in batch.column(1).as_primitive::<Int32Type>().iter() {
                found.push_str(&value.map_or("N".to_owned(), |value| value.to_string()));
            }
        }
        assert_eq!(found, expected, "{value}");
    }
    let text = "SELECT sum(v) FROM (SELECT CASE WHEN EXISTS (SELECT 1 FROM b WHERE b.k = a.k) THEN id END AS v FROM a)";
    let frame = context.sql(text).await.unwrap().collect().await.unwrap();
    assert_eq!(frame[0].column(0).as_primitive::<Int64Type>().value(0), 12);
}
