//! Ten join types in six modes. The types differ in what they do with rows that match nothing, and so in what may be
//! cut. Every failure message is a sentence.

use std::path::Path;
use std::time::Instant;

use futures::StreamExt;

use crate::bench::{Bench, Outcome};
use crate::compare::difference;
use crate::engines::{ENGINE, EXCHANGED, PARTITIONED, SORTED};
use crate::hard_tables as tables;
use crate::place::TableOf;
use crate::settings::{PARTITIONS, full, only};

/// What is joined, as SQL over the tables `{l}` and `{r}` and the condition `{on}`.
const TYPES: [(&str, &str); 10] = [
    ("an inner join", "select l.n, r.m from {l} l join {r} r on {on}"),
    ("a left join", "select l.n, l.k, r.m, r.k as rk from {l} l left join {r} r on {on}"),
    ("a right join", "select l.n, l.k, r.m, r.k as rk from {l} l right join {r} r on {on}"),
    ("a full join", "select l.n, l.k, r.m, r.k as rk from {l} l full join {r} r on {on}"),
    ("a left semi join", "select l.n, l.k from {l} l left semi join {r} r on {on}"),
    ("a right semi join", "select r.m, r.k from {l} l right semi join {r} r on {on}"),
    ("a left anti join", "select l.n, l.k from {l} l left anti join {r} r on {on}"),
    ("a right anti join", "select r.m, r.k from {l} l right anti join {r} r on {on}"),
    (
        "a mark join",
        "select l.n, l.k from {l} l where l.n % 5 = 0 or exists (select 1 from {r} r where {on})",
    ),
    (
        "a null-aware anti join",
        "select l.n, l.k from {l} l where l.k not in (select r.k from {r} r{where})",
    ),
];

/// The modes: a name, the engine's section, the join condition, and an additional condition for the subquery of the
/// null-aware join.
const MODES: [(&str, &str, &str, &str); 5] = [
    ("broadcast", ENGINE, "l.k = r.k", ""),
    ("partitioned", EXCHANGED, "l.k = r.k", " where r.m > 2"),
    ("turned to broadcast", PARTITIONED, "l.k = r.k", " where r.m > 2"),
    ("by sort and merge", SORTED, "l.k = r.k", " where r.m > 2"),
    ("with a filter on both sides", EXCHANGED, "l.k = r.k and l.n < r.m + 12", " where r.m < l.n"),
];

/// What the plan of a mode must show, if both sides have rows. A mode that the planner does not choose would test
/// nothing.
const SHOWN: [(&str, &str); 4] = [
    ("partitioned", "mode=Partitioned"),
    ("by sort and merge", "SortMergeJoinExec"),
    ("with a filter on both sides", "filter="),
    ("as a nested loop", "NestedLoopJoinExec"),
];

/// The nested-loop forms of the same joins.
const INEQUALITY: &str = "l.k < r.k and l.n % 3 <> r.m % 3";

/// The data: a name, and the tables of both sides.
const DATA: [(&str, &str, &str); 5] = [
    ("with rows on both sides", "l", "r"),
    ("with an empty left side", "none", "r"),
    ("with an empty right side", "l", "nobody"),
    ("with null keys", "lnull", "rnull"),
    ("with keys that are all null on the right", "l", "void"),
];

