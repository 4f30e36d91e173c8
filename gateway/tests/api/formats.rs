//! Formats of rows, the order of columns, compression, and answers that are cut.

use std::io::Read;

use bytes::Bytes;
use dunlin_gateway::GatewayOptions;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::site::*;

/// Columns whose names are in no alphabetical order.
const UNSORTED: &str = "select 1 as zebra, 'x' as apple, true as mango";

#[tokio::test(flavor = "multi_thread")]
async fn columns_come_in_the_order_of_the_query_in_every_format() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let get = async |accept: &'static str| {
        let response = gateway.sql(UNSORTED).header("accept", accept).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(header(&response, "content-type").starts_with(accept));
        response.bytes().await.unwrap()
    };
    let object = r#"{"zebra":1,"apple":"x","mango":true}"#;
    assert_eq!(get("application/json").await, format!("[{object}]"));
    assert_eq!(get("application/jsonl").await, format!("{object}\n"));
    assert_eq!(get("text/csv").await, "zebra,apple,mango\n1,x,true\n");
    let table = "+-------+-------+-------+\n| zebra | apple | mango |\n+-------+-------+-------+\n|     1 | x     | true  |\n+-------+-------+-------+\n(1 row)\n";
    assert_eq!(get("text/plain").await, table);
    let names = ["zebra", "apple", "mango"];
    let bytes = get("application/vnd.apache.arrow.stream").await;
    let reader = arrow_ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
    let fields: Vec<_> = reader.schema().fields().iter().map(|it| it.name().clone()).collect();
    assert_eq!(fields, names);
    let bytes: Bytes = get("application/vnd.apache.parquet").await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let fields: Vec<_> = reader.schema().fields().iter().map(|it| it.name().clone()).collect();
    assert_eq!(fields, names);
    let rows: usize = reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_one_parquet_file_and_is_the_same_compressed() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let sql = "select value as n, 'row ' || value as t from generate_series(1, 300000)";
    let get = async |accept: &'static str, encoding: &'static str| {
        let request = gateway.sql(sql).header("accept", accept);
        let response = request.header("accept-encoding", encoding).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let used = header(&response, "content-encoding");
        (used, response.bytes().await.unwrap())
    };
    let (_, bytes) = get("application/vnd.apache.parquet", "zstd").await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 300_000);
    for accept in ["application/json", "text/csv", "application/vnd.apache.arrow.stream"] {
        let (none, plain) = get(accept, "identity").await;
        assert_eq!(none, "");
        let (zstd, bytes) = get(accept, "gzip, zstd").await;
        assert_eq!(zstd, "zstd");
        assert!(bytes.len() < plain.len() / 2, "{accept}: {} of {}", bytes.len(), plain.len());
        assert!(zstd::stream::decode_all(&bytes[..]).unwrap() == plain[..], "{accept}");
        let (gzip, bytes) = get(accept, "gzip").await;
        assert_eq!(gzip, "gzip");
        let mut whole = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut whole).unwrap();
        assert!(whole == plain[..], "{accept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_answer_is_not_compressed_and_names_what_it_depends_on() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let zstd = |sql| gateway.sql(sql).header("accept-encoding", "zstd");
    let short = zstd("select 1 as n").send().await.unwrap();
    assert_eq!(header(&short, "content-encoding"), "");
    assert_eq!(json(short).await, json!([{"n": 1}]));
    let long = zstd("select repeat('x', 5000) as n").send().await.unwrap();
    assert_eq!(header(&long, "content-encoding"), "zstd");
    assert_eq!(header(&long, "vary"), "accept-encoding");
    // An error stays readable for whoever asked for compression.
    let (status, _) = problem(zstd("select")).await;
    assert_eq!(status, 400);
}

/// The summary of an answer.
fn summary(response: &reqwest::Response) -> Value {
    serde_json::from_str(&header(response, "dunlin-summary")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_cut_where_the_request_says_and_says_so() {
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let ask = async |limits: Value| {
        let mut body = json!({"sql": "select value as n from generate_series(1, 10)"});
        body.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        let request = gateway.client.post(format!("{}/v1/sql", gateway.url)).json(&body);
        request.send().await.unwrap()
    };
    let whole = ask(json!({})).await;
    assert_eq!(summary(&whole).get("truncated"), None);
    let cut = ask(json!({"row_limit": 3})).await;
    assert_eq!((&summary(&cut)["truncated"], &summary(&cut)["rows"]), (&json!(true), &json!(3)));
    assert_eq!(header(&cut, "dunlin-truncated"), "true");
    assert_eq!(json(cut).await, json!([{"n": 1}, {"n": 2}, {"n": 3}]));
    let exact = ask(json!({"row_limit": 10})).await;
    assert_eq!(summary(&exact)["truncated"], json!(false));
    assert_eq!(header(&exact, "dunlin-truncated"), "");
    let bytes = ask(json!({"byte_limit": 40})).await;
    assert_eq!(summary(&bytes)["truncated"], json!(true));
    assert_eq!(json(bytes).await.as_array().unwrap().len(), 5);
    let explained = ask(json!({"sql": "explain select 1", "row_limit": 1})).await;
    assert_eq!(json(explained).await.as_array().unwrap().len(), 3, "a plan is never cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_that_is_cut_says_so_in_a_trailer() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let site = Site::new();
    let gateway = site.gateway(None, GatewayOptions::default()).await;
    let rows = 2_000_000;
    let body = json!({
        "sql": format!("select value as n from generate_series(1, {rows})"),
        "row_limit": rows - 1,
    });
    let body = body.to_string();
    let address = gateway.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /v1/sql HTTP/1.1\r\nhost: localhost\r\nte: trailers\r\naccept: application/jsonl\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let head = String::from_utf8_lossy(&answer[..2_000]).to_lowercase();
    assert!(
        head.contains("trailer: dunlin-truncated") && head.contains("\"truncated\":null"),
        "{head}"
    );
    assert!(answer.ends_with(b"0\r\ndunlin-truncated: true\r\n\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_query_hold_for_its_results_until_others_are_asked_for() {
    let site = Site::new();
    let first = site.gateway(Some(site.worker(Outcome::Rows)), GatewayOptions::default()).await;
    let body = json!({"sql": "select 1 as n", "row_limit": 2});
    let id = json(first.submit(&body).send().await.unwrap()).await["query_id"].clone();
    let path = format!("/v1/queries/{}/results", id.as_str().unwrap());
    // Another gateway knows it, too.
    let second = site.gateway(None, GatewayOptions::default()).await;
    let cut = second.get(&path).await;
    assert_eq!((&summary(&cut)["rows"], &summary(&cut)["truncated"]), (&json!(2), &json!(true)));
    assert_eq!(json(cut).await, json!([{"n": 0}, {"n": 1}]));
    let more = second.get(&format!("{path}?row_limit=4&format=csv")).await;
    assert_eq!(summary(&more)["truncated"], json!(true));
    assert_eq!(more.text().await.unwrap(), "n\n0\n1\n2\n3\n");
    let all = second.get(&format!("{path}?row_limit=5")).await;
    assert_eq!(summary(&all)["truncated"], json!(false));
    assert_eq!(json(all).await.as_array().unwrap().len(), 5);
}
