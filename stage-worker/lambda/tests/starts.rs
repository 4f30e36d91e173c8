//! The function as Lambda starts it: what is wrong with its configuration is told at once, in a sentence.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use dunlin_sim::lambda::{Function, Lambda, Outcome, Rules};
use serde_json::{Value, json};

const NAME: &str = "worker";

async fn start(folder: &Path, config: &str) -> Lambda {
    let function = Function {
        name: NAME.to_owned(),
        binary: env!("CARGO_BIN_EXE_dunlin-lambda-worker").into(),
        alias: None,
        env: vec![("DUNLIN_CONFIG_TOML".to_owned(), config.to_owned())],
        memory_mb: 1_769,
        timeout: Duration::from_secs(30),
        concurrency: 2,
        is_denied: false,
        folder: folder.to_owned(),
    };
    Lambda::start(vec![function], Rules::default()).await.unwrap()
}

/// A synchronous call: status, whether the function failed, and the body.
async fn call(lambda: &Lambda, function: &str, payload: &Value) -> (u16, bool, Value) {
    let url = format!("{}/2015-03-31/functions/{function}/invocations", lambda.endpoint());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.post(url).json(payload).send().await.unwrap();
    let failed = answer.headers().contains_key("x-amz-function-error");
    let status = answer.status().as_u16();
    (status, failed, answer.json().await.unwrap())
}

#[tokio::test]
async fn a_function_without_work_answers_at_once_and_is_frozen() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state").display().to_string();
    let lambda = start(folder.path(), &format!("[state]\nlocation = \"file://{state}\"\n")).await;
    for round in 0..3 {
        let (status, failed, body) = call(&lambda, NAME, &json!({ "any": "event" })).await;
        assert_eq!((status, failed), (200, false), "{body}");
        assert_eq!((&body["tasks"], &body["is_cut"]), (&json!(0), &json!(false)));
        let (_, failed, about) = call(&lambda, NAME, &json!({ "about": true })).await;
        assert!(!failed && about["build"].as_str().unwrap().starts_with("b-"), "{about}");
        assert_eq!(about["memory_mb"], 1_769);
        let (_, failed, swept) = call(&lambda, NAME, &json!({ "sweep": true })).await;
        assert!(!failed, "{swept}");
        assert_eq!((&swept["active_queries"], &swept["open_tasks"]), (&json!(0), &json!(0)));
        assert_eq!(lambda.calls()[3 * round].is_cold, round == 0);
    }
    assert_eq!(lambda.sandboxes(NAME), 1);
    let (status, _, body) = call(&lambda, "another", &json!({})).await;
    assert_eq!(status, 404, "{body}");
    lambda.reclaim();
    assert_eq!(lambda.sandboxes(NAME), 0);
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    for (config, said) in [
        ("[routing]\nmode = \"fleet\"\n", "[state] is missing"),
        ("[state]\nlocation = \"ftp://bucket\"\n", "ftp"),
    ] {
        let lambda = start(folder.path(), config).await;
        let (status, failed, body) = call(&lambda, NAME, &json!({})).await;
        assert_eq!((status, failed), (200, true));
        let log = std::fs::read_to_string(folder.path().join(format!("{NAME}-0.log"))).unwrap();
        assert!(log.contains(said), "{said}: {log} {body}");
        assert!(matches!(
            lambda.calls().last(),
            None | Some(dunlin_sim::lambda::Call { outcome: Outcome::Failed { .. }, .. })
        ));
    }
}
