//! The first rows of an order, from files whose footers say where to look first.
//!
//! ```text
//!  SortExec: TopK(fetch=10), day DESC
//!    BestFirstExec             file 9 (days 80 to 90)   read
//!      FilterExec              file 4 (days 70 to 81)   read, if the tenth row so far is on day 81 or before
//!        DataSourceExec        file 2 (days 10 to 30)   not opened, once ten rows after day 30 were seen
//! ```
//! A filter leaves rows out that the footers count, so nobody can tell before which files are needed. This operator opens the
//! files of a partition one after the other, the best first, and remembers the keys of the best rows that it has passed on.
//! It stops before a file all of whose rows come after those. Rows that are equal in the first key count as rows that may
//! matter, because the other keys decide.

use std::collections::BinaryHeap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Int64Type};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use dunlin_manifest::decide::digest_of;
use futures::StreamExt;

use crate::operators::file_scan;

/// The first key of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstKey {
    /// A column of the operator.
    pub column: usize,
    /// Large values come first.
    pub descending: bool,
    /// NULL comes first.
    pub nulls_first: bool,
}

/// The place of a value in an order: smaller ones come first.
pub type Place = i128;

/// The place of what comes before everything, and of what nothing is known of.
pub const FIRST: Place = Place::MIN;
/// The place of what comes after everything.
const LAST: Place = Place::MAX;

impl FirstKey {
    /// The place of a value; `None` if its type has no places.
    #[must_use]
    pub fn place(&self, value: &ScalarValue) -> Option<Place> {
        if !has_places(&value.data_type()) {
            return None;
        }
        self.places(&value.to_array().ok()?).ok()?.first().copied()
    }

    /// The places of values.
    fn places(&self, values: &dyn Array) -> Result<Vec<Place>> {
        let of_null = if self.nulls_first { FIRST } else { LAST };
        let turned = |number: i128| if self.descending { number.saturating_neg() } else { number };
        let numbers = numbers(values)?;
        Ok(numbers.into_iter().map(|number| number.map_or(of_null, turned)).collect())
    }
}

/// True for types whose values have one order, in which footers give the first and the last value as it is.
#[must_use]
pub fn has_places(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(_, _)
            | DataType::Decimal32(_, _)
            | DataType::Decimal64(_, _)
            | DataType::Decimal128(_, _)
    )
}

/// Values as whole numbers in the same order: the digits of decimals, and what stands for days and times.
fn numbers(values: &dyn Array) -> Result<Vec<Option<i128>>> {
    let narrow = match values.data_type() {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => {
            Some(DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale))
        }
        DataType::Date32 | DataType::Time32(_) => Some(DataType::Int32),
        _ => None,
    };
    if let Some(wider) = narrow {
        return numbers(&cast(values, &wider)?);
    }
    if let Some(decimals) = values.as_primitive_opt::<Decimal128Type>() {
        return Ok(decimals.iter().collect());
    }
    let whole = cast(values, &DataType::Int64)?;
    Ok(whole.as_primitive::<Int64Type>().iter().map(|number| number.map(i128::from)).collect())
}

/// Reads the files of each partition best first, and stops before those that cannot matter.
#[derive(Debug)]
pub struct BestFirstExec {
    input: Arc<dyn ExecutionPlan>,
    key: FirstKey,
    rows: usize,
    /// For each file of each partition, in the order of the scan below, a place before which none of its rows comes.
    files: Vec<Vec<Place>>,
}

impl BestFirstExec {
    /// `input` has one scan of files and works row by row above it. In each partition the scan has as many files as
    /// `files`, whose places ascend. The first `rows` rows are wanted of each partition.
    #[must_use]
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        key: FirstKey,
        rows: usize,
        files: Vec<Vec<Place>>,
    ) -> Self {
        Self { input, key, rows, files }
    }

    /// The input.
    #[must_use]
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The key by which rows come first.
    #[must_use]
    pub fn key(&self) -> FirstKey {
        self.key
    }

    /// Rows that are wanted of each partition.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// For each file of each partition, a place before which none of its rows comes.
    #[must_use]
    pub fn files(&self) -> &[Vec<Place>] {
        &self.files
    }
}

impl DisplayAs for BestFirstExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: FirstKey { column, descending, nulls_first }, rows, files, .. } = self;
        let name = self.input.schema().field(*column).name().clone();
        let order = if *descending { "DESC" } else { "ASC" };
        let nulls = if *nulls_first { "FIRST" } else { "LAST" };
        let count: usize = files.iter().map(Vec::len).sum();
        // The places are many. Two operators with other places show another sum.
        let places: Vec<u8> =
            files.iter().flatten().flat_map(|place| place.to_le_bytes()).collect();
        let digest = digest_of(&places);
        write!(
            f,
            "BestFirstExec: {name}@{column} {order} NULLS {nulls}, rows={rows}, files={count}, places={digest}"
        )
    }
}

