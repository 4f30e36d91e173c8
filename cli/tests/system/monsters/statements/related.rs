//! Many relations and many common table expressions.

use super::super::monster::{Monster, wide};
use super::{list, rarely, times};

/// Relations side by side, and names in a row.
/// Long because it is one list of statements.
pub fn relations() -> Vec<Monster> {
    let mut all = Vec::new();
    for n in [20, 90, 900] {
        let relations = all.len();
        let named = |name: &str| format!("{name}, {n}");
        let tables = |separator: &str, text: &dyn Fn(usize) -> String| {
            format!("SELECT count(*) FROM {}", list(n, separator, text))
        };
        all.push(wide(named("commas"), tables(", ", &|n| format!("t t{n}"))));
        all.push(wide(
            named("commas and keys"),
            tables(", ", &|n| format!("t t{n}"))
                + " WHERE "
                + &list(n - 1, " AND ", |n| format!("t{n}.c0 = t{}.c0", n + 1)),
        ));
        all.push(wide(
            named("joins"),
            format!(
                "SELECT count(*) FROM t t0 {}",
                list(n, " ", |n| format!("JOIN t t{} ON t{n}.c0 = t{}.c0", n + 1, n + 1))
            ),
        ));
        all.push(wide(
            named("left joins"),
            format!(
                "SELECT * FROM t t0 {}",
                list(n, " ", |n| format!("LEFT JOIN t t{} ON t0.c0 = t{}.c0", n + 1, n + 1))
            ),
        ));
        all.push(wide(
            named("full joins"),
            format!(
                "SELECT count(*) FROM t t0 {}",
                list(n, " ", |n| format!("FULL JOIN t t{} ON t{n}.c0 = t{}.c0", n + 1, n + 1))
            ),
        ));
        all.push(wide(
            named("natural joins"),
            format!(
                "SELECT count(*) FROM t t0 {}",
                list(n, " ", |n| format!("NATURAL JOIN t t{}", n + 1))
            ),
        ));
        all.push(wide(
            named("joins that close late"),
            format!(
                "SELECT count(*) FROM t t0 {} {}",
                list(n, " ", |n| format!("JOIN t t{}", n + 1)),
                times("ON true ", n)
            ),
        ));
        all.push(wide(
            named("laterals"),
            format!(
                "SELECT count(*) FROM t t0 {}",
                list(n, " ", |n| format!("CROSS JOIN LATERAL (SELECT t{n}.c0 AS c0) t{}", n + 1))
            ),
        ));
        all.push(wide(
            named("unnests"),
            format!("SELECT count(*) FROM t t0 {}", times(" CROSS JOIN unnest([1])", n)),
        ));
        all.push(wide(
            named("series"),
            format!(
                "SELECT count(*) FROM {}",
                list(n, ", ", |n| format!("generate_series(1, 2) s{n}"))
            ),
        ));
        if n == 90 {
            rarely(&mut all[relations..]);
        }
    }
    for n in [40, 400, 5_000] {
        let ctes_from = all.len();
        let named = |name: &str| format!("{name}, {n}");
        let ctes = |first: &str, text: &dyn Fn(usize) -> String, last: &str| {
            format!(
                "WITH c0 AS ({first}), {} {last} FROM c{n}",
                list(n, ", ", |n| format!("c{} AS ({})", n + 1, text(n)))
            )
        };
        all.push(wide(
            named("ctes in a row"),
            ctes("SELECT 1 AS x", &|n| format!("SELECT x + 1 AS x FROM c{n}"), "SELECT *"),
        ));
        all.push(wide(
            named("ctes of a table"),
            ctes(
                "SELECT c0 AS x FROM t",
                &|n| format!("SELECT x + {n} AS x FROM c{n} WHERE x > {n}"),
                "SELECT *",
            ),
        ));
        all.push(wide(
            named("ctes that group"),
            ctes(
                "SELECT c0 AS x FROM t",
                &|n| format!("SELECT max(x) AS x FROM c{n} GROUP BY x"),
                "SELECT *",
            ),
        ));
        all.push(wide(
            named("ctes that limit"),
            ctes(
                "SELECT c0 AS x FROM t",
                &|n| format!("SELECT x FROM c{n} ORDER BY x LIMIT {}", 1_000_000 - n),
                "SELECT *",
            ),
        ));
        all.push(wide(
            named("ctes that window"),
            ctes(
                "SELECT c0 AS x FROM t",
                &|n| format!("SELECT sum(x) OVER (ORDER BY x) AS x FROM c{n}"),
                "SELECT *",
            ),
        ));
        all.push(wide(
            named("ctes that join"),
            ctes(
                "SELECT c0 AS x FROM t",
                &|n| format!("SELECT a.x FROM c{n} a JOIN t ON a.x = t.c0"),
                "SELECT count(*)",
            ),
        ));
        all.push(wide(
            named("ctes that nest arrays"),
            ctes("SELECT 1 AS x", &|n| format!("SELECT make_array(x) AS x FROM c{n}"), "SELECT *"),
        ));
        all.push(wide(
            named("ctes that nest calls"),
            ctes("SELECT c0 AS x FROM t", &|n| format!("SELECT abs(x) AS x FROM c{n}"), "SELECT *"),
        ));
        all.push(wide(
            named("ctes that negate"),
            ctes(
                "SELECT c0 > 1 AS x FROM t",
                &|n| format!("SELECT NOT x AS x FROM c{n}"),
                "SELECT *",
            ),
        ));
        all.push(wide(
            named("ctes that unite"),
            ctes(
                "SELECT c0 AS x FROM t",
                &|n| format!("SELECT x FROM c{n} UNION ALL SELECT c0 FROM t"),
                "SELECT count(*)",
            ),
        ));
        all.push(wide(
            named("ctes that nobody names"),
            format!("WITH {} SELECT 1", list(n, ", ", |n| format!("c{n} AS (SELECT * FROM t)"))),
        ));
        if n == 400 {
            rarely(&mut all[ctes_from..]);
        }
    }
    all
}
