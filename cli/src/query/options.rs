//! The command line of `dunlin query`.

use std::path::PathBuf;

use dunlin_process::ConfigOptions;

use crate::credentials::Credentials;
use crate::print::Format;
use crate::sql::{DEFAULT_URL, URL_VARIABLE};

/// `dunlin query …`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// List queries, newest first.
    List {
        /// The most queries to list.
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
        /// The gateway that is asked.
        #[command(flatten)]
        at: Gateway,
        /// The form of the answer.
        #[command(flatten)]
        as_: Output,
    },
    /// Say how far a query is, or how it ended.
    Status {
        /// The query.
        #[command(flatten)]
        of: Id,
        /// Print the status as the gateway says it, as JSON.
        #[arg(long)]
        json: bool,
        /// The gateway that is asked.
        #[command(flatten)]
        at: Gateway,
    },
    /// Print the rows of a query that has succeeded.
    Results {
        /// The query.
        #[command(flatten)]
        of: Id,
        /// The gateway that is asked.
        #[command(flatten)]
        at: Gateway,
        /// The form of the answer.
        #[command(flatten)]
        as_: Output,
    },
    /// End a query. One that has already ended stays as it ended.
    Cancel {
        /// The query.
        #[command(flatten)]
        of: Id,
        /// The gateway that is asked.
        #[command(flatten)]
        at: Gateway,
    },
    /// Wait for a query, and print its rows.
    Attach {
        /// The query.
        #[command(flatten)]
        of: Id,
        /// The gateway that is asked.
        #[command(flatten)]
        at: Gateway,
        /// The form of the answer.
        #[command(flatten)]
        as_: Output,
    },
    /// Pack the records of a query into an archive, for a report of a defect. No rows of tables are in it.
    Profile(ProfileOptions),
    /// Print what a query took, stage by stage, also while it runs.
    Analyze {
        /// The query.
        #[command(flatten)]
        of: Id,
        /// Also print each task.
        #[arg(long)]
        verbose: bool,
        /// The gateway that is asked.
        #[command(flatten)]
        at: Gateway,
        /// The form of the answer.
        #[command(flatten)]
        as_: Output,
    },
}

/// `dunlin query profile`.
#[derive(Clone, Debug, clap::Args)]
pub struct ProfileOptions {
    /// The query.
    #[command(flatten)]
    pub of: Id,
    /// The archive, a tar file compressed with zstd; dunlin-ID.tar.zst if not given.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Leave out the statement, and the plans, which show it.
    #[arg(long)]
    pub no_sql: bool,
    /// Where the configuration is: the records are read from its state, and not from a gateway.
    #[command(flatten)]
    pub config: ConfigOptions,
}

/// Which query.
#[derive(Clone, Debug, clap::Args)]
pub struct Id {
    /// The query's id, or as much of its beginning as no other query has.
    #[arg(value_name = "ID")]
    pub id: String,
}

/// Which gateway.
#[derive(Clone, Debug, clap::Args)]
pub struct Gateway {
    /// The gateway; the environment variable DUNLIN_URL, or http://127.0.0.1:8090, if not given.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// What the gateway is shown.
    #[command(flatten)]
    pub credentials: Credentials,
}

impl Gateway {
    /// Its address.
    pub(super) fn url(&self) -> String {
        let variable = || std::env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty());
        self.url.clone().or_else(variable).unwrap_or_else(|| DEFAULT_URL.to_owned())
    }
}

/// How rows are printed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Output {
    /// The format of rows; a table on a terminal, JSON lines elsewhere, or what the name of the file says.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Write rows to this file. It appears when it is complete.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print each value on a line of its own.
    #[arg(short = 'x', long)]
    pub expanded: bool,
    /// Print rows and errors only.
    #[arg(short, long)]
    pub quiet: bool,
    /// Do not show what is larger than the terminal with `$PAGER`.
    #[arg(long)]
    pub no_pager: bool,
}
