//! `dunlin config`: what is in effect, and what may be written.

use anyhow::Result;
use dunlin_planner::config::Config;
use dunlin_process::ConfigOptions;

use crate::serve::load;
use crate::stdout::print;

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
