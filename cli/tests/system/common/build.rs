//! Programs of another build: copies in which the hash of the build is changed. Their fence is another one, so they and the
//! programs under test treat each other as they would after an upgrade.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The hash of the build under test, and that of [`of_another_build`].
pub fn hashes() -> (String, String) {
    let build = dunlin_plan::fence::current().unwrap().build;
    // The compiler may have the text in pieces of eight bytes.
    let (known, rest) = build.split_at(8);
    let other: String = known.chars().rev().collect();
    assert_ne!(known, other);
    let other = format!("{other}{rest}");
    (build, other)
}

/// A copy of a program in `folder`, of another build.
pub fn of_another_build(program: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join(program.file_name().unwrap());
    std::fs::copy(program, &copy).unwrap();
    let (build, other) = hashes();
    let change = format!("s/{}/{}/g", &build[..8], &other[..8]);
    let mut sed = Command::new("sed");
    let status = sed.env("LC_ALL", "C").args(["-i", &change]).arg(&copy).status();
    assert!(status.unwrap().success());
    copy
}
