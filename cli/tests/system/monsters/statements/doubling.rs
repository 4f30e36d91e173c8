//! Short texts that double at every step.

use super::super::monster::{Monster, doubling};
use super::{list, rarely, times};

/// Short texts that double at every step.
pub fn doubling_ones() -> Vec<Monster> {
    let mut all = Vec::new();
    for n in [10, 14, 20, 40] {
        let first = all.len();
        let named = |name: &str| format!("{name}, {n} times");
        let ctes = |first: &str, text: &dyn Fn(usize) -> String| {
            format!(
                "WITH c0 AS ({first}), {} SELECT * FROM c{n}",
                list(n, ", ", |n| format!("c{} AS ({})", n + 1, text(n)))
            )
        };
        for (name, inner, select) in [
            ("sums", "SELECT c0 AS x FROM t", "x + x AS x"),
            ("sums of constants", "SELECT 1 AS x", "x + x AS x"),
            ("texts", "SELECT 'x' AS x", "x || x AS x"),
            ("texts of a table", "SELECT c0::text AS x FROM t", "x || x AS x"),
            ("concat", "SELECT 'x' AS x", "concat(x, x, x, x) AS x"),
            ("concat of a table", "SELECT c0::text AS x FROM t", "concat(x, x, x, x) AS x"),
            ("replace", "SELECT 'xx' AS x", "replace(x, 'x', 'xxxx') AS x"),
            ("structs", "SELECT c0 AS x FROM t", "struct(x, x) AS x"),
            ("arrays", "SELECT c0 AS x FROM t", "[x, x] AS x"),
            ("array concat", "SELECT [c0] AS x FROM t", "array_concat(x, x, x, x) AS x"),
            ("lists", "SELECT [c0] AS x FROM t", "x || x AS x"),
            ("case", "SELECT c0 AS x FROM t", "CASE WHEN x > 1 THEN x ELSE x + 1 END AS x"),
            ("and", "SELECT c0 > 1 AS x FROM t", "(x AND NOT x) OR (NOT x AND x) AS x"),
            ("coalesce", "SELECT c0 AS x FROM t", "coalesce(x + 1, x - 1) AS x"),
            ("string_agg", "SELECT 'x' AS x", "string_agg(x || x, ',') AS x"),
        ] {
            let before = times(&format!("SELECT {select} FROM ("), n);
            all.push(doubling(named(name), format!("{before}{inner}{}", times(")", n))));
            let step = |n: usize| format!("SELECT {select} FROM c{n}");
            all.push(doubling(named(&format!("{name} by WITH")), ctes(inner, &step)));
        }
        all.push(doubling(
            named("ctes joined"),
            ctes("SELECT c0 AS x FROM t", &|n| {
                format!("SELECT a.x FROM c{n} a JOIN c{n} b ON a.x = b.x")
            }),
        ));
        all.push(doubling(
            named("ctes united"),
            ctes("SELECT c0 AS x FROM t", &|n| {
                format!("SELECT x FROM c{n} UNION ALL SELECT x FROM c{n}")
            }),
        ));
        all.push(doubling(
            named("constants united"),
            ctes("SELECT 1 AS x", &|n| format!("SELECT x FROM c{n} UNION ALL SELECT x FROM c{n}")),
        ));
        all.push(doubling(
            named("ctes in subqueries"),
            ctes("SELECT c0 AS x FROM t", &|n| {
                format!("SELECT x FROM c{n} WHERE x IN (SELECT x FROM c{n})")
            }),
        ));
        all.push(doubling(
            named("ctes in scalars"),
            ctes("SELECT 1 AS x", &|n| {
                format!("SELECT (SELECT max(x) FROM c{n}) + (SELECT min(x) FROM c{n}) AS x")
            }),
        ));
        all.push(doubling(
            named("wildcards"),
            ctes("SELECT c0 AS x FROM t LIMIT 1", &|n| {
                format!("SELECT a.*, b.* FROM c{n} a CROSS JOIN c{n} b")
            }),
        ));
        all.push(doubling(
            named("conditions"),
            format!(
                "SELECT 1 FROM t WHERE {}",
                list(n, " AND ", |n| format!("(c{} = {n} OR c{} = {n})", n % 10, (n + 1) % 10))
            ),
        ));
        if matches!(n, 10 | 20) {
            rarely(&mut all[first..]);
        }
    }
    all
}
