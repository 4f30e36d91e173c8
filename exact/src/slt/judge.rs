//! Judges one query: Dunlin and a single DataFusion process answer it over the same files.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::bench::{Bench, Outcome};
use crate::compare::difference;
use crate::engines::ENGINE;
use crate::slt::keeper::{Copy, Keeper};
use crate::slt::sql::{Asked, sort_columns};
use crate::slt::tally::Verdict;

/// Partitions of Dunlin's plans: as many as files with rows, and fewer than files.
const PARTITIONS: usize = 3;

/// The reason for leaving out a query that the engine cannot answer either.
pub(crate) const ENGINE_ERROR: &str = "engine error";

/// A query with the tables that answer it.
pub(crate) struct Case<'a> {
    pub(crate) sql: &'a str,
    pub(crate) asked: &'a Asked,
    pub(crate) copies: &'a [Copy],
    pub(crate) bench: Arc<Bench>,
    /// The same tables under another configuration.
    pub(crate) other: Option<Arc<Bench>>,
    /// Also run it with a gateway and workers.
    pub(crate) fleet: bool,
}

/// Answers a query in every form and compares.
pub(crate) async fn judge(case: &Case<'_>, keeper: &mut Keeper) -> Verdict {
    let (bench, sql) = (&case.bench, case.sql);
    let want = match bench.single(sql, 1).await {
        Outcome::Rows(rows) => rows,
        Outcome::Failed(error) => return failing(case, &error).await,
        Outcome::Refused { .. } => unreachable!("the reference refuses nothing"),
    };
    let again = match bench.single(sql, 4).await {
        Outcome::Rows(rows) => rows,
        _ => return Verdict::skipped("the engine fails at 4 partitions"),
    };
    let keys = sort_columns(&case.asked.query, &want);
    let answer = Answer { rows: want, keys };
    // If the engine's answers differ, the number of rows may still be determined.
    let determined = answer.difference(&again).is_none();
    if !determined && answer.len() != count(&again) {
        return Verdict::skipped("not determined");
    }
    let mut verdict = Verdict::Same;
    for form in ["decoded", "decoded by another configuration", "fleet"] {
        let got = match (form, &case.other) {
            ("decoded", _) => bench.decoded(sql, PARTITIONS).await,
            ("fleet", _) if case.fleet => bench.fleet(sql, PARTITIONS).await,
            ("decoded by another configuration", Some(other)) => {
                other.decoded(sql, PARTITIONS).await
            }
            _ => continue,
        };
        let (difference, got) = match got {
            Outcome::Rows(rows) => (answer.difference(&rows), Some(rows)),
            Outcome::Refused { operator, reason } => {
                verdict = Verdict::Refused { operator, reason };
                continue;
            }
            Outcome::Failed(error) => (Some(format!("failed: {error}")), None),
        };
        let Some(difference) = difference else { continue };
        let same_count = got.as_deref().is_some_and(|got| count(got) == answer.len());
        if same_count && !determined {
            continue;
        }
        return wrong(case, keeper, &answer, got.as_deref(), &format!("{form}: {difference}"))
            .await;
    }
    match verdict {
        // A query that the fleet refuses must still be right in the gateway.
        Verdict::Refused { .. } if determined => match uncut(case, &answer).await {
            None => verdict,
            Some((difference, got)) => {
                let difference = format!("refused, and uncut: {difference}");
                wrong(case, keeper, &answer, got.as_deref(), &difference).await
            }
        },
        Verdict::Same if !determined => Verdict::skipped("not determined"),
        verdict => verdict,
    }
}

/// An answer and the columns by which it is ordered.
struct Answer {
    rows: Vec<RecordBatch>,
    keys: Vec<usize>,
}

impl Answer {
    fn difference(&self, got: &[RecordBatch]) -> Option<String> {
        difference(&self.rows, got, false).or_else(|| {
            let keys = |rows: &[RecordBatch]| -> Vec<RecordBatch> {
                rows.iter().map(|batch| batch.project(&self.keys).unwrap()).collect()
            };
            if self.keys.is_empty() {
                return None;
            }
            let difference = difference(&keys(&self.rows), &keys(got), true)?;
            Some(format!("another order: {difference}"))
        })
    }

    fn len(&self) -> usize {
        count(&self.rows)
    }
}

fn count(rows: &[RecordBatch]) -> usize {
    rows.iter().map(RecordBatch::num_rows).sum()
}

/// The engine fails, so Dunlin should fail, too.
async fn failing(case: &Case<'_>, error: &str) -> Verdict {
    if let Outcome::Rows(_) = case.bench.single(case.sql, 4).await {
        return Verdict::skipped("the engine fails at 1 partition");
    }
    if error.contains("timed out") || error.contains("panicked") {
        return Verdict::skipped("the engine hangs or panics");
    }
    match case.bench.decoded(case.sql, PARTITIONS).await {
        Outcome::Rows(rows) => {
            Verdict::Lenient(format!("{} rows, but the engine says {error}", count(&rows)))
        }
        Outcome::Failed(ours) if ours == "timed out" || ours.starts_with("panicked") => {
            Verdict::Wrong(format!("decoded: {ours}, but the engine says {error}"))
        }
        _ => Verdict::Skipped(ENGINE_ERROR.to_owned(), error.to_owned()),
    }
}

/// How the answer of the uncut plan differs, with its rows.
async fn uncut(case: &Case<'_>, answer: &Answer) -> Option<(String, Option<Vec<RecordBatch>>)> {
    match case.bench.uncut(case.sql, PARTITIONS).await {
        Outcome::Rows(rows) => answer.difference(&rows).map(|difference| (difference, Some(rows))),
        Outcome::Failed(error) => Some((format!("failed: {error}"), None)),
        Outcome::Refused { operator, reason } => {
            Some((format!("refused: {operator}: {reason}"), None))
        }
    }
}

/// A difference is an error of Dunlin only if the answer does not depend on the order in which rows are read.
async fn wrong(
    case: &Case<'_>,
    keeper: &mut Keeper,
    answer: &Answer,
    got: Option<&[RecordBatch]>,
    difference: &str,
) -> Verdict {
    if let Some(got) = got {
        let mut determined = !case.asked.loose;
        let mut same_counts = true;
        for tables in keeper.turned(case.copies) {
            if let Outcome::Rows(turned) =
                Bench::open(&tables, ENGINE).await.single(case.sql, 1).await
            {
                determined &= answer.difference(&turned).is_none();
                same_counts &= count(&turned) == answer.len();
            }
        }
        // An answer that is not determined may still have a determined number of rows.
        if !determined && (!same_counts || count(got) == answer.len()) {
            return Verdict::skipped("not determined");
        }
    }
    let uncut = match uncut(case, answer).await {
        None => "uncut is right".to_owned(),
        Some((difference, _)) => format!("uncut: {difference}"),
    };
    Verdict::Wrong(format!("{difference} ({uncut})"))
}
