//! The coordination protocol. A query is a set of write-once objects. This crate is the only place that knows the
//! names and the contents of these objects, and which step may follow.
//!
//! ```text
//!   query    the life of a query: submit, look, advance, end           requests for the decisions
//!     │
//!     ├──> store    the object store as the protocol needs it: two kinds of create, probe, meter, pins
//!     ├──> decide   what follows from records: tasks, steps, seals, ends      pure functions
//!     └──┬──> model    what is written, and under which name: records, keys, ids     types only
//!        └──> env      the environment: time, randomness, blocking work
//! ```
//! Dependencies go one way: `model` uses no other module of the crate, and `decide` uses only `model`. A test checks
//! this.
//!
//! What it promises: at most one `end` exists, at most one `commit` exists for each task, and every process that
//! looks at the same objects derives the same records. This holds for any number of processes, in any order, whenever
//! a process dies. A wrong guess about which process is alive wastes work and changes no result.

pub mod decide;
pub mod env;
pub mod model;
pub mod query;
pub mod store;

pub use model::{ids, keys, records};
pub use query::submit;
pub use store::{hedge, meter, pinned, probe};
