//! What queries cost on functions: receipts held to what was used, and limits.

use dunlin_cli::tpch;
use dunlin_sim::far::{Proxy, Seen};
use dunlin_sim::lambda::Call;
use serde_json::{Value, json};

use super::{Plan, SCALE, Site};
use crate::common::{S3, data};

/// What was told, and what was seen.
#[derive(Debug, Default)]
struct Sums {
    told: u64,
    seen: u64,
}

impl Sums {
    fn add(&mut self, told: u64, seen: u64) {
        (self.told, self.seen) = (self.told + told, self.seen + seen);
    }

    fn agree(&self, what: &str) {
        let Self { told, seen } = self;
        let off = told.abs_diff(*seen) * 100;
        assert!(off <= *seen * 5, "{told} {what} told, {seen} seen");
    }
}

/// Requests that are paid.
fn paid(requests: &Value) -> u64 {
    ["put", "get", "list", "head"].iter().map(|class| requests[class].as_u64().unwrap()).sum()
}

/// Those that were recorded. DELETE is free.
fn recorded<'a>(seen: impl IntoIterator<Item = &'a Seen>) -> u64 {
    seen.into_iter().filter(|seen| !matches!(seen.method.as_str(), "DELETE" | "POST")).count()
        as u64
}

fn check_sum(cost: &Value) {
    let parts = ["compute", "requests", "storage"].map(|part| cost[part].as_f64().unwrap());
    let total = cost["total"].as_f64().unwrap();
    assert!(parts.iter().all(|part| *part > 0.0), "{cost}");
    assert!((total - parts.iter().sum::<f64>()).abs() < total * 1e-9, "{cost}");
}

/// What was used is within what was expected.
fn check_estimate(number: usize, estimate: &Value, receipt: &Value) {
    let tasks = receipt["tasks"].as_u64().unwrap();
    let requests = paid(&receipt["requests"]) + paid(&receipt["requests_gateway"]);
    for (name, used) in [("tasks", tasks), ("requests", requests)] {
        let of = |end: &str| estimate[name][end].as_u64().unwrap();
        // How often a function looks for what is not there yet depends on the machine.
        let (low, high) = (of("low") * 3 / 4, of("high") * 4 / 3);
        assert!((low..=high).contains(&used), "Q{number}: {used} {name}, expected {low} to {high}");
    }
    let (expected, read) = (&estimate["bytes_scanned"], &receipt["bytes_scanned"]);
    println!("Q{number}: {expected} bytes expected, {read} read; {requests} requests");
}

/// The receipt is held to what was asked of the store, as proxies count it, and to what the emulator bills; and the
/// estimate to the receipt. They agree within 5 % if nothing else runs: beside other tests, functions ask more often
/// for what is not there yet.
#[ignore = "runs alone: scripts/test, step receipts"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_tells_what_was_used() {
    let Some(s3) = S3::from_env() else { return };
    let proxy = || Proxy::near(&s3.endpoint, &s3.bucket, |_| false);
    let (of_gateway, of_functions) = (proxy().await.unwrap(), proxy().await.unwrap());
    let through = Some((of_gateway.endpoint(), of_functions.endpoint()));
    let site = Site::start(&s3, &data(SCALE), &Plan { through, ..Plan::of(4) }).await;
    let (mut requests, mut mb_ms, mut calls) = (Sums::default(), Sums::default(), Sums::default());
    for number in [1, 3, 5, 6, 9, 12, 18, 21] {
        let sql = tpch::query(number).unwrap();
        let settings = json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 });
        let explained = site.api.explain(&sql, &settings).await;
        site.is_quiet().await;
        of_gateway.forget();
        of_functions.forget();
        let before = site.lambda.calls().len();
        let answer = site.api.sql(&sql, &settings).await;
        check_sum(&answer.summary["cost_usd"]);
        site.is_quiet().await;
        let (gateway, functions) = (of_gateway.seen(), of_functions.seen());
        let status = site.api.status(&answer.query, "0s").await;
        let receipt = &status["receipt"];
        check_estimate(number, &explained["estimate"], receipt);
        let of = |name: &str| receipt["functions"][name].as_u64().unwrap();
        let made = &site.lambda.calls()[before..];
        let bill: u64 = made.iter().map(|call: &Call| call.billed_ms * call.memory_mb).sum();
        let (told, seen) = (paid(&receipt["requests"]), recorded(&functions));
        println!(
            "Q{number}: {told} requests told, {seen} seen; {} MB-ms told, {bill} billed; {} calls told, {} made; ${}",
            of("mb_ms"),
            of("calls"),
            made.len(),
            receipt["cost_usd"]["total"],
        );
        requests.add(told, seen);
        mb_ms.add(of("mb_ms"), bill);
        calls.add(of("calls"), made.len() as u64);
        // What a gateway asks for all queries together is no part of one.
        let names = |text: &str| text.contains(&answer.query);
        let own = gateway
            .iter()
            .filter(|seen| names(&seen.key) || seen.list.as_deref().is_some_and(names));
        let (told, own) = (paid(&answer.summary["requests_gateway"]), recorded(own));
        assert!(told.abs_diff(own) <= 3 + own / 10, "{told} told, {own} seen");
    }
    requests.agree("requests");
    mb_ms.agree("MB-ms");
    calls.agree("calls");
}

/// A query ends when it has used more than it may, and says what it has cost until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_costs_more_than_it_may_is_refused_or_ended() {
    let Some(s3) = S3::from_env() else { return };
    let site = Site::start(&s3, &data(SCALE), &Plan::of(3)).await;
    let sql = tpch::query(9).unwrap();
    let settings = json!({ "route": "fleet", "target_partitions": 4, "task_bytes": 0 });
    let ask = async |limits: Value| {
        let body = json!({ "sql": sql, "settings": settings, "limits": limits });
        site.api.raw("/v1/sql", &body).await
    };
    let (status, refused) = ask(json!({ "max_bytes_scanned": 1_000 })).await;
    assert_eq!((status, refused["code"].as_str()), (422, Some("LIMIT_EXCEEDED")), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("would scan"), "{refused}");
    let (status, refused) = ask(json!({ "max_cost_usd": 0.000_000_1 })).await;
    assert_eq!((status, refused["code"].as_str()), (422, Some("LIMIT_EXCEEDED")), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("expected to cost at least"), "{refused}");
    // A join that makes far more rows than it reads: its next stage has many tasks, and one is expected. It costs four
    // times the least that is expected, on any machine.
    let grows = json!({
        "sql": "SELECT count(*), sum(c) FROM (SELECT a.o_orderkey * 1000000 + b.o_orderkey AS x, count(*) AS c
                FROM orders a, orders b WHERE a.o_orderkey < 2000 AND b.o_orderkey < 2000 GROUP BY x)",
        "settings": { "route": "fleet", "target_partitions": 16, "task_bytes": 100_000 },
    });
    let expected = site.api.raw("/v1/explain", &grows).await.1["estimate"]["cost_usd"].clone();
    let mut limited = grows.clone();
    limited["limits"] = json!({ "max_cost_usd": expected["low"].as_f64().unwrap() * 1.001 });
    let (status, ended) = site.api.raw("/v1/sql", &limited).await;
    assert_eq!((status, ended["code"].as_str()), (422, Some("LIMIT_EXCEEDED")), "{ended}");
    assert!(ended["detail"].as_str().unwrap().contains("has cost $"), "{ended}");
    let (status, _) = ask(json!({ "max_cost_usd": 1.0, "max_bytes_scanned": 1_000_000_000 })).await;
    assert_eq!(status, 200);
}
