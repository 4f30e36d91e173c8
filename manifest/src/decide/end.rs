//! How a query ends: its last record, its error and its totals.

use crate::decide::facts::Sealed;
use crate::model::encoding::RECORD_VERSION;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{StageId, TaskId};
use crate::model::records::{End, EndStatus, Limits, QueryError, Seal, SealTotals, Summary};

/// The totals of a query, as far as the seals of its stages show them. `answer` is the seal of the last stage: its
/// bytes are the answer, so they do not count as exchanged. Attempts are counted up to the one that won. Seals do not
/// hold the time: it stays zero.
#[must_use]
pub fn totals<'a>(seals: impl IntoIterator<Item = &'a Seal>, answer: Option<&Seal>) -> Summary {
    let (mut stages, mut bytes, mut sums) = (0, 0, SealTotals::default());
    for seal in seals {
        stages += 1;
        bytes += seal.bytes;
        sums += seal.totals();
    }
    let SealTotals { tasks, attempts, scan_bytes, requests, slot, lost, usage, .. } = sums;
    let (rows, result_bytes) = answer.map_or((0, 0), |seal| (seal.rows, seal.bytes));
    Summary {
        rows,
        wall_ms: 0,
        stages,
        tasks,
        attempts,
        bytes_scanned: scan_bytes,
        shuffle_bytes: bytes - result_bytes,
        requests,
        slot,
        lost,
        usage,
        result_bytes,
    }
}

/// The end of a query whose answer is there: `answer` is the seal of its last stage.
#[must_use]
pub fn succeeded(nonce: String, answer: &Sealed, summary: Summary) -> End {
    End {
        v: RECORD_VERSION,
        nonce,
        status: EndStatus::Succeeded,
        error: None,
        seal: Some(answer.digest.clone()),
        answer: None,
        summary: Some(summary),
    }
}

/// The end of a query whose last stage has one task, as the commit of that task. `answer` is the seal that the stage
/// then has.
#[must_use]
pub fn answered(nonce: String, answer: &Sealed, summary: Summary) -> End {
    End { answer: Some(answer.seal.as_ref().clone()), ..succeeded(nonce, answer, summary) }
}

/// The end of a query that has no answer because of `error`.
#[must_use]
pub fn failed(nonce: String, error: QueryError) -> End {
    End {
        v: RECORD_VERSION,
        nonce,
        status: EndStatus::Failed,
        error: Some(error),
        seal: None,
        answer: None,
        summary: None,
    }
}

/// The end of a query that somebody cancelled.
#[must_use]
pub fn cancelled(nonce: String) -> End {
    let error = QueryError {
        code: ErrorCode::Cancelled,
        message: "the query was cancelled".to_owned(),
        retryable: false,
    };
    End { status: EndStatus::Cancelled, ..failed(nonce, error) }
}

/// The error of a query that did not end in time.
#[must_use]
pub fn over_age(limits: &Limits) -> QueryError {
    QueryError {
        code: ErrorCode::Timeout,
        message: format!(
            "the query did not end within its time to live of {} s",
            limits.ttl_ms / 1000
        ),
        retryable: true,
    }
}

/// The error of a query with a task that lost every worker that claimed it.
#[must_use]
pub fn workers_lost(stage: StageId, task: TaskId, limits: &Limits) -> QueryError {
    QueryError {
        code: ErrorCode::WorkerLost,
        message: format!(
            "task {task} of stage {stage} was claimed {} times and every worker died with it; it may need more memory than the workers have",
            limits.max_claims
        ),
        retryable: true,
    }
}

/// The error of a query with a derived record that differs from what its inputs determine.
#[must_use]
pub fn broken_promise(key: &str) -> QueryError {
    QueryError {
        code: ErrorCode::Internal,
        message: format!(
            "{key} does not hold what its inputs give: the store or the engine broke a promise"
        ),
        retryable: false,
    }
}
