//! What clients ask the catalog for that the engine cannot plan, said in a way that it can.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, Query, Select, SelectItem, SetExpr, Statement, Value, VisitMut, VisitorMut,
};

/// Parts of statements, and what says the same here: no table has options or keys, the input function of a type is known by
/// its name, and the engine knows one letter that escapes.
const OTHERWISE: &[(&str, &str)] = &[
    (
        "pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from pg_catalog.unnest(tc.reloptions) x), ', ')",
        "''",
    ),
    ("typinput='pg_catalog.array_in'::regproc", "typinput='array_in'"),
    ("NOT LIKE $1::VARCHAR || '%' ESCAPE '/'", "NOT LIKE replace($1::VARCHAR, '/', '\\') || '%'"),
    ("NOT LIKE 'pg/_' || '%' ESCAPE '/'", "NOT LIKE 'pg\\_%'"),
    ("(information_schema._pg_expandarray(i.indkey)).n", "0"),
    ("information_schema._pg_expandarray(i.indkey)", "0"),
    ("(result.KEYS).x", "result.KEYS"),
];

/// The text of a statement with what the parser does not read said otherwise.
pub(super) fn text(sql: &str) -> String {
    let mut sql = sql.to_owned();
    for (said, otherwise) in OTHERWISE {
        if sql.contains(said) {
            sql = sql.replace(said, otherwise);
        }
    }
    sql
}

/// Functions that make one row of many.
const AGGREGATES: &[&str] =
    &["array_agg", "avg", "bool_and", "bool_or", "count", "max", "min", "string_agg", "sum"];

/// The engine takes a subquery as a value only if it is an aggregate. One that has a row at most has the same value as the
/// greatest of its rows.
pub(super) fn statement(statement: &mut Statement) {
    let _: ControlFlow<()> = statement.visit(&mut Values);
}

struct Values;

