//! The protocol at the size of a fleet: 1,000 workers, 100,000 tasks, on one thread and in simulated time.
//!
//! ```text
//!   tests ──> report ──> simulate ──┬──> engine    what runs in DataFusion's place    ──> shape
//!                                   ├──> store     latencies, 503s, what was asked    ──> rates, tally
//!                                   └──> dunlin_sim: clock, hub (news, places, the watcher)
//! ```
//! It exists because the protocol's promises about size (requests a task, the time between two stages, no LIST storms)
//! cannot be measured on the machine of a developer, and can be computed: all that matters is which requests wait for
//! which. Everything that decides is the real code: workers, slots, handles, seals. The store's latencies and rates, the
//! time that a task computes, and the gateway are imitations.

mod engine;
mod rates;
mod report;
mod shape;
mod simulate;
mod store;
mod tally;

mod tests;
