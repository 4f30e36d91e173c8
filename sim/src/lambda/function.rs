//! What is called, and how a call ends.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Bytes;

/// A function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The program that Lambda would find as `bootstrap`.
    pub binary: PathBuf,
    /// The alias under which it can be called, beside its name alone; none: any. Functions of one name with different
    /// aliases are versions of it.
    pub alias: Option<String>,
    /// Its environment, beside what Lambda sets.
    pub env: Vec<(String, String)>,
    /// Memory. A process that has more resident is killed.
    pub memory_mb: u64,
    /// A call that takes longer is killed.
    pub timeout: Duration,
    /// Calls at once.
    pub concurrency: usize,
    /// Nobody may call it.
    pub is_denied: bool,
    /// Folder for the logs of its sandboxes and their `/tmp`.
    pub folder: PathBuf,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Done(Bytes),
    /// The function, or what happened to it.
    Failed {
        /// As Lambda names it, e.g. `Runtime.ExitError`.
        kind: String,
        /// For people.
        message: String,
    },
}
