//! What this process leaves to others because it failed here: tasks that it has failed, and whole queries if it fails one
//! attempt after the other. A worker with a full disk would otherwise take every task and fail it, faster than the others
//! compute.

use std::collections::BTreeSet;

use dunlin_manifest::decide::{self, Failed, OpenTask};
use dunlin_manifest::records::{ErrorCode, Fail, FailClass, Route};

use crate::known::Known;
use crate::shared::Shared;

/// True if there is no worker, as far as this one knows, that would take a task with these failures and has not failed it
/// yet.
pub(crate) fn is_alone(shared: &Shared, known: &Known, failures: &[Failed]) -> bool {
    if known.handle.root.route == Route::Inline {
        return true;
    }
    let Some(workers) = shared.workers() else { return false };
    let failed = failures.iter().filter(|failed| failed.fail.class == FailClass::Retry);
    let mut names: BTreeSet<&str> = failed.map(|failed| failed.fail.worker.as_str()).collect();
    names.insert(&shared.name);
    names.len() >= workers
}

/// An attempt of this process has failed.
pub(crate) fn note_failure(shared: &Shared, known: &Known, fail: &Fail) {
    if fail.class != FailClass::Retry || fail.alone {
        return;
    }
    let rest = known.streak.lock().failed(shared.env.clock.monotonic());
    if let Some(rest) = rest {
        tracing::error!(
            query = %known.handle.query,
            rest_s = rest.as_secs(),
            code = fail.code.as_str(),
            message = fail.message,
            "attempts fail here one after the other, so the query is left to other workers"
        );
    }
}

/// False if this process leaves the task alone for now, because of how attempts of it have failed.
pub(crate) fn is_rested(shared: &Shared, known: &Known, task: &OpenTask) -> bool {
    let now = shared.env.clock.monotonic();
    if known.streak.lock().is_resting(now) {
        return false;
    }
    if task.attempt == 0 {
        return true;
    }
    // How former attempts have failed is read by the next look.
    let Some(failures) = known.handle.failures(task) else { return false };
    now >= decide::rest(&failures, &shared.name, is_alone(shared, known, &failures))
}

/// True if an attempt of the task has failed for want of memory.
pub(crate) fn lacked_memory(known: &Known, task: &OpenTask) -> bool {
    let failures = known.handle.failures(task).unwrap_or_default();
    failures.iter().any(|failed| failed.fail.code == ErrorCode::OutOfMemory)
}
