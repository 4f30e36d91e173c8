//! What is known of a column, by the statistics of its files.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue};

/// What is known of a column.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// The most different values that it has, before filters; infinite if nothing is known.
    pub(super) distinct: f64,
    /// The smallest and the largest value, as numbers.
    pub(super) range: Option<(f64, f64)>,
    /// True if its values are few in a long range: then it is hardly all values that there are.
    pub(super) sparse: bool,
    /// The part of its values that are NULL.
    pub(super) nulls: f64,
    /// True for a sum, an average and the like.
    pub(super) of_group: bool,
}

/// Values of a column that has fewer of them than one in so many of its range are sparse.
const SPARSE: f64 = 16.0;

impl Facts {
    pub(super) fn of(statistics: &ColumnStatistics, rows: f64) -> Self {
        let value = |known: &Precision<ScalarValue>| known.get_value().and_then(number);
        let range = value(&statistics.min_value).zip(value(&statistics.max_value));
        let range = range.filter(|(min, max)| min <= max);
        let counted = statistics.distinct_count.get_value().map(|count| float(*count));
        let is_whole = statistics.min_value.get_value().is_some_and(|value| {
            let data_type = value.data_type();
            data_type.is_integer() || matches!(data_type, DataType::Date32)
        });
        let length = range.filter(|_| is_whole).map(|(min, max)| max - min + 1.0);
        let most = length.unwrap_or(f64::INFINITY).min(rows);
        let nulls = statistics.null_count.get_value().map_or(0.0, |count| float(*count));
        Self {
            distinct: counted.unwrap_or(most).clamp(1.0, rows.max(1.0)),
            range,
            sparse: length.is_some_and(|length| rows * SPARSE < length),
            nulls: if rows > 0.0 { (nulls / rows).clamp(0.0, 1.0) } else { 0.0 },
            of_group: false,
        }
    }

    pub(super) fn unknown(rows: f64) -> Self {
        Self { distinct: rows.max(1.0), ..Self::default() }
    }
}

#[allow(clippy::cast_precision_loss)] // an estimate
pub(super) fn float(count: usize) -> f64 {
    count as f64
}

/// A value as a number, if its type has an order that numbers show.
pub(super) fn number(value: &ScalarValue) -> Option<f64> {
    if value.is_null() {
        return None;
    }
    if let ScalarValue::Decimal128(Some(digits), _, scale) = value {
        #[allow(clippy::cast_precision_loss)] // an estimate
        return Some(*digits as f64 / 10f64.powi(i32::from(*scale)));
    }
    let data_type = value.data_type();
    if !data_type.is_numeric() && !data_type.is_temporal() {
        return None;
    }
    let whole = match data_type {
        DataType::Date32 => value.cast_to(&DataType::Int32).ok()?,
        _ if data_type.is_temporal() => value.cast_to(&DataType::Int64).ok()?,
        _ => value.clone(),
    };
    match whole.cast_to(&DataType::Float64).ok()? {
        ScalarValue::Float64(Some(number)) if number.is_finite() => Some(number),
        _ => None,
    }
}
