//! Evaluates one query: the answer of every form against the reference, and which part caused a difference.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

use crate::bench::{Bench, Outcome};
use crate::compare::difference;
use crate::engines::{ENGINE, PARTITIONED};
use crate::random::ast::Query;
use crate::random::metamorphic::{self, Check};
use crate::random::shrink::is_ordered;
use crate::random::tables::{self, Table};
use crate::rng::Rng;

/// Answers with more rows than this are not compared, because that takes too long.
const ROWS: usize = 50_000;

/// One set of tables, with two engines: small build sides broadcast, and every join partitioned.
pub(crate) struct Set {
    pub(crate) tables: Vec<Table>,
    benches: [Bench; 2],
    /// DataFusion without pruning, statistics, dynamic filters, and the physical rule that pushes filters down by the
    /// names of columns. If it answers otherwise than the default engine, the default answer is wrong.
    plain: SessionContext,
    /// Ask `plain` about every query, and not only about queries with a difference.
    thorough: bool,
}

impl Set {
    pub(crate) async fn open(folder: &Path, rng: &mut Rng, thorough: bool) -> Self {
        let (tables, places) = tables::write(folder, rng);
        let benches = [Bench::open(&places, ENGINE).await, Bench::open(&places, PARTITIONED).await];
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .with_collect_statistics(false)
            .set_bool("datafusion.execution.parquet.pruning", false)
            .set_bool("datafusion.optimizer.enable_dynamic_filter_pushdown", false);
        let mut rules = PhysicalOptimizer::new().rules;
        rules.retain(|rule| !rule.name().starts_with("FilterPushdown"));
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_analyzer_rules(dunlin_planner::analyzer_rules())
            .with_physical_optimizer_rules(rules)
            .build();
        let plain = SessionContext::new_with_state(state);
        for place in &places {
            let folder = format!("{}/", place.location.display());
            let options = ParquetReadOptions::default();
            plain.register_parquet(&place.name, folder, options).await.unwrap();
        }
        Self { tables, benches, plain, thorough }
    }

    /// What is wrong with the default answer, if anything.
    async fn doubt(&self, sql: &str, want: &[RecordBatch], ordered: bool) -> Option<String> {
        let frame = self.plain.sql(sql).await.ok()?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let mut rows = frame.collect().await.ok()?;
        if rows.is_empty() {
            rows.push(RecordBatch::new_empty(schema));
        }
        // The types of an answer without rows are not known.
        let empty = |batches: &[RecordBatch]| batches.iter().all(|batch| batch.num_rows() == 0);
        if empty(want) && empty(&rows) {
            return None;
        }
        let wrong = difference(&rows, want, ordered)?;
        Some(format!("pruning, statistics or pushed filters make it wrong: {wrong}"))
    }
}

/// How a query is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Every join on keys partitioned.
    pub(crate) partitioned: bool,
    pub(crate) partitions: usize,
    /// Partitions of the run through gateway and workers, if there is one.
    pub(crate) fleet: Option<usize>,
    pub(crate) check: Check,
}

/// The result of a query.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Same,
    /// The reference gives no answer, or one that is too large.
    Invalid(String),
    /// Dunlin's typed refusal.
    Refused {
        operator: String,
        reason: String,
    },
    /// DataFusion contradicts itself.
    Engine(String),
    /// An error of Dunlin. `kind` stays the same while a query is made smaller.
    Failure {
        kind: String,
        detail: String,
    },
}

impl Verdict {
    /// Whether two verdicts seem to have the same cause.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Failure { kind: one, .. }, Self::Failure { kind: two, .. }) => one == two,
            (Self::Engine(one), Self::Engine(two)) => cause(one) == cause(two),
            (Self::Invalid(one), Self::Invalid(two)) => cause(one) == cause(two),
            (Self::Refused { operator: one, .. }, Self::Refused { operator: two, .. }) => {
                one == two
            }
            _ => false,
        }
    }
}

/// The beginning of a message without its numbers and names.
pub(crate) fn cause(message: &str) -> String {
    message.chars().filter(|c| !c.is_ascii_digit()).take(60).collect()
}

enum Compared {
    Same,
    Refused { operator: String, reason: String },
    Different(String),
    Failed(String),
}

