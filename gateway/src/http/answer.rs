//! Answers: a stream of batches becomes a response, in the client's format and with bounded memory.
//!
//! ```text
//!  batches ──encode──> chunks ──look ahead──> 200, headers, body
//!                                  │
//!                                  └─ an error here is still a problem+json
//! ```
//!
//! A status line cannot be changed after it is sent, so an answer first **looks ahead**. It always waits for the
//! first rows, and then for a little more, within limits of bytes and time. Most answers end inside the look-ahead.
//! They are sent whole, with an exact row count and a `Content-Length`, and all their errors are typed. Longer
//! answers are streamed. An error after the first byte is the last line of JSONL. In every other format it breaks off
//! the body, so that no client takes a part for the whole.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_planner::cost::Tariff;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as HttpBody, Frame};

use super::encode::{Chunk, encode};
use super::format::Format;
use super::problem::ApiError;
use super::respond::mark;
use crate::query::answer::Answer;
use crate::query::cached::Source;
use crate::query::cut::Cut;

/// Whether rows were left out because of a limit of the request: a header, or a trailer of an answer that was sent before
/// that was known.
const TRUNCATED: &str = "dunlin-truncated";

/// How long an answer that has rows may look ahead. An exact row count never delays the first byte by more than this.
const LOOK_AHEAD_TIME: Duration = Duration::from_secs(1);

/// An answer, with the data that only HTTP needs.
pub(crate) struct Envelope {
    pub(crate) answer: Answer,
    pub(crate) source: Source,
    /// When the request was received, by `env`'s clock.
    pub(crate) received: Duration,
}

/// Answers with rows, and holds at most about `buffer` encoded bytes. Resolves when the headers can be sent.
pub(crate) async fn answer(
    env: &Env,
    tariff: &Tariff,
    format: Format,
    buffer: usize,
    Envelope { answer, source, received }: Envelope,
) -> Result<Response, ApiError> {
    let Answer { query, rows, mut receipt, meter, cut, parts } = answer;
    let mut chunks = encode(format, rows, cut.clone());
    let ahead = look_ahead(env, buffer, &mut chunks).await.map_err(|error| error.about(&query))?;
    let mut has_trailer = false;
    let body = match ahead {
        Ahead::Whole { bytes, rows } => {
            receipt.rows.get_or_insert(rows);
            if let Some(cut) = &cut {
                receipt.truncated = Some(cut.known());
            }
            Body::from(bytes)
        }
        Ahead::Part { bytes } => {
            let first = futures::stream::once(async move { Ok(bytes) });
            let rows = Box::pin(first.chain(tail(format, chunks, query.clone())));
            // Whether rows were left out is known at the end.
            let unknown = cut.filter(|_| receipt.truncated == Some(None));
            has_trailer = unknown.is_some();
            Body::new(Sent { rows, cut: unknown })
        }
    };
    if let Some(meter) = &meter {
        receipt.requests = meter.snapshot().requests;
    }
    let elapsed = env.clock.monotonic().saturating_sub(received);
    let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    receipt.wall_ms = receipt.wall_ms.max(elapsed);
    receipt.function_gateway = tariff.answering(elapsed);
    receipt.price(tariff);
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(parts) = parts {
        headers.insert("dunlin-parts", HeaderValue::from(parts));
    }
    if has_trailer {
        headers.insert(TRAILER, HeaderValue::from_static(TRUNCATED));
    }
    if receipt.truncated == Some(Some(true)) {
        headers.insert(TRUNCATED, HeaderValue::from_static("true"));
    }
    let summary = serde_json::to_string(&receipt).unwrap_or_default();
    if let Ok(value) = HeaderValue::from_str(&summary) {
        headers.insert("dunlin-summary", value);
    }
    mark(&mut response, &query, source);
    Ok(response)
}

/// The rest of a long answer. If it may have been cut, a trailer tells whether it was.
struct Sent<S> {
    rows: Pin<Box<S>>,
    cut: Option<Cut>,
}

