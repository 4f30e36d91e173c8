//! What is below a state in a folder and is no object: files that a writer did not finish, which no listing shows, and
//! folders that are empty.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// A file that was not written for so long is never finished. A folder that was not used for so long is not needed.
const OLD: Duration = Duration::from_secs(3_600);

/// Files that were never finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Staged {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl std::iter::Sum for Staged {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            files: sum.files + one.files,
            bytes: sum.bytes + one.bytes,
        })
    }
}

/// Deletes what was never finished below a folder, and folders that are empty, unless `is_dry`. Returns the files. What
/// cannot be read or deleted is left.
pub(crate) fn tidy(folder: &Path, is_dry: bool) -> Staged {
    let mut staged = Staged::default();
    walk(folder, is_dry, &mut staged);
    staged
}

fn walk(folder: &Path, is_dry: bool, staged: &mut Staged) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        let is_old = meta.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= OLD));
        let path = entry.path();
        if meta.is_dir() {
            walk(&path, is_dry, staged);
            // Fails if it is not empty. Who writes into it meanwhile makes it again.
            if is_old && !is_dry {
                let _ = fs::remove_dir(&path);
            }
        } else if is_old && is_staged(&entry.file_name().to_string_lossy()) {
            staged.files += 1;
            staged.bytes += meta.len();
            if !is_dry && let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a file could not be deleted");
            }
        }
    }
}

/// A writer of the store's client writes `NAME#NUMBER` and then gives the file its name.
fn is_staged(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, number)| {
        !number.is_empty() && number.chars().all(|digit| digit.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn old_files_that_were_never_finished_go_and_everything_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("data/ab/gone")).unwrap();
        fs::create_dir_all(at("data/ab/new")).unwrap();
        let write = |name: &str, is_old: bool| {
            fs::write(at(name), b"12345").unwrap();
            if is_old {
                let then = SystemTime::now() - OLD * 2;
                File::options().write(true).open(at(name)).unwrap().set_modified(then).unwrap();
            }
        };
        write("data/0.arrow#1", true);
        write("data/1.arrow#12", false);
        write("data/2.arrow", true);
        write("data/3#x.arrow", true);
        let then = SystemTime::now() - OLD * 2;
        File::open(at("data/ab/gone")).unwrap().set_modified(then).unwrap();
        assert_eq!(tidy(folder.path(), true), Staged { files: 1, bytes: 5 });
        assert!(at("data/0.arrow#1").exists() && at("data/ab/gone").exists());
        assert_eq!(tidy(folder.path(), false), Staged { files: 1, bytes: 5 });
        for (name, stays) in [
            ("data/0.arrow#1", false),
            ("data/1.arrow#12", true),
            ("data/2.arrow", true),
            ("data/3#x.arrow", true),
            ("data/ab/gone", false),
            ("data/ab/new", true),
        ] {
            assert_eq!(at(name).exists(), stays, "{name}");
        }
    }
}