impl ExecutionPlan for BestFirstExec {
    fn name(&self) -> &'static str {
        "BestFirstExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // The files of a partition are in their order already.
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.pop()) {
            (Some(input), None) => {
                Ok(Arc::new(Self::new(input, self.key, self.rows, self.files.clone())))
            }
            _ => internal_err!("BestFirstExec has one input"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(places) = self.files.get(partition).cloned() else {
            return internal_err!("BestFirstExec has no files for partition {partition}");
        };
        let reading = Reading {
            input: Arc::clone(&self.input),
            context,
            partition,
            key: self.key,
            places,
            next: 0,
            at_once: 1,
            best: Best { rows: self.rows, places: BinaryHeap::new() },
            rows: None,
        };
        let rows = futures::stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.batch().await?.map(|batch| (batch, reading)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// A partition that is read.
struct Reading {
    input: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    partition: usize,
    key: FirstKey,
    places: Vec<Place>,
    /// The first file that was not opened.
    next: usize,
    /// Files that are opened together the next time. Each time they are twice as many: the scan opens one while it reads
    /// another, which matters where many files must be read after all.
    at_once: usize,
    best: Best,
    rows: Option<SendableRecordBatchStream>,
}

impl Reading {
    async fn batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let rows = match &mut self.rows {
                Some(rows) => rows,
                none => match open(
                    &self.input,
                    self.partition,
                    take(&mut self.next, &mut self.at_once, &self.places, &self.best),
                )? {
                    Some(files) => none.insert(files.execute(0, Arc::clone(&self.context))?),
                    None => return Ok(None),
                },
            };
            match rows.next().await {
                Some(batch) => {
                    let batch = batch?;
                    self.best.add(self.key.places(batch.column(self.key.column))?);
                    return Ok(Some(batch));
                }
                None => self.rows = None,
            }
        }
    }
}

/// The files to open next: none if none of them can matter.
fn take(next: &mut usize, at_once: &mut usize, places: &[Place], best: &Best) -> Range<usize> {
    let first = *next;
    let most = places.len().min(first + *at_once);
    let count = places[first..most].iter().take_while(|place| best.wants(**place)).count();
    *next = if count < most - first { places.len() } else { most };
    *at_once *= 2;
    first..first + count
}

/// The input with these files of one partition as its only partition.
fn open(
    input: &Arc<dyn ExecutionPlan>,
    partition: usize,
    files: Range<usize>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if files.is_empty() {
        return Ok(None);
    }
    let narrowed = Arc::clone(input).transform_up(|node| {
        let Some(scan) = file_scan(&node) else { return Ok(Transformed::no(node)) };
        let group = scan.file_groups.get(partition).map(FileGroup::files).unwrap_or_default();
        let Some(group) = group.get(files.clone()) else {
            return internal_err!("BestFirstExec has another number of files than its scan");
        };
        let scan = FileScanConfigBuilder::from(scan.clone())
            .with_file_groups(vec![FileGroup::new(group.to_vec())])
            .build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(scan) as Arc<dyn ExecutionPlan>))
    });
    narrowed.data().map(Some)
}

/// The places of the best rows that were seen.
#[derive(Debug)]
struct Best {
    /// How many are wanted.
    rows: usize,
    /// The last of them on top.
    places: BinaryHeap<Place>,
}

impl Best {
    fn add(&mut self, places: impl IntoIterator<Item = Place>) {
        for place in places {
            if self.places.len() < self.rows {
                self.places.push(place);
            } else if self.places.peek().is_some_and(|last| place < *last) {
                self.places.pop();
                self.places.push(place);
            }
        }
    }

    /// True if a row at `place` may be among the first.
    fn wants(&self, place: Place) -> bool {
        self.places.len() < self.rows || self.places.peek().is_none_or(|last| place <= *last)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int64Array};

    use super::*;

    const UP: FirstKey = FirstKey { column: 0, descending: false, nulls_first: false };

    #[test]
    fn places_ascend_as_rows_do() {
        let down = FirstKey { descending: true, nulls_first: true, ..UP };
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None, Some(-2)]));
        assert_eq!(UP.places(&numbers).unwrap(), [3, LAST, -2]);
        assert_eq!(down.places(&numbers).unwrap(), [-3, FIRST, 2]);
        let days: ArrayRef = Arc::new(Date32Array::from(vec![7]));
        assert_eq!(UP.places(&days).unwrap(), [7]);
        assert_eq!(UP.place(&ScalarValue::Date32(Some(7))), Some(7));
        let sums = Decimal128Array::from(vec![i128::MAX / 2]).with_precision_and_scale(38, 2);
        assert_eq!(UP.places(&sums.unwrap()).unwrap(), [i128::MAX / 2]);
        assert_eq!(UP.place(&ScalarValue::Decimal64(Some(725), 10, 2)), Some(725));
        assert_eq!(UP.place(&ScalarValue::Utf8(Some("a".to_owned()))), None);
    }

    #[test]
    fn files_are_taken_until_none_can_matter() {
        let places = [FIRST, 1, 5, 5, 9, 20];
        let mut best = Best { rows: 3, places: BinaryHeap::new() };
        let (mut next, mut at_once) = (0, 1);
        let mut take = |best: &Best| take(&mut next, &mut at_once, &places, best);
        assert_eq!(take(&best), 0..1);
        best.add([7, 5]);
        // Two rows are too few to leave a file out.
        assert_eq!(take(&best), 1..3);
        best.add([5, 30]);
        // The third row so far is at 7, so the file that begins at 9 has none of the first three.
        assert_eq!(take(&best), 3..4);
        assert_eq!(take(&best), 6..6);
    }

    #[test]
    fn equal_rows_may_matter() {
        let mut best = Best { rows: 2, places: BinaryHeap::new() };
        assert!(best.wants(LAST));
        best.add([4, 4, 8]);
        assert!(best.wants(4) && !best.wants(5));
    }
}
