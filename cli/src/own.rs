//! A gateway of this process, for commands that are given none: over a configuration, or over nothing but a temporary
//! folder.
//!
//! ```text
//!   dunlin sql ──HTTP on loopback──> gateway ──> state: a temporary folder, or the configuration's
//!                                                  ^
//!                            workers: threads of this process, or `--fleet N` processes
//! ```

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dunlin_manifest::env::Env;
use dunlin_plan::config_text::TEXT;
use dunlin_planner::config::Config;
use dunlin_process::{cores, logging};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::credentials::KEY_VARIABLE;
use crate::serve::Embedded;

/// Set for workers that end with the process that has started them.
const WITH_PARENT: &str = "DUNLIN_WITH_PARENT";
/// Set if the user wants to see the log.
const LOG: &str = "DUNLIN_LOG";
/// Time to give tasks back, where the state remains.
const PATIENCE: Duration = Duration::from_secs(5);

/// A gateway of this process.
#[derive(Debug)]
pub(crate) struct Own {
    embedded: Option<Embedded>,
    left: Arc<Left>,
    /// Whether the state outlives this process.
    stays: bool,
}

/// What must not be left behind.
#[derive(Debug)]
struct Left {
    folder: PathBuf,
    workers: Mutex<Vec<Child>>,
}

impl Own {
    /// Starts a gateway over a configuration, or over none, with `fleet` worker processes. With none, its tasks run in
    /// this process. Needs a runtime, which waits for signals.
    ///
    /// # Errors
    /// A configuration or store that cannot be used; a process that cannot be started.
    pub(crate) fn start(config: Option<&Path>, fleet: usize) -> Result<Self> {
        // Only if it is asked for: the terminal is for answers.
        if std::env::var_os(LOG).is_some() {
            logging::start();
        }
        let left = Arc::new(Left::new()?);
        clean_at_signals(Arc::clone(&left))?;
        let mut own = Self { embedded: None, left, stays: config.is_some() };
        let (read, text) = match config {
            // Read as it is first, so that mistakes have its name and lines.
            Some(path) => (Config::load(path)?, with_files(&read_text(path)?)?),
            None => own.left.configuration()?,
        };
        ensure!(
            fleet == 0 || !read.state.location.starts_with("memory:"),
            "--fleet needs a state that several processes see, and [state] location is memory://: use a folder or a bucket"
        );
        let embedded = Embedded::start(Config::parse(&text)?, fleet > 0)?;
        let key = embedded.key().to_owned();
        own.embedded = Some(embedded);
        own.left.fleet(&text, fleet, &key)?;
        Ok(own)
    }

    /// Its address, and a client that has its key.
    pub(crate) fn client(&self) -> Result<(reqwest::Client, String)> {
        let embedded = self.embedded.as_ref().context("the gateway of this process has ended")?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", embedded.key()))?;
        bearer.set_sensitive(true);
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .tls_built_in_root_certs(false)
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .build()?;
        Ok((http, embedded.url().to_owned()))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(embedded) = self.embedded.take() {
            embedded.stop(if self.stays { PATIENCE } else { Duration::ZERO });
        }
        self.left.remove();
    }
}

impl Left {
    /// A folder that only this user can read: answers are in it.
    fn new() -> Result<Self> {
        let nonce = Env::system().nonce();
        let name = format!("dunlin-sql-{}", nonce.get(..12).unwrap_or(&nonce));
        let folder = std::env::temp_dir().join(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(Self { folder, workers: Mutex::default() })
    }

    /// A configuration without tables, and its text.
    fn configuration(&self) -> Result<(Config, String)> {
        let state = Url::from_directory_path(self.folder.join("state"))
            .map_err(|()| anyhow::anyhow!("{} is no path", self.folder.display()))?;
        // A JSON string is also a TOML string.
        let location = serde_json::Value::from(state.as_str());
        let text = with_files(&format!("[state]\nlocation = {location}\n"))?;
        Ok((Config::parse(&text)?, text))
    }

    /// Starts worker processes.
    fn fleet(&self, config: &str, number: usize, key: &str) -> Result<()> {
        let binary = std::env::current_exe().context("the path of this program is not known")?;
        let slots = (cores() / number.max(1)).max(1).to_string();
        for index in 0..number {
            let log = File::create(self.folder.join(format!("worker-{index}.log")))?;
            let child = Command::new(&binary)
                .args(["worker", "--slots", &slots])
                .env(TEXT, config)
                .env(KEY_VARIABLE, key)
                .env(WITH_PARENT, "1")
                // Ctrl+C at the terminal is for this process.
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()
                .context("a worker cannot be started")?;
            self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        }
        Ok(())
    }

    /// Ends the workers and removes the folder.
    fn remove(&self) {
        for mut worker in self.workers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = worker.kill();
            let _ = worker.wait();
        }
        // What still writes may make a folder again while it is being removed.
        for _ in 0..3 {
            if std::fs::remove_dir_all(&self.folder).is_ok() || !self.folder.exists() {
                break;
            }
        }
    }
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The configuration, with which statements may name files: whoever starts this process may read what it reads.
fn with_files(text: &str) -> Result<String> {
    let mut table: toml::Table = toml::from_str(text)?;
    let files = table.entry("files").or_insert_with(|| toml::Table::new().into());
    if let Some(files) = files.as_table_mut() {
        files.insert("enabled".to_owned(), true.into());
    }
    Ok(toml::to_string(&table)?)
}

/// From now on SIGHUP and SIGTERM remove `left` before they end the process.
fn clean_at_signals(left: Arc<Left>) -> Result<()> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let kind = tokio::select! {
            _ = hang_up.recv() => SignalKind::hangup(),
            _ = terminate.recv() => SignalKind::terminate(),
        };
        left.remove();
        std::process::exit(128 + kind.as_raw_value());
    });
    Ok(())
}

/// For a worker that [`Own`] has started: ends it when its parent ends, however that happens.
pub fn follow_parent() {
    #[cfg(target_os = "linux")]
    if std::env::var_os(WITH_PARENT).is_some() {
        use rustix::process::{Signal, set_parent_process_death_signal};
        let _ = set_parent_process_death_signal(Some(Signal::TERM));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_may_be_named_whatever_the_configuration_says() {
        for text in ["", "[files]\n", "[files]\nenabled = false\nhttps = true\n"] {
            let base =
                "[state]\nlocation = \"memory://\"\n[[tables]]\nname = \"t\"\nlocation = \"t/\"\n";
            let config = Config::parse(&with_files(&format!("{base}{text}")).unwrap()).unwrap();
            assert!(config.files.enabled);
            assert_eq!(config.files.https, text.contains("https"));
            assert_eq!(config.tables.len(), 1);
        }
    }
}