impl<S: Stream<Item = Result<Bytes, ApiError>> + Send> HttpBody for Sent<S> {
    type Data = Bytes;
    type Error = ApiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ApiError>>> {
        match self.rows.as_mut().poll_next(context) {
            Poll::Ready(Some(bytes)) => Poll::Ready(Some(bytes.map(Frame::data))),
            Poll::Ready(None) => {
                let known = self.cut.take().and_then(|cut| cut.known());
                Poll::Ready(known.map(|is_cut| {
                    let value = HeaderValue::from_static(if is_cut { "true" } else { "false" });
                    let trailers =
                        HeaderMap::from_iter([(HeaderName::from_static(TRUNCATED), value)]);
                    Ok(Frame::trailers(trailers))
                }))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

enum Ahead {
    /// The whole answer.
    Whole { bytes: Bytes, rows: u64 },
    /// The first part of an answer that has more.
    Part { bytes: Bytes },
}

async fn look_ahead(
    env: &Env,
    buffer: usize,
    chunks: &mut BoxStream<'static, Result<Chunk, ApiError>>,
) -> Result<Ahead, ApiError> {
    let mut held: Vec<u8> = Vec::new();
    let mut rows = 0u64;
    let mut deadline = None;
    loop {
        let next = match &mut deadline {
            None => chunks.next().await,
            Some(sleep) => match futures::future::select(chunks.next(), sleep).await {
                futures::future::Either::Left((next, _)) => next,
                futures::future::Either::Right(_) => return Ok(Ahead::Part { bytes: held.into() }),
            },
        };
        let Some(chunk) = next.transpose()? else {
            return Ok(Ahead::Whole { bytes: held.into(), rows });
        };
        held.extend_from_slice(&chunk.bytes);
        rows += chunk.rows;
        if rows > 0 && deadline.is_none() {
            deadline = Some(env.clock.sleep(LOOK_AHEAD_TIME));
        }
        if held.len() >= buffer {
            return Ok(Ahead::Part { bytes: held.into() });
        }
    }
}

/// The rest of an answer whose headers were sent.
fn tail(
    format: Format,
    chunks: BoxStream<'static, Result<Chunk, ApiError>>,
    query: QueryId,
) -> impl Stream<Item = Result<Bytes, ApiError>> + Send {
    let state = Some((chunks, query));
    futures::stream::unfold(state, move |state| async move {
        let (mut chunks, query) = state?;
        match chunks.next().await? {
            Ok(chunk) => Some((Ok(chunk.bytes), Some((chunks, query)))),
            Err(error) => {
                let error = error.about(&query);
                tracing::warn!(
                    %query,
                    code = %error.code(),
                    "an answer broke off after its first byte"
                );
                let last = if format == Format::JsonLines {
                    Ok(Bytes::from(format!("{}\n", error.as_line())))
                } else {
                    Err(error)
                };
                Some((last, None))
            }
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use dunlin_manifest::records::{Route, Summary};

    use super::*;
    use crate::query::answer::Receipt;
    use arrow::array::{
        ArrayRef, Float64Array, Int64Array, Int64Builder, ListBuilder, RecordBatch, StringArray,
        StructArray,
    };
    use arrow::error::ArrowError;
    use arrow_schema::{DataType, Field, SchemaRef};
    use datafusion::error::DataFusionError;
    use datafusion::execution::SendableRecordBatchStream;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use serde_json::{Value, json};

    const BUFFER: usize = 4 << 20;
    const QUERY: &str = "0190a000-0000-7000-8000-000000000000";

    fn nested_batch() -> RecordBatch {
        let mut list = ListBuilder::new(Int64Builder::new());
        list.append_value([Some(1), None]);
        list.append_null();
        let inner = Arc::new(StringArray::from(vec![Some("x,\"y\""), None])) as ArrayRef;
        let inner_field = Arc::new(Field::new("t", DataType::Utf8, true));
        let structs = StructArray::from(vec![(inner_field, inner)]);
        RecordBatch::try_from_iter_with_nullable(vec![
            ("id", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef, true),
            ("name", Arc::new(StringArray::from(vec![None, Some("a, b")])) as ArrayRef, true),
            ("list", Arc::new(list.finish()) as ArrayRef, true),
            ("point", Arc::new(structs) as ArrayRef, true),
        ])
        .unwrap()
    }

    fn numbers(from: i64, to: i64) -> RecordBatch {
        let column = Arc::new(Int64Array::from_iter_values(from..to)) as ArrayRef;
        RecordBatch::try_from_iter_with_nullable(vec![("n", column, true)]).unwrap()
    }

    fn stream(
        schema: SchemaRef,
        items: Vec<Result<RecordBatch, DataFusionError>>,
    ) -> SendableRecordBatchStream {
        Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(items)))
    }

    async fn respond(
        format: Format,
        schema: SchemaRef,
        items: Vec<Result<RecordBatch, DataFusionError>>,
    ) -> Result<Response, ApiError> {
        answer(&Env::system(), &Tariff::default(), format, BUFFER, envelope(stream(schema, items)))
            .await
    }

    fn envelope(rows: SendableRecordBatchStream) -> Envelope {
        let query = QueryId::parse(QUERY).unwrap();
        let receipt =
            Receipt::of(Route::Inline, &Summary { bytes_scanned: 7, ..Summary::default() });
        let answer = Answer { query, rows, receipt, meter: None, cut: None, parts: None };
        Envelope { answer, source: Source::RUN, received: Duration::ZERO }
    }

    async fn body(response: Response) -> Result<Bytes, axum::Error> {
        axum::body::to_bytes(response.into_body(), usize::MAX).await
    }

    async fn text(format: Format, batches: Vec<RecordBatch>) -> String {
        let schema = batches[0].schema();
        let items = batches.into_iter().map(Ok).collect();
        let response = respond(format, schema, items).await.unwrap();
        String::from_utf8(body(response).await.unwrap().to_vec()).unwrap()
    }

    fn divided() -> DataFusionError {
        DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None)
    }

    #[tokio::test]
    async fn json_keeps_null_keys_and_nested_values() {
        let rows: Value =
            serde_json::from_str(&text(Format::Json, vec![nested_batch()]).await).unwrap();
        assert_eq!(
            rows,
            json!([
                {"id": 1, "name": null, "list": [1, null], "point": {"t": "x,\"y\""}},
                {"id": null, "name": "a, b", "list": null, "point": {"t": null}},
            ])
        );
    }

    #[tokio::test]
    async fn json_of_several_batches_is_one_array() {
        let all = text(Format::Json, vec![numbers(0, 2), numbers(2, 2), numbers(2, 3)]).await;
        assert_eq!(all, r#"[{"n":0},{"n":1},{"n":2}]"#);
    }

    #[tokio::test]
    async fn jsonl_has_one_object_a_line() {
        let all = text(Format::JsonLines, vec![numbers(0, 1), numbers(1, 2)]).await;
        assert_eq!(all, "{\"n\":0}\n{\"n\":1}\n");
    }

    #[tokio::test]
    async fn csv_has_one_header_and_quotes_what_needs_it() {
        let all = text(Format::Csv, vec![numbers(0, 1), numbers(1, 2)]).await;
        assert_eq!(all, "n\n0\n1\n");
        let nested = text(Format::Csv, vec![nested_batch()]).await;
        assert_eq!(
            nested,
            "id,name,list,point\n1,,\"[1,null]\",\"{\"\"t\"\":\"\"x,\\\"\"y\\\"\"\"\"}\"\n,\"a, b\",,\"{\"\"t\"\":null}\"\n"
        );
    }

    #[tokio::test]
    async fn numbers_that_json_cannot_write_are_null() {
        let column = Arc::new(Float64Array::from(vec![f64::NAN, 0.5])) as ArrayRef;
        let batch = RecordBatch::try_from_iter(vec![("f", column)]).unwrap();
        assert_eq!(text(Format::JsonLines, vec![batch]).await, "{\"f\":null}\n{\"f\":0.5}\n");
    }

    #[tokio::test]
    async fn an_arrow_answer_is_a_complete_stream() {
        let batches = vec![nested_batch(), nested_batch()];
        let items = batches.iter().cloned().map(Ok).collect();
        let response = respond(Format::Arrow, batches[0].schema(), items).await.unwrap();
        let bytes = body(response).await.unwrap();
        let reader = arrow_ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
        assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), batches);
    }

    #[tokio::test]
    async fn an_empty_answer_has_its_schema_in_every_format() {
        for batches in [vec![], vec![numbers(0, 0)]] {
            let schema = nested_batch().schema();
            let items = |batches: &Vec<RecordBatch>| {
                batches
                    .iter()
                    .map(|_| Ok(RecordBatch::new_empty(nested_batch().schema())))
                    .collect()
            };
            let get = async |format| {
                let response = respond(format, Arc::clone(&schema), items(&batches)).await.unwrap();
                assert!(
                    response.headers()["dunlin-summary"].to_str().unwrap().contains(r#""rows":0,"#)
                );
                body(response).await.unwrap()
            };
            assert_eq!(&get(Format::Json).await[..], b"[]");
            assert_eq!(&get(Format::JsonLines).await[..], b"");
            assert_eq!(&get(Format::Csv).await[..], b"id,name,list,point\n");
            let bytes = get(Format::Arrow).await;
            let reader = arrow_ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap();
            assert_eq!(reader.schema(), schema);
            assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 0);
        }
    }

    #[tokio::test]
    async fn a_short_answer_tells_its_rows_and_what_it_took() {
        let response =
            respond(Format::Json, numbers(0, 3).schema(), vec![Ok(numbers(0, 3))]).await.unwrap();
        let summary: Value =
            serde_json::from_str(response.headers()["dunlin-summary"].to_str().unwrap()).unwrap();
        assert_eq!(summary["route"], "inline");
        assert_eq!(summary["rows"], 3);
        assert_eq!(summary["bytes_scanned"], 7);
        assert_eq!(summary["requests"]["put"], 0);
        assert!(summary["wall_ms"].is_u64());
        assert_eq!(response.headers()["dunlin-query-id"], QUERY);
        assert!(!response.headers().contains_key("idempotent-replayed"));
    }

    #[tokio::test]
    async fn an_error_before_the_headers_is_a_typed_error() {
        let items = vec![Ok(numbers(0, 1)), Err(divided())];
        let error = respond(Format::Json, numbers(0, 1).schema(), items).await.unwrap_err();
        assert_eq!(error.problem().code.as_str(), "EXECUTION_FAILED");
        assert_eq!(error.problem().status, 400);
        assert_eq!(error.problem().query_id.as_deref(), Some(QUERY));
    }

    #[tokio::test]
    async fn an_error_after_the_headers_ends_jsonl_with_a_line_and_breaks_off_the_others() {
        let big = || Ok(numbers(0, 1_000_000));
        let items = || vec![big(), big(), Err(divided()), big()];
        let schema = numbers(0, 1).schema();
        let response = respond(Format::JsonLines, Arc::clone(&schema), items()).await.unwrap();
        let all = String::from_utf8(body(response).await.unwrap().to_vec()).unwrap();
        assert_eq!(all.lines().count(), 2_000_001);
        let last: Value = serde_json::from_str(all.lines().last().unwrap()).unwrap();
        assert_eq!(last["error"]["code"], "EXECUTION_FAILED");
        for format in [Format::Json, Format::Csv, Format::Arrow] {
            let response = respond(format, Arc::clone(&schema), items()).await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(body(response).await.is_err(), "{format:?}");
        }
    }

    #[tokio::test]
    async fn a_long_answer_is_sent_before_it_is_complete() {
        let schema = numbers(0, 1).schema();
        let endless = futures::stream::repeat_with(|| Ok(numbers(0, 8_192)));
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, endless));
        let response =
            answer(&Env::system(), &Tariff::default(), Format::Json, BUFFER, envelope(rows))
                .await
                .unwrap();
        let summary = response.headers()["dunlin-summary"].to_str().unwrap().to_owned();
        assert!(summary.contains(r#""rows":null"#));
        let mut data = response.into_body().into_data_stream();
        for _ in 0..20 {
            assert!(!data.next().await.unwrap().unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn no_more_than_the_buffer_and_one_chunk_is_held() {
        const WIDE: usize = 10_000;
        let column = Arc::new(StringArray::from(vec!["x".repeat(WIDE); 8_192])) as ArrayRef;
        let wide = RecordBatch::try_from_iter(vec![("s", column)]).unwrap();
        let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let endless = futures::stream::repeat_with(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(wide.clone())
        });
        let schema = nested_batch().project(&[1]).unwrap().schema();
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, endless));
        let buffer = 100_000;
        let response =
            answer(&Env::system(), &Tariff::default(), Format::JsonLines, buffer, envelope(rows))
                .await
                .unwrap();
        let mut data = response.into_body().into_data_stream();
        // 80 MB of rows are available, and only a few are encoded.
        for _ in 0..10 {
            assert!(data.next().await.unwrap().unwrap().len() <= buffer + (3 << 20));
        }
        assert_eq!(made.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_not_an_end() {
        let schema = numbers(0, 1).schema();
        let panics = futures::stream::once(async { panic!("on purpose") });
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, panics));
        let error =
            answer(&Env::system(), &Tariff::default(), Format::Json, BUFFER, envelope(rows))
                .await
                .unwrap_err();
        assert_eq!(error.problem().code.as_str(), "INTERNAL");
    }
}
