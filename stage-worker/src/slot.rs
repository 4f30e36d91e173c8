//! A slot: the loop that looks for a task, runs it, and looks again.
//!
//! ```text
//!   look ──> work_on a query: advance ─> choose ─> attempt ─┐
//!    ^                            ^                         │ again at once: the slot
//!    └── nothing to do, pause ────┴─────────────────────────┘ that sealed a stage continues
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::query::{AdvanceError, Look};
use dunlin_manifest::records::Route;
use dunlin_manifest::store::StoreError;
use dunlin_plan::words;
use futures::FutureExt;
use tokio::task::JoinSet;

use crate::ahead::Ahead;
use crate::attempt::{self, Chosen, Ran};
use crate::choice::{Choice, choose, next_own};
use crate::commit::Settled;
use crate::compute::{Compute, Engine};
use crate::duty::Duties;
use crate::known::Known;
use crate::looks::{Due, Looks};
use crate::rest;
use crate::settling::{Holding, look_after, pause_after, settle, tell};
use crate::shared::{Counted, Shared};

/// Keeps a slot running. A panic outside a task (caused by an unexpected record, for example) must not end the slot.
///
/// `linger` is for a visit: the slot leaves when it has found nothing for so long and no other slot is at work.
pub(crate) async fn keep_slot(
    shared: Arc<Shared>,
    engine: Engine,
    slot: usize,
    linger: Option<Duration>,
) {
    loop {
        let running = slot_loop(Arc::clone(&shared), engine.clone(), slot, linger);
        if std::panic::AssertUnwindSafe(running).catch_unwind().await.is_ok() {
            return;
        }
        if shared.is_leaving() {
            return;
        }
        tracing::error!(slot, "a slot panicked and starts again");
        shared.forget_unclaimed();
        let stopping = shared.stopping();
        tokio::select! {
            () = shared.env.clock.sleep(shared.options.sweep) => {}
            () = stopping.cancelled() => return,
        }
    }
}

/// One loop of the process: finds a task, runs it, and looks again.
async fn slot_loop(shared: Arc<Shared>, engine: Engine, slot: usize, linger: Option<Duration>) {
    let mut pause = shared.options.active_poll;
    let mut compute = Compute::new(engine);
    let mut ears = Ears::default();
    // What a frozen process has not done is no time of a slot.
    compute.since.free(shared.env.clock.monotonic());
    let mut idle_since = None;
    let stopping = shared.stopping();
    while !shared.is_leaving() {
        let rung = shared.rung.notified();
        shared.turned();
        let found = match look(&shared, slot, &mut compute, &mut ears).await {
            Ok(found) => found,
            Err(error) => {
                let error = words::explained(&error);
                tracing::warn!(%error, "the state store could not be looked at");
                Found::Nothing
            }
        };
        let crowd = shared.crowd();
        let (shortest, longest) = crowd.pauses(&shared.options);
        pause = match found {
            Found::Work => shortest,
            // A ring of the bell ends the pause, so the pause may grow to that of an idle worker.
            Found::Active => (pause + pause / 4).clamp(shortest, longest),
            Found::Nothing => shared.options.sweep,
        };
        if matches!(found, Found::Work) {
            idle_since = None;
            // In a large crowd the next look may wait: this one has ended with looks.
            if !(crowd.is_large() && shared.has_one_query()) {
                continue;
            }
        }
        // Slots that one ring has woken must not stay in step.
        let mut wait = shared.env.jitter(pause);
        if let Some(linger) = linger {
            let now = shared.env.clock.monotonic();
            let idle_for = now.saturating_sub(*idle_since.get_or_insert(now));
            // A slot that is at work may complete a stage.
            let is_last = shared.at_work.load(Ordering::Relaxed) == 0;
            if is_last && idle_for >= linger {
                break;
            }
            wait = if is_last { wait.min(linger - idle_for) } else { wait.max(VISITOR_PAUSE) };
        }
        tokio::select! {
            () = rung => spread(&shared).await,
            () = shared.env.clock.sleep(wait) => {}
            () = stopping.cancelled() => {}
        }
    }
    // The others may be waiting for this one.
    shared.rung.notify_waiters();
}

/// The least pause of a slot of a visit that waits for the other slots.
const VISITOR_PAUSE: Duration = Duration::from_millis(500);

/// After a ring every slot looks. They wait for different short times, so that they do not all try the same task.
async fn spread(shared: &Shared) {
    let most = u64::try_from(shared.options.slots).unwrap_or(1).min(64) * 200;
    shared.env.clock.sleep(Duration::from_micros(shared.env.below(most.max(1)))).await;
}

/// What a slot remembers between its looks.
#[derive(Debug, Default)]
struct Ears {
    /// The number of the latest news that it knows.
    heard: u64,
    /// When it last listed the active queries.
    listed: Option<Duration>,
}

/// The result of a look.
enum Found {
    /// A task was run, or a query was advanced.
    Work,
    /// There are queries, but nothing to do for this slot now.
    Active,
    /// There is no query.
    Nothing,
}

