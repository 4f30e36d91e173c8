//! What a command prints at once.

use std::io::{ErrorKind, Write};

use anyhow::Result;

/// Prints a text. Whoever reads it may have seen enough (`| head`).
///
/// # Errors
/// The standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
