//! Which rows of a table a statement wants, as far as comparisons of a column with constants tell.

use std::cmp::Ordering;

use datafusion::arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{BinaryExpr, InList};
use datafusion::logical_expr::{Expr, Operator};

/// What a condition compares its column with.
#[derive(Clone, Debug, PartialEq)]
enum Compared {
    /// With these values; one of them is enough.
    OneOf(Vec<ScalarValue>),
    /// With an upper bound; true: the bound itself passes.
    Below(ScalarValue, bool),
    /// With a lower bound; true: the bound itself passes.
    Above(ScalarValue, bool),
}

/// A column that is compared with constants of its own type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    column: String,
    compared: Compared,
}

/// Which rows of a table a statement wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    pub(super) conditions: Vec<Condition>,
    pub(super) limit: Option<usize>,
}

impl Wanted {
    /// All rows, or so many of them.
    #[must_use]
    pub fn all(limit: Option<usize>) -> Self {
        Self { conditions: Vec::new(), limit }
    }

    /// Rows whose value in `column` is in this range. Both bounds pass.
    #[must_use]
    pub fn between(column: &str, low: Option<ScalarValue>, high: Option<ScalarValue>) -> Self {
        let low = low.map(|bound| Compared::Above(bound, true));
        let high = high.map(|bound| Compared::Below(bound, true));
        let condition = |compared| Condition { column: column.to_owned(), compared };
        Self { conditions: low.into_iter().chain(high).map(condition).collect(), limit: None }
    }

    /// The most rows that are needed; `None`: all.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// Whether a row with this value in `column` passes all conditions on that column. As in WHERE, NULL passes none.
    #[must_use]
    pub fn admits(&self, column: &str, value: &ScalarValue) -> bool {
        self.of(column).all(|compared| match compared {
            Compared::OneOf(values) => !value.is_null() && values.contains(value),
            Compared::Below(bound, with) => match value.partial_cmp(bound) {
                Some(Ordering::Less) => !value.is_null(),
                Some(Ordering::Equal) => *with,
                _ => false,
            },
            Compared::Above(bound, with) => match value.partial_cmp(bound) {
                Some(Ordering::Greater) => !value.is_null(),
                Some(Ordering::Equal) => *with,
                _ => false,
            },
        })
    }

    /// The only values that a column may have; `None`: any.
    #[must_use]
    pub fn values(&self, column: &str) -> Option<Vec<&ScalarValue>> {
        let lists = self.of(column).filter_map(|compared| match compared {
            Compared::OneOf(values) => Some(values),
            _ => None,
        });
        let shortest = lists.min_by_key(|values| values.len())?;
        Some(shortest.iter().filter(|value| self.admits(column, value)).collect())
    }

    /// The least and the greatest value that a column may have, as far as that is bounded. The bounds themselves may not
    /// pass.
    #[must_use]
    pub fn range(&self, column: &str) -> (Option<&ScalarValue>, Option<&ScalarValue>) {
        let greater =
            |a: &&ScalarValue, b: &&ScalarValue| a.partial_cmp(b).unwrap_or(Ordering::Equal);
        let lower = self.of(column).flat_map(|compared| match compared {
            Compared::Above(bound, _) => Some(bound),
            Compared::OneOf(values) => values.iter().min_by(greater),
            Compared::Below(..) => None,
        });
        let upper = self.of(column).flat_map(|compared| match compared {
            Compared::Below(bound, _) => Some(bound),
            Compared::OneOf(values) => values.iter().max_by(greater),
            Compared::Above(..) => None,
        });
        (lower.max_by(greater), upper.min_by(greater))
    }

    fn of(&self, column: &str) -> impl Iterator<Item = &Compared> {
        let own = self.conditions.iter().filter(move |condition| condition.column == column);
        own.map(|condition| &condition.compared)
    }
}

impl Condition {
    /// What a filter says, if it is such a comparison and nothing more.
    pub(super) fn of(filter: &Expr, schema: &Schema) -> Option<Self> {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                // As the engine writes short lists.
                let (left, right) = (Self::of(left, schema)?, Self::of(right, schema)?);
                match (left.compared, right.compared) {
                    (Compared::OneOf(mut values), Compared::OneOf(more))
                        if left.column == right.column =>
                    {
                        values.extend(more);
                        Some(Self { column: left.column, compared: Compared::OneOf(values) })
                    }
                    _ => None,
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                match (left.as_ref(), right.as_ref()) {
                    (side, Expr::Literal(value, _)) => comparison(side, *op, value, schema),
                    (Expr::Literal(value, _), side) => comparison(side, op.swap()?, value, schema),
                    _ => None,
                }
            }
            Expr::InList(InList { expr, list, negated: false }) => {
                let column = column_of(expr, schema)?;
                let value = |item: &Expr| match item {
                    Expr::Literal(value, _) => fitting(value, &column.1),
                    _ => None,
                };
                let values = list.iter().map(value).collect::<Option<Vec<_>>>()?;
                Some(Self { column: column.0, compared: Compared::OneOf(values) })
            }
            _ => None,
        }
    }
}

fn comparison(
    side: &Expr,
    op: Operator,
    value: &ScalarValue,
    schema: &Schema,
) -> Option<Condition> {
    if let Expr::Cast(cast) = side {
        return of_nanoseconds(&cast.expr, op, value, schema);
    }
    let (column, kind) = column_of(side, schema)?;
    let value = fitting(value, &kind)?;
    Some(Condition { column, compared: compared(op, value)? })
}

fn compared(op: Operator, value: ScalarValue) -> Option<Compared> {
    Some(match op {
        Operator::Eq => Compared::OneOf(vec![value]),
        Operator::Lt => Compared::Below(value, false),
        Operator::LtEq => Compared::Below(value, true),
        Operator::Gt => Compared::Above(value, false),
        Operator::GtEq => Compared::Above(value, true),
        _ => return None,
    })
}

/// A column of microseconds that is compared with nanoseconds, such as `now()`: the engine casts the column, and the same is
/// said of whole microseconds.
fn of_nanoseconds(
    side: &Expr,
    op: Operator,
    value: &ScalarValue,
    schema: &Schema,
) -> Option<Condition> {
    let (column, kind) = column_of(side, schema)?;
    let (
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)),
        ScalarValue::TimestampNanosecond(Some(nanos), Some(_)),
    ) = (kind, value)
    else {
        return None;
    };
    let (below, is_whole) = (nanos.div_euclid(1_000), nanos.rem_euclid(1_000) == 0);
    let micros = |micros: i64| ScalarValue::TimestampMicrosecond(Some(micros), Some(zone.clone()));
    let compared = match op {
        _ if is_whole => compared(op, micros(below))?,
        Operator::Lt | Operator::LtEq => Compared::Below(micros(below), true),
        Operator::Gt | Operator::GtEq => Compared::Above(micros(below), false),
        _ => return None,
    };
    Some(Condition { column, compared })
}

fn column_of(expr: &Expr, schema: &Schema) -> Option<(String, DataType)> {
    let Expr::Column(column) = expr else { return None };
    let field = schema.field_with_name(&column.name).ok()?;
    Some((column.name.clone(), field.data_type().clone()))
}

/// A constant that is compared with a column of this type as the engine would.
fn fitting(value: &ScalarValue, kind: &DataType) -> Option<ScalarValue> {
    let is_plain = matches!(
        kind,
        DataType::Utf8
            | DataType::Int64
            | DataType::Boolean
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Microsecond, Some(_))
    );
    (is_plain && !value.is_null() && value.data_type() == *kind).then(|| value.clone())
}