/// Works on the oldest query that has something to do. Queries that this process was told of are not listed first.
async fn look(
    shared: &Arc<Shared>,
    slot: usize,
    compute: &mut Compute,
    ears: &mut Ears,
) -> Result<Found, StoreError> {
    let told = shared.heard_since(&mut ears.heard);
    let now = shared.env.clock.monotonic();
    let crowd = shared.crowd();
    let longest = crowd.pauses(&shared.options).1.max(shared.options.sweep);
    let is_fresh = ears.listed.is_some_and(|at| now.saturating_sub(at) < longest);
    if !told.is_empty() && (is_fresh || !crowd.is_large()) {
        let found = look_at(shared, told, slot, compute, Looks::TOLD).await;
        // What each of many is told, each need not ask for as well.
        let is_enough = matches!(found, Found::Active) && crowd.is_large();
        if matches!(found, Found::Work) || is_enough {
            return Ok(found);
        }
    }
    ears.listed = Some(shared.env.clock.monotonic());
    let queries = shared.active().await?;
    shared.keep_only(&queries);
    if queries.is_empty() {
        return Ok(Found::Nothing);
    }
    Ok(look_at(shared, queries, slot, compute, Looks::default()).await)
}

/// Works on the oldest of the queries that has something to do.
async fn look_at(
    shared: &Arc<Shared>,
    mut queries: Vec<QueryId>,
    slot: usize,
    compute: &mut Compute,
    looks: Looks,
) -> Found {
    // Oldest first: ids sort by time of submission.
    queries.sort();
    let mut active = false;
    for query in queries {
        if shared.has_ended(&query) {
            continue;
        }
        let known = match shared.known(&query).await {
            Ok(Some(known)) => known,
            Ok(None) => {
                shared.refuse_again(&query).await;
                continue;
            }
            Err(error) => {
                // A query that cannot be read must not keep this worker from the others.
                tracing::warn!(%query, %error, "a query could not be read");
                active = true;
                continue;
            }
        };
        if known.refused.is_some() {
            shared.refuse_again(&query).await;
            continue;
        }
        // The gateway of an inline query runs it; see `Worker::run_query`.
        if known.handle.root.route == Route::Inline {
            continue;
        }
        active = true;
        // News may have come while another look found nothing.
        if !looks.told && shared.env.clock.monotonic() < *known.quiet_until.lock() {
            continue;
        }
        match turn(shared, &known, slot, compute, looks).await {
            Ok(true) => return Found::Work,
            Ok(false) => {}
            Err(error) => tracing::warn!(%query, %error, "a query could not be moved on"),
        }
    }
    if active { Found::Active } else { Found::Nothing }
}

/// Works on a query until there is nothing to do for this slot. Returns false if nothing was done.
pub(crate) async fn work_on(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    slot: usize,
    compute: &mut Compute,
) -> Result<bool, AdvanceError> {
    turn(shared, known, slot, compute, Looks::default()).await
}

/// The same, with what the slot looks for first.
async fn turn(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    slot: usize,
    compute: &mut Compute,
    looks: Looks,
) -> Result<bool, AdvanceError> {
    let _at_work = Counted::in_(&shared.at_work);
    let mut turn = Turn::new(shared, known);
    let outcome = turn.run(slot, compute, looks).await;
    // Commits that are under way are the end of this slot's work, whatever happened after them.
    while turn.settle(compute).await {}
    outcome.map(|()| turn.worked)
}

/// Commits of one slot that are under way at once.
const COMMITS: usize = 4;
/// Bytes of rows that wait for their commits, in one slot.
const MOST_HELD: usize = 16 << 20;

/// One slot's work on one query.
struct Turn<'a> {
    shared: &'a Arc<Shared>,
    known: &'a Arc<Known>,
    /// The commits of former tasks, made beside the present one. Each returns the bytes of rows that it held, and how it
    /// ended.
    committing: JoinSet<(usize, Settled)>,
    held: usize,
    /// Claims that were answered after the slot had gone on, and lost.
    lost: u32,
    /// It is not known whether such a claim was written, so the slot claims nothing more for now.
    is_unclear: bool,
    /// What is read for the next task.
    ahead: Option<Ahead>,
    worked: bool,
}

impl<'a> Turn<'a> {
    fn new(shared: &'a Arc<Shared>, known: &'a Arc<Known>) -> Self {
        Self {
            shared,
            known,
            committing: JoinSet::new(),
            held: 0,
            lost: 0,
            is_unclear: false,
            ahead: None,
            worked: false,
        }
    }

