//! A condition on a row: its keys may be among the keys of a join's other side.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow_schema::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

use crate::KeyFilter;
use crate::key_filter::key_hashes;
use crate::router::TRIAL_ROWS;

/// True for rows whose keys a [`KeyFilter`] may contain. A scan of Parquet that has it as a condition decodes the keys first,
/// and the other columns only of rows that pass. It lets rows through that match nothing: whoever joins them drops them.
///
/// A filter that drops almost nothing is not asked any more.
#[derive(Debug, Clone)]
pub struct KnownKeys {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    filter: Arc<KeyFilter>,
    trial: Arc<Trial>,
}

/// How many rows were asked for, and how many passed.
#[derive(Debug, Default)]
struct Trial {
    seen: AtomicUsize,
    kept: AtomicUsize,
}

impl Trial {
    /// Whether less than an eighth of the rows were dropped.
    fn is_useless(&self) -> bool {
        let seen = self.seen.load(Ordering::Relaxed);
        seen >= TRIAL_ROWS && self.kept.load(Ordering::Relaxed) > seen / 8 * 7
    }

    fn count(&self, seen: usize, kept: usize) {
        self.seen.fetch_add(seen, Ordering::Relaxed);
        self.kept.fetch_add(kept, Ordering::Relaxed);
    }
}

impl KnownKeys {
    /// Whether `filter` may contain `keys`, which correspond, one to one, to the expressions that it was made from.
    #[must_use]
    pub fn new(keys: Vec<Arc<dyn PhysicalExpr>>, filter: Arc<KeyFilter>) -> Self {
        Self { keys, filter, trial: Arc::default() }
    }
}

impl PartialEq for KnownKeys {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys && Arc::ptr_eq(&self.filter, &other.filter)
    }
}

impl Eq for KnownKeys {}

impl Hash for KnownKeys {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.keys.hash(state);
        Arc::as_ptr(&self.filter).hash(state);
    }
}

impl fmt::Display for KnownKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        write!(f, "known_keys({})", keys.join(", "))
    }
}

impl PhysicalExpr for KnownKeys {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.trial.is_useless() {
            return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))));
        }
        let mut hashes = Vec::new();
        key_hashes(&self.keys, batch, &mut hashes)?;
        let mask = self.filter.mask(&hashes);
        self.trial.count(mask.len(), mask.true_count());
        Ok(ColumnarValue::Array(Arc::new(mask)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.keys.iter().collect()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let (filter, trial) = (Arc::clone(&self.filter), Arc::clone(&self.trial));
        Ok(Arc::new(Self { keys: children, filter, trial }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
