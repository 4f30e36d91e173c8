//! Rows as Flight data, a batch at a time.
//!
//! Views and dictionaries are sent as the plain types that they stand for. Every client reads those. And a batch is cut
//! into messages of a size that every client takes: a cut view would carry all of the batch's bytes in every piece.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError as WireError;
use arrow_schema::{DataType, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use dunlin_manifest::ids::QueryId;
use dunlin_plan::retyped;
use futures::StreamExt;
use futures::stream::BoxStream;
use tonic::Status;

use super::error::FlightError;
use crate::query::error::CoreError;

/// Bytes of a message, about. Some clients take no message of more than 4 MiB.
const MESSAGE_BYTES: usize = 1 << 20;

/// An answer as it is sent.
pub(super) type Sent = BoxStream<'static, Result<FlightData, Status>>;

/// What a type is sent as, if not as itself.
fn sent_type(kind: &DataType) -> Option<DataType> {
    match kind {
        DataType::Utf8View => Some(DataType::Utf8),
        DataType::BinaryView => Some(DataType::Binary),
        DataType::Dictionary(_, values) => Some(values.as_ref().clone()),
        // The encoder sends large lists as lists, whatever the schema says.
        DataType::LargeList(field) => Some(DataType::List(Arc::clone(field))),
        _ => None,
    }
}

/// The columns as they are sent.
pub(super) fn sent_schema(schema: &Schema) -> SchemaRef {
    retyped::schema(schema, &sent_type).unwrap_or_else(|| Arc::new(schema.clone()))
}

/// Sends the rows of `query`. A panic of an operator or an encoder becomes an error, because it must not look like the end
/// of the answer.
pub(super) fn sent(rows: SendableRecordBatchStream, query: &QueryId) -> Sent {
    let schema = sent_schema(&rows.schema());
    let (as_sent, of) = (Arc::clone(&schema), query.clone());
    let failed = move |error: DataFusionError| {
        let error = FlightError::from(CoreError::rows(error).about(&of));
        WireError::Tonic(Box::new(error.into()))
    };
    let batches = rows.map(move |batch| {
        let batch = batch.and_then(|batch| Ok(retyped::rows(&batch, &as_sent)?));
        batch.map_err(&failed)
    });
    let encoder = FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .with_max_flight_data_size(MESSAGE_BYTES)
        .build(batches);
    let of = query.clone();
    AssertUnwindSafe(encoder)
        .catch_unwind()
        .map(move |item| match item {
            Ok(Ok(data)) => Ok(data),
            Ok(Err(WireError::Tonic(status))) => Err(*status),
            Ok(Err(error)) => Err(FlightError::from(CoreError::internal(error).about(&of)).into()),
            Err(_) => {
                let error = CoreError::internal("an operator panicked").about(&of);
                Err(FlightError::from(error).into())
            }
        })
        .boxed()
}

/// Sends one batch that is at hand.
pub(super) fn sent_one(batch: RecordBatch) -> Sent {
    let encoder = FlightDataEncoderBuilder::new()
        .with_schema(batch.schema())
        .with_max_flight_data_size(MESSAGE_BYTES)
        .build(futures::stream::iter([Ok(batch)]));
    let failed = |error: WireError| Status::from(FlightError::from(CoreError::internal(error)));
    encoder.map(move |data| data.map_err(failed)).boxed()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{
        Array, ArrayRef, AsArray, DictionaryArray, ListArray, RecordBatchOptions, StringViewArray,
    };
    use arrow::compute::cast;
    use arrow::datatypes::Int32Type;
    use arrow_schema::Field;

    use super::*;

    #[test]
    fn views_and_dictionaries_are_sent_as_what_they_stand_for_at_any_depth() {
        let views = StringViewArray::from(vec![Some("a"), None, Some("longer than twelve bytes")]);
        let item = Arc::new(Field::new_list_field(DataType::Utf8View, true));
        let offsets = arrow::buffer::OffsetBuffer::new(vec![0, 1, 1, 3].into());
        let lists = ListArray::new(item, offsets, Arc::new(views.clone()), None);
        let words: DictionaryArray<Int32Type> = ["x", "y", "x"].into_iter().collect();
        let kind = DataType::LargeList(Arc::new(Field::new_list_field(DataType::Utf8View, true)));
        let large = cast(&lists, &kind).unwrap();
        let batch = RecordBatch::try_from_iter([
            ("v", Arc::new(views) as ArrayRef),
            ("l", Arc::new(lists) as ArrayRef),
            ("d", Arc::new(words) as ArrayRef),
            ("g", large),
        ])
        .unwrap();
        let schema = sent_schema(&batch.schema());
        let kinds: Vec<String> =
            schema.fields().iter().map(|field| field.data_type().to_string()).collect();
        assert_eq!(kinds, ["Utf8", "List(Utf8)", "Utf8", "List(Utf8)"]);
        let sent = retyped::rows(&batch, &schema).unwrap();
        assert_eq!(sent.column(0).as_string::<i32>().value(2), "longer than twelve bytes");
        assert!(sent.column(0).is_null(1));
        let last = sent.column(1).as_list::<i32>().value(2);
        assert_eq!(last.as_string::<i32>().value(1), "longer than twelve bytes");
        assert_eq!(sent.column(2).as_string::<i32>().value(1), "y");
    }

    #[test]
    fn a_batch_without_columns_keeps_its_rows() {
        let options = RecordBatchOptions::new().with_row_count(Some(3));
        let batch =
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
        let schema = sent_schema(&batch.schema());
        assert_eq!(retyped::rows(&batch, &schema).unwrap().num_rows(), 3);
    }
}
