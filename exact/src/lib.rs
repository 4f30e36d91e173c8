//! The exactness harness: what one DataFusion process answers, the fleet must answer.
//!
//! One set of tables, and the ways to answer a query over them. The first form that is wrong tells where to
//! look:
//!
//! ```text
//!   single   one DataFusion process with its own settings: what the answer must be
//!   uncut    Dunlin's plan in one process               wrong = planner settings or normalisation
//!   decoded  cut, encoded, decoded, run stage by stage  wrong = the cut, the wire form or the exchange
//!   fleet    gateway and workers over HTTP              wrong = the protocol
//! ```
//!
//! [`Bench`] has the four forms; [`library`], [`joins`], [`random`] and [`slt`] say what is asked of them.
//! By default each asks what CI has time for; `DUNLIN_EXACT=full` asks everything.
//!
//! ```text
//!   library, joins, random, slt     what is asked
//!        └──> bench                 one query in one form, bounded in time
//!               ├──> reference      single
//!               ├──> in_process     uncut, decoded
//!               ├──> fleet          gateway and workers
//!               └──> compare, place, engines
//! ```
//!
//! A harness reports by panicking: what cannot be set up, and what is not exact, is a failed test.
#![allow(clippy::unwrap_used)]

mod bench;
mod compare;
pub mod engines;
mod fleet;
pub mod hard_tables;
mod in_process;
pub mod joins;
pub mod library;
mod parquet_files;
mod place;
pub mod random;
mod reference;
mod rng;
mod settings;
pub mod slt;

pub use bench::{Bench, Outcome};
pub use compare::{Table, assert_same, difference};
pub use fleet::Fleet;
pub use in_process::InProcess;
pub use parquet_files::write_file;
pub use place::TableOf;
pub use reference::Reference;
