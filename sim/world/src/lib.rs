//! Whole processes in a simulated world: the workers, the plans and the rows are the real ones; time, the store and
//! death are not.
//!
//! ```text
//!   seed ──> scenario ──> run ──┬──> gateways, workers     each with a life: it is killed, frozen, its clock is wrong
//!                               ├──> store                 late, lost, doubled, refused, damaged answers
//!                               └──> client                submits under a key, waits, asks again elsewhere
//!   prepared: tables, plans, and the rows of one process
//!   check: rows, records, and what is left after collecting
//! ```
//! It exists because what a kill breaks depends on the request that it hits, and real processes hit few of them. Here a
//! run takes a fraction of a second, is a function of its seed, and is replayed by it.
//!
//! What is imitated: the gateway's part. The client's query is planned before by the real planner, and is submitted,
//! watched and swept by the code of `manifest` that gateways run. HTTP, intake and answers are not in it.
//!
//! These tests report by panicking or with a text about what is wrong; see `tests/world.rs`.
#![allow(clippy::unwrap_used)]

mod cast;
mod check;
mod dice;
mod fate;
mod gateway;
mod life;
mod luck;
mod prepared;
mod run;
mod scenario;
mod store;

pub use fate::Fate;
pub use prepared::Prepared;
pub use run::{Outcome, objects, run};
pub use scenario::{Crash, Scenario};
