//! The life of a query: the requests around the decisions.
//!
//! ```text
//!   submit ──> advance ──> derive      a query is written down; whatever is due is written; what may be claimed
//!     │           └──────> finish      an end is created, if the query has come to one
//!     └──────┬──────┘
//!          handle ──> known            one process's view of one query, and what it has read of it already
//!            └──────> observer         how long claims are silent and the query stands still
//!          progress                    how far the query has come, for people
//!          hints                       the bell and the list of active queries: never needed, only quick
//! ```
//! Anyone may advance a query, any number of times, at once: every step is a create that one process wins and
//! the others adopt.

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
