//! The queries in `library/*.sql`, one file per kind of operator.
//!
//! A query is a block: `-- name: a sentence`, directives, the SQL and `;`. Directives:
//!
//! - `-- ordered`: the rows must come in the reference's order;
//! - `-- error: text`: every form must fail with an error that contains the text, or one of several with ` | ` between them;
//! - `-- refused: Operator`: the fleet must refuse the plan and name the operator; the uncut form must be right;
//! - `-- not at: 1, 2`: partition counts at which the query is not run on the fleet.
//!
//! A refusal without a directive is a failure, and so is a directive without its refusal. So the files always record
//! what works and what does not.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use futures::StreamExt;

use crate::bench::{Bench, Outcome};
use crate::compare::difference;
use crate::engines::{ENGINE, EXCHANGED, PARTITIONED, SORTED};
use crate::hard_tables as tables;
use crate::settings::{PARTITIONS, full, only};

/// Concurrent queries. The fleet waits more than it computes.
const AT_ONCE: usize = 6;

#[derive(Debug, Default)]
struct Query {
    file: String,
    name: String,
    sql: String,
    ordered: bool,
    error: Option<String>,
    refused: Option<String>,
    not_at: Vec<usize>,
}

/// A way to run a query.
#[derive(Clone, Copy, Debug)]
enum Form {
    Uncut,
    Decoded,
    Fleet,
}

/// How joins are planned: a name for people, and the engine's section. The first is run at every partition count.
const JOINS: [(&str, &str); 4] = [
    ("", ENGINE),
    (", partitioned joins that may turn to broadcast", PARTITIONED),
    (", partitioned joins", EXCHANGED),
    (", sort-merge joins", SORTED),
];

/// The place of sort-merge joins.
const SORT_MERGE: usize = 3;

struct Library {
    benches: Vec<Bench>,
}

/// The results of a query: the errors by form, and the operator that was refused.
#[derive(Default)]
struct Report {
    failures: BTreeMap<String, Vec<String>>,
    refused: Option<String>,
    runs: usize,
    /// Runs that give the same result as one process with the same settings.
    engine: usize,
}

/// Runs the library. Its tables are kept below `scratch` for the next run.
///
/// `DUNLIN_EXACT=full` runs every form at every partition count. `DUNLIN_EXACT_ONLY=text` runs the queries whose file
/// or name contains the text, and shows their plans when they fail.
///
/// # Panics
/// An answer is not exact. The message lists all failures.
pub async fn run(scratch: &Path) {
    let tables = tables::tables(scratch).await;
    let mut library = Library { benches: Vec::new() };
    for (_, engine) in JOINS {
        library.benches.push(Bench::open(&tables, engine).await);
    }
    let queries = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("library"));
    assert!(!queries.is_empty(), "no query matches");
    let start = Instant::now();
    let mut failures = Vec::new();
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let (mut runs, mut engine) = (0, 0);
    let library = &library;
    let ask = |query| async move { (query, library.ask(query).await) };
    let mut reports = futures::stream::iter(&queries).map(ask).buffered(AT_ONCE);
    while let Some((query, report)) = reports.next().await {
        for (what, forms) in report.failures {
            failures.push(format!("{}: {}: {what} [{}]", query.file, query.name, forms.join("; ")));
        }
        runs += report.runs;
        engine += report.engine;
        if let Some(operator) = report.refused {
            *refused.entry(operator).or_default() += 1;
        }
    }
    let total: usize = refused.values().sum();
    let by: Vec<String> = refused.iter().map(|(name, count)| format!("{name} {count}")).collect();
    println!(
        "library: {} queries in {runs} runs and {:.0} s, {total} refused (by operator: {}), {engine} runs of sort-merge joins are the engine's own, {} failures",
        queries.len(),
        start.elapsed().as_secs_f64(),
        by.join(", "),
        failures.len()
    );
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// The forms that a query runs in: form, partitions, place in [`JOINS`].
fn forms() -> Vec<(Form, usize, usize)> {
    let mut forms = Vec::new();
    for partitions in PARTITIONS {
        for joins in 0..JOINS.len() {
            if full() || (partitions == 7 && joins == 0) {
                forms.push((Form::Uncut, partitions, joins));
                forms.push((Form::Fleet, partitions, joins));
            }
            if full() || partitions == 7 || joins == 0 {
                forms.push((Form::Decoded, partitions, joins));
            }
        }
    }
    forms
}

