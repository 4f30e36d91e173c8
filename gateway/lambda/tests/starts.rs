//! The gateway as Lambda starts it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use dunlin_sim::lambda::{Function, Lambda, Rules};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_dunlin-lambda-gateway");

/// The message of the function that cannot start with this configuration.
async fn message(config: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let function = Function {
        name: "gateway".to_owned(),
        binary: BINARY.into(),
        alias: None,
        env: vec![("DUNLIN_CONFIG_TOML".to_owned(), config.to_owned())],
        memory_mb: 1_769,
        timeout: Duration::from_secs(10),
        concurrency: 1,
        is_denied: false,
        folder: folder.path().to_owned(),
    };
    let lambda = Lambda::start(vec![function], Rules::default()).await.unwrap();
    let url = format!("{}/2015-03-31/functions/gateway/invocations", lambda.endpoint());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.post(url).json(&json!({})).send().await.unwrap();
    std::fs::read_to_string(folder.path().join("gateway-0.log")).unwrap()
}

#[tokio::test]
async fn a_gateway_that_anybody_could_use_does_not_start() {
    let said = message("[state]\nlocation = \"file:///tmp/dunlin-none\"\n").await;
    assert!(said.contains("no API keys"), "{said}");
}

#[test]
fn the_package_knows_its_build() {
    let output = std::process::Command::new(BINARY).arg("--about").output().unwrap();
    let about: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(about["build"].as_str().unwrap().starts_with("b-"), "{about}");
}
