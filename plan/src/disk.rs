//! The local disk for spills: where it is, how much of it may be used, and how an error says that it is full.

use std::error::Error;
use std::path::PathBuf;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};

/// The engine's words for spills over their bound. It has no type for this error.
const SPILL_LIMIT: &str = "used disk space during the spilling process";
/// The operating system's words for a full disk.
const NO_SPACE: &str = "No space left on device";

/// Spills in `folder`, or in the system's temporary folder, of at most so many bytes in all.
///
/// # Errors
/// The folder cannot be made.
pub fn spills(folder: Option<&PathBuf>, most: Option<u64>) -> std::io::Result<DiskManagerBuilder> {
    let mode = match folder {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            DiskManagerMode::Directories(vec![folder.clone()])
        }
        None => DiskManagerMode::OsTmpDirectory,
    };
    let mut spills = DiskManagerBuilder::default().with_mode(mode);
    if let Some(most) = most {
        spills.set_max_temp_directory_size(most);
    }
    Ok(spills)
}

/// True if the operating system has no room for a file, or spills may have no more.
#[must_use]
pub fn is_full(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<std::io::Error>().is_some_and(is_full_io)
}

/// The same of an error of the operating system.
pub(crate) fn is_full_io(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    // The engine wraps some errors as text in errors of another kind.
    let says = |words| error.to_string().contains(words);
    matches!(error.kind(), StorageFull | QuotaExceeded) || says(SPILL_LIMIT) || says(NO_SPACE)
}
