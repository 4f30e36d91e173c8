//! The life of a query: the requests around the decisions.
//!
//! ```text
//!   submit                             a query is written
//!   look ──> advance ──> derive        what has changed; due records are written; claimable tasks are returned
//!     │         └──────> finish        an end is created, if the query is over
//!     ├──> cursor ─┘                 which groups are looked at next
//!     └────┬────┘
//!        handle ──> known              one process's view of one query, and the records that it knows
//!          └──────> observer           how long claims are silent
//!          progress                    the progress of the query, for people
//!          blocks                      the seals of groups, read by range
//!          history                     the queries that have ended, newest first
//!          hints                       the bell and the list of active queries: not needed, but faster
//!          sweep ──> glance            queries whose processes died, all at once; one of them
//!            └─────────┴──> site       what a sweeper needs of its process
//!          news                        what processes tell each other beside the store
//! ```
//! Any process may advance a query, any number of times, at the same time as others. Every step is a create that one
//! process wins, and the other processes use the object that it wrote.

pub mod advance;
pub mod collect;
pub mod error;
pub mod finish;
pub mod handle;
pub mod hints;
pub mod news;
pub mod progress;
pub mod submit;
pub mod sweep;

mod blocks;
mod cursor;
mod derive;
mod glance;
mod history;
mod known;
mod look;
mod observer;
mod site;

pub use advance::{Advanced, PATIENCE};
pub use blocks::Blocks;
pub use collect::{Collected, Found, Keep, Sum, collect, last_collected};
pub use error::AdvanceError;
pub use finish::create_end;
pub use handle::QueryHandle;
pub use hints::{
    GATE_PERIOD, GateSeen, active, ask_to_stop, close_gate, forget_stop, gates, gateways,
    is_asked_to_stop, open_gate, retire, ring,
};
pub use history::ended_before;
pub use look::Look;
pub use news::{Heard, News, Place, Reminder, Wake};
pub use progress::Progress;
pub use submit::{Submission, SubmitError, Submitted, submit};
