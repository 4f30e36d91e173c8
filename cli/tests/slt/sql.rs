//! What a text asks for: whether it can be compared at all, the tables that it names, and the output columns
//! that it is ordered by.

use std::fmt::Display;

use arrow::array::RecordBatch;
use datafusion::execution::context::SessionContext;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, OrderByKind, Query, SelectItem, SetExpr, Value,
};

/// What to do with a text.
#[derive(Debug)]
pub(crate) enum Asks {
    /// Answer it in every form.
    Query(Box<Query>, Statement),
    /// It changes tables or settings.
    Change,
    /// Leave it out, for this reason.
    Nothing(&'static str),
}

/// Functions whose answer no second run repeats.
const VOLATILE: [&str; 8] = [
    "random(",
    "uuid(",
    "now(",
    "today(",
    "current_date",
    "current_time",
    "clock_timestamp",
    "current_timestamp",
];

/// Reads a text.
pub(crate) fn asks(sql: &str) -> Asks {
    let lower = sql.to_lowercase();
    let Ok(mut statements) = DFParser::parse_sql(sql) else {
        return Asks::Nothing("does not parse");
    };
    let (Some(statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return Asks::Nothing("not one statement");
    };
    let query = match &statement {
        Statement::Explain(_) => return Asks::Nothing("EXPLAIN"),
        Statement::Statement(inner) => match inner.as_ref() {
            ast::Statement::Query(query) => query.clone(),
            ast::Statement::ExplainTable { .. } => return Asks::Nothing("DESCRIBE"),
            ast::Statement::Explain { .. } => return Asks::Nothing("EXPLAIN"),
            other if other.to_string().starts_with("SHOW") => return Asks::Nothing("SHOW"),
            _ => return Asks::Change,
        },
        _ => return Asks::Change,
    };
    if matches!(query.body.as_ref(), SetExpr::Select(select) if select.into.is_some()) {
        return Asks::Change;
    }
    if matches!(query.body.as_ref(), SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_)) {
        return Asks::Change;
    }
    if VOLATILE.iter().any(|name| lower.contains(name)) {
        return Asks::Nothing("volatile");
    }
    if lower.contains("information_schema") {
        return Asks::Nothing("information_schema");
    }
    Asks::Query(query, statement)
}

/// The names that a statement takes rows from, as far as they may be tables.
pub(crate) fn tables(context: &SessionContext, statement: &Statement) -> Vec<String> {
    let Ok(named) = context.state().resolve_table_references(statement) else {
        return Vec::new();
    };
    let mut names: Vec<String> = named.iter().map(|name| name.table().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

/// The leading sort keys of the answer that are columns of it: the rows of two right answers may differ in
/// their order where these columns tie, and nowhere else.
pub(crate) fn sort_columns(query: &Query, answer: &[RecordBatch]) -> Vec<usize> {
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_ref().map(|by| &by.kind) else {
        return Vec::new();
    };
    if !query.pipe_operators.is_empty() {
        return Vec::new();
    }
    let Some(schema) = answer.first().map(RecordBatch::schema) else { return Vec::new() };
    let items = listed(query.body.as_ref()).filter(|items| items.len() == schema.fields().len());
    let found = keys.iter().map_while(|key| {
        let position = match &key.expr {
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => number.parse::<usize>().ok()?.checked_sub(1),
                _ => None,
            },
            Expr::Identifier(name) => named(&schema, name),
            // A name inside an expression is an input's, whatever the output is called.
            expr => items.and_then(|items| items.iter().position(|item| is(item, expr))),
        };
        position.filter(|&position| position < schema.fields().len())
    });
    found.collect()
}

fn listed(body: &SetExpr) -> Option<&Vec<SelectItem>> {
    match body {
        SetExpr::Select(select) => Some(&select.projection),
        _ => None,
    }
}

fn is(item: &SelectItem, expr: &impl Display) -> bool {
    match item {
        SelectItem::UnnamedExpr(listed) | SelectItem::ExprWithAlias { expr: listed, .. } => {
            listed.to_string() == expr.to_string()
        }
        _ => false,
    }
}

/// The one output column of that name.
fn named(schema: &arrow::datatypes::Schema, name: &Ident) -> Option<usize> {
    let wanted = match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    };
    let mut same = (0..schema.fields().len()).filter(|&at| *schema.field(at).name() == wanted);
    same.next().filter(|_| same.next().is_none())
}
