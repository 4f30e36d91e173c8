//! What clients ask about the database itself: `information_schema`, the schemas of `system`, `version()`.
//!
//! ```text
//!   SHOW TABLES, getColumns() … ──> Desk: plan over …
//!       datafusion.public              names and columns of the tables, without their rows    crate::catalog
//!       datafusion.information_schema  tables and columns in Trino's words                    information
//!       system.jdbc                    the same as the JDBC driver asks for it                jdbc
//!       system.metadata, system.runtime                                                       system
//! ```
//! These plans run in the gateway, on the core's threads and within its limits, in a session of their own. A scan of a table
//! is refused here by name.

mod desk;
mod information;
mod jdbc;
mod listing;
mod parameters;
mod system;

pub(super) use desk::{Desk, Look};
