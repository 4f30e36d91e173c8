//! What files tell of themselves, and names that two columns have: nothing of that may change an answer.
//!
//! ```text
//!   files with ranges that leave out NaN, orders of parts of a file,         the same rows in memory,
//!   columns of several types, sides with equal names               ──?──     on one partition, where no file tells
//! ```
//! Over the same files one DataFusion process has many of these answers wrong (decision 0035). So here the truth comes from
//! rows in memory, which have neither statistics nor an order.

use std::path::Path;
use std::sync::Arc;

use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use parquet::basic::Compression;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::WriterProperties;

use crate::bench::{Bench, Outcome};
use crate::compare::difference;
use crate::hard_tables::rows;
use crate::parquet_files::write_file;
use crate::place::TableOf;
use crate::reference::answer;
use crate::together;
use crate::told_table::Told;

/// More than 4 MiB of them make scans ask for the keys of joins.
const PAD: &str = "repeat(cast(value as varchar) || '.', 70) as pad";

/// Tables whose files tell ranges of other values than the table has.
fn ranges() -> Vec<Told> {
    let widened = |whole: &str, decimal: &str, time: &str, float: &str, values: &str| {
        format!(
            "select arrow_cast(a, '{whole}') as i, arrow_cast(b, 'Decimal128({decimal}, 2)') as v, \
             arrow_cast(c, 'Timestamp({time}, None)') as ts, arrow_cast(d, '{float}') as y \
             from (values {values}) as t(a, b, c, d)"
        )
    };
    vec![
        Told::new(
            "widened",
            "cast(i as bigint) as i, arrow_cast(v, 'Decimal128(30, 2)') as v, arrow_cast(ts, 'Timestamp(Microsecond, None)') as ts, cast(y as double) as y",
            vec![
                widened(
                    "Int32",
                    "6",
                    "Millisecond",
                    "Int8",
                    "(1, 1.10, timestamp '2019-01-01', 70), (900, 99.99, timestamp '2030-01-01', -3)",
                ),
                widened(
                    "Int64",
                    "30",
                    "Microsecond",
                    "Float32",
                    "(5, 1.50, timestamp '2021-01-01', 1.5), (6, 0.02, timestamp '2021-01-01', 2.5)",
                ),
            ],
        ),
        Told {
            sorted: &[0],
            ..Told::series("nans", "*", 4, |file| {
                format!(
                    "select case when value < 5 then {file} * 10.0 + value when value < 7 then 'NaN'::double else -('NaN'::double) end as x, value as n from generate_series(0, 7)"
                )
            })
        },
    ]
}

/// Tables whose values are made of others, and values in an order of their own.
fn casts() -> Vec<Told> {
    vec![
        // What a cast makes of them is in another order.
        Told::new(
            "times",
            "*",
            vec![
                "select arrow_cast(a, 'Timestamp(Microsecond, None)') as ts, b as n from (values \
                 (timestamp '2024-01-01 23:00:00', -1), (timestamp '2024-01-02 12:00:00', 0), \
                 (timestamp '2024-01-03 01:00:00', 1)) as t(a, b)"
                    .to_owned(),
            ],
        ),
        Told::new(
            "units",
            "arrow_cast(ts, 'Timestamp(Microsecond, None)') as ts",
            ["Millisecond", "Microsecond"]
                .map(|unit| {
                    format!(
                        "select arrow_cast(a, 'Timestamp({unit}, None)') as ts from (values \
                         (timestamp '2024-01-01 00:00:00')) as t(a)"
                    )
                })
                .to_vec(),
        ),
        Told {
            more: "columns = [\"v DECIMAL(10, 2)\", \"at TIME\"]",
            ..Told::new(
                "made",
                "arrow_cast(v, 'Decimal128(10, 2)') as v, cast(at as time) as at",
                vec![
                    "select arrow_cast(a, 'Decimal128(10, 3)') as v, b as at from (values \
                     ('1.005', timestamp '2024-01-01 23:00:00'), ('1.500', timestamp '2024-01-02 12:00:00'), \
                     ('1.014', timestamp '2024-01-03 01:00:00')) as t(a, b)"
                        .to_owned(),
                ],
            )
        },
        Told::series("nested", "*", 7, |file| {
            let (a, b) = [
                ("1", "'x'"),
                ("null", "null"),
                ("3", "null"),
                ("2", "null"),
                ("2", "'y'"),
                ("null", "'z'"),
                ("0", "'q'"),
            ][file as usize];
            format!(
                "select named_struct('a', cast({a} as bigint), 'b', cast({b} as varchar)) as v, {file} as id"
            )
        }),
    ]
}

