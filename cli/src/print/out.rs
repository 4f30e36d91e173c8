//! Where answers go.

use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Bytes that are collected before they are written.
const BUFFER: usize = 64 << 10;
/// How `less` behaves if the user has not said it: it ends where everything fits, keeps colours, does not fold lines.
const LESS: &str = "FRSX";

/// Where answers go.
#[derive(Debug)]
pub(crate) struct Out {
    to: To,
    /// Shows one answer in front of standard output.
    pager: Option<Child>,
}

#[derive(Debug)]
enum To {
    Stdout(BufWriter<Stdout>),
    File(Target),
}

/// A file that appears when it is complete.
#[derive(Debug)]
struct Target {
    writer: BufWriter<File>,
    path: PathBuf,
    /// What is written until then; none where `path` is no regular file.
    partial: Option<PathBuf>,
}

impl Out {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Self { to: To::Stdout(BufWriter::with_capacity(BUFFER, io::stdout())), pager: None }
    }

    /// A file. It is written beside its place, and moved there by [`Self::close`], so that nobody takes a part for the
    /// whole.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn file(path: &Path) -> Result<Self> {
        let special = std::fs::metadata(path).is_ok_and(|found| !found.is_file());
        let cannot = || format!("cannot write {}", path.display());
        let name = path.file_name().with_context(cannot)?;
        let mut beside = std::ffi::OsString::from(".");
        beside.push(name);
        beside.push(format!(".{}.partial", std::process::id()));
        let partial = (!special).then(|| path.with_file_name(beside));
        let file = File::create(partial.as_deref().unwrap_or(path)).with_context(cannot)?;
        let writer = BufWriter::with_capacity(BUFFER, file);
        Ok(Self { to: To::File(Target { writer, path: path.to_owned(), partial }), pager: None })
    }

    /// Whether it is a file.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.to, To::File(_))
    }

    /// Shows what follows, until [`Self::leave_pager`], with this command.
    pub(super) fn page(&mut self, command: &str) {
        let mut pager = Command::new("sh");
        pager.args(["-c", command]).stdin(Stdio::piped());
        if std::env::var_os("LESS").is_none() {
            pager.env("LESS", LESS);
        }
        // Without a pager the answer is shown as it is.
        self.pager = pager.spawn().ok();
    }

    /// Waits until a pager has been left, if there is one. False if there is none.
    pub(crate) fn leave_pager(&mut self) -> bool {
        let Some(mut pager) = self.pager.take() else { return false };
        drop(pager.stdin.take());
        let _ = pager.wait();
        true
    }

    /// Ends a file: it appears at its place.
    ///
    /// # Errors
    /// It cannot be written or moved.
    pub(crate) fn close(mut self) -> Result<()> {
        self.flush()?;
        let To::File(target) = &mut self.to else { return Ok(()) };
        if let Some(partial) = &target.partial {
            std::fs::rename(partial, &target.path)
                .with_context(|| format!("cannot write {}", target.path.display()))?;
            target.partial = None;
        }
        Ok(())
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if let To::File(Target { partial: Some(partial), .. }) = &self.to {
            let _ = std::fs::remove_file(partial);
        }
        self.leave_pager();
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(stdin) = self.pager.as_mut().and_then(|pager| pager.stdin.as_mut()) {
            return stdin.write(bytes);
        }
        match &mut self.to {
            To::Stdout(stdout) => stdout.write(bytes),
            To::File(target) => target.writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Stdout(stdout) => stdout.flush(),
            To::File(target) => target.writer.flush(),
        }
    }
}
