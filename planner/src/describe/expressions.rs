//! Describes expressions as text, completely, with a size in proportion to the expression.
//!
//! The debug form contains everything about an expression, but some expressions print a part of themselves twice
//! (`CASE` does, for how it is evaluated), so forty nested ones would print 2⁴⁰ times. Here each node is printed
//! once, with columns in the place of its children, and then its children.

use std::fmt::{Debug, Write};
use std::sync::Arc;

use datafusion::common::{Result, not_impl_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

/// The longest text of one expression, or of one part that only its debug form describes.
const MOST: usize = 16 << 20;

/// Everything about an expression.
///
/// # Errors
/// The expression is too large to describe.
pub(crate) fn expression(expr: &Arc<dyn PhysicalExpr>) -> Result<String> {
    let mut text = String::new();
    append(&mut text, expr)?;
    Ok(text)
}

/// Everything about several expressions.
///
/// # Errors
/// As [`expression`].
pub(crate) fn expressions<'a>(
    exprs: impl IntoIterator<Item = &'a Arc<dyn PhysicalExpr>>,
) -> Result<String> {
    let mut text = String::new();
    for expr in exprs {
        append(&mut text, expr)?;
        text.push(';');
    }
    Ok(text)
}

fn append(text: &mut String, expr: &Arc<dyn PhysicalExpr>) -> Result<()> {
    let children = expr.children();
    let stand_in = |at| Arc::new(Column::new("_", at)) as Arc<dyn PhysicalExpr>;
    let shallow = if children.is_empty() {
        None
    } else {
        Arc::clone(expr).with_new_children((0..children.len()).map(stand_in).collect()).ok()
    };
    let Some(shallow) = shallow else {
        // A leaf, or an expression that accepts no other children.
        *text += &debug(expr)?;
        return Ok(());
    };
    *text += &debug(&shallow)?;
    text.push('(');
    for child in children {
        append(text, child)?;
        text.push(',');
    }
    text.push(')');
    if text.len() > MOST {
        return not_impl_err!("an expression is too large to be compared");
    }
    Ok(())
}

/// The debug form, if it is not too long.
///
/// # Errors
/// It is longer than 16 MiB.
pub(crate) fn debug(value: &dyn Debug) -> Result<String> {
    struct Bounded(String);
    impl Write for Bounded {
        fn write_str(&mut self, part: &str) -> std::fmt::Result {
            if self.0.len() + part.len() > MOST {
                return Err(std::fmt::Error);
            }
            self.0.push_str(part);
            Ok(())
        }
    }
    let mut text = Bounded(String::new());
    match write!(text, "{value:?}") {
        Ok(()) => Ok(text.0),
        Err(_) => not_impl_err!("a part of the plan is too large to be compared"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Literal, case};

    use super::*;

    fn number(value: i64) -> Arc<dyn PhysicalExpr> {
        Arc::new(Literal::new(ScalarValue::Int64(Some(value))))
    }

    fn column() -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new("k", 0))
    }

    #[test]
    fn a_deep_case_is_told_in_proportion() {
        let mut expr = column();
        for level in 0..200 {
            let when = Arc::new(BinaryExpr::new(column(), Operator::Gt, number(level)));
            let then = Arc::new(BinaryExpr::new(Arc::clone(&expr), Operator::Plus, number(1)));
            expr = case(None, vec![(when, then)], Some(number(level))).unwrap();
        }
        let text = expression(&expr).unwrap();
        assert!(text.len() < 2 << 20, "{}", text.len());
    }

    #[test]
    fn what_differs_deep_down_differs_in_the_text() {
        let schema = Schema::new(vec![Field::new("k", DataType::Int64, true)]);
        let with = |inner: Arc<dyn PhysicalExpr>| {
            let sum = Arc::new(BinaryExpr::new(inner, Operator::Plus, number(1)));
            assert!(sum.data_type(&schema).is_ok());
            expression(&(sum as Arc<dyn PhysicalExpr>)).unwrap()
        };
        let cast = |nullable| {
            let field = Arc::new(Field::new("x", DataType::Int64, nullable));
            Arc::new(CastExpr::new_with_target_field(column(), field, None))
        };
        assert_eq!(with(cast(true)), with(cast(true)));
        assert_ne!(with(cast(true)), with(cast(false)));
        assert_ne!(with(number(1)), with(number(2)));
        assert_ne!(with(column()), with(number(2)));
    }
}