impl Compared {
    /// What is wrong, if anything.
    fn wrong(self) -> Option<String> {
        match self {
            Self::Same => None,
            Self::Different(text) | Self::Failed(text) => Some(text),
            Self::Refused { operator, reason } => Some(format!("{operator}: {reason}")),
        }
    }
}

fn compare(want: &[RecordBatch], got: Outcome, ordered: bool) -> Compared {
    match typed(got) {
        // The first batch of a reference has the types from before coercion. Without rows, types are not compared.
        Outcome::Rows(got) if want.iter().all(|batch| batch.num_rows() == 0) => {
            match got.iter().map(RecordBatch::num_rows).sum::<usize>() {
                0 => Compared::Same,
                rows => Compared::Different(format!("{rows} rows, not 0")),
            }
        }
        Outcome::Rows(got) => match difference(want, &got, ordered) {
            None => Compared::Same,
            Some(difference) => Compared::Different(difference),
        },
        Outcome::Refused { operator, reason } => Compared::Refused { operator, reason },
        Outcome::Failed(error) => Compared::Failed(error),
    }
}

/// Runs `query` in every form that `way` names.
pub(crate) async fn evaluate(set: &Set, way: Way, query: &Query) -> Verdict {
    if way.check != Check::Same {
        return match metamorphic::pair(way.check, query) {
            Some(pair) => agree(set, way, &pair).await,
            None => Verdict::Invalid("no condition to rewrite".to_owned()),
        };
    }
    let (sql, ordered) = (query.to_string(), is_ordered(query));
    let bench = &set.benches[usize::from(way.partitioned)];
    let want = match reference(bench, &sql).await {
        Ok(want) => want,
        Err(reason) => return Verdict::Invalid(reason),
    };
    if let Some(text) = compare(&want, bench.single(&sql, 4).await, ordered).wrong() {
        return Verdict::Engine(format!("at 4 partitions: {text}"));
    }
    if set.thorough
        && let Some(text) = set.doubt(&sql, &want, ordered).await
    {
        return Verdict::Engine(text);
    }
    let mut refused = None;
    let decoded = compare(&want, bench.decoded(&sql, way.partitions).await, ordered);
    if let Some(wrong) = fault(decoded, "decoded", way.partitions, &mut refused) {
        return blame(set, bench, &sql, &want, ordered, wrong, way.partitions).await;
    }
    if let Some(partitions) = way.fleet {
        let fleet = compare(&want, bench.fleet(&sql, partitions).await, ordered);
        if let Some(wrong) = fault(fleet, "fleet", partitions, &mut refused) {
            return blame(set, bench, &sql, &want, ordered, wrong, partitions).await;
        }
    }
    refused.unwrap_or(Verdict::Same)
}

/// Removes the empty batch at the front if rows follow it, because its types are those from before coercion.
fn typed(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Rows(mut rows) if rows.len() > 1 => {
            rows.remove(0);
            Outcome::Rows(rows)
        }
        other => other,
    }
}

async fn reference(bench: &Bench, sql: &str) -> Result<Vec<RecordBatch>, String> {
    match typed(bench.single(sql, 1).await) {
        Outcome::Rows(rows) if rows.iter().map(RecordBatch::num_rows).sum::<usize>() > ROWS => {
            Err("too many rows".to_owned())
        }
        Outcome::Rows(rows) => Ok(rows),
        Outcome::Refused { operator, .. } => Err(operator),
        Outcome::Failed(error) => Err(error),
    }
}

/// Kind and description of an error, unless the form is right or refuses.
fn fault(
    compared: Compared,
    form: &str,
    partitions: usize,
    refused: &mut Option<Verdict>,
) -> Option<(String, String)> {
    match compared {
        Compared::Same => None,
        Compared::Refused { operator, reason } => {
            *refused = Some(Verdict::Refused { operator, reason });
            None
        }
        Compared::Different(text) => Some((
            format!("{form} differs"),
            format!("{form} at {partitions} partitions differs: {text}"),
        )),
        Compared::Failed(text) => Some((
            format!("{form} fails: {}", cause(&text)),
            format!("{form} at {partitions} partitions fails: {text}"),
        )),
    }
}

