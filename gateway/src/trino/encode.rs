//! Rows as JSON: a page of them, or all that the gateway answers itself.

use arrow::array::RecordBatch;
use arrow_schema::Schema;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use serde_json::Value;

use super::cells::Cells;
use super::failure::{Failure, Name, Refused};
use super::kind::Kind;
use crate::query::error::CoreError;

/// Bytes of a page's rows after which it ends. A page has at least one row, however long that is.
const PAGE_BYTES: usize = 4 << 20;
/// Most bytes of an answer that the gateway gives itself, in one page.
const MOST_BYTES: usize = 64 << 20;
/// Rows that are brought into their form at a time. A page that ends soon has not looked at a whole batch in vain.
const CHUNK_ROWS: usize = 512;

/// Rows in JSON, and their columns.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) columns: Vec<Value>,
    pub(super) json: Vec<u8>,
    pub(super) count: u64,
}

/// Columns as clients read them.
///
/// # Errors
/// A type that Trino has not.
pub(super) fn columns(schema: &Schema, has_digits: bool) -> Result<Vec<Value>, Failure> {
    let named = schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
    labelled(schema, &named, has_digits)
}

fn labelled<T: AsRef<str>>(
    schema: &Schema,
    labels: &[T],
    has_digits: bool,
) -> Result<Vec<Value>, Failure> {
    let fields = schema.fields().iter().zip(labels);
    fields.map(|(field, label)| Ok(Kind::of(field)?.column(label.as_ref(), has_digits))).collect()
}

/// Writes rows until there are enough.
struct Writer {
    kinds: Vec<Kind>,
    has_digits: bool,
    rows: Rows,
}

impl Writer {
    fn new(schema: &Schema, columns: Vec<Value>, has_digits: bool) -> Result<Self, Failure> {
        let kinds = schema.fields().iter().map(|field| Kind::of(field));
        let kinds = kinds.collect::<Result<_, _>>()?;
        Ok(Self { kinds, has_digits, rows: Rows { columns, json: vec![b'['], count: 0 } })
    }

    /// Writes rows of a batch until there are `most` bytes. Returns whether that is so.
    fn push(&mut self, batch: &RecordBatch, most: usize) -> Result<bool, Failure> {
        let mut from = 0;
        while from < batch.num_rows() {
            let chunk = batch.slice(from, CHUNK_ROWS.min(batch.num_rows() - from));
            let cells = chunk.columns().iter().zip(&self.kinds);
            let cells = cells.map(|(array, kind)| Cells::of(array, kind));
            let cells = cells.collect::<Result<Vec<_>, _>>()?;
            for row in 0..chunk.num_rows() {
                if self.rows.json.len() >= most {
                    return Ok(true);
                }
                self.write(&cells, row);
            }
            from += chunk.num_rows();
        }
        Ok(self.rows.json.len() >= most)
    }

    fn write(&mut self, cells: &[Cells], row: usize) {
        let out = &mut self.rows.json;
        out.extend_from_slice(if self.rows.count == 0 { b"[" } else { b",[" });
        for (place, cells) in cells.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            cells.write(row, self.has_digits, out);
        }
        out.push(b']');
        self.rows.count += 1;
    }

    fn finish(mut self) -> Rows {
        self.rows.json.push(b']');
        self.rows
    }
}

/// The first rows, as many as a page has.
pub(super) async fn page(
    mut rows: SendableRecordBatchStream,
    has_digits: bool,
) -> Result<Rows, Refused> {
    let schema = rows.schema();
    let columns = columns(&schema, has_digits)?;
    let mut writer = Writer::new(&schema, columns, has_digits)?;
    while let Some(batch) = rows.try_next().await.map_err(CoreError::rows)? {
        if writer.push(&batch, PAGE_BYTES)? {
            break;
        }
        tokio::task::consume_budget().await;
    }
    Ok(writer.finish())
}

/// All rows, if they are not too many for one page. `labels`: what the columns are called.
pub(super) async fn whole(
    mut rows: SendableRecordBatchStream,
    labels: Option<Vec<String>>,
    has_digits: bool,
) -> Result<Rows, Refused> {
    let schema = rows.schema();
    let columns = match labels {
        Some(labels) => labelled(&schema, &labels, has_digits)?,
        None => columns(&schema, has_digits)?,
    };
    let mut writer = Writer::new(&schema, columns, has_digits)?;
    while let Some(batch) = rows.try_next().await.map_err(CoreError::rows)? {
        if writer.push(&batch, MOST_BYTES)? {
            let most = MOST_BYTES >> 20;
            return Err(Failure::new(
                Name::REJECTED,
                format!("the answer has more than {most} MiB, and comes in one page; ask for less"),
            )
            .into());
        }
        tokio::task::consume_budget().await;
    }
    Ok(writer.finish())
}

/// Rows that are at hand.
pub(super) fn at_hand(batch: &RecordBatch, has_digits: bool) -> Result<Rows, Failure> {
    let schema = batch.schema();
    let mut writer = Writer::new(&schema, columns(&schema, has_digits)?, has_digits)?;
    writer.push(batch, usize::MAX)?;
    Ok(writer.finish())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

    use super::*;

    fn rows(from: i64, to: i64, length: usize) -> RecordBatch {
        let numbers = Arc::new(Int64Array::from_iter_values(from..to)) as ArrayRef;
        let texts = StringArray::from_iter_values((from..to).map(|_| "x".repeat(length)));
        RecordBatch::try_from_iter([("n", numbers), ("t", Arc::new(texts) as ArrayRef)]).unwrap()
    }

    fn stream(batches: Vec<RecordBatch>) -> SendableRecordBatchStream {
        let schema = batches[0].schema();
        let batches = futures::stream::iter(batches.into_iter().map(Ok));
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }

    #[tokio::test]
    async fn a_page_ends_after_the_row_that_fills_it_wherever_batches_end() {
        let one = page(stream(vec![rows(0, 3_000, 5_000)]), true).await.unwrap();
        let cut = (0..3_000).step_by(700).map(|from| rows(from, (from + 700).min(3_000), 5_000));
        let other = page(stream(cut.collect()), true).await.unwrap();
        assert_eq!((one.count, &one.json), (other.count, &other.json));
        assert!(one.count > 800 && one.json.len() < PAGE_BYTES + 6_000, "{}", one.count);
        let read: Value = serde_json::from_slice(&one.json).unwrap();
        assert_eq!(read.as_array().unwrap().len() as u64, one.count);
        assert_eq!(read[7][0], 7);
    }

    #[tokio::test]
    async fn a_page_has_at_least_one_row() {
        let long = page(stream(vec![rows(0, 2, PAGE_BYTES + 1)]), true).await.unwrap();
        assert_eq!(long.count, 1);
        let none = page(stream(vec![rows(0, 0, 1)]), true).await.unwrap();
        assert_eq!((none.count, none.json.as_slice(), none.columns.len()), (0, &b"[]"[..], 2));
    }

    #[tokio::test]
    async fn an_answer_in_one_page_that_is_too_long_is_refused() {
        let many = vec![rows(0, 100, 1 << 20)];
        let refused = whole(stream(many), None, true).await.unwrap_err();
        assert!(
            matches!(refused, Refused::Statement(error) if error.to_string().contains("64 MiB"))
        );
    }
}
