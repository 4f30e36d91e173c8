//! Exact over a real S3 server too: state and tables in a bucket, two worker processes.

use dunlin_cli::fleet::Fleet;
use dunlin_cli::tpch;
use serde_json::json;

use crate::common::api::Api;
use crate::common::reference::Reference;
use crate::common::{S3, Setup, binary, data, scale, unique};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_over_an_s3_server_answers_tpch_exactly() {
    let Some(s3) = S3::from_env() else { return };
    let data = data(scale());
    let reference = Reference::over(&data);
    let tables = unique("oracle-tables");
    s3.upload(&data, &tables).await;
    let setup = Setup::with(|_| s3.config(&unique("oracle"), &tables, &s3.endpoint, ""));
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let api = Api::new(&fleet.url());
    let settings = json!({ "route": "fleet", "target_partitions": 3 });
    for number in 1..=22 {
        let answer = api.sql(&tpch::query(number).unwrap(), &settings).await;
        reference.check_tpch("S3, 3 partitions", number, &answer.batches);
        assert_eq!(answer.summary["route"], "fleet", "Q{number}");
    }
}
