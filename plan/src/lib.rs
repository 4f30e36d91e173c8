//! What the two sides of a query share: the gateway that plans it, and the workers that run its tasks.
//!
//! ```text
//!   gateway (dunlin-planner)                                worker (dunlin-worker)
//!   SQL ──> stages ──wire::encode──> plan object ──task::open──> a plan that runs
//!                  └─session::settings─> root ──session::config─> the same session
//!                  └─fence::current────> root ──fence::current──> or refused: another engine
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`session`] | the settings of a query as text, and the session made from them |
//! | [`fence`] | which workers may compute for a query |
//! | [`functions`] | the functions of every session, with a limit for those that can produce much from little text |
//! | [`wire`] | a stage's plan encoded as bytes, and decoded |
//! | [`task`] | the plan that one task runs, made from a plan object |
//! | [`stores`], [`location`] | the object stores of a process |
//! | [`config`], [`config_text`] | the parts of the configuration that gateway and workers read, and where its text is |
//! | [`redact`] | keeps secrets of the configuration out of logs, errors and records |
//! | [`guard`], [`priority`] | plans that end when asked, and threads with lower priority |
//! | [`words`] | what the engine and the stores report, in words for people |
//! | [`write`](mod@write) | what COPY, INSERT and CREATE TABLE AS do with rows: files, and the object that commits them |
//! | [`damaged`] | which part of which Parquet file is damaged |
//! | [`footers`] | what of a Parquet file's footer can be believed |
//! | [`best_first`] | reads the files that can hold the first rows of an order, the best first |
//! | [`disk`] | the local disk for spills |
//! | [`pressure`] | ends a plan before the process is killed for its memory |
//! | [`passage`] | where the columns of an operator's rows come from |
//! | [`sift`] | conditions on keys that reach the scans |
//! | [`operators`] | properties of an operator that gateway and workers need |
//!
//! What this crate promises: a plan that one process encoded means the same in another process with the same
//! [`fence`]. The crate knows no SQL text, no table and no route. Those belong to `dunlin-planner`, which no worker
//! links.

pub mod arrays;
pub mod best_first;
pub mod config;
pub mod config_text;
pub mod damaged;
pub mod disk;
mod error;
pub mod fence;
pub mod footers;
pub mod functions;
pub mod gather;
pub mod guard;
pub mod location;
pub mod operators;
mod parquet_writer;
pub mod passage;
pub mod pressure;
pub mod priority;
pub mod redact;
mod renewing;
pub mod retyped;
pub mod session;
pub mod sift;
pub mod stores;
pub mod task;
pub mod threads;
pub mod wire;
pub mod words;
pub mod worker_file;
pub mod write;

pub use error::{SettingError, StoreError};
pub use parquet_writer::ParquetWriter;
