//! How many requests wait for one another, counted by a proxy that answers as late as a store that is far away.

use std::time::Duration;

use dunlin_cli::fleet::Fleet;
use dunlin_cli::tpch;
use dunlin_sim::far::{Latency, Profile, Proxy, Span, longest_chain, spans};
use serde_json::json;

use crate::common::api::Api;
use crate::common::{S3, Setup, binary, data, unique};

/// The proxy also sees the polls of idle workers, and a busy machine delays them. The best of so many runs shows what
/// the protocol needs.
const RUNS: usize = 7;

/// A statement, and how many requests may wait for one another until its first claim and until its answer.
struct Case {
    name: &'static str,
    sql: &'static str,
    partitions: usize,
    to_claim: usize,
    to_answer: usize,
}

const CASES: [Case; 4] = [
    Case {
        name: "one stage of one task",
        sql: "select n_name from nation where n_nationkey = 7",
        partitions: 1,
        // live -> root -> (root, end, list) -> claim
        to_claim: 4,
        // … -> end -> end
        to_answer: 6,
    },
    Case {
        name: "two stages, scan and answer",
        sql: "select count(*) as c from nation",
        partitions: 4,
        to_claim: 4,
        // … -> commit -> (the commits of the others) -> claim -> end -> end
        to_answer: 10,
    },
    Case {
        name: "three stages",
        sql: "select r_name, count(*) as c from region group by r_name order by r_name",
        partitions: 4,
        to_claim: 4,
        // … -> commit -> commits -> claim -> commit -> commits -> claim -> end -> end
        to_answer: 18,
    },
    Case {
        name: "a stage of some twenty tasks in two slots",
        sql: "select n_name, count(*) as c from nation group by n_name",
        partitions: 32,
        to_claim: 4,
        // … -> commit -> commits -> (claim -> commit), for four tasks of a slot at once -> end -> end: about 18. A slot
        // that waited for its claims would need 25.
        to_answer: 22,
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_requests_wait_for_one_another() {
    let Some(s3) = S3::from_env() else { return };
    let latency = Latency::new(Profile::Even, 1);
    let proxy = Proxy::start(&s3.endpoint, &s3.bucket, latency, |_| false).await.unwrap();
    let state = unique("chains");
    let tables = tpch::tables_toml(&format!("file://{}/", data(0.01).display()));
    let setup = Setup::with(|_| {
        let params = s3.params("state.params", &proxy.endpoint());
        format!("[state]\nlocation = \"s3://{}/{state}\"\n{params}\n{tables}", s3.bucket)
    });
    let fleet = Fleet::start(binary(), &setup.config, setup.path(), 2, 1).unwrap();
    let api = Api::new(&fleet.url());
    for case in &CASES {
        let settings =
            json!({ "route": "fleet", "target_partitions": case.partitions, "task_bytes": 0 });
        // Footers and connections are no part of the protocol.
        api.sql(case.sql, &settings).await;
        let (mut to_claim, mut to_answer) = (usize::MAX, usize::MAX);
        let mut shortest = Vec::new();
        for _ in 0..RUNS {
            proxy.forget();
            let answer = api.sql(case.sql, &settings).await;
            let all = spans(&answer.query, &proxy.seen());
            let first = all.iter().filter(|span| span.kind == "PUT claim").map(|span| span.end);
            let first = first.min().unwrap_or(Duration::MAX);
            let before: Vec<Span> = all.iter().filter(|span| span.end <= first).cloned().collect();
            to_claim = to_claim.min(longest_chain(&before).len());
            let chain = longest_chain(&all);
            if chain.len() < to_answer {
                to_answer = chain.len();
                shortest = chain.iter().map(|span| span.kind.clone()).collect();
            }
        }
        println!(
            "{}: {to_claim} steps to a claim, {to_answer} to the answer: {shortest:?}",
            case.name
        );
        assert!(to_claim <= case.to_claim, "{}: {to_claim} steps to a claim", case.name);
        assert!(to_answer <= case.to_answer, "{}: {to_answer} steps: {shortest:?}", case.name);
    }
}
