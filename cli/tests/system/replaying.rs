//! `dunlin replay` and `dunlin query profile`: a past query is looked at without a gateway, and nothing of it changes.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dunlin_cli::fleet::Fleet;
use dunlin_cli::tpch;
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::{Setup, binary, data};

const SCALE: f64 = 0.05;
const PATIENCE: Duration = Duration::from_secs(90);

fn dunlin(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(binary()).args(arguments).env_clear().output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// The files below a folder, with their bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => {
                    found.insert(
                        entry.path().display().to_string(),
                        std::fs::read(entry.path()).unwrap(),
                    );
                }
            }
        }
    }
    found
}

/// A query that a fleet has run and that has ended. Nothing runs any more.
async fn past(setup: &Setup, sql: &str) -> String {
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let api = Api::new(&fleet.url());
    let settings = json!({"route": "fleet", "target_partitions": 4, "task_bytes": 0});
    let query = api.begin(sql, &settings).await;
    assert_eq!(api.end(&query, PATIENCE).await["status"], "SUCCEEDED");
    query
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_task_of_a_past_query_gives_the_rows_that_were_committed_and_writes_nothing() {
    let setup = Setup::folder(&data(SCALE), "");
    let config = setup.config.display().to_string();
    for number in [5, 18, 21] {
        let query = past(&setup, &tpch::query(number).unwrap()).await;
        let before = files(&setup.state);
        let (is_right, told, error) = dunlin(&["replay", &query, "--config", &config, "--json"]);
        assert!(is_right, "{error}");
        let outline = json_of(&told);
        assert_eq!(outline["status"], "succeeded", "{outline}");
        let mut ran = 0;
        let mut slowest = 0;
        for stage in outline["stages"].as_array().unwrap() {
            let tasks = stage["tasks"].as_array().unwrap();
            slowest += tasks.iter().filter(|task| task["slowest"] == true).count();
            if tasks.is_empty() {
                continue;
            }
            let of = stage["stage"].to_string();
            let arguments = ["replay", &query, "--stage", &of, "--config", &config, "--json"];
            let (is_right, told, error) = dunlin(&arguments);
            assert!(is_right, "Q{number}, stage {of}: {error}");
            let lines: Vec<Value> = told.lines().map(json_of).collect();
            assert_eq!(lines.len(), tasks.len());
            for (line, task) in lines.iter().zip(tasks) {
                let verdict = line["verdict"].as_str().unwrap();
                assert!(matches!(verdict, "identical" | "same_rows"), "Q{number}: {line}");
                assert_eq!((&line["task"], &line["rows"]), (&task["task"], &task["rows"]));
                let operators = line["operators"].as_array().unwrap();
                assert!(operators.iter().any(|it| it["rows"].is_u64()), "{line}");
                assert!(!line.to_string().contains("GuardExec"), "{line}");
                ran += 1;
            }
        }
        assert!(ran > 4, "Q{number}: {ran} tasks");
        assert_eq!(slowest, 1);
        assert!(files(&setup.state) == before, "a replay has written into the state");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_read_what_took_how_long_and_what_is_missing_is_named() {
    // A copy, of which a file may be changed.
    let tables = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for table in tpch::TABLES {
        std::fs::create_dir(tables.path().join(table)).unwrap();
        for file in std::fs::read_dir(data(SCALE).join(table)).unwrap().flatten() {
            std::fs::copy(file.path(), tables.path().join(table).join(file.file_name())).unwrap();
        }
    }
    let setup = Setup::folder(tables.path(), "");
    let config = setup.config.display().to_string();
    let sql = "select o_orderpriority, count(*) as n from orders join lineitem on o_orderkey = l_orderkey group by 1 order by 1";
    let query = past(&setup, sql).await;
    let run = |more: &[&str]| dunlin(&[&["replay", &query, "--config", &config], more].concat());
    let (is_right, told, error) = run(&[]);
    assert!(is_right && told.contains("<-- slowest of the query"), "{told}{error}");
    assert!(told.contains("wall ms") && told.contains(&format!("dunlin replay {query} --stage")));
    // The beginning of an id is enough.
    let (is_right, _, error) = dunlin(&["replay", &query[..20], "--config", &config]);
    assert!(is_right, "{error}");
    let (is_right, told, error) = run(&["--stage", "0", "--task", "0"]);
    assert!(is_right && told.contains("DataSourceExec"), "{told}{error}");
    assert!(told.contains("equal to what attempt 0 of worker"), "{told}");
    for (arguments, text) in [
        (&["--stage", "99"][..], "there is no stage 99"),
        (&["--stage", "0", "--task", "999"], "there is no task 999"),
    ] {
        let (is_right, told, error) = run(arguments);
        assert!(!is_right && error.contains(text), "{told}{error}");
    }
    // An input of another version is not read.
    let changed = std::fs::read_dir(tables.path().join("orders")).unwrap().next().unwrap().unwrap();
    let bytes = std::fs::read(changed.path()).unwrap();
    std::fs::write(changed.path(), [&bytes[..], b"more"].concat()).unwrap();
    let scans = |told: &str| -> Vec<String> {
        let outline = json_of(told);
        let stages = outline["stages"].as_array().unwrap().clone();
        let of = |stage: &&Value| stage["name"].as_str().unwrap().contains("scan orders");
        stages.iter().filter(of).map(|stage| stage["stage"].to_string()).collect()
    };
    let (_, told, _) = run(&["--json"]);
    let stage = scans(&told).remove(0);
    let (is_right, told, error) = run(&["--stage", &stage]);
    let name = changed.file_name().into_string().unwrap();
    assert!(!is_right && error.contains(&name) && error.contains("changed"), "{told}{error}");
    std::fs::remove_file(changed.path()).unwrap();
    let (is_right, told, error) = run(&["--stage", &stage]);
    assert!(!is_right && error.contains(&name) && error.contains("is gone"), "{told}{error}");
    // What ended queries leave is deleted some day.
    let (is_right, told, error) =
        dunlin(&["gc", "--config", &config, "--set", "gateway.gc.data_ms=0"]);
    assert!(is_right, "{told}{error}");
    let (_, told, _) = run(&["--json"]);
    let last = json_of(&told)["stages"].as_array().unwrap().last().unwrap()["stage"].to_string();
    let gone: Vec<String> = (1..=last.parse::<u32>().unwrap())
        .filter_map(|stage| {
            let (is_right, _, error) = run(&["--stage", &stage.to_string()]);
            (!is_right && error.contains("is not in the store any more: data/")).then_some(error)
        })
        .collect();
    assert!(!gone.is_empty(), "no stage reads data that was deleted");
}

/// The files of an archive, by name.
fn unpacked(path: &Path) -> BTreeMap<String, String> {
    let mut archive =
        tar::Archive::new(zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap());
    let read = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name, text)
    });
    read.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_has_the_records_and_neither_rows_nor_secrets() {
    let secret = "s3cr3t-of-the-profile";
    let extra = format!("[state.params]\ns3_secret = \"{secret}\"\n");
    let setup = Setup::with(|state| {
        format!(
            "[state]\nlocation = \"file://{}\"\n{extra}\n{}",
            state.display(),
            tpch::tables_toml(&format!("file://{}/", data(SCALE).display()))
        )
    });
    let config = setup.config.display().to_string();
    // The statement holds the secret: it must not be told, wherever it stands.
    let sql = format!(
        "select n_name, '{secret}' as s from nation where n_name <> 'the-statement-itself' order by n_name"
    );
    let query = past(&setup, &sql).await;
    let file = setup.path().join("profile.tar.zst");
    let out = file.display().to_string();
    let before = files(&setup.state);
    let (is_right, told, error) =
        dunlin(&["query", "profile", &query, "--config", &config, "-o", &out]);
    assert!(is_right && told.contains(&out), "{told}{error}");
    assert!(files(&setup.state) == before);
    let packed = unpacked(&file);
    for name in ["about.json", "root.json", "end.json", "explain.txt", "objects.txt"] {
        assert!(packed.contains_key(name), "{name}: {:?}", packed.keys());
    }
    for name in ["stages/0/plan.txt", "stages/0/manifest.json", "stages/0/claims/0.0.json"] {
        assert!(packed.contains_key(name), "{name}: {:?}", packed.keys());
    }
    assert!(packed["stages/0/plan.txt"].contains("DataSourceExec"), "{:?}", packed);
    assert!(packed["root.json"].contains("the-statement-itself"));
    let end = json_of(&packed["end.json"]);
    assert_eq!(end["status"], "SUCCEEDED");
    for (name, text) in &packed {
        assert!(!text.contains(secret), "{name}");
        // A row of the answer; its commit holds it in base64.
        assert!(!text.contains("MOZAMBIQUE"), "{name}");
        let inline = text.split("\"inline\": \"").skip(1);
        assert!(
            inline.clone().all(|rest| rest.starts_with('"') || rest.starts_with("(rows left out")),
            "{name}: {text}"
        );
    }
    let short = setup.path().join("short.tar.zst").display().to_string();
    let arguments = ["query", "profile", &query, "--config", &config, "--no-sql", "-o", &short];
    let (is_right, told, error) = dunlin(&arguments);
    assert!(is_right, "{told}{error}");
    for (name, text) in unpacked(Path::new(&short)) {
        assert!(!text.contains("the-statement-itself"), "{name}: {text}");
    }
    let (is_right, _, error) =
        dunlin(&["query", "profile", "01a1fc81-0000-7000-8000-000000000000", "--config", &config]);
    assert!(!is_right && error.contains("there is no query"), "{error}");
}
