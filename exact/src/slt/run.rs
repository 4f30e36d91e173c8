//! A run over the test files: which queries, over which tables, with which results.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};

use crate::bench::Bench;
use crate::engines::{ENGINE, PARTITIONED};
use crate::slt::judge::{Case, ENGINE_ERROR, judge};
use crate::slt::keeper::{Copy, Keeper};
use crate::slt::records::{self, Record};
use crate::slt::sql::{self, Asked, Asks};
use crate::slt::stand_ins;
use crate::slt::tally::{Tally, Verdict};

/// Without `DUNLIN_EXACT=full`, one of this many queries runs.
const SHARE: u64 = 3;
/// One of this many of those also runs with a gateway and workers.
const FLEET_SHARE: u64 = 10;
/// Longest time for one file. Queries that it does not reach are left out.
const FILE_LIMIT: Duration = Duration::from_secs(120);
/// Files that run at the same time.
const FILES_AT_ONCE: usize = 2;
/// Benches that are kept for a file, because its queries alternate between a few sets of tables.
const BENCHES: usize = 6;

/// Runs the queries of the files. Copies of tables and the report are written below `scratch`.
///
/// # Panics
/// Dunlin answers a query that `expected.txt` does not name in another way than one process, or too few queries ran.
/// The message lists them.
pub async fn run(scratch: &Path) {
    let only = std::env::var("DUNLIN_SLT_ONLY").ok();
    let full = std::env::var("DUNLIN_EXACT").is_ok_and(|value| value == "full") || only.is_some();
    let folder = files();
    let stand_ins = tempfile::tempdir_in(scratch).unwrap();
    stand_ins::write(stand_ins.path());
    let shared = Arc::new(Shared {
        scratch: scratch.to_owned(),
        files: folder.clone(),
        stand_ins: stand_ins.path().to_owned(),
        share: if full { 1 } else { SHARE },
        no_tables: [
            Arc::new(Bench::open(&[], ENGINE).await),
            Arc::new(Bench::open(&[], PARTITIONED).await),
        ],
    });
    let mut work: Vec<(String, Vec<Record>)> = slt_files(&folder.join("test_files"))
        .into_iter()
        .filter(|name| only.as_ref().is_none_or(|only| name.contains(only)))
        .map(|name| (name.clone(), records::read(&folder.join("test_files").join(&name), &name)))
        .collect();
    // The largest files first, so that the last ones are small.
    work.sort_by_key(|(_, records)| std::cmp::Reverse(records.len()));
    let start = Instant::now();
    let mut tallies = futures::stream::iter(work)
        .map(|(name, records)| tokio::spawn(Arc::clone(&shared).file(name, records)))
        .buffer_unordered(FILES_AT_ONCE);
    let mut tally = Tally::default();
    while let Some(one) = tallies.next().await {
        tally.merge(one.unwrap());
    }
    drop(tallies);
    drop(shared);
    let unexpected = against_expected(&tally, full && only.is_none());
    let report = scratch.join("sqllogictest.txt");
    std::fs::write(&report, tally.report()).unwrap();
    // Written directly, because the test harness shows printed text only if a test fails.
    let _ = writeln!(
        std::io::stderr(),
        "{} in {} s; the report is {}",
        tally.summary(),
        start.elapsed().as_secs(),
        report.display()
    );
    assert!(only.is_some() || tally.same >= 500, "too few queries ran: {}", tally.summary());
    assert!(unexpected.is_empty(), "{}\n\n{}", tally.summary(), unexpected.join("\n\n"));
}

/// The folder in which `scripts/setup` put the files.
fn files() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/sqllogictest");
    let folder = std::env::var_os("DUNLIN_SLT_FILES").map_or(here, PathBuf::from);
    assert!(
        folder.join("test_files").is_dir(),
        "DataFusion's test files are not in {}; run scripts/setup",
        folder.display()
    );
    folder.canonicalize().unwrap()
}

/// Names of all `.slt` files below a folder, with their folders.
fn slt_files(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, names);
            } else if path.extension().is_some_and(|ext| ext == "slt") {
                names.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut names = Vec::new();
    walk(folder, folder, &mut names);
    names.sort();
    names
}

