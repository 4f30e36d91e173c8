//! Bad input and bad machines, through real processes: files that go or may not be read, disks that are full, stores that hang.
//! Each is told in words that name what, where and what to do, within seconds, and everything else goes on.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dunlin_cli::fleet::{Fleet, Process, start_gateway, start_listening};
use dunlin_cli::tpch;
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::session::assume;
use crate::common::{S3, Setup, binary, data, silent, unique};

const SCALE: f64 = 0.01;
const PATIENCE: Duration = Duration::from_secs(60);

/// A copy of some tables, for tests that spoil them.
fn own_tables(names: &[&str]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut tables = String::new();
    for name in names {
        let own = folder.path().join(name);
        std::fs::create_dir(&own).unwrap();
        for file in std::fs::read_dir(data(SCALE).join(name)).unwrap().flatten() {
            std::fs::copy(file.path(), own.join(file.file_name())).unwrap();
        }
        let place = own.display();
        tables += &format!("[[tables]]\nname = \"{name}\"\nlocation = \"file://{place}/\"\n");
    }
    (folder, tables)
}

fn state_and(tables: &str) -> Setup {
    Setup::with(|state| format!("[state]\nlocation = \"file://{}\"\n{tables}", state.display()))
}

fn detail(problem: &Value) -> &str {
    problem["detail"].as_str().unwrap_or_else(|| panic!("no detail: {problem}"))
}

