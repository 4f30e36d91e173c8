//! Whether two outputs of a task hold the same rows.
//!
//! ```text
//!   lengths and checksums of all slices    the same, byte for byte
//!   rows of each bucket                    different, if the numbers are
//!   digest of the rows of each bucket      the same in another order, or different
//! ```
//! The digest of a bucket is the sum of hashes of its rows, so it does not depend on their order. Where rows are cut into
//! slices depends on memory, so equal rows need not be equal bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dunlin_manifest::records::{Slice, StageSpec, TaskOutput};
use dunlin_manifest::store::below;
use dunlin_shuffle::{SliceDecoder, checksum};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::error::ReplayError;

/// Whether the rows are those that were committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Byte for byte.
    Identical,
    /// The same rows in each bucket, in another order or cut otherwise.
    SameRows,
    /// What differs.
    Different(String),
    /// No more can be told, and why. What could be compared is equal.
    Unknown(String),
    /// No attempt was committed.
    NothingCommitted,
}

impl Verdict {
    /// False if the rows are known to differ.
    #[must_use]
    pub fn is_right(&self) -> bool {
        !matches!(self, Self::Different(_))
    }
}

/// An output, and where its objects are.
#[derive(Debug)]
pub(super) struct Side<'a> {
    pub(super) output: &'a TaskOutput,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
}

/// Why rows cannot be compared.
enum Unread {
    /// They are not stored any more.
    Gone(String),
    /// Their type has no form that can be compared.
    Type(String),
    Other(ReplayError),
}

type Buckets<'a> = BTreeMap<u32, Vec<&'a Slice>>;

fn by_bucket(output: &TaskOutput, buckets: u32) -> Buckets<'_> {
    let mut found = Buckets::new();
    // What lies above is the filter of the keys. It follows from the rows, and may be made of them in another order.
    for slice in output.slices.iter().filter(|slice| slice.bucket < buckets) {
        found.entry(slice.bucket).or_default().push(slice);
    }
    found
}

fn rows(slices: Option<&Vec<&Slice>>) -> u64 {
    slices.into_iter().flatten().map(|slice| slice.rows).sum()
}

/// Compares what a task wrote `now` with what it wrote `then`.
pub(super) async fn compare(
    spec: &StageSpec,
    now: &Side<'_>,
    then: &Side<'_>,
) -> Result<Verdict, ReplayError> {
    if now.output.rows != then.output.rows {
        return Ok(Verdict::Different(format!(
            "{} rows, and {} were committed",
            now.output.rows, then.output.rows
        )));
    }
    if then.output.slices.is_empty() && then.output.rows > 0 {
        return Ok(Verdict::Unknown(
            "the number of rows is equal; the commit is deleted, and the seal does not list what it wrote"
                .to_owned(),
        ));
    }
    let (own, other) =
        (by_bucket(now.output, spec.buckets()), by_bucket(then.output, spec.buckets()));
    let all: std::collections::BTreeSet<u32> = own.keys().chain(other.keys()).copied().collect();
    let mut unequal = Vec::new();
    for bucket in all {
        let (a, b) = (own.get(&bucket), other.get(&bucket));
        if rows(a) != rows(b) {
            return Ok(Verdict::Different(format!(
                "bucket {bucket} has {} rows, and {} were committed",
                rows(a),
                rows(b)
            )));
        }
        let sums = |slices: Option<&Vec<&Slice>>| -> Vec<(u64, String)> {
            slices.into_iter().flatten().map(|slice| (slice.len, slice.xxh3.clone())).collect()
        };
        if sums(a) != sums(b) {
            unequal.push(bucket);
        }
    }
    if unequal.is_empty() {
        return Ok(Verdict::Identical);
    }
    for bucket in unequal {
        let digests = async {
            let a = digest(now, own.get(&bucket)).await?;
            Ok::<_, Unread>((a, digest(then, other.get(&bucket)).await?))
        };
        match digests.await {
            Ok((a, b)) if a == b => {}
            Ok(_) => {
                return Ok(Verdict::Different(format!(
                    "bucket {bucket} has as many rows as were committed, and others"
                )));
            }
            Err(Unread::Gone(key)) => {
                return Ok(Verdict::Unknown(format!(
                    "the numbers of rows are equal; the committed rows are not in the store any more: {key}"
                )));
            }
            Err(Unread::Type(what)) => {
                return Ok(Verdict::Unknown(format!(
                    "the numbers of rows are equal, and {what} cannot be compared without its order"
                )));
            }
            Err(Unread::Other(error)) => return Err(error),
        }
    }
    Ok(Verdict::SameRows)
}

/// The sum of the hashes of the rows in these slices.
async fn digest(side: &Side<'_>, slices: Option<&Vec<&Slice>>) -> Result<u128, Unread> {
    let mut sum = Digest::default();
    for slice in slices.into_iter().flatten() {
        let bytes = read(side, slice).await?;
        let damaged = |error: String| Unread::Other(ReplayError::State(error));
        if checksum(&bytes) != slice.xxh3 {
            return Err(damaged("a slice does not have its checksum".to_owned()));
        }
        let mut decoder = SliceDecoder::new(bytes, slice.rows);
        while let Some(batch) = decoder.next_batch().map_err(|error| damaged(error.to_string()))? {
            sum.add(&batch)?;
        }
    }
    Ok(sum.sum)
}

#[derive(Debug, Default)]
struct Digest {
    converter: Option<RowConverter>,
    sum: u128,
}