/// Failures that `expected.txt` does not name. In a full run, also names that did not fail.
fn against_expected(tally: &Tally, full: bool) -> Vec<String> {
    let expected: BTreeMap<&str, &str> = include_str!("expected.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').expect("a line is: file:line reason"))
        .collect();
    let failed = tally.wrong.iter().filter(|(at, _)| !expected.contains_key(at.as_str()));
    let mut unexpected: Vec<String> =
        failed.map(|(at, difference)| format!("{at}: {difference}")).collect();
    if full {
        let cured = expected.keys().filter(|at| !tally.wrong.contains_key(**at));
        unexpected.extend(cured.map(|at| format!("{at} does not fail: take it off expected.txt")));
    }
    unexpected
}

/// What the runs of all files share.
struct Shared {
    scratch: PathBuf,
    files: PathBuf,
    stand_ins: PathBuf,
    share: u64,
    /// The benches for the many queries that name no table.
    no_tables: [Arc<Bench>; 2],
}

impl Shared {
    /// Runs one file.
    async fn file(self: Arc<Self>, name: String, records: Vec<Record>) -> Tally {
        let mut tally = Tally::default();
        let chosen =
            |record: &Record| record.is_query && hash(&record.at).is_multiple_of(self.share);
        let Some(last) = records.iter().rposition(chosen) else { return tally };
        tally.files = 1;
        let start = Instant::now();
        let mut keeper = Keeper::new(&self.scratch, &self.files, &self.stand_ins);
        let mut benches = Vec::new();
        for record in &records[..=last] {
            let asks = if record.is_query { sql::asks(&record.sql) } else { Asks::Change };
            match asks {
                Asks::Change => {
                    // The statement may be meant to fail. A missing table is noticed later.
                    let _ = keeper.run(&record.sql).await;
                }
                _ if !chosen(record) => {}
                // Functions of another crate, which Dunlin does not offer.
                _ if name.starts_with("spark/") => {
                    tally.add(&record.at, "", Verdict::skipped("Spark's functions"));
                }
                Asks::Nothing(reason) => {
                    tally.add(&record.at, "", Verdict::skipped(reason));
                }
                Asks::Query(..) if start.elapsed() > FILE_LIMIT => {
                    tally.add(&record.at, "", Verdict::skipped("the file's time"));
                }
                Asks::Query(asked) => {
                    let verdict = self.query(record, &asked, &mut keeper, &mut benches);
                    // A comparison may panic over types that cannot be printed.
                    let verdict = AssertUnwindSafe(verdict).catch_unwind().await;
                    let panicked = |_| Verdict::Wrong("the comparison panicked".to_owned());
                    let verdict = verdict.unwrap_or_else(panicked);
                    tally.fleet +=
                        usize::from(self.by_fleet(record) && matches!(verdict, Verdict::Same));
                    tally.add(&record.at, &asked.text, verdict);
                }
            }
        }
        tally
    }

    fn by_fleet(&self, record: &Record) -> bool {
        (hash(&record.at) / self.share).is_multiple_of(FLEET_SHARE)
    }

    async fn query(
        &self,
        record: &Record,
        asked: &Asked,
        keeper: &mut Keeper,
        benches: &mut Vec<(BenchKey, Arc<Bench>)>,
    ) -> Verdict {
        let names = sql::tables(&keeper.context, &asked.statement);
        let mut copies = Vec::new();
        for name in &names {
            match keeper.copy(name).await {
                Some(Ok(copy)) => copies.push(copy),
                Some(Err(reason)) => return Verdict::skipped(&reason),
                // A name that the query itself defines, or an unknown one. The reference will show it.
                None => {}
            }
        }
        // Small build sides are broadcast, or every join on keys is partitioned. A query runs in both ways or in one.
        let partitioned = self.share > 1 && hash(&record.at) >> 32 & 1 == 1;
        let bench = self.bench(&copies, partitioned, benches).await;
        let other = match self.share {
            1 => Some(self.bench(&copies, true, benches).await),
            _ => None,
        };
        let sql = keeper.placed(&asked.text);
        let fleet = self.by_fleet(record);
        let case = Case { sql: &sql, asked, copies: &copies, bench, other, fleet };
        match judge(&case, keeper).await {
            Verdict::Skipped(reason, detail) if reason == ENGINE_ERROR => {
                let reason = if record.fails {
                    "engine error, as recorded"
                } else if copies.len() < names.len() {
                    "a table could not be made"
                } else {
                    ENGINE_ERROR
                };
                Verdict::Skipped(reason.to_owned(), detail)
            }
            verdict => verdict,
        }
    }

    /// The bench with these copies; `partitioned` says how joins are planned.
    async fn bench(
        &self,
        copies: &[Copy],
        partitioned: bool,
        benches: &mut Vec<(BenchKey, Arc<Bench>)>,
    ) -> Arc<Bench> {
        if copies.is_empty() {
            return Arc::clone(&self.no_tables[usize::from(partitioned)]);
        }
        let versions = copies.iter().map(|copy| copy.version).collect();
        let key = (partitioned, versions);
        if let Some(at) = benches.iter().position(|(known, _)| *known == key) {
            let found = benches.remove(at);
            benches.push(found);
        } else {
            if benches.len() == BENCHES {
                benches.remove(0);
            }
            let tables: Vec<_> = copies.iter().map(|copy| copy.table.clone()).collect();
            let engine = if partitioned { PARTITIONED } else { ENGINE };
            benches.push((key, Arc::new(Bench::open(&tables, engine).await)));
        }
        Arc::clone(&benches.last().unwrap().1)
    }
}

/// How joins are planned, and the versions of the copies.
type BenchKey = (bool, Vec<u64>);

/// FNV-1a, so that the same queries run on every machine and in every run.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
