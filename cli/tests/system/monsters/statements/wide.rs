//! Few levels with much in each.

use super::super::monster::{Monster, wide};
use super::{list, times};

/// Lists of everything that can be listed.
/// Long because it is one list of statements.
pub fn wide_ones() -> Vec<Monster> {
    let columns = |n: usize| list(n, ", ", |n| format!("c0 + {n} AS x{n}"));
    vec![
        wide("10,000 columns", format!("SELECT {} FROM t", columns(10_000))),
        wide("20,000 constants", format!("SELECT {}", list(20_000, ", ", |n| n.to_string()))),
        wide(
            "10,000 columns twice",
            format!("SELECT * FROM (SELECT {} FROM t) ORDER BY 1", columns(10_000)),
        ),
        wide(
            "3,000 columns joined",
            format!(
                "WITH a AS (SELECT {} FROM t) SELECT * FROM a x JOIN a y ON x.x0 = y.x0 JOIN a z ON x.x0 = z.x0",
                columns(3_000)
            ),
        ),
        wide(
            "50,000 numbers in IN",
            format!("SELECT * FROM t WHERE c0 IN ({})", list(50_000, ",", |n| n.to_string())),
        ),
        wide(
            "50,000 expressions in IN",
            format!("SELECT * FROM t WHERE c0 IN ({})", list(50_000, ",", |n| format!("c1+{n}"))),
        ),
        wide(
            "50,000 texts in NOT IN",
            format!(
                "SELECT * FROM t WHERE c0::text NOT IN ({})",
                list(50_000, ",", |n| format!("'{n}'"))
            ),
        ),
        wide(
            "100 IN lists of 5,000",
            format!(
                "SELECT * FROM t WHERE {}",
                list(30, " OR ", |_| format!("c0 IN ({})", list(5_000, ",", |n| n.to_string())))
            ),
        ),
        wide(
            "10,000 branches",
            format!(
                "SELECT CASE c0 {} END FROM t",
                list(10_000, " ", |n| format!("WHEN {n} THEN {n}"))
            ),
        ),
        wide(
            "10,000 conditions",
            format!(
                "SELECT CASE {} END FROM t",
                list(10_000, " ", |n| format!("WHEN c0 > {n} THEN c1"))
            ),
        ),
        wide(
            "20,000 rows of values",
            format!("VALUES {}", list(20_000, ",", |n| format!("({n}, 'x')"))),
        ),
        wide(
            "50,000 rows of values in a query",
            format!(
                "SELECT sum(column1) FROM (VALUES {}) v",
                list(50_000, ",", |n| format!("({n})"))
            ),
        ),
        wide(
            "a row of 20,000 values",
            format!("VALUES ({})", list(20_000, ",", |n| n.to_string())),
        ),
        wide(
            "values with expressions",
            format!("SELECT * FROM (VALUES {}) v", list(20_000, ",", |n| format!("({n} + 1 * 2)"))),
        ),
        wide("1 MB of text", format!("SELECT length('{}')", times("x", 1_000_000))),
        wide(
            "1 MB of text, 64 times named",
            format!(
                "WITH a AS (SELECT '{}' || c0 AS x FROM t) SELECT {} FROM a",
                times("x", 1_000_000),
                list(64, ",", |n| format!("x || '{n}'"))
            ),
        ),
        wide("1 MB of digits", format!("SELECT {}", times("7", 1_000_000))),
        wide("1 MB of decimals", format!("SELECT 0.{}", times("7", 1_000_000))),
        wide("1 MB of exponent", format!("SELECT 1e{}", times("9", 1_000_000))),
        wide("1 MB of name", format!("SELECT {}", times("n", 1_000_000))),
        wide("1 MB of alias", format!("SELECT 1 AS {}", times("n", 1_000_000))),
        wide(
            "5,000 long aliases",
            format!("SELECT {}", list(1_000, ",", |n| format!("1 AS {}{n}", times("n", 900)))),
        ),
        wide(
            "1 MB of pattern",
            format!("SELECT 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaa' LIKE '{}'", times("%a", 400_000)),
        ),
        wide(
            "patterns in patterns",
            format!("SELECT regexp_like('{}b', '(a+)+$')", times("a", 100_000)),
        ),
        wide(
            "a large regular expression",
            "SELECT regexp_like('a', '((((a{1,100}){1,100}){1,100}){1,100})')".to_owned(),
        ),
        wide(
            "deep regular expression",
            format!("SELECT regexp_like('a', '{}a{}')", times("(", 100_000), times(")", 100_000)),
        ),
        wide("1 MB of hexadecimal", format!("SELECT x'{}'", times("ab", 500_000))),
        wide(
            "cube of 10",
            format!("SELECT count(*) FROM t GROUP BY CUBE({})", list(10, ",", |n| format!("c{n}"))),
        ),
        wide(
            "cube of 16",
            format!(
                "SELECT count(*) FROM t GROUP BY CUBE({})",
                list(16, ",", |n| format!("c0+{n}"))
            ),
        ),
        wide(
            "cube of 30",
            format!(
                "SELECT count(*) FROM t GROUP BY CUBE({})",
                list(30, ",", |n| format!("c0+{n}"))
            ),
        ),
        wide(
            "cube of 64",
            format!(
                "SELECT count(*) FROM t GROUP BY CUBE({})",
                list(64, ",", |n| format!("c0+{n}"))
            ),
        ),
        wide(
            "cubes",
            format!(
                "SELECT count(*) FROM t GROUP BY {}",
                list(6, ",", |_| format!("CUBE({})", list(10, ",", |n| format!("c{n}"))))
            ),
        ),
        wide(
            "rollups",
            format!(
                "SELECT count(*) FROM t GROUP BY {}",
                list(8, ",", |_| format!("ROLLUP({})", list(10, ",", |n| format!("c{n}"))))
            ),
        ),
        wide(
            "rollup of 2,000",
            format!(
                "SELECT count(*) FROM t GROUP BY ROLLUP({})",
                list(2_000, ",", |n| format!("c0+{n}"))
            ),
        ),
        wide(
            "10,000 grouping sets",
            format!(
                "SELECT count(*) FROM t GROUP BY GROUPING SETS ({})",
                list(10_000, ",", |n| format!("(c{},c{})", n % 10, n / 10 % 10))
            ),
        ),
        wide(
            "grouping sets multiplied",
            format!(
                "SELECT count(*) FROM t GROUP BY {}",
                list(5, ",", |_| format!(
                    "GROUPING SETS ({})",
                    list(100, ",", |n| format!("(c{})", n % 10))
                ))
            ),
        ),
        wide(
            "5,000 aggregates",
            format!("SELECT {} FROM t", list(5_000, ",", |n| format!("sum(c0 + {n})"))),
        ),
        wide(
            "1,000 distinct aggregates",
            format!("SELECT {} FROM t", list(1_000, ",", |n| format!("count(DISTINCT c0 + {n})"))),
        ),
        wide(
            "2,000 windows",
            format!(
                "SELECT {} FROM t",
                list(2_000, ",", |n| format!(
                    "sum(c0) OVER (PARTITION BY c{} ORDER BY c0 + {n})",
                    n % 10
                ))
            ),
        ),
        wide(
            "5,000 order keys",
            format!("SELECT * FROM t ORDER BY {}", list(5_000, ",", |n| format!("c0 + {n}"))),
        ),
        wide(
            "5,000 group keys",
            format!(
                "SELECT count(*) FROM t GROUP BY {}",
                list(5_000, ",", |n| format!("c0 + {n}"))
            ),
        ),
        wide(
            "call with 20,000 arguments",
            format!("SELECT coalesce({})", list(20_000, ",", |_| "NULL".to_owned())),
        ),
        wide(
            "concat with 20,000 arguments",
            format!("SELECT concat({}) FROM t", list(20_000, ",", |_| "c0".to_owned())),
        ),
        wide("array of 50,000", format!("SELECT [{}]", list(50_000, ",", |n| n.to_string()))),
        wide(
            "500 scalar subqueries",
            format!("SELECT {}", list(500, ",", |n| format!("(SELECT max(c0) + {n} FROM t)"))),
        ),
        wide(
            "500 correlated subqueries",
            format!(
                "SELECT {} FROM t",
                list(500, ",", |n| format!("(SELECT max(b.c0) + {n} FROM t b WHERE b.c1 = t.c1)"))
            ),
        ),
        wide(
            "200 EXISTS",
            format!(
                "SELECT 1 FROM t WHERE {}",
                list(200, " AND ", |n| format!(
                    "EXISTS (SELECT 1 FROM t b WHERE b.c0 = t.c0 + {n})"
                ))
            ),
        ),
    ]
}
