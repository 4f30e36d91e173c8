//! The gateway is not a worker: on the fleet route it reads listings and footers, never data pages.
//!
//! The gateway reaches the S3 server through a proxy that refuses every read of a Parquet file below
//! its footer; workers reach the server directly. A read counts as one of the footer if it lies within
//! the last 512 KiB, which is what one request for an unknown footer fetches.

use std::collections::BTreeMap;

use dunlin_cli::fleet::{Fleet, Process};
use dunlin_cli::tpch;
use serde_json::json;

use crate::common::api::Api;
use crate::common::reference::Reference;
use crate::common::{S3, Setup, binary, data_in, unique};
use dunlin_sim::far::{Proxy, Seen};
use object_store::ObjectStoreExt;
use object_store::path::Path;

/// Bytes that a reader may fetch from the end of a file before it knows how long the footer is.
const HINT: u64 = 512 << 10;

/// The first byte of each file that the gateway may read, by key.
fn footers(data: &std::path::Path, prefix: &str) -> BTreeMap<String, u64> {
    let mut first = BTreeMap::new();
    for table in tpch::TABLES {
        for file in std::fs::read_dir(data.join(table)).unwrap() {
            let file = file.unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            let tail: [u8; 8] = bytes[bytes.len() - 8..].try_into().unwrap();
            assert_eq!(&tail[4..], b"PAR1");
            let footer = u64::from(u32::from_le_bytes(tail[..4].try_into().unwrap())) + 8;
            let len = bytes.len() as u64;
            let key = format!("{prefix}/{table}/{}", file.file_name().into_string().unwrap());
            first.insert(key, len.saturating_sub(footer.max(HINT)));
        }
    }
    first
}

/// Whether a request reads something of a Parquet file that lies before `first`.
fn reads_data(seen: &Seen, files: &BTreeMap<String, u64>, sizes: &BTreeMap<String, u64>) -> bool {
    let Some(&first) = files.get(&seen.key) else { return false };
    if seen.method != "GET" || first == 0 {
        return false;
    }
    let range = seen.range.as_deref().and_then(|range| range.strip_prefix("bytes="));
    let Some((from, to)) = range.and_then(|range| range.split_once('-')) else { return true };
    let from = match from {
        "" => sizes[&seen.key].saturating_sub(to.parse().unwrap()),
        from => from.parse().unwrap(),
    };
    from < first
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_reads_footers_and_no_data_on_the_fleet_route() {
    let Some(s3) = S3::from_env() else { return };
    let data = data_in(0.2, 2);
    for table in ["lineitem", "orders"] {
        for file in std::fs::read_dir(data.join(table)).unwrap() {
            let len = file.unwrap().metadata().unwrap().len();
            assert!(
                len >= 2_000_000,
                "a file of {table} is too small to tell data from footer: {len}"
            );
        }
    }
    let tables = unique("footers-tables");
    s3.upload(&data, &tables).await;
    let sizes: BTreeMap<String, u64> = tpch::TABLES
        .iter()
        .flat_map(|table| {
            std::fs::read_dir(data.join(table)).unwrap().map(move |file| (table, file))
        })
        .map(|(table, file)| {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            (format!("{tables}/{table}/{name}"), file.metadata().unwrap().len())
        })
        .collect();
    let first = footers(&data, &tables);
    let proxy = Proxy::near(&s3.endpoint, &s3.bucket, move |seen| reads_data(seen, &first, &sizes))
        .await
        .unwrap();
    let state = unique("footers");
    let setup = Setup::with(|_| s3.config(&state, &tables, &proxy.endpoint(), ""));
    let direct = setup.path().join("worker.toml");
    std::fs::write(&direct, s3.config(&state, &tables, &s3.endpoint, "")).unwrap();
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 0, 1).unwrap();
    let arguments = ["worker", "--config", &direct.display().to_string(), "--slots", "2"];
    let _worker = Process::start(binary(), &arguments, &setup.path().join("worker.log")).unwrap();
    let api = Api::new(&fleet.url());
    let reference = Reference::over(&data);
    for number in [1, 12] {
        let sql = tpch::query(number).unwrap();
        let settings = json!({ "route": "fleet", "target_partitions": 4 });
        let answer = api.sql(&sql, &settings).await;
        reference.check_tpch("a gateway that sees footers only", number, &answer.batches);
    }
    let seen = proxy.seen();
    let refused: Vec<&Seen> = seen.iter().filter(|seen| seen.refused).collect();
    assert!(refused.is_empty(), "the gateway read data pages: {refused:?}");
    assert!(
        seen.iter().any(|seen| seen.key.ends_with(".parquet") && seen.method == "GET"),
        "the gateway read footers through the proxy"
    );
    // The proxy would have noticed: what runs in the gateway cannot run behind it.
    let body = api.submit(&tpch::query(1).unwrap(), &json!({ "route": "inline" }), None).await;
    let status = api.end(&body.query(), std::time::Duration::from_secs(60)).await;
    assert_eq!(status["status"], "FAILED", "{status}");
    assert!(proxy.seen().iter().any(|seen| seen.refused), "an inline query reads data pages");
}

