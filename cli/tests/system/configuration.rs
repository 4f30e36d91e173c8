//! The configuration as whoever runs Dunlin meets it: its sources, its secrets, what is checked before a start, and what
//! changes without one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dunlin_cli::fleet::{Process, start_listening};
use serde_json::{Value, json};

use crate::common::api::Api;
use crate::common::objects::until;
use crate::common::{Setup, binary, signal};
use crate::door::site::{Key, ask, dunlin, dunlin_with, submission};

const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with one CSV file of the column `x`; its location.
fn csv(setup: &Setup, name: &str, rows: &[i64]) -> String {
    let folder = setup.path().join(name);
    std::fs::create_dir(&folder).unwrap();
    let rows: Vec<String> = rows.iter().map(i64::to_string).collect();
    std::fs::write(folder.join("rows.csv"), format!("x\n{}\n", rows.join("\n"))).unwrap();
    format!("{}/", folder.display())
}

fn table(name: &str, location: &str) -> String {
    format!("[[tables]]\nname = \"{name}\"\nlocation = \"{location}\"\nformat = \"csv\"\n")
}

/// `dunlin run` with more environment and more arguments.
fn run(setup: &Setup, variables: &[&str], arguments: &[&str]) -> (Process, SocketAddr, PathBuf) {
    let log = setup.path().join("log");
    let program = binary().display().to_string();
    let all = [variables, &[program.as_str(), "run"], arguments].concat();
    let (process, address) = start_listening(Path::new("/usr/bin/env"), &all, &log).unwrap();
    (process, address, log)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_alone_is_a_configuration_and_a_flag_wins() {
    let setup = Setup::with(|_| String::new());
    let location = csv(&setup, "orders", &[1, 2, 3]);
    let variables = [
        format!("DUNLIN__STATE__LOCATION={}", setup.state.display()),
        "DUNLIN__TABLES__ORDERS__FORMAT=csv".to_owned(),
        format!("DUNLIN__TABLES__ORDERS__LOCATION={location}"),
        "DUNLIN__LIMITS__MAX_BYTES_SCANNED=1".to_owned(),
    ];
    let environment = format!("--chdir={}", setup.path().display());
    let mut variables: Vec<&str> = variables.iter().map(String::as_str).collect();
    variables.insert(0, &environment);
    // Nothing may be named `dunlin.toml` here.
    std::fs::remove_file(&setup.config).unwrap();
    let sql = json!({ "sql": "select sum(x) as s from orders" });
    let (mut limited, address, _) = run(&setup, &variables, &[]);
    let (status, body) = Api::new(&format!("http://{address}")).raw("/v1/sql", &sql).await;
    assert_eq!((status, &body["code"]), (422, &Value::from("LIMIT_EXCEEDED")), "{body}");
    limited.stop(PATIENCE).unwrap();
    let set = ["--set", "limits.max_bytes_scanned=1000"];
    let (_process, address, _) = run(&setup, &variables, &set);
    let (status, body) = Api::new(&format!("http://{address}")).raw("/v1/sql", &sql).await;
    assert_eq!((status, body), (200, json!([{ "s": 6 }])));
}

#[test]
fn each_source_has_its_place_and_what_is_in_effect_is_printed() {
    let setup = Setup::with(|state| {
        format!(
            "[state]\nlocation = \"{}\"\n[limits]\nttl_ms = 1000001\nlease_ms = 50001\nmax_claims = 11\n[state.params]\ns3_secret = \"literal-secret\"\n",
            state.display()
        )
    });
    let config = setup.config.display().to_string();
    let print = ["config", "print", "--effective", "--config", &config];
    let variables = [
        ("DUNLIN__LIMITS__TTL_MS", "1000002"),
        ("DUNLIN__LIMITS__LEASE_MS", "50002"),
        ("DUNLIN__LIMITS__MAX_CLAIMS", "12"),
    ];
    let flags = [&print[..], &["--set", "limits.ttl_ms=1000003"]].concat();
    let printed = dunlin_with(&flags, &variables[..2]);
    assert!(printed.status.success(), "{printed:?}");
    let text = String::from_utf8(printed.stdout).unwrap();
    for line in [
        "ttl_ms = 1000003  # flag --set limits.ttl_ms".to_owned(),
        "lease_ms = 50002  # variable DUNLIN__LIMITS__LEASE_MS".to_owned(),
        format!("max_claims = 11  # {config}, line 6"),
        "heartbeat_ms = 3000".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    assert!(!text.contains("literal-secret"), "{text}");
    // What was printed is a configuration again, without the credential.
    let again = setup.path().join("again.toml");
    std::fs::write(&again, &text).unwrap();
    let again = again.display().to_string();
    let again = dunlin(&["config", "print", "--effective", "--config", &again]);
    let again = String::from_utf8(again.stdout).unwrap();
    assert!(
        again.contains("ttl_ms = 1000003  # ") && again.contains("lease_ms = 50002  # "),
        "{again}"
    );

    for (variable, value, says) in [
        (
            "DUNLIN__LIMITS__TTL_MS",
            "soon",
            "variable DUNLIN__LIMITS__TTL_MS: [limits] ttl_ms must be a whole number",
        ),
        ("DUNLIN__LIMITS__TLL_MS", "1", "did you mean \"ttl_ms\"?"),
        ("DUNLIN__LIMIT__TTL_MS", "1", "did you mean [limits]?"),
    ] {
        let refused = dunlin_with(&print, &[(variable, value)]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(says), "{said}");
    }
    let schema: Value = serde_json::from_slice(&dunlin(&["config", "schema"]).stdout).unwrap();
    assert_eq!(
        schema["definitions"]["LimitsConfig"]["properties"]["ttl_ms"]["default"],
        43_200_000
    );
}

fn read_all(folder: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, files);
        } else if let Ok(bytes) = std::fs::read(&path) {
            files.push((path.display().to_string(), bytes));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_opens_the_door_and_stays_nowhere() {
    let key = Key::new("ci", "query,admin");
    let setup = Setup::with(|state| {
        let secrets = state.parent().unwrap().join("secrets");
        std::fs::create_dir(&secrets).unwrap();
        std::fs::write(secrets.join("HASH"), format!("{}\n", key.sha256)).unwrap();
        std::fs::write(secrets.join("STORE"), "planted-in-a-file\n").unwrap();
        format!(
            "[state]\nlocation = \"{}\"\n[state.params]\nkey = \"${{secrets:STORE}}\"\nsecret = \"${{secrets:OTHER}}\"\n[secrets]\nfolder = \"{}\"\n[[gateway.keys]]\nname = \"ci\"\nsha256 = \"${{secrets:HASH}}\"\nscopes = [\"query\", \"admin\"]\n",
            state.display(),
            secrets.display()
        )
    });
    let rows = csv(&setup, "rows", &[4, 5]);
    let text = std::fs::read_to_string(&setup.config).unwrap() + &table("rows", &rows);
    std::fs::write(&setup.config, text).unwrap();
    let config = setup.config.display().to_string();
    let missing = dunlin(&["validate", "--config", &config]);
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert_eq!(missing.status.code(), Some(1), "{said}");
    for part in [
        "line 5: [state.params] secret",
        "the secret OTHER",
        "secrets/OTHER",
        "environment variable OTHER",
    ] {
        assert!(said.contains(part), "{said}");
    }

    let variables = ["OTHER=planted-in-the-environment", "DUNLIN_LOG=trace,datafusion=info"];
    let (mut process, address, log) = run(&setup, &variables, &["--config", &config]);
    let url = format!("http://{address}/v1/queries");
    let client = reqwest::Client::new();
    let mut answers = String::new();
    for sql in ["select sum(x) as s from rows", "select nothing from rows", "select * from"] {
        let request = client.post(&url).json(&submission(sql));
        let (status, body, _) = ask(request, Some(&key.text)).await;
        assert!(status == 200 || sql != "select sum(x) as s from rows", "{body}");
        answers += &body.to_string();
    }
    let (status, _, _) = ask(client.post(&url).json(&submission("select 1")), Some("wrong")).await;
    assert_eq!(status, 401);
    process.stop(PATIENCE).unwrap();
    let printed = dunlin_with(
        &["config", "print", "--effective", "--config", &config],
        &[("OTHER", "planted-in-the-environment")],
    );
    assert!(printed.status.success(), "{printed:?}");
    let shown = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(shown.contains("secret = \"${secrets:OTHER}\""), "{shown}");

    let mut files = vec![
        ("an answer".to_owned(), answers.into_bytes()),
        ("what is printed".to_owned(), [printed.stdout, printed.stderr].concat()),
        ("the log".to_owned(), std::fs::read(&log).unwrap()),
    ];
    let before = files.len();
    read_all(&setup.state, &mut files);
    assert!(files.len() > before + 3, "the query left records");
    for secret in ["planted-in-a-file", "planted-in-the-environment", &key.sha256] {
        for (name, bytes) in &files {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{name} has the secret {secret}");
        }
    }
}

#[test]
fn validate_opens_every_table_and_fails_if_one_cannot_be_read() {
    let setup = Setup::with(|state| format!("[state]\nlocation = \"{}\"\n", state.display()));
    let good = csv(&setup, "good", &[1, 2]);
    let state = std::fs::read_to_string(&setup.config).unwrap();
    let config = setup.config.display().to_string();
    let validate = |text: &str, more: &[&str]| {
        std::fs::write(&setup.config, text).unwrap();
        let output = dunlin(&[&["validate", "--config", &config], more].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let text = format!("{state}{}", table("Good", &good));
    let (code, said, _) = validate(&text, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("table Good: csv, 1 file, 6 bytes, 1 column: x BIGINT"), "{said}");

    let empty = setup.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let text = format!("{text}{}", table("gone", &format!("{}/", empty.display())));
    let (code, said, error) = validate(&text, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("table Good: csv") && said.contains("table gone: ERROR"), "{said}");
    assert!(error.contains("1 of the parts"), "{error}");
    let (code, said, _) = validate(&text, &["--no-tables"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("tables: 2, not opened"), "{said}");

    let (code, _, error) = validate(&format!("{state}[routing]\nmodus = \"auto\"\n"), &[]);
    assert_eq!(code, Some(1));
    assert!(
        error.contains(&format!("{config}, line 4: [routing] has no key \"modus\"")),
        "{error}"
    );
    assert!(error.contains("did you mean \"mode\"?"), "{error}");
    // Certificates are opened, too.
    let tls = "[gateway.tls]\ncertificate = \"/nowhere/a.pem\"\nkey = \"/nowhere/a.key\"\n";
    let (code, _, error) = validate(&format!("{state}{tls}"), &[]);
    assert_eq!(code, Some(1));
    assert!(error.contains("[gateway.tls]"), "{error}");
}

/// Sends SIGHUP, and waits until the log says `what` once more.
async fn hang_up(process: &Process, log: &Path, what: &str) {
    let count = || std::fs::read_to_string(log).unwrap().matches(what).count();
    let before = count();
    signal(process, "-HUP");
    until(what, PATIENCE, || (count() > before).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_takes_another_configuration_while_a_query_runs_on() {
    let setup = Setup::with(|state| format!("[state]\nlocation = \"{}\"\n", state.display()));
    let state = std::fs::read_to_string(&setup.config).unwrap();
    let (old, new) = (csv(&setup, "old", &[7]), csv(&setup, "new", &[8, 9]));
    std::fs::write(&setup.config, format!("{state}{}", table("old", &old))).unwrap();
    let config = setup.config.display().to_string();
    let (mut process, address, log) = run(&setup, &[], &["--config", &config]);
    let api = Api::new(&format!("http://{address}"));
    let count = |table: &str| json!({ "sql": format!("select count(*) as n from {table}") });
    assert_eq!(api.raw("/v1/sql", &count("old")).await, (200, json!([{ "n": 1 }])));
    assert_ne!(api.raw("/v1/sql", &count("new")).await.0, 200);

    // More rows than all buffers hold. Their client takes some, and waits.
    const ROWS: usize = 3_000_000;
    let sql = format!("select x, value from old, generate_series(1, {ROWS}) where value >= 0");
    let request = reqwest::Client::new().post(format!("http://{address}/v1/sql"));
    let request = request.header("accept", "application/x-ndjson");
    let mut long = request.json(&json!({ "sql": sql })).send().await.unwrap();
    assert_eq!(long.status(), 200);
    let mut lines =
        long.chunk().await.unwrap().unwrap().iter().filter(|byte| **byte == b'\n').count();

    // Another table in the place of the first, another limit, and a state that may not move.
    let elsewhere = setup.path().join("elsewhere");
    let text = format!(
        "[state]\nlocation = \"{}\"\n{}[limits]\nmax_bytes_scanned = 1000\n",
        elsewhere.display(),
        table("new", &new)
    );
    std::fs::write(&setup.config, &text).unwrap();
    hang_up(&process, &log, "the configuration was reloaded").await;
    let (status, body) = api.raw("/v1/sql", &count("new")).await;
    assert_eq!((status, body), (200, json!([{ "n": 2 }])));
    assert_ne!(api.raw("/v1/sql", &count("old")).await.0, 200, "the table is gone");
    // The worker of this process reads the new table, too.
    let durable =
        api.submit("select sum(x) as s from new", &json!({ "route": "fleet" }), None).await;
    assert!(durable.status.is_success(), "{durable:?}");
    let status = api.end(&durable.query(), PATIENCE).await;
    assert_eq!(status["status"], "SUCCEEDED", "{status}");
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(told.contains("until the process is started again: state.location"), "{told}");
    assert!(!elsewhere.exists(), "the state has not moved");

    // A file that cannot be used changes nothing.
    std::fs::write(&setup.config, text.replace("max_bytes", "max_bites")).unwrap();
    hang_up(&process, &log, "the earlier one stays in force").await;
    assert!(std::fs::read_to_string(&log).unwrap().contains("did you mean"));
    assert_eq!(api.raw("/v1/sql", &count("new")).await, (200, json!([{ "n": 2 }])));
    // The limit is in force.
    std::fs::write(&setup.config, text.replace("= 1000", "= 1")).unwrap();
    hang_up(&process, &log, "the configuration was reloaded").await;
    let (status, body) = api.raw("/v1/sql", &count("new")).await;
    assert_eq!((status, &body["code"]), (422, &Value::from("LIMIT_EXCEEDED")), "{body}");

    // The long query has all of its rows.
    while let Some(chunk) = long.chunk().await.unwrap() {
        lines += chunk.iter().filter(|byte| **byte == b'\n').count();
    }
    assert_eq!(lines, ROWS);
    process.stop(PATIENCE).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workgroup_of_the_configuration_is_kept_and_changes_without_a_restart() {
    let key = Key::new("dashboards", "query");
    let setup = Setup::with(|state| format!("[state]\nlocation = \"{}\"\n", state.display()));
    let state = std::fs::read_to_string(&setup.config).unwrap();
    let tables = ["open", "closed"].map(|name| table(name, &csv(&setup, name, &[1, 2]))).concat();
    let text = |group: &str| {
        format!(
            "{state}{tables}[gateway]\naudit = true\n[[gateway.workgroups]]\nname = \"bi\"\n{group}\n{}workgroup = \"bi\"\n",
            key.toml
        )
    };
    std::fs::write(&setup.config, text("tables = [\"open\"]\nbytes_per_day = 9")).unwrap();
    let config = setup.config.display().to_string();
    let log = setup.path().join("log");
    let (mut process, address) =
        start_listening(binary(), &["gateway", "--config", &config], &log).unwrap();
    let client = reqwest::Client::new();
    let ask = async |sql: &'static str| {
        let request = client.post(format!("http://{address}/v1/sql")).body(sql);
        let answer = request.bearer_auth(&key.text).send().await.unwrap();
        let after = answer.headers().get("retry-after").is_some();
        (answer.status().as_u16(), after, answer.text().await.unwrap())
    };
    let (status, _, body) = ask("select count(*) as n from closed").await;
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("there is no table 'closed'; there are open"), "{body}");
    assert_eq!(ask("select sum(x) as s from open").await.0, 200);
    let (status, after, body) = ask("select sum(x) as s from open").await;
    assert_eq!((status, after), (429, true), "{body}");
    assert!(body.contains("QUOTA_EXCEEDED") && body.contains("may scan 9 bytes a day"), "{body}");
    std::fs::write(&setup.config, text("bytes_per_day = 1000")).unwrap();
    hang_up(&process, &log, "the configuration was reloaded").await;
    assert_eq!(ask("select sum(x) as s from open").await.0, 200);
    assert_eq!(ask("select count(*) as n from closed").await.0, 200);
    // A group that cannot be changes nothing.
    std::fs::write(&setup.config, text("max_running = 0")).unwrap();
    hang_up(&process, &log, "the earlier one stays in force").await;
    assert!(std::fs::read_to_string(&log).unwrap().contains("max_running must be between 1"));
    process.stop(PATIENCE).unwrap();
    // What was done is written when a gateway stops.
    let day = std::fs::read_dir(setup.state.join("use/audit")).unwrap().next().unwrap().unwrap();
    let events: Vec<String> = std::fs::read_dir(day.path())
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let events = events.concat();
    assert!(events.contains("QUOTA_EXCEEDED") && events.contains("dashboards"), "{events}");
    assert!(!events.contains(&key.text));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_without_a_restart() {
    let (first, second) = (Key::new("first", "query"), Key::new("second", "query"));
    let setup = Setup::with(|state| format!("[state]\nlocation = \"{}\"\n", state.display()));
    let state = std::fs::read_to_string(&setup.config).unwrap();
    std::fs::write(&setup.config, format!("{state}{}", first.toml)).unwrap();
    let config = setup.config.display().to_string();
    let log = setup.path().join("log");
    let (process, address) =
        start_listening(binary(), &["gateway", "--config", &config], &log).unwrap();
    let client = reqwest::Client::new();
    let status = async |key: &Key| {
        let request =
            client.post(format!("http://{address}/v1/sql")).json(&json!({ "sql": "select 1" }));
        ask(request, Some(&key.text)).await.0
    };
    assert_eq!((status(&first).await, status(&second).await), (200, 401));
    std::fs::write(&setup.config, format!("{state}{}", second.toml)).unwrap();
    hang_up(&process, &log, "the configuration was reloaded").await;
    assert_eq!((status(&first).await, status(&second).await), (401, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_reads_a_new_table_after_both_were_told() {
    let setup = Setup::with(|state| format!("[state]\nlocation = \"{}\"\n", state.display()));
    let config = setup.config.display().to_string();
    let (log, worker_log) = (setup.path().join("log"), setup.path().join("worker.log"));
    let (gateway, address) =
        start_listening(binary(), &["gateway", "--config", &config], &log).unwrap();
    let worker = ["worker", "--config", &config, "--slots", "1"];
    let mut worker = Process::start(binary(), &worker, &worker_log).unwrap();
    let started = || std::fs::read_to_string(&worker_log).unwrap().contains("worker started");
    until("a worker", PATIENCE, || started().then_some(())).await;
    let mut text = std::fs::read_to_string(&setup.config).unwrap();
    text += &table("new", &csv(&setup, "new", &[8, 9]));
    std::fs::write(&setup.config, &text).unwrap();
    hang_up(&worker, &worker_log, "the places of the tables were reloaded").await;
    hang_up(&gateway, &log, "the configuration was reloaded").await;
    let api = Api::new(&format!("http://{address}"));
    let query = api.begin("select sum(x) as s from new", &json!({ "route": "fleet" })).await;
    let status = api.end(&query, PATIENCE).await;
    assert_eq!(status["status"], "SUCCEEDED", "{status}");
    assert!(worker.is_running());
}
