//! Keys: who is let in, what they see, and that no secret stays anywhere.

use std::path::Path;

use reqwest::Client;
use serde_json::Value;

use super::site::{Key, Site, ask, dunlin, dunlin_with, setup, submission};

/// A gateway with three keys: two that query, and one that administers.
struct Keyed {
    site: Site,
    ours: Key,
    theirs: Key,
    admin: Key,
    http: Client,
}

impl Keyed {
    fn start(filter: &str) -> Self {
        let (ours, theirs) = (Key::new("ours", "query"), Key::new("theirs", "query"));
        let admin = Key::new("operators", "admin");
        let toml = [&ours, &theirs, &admin].map(|key| key.toml.as_str()).join("\n");
        let site = Site::start_as(setup(&toml), "run", filter);
        Self { site, ours, theirs, admin, http: Client::new() }
    }

    async fn get(&self, path: &str, key: Option<&str>) -> (u16, Value) {
        let (status, body, _) = ask(self.http.get(self.site.url(path)), key).await;
        (status, body)
    }

    async fn post(&self, path: &str, body: &Value, key: Option<&str>) -> (u16, Value) {
        let (status, body, _) = ask(self.http.post(self.site.url(path)).json(body), key).await;
        (status, body)
    }

    async fn submit(&self, sql: &str, key: &Key) -> String {
        let (status, body) = self.post("/v1/queries", &submission(sql), Some(&key.text)).await;
        assert_eq!((status, &body["status"]), (200, &Value::from("SUCCEEDED")), "{body}");
        body["query_id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_key_is_told_so_and_nothing_more() {
    let keyed = Keyed::start("info");
    let sql = submission("select 1 as one");
    let mut answers = Vec::new();
    let cut = &keyed.ours.text[..keyed.ours.text.len() - 1];
    for key in [None, Some("wrong"), Some(cut), Some(keyed.ours.sha256.as_str())] {
        for path in ["/v1/sql", "/v1/queries", "/v1/explain", "/v1/queries/x/cancel", "/nowhere"] {
            let request = keyed.http.post(keyed.site.url(path)).json(&sql);
            let (status, body, headers) = ask(request, key).await;
            assert_eq!((status, &body["code"]), (401, &Value::from("UNAUTHORIZED")), "{path}");
            assert_eq!(headers["www-authenticate"], "Bearer");
            assert_eq!(headers["content-type"], "application/problem+json");
            answers.push(body);
        }
    }
    assert!(answers.windows(2).all(|two| two[0] == two[1]), "a refusal says which part was wrong");
    for path in ["/health", "/v1/ready"] {
        assert_eq!(keyed.get(path, None).await.0, 200, "{path}");
    }
    let (status, rows) = keyed.post("/v1/sql", &sql["sql"], Some(&keyed.ours.text)).await;
    assert_eq!(status, 400, "a JSON string is no request: {rows}");
    let body = serde_json::json!({ "sql": "select 1 as one" });
    let (status, rows) = keyed.post("/v1/sql", &body, Some(&keyed.ours.text)).await;
    assert_eq!((status, rows), (200, serde_json::json!([{ "one": 1 }])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_seen_by_its_key_and_by_admins() {
    let keyed = Keyed::start("info");
    let query = keyed.submit("select 1 as one", &keyed.ours).await;
    let paths = [
        format!("/v1/queries/{query}"),
        format!("/v1/queries/{query}/results"),
        format!("/v1/queries/{query}/analyze"),
    ];
    // One that nobody has.
    let last = if query.ends_with('0') { "1" } else { "0" };
    let unknown = format!("{}{last}", &query[..query.len() - 1]);
    for path in &paths {
        for key in [&keyed.ours, &keyed.admin] {
            assert_eq!(keyed.get(path, Some(&key.text)).await.0, 200, "{path}");
        }
        // As if there were no such query.
        let (status, theirs) = keyed.get(path, Some(&keyed.theirs.text)).await;
        let (_, nobodys) = keyed.get(&path.replace(&query, &unknown), Some(&keyed.ours.text)).await;
        let like = |body: &Value| body.to_string().replace(&query, "ID").replace(&unknown, "ID");
        assert_eq!(status, 404, "{path}: {theirs}");
        assert_eq!(like(&theirs), like(&nobodys), "{path}");
    }
    let cancel = format!("/v1/queries/{query}/cancel");
    let nothing = serde_json::json!({});
    assert_eq!(keyed.post(&cancel, &nothing, Some(&keyed.theirs.text)).await.0, 404);
    assert_eq!(keyed.post(&cancel, &nothing, Some(&keyed.admin.text)).await.0, 200);
    for path in ["/v1/sql", "/v1/queries", "/v1/explain"] {
        let (status, body) =
            keyed.post(path, &submission("select 1"), Some(&keyed.admin.text)).await;
        assert_eq!((status, &body["code"]), (403, &Value::from("FORBIDDEN")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_keys_may_use_the_same_idempotency_key() {
    let keyed = Keyed::start("info");
    let send = async |sql: &str, key: &Key| {
        let request = keyed.http.post(keyed.site.url("/v1/queries")).json(&submission(sql));
        let request = request.header("idempotency-key", "the-same");
        let (status, body, headers) = ask(request, Some(&key.text)).await;
        (status, body["query_id"].clone(), headers.contains_key("idempotent-replayed"))
    };
    let (status, ours, replayed) = send("select 1", &keyed.ours).await;
    assert_eq!((status, replayed), (200, false));
    let (status, theirs, replayed) = send("select 2", &keyed.theirs).await;
    assert_eq!((status, replayed), (200, false), "another key's request is another request");
    assert_ne!(ours, theirs);
    assert_eq!(send("select 1", &keyed.ours).await, (200, ours, true));
    assert_eq!(send("select 1", &keyed.theirs).await.0, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_from_before_there_were_keys_is_for_admins() {
    let (ours, admin) = (Key::new("ours", "query"), Key::new("operators", "admin,query"));
    let mut site = Site::start("");
    let http = Client::new();
    let submit = async |site: &Site, key: Option<&str>| {
        let request = http.post(site.url("/v1/queries")).json(&submission("select 1 as one"));
        let (status, body, _) = ask(request, key).await;
        assert_eq!(status, 200, "{body}");
        body["query_id"].as_str().unwrap().to_owned()
    };
    let before = submit(&site, None).await;
    site.restart_with(&format!("{}{}", ours.toml, admin.toml));
    let after = submit(&site, Some(&ours.text)).await;
    for (query, key, expected) in
        [(&before, &ours, 404), (&before, &admin, 200), (&after, &ours, 200), (&after, &admin, 200)]
    {
        for path in ["", "/results", "/analyze"] {
            let request = http.get(site.url(&format!("/v1/queries/{query}{path}")));
            assert_eq!(ask(request, Some(&key.text)).await.0, expected, "{path}");
        }
    }
    // Records of queries that belong to nobody are as they always were.
    let mut files = Vec::new();
    read_all(&site.setup.state, &mut files);
    let root = |query: &str| -> Value {
        let root = files.iter().find(|(name, _)| name.ends_with(&format!("{query}/root"))).unwrap();
        serde_json::from_str(root.1.split_once('\n').unwrap().1).unwrap()
    };
    assert_eq!(root(&before).get("owner"), None);
    let owner = root(&after)["owner"].as_str().unwrap().to_owned();
    assert!(owner.len() == 16 && !ours.sha256.contains(&owner), "{owner}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_stands_in_a_log_an_error_or_a_record() {
    let keyed = Keyed::start("trace,datafusion=info");
    let wrong = Key::new("wrong", "query");
    let mut answers = String::new();
    for key in [&keyed.ours, &keyed.theirs, &wrong] {
        for sql in ["select 1", "select nothing", "select * from"] {
            let sql = submission(sql);
            answers += &keyed.post("/v1/queries", &sql, Some(&key.text)).await.1.to_string();
            answers += &keyed.post("/v1/sql", &sql, Some(&key.text)).await.1.to_string();
        }
    }
    // A key where it does not belong: whole header values, other schemes, too long.
    for value in [format!("Basic {}", wrong.text), format!("Bearer {}", wrong.text.repeat(50))] {
        let request =
            keyed.http.get(keyed.site.url("/v1/queries/x")).header("authorization", value);
        answers += &ask(request, None).await.1.to_string();
    }
    let (log, state) = (keyed.site.log(), keyed.site.setup.state.clone());
    assert!(log.contains(" DEBUG ") && !answers.is_empty());
    let mut files = vec![("the log".to_owned(), log), ("an answer".to_owned(), answers)];
    read_all(&state, &mut files);
    assert!(files.len() > 6, "queries left records");
    for key in [&keyed.ours, &keyed.theirs, &keyed.admin, &wrong] {
        let text = key.text.trim_start_matches("dunlin_");
        for (name, contents) in &files {
            assert!(!contents.contains(text), "{name} has a secret");
            assert!(!contents.contains(&key.sha256), "{name} has the hash of a key");
        }
    }
}

fn read_all(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, files);
        } else if let Ok(bytes) = std::fs::read(&path) {
            let name = path.display().to_string();
            let contents = format!("{name}\n{}", String::from_utf8_lossy(&bytes));
            files.push((name, contents));
        }
    }
}

#[test]
fn the_command_takes_its_key_from_a_file_or_the_environment() {
    let keyed = Keyed::start("info");
    let url = keyed.site.url("");
    let sql = ["sql", "--url", &url, "select 1 as one"];
    let refused = dunlin(&sql);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("UNAUTHORIZED"), "{refused:?}");
    let by_variable = dunlin_with(&sql, &[("DUNLIN_API_KEY", &keyed.ours.text)]);
    assert!(by_variable.status.success(), "{by_variable:?}");
    let file = keyed.site.setup.path().join("key");
    std::fs::write(&file, format!("{}\n", keyed.ours.text)).unwrap();
    let file = file.display().to_string();
    let by_file = dunlin(&[&sql[..], &["--key-file", &file]].concat());
    assert_eq!(by_file.stdout, b"{\"one\":1}\n", "{by_file:?}");
}

#[test]
fn an_open_door_off_loopback_is_refused_unless_it_is_spelled_out() {
    let (key, nothing) = (Key::new("ci", "query"), String::new());
    for (toml, lacks) in [(&nothing, "neither API keys nor TLS"), (&key.toml, "no TLS")] {
        for command in ["run", "gateway"] {
            let setup = setup(toml);
            let config = setup.config.display().to_string();
            let refused = dunlin(&[command, "--config", &config, "--http", "0.0.0.0:0"]);
            let said = String::from_utf8_lossy(&refused.stderr);
            assert!(!refused.status.success());
            for part in [lacks, "dunlin key new", "dunlin tls init", "--allow-insecure-connections"]
            {
                assert!(said.contains(part), "{said}");
            }
            assert!(!setup.state.exists(), "nothing was opened");
        }
    }
    let setup = setup("");
    let log = setup.path().join("log");
    let config = setup.config.display().to_string();
    let arguments =
        ["run", "--config", &config, "--http", "0.0.0.0:0", "--allow-insecure-connections"];
    let mut process =
        dunlin_cli::fleet::Process::start(crate::common::binary(), &arguments, &log).unwrap();
    super::site::until("gateway that listens", || {
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(process.is_running(), "{text}");
        text.contains("listening on http://0.0.0.0:").then_some(())
    });
}
