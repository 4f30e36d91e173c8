//! Answers that are given again: for the same statement over the same files, and for nothing else.

use std::time::Duration;

use dunlin_gateway::GatewayOptions;
use dunlin_gateway::auth::{KeyOptions, Scope, hash_of};
use reqwest::{Response, StatusCode};
use serde_json::json;

use super::site::{Outcome, Running, Site, header};

const STATUS: &str = "results-cache-status";

/// A table of one file, a site that has it, and a gateway that keeps answers.
struct Scene {
    data: tempfile::TempDir,
    site: Site,
    running: Running,
}

impl Scene {
    async fn new(outcome: Outcome) -> Self {
        Self::keeping(outcome, Duration::from_secs(3_600)).await
    }

    async fn keeping(outcome: Outcome, results_cache: Duration) -> Self {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("t.csv"), "n\n1\n2\n").unwrap();
        let table = format!(
            "[[tables]]\nname = \"t\"\nlocation = \"file://{}/t.csv\"\nformat = \"csv\"\n",
            data.path().display()
        );
        let site = Site::with(&table);
        let mut options = GatewayOptions { results_cache, ..GatewayOptions::default() };
        options.door.keys = ["one", "two"].map(key).to_vec();
        let running = site.gateway(Some(site.worker(outcome)), options).await;
        Self { data, site, running }
    }

    async fn ask(&self, sql: &str) -> Response {
        self.ask_with(&json!({ "sql": sql }), "one", "max-age=0").await
    }

    async fn ask_with(&self, body: &serde_json::Value, key: &str, control: &str) -> Response {
        let request = self.running.submit(body).bearer_auth(key);
        let response = request.header("cache-control", control).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response
    }
}

fn key(secret: &str) -> KeyOptions {
    KeyOptions {
        name: secret.to_owned(),
        sha256: hash_of(secret),
        scopes: [Scope::Query].into_iter().collect(),
        scram: None,
        workgroup: None,
    }
}

/// Whether an answer was there, and whose.
fn told(response: &Response) -> (String, String) {
    (header(response, STATUS), header(response, "dunlin-query-id"))
}

#[tokio::test]
async fn the_same_statement_over_the_same_files_is_answered_from_what_is_there() {
    let scene = Scene::new(Outcome::Rows).await;
    let (status, first) = told(&scene.ask("select n from t where n > 0").await);
    assert_eq!(status, "MISS");
    let again = scene.ask("select n from t where n > 0").await;
    assert_eq!(told(&again), ("HIT".to_owned(), first.clone()));
    let rows =
        scene.running.client.get(format!("{}/v1/queries/{first}/results", scene.running.url));
    assert_eq!(rows.bearer_auth("one").send().await.unwrap().status(), StatusCode::OK);
    // Other spaces make the same plan; another number does not.
    let (status, query) = told(&scene.ask("select n\nfrom t where n > 0").await);
    assert_eq!((status.as_str(), query), ("HIT", first.clone()));
    assert_eq!(told(&scene.ask("select n from t where n > 1").await).0, "MISS");
    // Another gateway finds it, too.
    let mut options =
        GatewayOptions { results_cache: Duration::from_secs(60), ..GatewayOptions::default() };
    options.door.keys = vec![key("one")];
    let other = scene.site.gateway(Some(scene.site.worker(Outcome::Fails)), options).await;
    let body = json!({ "sql": "select n from t where n > 0" });
    let response = other.submit(&body).bearer_auth("one").send().await.unwrap();
    assert_eq!(told(&response), ("HIT".to_owned(), first));
}

#[tokio::test]
async fn a_file_that_was_replaced_makes_another_answer() {
    let scene = Scene::new(Outcome::Rows).await;
    let (_, first) = told(&scene.ask("select n from t").await);
    std::fs::write(scene.data.path().join("t.csv"), "n\n1\n2\n3\n").unwrap();
    let (status, second) = told(&scene.ask("select n from t").await);
    assert_eq!(status, "MISS");
    assert_ne!(first, second);
    assert_eq!(told(&scene.ask("select n from t").await), ("HIT".to_owned(), second));
}

#[tokio::test]
async fn what_must_be_run_is_run() {
    let scene = Scene::new(Outcome::Rows).await;
    let (_, first) = told(&scene.ask("select n from t").await);
    // The client wants it.
    let body = json!({ "sql": "select n from t" });
    let (status, query) = told(&scene.ask_with(&body, "one", "no-cache").await);
    assert_eq!(status, "");
    assert_ne!(query, first);
    // Another client's answer is not told.
    let (status, query) = told(&scene.ask_with(&body, "two", "max-age=0").await);
    assert_eq!(status, "MISS");
    assert_ne!(query, first);
    // Other values each time.
    for _ in 0..2 {
        let volatile = scene.ask("select n, random() as r from t").await;
        assert_eq!(header(&volatile, STATUS), "");
    }
    // Limits of an answer are kept with its query.
    let limited = json!({ "sql": "select n from t", "row_limit": 1 });
    assert_eq!(told(&scene.ask_with(&limited, "one", "max-age=0").await).0, "");
    // A retry finds its own query.
    let request = scene.running.submit(&body).bearer_auth("one").header("idempotency-key", "k");
    let response = request.send().await.unwrap();
    assert_eq!(told(&response).0, "");
    assert_ne!(told(&response).1, first);
}

#[tokio::test]
async fn a_query_that_failed_is_run_again() {
    let scene = Scene::new(Outcome::Fails).await;
    let (_, first) = told(&scene.ask("select n from t").await);
    let (status, second) = told(&scene.ask("select n from t").await);
    assert_eq!(status, "MISS");
    assert_ne!(first, second);
}

#[tokio::test]
async fn nothing_is_given_again_unless_it_is_configured_or_when_it_is_old() {
    let scene = Scene::keeping(Outcome::Rows, Duration::ZERO).await;
    for _ in 0..2 {
        assert_eq!(told(&scene.ask("select n from t").await).0, "");
    }
    let scene = Scene::keeping(Outcome::Rows, Duration::from_millis(1)).await;
    scene.ask("select n from t").await;
    let now = scene.site.env.clock.wall_ms();
    while scene.site.env.clock.wall_ms() < now + 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(told(&scene.ask("select n from t").await).0, "MISS");
}
