//! The values of parameters: a list of constants in Trino's words, behind USING.
//!
//! Drivers write each value as a constant of its type (`DECIMAL '1.50'`, `TIMESTAMP '…'`, `X'00ff'`, `ARRAY[…]`). Here they
//! become values with types, which the core binds to `$1`, `$2`, …. So a text is never read as SQL.

use std::ops::ControlFlow;

use datafusion::common::ScalarValue;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr as Logical, LogicalPlan};
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, SelectItem, SetExpr, Statement, TimezoneInfo, Value,
    ValueWithSpan, visit_expressions_mut,
};
use dunlin_planner::PlanError;

/// The most digits of a decimal.
const MOST_DIGITS: usize = 38;

fn refused(what: String) -> PlanError {
    PlanError::Setting(what)
}

/// Makes a session in which a time stamp with a zone keeps that it has one.
pub(super) fn keep_zones(state: &mut SessionState) {
    state.config_mut().options_mut().execution.time_zone = Some("+00:00".to_owned());
}

/// Writes constants of Trino as the engine reads them, and names them by their places. Returns how many there are.
///
/// # Errors
/// It is no list of values, or has a constant that cannot be read.
pub(super) fn rewritten(statement: &mut Statement) -> Result<usize, PlanError> {
    let no_list = || refused("USING is followed by a list of values, and this is none".to_owned());
    let Statement::Query(query) = &mut *statement else { return Err(no_list()) };
    let has_more = query.order_by.is_some() || query.limit_clause.is_some() || query.with.is_some();
    let SetExpr::Select(select) = query.body.as_mut() else { return Err(no_list()) };
    if has_more || !select.from.is_empty() || select.selection.is_some() || select.having.is_some()
    {
        return Err(no_list());
    }
    let count = select.projection.len();
    for (place, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expr) = item else { return Err(no_list()) };
        let alias = format!("p{place}").as_str().into();
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
    }
    let walked = visit_expressions_mut(statement, |expr| match constant(expr) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    });
    match walked {
        ControlFlow::Continue(()) => Ok(count),
        ControlFlow::Break(error) => Err(error),
    }
}

/// A constant with a type, if it is one that the engine reads otherwise than Trino.
fn constant(expr: &mut Expr) -> Result<(), PlanError> {
    let Expr::TypedString(typed) = &*expr else { return Ok(()) };
    let Value::SingleQuotedString(text) = &typed.value.value else { return Ok(()) };
    let cast = |text: &str, data_type| {
        let value = ValueWithSpan {
            value: Value::SingleQuotedString(text.to_owned()),
            span: typed.value.span,
        };
        let (kind, expr) = (CastKind::Cast, Box::new(Expr::Value(value)));
        Expr::Cast { kind, expr, data_type, array: false, format: None }
    };
    let new = match &typed.data_type {
        DataType::Decimal(_) | DataType::Numeric(_) | DataType::Dec(_) => {
            let text = text.trim();
            let (precision, scale) = digits(text)?;
            let exact = ExactNumberInfo::PrecisionAndScale(precision as u64, scale as i64);
            cast(text, DataType::Decimal(exact))
        }
        DataType::Timestamp(..) if has_zone(text) => {
            cast(&zoned(text), DataType::Timestamp(None, TimezoneInfo::WithTimeZone))
        }
        DataType::Uuid => {
            let value = Value::SingleQuotedString(text.to_lowercase());
            Expr::Value(ValueWithSpan { value, span: typed.value.span })
        }
        _ => return Ok(()),
    };
    *expr = new;
    Ok(())
}

/// The digits of a decimal number, and those behind the point.
fn digits(text: &str) -> Result<(usize, usize), PlanError> {
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let text: String = text.chars().take(64).collect();
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return Err(refused(format!("DECIMAL '{text}' is no decimal number")));
    }
    let whole = whole.trim_start_matches('0').len();
    let precision = (whole + fraction.len()).max(1);
    if precision > MOST_DIGITS {
        return Err(refused(format!("DECIMAL '{text}' has more than {MOST_DIGITS} digits")));
    }
    Ok((precision, fraction.len()))
}

/// Whether a time stamp names its zone: behind the time there is something.
fn has_zone(text: &str) -> bool {
    let Some((_, time)) = text.trim().split_once([' ', 'T']) else { return false };
    time.chars().any(|letter| !letter.is_ascii_digit() && letter != ':' && letter != '.')
}

/// A time stamp with its zone as the engine reads it: `UTC+02:00`, as some clients write it, is `+02:00`.
fn zoned(text: &str) -> String {
    let Some((time, zone)) = text.trim().rsplit_once(' ') else { return text.to_owned() };
    let offset = zone.strip_prefix("UTC").or_else(|| zone.strip_prefix("GMT"));
    match offset {
        Some("") => format!("{time}+00:00"),
        Some(offset) if offset.starts_with(['+', '-']) => format!("{time}{offset}"),
        _ => text.to_owned(),
    }
}

