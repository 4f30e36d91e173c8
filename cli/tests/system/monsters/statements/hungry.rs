//! Calls that make much memory from little text.

use super::super::monster::{Monster, hungry};

/// Calls that make much memory from little text, while the statement is planned and while it runs.
/// Long because it is one list of statements.
pub fn functions() -> Vec<Monster> {
    let mut all = Vec::new();
    for (name, call) in [
        ("repeat", "repeat('x', 2000000000)"),
        ("repeat of repeat", "repeat(repeat('x', 100000), 100000)"),
        ("repeat too far", "repeat('xxxxxxxx', 9223372036854775807)"),
        ("lpad", "lpad('x', 2000000000, 'y')"),
        ("rpad", "rpad('x', 2000000000, 'y')"),
        ("lpad too far", "lpad('x', 9223372036854775807, 'y')"),
        ("range", "range(0, 5000000000)"),
        ("generate_series", "generate_series(0, 5000000000)"),
        ("range of days", "range(DATE '0001-01-01', DATE '9999-01-01', INTERVAL '1' DAY)"),
        (
            "generate_series of moments",
            "generate_series(TIMESTAMP '0001-01-01', TIMESTAMP '2200-01-01', INTERVAL '1' MICROSECOND)",
        ),
        ("array_repeat", "array_repeat('x', 2000000000)"),
        ("array_repeat of arrays", "array_repeat(array_repeat(1, 100000), 100000)"),
        ("array_resize", "array_resize([1], 5000000000, 0)"),
        ("array_resize too far", "array_resize([1], 9223372036854775807, 0)"),
        ("replace", "replace(repeat('x', 100000), 'x', repeat('y', 100000))"),
        ("regexp_replace", "regexp_replace(repeat('x', 100000), 'x', repeat('y', 100000), 'g')"),
        ("translate", "translate(repeat('x', 1000000), 'x', 'y')"),
        ("overlay", "overlay(repeat('x', 1000000) placing repeat('y', 100000000) from 1)"),
        (
            "array_to_string",
            "array_to_string(array_repeat(repeat('x', 10000), 100000), repeat('y', 10000))",
        ),
        ("string_to_array", "string_to_array(repeat('x,', 100000000), ',')"),
        (
            "concat_ws",
            "concat_ws(repeat('x', 100000000), 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k')",
        ),
        ("encode", "encode(repeat('x', 1000000000), 'hex')"),
        ("array_concat", "array_concat(range(0, 100000000), range(0, 100000000))"),
        ("flatten", "flatten(array_repeat(range(0, 100000), 100000))"),
        ("cardinality", "cardinality(range(0, 5000000000))"),
        ("to_char", "to_char(now(), repeat('%c', 10000000))"),
        ("chr", "chr(1114112)"),
        ("factorial", "factorial(1000000000000)"),
        ("power", "power(10, 1000000)"),
        ("digest", "digest(repeat('x', 2000000000), 'sha512')"),
        ("decimal", "CAST(repeat('9', 100000000) AS DECIMAL(38, 0))"),
        ("sleep", "random()"),
    ] {
        all.push(hungry(name, format!("SELECT length({call}::text)")));
        all.push(hungry(format!("{name} of a table"), format!("SELECT {call}, c0 FROM t")));
    }
    for (name, sql) in [
        ("repeat of a column", "SELECT repeat('x', c0 + 1000000000) FROM t"),
        (
            "repeat of many rows",
            "SELECT max(length(repeat('x', CAST(value AS BIGINT) * 0 + 1000000))) FROM generate_series(1, 8192)",
        ),
        ("range of a column", "SELECT range(0, c0 + 5000000000) FROM t"),
        (
            "lpad of many rows",
            "SELECT max(length(lpad('x', value * 0 + 1000000))) FROM generate_series(1, 8192)",
        ),
        (
            "replace of many rows",
            "SELECT max(length(replace(repeat('x', 1000 + value * 0), 'x', repeat('y', 1000)))) FROM generate_series(1, 8192)",
        ),
        (
            "string_agg",
            "SELECT length(string_agg(repeat('x', 1000), ',')) FROM generate_series(1, 10000000)",
        ),
        ("array_agg", "SELECT cardinality(array_agg(value)) FROM generate_series(1, 2000000000)"),
        (
            "array_agg of text",
            "SELECT cardinality(array_agg(repeat('x', 1000000))) FROM generate_series(1, 100000)",
        ),
        ("count distinct", "SELECT count(DISTINCT value) FROM generate_series(1, 2000000000)"),
        (
            "sort",
            "SELECT value FROM generate_series(1, 2000000000) ORDER BY value DESC LIMIT 1 OFFSET 1000000000",
        ),
        (
            "window",
            "SELECT max(s) FROM (SELECT sum(value) OVER (ORDER BY value DESC) s FROM generate_series(1, 1000000000))",
        ),
        ("unnest of range", "SELECT count(*) FROM (SELECT unnest(range(0, 5000000000)))"),
        (
            "unnest of nested ranges",
            "SELECT count(*) FROM (SELECT unnest(range(0, 100000)) FROM generate_series(1, 8192))",
        ),
        (
            "recursion",
            "WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r) SELECT max(x) FROM r",
        ),
        (
            "recursion that doubles",
            "WITH RECURSIVE r AS (SELECT 'x' AS x UNION ALL SELECT x || x FROM r) SELECT length(x) FROM r",
        ),
        (
            "cross join of series",
            "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b",
        ),
    ] {
        // These compute for days, as the cross join does.
        let mut monster = hungry(name, sql);
        monster.rare = matches!(name, "count distinct" | "sort");
        all.push(monster);
    }
    all
}