/// Joins every pair of sides in every mode, over tables below `scratch`.
///
/// # Panics
/// An answer is not exact, or a plan does not show the mode that it should test.
pub async fn run(scratch: &Path) {
    let folder = tempfile::tempdir_in(scratch).unwrap();
    let mut sides = Vec::new();
    for (name, key, value, count, files) in [
        ("l", "i * 5 % 13", "n", 40, [7, 0, 1, 11, 9, 5]),
        ("r", "i * 3 % 17", "m", 34, [5, 0, 1, 9, 9, 4]),
        ("none", "i", "n", 0, [0; 6]),
        ("nobody", "i", "m", 0, [0; 6]),
        ("lnull", "case when i % 4 <> 1 then i * 5 % 13 end", "n", 40, [7, 0, 1, 11, 9, 5]),
        ("rnull", "case when i % 5 <> 2 then i * 3 % 17 end", "m", 34, [5, 0, 1, 9, 9, 4]),
        ("void", "cast(null as bigint)", "m", 9, [2, 0, 1, 1, 2, 1]),
    ] {
        let rows = tables::rows(&format!(
            "select cast(i as int) as {value}, {key} as k
             from (select value as i from generate_series(1, {count}))"
        ))
        .await;
        tables::write(&folder.path().join(name), &rows, &files, false);
        sides.push(TableOf::parquet(name, &folder.path().join(name)));
    }
    let mut benches = Vec::new();
    for engine in [ENGINE, EXCHANGED, PARTITIONED, SORTED] {
        benches.push((engine, Bench::open(&sides, engine).await));
    }
    let start = Instant::now();
    let cases = cases();
    let asked = cases.iter().map(|case| {
        let bench = benches.iter().find(|(engine, _)| *engine == case.engine);
        ask(&bench.unwrap().1, case)
    });
    let failures: Vec<String> =
        futures::stream::iter(asked).buffered(6).collect::<Vec<_>>().await.concat();
    println!(
        "joins: {} cases in {:.0} s, {} failures",
        cases.len(),
        start.elapsed().as_secs_f64(),
        failures.len()
    );
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

struct Case {
    name: String,
    sql: String,
    engine: &'static str,
    /// What the plan must show.
    shown: Option<&'static str>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, shape) in TYPES {
        for (data, left, right) in DATA {
            let mut add = |mode: &str, engine, on: &str, filter: &str| {
                let sql = shape
                    .replace("{l}", left)
                    .replace("{r}", right)
                    .replace("{on}", on)
                    .replace("{where}", filter);
                let name = format!("{kind}, {mode}, {data}");
                // A null-aware join is never partitioned: one task must see every null.
                let free = data == DATA[0].0 && !kind.starts_with("a null-aware");
                let shown = SHOWN.iter().find(|(known, _)| free && *known == mode);
                cases.push(Case { name, sql, engine, shown: shown.map(|(_, text)| *text) });
            };
            for (mode, engine, on, filter) in MODES {
                add(mode, engine, on, filter);
            }
            add("as a nested loop", ENGINE, INEQUALITY, " where r.m < l.n or r.m > 30");
        }
    }
    let wanted = |case: &Case| only().is_none_or(|text| case.name.contains(&text));
    cases.into_iter().filter(wanted).collect()
}

async fn ask(bench: &Bench, case: &Case) -> Vec<String> {
    let mut failures = Vec::new();
    let want = match bench.single(&case.sql, 1).await {
        Outcome::Rows(want) => want,
        other => return vec![format!("{}: the reference: {other:?}", case.name)],
    };
    if let Some(text) = case.shown {
        let plan = bench.explain(&case.sql, 7).await;
        if !plan.contains(text) {
            failures.push(format!("{}: no {text} in the plan:\n{plan}", case.name));
        }
    }
    let mut compare = |partitions: usize, form: &str, outcome: Outcome| {
        let what = match outcome {
            Outcome::Rows(got) => difference(&want, &got, false),
            Outcome::Refused { operator, reason } => Some(format!("refused {operator}: {reason}")),
            Outcome::Failed(text) => Some(text),
        };
        if let Some(what) = what {
            failures.push(format!("{}, at {partitions} partitions, {form}: {what}", case.name));
        }
    };
    for partitions in PARTITIONS {
        compare(partitions, "by one process", bench.single(&case.sql, partitions).await);
        compare(partitions, "decoded", bench.decoded(&case.sql, partitions).await);
        if full() || partitions == 7 {
            compare(partitions, "by the fleet", bench.fleet(&case.sql, partitions).await);
        }
    }
    failures
}
