//! One slot's work on one query: it claims and runs tasks until there is nothing to do, or until it is another query's turn.

use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::decide::OpenTask;
use dunlin_manifest::query::{AdvanceError, Look};
use tokio::task::JoinSet;

use crate::ahead::Ahead;
use crate::attempt::{self, Chosen, Ran};
use crate::choice::{Choice, choose, next_own};
use crate::commit::Settled;
use crate::compute::Compute;
use crate::counted::Counted;
use crate::duty::Duties;
use crate::known::Known;
use crate::looks::{Due, Looks};
use crate::rest;
use crate::settling::{Holding, look_after, pause_after, settle, tell};
use crate::shared::Shared;
use crate::shares::sharer;

/// Works on a query until there is nothing to do for this slot. Returns false if nothing was done.
pub(crate) async fn work_on(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    slot: usize,
    compute: &mut Compute,
) -> Result<bool, AdvanceError> {
    turn(shared, known, slot, compute, Looks::default(), Until::Done).await
}

/// For how long a slot works on one query before it asks whether it is another's turn.
const TURN: Duration = Duration::from_millis(100);

/// When a slot leaves a query that has more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Never: nobody else waits for the slot.
    Done,
    /// When it is another's turn.
    AnothersTurn,
}

/// The same, with what the slot looks for first, and when it leaves.
pub(crate) async fn turn(
    shared: &Arc<Shared>,
    known: &Arc<Known>,
    slot: usize,
    compute: &mut Compute,
    looks: Looks,
    until: Until,
) -> Result<bool, AdvanceError> {
    let _at_work = Counted::in_(&shared.at_work);
    let mut turn = Turn::new(shared, known, until);
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
    until: Until,
    began: Duration,
}

impl<'a> Turn<'a> {
    fn new(shared: &'a Arc<Shared>, known: &'a Arc<Known>, until: Until) -> Self {
        Self {
            shared,
            known,
            committing: JoinSet::new(),
            held: 0,
            lost: 0,
            is_unclear: false,
            ahead: None,
            worked: false,
            until,
            began: shared.env.clock.monotonic(),
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
            if shared.is_leaving() || self.is_anothers_turn() {
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

    /// The slot has worked on the query for a while, and others wait for it, or may.
    fn is_anothers_turn(&self) -> bool {
        let shared = self.shared;
        let is_over = shared.env.clock.monotonic().saturating_sub(self.began) >= TURN;
        self.until == Until::AnothersTurn
            && self.worked
            && is_over
            && shared.is_anothers_turn(&self.known.handle.query)
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
            let root = &known.handle.root;
            let _share = shared.shares.begin(&known.handle.query, sharer(root).as_ref());
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
