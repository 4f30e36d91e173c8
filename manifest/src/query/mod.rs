//! The life of a query: the requests around the decisions.
//!
//! ```text
//!   submit ──> advance ──> derive      a query is written; due records are written; claimable tasks are returned
//!     │           └──────> finish      an end is created, if the query is over
//!     └──────┬──────┘
//!          handle ──> known            one process's view of one query, and the records that it has read
//!            └──────> observer         how long claims are silent and the query makes no progress
//!          progress                    the progress of the query, for people
//!          hints                       the bell and the list of active queries: not needed, but faster
//! ```
//! Any process may advance a query, any number of times, at the same time as others. Every step is a create that one
//! process wins, and the other processes use the object that it wrote.

pub mod advance;
pub mod error;
pub mod finish;
pub mod handle;
pub mod hints;
pub mod observer;
pub mod progress;
pub mod submit;

mod derive;
mod known;

pub use advance::{Advanced, PATIENCE};
pub use error::AdvanceError;
pub use finish::create_end;
pub use handle::QueryHandle;
pub use hints::{active, retire, ring};
pub use observer::Observer;
pub use progress::Progress;
pub use submit::{Submission, SubmitError, Submitted, submit};
