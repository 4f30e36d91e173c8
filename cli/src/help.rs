//! Completions for shells, and manual pages, both from the command line's own description.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Command;

/// A shell that completions are made for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// Fish.
    Fish,
}

/// Prints completions for `shell`.
///
/// # Errors
/// Standard output is closed.
pub fn completions(shell: Shell, mut command: Command) -> Result<()> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    std::io::stdout().write_all(&text)?;
    Ok(())
}

/// Writes a manual page for the command and for each of its subcommands.
///
/// # Errors
/// A folder that cannot be made or written.
pub fn man(folder: &Path, command: Command) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    clap_mangen::generate_to(command, folder)
        .with_context(|| format!("cannot write to {}", folder.display()))
}
