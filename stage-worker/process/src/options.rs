//! The command line of a worker process, for `dunlin-worker` and `dunlin worker`, and where any process of Dunlin finds its
//! configuration.

use std::path::{Path, PathBuf};

use dunlin_config::{Environment, Sources, Tree, TreeError};

use crate::credentials::Credentials;

/// Where a process finds its configuration.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConfigOptions {
    /// The configuration; if not given, `DUNLIN_CONFIG_TOML` is its text, or `DUNLIN_CONFIG` its file or object.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Sets a key of the configuration, e.g. `limits.ttl_ms=60000` or `tables.orders.location=s3://bucket/orders/`. May be
    /// given more than once. A variable such as `DUNLIN__LIMITS__TTL_MS` does the same; the flag has priority.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigOptions {
    /// The sources of the configuration.
    #[must_use]
    pub fn sources(&self) -> Sources {
        Sources { config: self.config.clone(), set: self.set.clone() }
    }
}

/// The configuration that `sources` and the environment of this process give. Without any of them, `dunlin.toml` in the
/// current folder.
///
/// # Errors
/// See [`TreeError`].
pub async fn tree(sources: &Sources) -> Result<Tree, TreeError> {
    sources.tree(Path::new("dunlin.toml"), Environment::of_process()).await
}

/// How a worker process is started.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Where it finds its configuration.
    #[command(flatten)]
    pub config: ConfigOptions,
    /// Tasks run at once; if not given, the configuration's number, or one for each core.
    #[arg(long)]
    pub slots: Option<usize>,
    /// The pool whose queries it runs, or `*` for all; if not given, the configuration's, or those that are for no pool.
    #[arg(long, value_name = "NAME")]
    pub pool: Option<String>,
    /// File that is touched every 5 s while the worker is alive, for `dunlin-worker alive`.
    #[arg(long, value_name = "FILE")]
    pub alive_file: Option<PathBuf>,
    /// What the worker shows to gateways, which tell it of work.
    #[command(flatten)]
    pub credentials: Credentials,
}
