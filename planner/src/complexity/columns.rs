//! Counts the columns that the queries of a statement will have, from its syntax tree.
//!
//! `WITH b AS (SELECT x.*, y.* FROM a x, a y), c AS (SELECT x.*, y.* FROM b x, b y) …` doubles at every step, and the
//! engine lists all columns while it makes the logical plan. So they must be counted before.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias,
    TableFactor, Visit, Visitor,
};

use super::{StatementLimits, TooComplex};
use crate::error::PlanError;

/// Refuses a statement with a query that has too many columns. `widest` is the number of columns of the widest table
/// that it names. Every table is assumed to be that wide.
pub(crate) fn check_columns(
    statement: &Statement,
    widest: usize,
    limits: &StatementLimits,
) -> Result<(), PlanError> {
    let mut counter = Counter { widest, scopes: Vec::new(), most: limits.max_columns };
    let statement = match statement {
        Statement::Explain(explain) => explain.statement.as_ref(),
        other => other,
    };
    match statement {
        Statement::Statement(statement) if statement.visit(&mut counter).is_break() => {
            Err(TooComplex::Columns { most: limits.max_columns }.into())
        }
        _ => Ok(()),
    }
}

/// Counts from the outside to the inside: the tables that a query names are known when its parts are visited.
struct Counter {
    widest: usize,
    /// Columns of the common table expressions in scope, innermost last.
    scopes: Vec<HashMap<String, usize>>,
    most: usize,
}

impl Visitor for Counter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.scopes.push(HashMap::new());
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let columns = self.query(&cte.query);
            self.allowed(columns)?;
            self.name(&cte.alias, columns);
        }
        let columns = self.body(&query.body);
        self.allowed(columns)
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }
}

impl Counter {
    fn allowed(&self, columns: usize) -> ControlFlow<()> {
        if columns > self.most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn query(&mut self, query: &Query) -> usize {
        self.scopes.push(HashMap::new());
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let columns = self.query(&cte.query);
            self.name(&cte.alias, columns);
        }
        let columns = self.body(&query.body);
        self.scopes.pop();
        columns
    }

    /// Adds a common table expression to the scope of the innermost query.
    fn name(&mut self, alias: &TableAlias, columns: usize) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(alias.name.value.to_lowercase(), columns);
        }
    }

    fn body(&mut self, body: &SetExpr) -> usize {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => self.body(left).max(self.body(right)),
            SetExpr::Values(values) => values.rows.first().map_or(0, |row| row.content.len()),
            SetExpr::Table(_) => self.widest,
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => 0,
        }
    }

    fn select(&mut self, select: &Select) -> usize {
        let wild = |item: &SelectItem| {
            matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
        };
        if !select.projection.iter().any(wild) {
            return select.projection.len();
        }
        let mut named = HashMap::new();
        let mut all = 0_usize;
        for table in &select.from {
            for factor in std::iter::once(&table.relation)
                .chain(table.joins.iter().map(|join| &join.relation))
            {
                all = all.saturating_add(self.factor(factor, &mut named));
            }
        }
        let columns = select.projection.iter().map(|item| match item {
            SelectItem::Wildcard(_) => all,
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                named.get(&last(name)).copied().unwrap_or(all)
            }
            SelectItem::QualifiedWildcard(..) => all,
            _ => 1,
        });
        columns.fold(0, usize::saturating_add)
    }

    /// Columns of a relation. They are remembered under the relation's name in this query.
    fn factor(&mut self, factor: &TableFactor, named: &mut HashMap<String, usize>) -> usize {
        let (columns, name) = match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                (self.table(name), Some(called(alias.as_ref()).unwrap_or_else(|| last(name))))
            }
            TableFactor::Derived { subquery, alias, .. } => {
                (self.query(subquery), called(alias.as_ref()))
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                let factors = std::iter::once(&table_with_joins.relation)
                    .chain(table_with_joins.joins.iter().map(|join| &join.relation));
                let columns = factors.map(|factor| self.factor(factor, named));
                (columns.fold(0, usize::saturating_add), None)
            }
            // Table functions have only a few columns.
            _ => (self.widest, None),
        };
        if let Some(name) = name {
            named.insert(name, columns);
        }
        columns
    }

    fn table(&self, name: &ObjectName) -> usize {
        let name = last(name);
        let known = self.scopes.iter().rev().find_map(|scope| scope.get(&name));
        known.copied().unwrap_or(self.widest)
    }
}

fn called(alias: Option<&TableAlias>) -> Option<String> {
    alias.map(|alias| alias.name.value.to_lowercase())
}

fn last(name: &ObjectName) -> String {
    let part = name.0.last().and_then(|part| part.as_ident());
    part.map(|ident| ident.value.to_lowercase()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn passes(sql: &str, most: usize) -> bool {
        let statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        let limits = StatementLimits { max_columns: most, ..StatementLimits::default() };
        check_columns(&statement, 10, &limits).is_ok()
    }

    #[test]
    fn columns_are_counted_before_they_are_there() {
        for (sql, columns) in [
            ("SELECT 1, 2, 3", 3),
            ("SELECT * FROM t", 10),
            ("SELECT *, 1 FROM t a JOIN t b ON true", 21),
            ("SELECT a.*, b.x FROM t a JOIN t b ON true", 11),
            ("WITH a AS (SELECT 1, 2) SELECT x.*, y.* FROM a x, a y", 4),
            (
                "WITH a AS (SELECT 1, 2), b AS (SELECT x.*, y.* FROM a x, a y) SELECT * FROM b x, b y",
                8,
            ),
            ("SELECT 1 FROM (SELECT * FROM (SELECT 1, 2) a, (SELECT 1, 2, 3) b) c", 5),
            ("SELECT 1 WHERE EXISTS (WITH a AS (SELECT 1, 2) SELECT * FROM a, a b, a c)", 6),
            ("SELECT 1, 2 UNION ALL VALUES (1, 2)", 2),
            ("EXPLAIN SELECT 1, 2, 3", 3),
        ] {
            assert!(passes(sql, columns), "{sql}: not over {columns}");
            assert!(!passes(sql, columns - 1), "{sql}: over {}", columns - 1);
        }
        let doubling = |n: usize| {
            let steps: Vec<_> = (0..n)
                .map(|n| format!("c{} AS (SELECT a.*, b.* FROM c{n} a, c{n} b)", n + 1))
                .collect();
            format!("WITH c0 AS (SELECT 1), {} SELECT 1 FROM c{n}", steps.join(", "))
        };
        assert!(passes(&doubling(10), 1_024));
        assert!(!passes(&doubling(11), 1_024));
        assert!(!passes(&doubling(900), 1_024));
    }
}
