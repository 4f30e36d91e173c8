//! A file that tells that a worker is alive, because a worker listens on no port that a health check could ask.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use dunlin_worker::Worker;

/// Pause between two touches.
const PERIOD: Duration = Duration::from_secs(5);
/// A worker without tasks looks for work at least so often, unless it hangs. The longest pause of an idle worker is 15 s.
const SILENCE: Duration = Duration::from_secs(120);

/// Touches `file` as long as the worker is alive. A worker that hangs leaves it untouched.
pub async fn keep(worker: Worker, file: PathBuf) {
    let mut is_written = true;
    loop {
        if worker.is_alive(SILENCE) {
            let written = tokio::fs::write(&file, b"alive\n").await;
            if let Err(error) = &written
                && is_written
            {
                tracing::warn!(file = %file.display(), %error, "the file that tells that this worker is alive cannot be written");
            }
            is_written = written.is_ok();
        } else {
            tracing::error!(
                "no slot of this worker has looked for work for {} s",
                SILENCE.as_secs()
            );
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Whether `file` was touched in the last `within`.
///
/// # Errors
/// A sentence that says why the worker is not taken for alive.
pub fn check(file: &Path, within: Duration) -> Result<()> {
    let touched = std::fs::metadata(file)
        .and_then(|about| about.modified())
        .with_context(|| format!("the worker is not alive: {} cannot be read", file.display()))?;
    let silence = SystemTime::now().duration_since(touched).unwrap_or_default();
    if silence > within {
        bail!(
            "the worker is not alive: it has not touched {} for {} s",
            file.display(),
            silence.as_secs()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_that_nobody_touches_tells_of_no_worker() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alive");
        let missing = check(&file, Duration::from_secs(60)).unwrap_err();
        assert!(missing.to_string().contains("is not alive"), "{missing}");
        std::fs::write(&file, b"").unwrap();
        check(&file, Duration::from_secs(60)).unwrap();
        let old = SystemTime::now() - Duration::from_secs(90);
        std::fs::File::open(&file).unwrap().set_modified(old).unwrap();
        let stale = check(&file, Duration::from_secs(60)).unwrap_err();
        assert!(stale.to_string().contains("for 9"), "{stale}");
    }
}