impl Library {
    async fn ask(&self, query: &Query) -> Report {
        let mut report = Report::default();
        let mut fail = |form: &str, what: &str| {
            let what = what.lines().next().unwrap_or_default().chars().take(300).collect();
            report.failures.entry(what).or_default().push(form.to_owned());
        };
        let first = &self.benches[0];
        let want = first.single(&query.sql, 2).await;
        let rows = match (&want, &query.error) {
            (Outcome::Rows(rows), None) => Some(rows),
            (Outcome::Failed(text), Some(error)) if says(text, error) => None,
            (other, _) => {
                fail("the reference itself", &format!("{other:?}"));
                return report;
            }
        };
        for partitions in [1, 7] {
            let again = first.single(&query.sql, partitions).await;
            if let Some(what) = judge(rows, &again, query) {
                let what = format!("the engine disagrees with itself, the query is unfit: {what}");
                fail(&format!("single at {partitions}"), &what);
                return report;
            }
        }
        for (form, partitions, joins) in forms() {
            let bench = &self.benches[joins];
            let cut = !matches!(form, Form::Uncut);
            if cut && query.not_at.contains(&partitions) {
                continue;
            }
            report.runs += 1;
            let outcome = match form {
                Form::Uncut => bench.uncut(&query.sql, partitions).await,
                Form::Decoded => bench.decoded(&query.sql, partitions).await,
                Form::Fleet => bench.fleet(&query.sql, partitions).await,
            };
            let verdict = match (&outcome, &query.refused) {
                (Outcome::Refused { operator, .. }, Some(announced))
                    if cut && operator.contains(announced.as_str()) =>
                {
                    report.refused = Some(operator.clone());
                    None
                }
                (Outcome::Rows(_), Some(announced)) if cut => {
                    Some(format!("{announced} is no longer refused: drop the directive"))
                }
                (outcome, _) => judge(rows, outcome, query),
            };
            if verdict.is_some() && joins == SORT_MERGE {
                // DataFusion 55.2's sort-merge join cannot run every plan that its planner makes for it, and it
                // treats zero and minus zero as different. What it does in the uncut form, it may do on the fleet.
                let alike = match (bench.uncut(&query.sql, partitions).await, &outcome) {
                    (Outcome::Failed(_), Outcome::Failed(_)) => true,
                    (Outcome::Rows(uncut), Outcome::Rows(cut)) => {
                        difference(&uncut, cut, query.ordered).is_none()
                    }
                    _ => false,
                };
                if alike {
                    report.engine += 1;
                    continue;
                }
            }
            if let Some(what) = verdict {
                fail(&format!("{form:?} at {partitions}{}", JOINS[joins].0), &what);
            }
        }
        if only().is_some() && !report.failures.is_empty() {
            println!("{}\n{}", query.sql, first.explain(&query.sql, 7).await);
        }
        report
    }
}

/// Whether a text has one of the expected ones: the engine's words in its own process, and Dunlin's in the others.
fn says(text: &str, expected: &str) -> bool {
    expected.split(" | ").any(|expected| text.contains(expected))
}

/// `None` if the outcome is the expected one: the rows, or the expected error if there are no rows.
fn judge(
    want: Option<&Vec<arrow::array::RecordBatch>>,
    got: &Outcome,
    query: &Query,
) -> Option<String> {
    match (want, got) {
        (Some(want), Outcome::Rows(got)) => difference(want, got, query.ordered),
        (None, Outcome::Failed(text)) => {
            let error = query.error.as_deref().unwrap_or_default();
            (!says(text, error)).then(|| format!("another error: {text}"))
        }
        (None, Outcome::Rows(_)) => Some("rows instead of an error".to_owned()),
        // A plan that DataFusion cannot make is an error of its planner and a refusal of Dunlin.
        (None, Outcome::Refused { reason, .. })
            if query.error.as_ref().is_some_and(|error| says(reason, error)) =>
        {
            None
        }
        (_, Outcome::Refused { operator, reason }) => Some(format!("refused {operator}: {reason}")),
        (Some(_), Outcome::Failed(text)) => Some(format!("failed: {text}")),
    }
}

/// The queries of a folder, by file and place.
fn read(folder: &Path) -> Vec<Query> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut queries = Vec::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|end| end == "sql")) {
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap();
        let blocks: Vec<&str> = text.split("-- name: ").collect();
        queries.extend(blocks[1..].iter().map(|block| parse(&file, block)));
    }
    let mut names = std::collections::BTreeSet::new();
    for query in &queries {
        assert!(names.insert((&query.file, &query.name)), "{}: {} twice", query.file, query.name);
    }
    let wanted = |query: &Query| {
        only().is_none_or(|text| query.file.contains(&text) || query.name.contains(&text))
    };
    queries.into_iter().filter(wanted).collect()
}

fn parse(file: &str, block: &str) -> Query {
    let (name, rest) = block.split_once('\n').unwrap_or((block, ""));
    let mut query =
        Query { file: file.to_owned(), name: name.trim().to_owned(), ..Query::default() };
    let mut sql = Vec::new();
    for line in rest.lines() {
        let Some(directive) = line.strip_prefix("-- ") else {
            sql.push(line);
            continue;
        };
        match directive.split_once(": ").map_or((directive, ""), |(key, value)| (key, value)) {
            ("ordered", "") => query.ordered = true,
            ("error", text) => query.error = Some(text.to_owned()),
            ("refused", operator) => query.refused = Some(operator.to_owned()),
            ("not at", counts) => {
                query.not_at = counts.split(", ").map(|count| count.parse().unwrap()).collect();
            }
            // Comments between blocks.
            _ if line.starts_with("-- #") => {}
            _ => panic!("{file}: {name}: unknown directive {line}"),
        }
    }
    let text = sql.join("\n");
    let text = text.trim();
    query.sql = text.strip_suffix(';').unwrap_or_else(|| panic!("{file}: {name}: no ;")).to_owned();
    assert!(!query.sql.contains(';'), "{file}: {name}: more than one statement");
    query
}
