//! What a gateway tells Prometheus and a collector of the queries that it sees end.

use std::sync::Arc;
use std::time::Duration;

use dunlin_gateway::{GatewayOptions, Metrics, Span, SpanSink};
use dunlin_manifest::ids::QueryId;
use parking_lot::Mutex;
use serde_json::json;

use super::queries::{fleet, impatient};
use super::site::{Outcome, Site, json};

/// Keeps spans.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Span>>);

impl SpanSink for Kept {
    fn send(&self, spans: Vec<Span>) {
        self.0.lock().extend(spans);
    }
}

/// The value of a metric; 0 if it is not there.
fn value(metrics: &Metrics, line: &str) -> f64 {
    let text = metrics.text();
    let rest = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    rest.map_or(0.0, |value| value.parse().unwrap())
}

async fn until(what: impl Fn() -> bool) {
    let done = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), done).await.unwrap();
}

const ENDED: &str = r#"dunlin_queries_total{status="SUCCEEDED",route="fleet"}"#;
const COMMITTED: &str = r#"dunlin_tasks_total{outcome="committed"}"#;
const CONTEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test(flavor = "multi_thread")]
async fn one_of_the_gateways_tells_of_a_query_that_has_ended() {
    let site = Site::new();
    let kept: Vec<Arc<Kept>> = (0..2).map(|_| Arc::default()).collect();
    let told: Vec<Arc<Metrics>> = (0..2).map(|_| Metrics::new().unwrap()).collect();
    let options = |at: usize| GatewayOptions {
        metrics: Some(Arc::clone(&told[at])),
        spans: Some(Arc::clone(&kept[at]) as Arc<dyn SpanSink>),
        ..impatient()
    };
    let first = site.gateway(None, options(0)).await;
    let _second = site.gateway(None, options(1)).await;
    let submitted = first.submit(&fleet()).header("traceparent", CONTEXT).send().await.unwrap();
    let id = json(submitted).await["query_id"].clone();
    let query = QueryId::parse(id.as_str().unwrap()).unwrap();
    // Both see it run.
    until(|| told.iter().all(|metrics| value(metrics, "dunlin_queries_open") == 1.0)).await;
    assert!(value(&told[0], "dunlin_tasks_pending") >= 1.0);
    site.worker(Outcome::Rows).run(query.clone()).await;
    let ended = || told.iter().map(|metrics| value(metrics, ENDED)).sum::<f64>();
    until(|| ended() > 0.0 && told.iter().all(|m| value(m, "dunlin_queries_open") == 0.0)).await;
    assert_eq!(ended(), 1.0);
    assert!(told.iter().map(|metrics| value(metrics, COMMITTED)).sum::<f64>() >= 1.0);
    assert!(value(&told[0], r#"dunlin_store_requests_total{part="gateway",op="put"}"#) >= 2.0);
    until(|| kept.iter().any(|kept| !kept.0.lock().is_empty())).await;
    let spans: Vec<Span> = kept.iter().flat_map(|kept| kept.0.lock().clone()).collect();
    assert_eq!(spans.iter().filter(|span| span.name == "query").count(), 1, "{spans:?}");
    assert!(spans.iter().any(|span| span.name.starts_with("task ")), "{spans:?}");
    assert!(spans.iter().all(|span| span.trace == 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_leave_no_records_are_told_of_too() {
    let site = Site::new();
    let metrics = Metrics::new().unwrap();
    let options =
        GatewayOptions { metrics: Some(Arc::clone(&metrics)), ..GatewayOptions::default() };
    let gateway = site.gateway(None, options).await;
    assert_eq!(gateway.sql("select 1").send().await.unwrap().status(), 200);
    assert_eq!(gateway.sql("select nothing").send().await.unwrap().status(), 400);
    let broken = gateway.sql("select 1 / (value - 1) from generate_series(1, 2)").send().await;
    assert_eq!(broken.unwrap().status(), 400);
    let of = |status: &str| format!(r#"dunlin_queries_total{{status="{status}",route="inline"}}"#);
    until(|| value(&metrics, &of("SUCCEEDED")) == 1.0).await;
    until(|| value(&metrics, &of("FAILED")) == 1.0).await;
    let refused: f64 = metrics
        .text()
        .lines()
        .filter(|line| line.starts_with("dunlin_query_errors_total{"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum();
    assert_eq!(refused, 2.0);
    // A path that no route has is no label.
    assert_eq!(gateway.get("/v1/anything/of/the/client").await.status(), 404);
    let text = metrics.text();
    assert!(text.contains(r#"route="none""#) && !text.contains("anything"), "{text}");
    assert_eq!(site.objects(), 0);
    let body = json!({"sql": "select 1", "settings": {"route": "fleet"}});
    assert_ne!(gateway.submit(&body).send().await.unwrap().status(), 500);
}
