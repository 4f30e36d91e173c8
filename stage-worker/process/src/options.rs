//! The command line of a worker process, for `dunlin-worker` and `dunlin worker`.

use std::path::PathBuf;

use crate::credentials::Credentials;

/// How a worker process is started.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// The configuration; if not given, `DUNLIN_CONFIG_TOML` is its text, or `DUNLIN_CONFIG` its file or object.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Tasks run at once; if not given, the configuration's number, or one for each core.
    #[arg(long)]
    pub slots: Option<usize>,
    /// File that is touched every 5 s while the worker is alive, for `dunlin-worker alive`.
    #[arg(long, value_name = "FILE")]
    pub alive_file: Option<PathBuf>,
    /// What the worker shows to gateways, which tell it of work.
    #[command(flatten)]
    pub credentials: Credentials,
}
