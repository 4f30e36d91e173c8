//! What clients ask about the database itself: `pg_catalog`, `information_schema`, and functions of the session.
//!
//! ```text
//!   \d orders ──> Desk: parse as Postgres, rewrite for the engine ──> plan over …
//!                   public              names and columns of the tables, without their rows    names
//!                   pg_catalog          datafusion-pg-catalog, over the same names
//!                   information_schema  the same in the words of the standard                  information
//!                   functions           version(), current_setting(), obj_description() …      functions
//! ```
//! These plans run in the gateway, on the core's threads and within its limits, in a session of their own. No statement reads
//! rows of tables and the catalog at once: a scan of a table is refused here by name.

mod desk;
mod functions;
mod information;
mod rewritten;
mod who;

pub(super) use desk::Desk;
pub(super) use who::Who;
