//! Answers page by page: from any gateway, again, and with flat memory.

use dunlin_gateway::GatewayOptions;
use serde_json::Value;

use super::super::site::*;
use super::client::*;

/// Enough for several pages and several slices.
const ROWS: i64 = 2_500_000;

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_from_two_gateways_in_turns_and_a_page_asked_for_again_is_the_same() {
    let site = Site::new();
    let worker = site.worker(Outcome::Many(ROWS));
    let first = site.gateway(Some(worker), GatewayOptions::default()).await;
    let second = site.gateway(None, GatewayOptions::default()).await;
    let begun = posted(&first, "select 1 as n").await;
    let begun = begun.next().to_owned();
    // The query has ended when there are rows.
    told(|next| second.client.get(at(&second, next)), &begun).await;
    let (mut next, mut wanted, mut pages) = (begun, 0, 0_usize);
    while !next.is_empty() {
        let (here, there) =
            if pages.is_multiple_of(2) { (&first, &second) } else { (&second, &first) };
        let page = followed(here, &next).await;
        assert_eq!((page.status, &page.body["error"]), (200, &Value::Null));
        let rows = page.body["data"].as_array().cloned().unwrap_or_default();
        for row in &rows {
            assert_eq!(row[0], wanted);
            wanted += 1;
        }
        if pages.is_multiple_of(3) {
            let again = followed(there, &next).await;
            assert!(again.body["data"] == page.body["data"], "page {pages} has other rows");
            let place = |reply: &Reply| reply.next().rsplit('/').next().map(str::to_owned);
            assert_eq!(place(&again), place(&page));
        }
        let state = page.body["stats"]["state"].as_str().unwrap();
        assert_eq!(state, if page.next().is_empty() { "FINISHED" } else { "RUNNING" });
        (next, pages) = (page.next().to_owned(), pages + 1);
    }
    assert_eq!(wanted, ROWS + 3);
    assert!(pages > 4, "{pages} pages");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_some_megabytes() {
    let site = Site::new();
    let worker = site.worker(Outcome::Many(ROWS));
    let gateway = site.gateway(Some(worker), GatewayOptions::default()).await;
    let begun = posted(&gateway, "select 1 as n").await;
    let first = told(|next| gateway.client.get(next), begun.next()).await;
    let page = gateway.client.get(first.next()).send().await.unwrap();
    let bytes = page.bytes().await.unwrap().len();
    assert!((2 << 20..5 << 20).contains(&bytes), "{bytes} bytes");
}
