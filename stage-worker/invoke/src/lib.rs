//! Wakes stage workers that are AWS Lambda functions.
//!
//! ```text
//!   news: 600 tasks are open ──> 300 calls are needed, if a function has two slots
//!      └─ 100 calls {"queries": [Q], "calls": 2} ─> each function first makes two more calls, then looks for tasks
//! ```
//! A call is a hint. It says where work may be, and the function finds it in the store, or finds none. So a call that is
//! lost, late or doubled costs time and a few requests, and never changes an answer. Who completes a stage calls for the
//! next one; a gateway that waits for the query, or a scheduled function, calls again when tasks stay unclaimed.
//!
//! Files: [`event`] is what a call says; [`tree`] is who calls how many; `call` makes a call, with the AWS SDK; `functions`
//! turns news into calls; [`check`] finds out at a gateway's start whether the functions can be used.

mod call;
pub mod check;
pub mod event;
mod functions;
pub mod sweep;
pub mod tree;

pub use call::{Call, CallError, Kind, Sdk};
pub use functions::Functions;
