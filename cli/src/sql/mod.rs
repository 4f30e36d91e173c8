//! `dunlin sql`: statements from the command line, from files or from a pipe, and a shell.

mod options;
mod parameter;
mod place;
mod run;

pub use crate::print::Format;
pub use options::Options;
pub(crate) use place::{DEFAULT_URL, URL_VARIABLE};
pub use run::run;
