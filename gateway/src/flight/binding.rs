//! Parameters: one row of Arrow, from the client's stream into a handle, and from a handle to the engine's values.

use std::panic::AssertUnwindSafe;

use arrow::array::{ArrayRef, RecordBatch};
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError as WireError;
use arrow_ipc::reader::StreamReader;
use bytes::Bytes;
use datafusion::common::ScalarValue;
use futures::{FutureExt, Stream, StreamExt};
use tonic::Status;

use super::error::FlightError;
use crate::options::MAX_BODY_BYTES;
use crate::query::error::CoreError;
use crate::query::statement::{MAX_PARAMETERS, arrow_bytes};

/// Reads the row of parameters that a client sends. None if it sends no row.
///
/// # Errors
/// More than one row, too many columns, or bytes that are not Arrow.
pub(super) async fn received(
    data: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
) -> Result<Option<RecordBatch>, Refused> {
    // Some clients send the command in a message of its own, which has no data.
    let data = data.filter(|item| {
        let is_data = !matches!(item, Ok(data) if data.data_header.is_empty());
        futures::future::ready(is_data)
    });
    let data = data.map(|item| {
        let item = item.and_then(|data| uncompressed(data).map_err(Status::from));
        item.map_err(|status| WireError::Tonic(Box::new(status)))
    });
    let mut batches = FlightRecordBatchStream::new_from_flight_data(data);
    let reading = async {
        let mut row: Option<RecordBatch> = None;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| match error {
                // The body's own refusal.
                WireError::Tonic(status) => Refused::Status(status),
                error => not_arrow(&error).into(),
            })?;
            match (batch.num_rows(), &row) {
                (0, _) => {}
                (1, None) => row = Some(batch),
                _ => {
                    return Err(Refused::from(FlightError::NotSupported {
                        what: "a statement with more than one row of parameters",
                        instead: "execute it once for each row",
                    }));
                }
            }
        }
        Ok(row)
    };
    // The bytes are a client's own. What a decoder makes of them ends this call only.
    match AssertUnwindSafe(reading).catch_unwind().await {
        Ok(row) => row,
        Err(_) => Err(not_arrow(&"they cannot be decoded").into()),
    }
}

/// Refuses a compressed message. It says itself how much memory it wants, and the decoder takes its word: one that asks for
/// more than there is would end the process.
fn uncompressed(data: FlightData) -> Result<FlightData, FlightError> {
    // What is no message is the decoder's to refuse.
    let message = arrow_ipc::root_as_message(&data.data_header).ok();
    let is_compressed = message.is_some_and(|message| {
        let of_dictionary = message.header_as_dictionary_batch().and_then(|batch| batch.data());
        let batch = message.header_as_record_batch().or(of_dictionary);
        batch.is_some_and(|batch| batch.compression().is_some())
    });
    if is_compressed {
        return Err(FlightError::NotSupported {
            what: "compressed parameters",
            instead: "send them as they are",
        });
    }
    Ok(data)
}

/// Why parameters are refused.
#[derive(Debug)]
pub(super) enum Refused {
    Flight(FlightError),
    Status(Box<Status>),
}

impl From<FlightError> for Refused {
    fn from(error: FlightError) -> Self {
        Self::Flight(error)
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Flight(error) => error.into(),
            Refused::Status(status) => *status,
        }
    }
}

fn not_arrow(error: &dyn std::fmt::Display) -> FlightError {
    FlightError::invalid(format!("the parameters are not valid Arrow data: {error}"))
}

/// The row as a handle holds it.
///
/// # Errors
/// It is too long.
pub(super) fn written(row: &RecordBatch) -> Result<Bytes, FlightError> {
    let bytes = arrow_bytes(row).map_err(|error| FlightError::from(CoreError::internal(error)))?;
    if bytes.len() > MAX_BODY_BYTES {
        return Err(FlightError::TooLarge(format!(
            "the parameters have {} bytes, at most {MAX_BODY_BYTES} are allowed; put large values in a table",
            bytes.len()
        )));
    }
    Ok(bytes.into())
}

/// The values of a handle's row.
pub(super) fn values(bytes: &Bytes) -> Result<Vec<ScalarValue>, FlightError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let reader = StreamReader::try_new(&bytes[..], None).map_err(|error| not_arrow(&error))?;
    let mut values = Vec::new();
    for batch in reader {
        values.extend(of_row(&batch.map_err(|error| not_arrow(&error))?)?);
    }
    Ok(values)
}

