//! Where the lines are kept that were typed.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// Lines that are kept.
pub(super) const LINES: usize = 10_000;

/// `$XDG_STATE_HOME/dunlin/history`, or `~/.local/state/dunlin/history`; none without a home. Its folder is made.
pub(super) fn file() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let state = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let folder = state.or_else(home)?.join("dunlin");
    // Only for this user: statements may tell more than their author thinks.
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    Some(folder.join("history"))
}
