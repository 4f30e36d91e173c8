//! Processes whose wall clock is wrong, and may be moved while they run. Clocks that never go back stay as they are.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use dunlin_manifest::env::Env;

const SOURCE: &str = include_str!("clock.c");

/// The wall clock of some processes.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    /// A clock that is `off` seconds ahead. Its file is in `folder`.
    pub fn off(folder: &Path, name: &str, off: i64) -> Self {
        let clock = Self { file: folder.join(name) };
        std::fs::File::create(&clock.file).unwrap().write_all(&off.to_ne_bytes()).unwrap();
        clock
    }

    /// Moves the clock of all its processes.
    pub fn set(&self, off: i64) {
        let file = std::fs::OpenOptions::new().write(true).open(&self.file).unwrap();
        file.write_all_at(&off.to_ne_bytes(), 0).unwrap();
    }

    /// What `env` is told so that a program has this clock.
    pub fn environment(&self) -> [String; 2] {
        [
            format!("LD_PRELOAD={}", library().display()),
            format!("CLOCK_FILE={}", self.file.display()),
        ]
    }
}

/// Milliseconds since 1970 by a clock that is right.
pub fn now_ms() -> i64 {
    i64::try_from(Env::system().clock.wall_ms()).unwrap()
}

/// The library that moves clocks, compiled once.
fn library() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let source = folder.path().join("clock.c");
        std::fs::write(&source, SOURCE).unwrap();
        let made = folder.path().join("clock.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
        let status = compiler.arg(&made).arg(&source).status();
        let status = status.expect("a C compiler, which building Dunlin needs as well");
        assert!(status.success(), "{SOURCE}");
        // One file for all runs: it replaces that of an earlier one at once.
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clock.so");
        std::fs::rename(made, &kept).unwrap();
        kept
    })
}
