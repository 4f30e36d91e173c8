//! One configuration out of a file, the environment and the command line.
//!
//! ```text
//!   dunlin.toml ──> tree <── DUNLIN__LIMITS__TTL_MS=60000 <── --set limits.ttl_ms=60000      the last one wins
//!                    │                                                                      each value knows its origin
//!                    └──read──> any type of serde, for example `dunlin_planner::config::Config`
//!                                 ${secrets:NAME} is resolved here, and nowhere else
//! ```
//!
//! What this crate promises:
//! - **Every key works from every source.** There is no list of keys: the sources become one tree before any type is read.
//! - **An error says where the value came from**: the file and line, the variable, or the flag.
//! - **A secret is in no error and in no log.** The tree holds the reference `${secrets:NAME}`, and never the value.
//!
//! Workers read their part of the configuration with it, too. So it knows no planner.

mod environment;
mod error;
mod merge;
mod near;
mod node;
mod parse;
mod read;
mod secrets;
mod sources;

pub use dunlin_plan::redact::redact;
pub use environment::{Environment, PREFIX};
pub use error::ReadError;
pub use near::{distance, nearest};
pub use node::{Node, Origin, Part, Table, Value, section};
pub use parse::SyntaxError;
pub use secrets::{RedactedStderr, SecretError, has_reference};
pub use sources::{Sources, Tree, TreeError};