/// The values of a row.
pub(super) fn of_row(row: &RecordBatch) -> Result<Vec<ScalarValue>, FlightError> {
    if row.num_columns() > MAX_PARAMETERS {
        return Err(FlightError::invalid(format!(
            "{} parameters were given, at most {MAX_PARAMETERS} are allowed",
            row.num_columns()
        )));
    }
    let value = |column: &ArrayRef| ScalarValue::try_from_array(column, 0);
    let values = row.columns().iter().map(value).collect::<Result<Vec<_>, _>>();
    values.map_err(|error| FlightError::invalid(format!("a parameter cannot be used: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Decimal128Array, Int32Array, StringArray};
    use arrow_flight::encode::FlightDataEncoderBuilder;
    use futures::TryStreamExt;

    use super::*;

    fn row(length: usize) -> RecordBatch {
        let decimal = Decimal128Array::from(vec![Some(1_250); length]);
        let decimal = decimal.with_precision_and_scale(10, 2).unwrap();
        RecordBatch::try_from_iter_with_nullable([
            ("a", Arc::new(Int32Array::from(vec![None; length])) as ArrayRef, true),
            ("b", Arc::new(Date32Array::from(vec![19_000; length])) as ArrayRef, true),
            ("c", Arc::new(decimal) as ArrayRef, true),
            ("d", Arc::new(StringArray::from(vec!["x"; length])) as ArrayRef, true),
        ])
        .unwrap()
    }

    async fn sent(batches: Vec<RecordBatch>) -> Result<Option<RecordBatch>, Status> {
        let batches = futures::stream::iter(batches.into_iter().map(Ok));
        let data = FlightDataEncoderBuilder::new().build(batches);
        received(data.map_err(|error| Status::internal(error.to_string())))
            .await
            .map_err(Status::from)
    }

    #[tokio::test]
    async fn a_row_keeps_its_types_through_a_handle() {
        let read = sent(vec![row(0), row(1)]).await.unwrap().unwrap();
        let values = values(&written(&read).unwrap()).unwrap();
        assert_eq!(
            values,
            [
                ScalarValue::Int32(None),
                ScalarValue::Date32(Some(19_000)),
                ScalarValue::Decimal128(Some(1_250), 10, 2),
                ScalarValue::Utf8(Some("x".to_owned())),
            ]
        );
        assert!(sent(vec![row(0)]).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn more_rows_and_what_is_not_arrow_are_refused() {
        for batches in [vec![row(2)], vec![row(1), row(1)]] {
            let status = sent(batches).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::Unimplemented, "{status}");
        }
        for header in [&b""[..], b"\0\0\0\0", b"garbage that is no flatbuffer at all"] {
            let data = FlightData { data_header: header.to_vec().into(), ..FlightData::default() };
            let refused = received(futures::stream::iter([Ok(data)])).await;
            if let Err(refused) = refused {
                assert_eq!(Status::from(refused).code(), tonic::Code::InvalidArgument);
            }
        }
    }

    /// A message of some bytes may claim any number of them.
    #[tokio::test]
    async fn compressed_parameters_are_refused_before_they_are_unpacked() {
        let options = arrow_ipc::writer::IpcWriteOptions::default()
            .try_with_compression(Some(arrow_ipc::CompressionType::LZ4_FRAME))
            .unwrap();
        let rows = futures::stream::iter([Ok(row(1))]);
        let encoder = FlightDataEncoderBuilder::new().with_options(options).build(rows);
        let claims = |mut data: FlightData| {
            let mut body = data.data_body.to_vec();
            if body.len() >= 8 {
                body[..8].copy_from_slice(&(1_i64 << 62).to_le_bytes());
            }
            data.data_body = body.into();
            data
        };
        let data = encoder.map_ok(claims).map_err(|error| Status::internal(error.to_string()));
        let status = Status::from(received(data).await.unwrap_err());
        assert_eq!(status.code(), tonic::Code::Unimplemented, "{status}");
        assert!(status.message().contains("compressed parameters"), "{status}");
    }

    #[test]
    fn a_huge_row_is_refused() {
        let text = "x".repeat(MAX_BODY_BYTES);
        let row = RecordBatch::try_from_iter([(
            "a",
            Arc::new(StringArray::from(vec![text])) as ArrayRef,
        )]);
        assert!(matches!(written(&row.unwrap()), Err(FlightError::TooLarge(_))));
    }
}
