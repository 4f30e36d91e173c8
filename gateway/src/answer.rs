//! Answers: a stream of batches becomes a response, in the client's format and in bounded memory.
//!
//! ```text
//!  batches ──encode──> chunks ──look ahead──> 200, headers, body
//!                                  │
//!                                  └─ an error here is still a problem+json
//! ```
//!
//! A status line cannot be taken back, so an answer first **looks ahead**: the first rows are always
//! awaited, and a little more (bytes and time are bounded) while it lasts. Most answers end inside the
//! look-ahead: they are sent whole, with an exact row count and a `Content-Length`, and all of their
//! errors are typed. Longer ones stream; an error after the first byte is the last line of JSONL, and
//! breaks off the body of every other format, so that no client takes a part for the whole.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, JsonArray, LineDelimited, make_encoder};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use dunlin_manifest::env::Env;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::records::Requests;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;

use crate::problem::ApiError;
use crate::request::Format;

/// Encoded bytes that an answer may hold before its headers are sent.
const LOOK_AHEAD_BYTES: usize = 4 << 20;
/// How long an answer that has rows may go on looking ahead: the price of an exact row count is
/// never more than this much delay of the first byte.
const LOOK_AHEAD_TIME: Duration = Duration::from_secs(1);
/// Rows encoded at once, so that one huge batch does not become one huge chunk.
const CHUNK_ROWS: usize = 8_192;

/// `Dunlin-Summary`: what the answer took.
#[derive(Clone, Debug, Serialize)]
pub struct AnswerSummary {
    /// `inline` or `fleet`.
    pub route: String,
    /// Rows of the answer; `null` if an inline answer was still growing when its headers were sent.
    pub rows: Option<u64>,
    /// Stages; 0 if the gateway ran the plan itself.
    pub stages: u64,
    /// Tasks; 0 if the gateway ran the plan itself.
    pub tasks: u64,
    /// Attempts that were claimed.
    pub attempts: u64,
    /// Bytes read from tables.
    pub bytes_scanned: u64,
    /// Bytes written to the exchange.
    pub shuffle_bytes: u64,
    /// Requests that the query's workers made; of an inline answer, those of this process for the
    /// tables until the headers were sent. Those of the gateway's own waiting are not counted.
    pub requests: Requests,
    /// Milliseconds from the receipt of the request to the answer's headers, by this gateway's clock; or
    /// what the query itself took by the store's stamps, where that is more (its answer is fetched later).
    pub wall_ms: u64,
}

/// What a response carries besides its rows.
pub(crate) struct Envelope {
    pub(crate) query: String,
    pub(crate) replayed: bool,
    pub(crate) summary: AnswerSummary,
    /// Counts the requests of an answer that this process computes; read when the headers are sent.
    pub(crate) meter: Option<Arc<Meter>>,
    /// When the request was received, by `env`'s clock.
    pub(crate) received: Duration,
}

/// Encoded rows.
struct Chunk {
    bytes: Bytes,
    rows: u64,
}

/// Answers with `rows`. Resolves when the headers can be sent.
pub(crate) async fn answer(
    env: &Env,
    format: Format,
    rows: SendableRecordBatchStream,
    mut envelope: Envelope,
) -> Result<Response, ApiError> {
    let query = envelope.query.clone();
    let mut chunks = encode(format, rows);
    let ahead = look_ahead(env, &mut chunks).await.map_err(|error| error.about(&query))?;
    let body = match ahead {
        Ahead::Whole { bytes, rows } => {
            envelope.summary.rows.get_or_insert(rows);
            Body::from(bytes)
        }
        Ahead::Part { bytes } => {
            let first = futures::stream::once(async move { Ok(bytes) });
            Body::from_stream(first.chain(tail(format, chunks, query)))
        }
    };
    if let Some(meter) = &envelope.meter {
        envelope.summary.requests = meter.snapshot().requests;
    }
    let elapsed = env.clock.monotonic().saturating_sub(envelope.received);
    let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    envelope.summary.wall_ms = envelope.summary.wall_ms.max(elapsed);
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&envelope.query) {
        headers.insert("dunlin-query-id", value);
    }
    if envelope.replayed {
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    let summary = serde_json::to_string(&envelope.summary).unwrap_or_default();
    if let Ok(value) = HeaderValue::from_str(&summary) {
        headers.insert("dunlin-summary", value);
    }
    Ok(response)
}

