//! Parquet as other programs read it.
//!
//! Parquet has no times in seconds and no days in milliseconds. The engine's writer writes plain numbers for them, and only
//! readers of Arrow's own note in the file know what they mean. So they are written as what Parquet has.

use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterProperties;

use crate::retyped;

/// The engine's writer, which gets only types that Parquet has.
#[derive(Debug)]
pub struct ParquetWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    /// The columns of the file, if they are others than those of the rows.
    told: Option<SchemaRef>,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins a file of rows of `schema`.
    ///
    /// # Errors
    /// A type that Parquet has not.
    pub fn try_new(
        out: W,
        schema: &SchemaRef,
        properties: WriterProperties,
    ) -> Result<Self, ParquetError> {
        let told = retyped::schema(schema, &told);
        let of_file = told.as_ref().unwrap_or(schema);
        let writer = ArrowWriter::try_new(out, Arc::clone(of_file), Some(properties))?;
        Ok(Self { writer, told })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// They cannot be encoded or written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        match &self.told {
            Some(told) => self.writer.write(&retyped::rows(batch, told)?),
            None => self.writer.write(batch),
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// What is left of it cannot be written.
    pub fn close(self) -> Result<(), ParquetError> {
        self.writer.close().map(drop)
    }

    /// Ends the file, and gives what it was written to.
    ///
    /// # Errors
    /// What is left of it cannot be written.
    pub fn into_inner(self) -> Result<W, ParquetError> {
        self.writer.into_inner()
    }
}

impl<W: Write + Send> Deref for ParquetWriter<W> {
    type Target = ArrowWriter<W>;

    fn deref(&self) -> &Self::Target {
        &self.writer
    }
}

impl<W: Write + Send> DerefMut for ParquetWriter<W> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.writer
    }
}

/// The type of Parquet for values of this one; `None` if it has them.
fn told(kind: &DataType) -> Option<DataType> {
    match kind {
        DataType::Timestamp(TimeUnit::Second, zone) => {
            Some(DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))
        }
        DataType::Time32(TimeUnit::Second) => Some(DataType::Time32(TimeUnit::Millisecond)),
        DataType::Date64 => Some(DataType::Date32),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, TimestampSecondArray};
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::Field;
    use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[test]
    fn seconds_and_days_are_written_as_what_parquet_has() {
        let day = Arc::new(Field::new("day", DataType::Date64, true));
        for (kind, expected) in [
            (DataType::Timestamp(TimeUnit::Second, None), "Timestamp(ms)"),
            (DataType::Timestamp(TimeUnit::Second, Some("UTC".into())), "Timestamp(ms, \"UTC\")"),
            (DataType::Time32(TimeUnit::Second), "Time32(ms)"),
            (DataType::List(Arc::clone(&day)), "List(Date32, field: 'day')"),
            (DataType::Struct(vec![day].into()), "Struct(\"day\": Date32)"),
        ] {
            assert_eq!(retyped::retyped(&kind, &told).unwrap().to_string(), expected);
        }
        for kind in [DataType::Date32, DataType::Timestamp(TimeUnit::Nanosecond, None)] {
            assert_eq!(retyped::retyped(&kind, &told), None);
        }
        let columns: [(&str, ArrayRef); 2] = [
            ("at", Arc::new(TimestampSecondArray::from(vec![Some(1_706_702_400), None]))),
            ("n", Arc::new(Int64Array::from(vec![1, 2]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::default();
        let mut writer = ParquetWriter::try_new(Vec::new(), &batch.schema(), properties).unwrap();
        writer.write(&batch).unwrap();
        let bytes = writer.into_inner().unwrap();
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(
            bytes::Bytes::from(bytes),
            options,
        );
        let read: Vec<_> = reader.unwrap().build().unwrap().map(Result::unwrap).collect();
        let again = cast(read[0].column(0), &DataType::Timestamp(TimeUnit::Second, None)).unwrap();
        assert_eq!(&again, batch.column(0));
        assert_eq!(read[0].schema().field(0).data_type().to_string(), "Timestamp(ms)");
    }
}
