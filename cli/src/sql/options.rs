//! The command line of `dunlin sql`.

use std::path::PathBuf;

use crate::credentials::Credentials;
use crate::print::Format;

/// `dunlin sql`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Without --url (or DUNLIN_URL) and without --config, statements run in this process, over the files that they name:
  dunlin sql \"select count(*) from 'data.parquet'\"
Without a statement and with a terminal, it is a shell: \\? shows its commands.

Exit codes: 0 done, 1 the statement or the gateway failed, 2 wrong usage, 130 interrupted.")]
pub struct Options {
    /// The statement, or several with `;` between them.
    #[arg(value_name = "SQL", conflicts_with_all = ["command", "file"])]
    pub sql: Option<String>,
    /// A statement, or several; may be given more than once.
    #[arg(short, long, value_name = "SQL", conflicts_with = "file")]
    pub command: Vec<String>,
    /// A file of statements, or `-` for standard input; may be given more than once.
    #[arg(short, long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// The gateway; the environment variable DUNLIN_URL if not given.
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "set"])]
    pub url: Option<String>,
    /// What the gateway is shown.
    #[command(flatten)]
    pub credentials: Credentials,
    /// Run in this process, with the tables and the state of this configuration.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a key of the configuration, with or without --config; may be given more than once.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Start this many worker processes, and end them with this command. For statements that run in this process.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        conflicts_with = "url"
    )]
    pub fleet: usize,
    /// The format of answers; a table on a terminal, JSON lines elsewhere, or what the name of the file says.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Write answers to this file. It appears when it is complete.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// A value of `$1`, `$2`, …, in their order: a number, true, false, null, or a text. A text that looks like one of
    /// these is written in double quotes.
    #[arg(short, long = "param", value_name = "VALUE", allow_hyphen_values = true)]
    pub param: Vec<String>,
    /// Print each value on a line of its own.
    #[arg(short = 'x', long)]
    pub expanded: bool,
    /// Print answers and errors only: no progress, and no line after an answer.
    #[arg(short, long)]
    pub quiet: bool,
    /// Do not show what is larger than the terminal with `$PAGER`.
    #[arg(long)]
    pub no_pager: bool,
    /// Where to run it: auto, inline or fleet; the gateway's mode if not given.
    #[arg(long)]
    pub route: Option<String>,
    /// The pool whose workers run it; the one that the gateway chooses if not given.
    #[arg(long, value_name = "NAME")]
    pub pool: Option<String>,
    /// Partitions of wide stages; the gateway's number if not given.
    #[arg(long)]
    pub target_partitions: Option<usize>,
}
