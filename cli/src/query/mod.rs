//! `dunlin query`: finds the queries of a gateway again.

mod find;
mod options;
mod profile;
mod run;
mod text;

pub use options::Command;
pub use run::run;
