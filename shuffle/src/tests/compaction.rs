//! A bucket contains only its own rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, DictionaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StringViewArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Int32Type;
use arrow_schema::{DataType, Field};

use super::support::*;
use crate::*;

const ROWS: i64 = 8192;

fn numbered(name: &str, column: ArrayRef) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..column.len() as i64));
    RecordBatch::try_from_iter([("k", numbers), (name, column)]).unwrap()
}

fn text(n: i64) -> String {
    format!("{n:0100}")
}

async fn encoded(batch: RecordBatch, buckets: u32) -> u64 {
    let store = TestStore::memory();
    let schema = batch.schema();
    let output =
        write(options(&store, &schema, by(&schema, "k", buckets), 0), &on(0, vec![batch])).await;
    output.bytes
}

#[tokio::test]
async fn views_do_not_drag_the_buffers_of_other_buckets_along() {
    let column = StringViewArray::from_iter_values((0..ROWS).map(text));
    let bytes = encoded(numbered("v", Arc::new(column)), 64).await;
    // 8 bytes for the number, 16 for the view, 100 for the text, plus the schema of 64 streams.
    assert!(bytes < ROWS as u64 * 124 * 3 / 2 + 64 * 2000, "{bytes} bytes");
}

#[tokio::test]
async fn views_inside_lists_do_not_either() {
    let values = StringViewArray::from_iter_values((0..ROWS).map(text));
    let field = Arc::new(Field::new_list_field(DataType::Utf8View, true));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(1, ROWS as usize));
    let column = ListArray::try_new(field, offsets, Arc::new(values), None).unwrap();
    let bytes = encoded(numbered("l", Arc::new(column)), 64).await;
    assert!(bytes < ROWS as u64 * 128 * 3 / 2 + 64 * 2000, "{bytes} bytes");
}

#[tokio::test]
async fn dictionaries_keep_only_values_in_use() {
    let values: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(text)));
    let dictionary =
        DictionaryArray::<Int32Type>::try_new(Int32Array::from_iter_values(0..ROWS as i32), values)
            .unwrap();
    let bytes = encoded(numbered("d", Arc::new(dictionary)), 64).await;
    assert!(bytes < ROWS as u64 * 116 * 3 / 2 + 64 * 2500, "{bytes} bytes");
}

#[tokio::test]
async fn compacted_dictionaries_hold_the_same_rows() {
    let values: ArrayRef = Arc::new(StringArray::from_iter_values((0..1000).map(text)));
    let keys = Int32Array::from_iter((0..1000).map(|n| (n % 3 != 0).then_some(999 - n)));
    let dictionary = DictionaryArray::<Int32Type>::try_new(keys, values).unwrap();
    let batch = numbered("d", Arc::new(dictionary)).slice(200, 50);
    let schema = batch.schema();
    let compacted = crate::batch::compact(batch.clone()).unwrap();
    assert_eq!(compacted, batch);
    let column = compacted.column(1).as_any().downcast_ref::<DictionaryArray<Int32Type>>().unwrap();
    assert!(column.values().len() <= 50);

    let store = TestStore::memory();
    let output =
        write(options(&store, &schema, Buckets::Partitions, 0), &on(0, vec![batch.clone()])).await;
    assert!(output.bytes < 12_000, "{} bytes", output.bytes);
    assert_eq!(read(&inputs(&store, vec![output]), 0, &schema).await, batch);
}

#[test]
fn a_batch_does_not_hold_the_slice_that_it_came_in() {
    let mut encoder = StreamEncoder::try_new(&table(0..1).schema(), Compression::None).unwrap();
    for from in 0..20 {
        encoder.write(&table(from * 1000..(from + 1) * 1000)).unwrap();
    }
    let bytes = encoder.finish().unwrap();
    let rows = decode_slice(bytes.clone(), 20_000).unwrap();
    assert_eq!(rows.len(), 20);
    for batch in &rows {
        // The engine counts whole buffers.
        let held = batch.column(0).to_data().buffers()[0].capacity();
        assert!(held < bytes.len() / 10, "{held} of {}", bytes.len());
    }
    assert_eq!(rows[7], table(7000..8000));
}

#[test]
fn rows_of_a_large_batch_are_written_alone() {
    let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..ROWS).map(text)));
    let batch = numbered("t", texts);
    let written = |batch: &RecordBatch| {
        let mut writer =
            arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.into_inner().unwrap().len()
    };
    let part = batch.slice(100, 64);
    let own = alone(part.clone()).unwrap();
    assert_eq!(own, part);
    assert!(written(&part) > 800_000 && written(&own) < 12_000, "{}", written(&own));
    // What shares little stays as it is.
    let whole = alone(batch.clone()).unwrap();
    let data = |batch: &RecordBatch| batch.column(1).to_data().buffers()[1].as_ptr();
    assert_eq!(data(&whole), data(&batch));
}