/// Tables whose files say that they are in order.
fn orders() -> Vec<Told> {
    vec![
        Told {
            sorted: &[0],
            group: 40,
            ..Told::series("groups", "*", 4, |file| {
                format!(
                    "select value % 40 * 2 + (value / 40 + {file}) % 2 as k, value as v from generate_series(0, 79)"
                )
            })
        },
        Told {
            sorted: &[0],
            group: 60,
            ..Told::series("one_file", "*", 1, |_| {
                "select value % 60 + value / 60 as k, value as v from generate_series(0, 119)".into()
            })
        },
        // In order from the first row to the last, by the first key, and by both.
        Told {
            sorted: &[0, 1],
            group: 30,
            ..Told::series("meeting", "*", 1, |_| {
                "select value / 20 as k, value % 20 + case when value % 60 < 30 then 50 else 0 end as v from generate_series(0, 119)".into()
            })
        },
        Told {
            sorted: &[0, 1],
            group: 30,
            ..Told::series("ordered", "*", 3, |file| {
                format!("select value / 30 + {file} * 10 as k, value as v from generate_series(0, 119)")
            })
        },
        Told {
            sorted: &[0],
            ..Told::series("leaf", "k, n", 4, |file| {
                format!(
                    "select named_struct('k', value) as s, (value * 5 + {file}) % 7 as k, value as n from generate_series(0, 5)"
                )
            })
        },
        Told {
            files: (0..4)
                .map(|file| {
                    let sql = "select case when value < 2 then 'x' else 'y' end as g, (value * 3 + 3) % 5 as k from generate_series(0, 3)";
                    (format!("g={file}/"), sql.to_owned())
                })
                .collect(),
            sorted: &[0, 1],
            ..Told::new("folders", "k", Vec::new())
        },
        Told {
            sorted: &[0],
            more: "columns = [\"k BIGINT\", \"n BIGINT\"]\n",
            ..Told::series("declared", "cast(k as bigint) as k, n", 3, |file| {
                format!(
                    "select cast(value + {file} as varchar) as k, value as n from generate_series(8, 11) order by 1"
                )
            })
        },
    ]
}

/// Tables whose columns have the same names.
fn sides() -> Vec<Told> {
    vec![
        Told::series("j1", "*", 4, |file| {
            format!("select value + {} as k, {file} as m from generate_series(0, 49)", file * 50)
        }),
        Told::series("j2", "*", 4, |file| {
            format!(
                "select value + {} as k, (value * 7 + {file}) % 9 + 10 * (value % 3) as m, value % 5 as w from generate_series(0, 49)",
                file * 50
            )
        }),
        Told::series("big", "*", 6, |file| {
            let first = file * 2_000;
            format!(
                "select case when value % 10 <> 3 then value * 7919 % 5000 end as k, value * 1049 % 5000 as m, value as id, {PAD} from generate_series({first}, {})",
                first + 1_999
            )
        }),
        Told::series("mid", "*", 4, |file| {
            let first = file * 1_000;
            format!(
                "select case when value % 9 <> 4 then value * 7907 % 5000 end as k, value * 1013 % 5000 as m, value * 3 as id from generate_series({first}, {})",
                first + 999
            )
        }),
        Told::series("small", "*", 4, |file| {
            let first = file * 25;
            format!(
                "select case when value % 5 <> 2 then value * 331 % 5000 end as k, value * 977 % 5000 as m, value * 113 % 12000 as id from generate_series({first}, {})",
                first + 24
            )
        }),
        Told::series("wide", "*", 6, |file| {
            let first = file * 2_000;
            format!(
                "select value % 100 as k, case when value % 3 = 0 then (value * 5003 + 17) % 12000 % 100 else value * 31 % 100 end as m, value as id, (value * 5003 + 17) % 12000 as nid, {PAD} from generate_series({first}, {})",
                first + 1_999
            )
        }),
        Told::series("few", "*", 4, |file| {
            format!(
                "select {file} * 20 + value % 15 as k, value % 6 - 3 as m, value as w from generate_series(0, 19)"
            )
        }),
    ]
}

