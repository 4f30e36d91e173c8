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
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use dunlin_manifest::env::Env;
use dunlin_process::{ConfigOptions, cores, logging};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::credentials::KEY_VARIABLE;
use crate::serve::Embedded;

/// Set for workers that end with the process that has started them.
const WITH_PARENT: &str = "DUNLIN_WITH_PARENT";
/// Statements may name files, and write them.
const FILES: [&str; 3] = ["files.enabled=true", "files.local=true", "files.write=true"];
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
    pub(crate) fn start(from: &ConfigOptions, fleet: usize) -> Result<Self> {
        // Only if it is asked for: the terminal is for answers.
        if std::env::var_os(LOG).is_some() {
            logging::start();
        }
        let left = Arc::new(Left::new()?);
        clean_at_signals(Arc::clone(&left))?;
        let mut own = Self { embedded: None, left, stays: from.config.is_some() };
        let mut from = from.clone();
        if from.config.is_none() {
            from.config = Some(own.left.configuration()?);
        }
        // Whoever starts this process may read and write the files that it reads and writes.
        from.set.extend(FILES.map(str::to_owned));
        let embedded = Embedded::start(&from, fleet > 0)?;
        let key = embedded.key().to_owned();
        own.embedded = Some(embedded);
        own.left.fleet(&from, fleet, &key)?;
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

    /// The file of a configuration without tables. Without it, one in the current folder would be taken.
    fn configuration(&self) -> Result<PathBuf> {
        let state = Url::from_directory_path(self.folder.join("state"))
            .map_err(|()| anyhow::anyhow!("{} is no path", self.folder.display()))?;
        // A JSON string is also a TOML string.
        let location = serde_json::Value::from(state.as_str());
        let file = self.folder.join("dunlin.toml");
        std::fs::write(&file, format!("[state]\nlocation = {location}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    /// Starts worker processes.
    fn fleet(&self, from: &ConfigOptions, number: usize, key: &str) -> Result<()> {
        let binary = std::env::current_exe().context("the path of this program is not known")?;
        let slots = (cores() / number.max(1)).max(1).to_string();
        for index in 0..number {
            let log = File::create(self.folder.join(format!("worker-{index}.log")))?;
            let child = Command::new(&binary)
                .args(["worker", "--slots", &slots, "--pool", "*"])
                .args(from.config.iter().flat_map(|file| ["--config".as_ref(), file.as_os_str()]))
                .args(from.set.iter().flat_map(|setting| ["--set", setting]))
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

/// For a worker that `Own` has started: ends it when its parent ends, however that happens.
pub fn follow_parent() {
    #[cfg(target_os = "linux")]
    if std::env::var_os(WITH_PARENT).is_some() {
        use rustix::process::{Signal, set_parent_process_death_signal};
        let _ = set_parent_process_death_signal(Some(Signal::TERM));
    }
}
