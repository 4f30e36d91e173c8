//! Sends the traces of queries to a collector, by OTLP over HTTP, if the environment names one
//! (`OTEL_EXPORTER_OTLP_ENDPOINT`, and the other variables of OpenTelemetry: headers, timeout, `OTEL_SERVICE_NAME`).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use dunlin_gateway::{Span, SpanSink, SpanStatus};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::task::TaskTracker;

/// Either of them turns traces on.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// Queries whose spans wait to be sent. Those of more are dropped: a collector that hangs costs traces and nothing else.
const WAITING: usize = 256;
/// How long a process that ends waits for the last spans.
const PATIENCE: Duration = Duration::from_secs(5);

/// A collector.
#[derive(Debug)]
pub(crate) struct Otlp {
    exporter: Arc<Mutex<OtlpExporter>>,
    waiting: Arc<Semaphore>,
    sending: TaskTracker,
}

impl Otlp {
    /// The collector that the environment names, if it names one.
    ///
    /// # Errors
    /// Variables that cannot be used.
    pub(crate) fn from_env() -> Result<Option<Arc<Self>>> {
        let is_set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
        if !ENDPOINTS.into_iter().any(is_set) {
            return Ok(None);
        }
        let mut exporter = OtlpExporter::builder()
            .with_http()
            .with_http_client(Client(reqwest::Client::new()))
            .build()
            .context("traces cannot be sent: the variables OTEL_EXPORTER_OTLP_… cannot be used")?;
        let mut about = Resource::builder();
        if !is_set(SERVICE_NAME) {
            about = about.with_service_name("dunlin");
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        exporter.set_resource(&about.with_attribute(version).build());
        Ok(Some(Arc::new(Self {
            exporter: Arc::new(Mutex::new(exporter)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            sending: TaskTracker::new(),
        })))
    }

    /// Waits until what was taken is sent, for a while.
    pub(crate) async fn close(&self) {
        self.sending.close();
        let _ = tokio::time::timeout(PATIENCE, self.sending.wait()).await;
    }
}

impl SpanSink for Otlp {
    fn send(&self, spans: Vec<Span>) {
        if spans.is_empty() {
            return;
        }
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return tracing::debug!("spans are dropped: the collector is slow");
        };
        let exporter = Arc::clone(&self.exporter);
        self.sending.spawn(async move {
            let batch = spans.into_iter().map(data).collect();
            if let Err(error) = exporter.lock().await.export(batch).await {
                tracing::debug!(%error, "spans are lost");
            }
            drop(place);
        });
    }
}

fn data(span: Span) -> SpanData {
    let time = |ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(SystemTime::now());
    let context = SpanContext::new(
        TraceId::from(span.trace),
        SpanId::from(span.id),
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    );
    SpanData {
        span_context: context,
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: span.is_outermost,
        span_kind: if span.is_outermost { SpanKind::Server } else { SpanKind::Internal },
        name: span.name.into(),
        start_time: time(span.began_ms),
        end_time: time(span.ended_ms),
        attributes: span
            .attributes
            .into_iter()
            .map(|(name, value)| KeyValue::new(name, value))
            .collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: match span.status {
            SpanStatus::Ok => Status::Ok,
            SpanStatus::Error(message) => Status::error(message),
        },
        instrumentation_scope: InstrumentationScope::builder("dunlin").build(),
    }
}

/// The HTTP client that the rest of the program uses.
#[derive(Debug)]
struct Client(reqwest::Client);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.execute(request.try_into()?).await?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            headers.clone_from(answer.headers());
        }
        Ok(response.body(answer.bytes().await?)?)
    }
}
