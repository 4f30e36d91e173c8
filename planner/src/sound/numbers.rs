//! Whole numbers that are too large for 64 bits.
//!
//! ```text
//!  12345678901234567890123       the engine: DOUBLE, 1.2345678901234568e22      here: DECIMAL(38, 0), digit by digit
//! ```
//! A number with a point or an exponent is a DOUBLE, as in the engine. So is a whole number of more than 38 digits.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, UnaryOperator, Value, ValueWithSpan, VisitMut,
    VisitorMut,
};

const MOST_DIGITS: usize = 38;

/// Writes such numbers as decimals.
pub(super) fn keep_digits(statement: &mut impl VisitMut) {
    let _ = statement.visit(&mut Keep);
}

struct Keep;

impl VisitorMut for Keep {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(decimal) = as_decimal(expr) {
            *expr = decimal;
        }
        ControlFlow::Continue(())
    }
}

fn as_decimal(expr: &Expr) -> Option<Expr> {
    let (value, is_negative) = match expr {
        Expr::Value(value) => (value, false),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Value(value) => (value, true),
            _ => return None,
        },
        _ => return None,
    };
    let Value::Number(text, _) = &value.value else { return None };
    let digits: String = text.chars().filter(|letter| *letter != '_').collect();
    if digits.is_empty() || !digits.bytes().all(|letter| letter.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    let fits = match is_negative {
        true => format!("-{digits}").parse::<i64>().is_ok(),
        false => digits.is_empty() || digits.parse::<u64>().is_ok(),
    };
    if fits || digits.len() > MOST_DIGITS {
        return None;
    }
    let sign = if is_negative { "-" } else { "" };
    let text = Value::SingleQuotedString(format!("{sign}{digits}"));
    Some(Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(ValueWithSpan { value: text, span: value.span })),
        data_type: DataType::Decimal(ExactNumberInfo::PrecisionAndScale(38, 0)),
        array: false,
        format: None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn only_whole_numbers_that_do_not_fit_are_written_as_decimals() {
        for (sql, expected) in [
            ("1, -1, 0, 000, 1_000", None),
            ("18446744073709551615, -9223372036854775808", None),
            ("0000000000000000000000000000000000000000001", None),
            ("18446744073709551616.0, 1e30", None),
            ("999999999999999999999999999999999999999", None),
            ("'18446744073709551616'", None),
            ("18446744073709551616", Some("CAST('18446744073709551616' AS DECIMAL(38,0))")),
            ("-9223372036854775809", Some("CAST('-9223372036854775809' AS DECIMAL(38,0))")),
            (
                "1 + 99999999999999999999999999999999999999",
                Some("1 + CAST('99999999999999999999999999999999999999' AS DECIMAL(38,0))"),
            ),
        ] {
            let text = format!("SELECT {sql}");
            let mut statement = Parser::parse_sql(&GenericDialect {}, &text).unwrap().remove(0);
            let before = statement.to_string();
            keep_digits(&mut statement);
            let expected = expected.map_or(before, |expected| format!("SELECT {expected}"));
            assert_eq!(statement.to_string(), expected);
        }
    }
}
