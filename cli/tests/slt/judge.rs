//! One query, answered by Dunlin and by a single DataFusion process over the same files.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::sql::sqlparser::ast::Query;

use crate::common::ENGINE;
use crate::common::bench::{Bench, Outcome, difference};
use crate::keeper::{Copy, Keeper};
use crate::sql;
use crate::tally::Verdict;

/// Partitions of Dunlin's plans: as many as files with rows, fewer than files.
const PARTITIONS: usize = 3;

/// A query with what it is answered from.
pub(crate) struct Case<'a> {
    pub(crate) sql: &'a str,
    pub(crate) query: &'a Query,
    pub(crate) copies: &'a [Copy],
    pub(crate) bench: Arc<Bench>,
    /// Ask gateway and workers, too.
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
        _ => return Verdict::Skipped("the engine fails at 4 partitions".to_owned()),
    };
    let keys = sql::sort_columns(case.query, &want);
    let answer = Answer { rows: want, keys };
    // Where the engine disagrees with itself, the number of rows may still be determined.
    let determined = answer.difference(&again).is_none();
    if !determined && answer.len() != count(&again) {
        return Verdict::Skipped("not determined".to_owned());
    }
    let mut verdict = Verdict::Same;
    for fleet in [false, true] {
        if fleet && !case.fleet {
            continue;
        }
        let (form, got) = match fleet {
            true => ("fleet", bench.fleet(sql, PARTITIONS).await),
            false => ("decoded", bench.decoded(sql, PARTITIONS).await),
        };
        let difference = match got {
            Outcome::Rows(rows) if determined => answer.difference(&rows),
            Outcome::Rows(rows) if count(&rows) == answer.len() => None,
            Outcome::Rows(rows) => Some(format!("{} rows, not {}", count(&rows), answer.len())),
            Outcome::Refused { operator, reason } => {
                verdict = Verdict::Refused { operator, reason };
                continue;
            }
            Outcome::Failed(error) => Some(format!("failed: {error}")),
        };
        if let Some(difference) = difference {
            return wrong(case, keeper, &answer, &format!("{form}: {difference}")).await;
        }
    }
    match verdict {
        // What is refused by the fleet must still be right in the gateway.
        Verdict::Refused { .. } if determined => match uncut(case, &answer).await {
            None => verdict,
            Some(difference) => {
                wrong(case, keeper, &answer, &format!("refused, and uncut: {difference}")).await
            }
        },
        Verdict::Same if !determined => Verdict::Skipped("not determined".to_owned()),
        verdict => verdict,
    }
}

/// An answer and the columns that it is ordered by.
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

/// The engine fails: so should Dunlin.
async fn failing(case: &Case<'_>, error: &str) -> Verdict {
    if let Outcome::Rows(_) = case.bench.single(case.sql, 4).await {
        return Verdict::Skipped("the engine fails at 1 partition".to_owned());
    }
    if error.contains("timed out") || error.contains("panicked") {
        return Verdict::Skipped("the engine hangs or panics".to_owned());
    }
    match case.bench.decoded(case.sql, PARTITIONS).await {
        Outcome::Rows(rows) => {
            Verdict::Lenient(format!("{} rows, but the engine says {error}", count(&rows)))
        }
        Outcome::Failed(ours) if ours == "timed out" || ours.starts_with("panicked") => {
            Verdict::Wrong(format!("decoded: {ours}, but the engine says {error}"))
        }
        _ => Verdict::Skipped("engine error".to_owned()),
    }
}

async fn uncut(case: &Case<'_>, answer: &Answer) -> Option<String> {
    match case.bench.uncut(case.sql, PARTITIONS).await {
        Outcome::Rows(rows) => answer.difference(&rows),
        Outcome::Failed(error) => Some(format!("failed: {error}")),
        Outcome::Refused { operator, reason } => Some(format!("refused: {operator}: {reason}")),
    }
}

/// A difference is Dunlin's only if the answer does not depend on the order in which rows are read.
async fn wrong(case: &Case<'_>, keeper: &mut Keeper, answer: &Answer, difference: &str) -> Verdict {
    let turned = match keeper.turned(case.copies) {
        Ok(tables) => Bench::open(&tables, ENGINE).await.single(case.sql, 1).await,
        Err(reason) => Outcome::Failed(reason),
    };
    // An answer whose number of rows alone is known to be determined is wrong by that number only.
    if let Outcome::Rows(turned) = turned
        && !difference.contains("failed: ")
        && answer.difference(&turned).is_some()
        && (count(&turned) != answer.len() || !difference.contains(" rows, not "))
    {
        return Verdict::Skipped("not determined".to_owned());
    }
    let uncut = match uncut(case, answer).await {
        None => "uncut is right".to_owned(),
        Some(difference) => format!("uncut: {difference}"),
    };
    Verdict::Wrong(format!("{difference} ({uncut})"))
}
