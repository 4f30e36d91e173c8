//! Writing files: what COPY, INSERT and CREATE TABLE AS do with the rows of a query.
//!
//! ```text
//!  rows ─WriteExec (each task)─> files with names of their own ─their names─> CommitExec (one task)
//!                                                                                  │ one create
//!                                                                                  v
//!            folder/_dunlin/<commit>.json: which files count. Before it is there, none does.
//! ```
//! A task writes its rows into files that no other attempt writes, and hands their names on like any other rows. So a
//! retry, a second worker or a worker that was thought dead cannot add a row: only the names that the winners of the
//! query's tasks handed on reach the commit. The commit is one object that is created and never replaced. A cancel
//! creates an object of the same name that says so; whichever is first is what happened.

mod access;
mod commit;
mod encode;
mod error;
mod exec;
mod files;
mod folders;
mod settle;
mod spec;
mod upload;

pub use self::access::WriteAccess;
pub use self::commit::{
    COMMITS, CommitRecord, State, WrittenFile, below_raw, first_of, folder_of, query_of,
};
pub use self::encode::check_schema;
pub use self::error::WriteError;
pub use self::exec::{CommitExec, WriteExec, result_schema};
pub use self::folders::{NULL_FOLDER, is_folder_type};
pub use self::settle::Written;
pub use self::spec::{CommitName, CsvStyle, Made, WriteCompression, WriteFormat, WriteSpec};

#[cfg(test)]
mod tests;