/// One gateway looks into the files of a table with many files. Another one reads what the first has kept in the state, and
/// plans the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_gateway_knows_what_is_inside_of_the_files() {
    let Some(s3) = S3::from_env() else { return };
    let data = data_in(0.01, 40);
    let (tables, state) = (unique("known-tables"), unique("known"));
    s3.upload(&data, &tables).await;
    let proxy = Proxy::near(&s3.endpoint, &s3.bucket, |_| false).await.unwrap();
    let setup = Setup::with(|_| s3.config(&state, &tables, &proxy.endpoint(), ""));
    let reference = Reference::over(&data);
    let sql = "select count(*) as n, min(l_shipdate) as a, max(l_comment) as b, count(l_tax) as c from lineitem where l_orderkey < 30000";
    let settings = json!({ "route": "inline", "target_partitions": 4 });
    let is_footer = |seen: &Seen| seen.key.contains("/lineitem/") && seen.method == "GET";
    let is_kept = |seen: &Seen| seen.key.contains("/use/files/");
    let mut plans = Vec::new();
    for turn in 0..3 {
        if turn == 2 {
            // One file is gone and another one is there, so nothing is kept of their group.
            let files = std::fs::read_dir(data.join("lineitem")).unwrap();
            let name = files.flatten().next().unwrap().file_name().into_string().unwrap();
            let (from, to) =
                (format!("{tables}/lineitem/{name}"), format!("{tables}/lineitem/a-{name}"));
            let (store, from, to) = (s3.store(), Path::from(from), Path::from(to));
            store.copy(&from, &to).await.unwrap();
            store.delete(&from).await.unwrap();
        }
        proxy.forget();
        let fleet = Fleet::start(binary(), &setup.config, setup.path(), 0, 1).unwrap();
        let api = Api::new(&fleet.url());
        let explained = api.explain(sql, &settings).await;
        plans.push(explained["physical_plan"].clone());
        let seen = proxy.seen();
        let footers = seen.iter().filter(|seen| is_footer(seen)).count();
        let (puts, gets): (Vec<&Seen>, Vec<&Seen>) =
            seen.iter().filter(|seen| is_kept(seen)).partition(|seen| seen.method == "PUT");
        println!("{footers} footers, {} puts, {} gets", puts.len(), gets.len());
        match turn {
            0 => assert!(footers >= 40 && puts.len() == 1, "{footers} {puts:?}"),
            1 => assert!(footers == 0 && puts.is_empty() && gets.len() == 1, "{footers} {gets:?}"),
            _ => assert!(footers >= 40 && puts.len() == 1, "{footers} {puts:?}"),
        }
        let answer = api.sql(sql, &settings).await;
        reference.check("what is known", sql, &answer.batches);
    }
    assert!(plans[0].is_string() && plans[0] == plans[1]);
}