/// The statements, and whether their rows have an order.
const STATEMENTS: &[(&str, bool)] = &[
    ("select max(i) from widened", false),
    ("select max(v), min(v) from widened", false),
    ("select max(ts) from widened", false),
    ("select max(i), min(i), cast(max(v) as double), max(ts), min(ts) from widened", false),
    ("select cast(max(y) as double), cast(min(y) as double), count(*) from widened", false),
    ("select cast(i as bigint) as i from widened where i > 100", false),
    (
        "select cast(i as bigint) as i from widened where v > 50 or ts > timestamp '2025-01-01'",
        false,
    ),
    ("select cast(y as double) as y from widened where y > 50 order by i limit 3", true),
    ("select max(x), min(x) from nans", false),
    ("select count(*) from nans where x > 1000", false),
    ("select count(*) from nans where x < -1000", false),
    ("select n from nans where x <> 3 and n > 4", false),
    ("select count(*) from nans where x is null or x = 'NaN'::double", false),
    ("select n, count(*) from nans where not (x <= 1000) group by n", false),
    ("select x from nans order by x, n limit 12", true),
    ("select x, count(*) from nans group by x", false),
    ("select k, v from groups order by k, v limit 9", true),
    ("select k, count(*), min(v) from groups group by k", false),
    ("select k, row_number() over (order by k, v) as r from groups", false),
    ("select k, count(*) from one_file group by k", false),
    ("select k, v from one_file order by k, v", true),
    ("select k, v from meeting order by k, v", true),
    ("select k, v, count(*) from meeting group by k, v", false),
    ("select k, v from ordered order by k, v", true),
    ("select k, count(*), max(v) from ordered group by k order by k", true),
    ("select k, n from leaf order by k, n limit 7", true),
    ("select k, count(*) from leaf group by k", false),
    ("select k from folders order by k limit 5", true),
    ("select k, count(*) from folders group by k", false),
    ("select k from declared order by k", true),
    ("select k, count(*) from declared group by k", false),
    ("select max(k), min(k) from declared", false),
    ("select k from declared where k >= 10", false),
    ("select k from declared where k = 9 or k < 9", false),
    (
        "select b.m, a.k, count(*), sum(a.m), sum(b.k) from j1 a join j2 b on a.k = b.k group by grouping sets ((b.m, a.k), (b.m)) having b.m = 5",
        false,
    ),
    (
        "select b.m, b.w, sum(a.m), sum(a.k), sum(b.k) from j1 a join j2 b on a.k = b.k group by grouping sets ((b.m, b.w), (b.m)) having b.m > 20",
        false,
    ),
    (
        "select a.k, a.w, count(*) from j2 a where exists (select 1 from j1 b where b.m = a.k and b.k <> a.w) group by grouping sets ((a.k, a.w), (a.k)) having a.k = 2",
        false,
    ),
    (
        "select a.m, a.w, count(*) from j2 a where exists (select 1 from j1 b where b.k = a.m and b.m <> a.w) group by grouping sets ((a.m, a.w), (a.m)) having a.m > 20",
        false,
    ),
    (
        "select b.m, b.id, count(*), sum(a.m), sum(a.k), sum(a.id), sum(b.k) from mid b join big a on a.k = b.k group by grouping sets ((b.m, b.id), (b.m)) having b.m < 60",
        false,
    ),
    (
        "select a.k, a.m, count(*) from small a where exists (select 1 from big b where b.m = a.k and b.k <> a.m) group by grouping sets ((a.k, a.m), (a.k)) having a.k < 2500",
        false,
    ),
    (
        "select x.k, x.m, x.id, x.nid, y.k, y.m, y.id, y.nid, z.k, z.nid, z.m, t.w, u.id from wide x join wide y on x.id = y.nid left join wide z on x.id = z.nid join mid u on y.nid = u.id join few t on x.k = t.k and y.m = t.k where t.m = 1",
        false,
    ),
    (
        "select x.k, y.k, y.m, z.m from j1 x full join j2 y on x.k = y.m left join j2 z on z.k = y.k where (y.m > 10 or z.m is null) and coalesce(x.m, 7) > 0",
        false,
    ),
    (
        "select m, k, sum(c) from (select a.m, b.m as k, count(*) as c from j1 a join j2 b on a.k = b.k group by a.m, b.m) q group by rollup (m, k) having k > 3 or m is null",
        false,
    ),
    (
        "select k, m from (select k, m from j1 union all select m, k from j2) q where k < 4 and m > 3",
        false,
    ),
    ("select n from times where cast(ts as time) = time '12:00:00'", false),
    (
        "select n from times where cast(ts as time) between time '00:30:00' and time '12:30:00'",
        false,
    ),
    ("select n from times where try_cast(ts as time) > time '22:00:00' or n = 7", false),
    ("select ts from times where cast(n as boolean) is false", false),
    ("select ts from times where cast(n as boolean) is distinct from true", false),
    ("select ts from units where ts < timestamp '2024-01-01 00:00:00.000001'", false),
    ("select ts from units where ts <> timestamp '2024-01-01 00:00:00.000001'", false),
    ("select v from made where v = 1.01", false),
    ("select v from made where v > 1.01", false),
    ("select v from made where at = time '12:00:00'", false),
    ("select id from nested order by v, id limit 3", true),
    ("select id from nested order by v desc nulls last, id limit 4", true),
];