impl Digest {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), Unread> {
        let unknown = |error: arrow::error::ArrowError| Unread::Type(error.to_string());
        // Rows without columns are told apart by their number only.
        if batch.num_columns() == 0 {
            return Ok(());
        }
        let converter = match &mut self.converter {
            Some(converter) => converter,
            None => {
                let schema = batch.schema();
                let fields = schema.fields().iter();
                let fields =
                    fields.map(|field| SortField::new(field.data_type().clone())).collect();
                self.converter.insert(RowConverter::new(fields).map_err(unknown)?)
            }
        };
        for row in &converter.convert_columns(batch.columns()).map_err(unknown)? {
            let hash = blake3::hash(row.as_ref());
            let mut half = [0; 16];
            half.copy_from_slice(&hash.as_bytes()[..16]);
            self.sum = self.sum.wrapping_add(u128::from_le_bytes(half));
        }
        Ok(())
    }
}

async fn read(side: &Side<'_>, slice: &Slice) -> Result<Bytes, Unread> {
    let broken = |text: &str| Unread::Other(ReplayError::State(text.to_owned()));
    let end = slice.offset.checked_add(slice.len);
    let end = end.ok_or_else(|| broken("a slice is longer than any object"))?;
    let Some(object) = slice.object else {
        let inline = STANDARD.decode(&side.output.inline);
        let inline = Bytes::from(inline.map_err(|_| broken("rows in a commit are not base64"))?);
        let range = usize::try_from(slice.offset).ok().zip(usize::try_from(end).ok());
        let inside = range.filter(|(start, end)| start <= end && *end <= inline.len());
        let (start, end) = inside.ok_or_else(|| broken("a slice lies outside of its commit"))?;
        return Ok(inline.slice(start..end));
    };
    let object = side.output.objects.get(object as usize);
    let key = &object.ok_or_else(|| broken("a slice names an object that is not there"))?.key;
    match side.store.get_range(&below(&side.prefix, key.as_str()), slice.offset..end).await {
        Ok(bytes) => Ok(bytes),
        Err(object_store::Error::NotFound { .. }) => Err(Unread::Gone(key.clone())),
        Err(error) => Err(Unread::Other(ReplayError::State(error.to_string()))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use dunlin_manifest::records::Output;
    use dunlin_shuffle::{Compression, StreamEncoder};
    use object_store::memory::InMemory;

    use super::*;

    fn spec() -> StageSpec {
        StageSpec {
            id: 0,
            name: String::new(),
            plan: String::new(),
            partitions: 1,
            inputs: Vec::new(),
            output: Output::Hash { buckets: 2 },
            scan_bytes: Vec::new(),
            task_bytes: 1,
            one_task: false,
            key_filter: true,
            empty_with: Vec::new(),
            shares: None,
            broadcast: None,
            absorbed_by: None,
        }
    }

    /// An output whose slices hold these numbers, each with its bucket, and a filter above.
    fn output(slices: &[(u32, &[i64])], filter: &str) -> TaskOutput {
        let (mut bytes, mut output) = (Vec::new(), TaskOutput::default());
        for (bucket, numbers) in slices {
            let column = Arc::new(Int64Array::from(numbers.to_vec())) as ArrayRef;
            let batch = RecordBatch::try_from_iter(vec![("n", column)]).unwrap();
            let mut encoder = StreamEncoder::try_new(&batch.schema(), Compression::None).unwrap();
            encoder.write(&batch).unwrap();
            let encoded = encoder.finish().unwrap();
            output.slices.push(Slice {
                bucket: *bucket,
                object: None,
                offset: bytes.len() as u64,
                len: encoded.len() as u64,
                rows: numbers.len() as u64,
                xxh3: checksum(&encoded),
            });
            output.rows += numbers.len() as u64;
            bytes.extend_from_slice(&encoded);
        }
        let slice = output.slices[0].clone();
        output.slices.push(Slice { bucket: 2, rows: 0, xxh3: filter.to_owned(), ..slice });
        output.inline = STANDARD.encode(bytes);
        output
    }

    async fn verdict(now: &TaskOutput, then: &TaskOutput) -> Verdict {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let side = |output| Side { output, store: Arc::clone(&store), prefix: Path::default() };
        compare(&spec(), &side(now), &side(then)).await.unwrap_or_else(|error| panic!("{error}"))
    }

    #[tokio::test]
    async fn rows_are_compared_by_bytes_and_else_without_their_order() {
        let then = output(&[(0, &[1, 2, 3]), (1, &[4])], "a");
        assert_eq!(verdict(&then, &then).await, Verdict::Identical);
        let otherwise = output(&[(0, &[3]), (0, &[2, 1]), (1, &[4])], "b");
        assert_eq!(verdict(&otherwise, &then).await, Verdict::SameRows);
        for (now, text) in [
            (output(&[(0, &[1, 2]), (1, &[4])], "a"), "3 rows, and 4 were committed"),
            (
                output(&[(0, &[1, 2]), (1, &[4, 3])], "a"),
                "bucket 0 has 2 rows, and 3 were committed",
            ),
            (output(&[(0, &[1, 2, 2]), (1, &[4])], "a"), "bucket 0 has as many rows"),
        ] {
            let found = verdict(&now, &then).await;
            assert!(!found.is_right());
            assert!(
                matches!(&found, Verdict::Different(why) if why.starts_with(text)),
                "{found:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_not_stored_any_more_is_not_called_equal() {
        let now = output(&[(0, &[1, 2])], "a");
        let mut then = output(&[(0, &[2, 1])], "a");
        let bare = TaskOutput { slices: Vec::new(), ..then.clone() };
        assert!(matches!(verdict(&now, &bare).await, Verdict::Unknown(_)));
        then.objects.push(dunlin_manifest::records::DataObject { key: "data/x".into(), len: 9 });
        then.slices[0].object = Some(0);
        let found = verdict(&now, &then).await;
        assert!(matches!(&found, Verdict::Unknown(why) if why.contains("data/x")), "{found:?}");
    }
}
