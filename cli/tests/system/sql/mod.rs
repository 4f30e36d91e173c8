//! `dunlin sql` and `dunlin query` as a person and as a script use them.

mod bad;
mod docs;
mod init;
mod one_off;
mod queries;
mod shell;
mod terminal;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::common::binary;

/// Runs the command in a world of its own: a folder for temporary files, and one for its history.
#[derive(Debug)]
pub struct Desk {
    folder: TempDir,
    url: Option<String>,
}

/// What a command has printed, and how it ended.
#[derive(Debug)]
pub struct Done {
    pub out: String,
    pub err: String,
    pub code: Option<i32>,
}

impl Done {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { out: text(output.stdout), err: text(output.stderr), code: output.status.code() }
    }

    /// The output of a command that has succeeded.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// The error of a command that has ended with this code.
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.err
    }
}

impl Desk {
    pub fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for name in ["tmp", "state"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder, url: None }
    }

    /// Whose commands talk to this gateway.
    pub fn at(url: &str) -> Self {
        Self { url: Some(url.to_owned()), ..Self::new() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// What a command that runs in this process has left behind.
    pub fn left(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path().join("tmp")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Processes that still run and were started here. Linux shows their environment.
    pub fn running(&self) -> Vec<String> {
        let own = format!("TMPDIR={}", self.path().join("tmp").display());
        let of = |entry: std::io::Result<std::fs::DirEntry>| {
            let folder = entry.ok()?.path();
            let environment = std::fs::read(folder.join("environ")).ok()?;
            let is_own = environment.split(|byte| *byte == 0).any(|part| part == own.as_bytes());
            is_own.then(|| folder.display().to_string())
        };
        std::fs::read_dir("/proc").unwrap().filter_map(of).collect()
    }

    /// The environment that commands see.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let at = |name: &str| self.path().join(name).display().to_string();
        vec![
            ("TMPDIR", at("tmp")),
            ("XDG_STATE_HOME", at("state")),
            ("PAGER", String::new()),
            ("TERM", "xterm".to_owned()),
            ("DUNLIN_URL", self.url.clone().unwrap_or_default()),
        ]
    }

    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.envs(self.variables()).current_dir(self.path());
        command
    }

    /// Runs `dunlin …` with nothing on its standard input.
    pub fn run(&self, arguments: &[&str]) -> Done {
        self.fed(arguments, "")
    }

    /// Runs `dunlin …` with this on its standard input.
    pub fn fed(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = self.command(binary());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // A command that reads no input may have ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Done::of(child.wait_with_output().unwrap())
    }
}
