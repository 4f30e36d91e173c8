#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::model::trace::{SpanOf, span_id};
use dunlin_manifest::records::{
    EndStatus, ErrorCode, Fail, FailClass, RECORD_VERSION, TaskMetrics,
};

use super::figures::{Figures, OneAttempt, Outcome};
use super::spans::{Traced, spans};
use super::*;

const DOCUMENT: &str = include_str!("../../../docs/metrics.md");

/// The names in the first column of the document's tables.
fn documented() -> BTreeSet<String> {
    let lines = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = lines.filter_map(|line| line.split_once('`')).map(|(name, _)| name.to_owned());
    names.filter(|name| name.starts_with("dunlin_") || name.starts_with("process_")).collect()
}

#[test]
fn each_metric_is_documented_and_each_documented_metric_is_told() {
    let metrics = Metrics::new().unwrap();
    metrics.answered("/v1/sql", &http::Method::POST, 200, Duration::from_millis(3));
    metrics.refused("NO_SUCH_QUERY");
    metrics.planned("inline", Duration::from_millis(1));
    metrics.calls([("accepted", 3), ("throttled", 1), ("failed", 0)]);
    metrics.store_durations.get_or_create(&[("op", "get")]).observe(0.03);
    metrics.task_durations.get_or_create(&[("step", "total")]).observe(0.3);
    assert!(metrics.text().contains("dunlin_pool_tasks{pool=\"\"} 0\n"));
    metrics.pools(&[("big".to_owned(), 2)].into());
    metrics.pool("big");
    metrics.pool("night");
    let text = metrics.text();
    for tasks in ["dunlin_pool_tasks{pool=\"big\"} 2\n", "dunlin_pool_tasks{pool=\"night\"} 0\n"] {
        assert!(text.contains(tasks), "{text}");
    }
    metrics.pools(&BTreeMap::new());
    let text = metrics.text();
    let told: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        })
        .collect();
    assert_eq!(told, documented());
    assert!(text.contains("dunlin_pool_tasks{pool=\"big\"} 0\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains("dunlin_worker_calls_total{result=\"accepted\"} 3\n"), "{text}");
    assert!(text.contains(
        "dunlin_http_requests_total{route=\"/v1/sql\",method=\"POST\",code=\"200\"} 1\n"
    ));
}

#[test]
fn calls_that_were_told_before_are_not_counted_again() {
    let metrics = Metrics::new().unwrap();
    metrics.calls([("accepted", 3), ("throttled", 0), ("failed", 0)]);
    metrics.calls([("accepted", 5), ("throttled", 2), ("failed", 0)]);
    let text = metrics.text();
    assert!(text.contains("dunlin_worker_calls_total{result=\"accepted\"} 5\n"), "{text}");
    assert!(text.contains("dunlin_worker_calls_total{result=\"throttled\"} 2\n"), "{text}");
}

#[test]
fn a_request_that_waits_is_counted_as_long_as_it_waits() {
    let metrics = Metrics::new().unwrap();
    let (one, other) = (metrics.waiting(), metrics.waiting());
    assert!(metrics.text().contains("dunlin_clients_waiting 2\n"));
    drop(one);
    drop(other);
    assert!(metrics.text().contains("dunlin_clients_waiting 0\n"));
}

fn attempt(task: u32, attempt: u32, outcome: Outcome) -> OneAttempt {
    OneAttempt { stage: 1, task, attempt, outcome }
}

fn committed(ended_ms: u64, wall_ms: u64) -> Outcome {
    let metrics = TaskMetrics { wall_us: wall_ms * 1_000, ended_ms, ..TaskMetrics::default() };
    Outcome::Committed { worker: "w".to_owned(), metrics: Box::new(metrics) }
}

fn figures() -> Figures {
    let fail = Fail {
        v: RECORD_VERSION,
        nonce: String::new(),
        worker: "w".to_owned(),
        alone: false,
        class: FailClass::Retry,
        code: ErrorCode::ExecutionFailed,
        message: "why".to_owned(),
        began_ms: 1_100,
        ended_ms: 1_200,
    };
    Figures {
        stages: vec![(1, "scan".to_owned()), (2, "never run".to_owned())],
        attempts: vec![
            attempt(0, 0, committed(1_500, 400)),
            attempt(1, 0, Outcome::Failed(Box::new(fail))),
            attempt(1, 1, Outcome::Lost),
            attempt(1, 2, committed(1_900, 100)),
        ],
    }
}

fn traced<'a>(query: &'a QueryId, context: Option<&'a str>) -> Traced<'a> {
    Traced {
        query,
        context,
        began_ms: 1_000,
        ended_ms: 2_000,
        status: EndStatus::Succeeded,
        error: None,
        route: "fleet",
    }
}

#[test]
fn a_trace_has_the_query_its_stages_and_its_attempts() {
    let query = QueryId::at(1_000, &[1; 10]);
    let spans = spans(&traced(&query, None), &figures());
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    // Of the lost attempt nothing is known but that it was lost.
    assert_eq!(names, ["query", "stage 1", "task 0", "task 1", "task 1"]);
    assert_eq!((spans[1].began_ms, spans[1].ended_ms), (1_100, 1_900));
    assert_eq!(spans[1].parent, Some(spans[0].id));
    assert!(spans[2..].iter().all(|span| span.parent == Some(spans[1].id)));
    assert_eq!(spans[3].status, SpanStatus::Error("EXECUTION_FAILED: why".to_owned()));
    assert_eq!(spans[4].id, span_id(&query, SpanOf::Attempt(1, 1, 2)));
    let ids: BTreeSet<u64> = spans.iter().map(|span| span.id).collect();
    assert_eq!(ids.len(), spans.len());
}

#[test]
fn a_trace_continues_that_of_the_client_unless_it_is_not_recorded() {
    let query = QueryId::at(1_000, &[1; 10]);
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let of_client = spans(&traced(&query, Some(given)), &Figures::default());
    assert_eq!(of_client[0].trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    assert_eq!(of_client[0].parent, Some(0x00f0_67aa_0ba9_02b7));
    let unwanted = given.replace("-01", "-00");
    assert_eq!(spans(&traced(&query, Some(&unwanted)), &Figures::default()), []);
}
