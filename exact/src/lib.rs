//! The exactness tests: the fleet must give the answers that one DataFusion process gives.
//!
//! There is one set of tables, and several forms in which a query over them can be answered. The first form that is
//! wrong shows where to look:
//!
//! ```text
//!   single   one DataFusion process with its own settings: what the answer must be
//!   uncut    Dunlin's plan in one process               wrong = planner settings or normalisation
//!   decoded  cut, encoded, decoded, run stage by stage  wrong = the cut, the wire form or the exchange
//!   fleet    gateway and workers over HTTP              wrong = the protocol
//! ```
//!
//! [`Bench`] has the four forms; [`library`], [`joins`], [`random`] and [`slt`] choose the queries. By default each
//! runs as many queries as CI has time for; `DUNLIN_EXACT=full` runs all of them.
//!
//! ```text
//!   library, joins, random, slt     the queries
//!        └──> bench                 one query in one form, bounded in time
//!               ├──> reference      single
//!               ├──> in_process     uncut, decoded
//!               ├──> fleet          gateway and workers
//!               └──> compare, place, engines
//! ```
//!
//! These tests report by panicking: an error in the setup and an answer that is not exact both fail the test.
#![allow(clippy::unwrap_used)]

mod bench;
mod compare;
pub mod engines;
mod fleet;
pub mod formats;
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
mod together;
pub mod told;
mod told_table;

pub use bench::{Bench, Outcome};
pub use compare::{Table, assert_same, difference};
pub use fleet::Fleet;
pub use in_process::InProcess;
pub use parquet_files::write_file;
pub use place::TableOf;
pub use reference::{Reference, answer};
pub use rng::Rng;
