//! Tables whose files are divided by the same keys, so that joins of them need no exchange (decision 0038), and statements
//! over them. They are asked with those of `told`.

use crate::told_table::Told;

/// `heads` and `lines` are divided alike, `halves` in half as many files, and the files of `meets` have keys together.
pub(crate) fn tables() -> Vec<Told> {
    vec![
        Told::series("heads", "*", 8, |file| {
            format!(
                "select value + {} as k, value * 7919 % 97 as m, case when value % 4 <> 1 then value % 13 end as n from generate_series(0, 399) where value % 7 <> 2",
                file * 400
            )
        }),
        // The scan of one partition has more than 4 MiB.
        Told::series("lines", "*", 8, |file| {
            format!(
                "select value / 5 + {} as k, value * 7919 % 97 as m, case when value % 6 <> 5 then value % 11 end as w, repeat(cast(value as varchar) || '.', 500) as pad from generate_series(0, 1999)",
                file * 400
            )
        }),
        Told::series("halves", "*", 4, |file| {
            format!(
                "select value + {} as k, value % 17 as m from generate_series(0, 799)",
                file * 800
            )
        }),
        Told::series("meets", "*", 8, |file| {
            format!(
                "select value + {} as k, value % 17 as m from generate_series(0, 400)",
                file * 400
            )
        }),
    ]
}

/// The statements, and whether their rows have an order.
pub(crate) const STATEMENTS: &[(&str, bool)] = &[
    ("select h.k, h.m, l.w from heads h join lines l on h.k = l.k where h.m < 9", false),
    (
        "select h.k, h.n, l.k as j, l.w from heads h left join lines l on h.k = l.k and l.w = h.n",
        false,
    ),
    (
        "select h.k, h.n, l.k as j, l.w from (select * from heads where m = 3) h right join lines l on h.k = l.k",
        false,
    ),
    (
        "select h.k, l.k as j from (select * from heads where n = 2) h full join (select * from lines where w = 2) l on h.k = l.k and h.m = l.m",
        false,
    ),
    (
        "select k, m from heads h where exists (select 1 from lines l where l.k = h.k and l.w = h.n)",
        false,
    ),
    (
        "select k, m from heads h where not exists (select 1 from lines l where l.k = h.k and l.w > h.n)",
        false,
    ),
    (
        "select k, n from heads h where m < 40 and n in (select w from lines l where l.k = h.k)",
        false,
    ),
    (
        "select h.k, count(*), sum(l.w), max(h.n) from heads h join lines l on h.k = l.k group by h.k",
        false,
    ),
    (
        "select l.k, count(*), count(h.n) from (select * from heads where m < 20) h right join lines l on h.k = l.k group by l.k",
        false,
    ),
    (
        "select h.k, count(*) from (select * from heads where m < 20) h right join lines l on h.k = l.k group by h.k",
        false,
    ),
    (
        "select h.n, l.w, count(*) from heads h join lines l on h.k = l.k group by grouping sets ((h.n, l.w), (l.w), ())",
        false,
    ),
    (
        "select h.k, v.m, s from heads h join halves v on h.k = v.k join (select k, sum(w) as s from lines group by k having sum(w) > 12) l on l.k = v.k where h.n is not null",
        false,
    ),
    (
        "select h.m, count(distinct l.k) from heads h join lines l on h.k = l.k and h.m = l.m join heads g on g.k = l.k group by h.m",
        false,
    ),
    ("select h.k, e.m from heads h join meets e on h.k = e.k where h.n = e.m", false),
    (
        "select h.k, e.m, l.w from heads h join lines l on h.k = l.k join meets e on e.k = l.k where h.n = 5",
        false,
    ),
    (
        "select h.k, l.w, row_number() over (partition by h.k order by l.w, l.m) as r from heads h join lines l on h.k = l.k where h.m < 5",
        false,
    ),
    (
        "select h.k, l.w, l.m from heads h join lines l on h.k = l.k order by l.w, h.k, l.m limit 11",
        true,
    ),
];