enum Ahead {
    /// The whole answer.
    Whole { bytes: Bytes, rows: u64 },
    /// The beginning of an answer that goes on.
    Part { bytes: Bytes },
}

async fn look_ahead(
    env: &Env,
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
        if held.len() >= LOOK_AHEAD_BYTES {
            return Ok(Ahead::Part { bytes: held.into() });
        }
    }
}

/// The rest of an answer whose headers were sent.
fn tail(
    format: Format,
    chunks: BoxStream<'static, Result<Chunk, ApiError>>,
    query: String,
) -> impl Stream<Item = Result<Bytes, ApiError>> + Send {
    let state = Some((chunks, query));
    futures::stream::unfold(state, move |state| async move {
        let (mut chunks, query) = state?;
        match chunks.next().await? {
            Ok(chunk) => Some((Ok(chunk.bytes), Some((chunks, query)))),
            Err(error) => {
                let error = error.about(&query);
                tracing::warn!(
                    query,
                    code = error.code(),
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

/// Encodes batches as they come. A panic of an operator or an encoder becomes an error: it must not
/// look like the end of the answer.
fn encode(
    format: Format,
    rows: SendableRecordBatchStream,
) -> BoxStream<'static, Result<Chunk, ApiError>> {
    enum State {
        Start(SendableRecordBatchStream),
        Rows(SendableRecordBatchStream, Box<Encoder>, Option<(RecordBatch, usize)>),
        End,
    }
    let steps = futures::stream::try_unfold(State::Start(rows), move |state| async move {
        let (rows, mut encoder, mut batch) = match state {
            State::Start(rows) => {
                let (encoder, bytes) = Encoder::start(format, &rows.schema()).map_err(encoding)?;
                let next = State::Rows(rows, Box::new(encoder), None);
                return Ok(Some((Chunk { bytes, rows: 0 }, next)));
            }
            State::Rows(rows, encoder, batch) => (rows, encoder, batch),
            State::End => return Ok(None),
        };
        let mut rows = rows;
        let (current, from) = loop {
            if let Some((current, from)) = batch.take()
                && from < current.num_rows()
            {
                break (current, from);
            }
            match rows.next().await {
                Some(Ok(next)) => batch = Some((next, 0)),
                Some(Err(error)) => return Err(ApiError::rows(&error)),
                None => {
                    let bytes = encoder.finish().map_err(encoding)?;
                    return Ok(Some((Chunk { bytes, rows: 0 }, State::End)));
                }
            }
        };
        let count = CHUNK_ROWS.min(current.num_rows() - from);
        let bytes = encoder.push(&current.slice(from, count)).map_err(encoding)?;
        let chunk = Chunk { bytes, rows: count as u64 };
        Ok::<_, ApiError>(Some((chunk, State::Rows(rows, encoder, Some((current, from + count))))))
    });
    AssertUnwindSafe(steps)
        .catch_unwind()
        .map(|item| item.unwrap_or_else(|_| Err(ApiError::internal("an operator panicked"))))
        .boxed()
}

fn encoding(error: ArrowError) -> ApiError {
    ApiError::rows(&DataFusionError::ArrowError(Box::new(error), None))
}

/// One answer's encoder. Bytes are taken out after every batch, so it never holds more than one.
enum Encoder {
    Json(arrow::json::Writer<Vec<u8>, JsonArray>),
    JsonLines(arrow::json::Writer<Vec<u8>, LineDelimited>),
    Csv,
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Encoder {
    /// An encoder, and what comes before the first row.
    fn start(format: Format, schema: &SchemaRef) -> Result<(Self, Bytes), ArrowError> {
        let json = || arrow::json::WriterBuilder::new().with_explicit_nulls(true);
        let mut encoder = match format {
            Format::Json => Self::Json(json().build(Vec::new())),
            Format::JsonLines => Self::JsonLines(json().build(Vec::new())),
            Format::Csv => Self::Csv,
            Format::Arrow => Self::Arrow(Box::new(StreamWriter::try_new(Vec::new(), schema)?)),
        };
        let bytes = match &mut encoder {
            Self::Csv => csv(&RecordBatch::new_empty(Arc::clone(schema)), true)?,
            Self::Arrow(writer) => std::mem::take(writer.get_mut()),
            Self::Json(_) | Self::JsonLines(_) => Vec::new(),
        };
        Ok((encoder, bytes.into()))
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<Bytes, ArrowError> {
        let bytes = match self {
            Self::Json(writer) => {
                writer.write(batch)?;
                std::mem::take(writer.get_mut())
            }
            Self::JsonLines(writer) => {
                writer.write(batch)?;
                std::mem::take(writer.get_mut())
            }
            Self::Csv => csv(batch, false)?,
            Self::Arrow(writer) => {
                writer.write(batch)?;
                std::mem::take(writer.get_mut())
            }
        };
        Ok(bytes.into())
    }

    /// What comes after the last row.
    fn finish(&mut self) -> Result<Bytes, ArrowError> {
        let bytes = match self {
            Self::Json(writer) => {
                writer.finish()?;
                std::mem::take(writer.get_mut())
            }
            Self::JsonLines(writer) => {
                writer.finish()?;
                std::mem::take(writer.get_mut())
            }
            Self::Csv => Vec::new(),
            Self::Arrow(writer) => {
                writer.finish()?;
                std::mem::take(writer.get_mut())
            }
        };
        Ok(bytes.into())
    }
}

fn csv(batch: &RecordBatch, header: bool) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = arrow::csv::WriterBuilder::new().with_header(header).build(&mut bytes);
    writer.write(&nested_as_json(batch)?)?;
    drop(writer);
    Ok(bytes)
}

/// CSV has no nested values: lists, structs and maps become JSON text.
fn nested_as_json(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    if !batch.schema_ref().fields().iter().any(|field| field.data_type().is_nested()) {
        return Ok(batch.clone());
    }
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if !field.data_type().is_nested() {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        }
        let mut texts = StringBuilder::new();
        if !column.is_empty() {
            let mut encoder = make_encoder(field, column.as_ref(), &options)?;
            let mut text = Vec::new();
            for row in 0..column.len() {
                if encoder.is_null(row) {
                    texts.append_null();
                    continue;
                }
                text.clear();
                encoder.encode(row, &mut text);
                texts.append_value(String::from_utf8_lossy(&text));
            }
        }
        fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
        columns.push(Arc::new(texts.finish()));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use arrow::array::{
        Float64Array, Int64Array, Int64Builder, ListBuilder, StringArray, StructArray,
    };
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use serde_json::{Value, json};

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

    fn envelope() -> Envelope {
        Envelope {
            query: "q1".to_owned(),
            replayed: false,
            summary: AnswerSummary {
                route: "inline".to_owned(),
                rows: None,
                stages: 0,
                tasks: 0,
                attempts: 0,
                bytes_scanned: 7,
                shuffle_bytes: 0,
                requests: Requests::default(),
                wall_ms: 0,
            },
            meter: None,
            received: Duration::ZERO,
        }
    }

    async fn respond(
        format: Format,
        schema: SchemaRef,
        items: Vec<Result<RecordBatch, DataFusionError>>,
    ) -> Result<Response, ApiError> {
        answer(&Env::system(), format, stream(schema, items), envelope()).await
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
        assert_eq!(response.headers()["dunlin-query-id"], "q1");
        assert!(!response.headers().contains_key("idempotent-replayed"));
    }

    #[tokio::test]
    async fn an_error_before_the_headers_is_a_typed_error() {
        let items = vec![Ok(numbers(0, 1)), Err(divided())];
        let error = respond(Format::Json, numbers(0, 1).schema(), items).await.unwrap_err();
        assert_eq!(error.problem().code, "EXECUTION_FAILED");
        assert_eq!(error.problem().status, 400);
        assert_eq!(error.problem().query_id.as_deref(), Some("q1"));
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
        let response = answer(&Env::system(), Format::Json, rows, envelope()).await.unwrap();
        let summary = response.headers()["dunlin-summary"].to_str().unwrap().to_owned();
        assert!(summary.contains(r#""rows":null"#));
        let mut data = response.into_body().into_data_stream();
        for _ in 0..20 {
            assert!(!data.next().await.unwrap().unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_not_an_end() {
        let schema = numbers(0, 1).schema();
        let panics = futures::stream::once(async { panic!("on purpose") });
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, panics));
        let error = answer(&Env::system(), Format::Json, rows, envelope()).await.unwrap_err();
        assert_eq!(error.problem().code, "INTERNAL");
    }
}
