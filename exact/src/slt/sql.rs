//! What a SQL text needs: whether it can be compared at all, the tables that it names, and the output columns by
//! which it is ordered.

use std::ops::ControlFlow;

use arrow::array::RecordBatch;
use datafusion::execution::context::SessionContext;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, OrderByKind, Query, SelectItem, SetExpr, Value, Visit, Visitor,
};

/// Aggregates over a t-digest.
const DIGESTS: [&str; 2] = ["approx_median", "approx_percentile_cont"];

/// What to do with a text.
#[derive(Debug)]
pub(crate) enum Asks {
    /// Answer it in every form.
    Query(Box<Asked>),
    /// It changes tables or settings.
    Change,
    /// Leave it out, with this reason.
    Nothing(&'static str),
}

/// A query that every form can answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) query: Box<Query>,
    pub(crate) statement: Statement,
    /// The answer is not determined: a LIMIT or OFFSET in it cuts rows without an order, or a digest approximates,
    /// and its digits depend on which rows it processes together.
    pub(crate) loose: bool,
}

/// Functions whose answers differ from run to run.
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

/// Reads a text. For an EXPLAIN, the explained query is answered.
pub(crate) fn asks(sql: &str) -> Asks {
    let Ok(mut statements) = DFParser::parse_sql(sql) else {
        return Asks::Nothing("does not parse");
    };
    let (Some(statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return Asks::Nothing("not one statement");
    };
    match statement {
        Statement::Explain(explain) => {
            match asks_for(&explain.statement.to_string(), *explain.statement) {
                Asks::Change => Asks::Nothing("EXPLAIN of a change"),
                other => other,
            }
        }
        other => asks_for(sql, other),
    }
}

fn asks_for(text: &str, statement: Statement) -> Asks {
    let Statement::Statement(inner) = &statement else { return Asks::Change };
    let query = match inner.as_ref() {
        ast::Statement::Query(query) => query.clone(),
        ast::Statement::ExplainTable { .. } => return Asks::Nothing("DESCRIBE"),
        other if other.to_string().starts_with("SHOW") => return Asks::Nothing("SHOW"),
        _ => return Asks::Change,
    };
    let changes = match query.body.as_ref() {
        SetExpr::Select(select) => select.into.is_some(),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) => true,
        _ => false,
    };
    if changes {
        return Asks::Change;
    }
    let lower = text.to_lowercase();
    if VOLATILE.iter().any(|name| lower.contains(name)) {
        return Asks::Nothing("volatile");
    }
    if lower.contains("information_schema") {
        return Asks::Nothing("information_schema");
    }
    let loose =
        DIGESTS.iter().any(|name| lower.contains(name)) || query.visit(&mut FindLoose).is_break();
    Asks::Query(Box::new(Asked { text: text.to_owned(), query, statement, loose }))
}

/// Finds a query with a LIMIT or OFFSET and no order.
struct FindLoose;

impl Visitor for FindLoose {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let cut = query.limit_clause.is_some() || query.fetch.is_some();
        if cut && query.order_by.is_none() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// The names from which a statement reads rows, as far as they may be tables.
pub(crate) fn tables(context: &SessionContext, statement: &Statement) -> Vec<String> {
    let Ok(named) = context.state().resolve_table_references(statement) else {
        return Vec::new();
    };
    let mut names: Vec<String> = named.iter().map(|name| name.table().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

/// The leading sort keys of the answer that are columns of it. Two right answers may differ in the order of rows that
/// are equal in these columns, and nowhere else.
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
            // A name inside an expression belongs to an input, whatever the name of the output is.
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

fn is(item: &SelectItem, expr: &Expr) -> bool {
    match item {
        SelectItem::UnnamedExpr(listed) | SelectItem::ExprWithAlias { expr: listed, .. } => {
            listed == expr
        }
        _ => false,
    }
}

/// The only output column of that name.
fn named(schema: &arrow::datatypes::Schema, name: &Ident) -> Option<usize> {
    let wanted = match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    };
    let mut same = (0..schema.fields().len()).filter(|&at| *schema.field(at).name() == wanted);
    same.next().filter(|_| same.next().is_none())
}