/// The gateway answers, and workers work.
async fn serves(api: &Api, table: &str) {
    for route in ["inline", "fleet"] {
        let sql = format!("select count(*) as n from {table}");
        let answer = api.sql(&sql, &json!({ "route": route })).await;
        assert_eq!(answer.batches[0].num_rows(), 1, "{route}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_goes_or_changes_after_planning_is_named() {
    let (folder, tables) = own_tables(&["lineitem", "orders"]);
    let setup = state_and(&tables);
    let sql = "select sum(l_quantity) as s from lineitem";
    let file = folder.path().join("lineitem/part-0000.parquet");
    let kept = std::fs::read(&file).unwrap();
    for spoil in ["removed", "changed"] {
        let mut fleet = Fleet::start(binary(), &setup.config, setup.path(), 0, 1).unwrap();
        let api = Api::new(&fleet.url());
        let query = api.begin(sql, &json!({ "route": "fleet", "target_partitions": 4 })).await;
        if spoil == "removed" {
            std::fs::remove_file(&file).unwrap();
        } else {
            std::fs::write(&file, [&kept[..], b"more"].concat()).unwrap();
        }
        fleet.add_worker(1).unwrap();
        let end = api.end(&query, PATIENCE).await;
        assert_eq!(end["status"], "FAILED", "{spoil}: {end}");
        assert_eq!(end["error"]["code"], "INPUT_CHANGED", "{spoil}: {end}");
        let said = end["error"]["message"].as_str().unwrap();
        assert!(said.contains("lineitem/part-0000.parquet"), "{spoil}: {said}");
        assert!(said.contains("submit the query again"), "{spoil}: {said}");
        serves(&api, "orders").await;
        std::fs::write(&file, &kept).unwrap();
        serves(&api, "lineitem").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_column_chunk_is_named_with_its_file() {
    let (folder, tables) = own_tables(&["orders", "nation"]);
    let file = folder.path().join("orders/part-0003.parquet");
    let mut bytes = std::fs::read(&file).unwrap();
    // The first column chunk lies here; the footer is at the end.
    bytes[16..2_000].fill(0xA5);
    std::fs::write(&file, bytes).unwrap();
    let setup = state_and(&tables);
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 1, 1).unwrap();
    let api = Api::new(&fleet.url());
    for route in ["inline", "fleet"] {
        let sql = "select sum(o_orderkey) as s, max(o_comment) as c from orders";
        let body = json!({ "sql": sql, "settings": { "route": route } });
        let (status, problem) = api.raw("/v1/sql", &body).await;
        assert_eq!((status, &problem["code"]), (400, &json!("EXECUTION_FAILED")), "{problem}");
        let says = detail(&problem);
        let named = "orders/part-0003.parquet (column o_orderkey of row group 0)";
        assert!(says.contains(named) && says.contains("write it again"), "{route}: {says}");
        serves(&api, "nation").await;
    }
}

/// The user of a test of rights: root may read everything, so its processes run as nobody.
struct Nobody {
    start: Vec<String>,
}

impl Nobody {
    /// `None`, told loudly, where this machine has no way to be somebody else.
    fn new() -> Option<Self> {
        let own = Command::new("id").arg("-u").output().unwrap();
        if own.stdout != b"0\n" {
            return Some(Self { start: Vec::new() });
        }
        let start = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let start: Vec<String> = start.map(ToOwned::to_owned).to_vec();
        let works = Command::new(&start[0])
            .args(&start[1..])
            .args([binary().as_os_str(), "--version".as_ref()])
            .output()
            .is_ok_and(|output| output.status.success());
        if !works {
            eprintln!("LEFT OUT: this is root, and setpriv cannot start dunlin as another user");
            return None;
        }
        Some(Self { start })
    }

    fn start(&self, config: &Path, log: &Path) -> (Process, Api) {
        let mut words = self.start.clone();
        words.extend([binary().display().to_string(), "run".to_owned()]);
        words.extend(["--config".to_owned(), config.display().to_string()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (process, address) = start_listening(Path::new(words[0]), &words[1..], log).unwrap();
        (process, Api::new(&format!("http://{address}")))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_not_be_read_is_named() {
    let Some(nobody) = Nobody::new() else { return };
    let (folder, tables) = own_tables(&["orders", "nation"]);
    let setup = state_and(&tables);
    let may = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // The processes are somebody else.
    may(folder.path(), 0o755);
    may(setup.path(), 0o777);
    may(&setup.config, 0o644);
    let log = setup.path().join("run.log");
    let (_process, api) = nobody.start(&setup.config, &log);
    let file = folder.path().join("orders/part-0002.parquet");
    let refused = async |path: &Path, says: &[&str]| {
        for route in ["inline", "fleet"] {
            let sql = "select sum(o_orderkey) as s from orders";
            let asked = Instant::now();
            let body = json!({ "sql": sql, "settings": { "route": route } });
            let (status, problem) = api.raw("/v1/sql", &body).await;
            assert_eq!((status, &problem["code"]), (503, &json!("STORE_UNAVAILABLE")), "{problem}");
            let text = detail(&problem);
            assert!(says.iter().all(|says| text.contains(says)), "{path:?}: {text}");
            assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
            serves(&api, "nation").await;
        }
    };
    may(&file, 0o000);
    refused(&file, &["orders/part-0002.parquet", "may not read", "change the rights"]).await;
    may(&file, 0o644);
    serves(&api, "orders").await;
    may(file.parent().unwrap(), 0o000);
    refused(file.parent().unwrap(), &["orders", "may not read", "change the rights"]).await;
    may(file.parent().unwrap(), 0o755);
    serves(&api, "orders").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_a_policy_denies_is_named() {
    let Some(s3) = S3::from_env() else { return };
    let place = unique("denied");
    s3.upload(&data(SCALE), &place).await;
    let bucket = &s3.bucket;
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::{bucket}"]}},{{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::{bucket}/{place}/nation/*"]}}]}}"#
    );
    let reader = assume(&s3, Some(&policy));
    let mut tables = String::new();
    for name in ["nation", "orders"] {
        tables += &format!(
            "[[tables]]\nname = \"{name}\"\nlocation = \"s3://{bucket}/{place}/{name}/\"\n[tables.params]\ns3_endpoint = \"{}\"\ns3_key = \"{}\"\ns3_secret = \"{}\"\ns3_session_token = \"{}\"\nallow_http = true\n",
            s3.endpoint, reader.key, reader.secret, reader.token
        );
    }
    let setup = state_and(&tables);
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 1, 1).unwrap();
    let api = Api::new(&fleet.url());
    for route in ["inline", "fleet"] {
        let body = json!({ "sql": "select * from orders", "settings": { "route": route } });
        let (status, problem) = api.raw("/v1/sql", &body).await;
        assert_eq!((status, &problem["code"]), (503, &json!("STORE_UNAVAILABLE")), "{problem}");
        let says = detail(&problem);
        let place = format!("{place}/orders/part-000");
        assert!(says.contains("table orders") && says.contains(&place), "{says}");
        assert!(says.contains("the credentials may not do this"), "{says}");
        serves(&api, "nation").await;
    }
}

/// A state store that takes connections and never answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_store_that_hangs_is_told_at_the_start_within_seconds() {
    let endpoint = silent().await;
    let asked = Instant::now();
    let ended = tokio::task::spawn_blocking(move || {
        let setup = Setup::with(|_| {
            format!(
                "[state]\nlocation = \"s3://silent/state\"\n[state.params]\ns3_endpoint = \"{endpoint}\"\ns3_key = \"k\"\ns3_secret = \"s\"\nallow_http = true\n"
            )
        });
        let log = setup.path().join("gateway.log");
        start_gateway(binary(), &setup.config, &log).expect_err("it has started").to_string()
    });
    let said = ended.await.unwrap();
    assert!(said.contains("the state store cannot be used"), "{said}");
    assert!(said.contains("no answer within 10 s"), "{said}");
    assert!(asked.elapsed() < Duration::from_secs(50), "{:?}", asked.elapsed());
}

/// A process that sees a small volume of its own at `place`.
struct Small {
    process: Process,
    api: Api,
    place: PathBuf,
}

