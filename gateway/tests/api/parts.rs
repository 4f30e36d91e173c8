//! Answers in parts: the same from every gateway, together the whole answer.

use dunlin_gateway::GatewayOptions;
use serde_json::{Value, json};

use super::site::*;

/// More than two parts of Int64.
const ROWS: i64 = 5_000_000;

/// The first and the last number of an Arrow answer, and how many there are. Panics if one is out of order.
fn numbers(bytes: &[u8]) -> (i64, i64, usize) {
    let reader = arrow_ipc::reader::StreamReader::try_new(bytes, None).unwrap();
    let (mut first, mut last, mut count) = (None, -1, 0);
    for batch in reader {
        let batch = batch.unwrap();
        let column = batch.column(0).as_any().downcast_ref::<arrow::array::Int64Array>();
        for number in column.unwrap().values() {
            assert!(first.is_none() || *number == last + 1, "{number} follows {last}");
            first.get_or_insert(*number);
            last = *number;
            count += 1;
        }
    }
    (first.unwrap_or(0), last, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_an_answer_are_the_answer_from_any_gateway() {
    let site = Site::new();
    let worker = site.worker(Outcome::Many(ROWS));
    let first = site.gateway(Some(worker), GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let body = json!({"sql": "select 1 as n", "wait_timeout": "60s", "row_limit": 10});
    let status = json(first.submit(&body).send().await.unwrap()).await;
    assert_eq!(status["status"], "SUCCEEDED");
    let own = format!("/v1/queries/{}", status["query_id"].as_str().unwrap());
    let listed = json(second.get(status["links"]["parts"].as_str().unwrap()).await).await;
    assert_eq!(listed["rows"], ROWS + 3);
    let parts = listed["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 3, "two shares of the first bucket, and the second: {listed}");
    let gateways = [&first, &second];
    let fetched = parts.iter().enumerate().map(|(at, part)| {
        let gateway = gateways[at % 2];
        let path = format!("{own}/results?part={at}&format=arrow");
        async move {
            let response = gateway.get(&path).await;
            assert_eq!(header(&response, "dunlin-parts"), "3");
            let next = header(&response, "link");
            let wanted = format!("/results?part={}>; rel=\"next\"", at + 1);
            assert_eq!(next.ends_with(&wanted), at < 2, "{next}");
            let (from, to, count) = numbers(&response.bytes().await.unwrap());
            assert_eq!(Value::from(count), part["rows"]);
            (from, to)
        }
    });
    let fetched = futures::future::join_all(fetched).await;
    let mut expected = 0;
    for ((from, to), part) in fetched.into_iter().zip(parts) {
        assert_eq!((Value::from(from), from), (part["row_offset"].clone(), expected));
        expected = to + 1;
    }
    assert_eq!(expected, ROWS + 3);
    let whole = second.get(&format!("{own}/results?format=arrow&row_limit={}", ROWS * 2)).await;
    assert_eq!(numbers(&whole.bytes().await.unwrap()), (0, ROWS + 2, 5_000_003));
    let request = second.client.get(format!("{}{own}/results?part=3", second.url));
    let (code, body) = problem(request).await;
    assert_eq!((code, body["code"].as_str()), (404, Some("NOT_FOUND")));
    let detail = body["detail"].as_str().unwrap();
    assert_eq!(detail, "the answer has 3 parts, from 0 to 2; there is no part 3");
}
