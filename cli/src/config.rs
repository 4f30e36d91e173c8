//! `dunlin config`: what is in effect, and what may be written.

use std::io::Write;

use anyhow::Result;
use dunlin_planner::config::Config;
use dunlin_process::ConfigOptions;

use crate::serve::load;

/// `dunlin config`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Print the configuration of the file, the environment and the flags together. Credentials are masked.
    Print {
        /// Where it is.
        #[command(flatten)]
        config: ConfigOptions,
        /// With every default, and with the source of each value that is not one.
        #[arg(long)]
        effective: bool,
    },
    /// Print the JSON schema of the file, for editors.
    Schema,
}

/// Prints the configuration or its schema.
///
/// # Errors
/// A configuration that cannot be used.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Print { config, effective } => {
            print(&Config::effective(&load(config)?.tree, *effective))
        }
        Command::Schema => {
            print(&format!("{}\n", serde_json::to_string_pretty(&Config::schema())?))
        }
    }
}

/// Prints a text. Whoever reads it may have seen enough (`| head`).
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
