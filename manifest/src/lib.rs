//! The coordination protocol: a query is a set of write-once objects, and this crate is the only place
//! that knows their names, their shapes, and what they allow next.
//!
//! ```text
//!   query    the life of a query: submit, look, advance, end           requests around decisions
//!     │
//!     ├──> store    the object store as the protocol needs it: the two creates, the probe, meter and pins
//!     ├──> decide   what follows from records: tasks, steps, seals, ends      pure functions
//!     └──┬──> model    what is written down, and under which name: records, keys, ids     types only
//!        └──> env      the world outside: time, randomness, blocking work
//! ```
//! Arrows run one way: `model` uses nothing of the crate, and `decide` uses `model` alone, which a test checks.
//!
//! What it promises: however many processes act on a query, in whatever order, dying wherever they like,
//! at most one `end` exists, at most one `commit` of every task, and every process that looks at the same
//! objects comes to the same records. A wrong verdict about who is alive wastes work and changes nothing.

pub mod decide;
pub mod env;
pub mod model;
pub mod query;
pub mod store;

pub use model::{ids, keys, records};
pub use query::submit;
pub use store::{meter, pinned, probe};
