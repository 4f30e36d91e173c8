//! The objects of a query in a state on a folder, as a person debugging it would read them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys::{self, Key};
use dunlin_manifest::records::{Claim, Commit, End, Fail, Seal};
use serde::de::DeserializeOwned;

/// A query's control objects.
#[derive(Clone, Debug)]
pub struct Objects {
    state: PathBuf,
    query: QueryId,
}

impl Objects {
    pub fn new(state: &Path, query: &str) -> Self {
        Self { state: state.to_owned(), query: QueryId::parse(query).unwrap() }
    }

    /// Every key of the query's records, parsed, with its file.
    pub fn keys(&self) -> Vec<(Key, PathBuf)> {
        let mut found = Vec::new();
        let mut folders = vec![self.state.join("q"), self.state.join("g")];
        while let Some(folder) = folders.pop() {
            // Not there yet, or gone between two looks.
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let key = path.strip_prefix(&self.state).ok().and_then(Path::to_str);
                if let Some((of, key)) = key.and_then(keys::parse)
                    && of == self.query
                {
                    found.push((key, path));
                }
            }
        }
        found
    }

    /// Claims as (stage, task, attempt, record).
    pub fn claims(&self) -> Vec<(u32, u32, u32, Claim)> {
        let mut claims = Vec::new();
        for (key, path) in self.keys() {
            if let Key::Claim(stage, task, attempt) = key
                && let Some(claim) = read(&path)
            {
                claims.push((stage, task, attempt, claim));
            }
        }
        claims
    }

    /// Commits as (stage, record). The commit of the last task of a query is its end.
    pub fn commits(&self) -> Vec<(u32, Commit)> {
        let mut commits = Vec::new();
        for (key, path) in self.keys() {
            if let Key::Commit(stage, _) = key
                && let Some(commit) = read(&path)
            {
                commits.push((stage, commit));
            }
        }
        if let Some(answer) = self.answer() {
            commits.extend(answer.tasks.into_iter().map(|task| {
                let commit = Commit {
                    v: answer.v,
                    nonce: String::new(),
                    task: task.task,
                    attempt: task.attempt,
                    claim: task.claim,
                    manifest: answer.manifest.clone(),
                    worker: task.worker,
                    output: task.output,
                    metrics: task.metrics,
                };
                (answer.stage, commit)
            }));
        }
        commits
    }

    /// The seal of the last stage, if the end of the query holds it.
    fn answer(&self) -> Option<Seal> {
        read::<End>(&self.state.join(keys::end(&self.query)))?.answer
    }

    /// Failures as (stage, task, attempt, record).
    pub fn fails(&self) -> Vec<(u32, u32, u32, Fail)> {
        let mut fails = Vec::new();
        for (key, path) in self.keys() {
            if let Key::Fail(stage, task, attempt) = key
                && let Some(fail) = read(&path)
            {
                fails.push((stage, task, attempt, fail));
            }
        }
        fails
    }

    /// Seals of all stages.
    pub fn seals(&self) -> Vec<Seal> {
        let keys = self.keys().into_iter();
        keys.filter(|(key, _)| matches!(key, Key::Seal(_)))
            .filter_map(|(_, path)| read(&path))
            .chain(self.answer())
            .collect()
    }

    /// Names of the workers that committed tasks.
    pub fn workers(&self) -> BTreeSet<String> {
        self.commits().into_iter().map(|(_, commit)| commit.worker).collect()
    }

    /// Claims of the worker process `pid` whose tasks nobody has committed or given up.
    pub fn in_hand(&self, pid: u32) -> Vec<(u32, u32, u32)> {
        let done: BTreeSet<(u32, u32)> =
            self.commits().into_iter().map(|(stage, commit)| (stage, commit.task)).collect();
        let given: BTreeSet<(u32, u32, u32)> = self
            .fails()
            .into_iter()
            .map(|(stage, task, attempt, _)| (stage, task, attempt))
            .collect();
        let name = format!("{pid}-");
        self.claims()
            .into_iter()
            .filter(|(_, _, _, claim)| claim.worker.starts_with(&name))
            .map(|(stage, task, attempt, _)| (stage, task, attempt))
            .filter(|&(stage, task, attempt)| {
                !done.contains(&(stage, task)) && !given.contains(&(stage, task, attempt))
            })
            .collect()
    }

    /// Whether the query has ended.
    pub fn has_ended(&self) -> bool {
        self.state.join(keys::end(&self.query)).exists()
    }
}

/// `None` if the file went meanwhile; a file that is there is complete.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = std::fs::read(path).ok()?;
    Some(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        panic!("{}: {error}: {}", path.display(), String::from_utf8_lossy(&bytes))
    }))
}

/// Looks again and again until `found` gives something.
pub async fn until<T>(what: &str, patience: Duration, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < patience, "not seen within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