impl VisitorMut for Values {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            for item in &mut select.projection {
                name_missing(item);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        match expression {
            Expr::Subquery(query) => aggregate(query),
            Expr::CompoundIdentifier(column) if missing(column).is_some() => *expression = null(),
            Expr::Function(function) => {
                if let Some(part) = of_a_key(function).or_else(|| list_of_rows(function)) {
                    *expression = part;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Columns that the tables of the catalog here do not have. In Postgres they may be NULL.
const MISSING: &[&str] = &["reloptions"];

fn missing(column: &[Ident]) -> Option<&Ident> {
    column.last().filter(|last| MISSING.contains(&last.value.as_str()))
}

/// A missing column of an answer keeps its name.
fn name_missing(item: &mut SelectItem) {
    if let SelectItem::UnnamedExpr(Expr::CompoundIdentifier(column)) = item
        && let Some(name) = missing(column)
    {
        *item = SelectItem::ExprWithAlias { expr: null(), alias: name.clone() };
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

/// `ARRAY(SELECT x …)` as `(SELECT array_agg(x) …)`.
fn list_of_rows(function: &Function) -> Option<Expr> {
    let name = function.name.0.last()?.as_ident()?;
    let FunctionArguments::Subquery(query) = &function.args else { return None };
    if !name.value.eq_ignore_ascii_case("array") {
        return None;
    }
    let mut query = query.clone();
    let value = only_value(&mut query)?;
    *value = call("array_agg", value.clone());
    Some(Expr::Subquery(query))
}

/// What stands for a column of a key, `unnest(i.indkey)`, and for its place, `generate_subscripts(i.indkey, 1)`. There are no
/// keys, so there is no row that would have the value.
fn of_a_key(function: &Function) -> Option<Expr> {
    let name = function.name.0.last()?.as_ident()?.value.to_lowercase();
    let FunctionArguments::List(list) = &function.args else { return None };
    let arguments: Option<Vec<&Expr>> = list.args.iter().map(argument).collect();
    match (name.as_str(), arguments?.as_slice()) {
        (
            "unnest" | "generate_subscripts",
            [Expr::CompoundIdentifier(column)] | [Expr::CompoundIdentifier(column), _],
        ) => number_beside(column),
        _ => None,
    }
}

fn argument(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
        _ => None,
    }
}

/// A column with a number in the same table, if this column has the parts of a key.
fn number_beside(column: &[Ident]) -> Option<Expr> {
    let (last, table) = column.split_last()?;
    let number = match last.value.as_str() {
        "indkey" | "indclass" | "indcollation" | "indoption" => "indnkeyatts",
        "conkey" | "confkey" => "conrelid",
        _ => return None,
    };
    let mut beside = table.to_vec();
    beside.push(Ident::new(number));
    Some(Expr::CompoundIdentifier(beside))
}

fn aggregate(query: &mut Query) {
    if let Some(value) = only_value(query)
        && !is_aggregate(value)
    {
        *value = call("max", value.clone());
    }
}

/// The one column of a query over tables that takes all of its rows.
fn only_value(query: &mut Query) -> Option<&mut Expr> {
    if query.limit_clause.is_some() || query.fetch.is_some() || query.order_by.is_some() {
        return None;
    }
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let Select { projection, distinct: None, from, .. } = select.as_mut() else { return None };
    let ([item], false) = (projection.as_mut_slice(), from.is_empty()) else { return None };
    match item {
        SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. } => {
            Some(value)
        }
        _ => None,
    }
}

/// Whether a value is an aggregate, or is made of one.
fn is_aggregate(value: &Expr) -> bool {
    struct Found(bool);
    impl VisitorMut for Found {
        type Break = ();

        fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
            if let Expr::Function(Function { name, .. }) = expression
                && let Some(last) = name.0.last().and_then(|part| part.as_ident())
            {
                self.0 |= AGGREGATES.contains(&last.value.to_lowercase().as_str());
            }
            ControlFlow::Continue(())
        }
    }
    let mut found = Found(false);
    let _ = value.clone().visit(&mut found);
    found.0
}

fn call(name: &str, value: Expr) -> Expr {
    let arguments = FunctionArgumentList {
        duplicate_treatment: None,
        args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(value))],
        clauses: Vec::new(),
    };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(arguments),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn rewritten(sql: &str) -> String {
        let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        statement(&mut parsed[0]);
        parsed[0].to_string()
    }

    #[test]
    fn a_subquery_that_is_a_value_is_an_aggregate() {
        let sql = "SELECT (SELECT d.x FROM d WHERE d.a = t.a) AS x FROM t";
        assert_eq!(rewritten(sql), "SELECT (SELECT max(d.x) FROM d WHERE d.a = t.a) AS x FROM t");
        for same in [
            "SELECT (SELECT count(*) + 1 FROM d WHERE d.a = t.a) FROM t",
            "SELECT (SELECT 1) FROM t",
            "SELECT (SELECT x FROM d ORDER BY y LIMIT 1) FROM t",
            "SELECT a FROM t WHERE a IN (SELECT x FROM d)",
            "SELECT a FROM t WHERE EXISTS (SELECT x FROM d WHERE d.a = t.a)",
        ] {
            assert_eq!(rewritten(same), same);
        }
    }

    #[test]
    fn rows_as_a_list_are_an_aggregate() {
        let sql = "SELECT ARRAY(SELECT b.name FROM b WHERE b.a = t.a) FROM t";
        let expected = "SELECT (SELECT array_agg(b.name) FROM b WHERE b.a = t.a) FROM t";
        assert_eq!(rewritten(sql), expected);
    }

    #[test]
    fn a_column_of_a_key_is_a_number() {
        let sql = "SELECT unnest(pg_index.indkey) AS n, generate_subscripts(pg_index.indkey, $1) AS at FROM pg_index";
        assert_eq!(
            rewritten(sql),
            "SELECT pg_index.indnkeyatts AS n, pg_index.indnkeyatts AS at FROM pg_index"
        );
        assert_eq!(rewritten("SELECT unnest(t.list) FROM t"), "SELECT unnest(t.list) FROM t");
    }

    #[test]
    fn a_column_that_is_missing_is_null() {
        let sql = "SELECT c.reloptions, c.relname FROM pg_class AS c WHERE c.reloptions IS NULL";
        let expected = "SELECT NULL AS reloptions, c.relname FROM pg_class AS c WHERE NULL IS NULL";
        assert_eq!(rewritten(sql), expected);
    }

    #[test]
    fn parts_that_cannot_be_read_are_said_otherwise() {
        let sql = "SELECT 1 WHERE nspname NOT LIKE 'pg/_' || '%' ESCAPE '/'";
        assert_eq!(text(sql), "SELECT 1 WHERE nspname NOT LIKE 'pg\\_%'");
    }
}
