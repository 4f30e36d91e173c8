//! Chains and nests.

use super::super::monster::{Monster, deep};
use super::{list, times};

/// Every deep monster.
pub fn deep_ones() -> Vec<Monster> {
    let mut all = chains();
    all.extend(nests());
    all
}

/// A chain is as deep as it has links. Of each there is one that is let through and one that is not.
fn chains() -> Vec<Monster> {
    let mut all = Vec::new();
    for (name, head, link, tail) in [
        ("and", "SELECT 1 FROM t WHERE c0 > 0", " AND c1 > 0", ""),
        ("or", "SELECT 1 FROM t WHERE c0 = 1", " OR c1 = c2", ""),
        ("or of one column", "SELECT 1 FROM t WHERE c0 = 1", " OR c0 = 2", ""),
        ("plus", "SELECT c0", " + c1", " FROM t"),
        ("plus of constants", "SELECT 1", " + 1", ""),
        ("concat", "SELECT 'a'", " || 'b'", ""),
        ("concat of columns", "SELECT c0", " || c1", " FROM t"),
        ("cast", "SELECT c0", "::int::text", " FROM t"),
        ("is null", "SELECT c0", " IS NULL", " FROM t"),
        ("at time zone", "SELECT now()", " AT TIME ZONE 'UTC'", ""),
        ("json arrow", "SELECT c0", " -> 'a'", " FROM t"),
        ("index", "SELECT make_array(1)", "[1]", ""),
        ("array type", "SELECT CAST(NULL AS INT", "[]", ")"),
        ("like", "SELECT 'a'", " LIKE 'b'", ""),
        ("rlike", "SELECT 'a'", " RLIKE 'b'", ""),
        ("similar to", "SELECT 'a'", " SIMILAR TO 'b'", ""),
        ("period", "SELECT a", ".a", " FROM t"),
        ("union all", "SELECT c0 FROM t", " UNION ALL SELECT c1 FROM t", ""),
        ("union", "SELECT c0 FROM t", " UNION SELECT c1 FROM t", ""),
        ("intersect", "SELECT c0 FROM t", " INTERSECT SELECT c1 FROM t", ""),
        ("except", "SELECT c0 FROM t", " EXCEPT SELECT c1 FROM t", ""),
        ("union all of constants", "SELECT 1", " UNION ALL SELECT 1", ""),
    ] {
        for links in [90, 900, 5_000, 20_000] {
            let sql = format!("{head}{}{tail}", times(link, links));
            let monster = deep(format!("{name}, {links} links"), sql);
            all.push(match links {
                900 => monster,
                20_000 => monster.too_complex(),
                5_000 => monster.rarely().too_complex(),
                _ => monster.rarely(),
            });
        }
    }
    all
}

/// Nests of brackets, calls and queries.
fn nests() -> Vec<Monster> {
    let mut all = Vec::new();
    for (name, before, open, middle, close, after) in [
        ("parentheses", "SELECT ", "(", "1", ")", ""),
        ("relation parentheses", "SELECT * FROM ", "(", "t", ")", ""),
        ("query parentheses", "", "(", "SELECT 1", ")", ""),
        ("case", "SELECT ", "CASE WHEN c0 > 1 THEN ", "1", " ELSE 0 END", " FROM t"),
        ("case when", "SELECT ", "CASE WHEN ", "true", " THEN true END", ""),
        ("not", "SELECT ", "NOT ", "true", "", ""),
        ("minus", "SELECT ", "- ", "c0", "", " FROM t"),
        ("tilde", "SELECT ", "~ ", "1", "", ""),
        ("call", "SELECT ", "abs(", "c0", ")", " FROM t"),
        ("cast call", "SELECT ", "CAST(", "c0", " AS INT)", " FROM t"),
        ("array", "SELECT ", "[", "1", "]", ""),
        ("array call", "SELECT ", "make_array(", "1", ")", ""),
        ("struct", "SELECT ", "{'a': ", "1", "}", ""),
        ("struct call", "SELECT ", "struct(", "1", ")", ""),
        ("from", "SELECT * FROM ", "(SELECT * FROM ", "t", ")", ""),
        ("scalar subquery", "SELECT ", "(SELECT ", "max(c0) FROM t", ")", ""),
        (
            "in subquery",
            "SELECT c0 FROM t WHERE ",
            "c0 IN (SELECT c0 FROM t WHERE ",
            "true",
            ")",
            "",
        ),
        ("exists", "SELECT c0 FROM t WHERE ", "EXISTS (SELECT 1 FROM t WHERE ", "true", ")", ""),
        ("lateral", "SELECT * FROM t ", ", LATERAL (SELECT c0 FROM t ", "", ")", ""),
        ("with", "", "WITH a AS (", "SELECT 1", ") SELECT * FROM a", ""),
        ("join parentheses", "SELECT * FROM ", "(t CROSS JOIN ", "t", ")", ""),
        ("between", "SELECT ", "1 BETWEEN ", "1", " AND 2", ""),
        ("interval", "SELECT ", "INTERVAL ", "'1 day'", "", ""),
        ("over", "SELECT ", "sum(1) OVER (ORDER BY ", "1", ")", " FROM t"),
        ("array of types", "SELECT CAST(NULL AS ", "ARRAY<", "INT", ">", ")"),
        ("type text", "SELECT arrow_cast(NULL, '", "List(", "Int64", ")", "')"),
        ("explain", "", "EXPLAIN ", "SELECT 1", "", ""),
        ("json text", "SELECT '", "[", "", "]", "'"),
        ("grouping sets", "SELECT c0 FROM t GROUP BY ", "GROUPING SETS (", "c0", ")", ""),
        ("comment", "SELECT 1 ", "/* ", "", " */", ""),
    ] {
        for levels in [24, 45, 900, 20_000] {
            let (open_all, close_all) = (times(open, levels), times(close, levels));
            let sql = format!("{before}{open_all}{middle}{close_all}{after}");
            let monster = deep(format!("{name}, {levels} deep"), sql);
            all.push(match levels {
                45 => monster,
                20_000 if name != "comment" => monster.too_complex(),
                _ => monster.rarely(),
            });
        }
    }
    for (name, sql) in [
        ("500 KB of parentheses", times("(", 250_000) + &times(")", 250_000)),
        ("500 KB of opening parentheses", times("(", 500_000)),
        ("SELECT and 500 KB of parentheses", "SELECT ".to_owned() + &times("(", 500_000)),
        ("1 MB of type text", format!("SELECT arrow_cast(NULL, '{}')", times("List(", 200_000))),
        (
            "1 MB of pivots",
            format!("SELECT * FROM t{}", times(" PIVOT(sum(c0) FOR c1 IN (1))", 30_000)),
        ),
        (
            "1 MB of unpivots",
            format!("SELECT * FROM t{}", times(" UNPIVOT(a FOR b IN (c))", 30_000)),
        ),
        ("a million periods", format!("SELECT {}a", times("a.", 500_000))),
    ] {
        all.push(deep(name, sql).too_complex());
    }
    let windows = list(5_000, "", |n| format!(", w{} AS (w{n})", n + 1));
    all.push(deep("named windows", format!("SELECT 1 FROM t WINDOW w0 AS (){windows}")));
    all
}
