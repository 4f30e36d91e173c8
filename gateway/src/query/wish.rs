//! What a client wants of its statement, beside its answer.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::auth::Principal;

/// How a client wants its statement to be run.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// The owner of the query.
    pub(crate) caller: Principal,
    /// The hash of the client's idempotency key.
    pub(crate) key: Option<String>,
    /// The query must be stored, on any route.
    pub(crate) durable: bool,
    /// It must be run, also if its answer is there already.
    pub(crate) fresh: bool,
    /// The longest time that the client waits for a plan, and for a place among the inline queries.
    pub(crate) patience: Duration,
    /// Cancelled when the client has left or does not want its answer any more. What waits then waits no longer.
    pub(crate) gone: CancellationToken,
}

impl Wish {
    /// To have it answered at once if that is possible, and from what is there already.
    pub(crate) fn new(caller: Principal, patience: Duration) -> Self {
        let gone = CancellationToken::new();
        Self { caller, key: None, durable: false, fresh: false, patience, gone }
    }
}