    async fn run(
        &mut self,
        slot: usize,
        compute: &mut Compute,
        mut looks: Looks,
    ) -> Result<(), AdvanceError> {
        let (shared, known) = (self.shared, self.known);
        let crowd = shared.crowd();
        // What is sealed already needs no claims.
        if known.handle.has_unread_seals() {
            looks.due = Due::All;
        }
        loop {
            looks.lost_late(std::mem::take(&mut self.lost));
            if self.is_unclear {
                return Ok(());
            }
            let advanced = match looks.due {
                Due::Nothing => known.handle.go_on().await?,
                Due::Seals => {
                    known.handle.look_for(Look::SEALS).await?;
                    known.handle.go_on().await?
                }
                Due::All => {
                    let look = crowd.look(self.worked);
                    known.handle.look_for(look).await?;
                    // Who does not ask for seals does not know what is due.
                    let patience = look.seals.then(|| crowd.patience(&shared.env));
                    known.handle.advance_patiently(patience.unwrap_or(Duration::MAX)).await?
                }
            };
            if advanced.moved {
                self.worked = true;
                *known.quiet_until.lock() = Duration::ZERO;
                tell(shared, known);
            }
            if advanced.ended.is_some() {
                shared.forget(&known.handle.query);
                return Ok(());
            }
            // Checked before a task is chosen, because a chosen task is hidden from the other slots of this process.
            if shared.is_leaving() {
                return Ok(());
            }
            let choice = choose(shared, known, &advanced, slot, looks.lost_in_all);
            let Choice::Task { task, is_own } = choice else {
                // A commit that is under way may open the next stage.
                if self.settle(compute).await {
                    looks.due = Due::Nothing;
                    continue;
                }
                if (crowd.is_large() && choice == Choice::Later && !looks.told)
                    || !looks.next(crowd)
                {
                    // The other slots of a process need not look, too.
                    let pause = match crowd.is_large() {
                        true => crowd.pauses(&shared.options).0 / 2,
                        false => shared.options.active_poll,
                    };
                    *known.quiet_until.lock() = shared.env.clock.monotonic() + pause;
                    return Ok(());
                }
                continue;
            };
            looks.due = Due::Nothing;
            let next = is_own.then(|| next_own(shared, known, &advanced.open, slot, task.stage));
            match self.attempt((task, is_own), next.flatten(), compute).await {
                Next::Choose => {
                    looks.lost = 0;
                    looks.done += 1;
                }
                Next::Lost => looks.lost_now(),
                Next::Look => looks.due = Due::All,
                Next::Leave => return Ok(()),
            }
        }
    }

    /// Claims and runs a task. Its commit is made beside what follows, and what the `next` one reads is read meanwhile.
    async fn attempt(
        &mut self,
        (task, is_own): (OpenTask, bool),
        next: Option<OpenTask>,
        compute: &mut Compute,
    ) -> Next {
        let (shared, known) = (self.shared, self.known);
        let holding = Holding::of(known, task);
        let ahead = self.ahead.take().and_then(|ahead| ahead.for_task(task));
        let mut chosen = Chosen { task, is_own, ahead, next: None };
        if let Some(next) = next
            && let Some((ahead, question)) = Ahead::of(shared, known, next).await
        {
            (self.ahead, chosen.next) = (Some(ahead), Some(question));
        }
        let ran = {
            // A task that has lacked memory runs alone in its process.
            let (_alone, _beside) = match rest::lacked_memory(known, &task) {
                true => (Some(shared.memory.write().await), None),
                false => (None, Some(shared.memory.read().await)),
            };
            let _busy = Counted::in_(&shared.busy);
            attempt::run(shared, known, chosen, compute).await
        };
        if let Ran::Done(finished) = ran {
            let held = finished.held();
            // The memory of former rows is free before more are held.
            while self.committing.len() >= COMMITS || self.held + held > MOST_HELD {
                if !self.settle(compute).await {
                    break;
                }
            }
            let (shared, known) = (Arc::clone(shared), Arc::clone(known));
            self.worked = true;
            self.held += held;
            self.committing.spawn(async move {
                let settled = settle(&shared, &known, *finished, holding).await;
                (held, settled)
            });
            return Next::Choose;
        }
        if let Some(task_before) = holding.end(Duties::given_up) {
            look_after(shared, known, task.stage, task_before).await;
        }
        match ran {
            Ran::Lost | Ran::Done(_) => Next::Lost,
            Ran::Unsettled => {
                known.taken.lock().remove(&(task.stage, task.task, task.attempt));
                Next::Leave
            }
            Ran::Stopped => Next::Leave,
            Ran::Failed(class) => {
                self.worked = true;
                pause_after(shared, task, class).await;
                Next::Look
            }
        }
    }

    /// Waits for one of the commits that are under way. False if there is none.
    async fn settle(&mut self, compute: &mut Compute) -> bool {
        let began = self.shared.env.clock.monotonic();
        let settled = self.committing.join_next().await;
        compute.since.waited(self.shared.env.clock.monotonic().saturating_sub(began));
        match settled {
            None => return false,
            Some(Ok((held, settled))) => {
                self.held = self.held.saturating_sub(held);
                self.lost += u32::from(settled == Settled::Lost);
                self.is_unclear |= settled == Settled::Unclaimed;
            }
            Some(Err(error)) => {
                tracing::error!(query = %self.known.handle.query, %error, "a commit panicked");
            }
        }
        true
    }
}

/// What a slot does after an attempt.
enum Next {
    /// Choose a task by what is known.
    Choose,
    /// Choose another task: this one is another worker's.
    Lost,
    /// Look, because something failed.
    Look,
    /// Leave the query for now.
    Leave,
}
