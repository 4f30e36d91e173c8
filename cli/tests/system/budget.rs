//! Cheap: how many requests fixed plans make, counted by a proxy that all processes go through, and
//! held against what the design says they may make.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dunlin_cli::fleet::Fleet;
use dunlin_cli::tpch;
use dunlin_exact::write_file;
use dunlin_manifest::decide::{self, Sealed};
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys::{self, Key};
use dunlin_manifest::records::{End, InputMode, Output, Root, Seal, StageManifest};
use dunlin_sim::far::{Proxy, Seen};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::common::api::Api;
use crate::common::reference::Reference;
use crate::common::{S3, Setup, binary, data, unique};

const QUERIES: [usize; 3] = [1, 3, 18];
const PATIENCE: Duration = Duration::from_secs(90);
/// No claim is followed because a machine is busy: attempts are tasks.
const LIMITS: &str = "[limits]\nlease_ms = 600000\n";

/// What a query wrote down, and what was asked of the store for it.
struct Ran {
    root: Root,
    manifests: BTreeMap<u32, StageManifest>,
    seals: BTreeMap<u32, Arc<Seal>>,
    attempts: u64,
    tasks: u64,
    seen: Vec<Seen>,
    state: String,
    query: QueryId,
}

impl Ran {
    /// Requests with `method` below `folder` of the state that name the query.
    fn of(&self, method: &str, folder: &str) -> Vec<&Seen> {
        let below = format!("{}/{folder}/", self.state);
        let named = |seen: &&Seen| seen.key.contains(self.query.as_str());
        let all = self.seen.iter().filter(|seen| seen.method == method);
        all.filter(named).filter(|seen| seen.key.starts_with(&below)).collect()
    }

    /// Slices of a stage that lie in objects, by bucket.
    fn slices(&self, stage: u32) -> u64 {
        let tasks = self.seals[&stage].tasks.iter();
        tasks.flat_map(|task| &task.output.slices).filter(|slice| slice.object.is_some()).count()
            as u64
    }

    /// Ranged GETs that the consumers of all stages may make.
    fn exchange_gets(&self) -> u64 {
        let mut gets = 0;
        for spec in &self.root.stages {
            for input in &spec.inputs {
                gets += match input.mode {
                    // One bucket, one partition.
                    InputMode::Partitioned => self.slices(input.stage),
                    // Every task reads it whole.
                    InputMode::Whole => {
                        self.slices(input.stage) * self.manifests[&spec.id].tasks.len() as u64
                    }
                };
            }
        }
        gets
    }
}

impl Ran {
    /// Claims that were sent, and that another worker had.
    fn lost_claims(&self) -> u64 {
        let below = format!("{}/", self.state);
        let claims = self.seen.iter().filter(|seen| seen.method == "PUT").filter(|seen| {
            let key = seen.key.strip_prefix(&below).and_then(keys::parse);
            matches!(key, Some((query, Key::Claim(..))) if query == self.query)
        });
        (claims.count() as u64).saturating_sub(self.attempts)
    }

    /// The most slices that a task reads.
    fn most_slices(&self) -> u64 {
        self.seals.keys().map(|stage| self.slices(*stage)).max().unwrap_or_default()
    }
}

/// A fleet over the S3 server whose every request goes through a counting proxy.
struct Counted {
    _setup: Setup,
    _fleet: Fleet,
    api: Api,
    proxy: Proxy,
    s3: S3,
    state: String,
    reference: Arc<Reference>,
}

impl Counted {
    async fn start(s3: S3, scale: f64, workers: usize, slots: usize) -> Self {
        let data = data(scale);
        let tables = unique("budget-tables");
        s3.upload(&data, &tables).await;
        let proxy = Proxy::near(&s3.endpoint, &s3.bucket, |_| false).await.unwrap();
        let state = unique("budget");
        let setup = Setup::with(|_| s3.config(&state, &tables, &proxy.endpoint(), LIMITS));
        let fleet = Fleet::start(binary(), &setup.config, setup.path(), workers, slots).unwrap();
        let api = Api::new(&fleet.url());
        // Whatever is done once (footers, the probe) is no part of a query's budget.
        for number in QUERIES {
            api.explain(&tpch::query(number).unwrap(), &json!({ "target_partitions": 16 })).await;
        }
        let reference = Reference::over(&data);
        Self { _setup: setup, _fleet: fleet, api, proxy, s3, state, reference }
    }

    async fn run(&self, number: usize) -> Ran {
        let settings = json!({ "route": "fleet", "target_partitions": 16, "task_bytes": 0 });
        self.proxy.forget();
        let query = self.api.begin(&tpch::query(number).unwrap(), &settings).await;
        let answer = self.api.results(&query, PATIENCE).await;
        let seen = self.proxy.seen();
        self.reference.check_tpch("counted", number, &answer.batches);
        let summary = &self.api.status(&query, "0s").await["summary"];
        let number = |name: &str| summary[name].as_u64().unwrap();
        let (attempts, tasks) = (number("attempts"), number("tasks"));
        let query = QueryId::parse(&query).unwrap();
        let root: Root = self.load(&keys::root(&query)).await;
        let end: End = self.load(&keys::end(&query)).await;
        let (mut manifests, mut sealed) = (BTreeMap::new(), BTreeMap::<u32, Sealed>::new());
        for spec in &root.stages {
            let seal = match &end.answer {
                Some(answer) if answer.stage == spec.id => answer.clone(),
                _ => self.load::<Seal>(&keys::seal(&query, spec.id)).await,
            };
            let decided = decide::manifest_of(&root, spec, |stage| sealed.get(&stage).cloned());
            manifests.insert(spec.id, decided.unwrap().manifest);
            sealed.insert(spec.id, Sealed::derived(seal));
        }
        let seals = sealed.into_iter().map(|(stage, sealed)| (stage, sealed.seal)).collect();
        let state = self.state.clone();
        Ran { root, manifests, seals, attempts, tasks, seen, state, query }
    }