/// Plans as a gateway makes them, and plans in which every join exchanges both sides.
const ENGINES: [&str; 3] = [
    "[routing]\nmode = \"fleet\"\n\n[engine]\nrepartition_file_min_size = 1024\n\n",
    crate::engines::ENGINE,
    "[routing]\nmode = \"fleet\"\n\n[engine]\nbroadcast_bytes = 0\nbroadcast_rows = 0\nsealed_broadcast_bytes = 0\ntask_bytes = 0\n\n",
];

/// Asks all statements over all tables, below `scratch`.
///
/// # Panics
/// An answer is not that of the rows in memory.
pub async fn run(scratch: &Path) {
    let folder = tempfile::tempdir_in(scratch).unwrap();
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let (mut entries, mut places) = (String::new(), Vec::new());
    for table in
        ranges().into_iter().chain(casts()).chain(orders()).chain(sides()).chain(together::tables())
    {
        let mut of_files = Vec::new();
        for (number, (within, sql)) in table.files.iter().enumerate() {
            let place = folder.path().join(table.name).join(within);
            std::fs::create_dir_all(&place).unwrap();
            let sorted = table.sorted.iter();
            let sorted: Vec<SortingColumn> = sorted
                .map(|leaf| SortingColumn {
                    column_idx: *leaf,
                    descending: false,
                    nulls_first: false,
                })
                .collect();
            let properties = WriterProperties::builder()
                .set_compression(Compression::UNCOMPRESSED)
                .set_max_row_group_row_count(Some(table.group))
                .set_sorting_columns((!sorted.is_empty()).then_some(sorted))
                .build();
            let file = place.join(format!("{number}.parquet"));
            write_file(&file, &rows(sql).await, Some(properties)).unwrap();
            of_files.push(format!("select {} from ({sql})", table.columns));
        }
        let truth = rows(&of_files.join(" union all ")).await;
        let truth = MemTable::try_new(truth.schema(), vec![vec![truth]]).unwrap();
        context.register_table(table.name, Arc::new(truth)).unwrap();
        let place = TableOf::parquet(table.name, &folder.path().join(table.name));
        match table.more {
            "" => places.push(place),
            more => entries.push_str(&format!("{}{more}\n", place.toml())),
        }
    }
    let mut truths = Vec::new();
    for (sql, is_ordered) in STATEMENTS.iter().chain(together::STATEMENTS) {
        truths.push((sql, is_ordered, answer(&context, sql).await.unwrap()));
    }
    let mut failures = Vec::new();
    for (number, engine) in ENGINES.iter().enumerate() {
        let bench = Bench::with_entries(&places, engine, &entries).await;
        for (sql, is_ordered, truth) in &truths {
            for partitions in [1, 4] {
                let mut forms = vec![
                    ("uncut", bench.uncut(sql, partitions).await),
                    ("decoded", bench.decoded(sql, partitions).await),
                ];
                // One set of processes is enough.
                if number != 1 {
                    forms.push(("fleet", bench.fleet(sql, partitions).await));
                }
                for (form, outcome) in forms {
                    let wrong = match outcome {
                        Outcome::Rows(rows) => difference(truth, &rows, **is_ordered),
                        other => Some(format!("{other:?}")),
                    };
                    failures.extend(wrong.map(|wrong| {
                        format!("engine {number}, {form} at {partitions}: {sql}\n{wrong}")
                    }));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n\n"));
}
