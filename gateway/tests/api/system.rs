//! The tables of the schema `system`: what each client may see of them, and that they are like any other table.

use dunlin_gateway::GatewayOptions;
use dunlin_gateway::auth::Scope;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::keys;
use dunlin_manifest::model::encoding::encode;
use dunlin_manifest::records::{Claim, RECORD_VERSION};
use dunlin_manifest::store::ControlStore;
use dunlin_planner::config::Setting;
use serde_json::{Value, json};

use super::queries::fleet;
use super::site::*;

const KEYS: [(&str, &[Scope]); 3] = [
    ("mine", &[Scope::Query]),
    ("other", &[Scope::Query]),
    ("admin", &[Scope::Query, Scope::Admin]),
];

/// The rows of a statement that a client with this key sends.
async fn rows(gateway: &Running, key: &str, sql: &str) -> Value {
    let response = gateway.sql(sql).bearer_auth(key).send().await.unwrap();
    let status = response.status();
    let body = json(response).await;
    assert_eq!(status, 200, "{sql}: {body}");
    body
}

async fn submitted(gateway: &Running, key: &str, body: &Value) -> String {
    let status = json(gateway.submit(body).bearer_auth(key).send().await.unwrap()).await;
    status["query_id"].as_str().unwrap_or_else(|| panic!("{status}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sees_its_own_queries_and_an_admin_all() {
    let site = Site::new();
    let gateway = site.keyed(Some(site.worker(Outcome::Rows)), &KEYS).await;
    let mine = submitted(&gateway, "mine", &json!({"sql": "select 1 as n"})).await;
    let other = submitted(&gateway, "other", &json!({"sql": "select 2 as n"})).await;
    let all = "select query_id from system.queries order by submitted_at desc, query_id desc";
    assert_eq!(rows(&gateway, "mine", all).await, json!([{"query_id": mine}]));
    assert_eq!(rows(&gateway, "other", all).await, json!([{"query_id": other}]));
    let seen = rows(&gateway, "admin", all).await;
    assert_eq!(seen, json!([{"query_id": other}, {"query_id": mine}]));
    for table in ["queries", "stages", "tasks", "attempts"] {
        let one = format!("select count(*) as n from system.{table} where query_id = '{mine}'");
        assert_eq!(rows(&gateway, "mine", &one).await, json!([{"n": 1}]), "{table}");
        assert_eq!(rows(&gateway, "other", &one).await, json!([{"n": 0}]), "{table}");
        assert_eq!(rows(&gateway, "admin", &one).await, json!([{"n": 1}]), "{table}");
    }
    let days = "select sum(queries) as n, sum(rows) as r from system.cost_by_day";
    assert_eq!(rows(&gateway, "mine", days).await, json!([{"n": 1, "r": 5}]));
    assert_eq!(rows(&gateway, "admin", days).await, json!([{"n": 2, "r": 10}]));
    // What another gateway answers is the same.
    let second = site.keyed(None, &KEYS).await;
    assert_eq!(rows(&second, "mine", all).await, json!([{"query_id": mine}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_for_admins_and_hold_what_the_process_was_given() {
    let site = Site::new();
    let keyed = site.keyed(None, &KEYS).await;
    let (status, body) =
        problem(keyed.sql("select * from system.settings").bearer_auth("mine")).await;
    assert_eq!((status, body["code"].as_str()), (403, Some("FORBIDDEN")), "{body}");
    assert_eq!(rows(&keyed, "admin", "select name from system.settings").await, json!([]));
    let setting = |name: &str, source: Option<&str>| Setting {
        name: name.to_owned(),
        value: Some("1".to_owned()),
        source: source.map(str::to_owned),
    };
    let settings = [setting("a.b", None), setting("c", Some("flag --set c"))];
    let options = GatewayOptions { settings: settings.into(), ..GatewayOptions::default() };
    let open = site.gateway(None, options).await;
    let all = json(open.sql("select * from system.settings order by name").send().await.unwrap());
    assert_eq!(
        all.await,
        json!([
            {"name": "a.b", "value": "1", "is_default": true, "source": null},
            {"name": "c", "value": "1", "is_default": false, "source": "flag --set c"},
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn they_join_with_tables_and_tell_of_queries_that_run() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("words.csv"), "status,word\nSUCCEEDED,done\nPENDING,waits\n")
        .unwrap();
    let at = data.path().display();
    let site = Site::with(&format!(
        "[[tables]]\nname = \"words\"\nlocation = \"{at}/words.csv\"\nformat = \"csv\"\n"
    ));
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let ask = async |sql: &str| json(gateway.sql(sql).send().await.unwrap()).await;
    assert_eq!(ask("select * from system.queries").await, json!([]));
    for sql in ["select 1 as n", "select 2 as n"] {
        let body = json!({"sql": sql, "tags": {"team": "finance"}});
        gateway.submit(&body).send().await.unwrap();
    }
    let waiting = json(gateway.submit(&fleet()).send().await.unwrap()).await;
    let waiting = waiting["query_id"].as_str().unwrap();
    let joined = "select word, count(*) as n from system.queries join words using (status) group by 1 order by 1";
    assert_eq!(ask(joined).await, json!([{"word": "done", "n": 2}, {"word": "waits", "n": 1}]));
    // It is a write, a fleet query, and anything else that a statement can be.
    let open = ask("select query_id, phase, rows, route from system.queries where status in ('PENDING', 'RUNNING')").await;
    assert_eq!(
        open,
        json!([{"query_id": waiting, "phase": "queued", "rows": null, "route": "fleet"}])
    );
    let tagged = "select count(*) as n, min(tags) as t from system.queries where tags is not null";
    assert_eq!(ask(tagged).await, json!([{"n": 2, "t": r#"{"team":"finance"}"#}]));
    let newest = "select query_id from system.queries order by submitted_at desc limit 1";
    assert_eq!(ask(newest).await, json!([{"query_id": waiting}]));
    let times = "select count(*) as n from system.queries where submitted_at > now() - interval '1 hour' and submitted_at <= now() + interval '1 minute'";
    assert_eq!(ask(times).await, json!([{"n": 3}]));
    assert_eq!(
        ask("select count(*) as n from system.queries where submitted_at < '2020-01-01T00:00:00Z'")
            .await,
        json!([{"n": 0}])
    );
    let stages = ask(&format!("select stage, state, tasks, tasks_done, rows from system.stages where query_id = '{waiting}'")).await;
    assert_eq!(
        stages,
        json!([{"stage": 0, "state": "open", "tasks": 1, "tasks_done": 0, "rows": null}])
    );
    let tasks = ask("select q.status, t.state, t.worker, t.rows, t.bytes_scanned from system.tasks t join system.queries q using (query_id) order by 1, t.query_id").await;
    let done = json!({"status": "SUCCEEDED", "state": "committed", "worker": "played", "rows": 5, "bytes_scanned": 11});
    let open = json!({"status": "PENDING", "state": "open", "worker": null, "rows": null, "bytes_scanned": null});
    assert_eq!(tasks, json!([open, done, done]));
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_tell_how_they_came_out() {
    let site = Site::new();
    let fails = site.gateway(Some(site.worker(Outcome::Fails)), GatewayOptions::default()).await;
    let failed = json(fails.submit(&json!({"sql": "select 1 as n"})).send().await.unwrap()).await;
    let failed = failed["query_id"].as_str().unwrap();
    let gateway = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    gateway.submit(&json!({"sql": "select 2 as n"})).send().await.unwrap();
    let waiting = json(gateway.submit(&fleet()).send().await.unwrap()).await;
    let waiting = QueryId::parse(waiting["query_id"].as_str().unwrap()).unwrap();
    // A worker claims its task, and is killed.
    let claim = Claim { v: RECORD_VERSION, nonce: "n".to_owned(), worker: "gone".to_owned() };
    let key = keys::claim(&waiting, 0, 0, 0);
    site.control.put_if_absent(&key, encode(&claim)).await.unwrap();
    let ask = async |sql: &str| json(gateway.sql(sql).send().await.unwrap()).await;
    let all = "select state, worker, error_class, error_code, error_message, wall_ms, claimed_at is not null as claimed from system.attempts order by submitted_at, query_id";
    assert_eq!(
        ask(all).await,
        json!([
            {"state": "failed", "worker": "played", "error_class": "FATAL", "error_code": "EXECUTION_FAILED", "error_message": "divide by zero", "wall_ms": 1, "claimed": true},
            {"state": "won", "worker": "played", "error_class": null, "error_code": null, "error_message": null, "wall_ms": 0, "claimed": true},
            {"state": "running", "worker": "gone", "error_class": null, "error_code": null, "error_message": null, "wall_ms": null, "claimed": true},
        ])
    );
    assert_eq!(
        ask("select worker, is_listening, running_attempts from system.workers").await,
        json!([{"worker": "gone", "is_listening": false, "running_attempts": 1}])
    );
    // Nobody will hear of it again.
    gateway.post(&format!("/v1/queries/{waiting}/cancel")).await;
    let lost = format!("select state from system.attempts where query_id = '{waiting}'");
    assert_eq!(ask(&lost).await, json!([{"state": "lost"}]));
    let told = format!(
        "select status, error_code, error_message, is_retryable from system.queries where query_id = '{failed}'"
    );
    assert_eq!(
        ask(&told).await,
        json!([{"status": "FAILED", "error_code": "EXECUTION_FAILED", "error_message": "divide by zero", "is_retryable": false}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_as_of_any_table_and_every_face_knows_the_columns() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    for (sql, text) in [
        ("select statuss from system.queries", "did you mean status?"),
        ("select * from system.attempt", "did you mean system.attempts?"),
        ("select * from queries", "did you mean system.queries?"),
        ("insert into system.queries values (1)", "tables that are written have one name"),
    ] {
        let (status, body) = problem(gateway.sql(sql)).await;
        assert!((400..500).contains(&status), "{sql}: {body}");
        assert!(body["detail"].as_str().unwrap().contains(text), "{sql}: {body}");
    }
    // A wrong id is the id of no query.
    let none = "select count(*) as n from system.queries where query_id = 'nonsense'";
    assert_eq!(json(gateway.sql(none).send().await.unwrap()).await, json!([{"n": 0}]));
    let shown = json(gateway.sql("show tables").send().await.unwrap()).await;
    let names: Vec<&str> = shown
        .as_array()
        .unwrap()
        .iter()
        .filter(|table| table["table_schema"] == "system")
        .map(|table| table["table_name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"queries") && names.contains(&"cost_by_day"), "{names:?}");
    // A durable statement keeps the rows that it was planned with, whoever runs it.
    let body = json!({"sql": "select name, value from system.settings", "settings": {"route": "fleet"}, "wait_timeout": "0s"});
    let status = json(gateway.submit(&body).send().await.unwrap()).await;
    assert_eq!((&status["status"], &status["route"]), (&json!("PENDING"), &json!("fleet")));
    let explained = json!({"sql": "select count(*) from system.queries"});
    let request = gateway.client.post(format!("{}/v1/explain", gateway.url)).json(&explained);
    assert_eq!(json(request.send().await.unwrap()).await["route"], "inline");
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_and_tables_are_those_of_the_site() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("a.csv"), "a\n1\n").unwrap();
    let at = data.path().display();
    let site = Site::with(&format!(
        "[[tables]]\nname = \"a\"\nlocation = \"{at}/a.csv\"\nformat = \"csv\"\n"
    ));
    let options =
        GatewayOptions { advertise: Some("http://here:1".to_owned()), ..GatewayOptions::default() };
    let gateway = site.gateway(None, options).await;
    let ask = async |sql: &str| json(gateway.sql(sql).send().await.unwrap()).await;
    assert_eq!(
        ask("select * from system.tables").await,
        json!([{"table_name": "a", "format": "csv"}])
    );
    // The gateway writes its address beside its first answers.
    let mut seen = json!([]);
    for _ in 0..200 {
        seen = ask("select url, seen_at is not null as seen from system.gateways").await;
        if seen != json!([]) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(seen, json!([{"url": "http://here:1", "seen": true}]));
}