    async fn load<T: DeserializeOwned>(&self, key: &str) -> T {
        let path = Path::from(format!("{}/{key}", self.state));
        let bytes = self.s3.store().get(&path).await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_is_written_once_an_attempt_and_read_once_a_slice() {
    let Some(s3) = S3::from_env() else { return };
    let counted = Counted::start(s3, 0.2, 2, 1).await;
    let mut exchanged = 0;
    for number in QUERIES {
        let ran = counted.run(number).await;
        let puts = (ran.of("PUT", "data").len() + ran.of("PUT", "res").len()) as u64;
        assert!(
            puts <= ran.attempts,
            "Q{number}: {puts} data PUTs of {} attempts of {} tasks",
            ran.attempts,
            ran.tasks
        );
        // Inputs are read beside the claim. A lost claim stops the reads, but some may have been made.
        let lost = ran.lost_claims();
        let (gets, may) =
            (ran.of("GET", "data").len() as u64, ran.exchange_gets() + lost * ran.most_slices());
        println!(
            "Q{number}: {puts} data PUTs, {} attempts, {lost} lost claims, {gets} exchange GETs of {may}",
            ran.attempts
        );
        assert!(gets <= may, "Q{number}: {gets} exchange GETs for {may} slices");
        exchanged += gets;
        assert!(ran.of("GET", "data").iter().all(|seen| seen.range.is_some()), "ranged GETs only");
        let answer = ran.root.stages.iter().find(|spec| spec.output == Output::Result).unwrap();
        let (gets, may) = (ran.of("GET", "res").len() as u64, ran.slices(answer.id));
        assert!(gets <= may, "Q{number}: {gets} result GETs for {may} slices");
        for folder in ["data", "res"] {
            let below = format!("{}/{folder}", ran.state);
            let listed = |seen: &&Seen| seen.list.as_ref().is_some_and(|at| at.starts_with(&below));
            let lists: Vec<&Seen> = ran.seen.iter().filter(listed).collect();
            assert!(lists.is_empty(), "Q{number}: LIST of {folder}: {lists:?}");
        }
    }
    assert!(exchanged > 100, "outputs travelled in commit records, so hardly anything was tested");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_two_slots_make_at_most_six_puts_a_task() {
    let Some(s3) = S3::from_env() else { return };
    let counted = Counted::start(s3, 0.05, 2, 16).await;
    for number in QUERIES {
        let ran = counted.run(number).await;
        // A POST to the bucket itself is a bulk DELETE, which stores do not charge.
        let written =
            |seen: &&Seen| !seen.key.is_empty() && matches!(seen.method.as_str(), "PUT" | "POST");
        let puts: Vec<&Seen> = ran.seen.iter().filter(written).collect();
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for seen in &puts {
            *kinds.entry(kind(&seen.key, &ran.state)).or_default() += 1;
        }
        println!("Q{number}: {} PUTs of {} tasks: {kinds:?}", puts.len(), ran.tasks);
        let budget = 6 * ran.tasks;
        assert!(
            puts.len() as u64 <= budget,
            "Q{number}: {} PUTs, not {budget}: {kinds:?}",
            puts.len()
        );
    }
}

/// What a key is for: its top folder, and for control objects the part of the protocol.
fn kind(key: &str, state: &str) -> String {
    let rest = key.strip_prefix(state).unwrap_or(key).trim_start_matches('/');
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        ["q", _, _, _, kind] | ["q", _, _, kind] | ["g", _, _, _, _, kind, ..] => {
            (*kind).to_owned()
        }
        [top, ..] => (*top).to_owned(),
        [] => String::new(),
    }
}

/// Files of ten rows each.
const MANY_FILES: i64 = 10_000;

/// A table of many small files, made once.
fn many_files() -> std::path::PathBuf {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    let parent = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = parent.join(format!("many-{MANY_FILES}"));
    if folder.exists() {
        return folder;
    }
    let fresh = tempfile::tempdir_in(parent).unwrap();
    for file in 0..MANY_FILES {
        let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(file * 10..file * 10 + 10));
        let batch = RecordBatch::try_from_iter([("n", rows)]).unwrap();
        write_file(&fresh.path().join(format!("{file:05}.parquet")), &batch, None).unwrap();
    }
    std::fs::rename(fresh.keep(), &folder).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_without_a_sort_reads_few_of_ten_thousand_files() {
    let folder = many_files();
    let setup = Setup::with(|state| {
        format!(
            "[state]\nlocation = \"file://{}\"\n\n[[tables]]\nname = \"many\"\nlocation = \"file://{}/\"\n",
            state.display(),
            folder.display()
        )
    });
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let api = Api::new(&fleet.url());
    for (sql, rows) in [
        ("select n from many limit 5", 5),
        ("select n from many limit 7 offset 20", 7),
        ("select n + 1 as m from many where n % 2 = 0 limit 5", 5),
        ("select * from (select n from many where n >= 0) where n % 3 = 1 limit 12", 12),
    ] {
        for partitions in [1, 8] {
            let settings = json!({ "route": "fleet", "target_partitions": partitions });
            let answer = api.sql(sql, &settings).await;
            let got: usize = answer.batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
            assert_eq!(got, rows, "{sql}");
            let gets = answer.summary["requests"]["get"].as_u64().unwrap();
            println!("{sql}, {partitions} partitions: {gets} GET");
            // Each partition opens files until it has enough rows, three GETs a file; a task makes some ten for
            // plan, root, manifests and seals. All files would be 30,000.
            assert!(gets <= 200, "{sql}: {gets} GET");
        }
    }
}
