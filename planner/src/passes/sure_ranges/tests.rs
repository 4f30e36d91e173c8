#![allow(clippy::unwrap_used)]

use datafusion::arrow::datatypes::Field;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, col, lit};

use super::*;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("i", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
        Field::new("s", DataType::Utf8, true),
    ])
}

#[test]
fn conditions_on_floats_are_told_from_others() {
    let schema = schema();
    let column = |name: &str| col(name, &schema).unwrap();
    let compared = |left, operator, right| -> Arc<dyn PhysicalExpr> {
        Arc::new(BinaryExpr::new(left, operator, right))
    };
    let cast = |expr, to| -> Arc<dyn PhysicalExpr> { Arc::new(CastExpr::new(expr, to, None)) };
    let five = || lit(ScalarValue::Float64(Some(5.0)));
    let of_whole = compared(column("i"), Operator::Gt, lit(5_i64));
    let of_float = compared(column("x"), Operator::Gt, five());
    let either = compared(Arc::clone(&of_whole), Operator::Or, Arc::clone(&of_float));
    let widened = compared(cast(column("i"), DataType::Float64), Operator::Gt, five());
    let read = compared(cast(column("s"), DataType::Float64), Operator::Gt, five());
    let narrowed = compared(cast(column("x"), DataType::Int64), Operator::Gt, lit(5_i64));
    let null: Arc<dyn PhysicalExpr> = Arc::new(IsNullExpr::new(column("x")));
    let null_sum = compared(column("x"), Operator::Plus, five());
    let null_sum: Arc<dyn PhysicalExpr> = Arc::new(IsNotNullExpr::new(null_sum));
    for (condition, asked) in [
        (of_whole, false),
        (of_float, true),
        (either, true),
        (widened, false),
        (read, true),
        (narrowed, true),
        (null, false),
        (null_sum, true),
    ] {
        assert_eq!(asks_float(&condition, &schema).unwrap(), asked, "{condition}");
    }
}

#[test]
fn a_cast_that_may_change_the_order_tells_nothing() {
    use datafusion::arrow::datatypes::TimeUnit::{Microsecond, Millisecond};
    let at = |unit, zone: Option<&str>| DataType::Timestamp(unit, zone.map(Into::into));
    for (from, to, keeps) in [
        (at(Microsecond, None), DataType::Time64(Microsecond), false),
        (at(Microsecond, None), DataType::Date32, true),
        (at(Microsecond, Some("Europe/Berlin")), DataType::Date32, false),
        (at(Microsecond, Some("UTC")), at(Millisecond, None), true),
        (at(Microsecond, None), at(Microsecond, Some("Europe/Berlin")), false),
        (DataType::Int64, DataType::Boolean, false),
        (DataType::Boolean, DataType::Int64, false),
        (DataType::Int64, DataType::Int8, true),
        (DataType::Decimal128(10, 3), DataType::Int64, true),
        (DataType::Int64, DataType::Utf8, false),
        (DataType::Utf8, DataType::Utf8View, true),
    ] {
        assert_eq!(keeps_order(&from, &to), keeps, "{from} to {to}");
    }
}
