//! Files that statements name at a gateway: off by default, and never what only the gateway should read.

use dunlin_cli::fleet::{Fleet, Process, start_gateway};
use serde_json::json;

use crate::common::api::Api;
use crate::common::{S3, Setup, binary, unique};

/// What is said of statements over files, each on both routes.
async fn refused(api: &Api, cases: &[(&str, &str)]) {
    for (place, says) in cases {
        for route in ["inline", "fleet"] {
            let body = json!({ "sql": format!("select * from '{place}'"), "settings": { "route": route } });
            let (status, problem) = api.raw("/v1/sql", &body).await;
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(status >= 400 && detail.contains(says), "{place}: {status} {problem}");
        }
    }
}

fn gateway(files: &str) -> (Setup, Process, Api) {
    let setup = Setup::with(|state| {
        let secret = state.parent().unwrap().join("secret.csv");
        std::fs::write(secret, "password\nhunter2\n").unwrap();
        format!("[state]\nlocation = \"file://{}\"\n{files}", state.display())
    });
    let log = setup.path().join("gateway.log");
    let (process, address) = start_gateway(binary(), &setup.config, &log).unwrap();
    (setup, process, Api::new(&format!("http://{address}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_reads_no_file_that_a_statement_names_unless_it_is_told_to() {
    let (setup, _gateway, api) = gateway("");
    let secret = setup.path().join("secret.csv").display().to_string();
    let says = "statements may not name files here";
    let places = [secret.as_str(), "s3://bucket/a.parquet", "https://example.org/a.csv"];
    refused(&api, &places.map(|place| (place, says))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_may_read_files_reads_none_of_its_machine_and_of_its_network() {
    let (setup, _gateway, api) = gateway("[files]\nenabled = true\nhttps = true\n");
    let secret = setup.path().join("secret.csv").display().to_string();
    let url = format!("file://{secret}");
    let (here, inside) = ("statements may not name files of this machine", "inside of a network");
    refused(
        &api,
        &[
            (&secret, here),
            (&url, here),
            ("secret.csv", here),
            ("https://169.254.169.254/latest/meta-data/a.csv", inside),
            ("https://[::ffff:169.254.169.254]/a.csv", inside),
            ("https://localhost:9000/a.csv", inside),
            ("https://0x7f000001/a.csv", inside),
        ],
    )
    .await;
    let (setup, _gateway, api) = gateway("[files]\nenabled = true\nlocal = true\n");
    let secret = setup.path().join("secret.csv").display().to_string();
    let answer = api.sql(&format!("select count(*) as n from '{secret}'"), &json!({})).await;
    assert_eq!(answer.batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
    refused(&api, &[("https://example.org/a.csv", "set https = true in [files]")]).await;
}

/// The state may lie in the bucket of the tables. Its records hold the statements of everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_the_state_by_its_name() {
    let Some(s3) = S3::from_env() else { return };
    let state = unique("named");
    let setup = Setup::with(|_| {
        format!(
            "[state]\nlocation = \"s3://{}/{state}\"\n{}[files]\nenabled = true\n",
            s3.bucket,
            s3.params("state.params", &s3.endpoint)
        )
    });
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 1, 1).unwrap();
    let api = Api::new(&fleet.url());
    api.sql("select 1 as n", &json!({ "route": "fleet" })).await;
    let bucket = format!("s3://{}/{state}", s3.bucket);
    let places = [format!("{bucket}/**/*.json"), format!("{bucket}/end/*"), format!("{bucket}/q/")];
    let cases: Vec<(&str, &str)> = places.iter().map(|place| (place.as_str(), "")).collect();
    refused(&api, &cases).await;
}