/// The values of an optimised plan of constants.
///
/// # Errors
/// They are not constant.
pub(super) fn constants(plan: &LogicalPlan, count: usize) -> Result<Vec<ScalarValue>, PlanError> {
    let not_constant = || {
        refused("the values behind USING are constants, and one of these is computed".to_owned())
    };
    let LogicalPlan::Projection(projection) = plan else { return Err(not_constant()) };
    let values = projection.expr.iter().map(|expr| match expr.clone().unalias() {
        Logical::Literal(value, _) => Some(value),
        _ => None,
    });
    let values: Vec<_> = values.collect::<Option<_>>().ok_or_else(not_constant)?;
    if values.len() == count { Ok(values) } else { Err(not_constant()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn values(using: &str) -> Result<Vec<ScalarValue>, String> {
        let mut state = SessionContext::new().state();
        keep_zones(&mut state);
        let dialect = state.config_options().sql_parser.dialect;
        let parsed = state.sql_to_statement(&format!("select {using}"), &dialect);
        let datafusion::sql::parser::Statement::Statement(mut parsed) =
            parsed.map_err(|error| error.to_string())?
        else {
            panic!("no statement")
        };
        let count = rewritten(&mut parsed).map_err(|error| error.to_string())?;
        let statement = datafusion::sql::parser::Statement::Statement(parsed);
        let plan = state.statement_to_plan(statement).await.map_err(|error| error.to_string())?;
        let plan = state.optimize(&plan).map_err(|error| error.to_string())?;
        constants(&plan, count).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn constants_keep_their_types_and_digits() {
        let using = "1, -2, 'it''s', NULL, true, DECIMAL '-001.50', DATE '2024-02-29', X'00ff', \
             TIMESTAMP '2024-02-29 12:00:00.123456', BIGINT '5', SMALLINT '6', DOUBLE '1.5', REAL '2.5', \
             UUID '12345678-1234-1234-1234-1234567890AB', '1 or 1=1'";
        let read = values(using).await.unwrap();
        assert_eq!(read[0], ScalarValue::Int64(Some(1)));
        assert_eq!(read[1], ScalarValue::Int64(Some(-2)));
        assert_eq!(read[2], ScalarValue::Utf8(Some("it's".to_owned())));
        assert!(read[3].is_null());
        assert_eq!(read[4], ScalarValue::Boolean(Some(true)));
        assert_eq!(read[5], ScalarValue::Decimal128(Some(-150), 3, 2));
        assert_eq!(read[6], ScalarValue::Date32(Some(19_782)));
        assert_eq!(read[7], ScalarValue::Binary(Some(vec![0, 255])));
        assert_eq!(
            read[8],
            ScalarValue::TimestampNanosecond(Some(1_709_208_000_123_456_000), None)
        );
        assert_eq!(read[9], ScalarValue::Int64(Some(5)));
        assert_eq!(read[10], ScalarValue::Int16(Some(6)));
        assert_eq!(read[11], ScalarValue::Float64(Some(1.5)));
        assert_eq!(read[12], ScalarValue::Float32(Some(2.5)));
        assert_eq!(
            read[13],
            ScalarValue::Utf8(Some("12345678-1234-1234-1234-1234567890ab".to_owned()))
        );
        assert_eq!(read[14], ScalarValue::Utf8(Some("1 or 1=1".to_owned())));
    }

    #[tokio::test]
    async fn a_time_with_a_zone_is_an_instant() {
        let read = values("TIMESTAMP '2024-02-29 12:00:00.5 +02:00'").await.unwrap();
        let ScalarValue::TimestampNanosecond(Some(nanos), Some(_)) = &read[0] else {
            panic!("{read:?}")
        };
        assert_eq!(*nanos, 1_709_200_800_500_000_000);
        for same in ["+02:00", "UTC+02:00", "GMT+02:00"] {
            let same = values(&format!("TIMESTAMP '2024-02-29 12:00:00.5 {same}'")).await;
            assert_eq!(same.as_ref(), Ok(&read));
        }
        let utc = values("TIMESTAMP '2024-02-29 10:00:00.5 UTC'").await;
        assert_eq!(utc, Ok(read));
        assert!(!has_zone("2024-02-29 12:00:00.5") && !has_zone("2024-02-29"));
        assert!(has_zone("2024-02-29 12:00 UTC") && has_zone("2024-02-29T12:00Z"));
    }

    #[tokio::test]
    async fn what_is_no_list_of_constants_is_refused() {
        for using in [
            "",
            "1 from t",
            "a",
            "1 union select 2",
            "DECIMAL 'x'",
            "DECIMAL '1234567890123456789012345678901234567890'",
            "random()",
            "1; select 2",
            "1 limit 1",
            "*",
        ] {
            assert!(values(using).await.is_err(), "{using}");
        }
    }
}