impl Small {
    /// `None`, told loudly, where this machine lets no test mount anything.
    fn start(setup: &Setup, place: &Path, size: &str) -> Option<Self> {
        const MOUNT: &str =
            r#"mount -t tmpfs -o size="$1",mode=777 none "$0" && shift && exec "$@""#;
        let may = Command::new("unshare")
            .args(["-m", "sh", "-c", MOUNT, &place.display().to_string(), size, "true"])
            .output();
        if !may.is_ok_and(|output| output.status.success()) {
            eprintln!("LEFT OUT: this machine does not let a test mount a small volume");
            return None;
        }
        let (place_text, program) = (place.display().to_string(), binary().display().to_string());
        let config = setup.config.display().to_string();
        let words = ["-m", "sh", "-c", MOUNT, &place_text, size, &program, "run", "--workers", "1"];
        let words = [&words[..], &["--config", &config]].concat();
        let log = setup.path().join("run.log");
        let (process, address) = start_listening(Path::new("unshare"), &words, &log).unwrap();
        let api = Api::new(&format!("http://{address}"));
        Some(Self { process, api, place: place.to_owned() })
    }

    /// A path below the volume, as this process reaches it.
    fn inside(&self, name: &str) -> PathBuf {
        let root = format!("/proc/{}/root{}", self.process.id(), self.place.display());
        Path::new(&root).join(name)
    }

    /// Fills the volume up to so many bytes.
    fn fill(&self, but: usize) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.inside("ballast")).unwrap();
        let block = [0; 64 << 10];
        while file.write_all(&block).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(but as u64)).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.inside("ballast")).unwrap();
    }
}

/// What a statement says that fails, and how long it took.
async fn failed(api: &Api, sql: &str, settings: Value) -> (Value, String) {
    let asked = Instant::now();
    let (status, problem) = api.raw("/v1/sql", &json!({ "sql": sql, "settings": settings })).await;
    assert!(status >= 500, "{sql}: {status} {problem}");
    assert!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
    (problem["code"].clone(), detail(&problem).to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_the_state_is_told_and_passes() {
    let tables = tpch::tables_toml(&format!("file://{}/", data(SCALE).display()));
    let setup = Setup::with(|folder| {
        let place = folder.parent().unwrap().join("volume");
        std::fs::create_dir(&place).unwrap();
        format!("[state]\nlocation = \"file://{}/state\"\n{tables}", place.display())
    });
    let Some(small) = Small::start(&setup, &setup.path().join("volume"), "24m") else { return };
    serves(&small.api, "nation").await;
    let exchanged = "select count(*) as n from (select l_comment, l_partkey from lineitem group by l_comment, l_partkey)";
    let fleet = || json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 });
    // No room for the record of a query.
    small.fill(0);
    let (code, says) = failed(&small.api, exchanged, fleet()).await;
    assert_eq!(code, "STORE_UNAVAILABLE", "{says}");
    assert!(says.contains("the volume is full: free room"), "{says}");
    // What leaves nothing behind is answered.
    small.api.sql("select count(*) as n from lineitem", &json!({ "route": "inline" })).await;
    // Room for records, and not for the rows that are exchanged.
    small.free();
    small.fill(1 << 20);
    let (code, says) = failed(&small.api, exchanged, fleet()).await;
    assert!(
        ["DISK_FULL", "STORE_UNAVAILABLE"].iter().any(|known| code == *known),
        "{code}: {says}"
    );
    assert!(says.contains("the volume is full: free room"), "{says}");
    assert!(says.contains("exchange data data/"), "{says}");
    small.free();
    serves(&small.api, "lineitem").await;
    let answer = small.api.sql(exchanged, &fleet()).await;
    assert_eq!(answer.batches[0].num_rows(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_for_spills_is_told_and_passes() {
    let tables = tpch::tables_toml(&format!("file://{}/", data(0.05).display()));
    let setup = Setup::with(|state| {
        let place = state.parent().unwrap().join("spill");
        std::fs::create_dir(&place).unwrap();
        format!(
            "[state]\nlocation = \"file://{}\"\n[worker]\nmemory_bytes = 67108864\nspill_dir = \"{}\"\n[gateway.inline]\nslots = 1\nmemory_bytes = 67108864\n{tables}",
            state.display(),
            place.display()
        )
    });
    let Some(small) = Small::start(&setup, &setup.path().join("spill"), "2m") else { return };
    let sorted = "select max(n) as n from (select row_number() over (order by l_comment, l_orderkey, l_partkey, l_suppkey, l_shipinstruct) as n, l_comment from lineitem)";
    for route in ["fleet", "inline"] {
        let (code, says) =
            failed(&small.api, sorted, json!({ "route": route, "target_partitions": 4 })).await;
        assert_eq!(code, "DISK_FULL", "{route}: {says}");
        assert!(says.contains("spill_dir"), "{route}: {says}");
        assert!(says.contains("full"), "{route}: {says}");
        serves(&small.api, "orders").await;
    }
    let left = std::fs::read_dir(small.inside("")).unwrap().flatten();
    let used: u64 = left.filter_map(|entry| entry.metadata().ok()).map(|it| it.len()).sum();
    assert!(used < 1 << 20, "spills of queries that failed stay: {used}");
}