/// Errors of operators that a single process does not run when another input is empty. The fleet runs every stage
/// whose own inputs have rows, so it meets these errors.
const ENGINE_ERRORS: &[&str] = &[
    // A window aggregate that was reversed to share a sort, and now has a frame that its code does not support.
    "can not be used as a sliding accumulator",
];

/// Whether the cause is the engine itself, the planner's settings, or a later step.
#[allow(clippy::too_many_arguments)] // what `evaluate` knows
async fn blame(
    set: &Set,
    bench: &Bench,
    sql: &str,
    want: &[RecordBatch],
    ordered: bool,
    (kind, detail): (String, String),
    partitions: usize,
) -> Verdict {
    if let Some(text) = compare(want, bench.single(sql, partitions).await, ordered).wrong() {
        return Verdict::Engine(format!("at {partitions} partitions: {text}"));
    }
    if let Some(text) = set.doubt(sql, want, ordered).await {
        return Verdict::Engine(text);
    }
    if ENGINE_ERRORS.iter().any(|error| detail.contains(error)) {
        return Verdict::Engine(detail);
    }
    let uncut = match compare(want, bench.uncut(sql, partitions).await, ordered) {
        Compared::Same => "uncut is right: the cut, the wire form or the exchange".to_owned(),
        Compared::Different(text) => format!("uncut differs too (planner settings): {text}"),
        Compared::Failed(text) => format!("uncut fails too (planner settings): {text}"),
        Compared::Refused { operator, .. } => format!("uncut refuses {operator}"),
    };
    let side = uncut.split([':', '(']).next().unwrap_or_default().trim();
    Verdict::Failure { kind: format!("{kind}; {side}"), detail: format!("{detail}\n  {uncut}") }
}

/// Runs two statements that must have the same answer.
async fn agree(set: &Set, way: Way, (one, two): &(String, String)) -> Verdict {
    let bench = &set.benches[usize::from(way.partitioned)];
    let want = match reference(bench, one).await {
        Ok(want) => want,
        Err(reason) => return Verdict::Invalid(reason),
    };
    match compare(&want, bench.single(two, 1).await, false) {
        Compared::Same => {}
        Compared::Different(text) => {
            return Verdict::Engine(format!("{:?}: {text}", way.check));
        }
        Compared::Failed(text) | Compared::Refused { reason: text, .. } => {
            return Verdict::Invalid(text);
        }
    }
    let got = match bench.decoded(one, way.partitions).await {
        Outcome::Rows(got) => got,
        Outcome::Refused { operator, reason } => return Verdict::Refused { operator, reason },
        Outcome::Failed(text) => {
            let kind = format!("{:?} fails: {}", way.check, cause(&text));
            return Verdict::Failure { kind, detail: text };
        }
    };
    match compare(&got, bench.decoded(two, way.partitions).await, false) {
        Compared::Same => Verdict::Same,
        Compared::Refused { operator, reason } => Verdict::Refused { operator, reason },
        Compared::Different(text) => {
            Verdict::Failure { kind: format!("{:?} differs", way.check), detail: text }
        }
        Compared::Failed(text) => {
            let kind = format!("{:?} fails: {}", way.check, cause(&text));
            Verdict::Failure { kind, detail: text }
        }
    }
}

/// The answer of every form to one statement, to examine a finding by hand.
pub(crate) async fn look(set: &Set, sql: &str, partitions: usize) {
    for (name, bench) in ["broadcast", "partitioned"].iter().zip(&set.benches) {
        let want = match reference(bench, sql).await {
            Ok(want) => want,
            Err(reason) => return eprintln!("single at 1: {reason}"),
        };
        let text = arrow::util::pretty::pretty_format_batches(&want);
        eprintln!("single at 1:\n{}", text.map(|text| text.to_string()).unwrap_or_default());
        let forms = [
            ("single", bench.single(sql, partitions).await),
            ("uncut", bench.uncut(sql, partitions).await),
            ("decoded", bench.decoded(sql, partitions).await),
        ];
        for (form, outcome) in forms {
            let wrong = compare(&want, outcome, false).wrong();
            let verdict = wrong.unwrap_or_else(|| "same".to_owned());
            eprintln!("{name}, {form} at {partitions}: {verdict}");
        }
        eprintln!("{}", bench.explain(sql, partitions).await);
    }
}
