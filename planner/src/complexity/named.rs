//! Counts the relations that the queries of a statement will have, from its syntax tree, with every common table
//! expression written out at each place that names it.
//!
//! While the engine makes the logical plan, it copies a common table expression at each place that names it. Thirty
//! expressions that each name the one before twice become 2^30 scans, before there is a plan that could be measured.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, GroupByWithModifier, ObjectName, Query, Select, TableFactor, Visit, Visitor,
};

use super::{StatementLimits, TooComplex};
use crate::error::PlanError;

/// How often, on average, the engine may copy the operators of a statement while it makes the logical plan. Each
/// query copies everything that it names. A chain of some hundred common table expressions is within this limit.
const COPIES: usize = 20;

/// Refuses a statement whose logical plan would be too large or too deep to make.
pub(crate) fn check_named(
    statement: &Statement,
    limits: &StatementLimits,
) -> Result<(), PlanError> {
    let statement = match statement {
        Statement::Explain(explain) => explain.statement.as_ref(),
        other => other,
    };
    let Statement::Statement(statement) = statement else { return Ok(()) };
    let mut writer = Writer { limits: *limits, ..Writer::default() };
    match statement.visit(&mut writer) {
        ControlFlow::Break(refused) => Err(refused.into()),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Levels of WITH inside the definition of a WITH. The engine looks up table names twice in each, so each level
/// doubles the time.
const MOST_WITHS: usize = 10;

/// Grouping sets of one GROUP BY, written out: a CUBE of 12.
const MOST_GROUPING_SETS: usize = 4_096;
/// Columns of all grouping sets of one GROUP BY together, because the engine writes every set with all its columns.
const MOST_GROUPING_COLUMNS: usize = 100_000;

/// How many sets the parts of a GROUP BY make together (each set of one part is combined with each set of every
/// other), and how many columns they group by.
fn grouping_sets(group_by: &GroupByExpr) -> (usize, usize) {
    let cube = |width: usize| 2_usize.saturating_pow(u32::try_from(width).unwrap_or(u32::MAX));
    let (parts, modifiers) = match group_by {
        GroupByExpr::Expressions(parts, modifiers) => (parts.as_slice(), modifiers),
        GroupByExpr::All(modifiers) => (&[][..], modifiers),
    };
    let sets = parts.iter().map(|part| match part {
        Expr::Cube(columns) => cube(columns.len()),
        Expr::Rollup(columns) => columns.len() + 1,
        Expr::GroupingSets(sets) => sets.len(),
        _ => 1,
    });
    let of_modifiers = modifiers.iter().map(|modifier| match modifier {
        GroupByWithModifier::Cube => cube(parts.len()),
        GroupByWithModifier::Rollup => parts.len() + 1,
        _ => 1,
    });
    let columns = parts.iter().map(|part| match part {
        Expr::Cube(columns) | Expr::Rollup(columns) | Expr::GroupingSets(columns) => {
            columns.iter().map(Vec::len).sum()
        }
        _ => 1,
    });
    (sets.chain(of_modifiers).fold(1, usize::saturating_mul), columns.sum())
}

/// The size of a query's plan.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    operators: usize,
    levels: usize,
}

/// A query that is being visited.
#[derive(Default)]
struct Frame {
    /// Definitions of common table expressions that enclose it.
    withs: usize,
    /// The size of its parts that were visited so far.
    parts: Size,
    /// The common table expressions that it can name, in addition to those of the enclosing queries.
    known: HashMap<String, Size>,
}

impl Frame {
    fn add(&mut self, part: Size) {
        self.parts.operators = self.parts.operators.saturating_add(part.operators);
        self.parts.levels = self.parts.levels.max(part.levels);
    }
}

#[derive(Default)]
struct Writer {
    limits: StatementLimits,
    /// The enclosing queries, outermost first.
    frames: Vec<Frame>,
    /// Names of the common table expressions that will be visited, by the address of their query.
    names: HashMap<usize, String>,
    /// Operators of all queries, each with everything that it names.
    copied: usize,
}

impl Visitor for Writer {
    type Break = TooComplex;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<TooComplex> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let at = std::ptr::from_ref(cte.query.as_ref()) as usize;
            self.names.insert(at, cte.alias.name.value.to_lowercase());
        }
        let defines = self.names.contains_key(&(std::ptr::from_ref(query) as usize));
        let withs = self.frames.last().map_or(0, |around| around.withs) + usize::from(defines);
        if withs > MOST_WITHS {
            return ControlFlow::Break(TooComplex::Withs { most: MOST_WITHS });
        }
        self.frames.push(Frame { withs, ..Frame::default() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<TooComplex> {
        let Some(Frame { parts, .. }) = self.frames.pop() else {
            return ControlFlow::Continue(());
        };
        let size = Size { operators: parts.operators.saturating_add(1), levels: parts.levels + 1 };
        self.copied = self.copied.saturating_add(size.operators);
        let StatementLimits { max_operators, max_plan_depth, .. } = self.limits;
        if size.operators > max_operators || self.copied > max_operators.saturating_mul(COPIES) {
            return ControlFlow::Break(TooComplex::Operators { most: max_operators });
        }
        if size.levels > max_plan_depth {
            let found = size.levels;
            return ControlFlow::Break(TooComplex::PlanDepth { found, most: max_plan_depth });
        }
        let name = self.names.remove(&(std::ptr::from_ref(query) as usize));
        if let Some(around) = self.frames.last_mut() {
            match name {
                Some(name) => drop(around.known.insert(name, size)),
                None => around.add(size),
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<TooComplex> {
        let (sets, columns) = grouping_sets(&select.group_by);
        let written_out = sets.saturating_mul(columns);
        if sets > MOST_GROUPING_SETS || (sets > 1 && written_out > MOST_GROUPING_COLUMNS) {
            return ControlFlow::Break(TooComplex::GroupingSets { most: MOST_GROUPING_SETS });
        }
        self.found(Size { operators: 1, levels: 1 });
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<TooComplex> {
        let known = match factor {
            TableFactor::Table { name, .. } => self.known(name),
            _ => Size::default(),
        };
        self.found(Size { operators: known.operators.saturating_add(1), levels: known.levels + 1 });
        ControlFlow::Continue(())
    }
}

impl Writer {
    fn found(&mut self, part: Size) {
        if let Some(frame) = self.frames.last_mut() {
            frame.add(part);
        }
    }

    /// The size behind a name: zero for the name of a table.
    fn known(&self, name: &ObjectName) -> Size {
        let [part] = name.0.as_slice() else { return Size::default() };
        let Some(ident) = part.as_ident() else { return Size::default() };
        let name = ident.value.to_lowercase();
        let known = self.frames.iter().rev().find_map(|frame| frame.known.get(&name));
        known.copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn refused(sql: &str) -> Option<String> {
        let statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        check_named(&statement, &StatementLimits::default()).err().map(|error| error.to_string())
    }

    fn chain(steps: usize, step: impl Fn(usize) -> String) -> String {
        let steps: Vec<_> = (0..steps).map(|n| format!("c{} AS ({})", n + 1, step(n))).collect();
        format!("WITH c0 AS (SELECT 1 AS x), {} SELECT 1", steps.join(", "))
    }

    #[test]
    fn what_doubles_is_refused_before_it_is_planned() {
        let join = |n: usize| format!("SELECT a.x FROM c{n} a, c{n} b");
        let both = |n: usize| format!("SELECT x FROM c{n} WHERE x IN (SELECT x FROM C{n})");
        let twice = |n: usize| format!("SELECT (SELECT x FROM c{n}) + (SELECT x FROM c{n}) AS x");
        for doubling in [chain(40, join), chain(40, both), chain(40, twice)] {
            assert!(refused(&doubling).unwrap().contains("max_operators"), "{doubling}");
        }
        for modest in [chain(10, join), chain(10, both), chain(9, twice)] {
            assert_eq!(refused(&modest), None, "{modest}");
        }
        let row = |n: usize| format!("SELECT x FROM c{n}");
        assert_eq!(refused(&chain(200, row)), None);
        assert!(refused(&chain(5_000, row)).is_some());
        assert_eq!(refused(&chain(5_000, |_| "SELECT 1".to_owned())), None);
        let nested = |n: usize| {
            format!("{}SELECT 1{}", "WITH a AS (".repeat(n), ") SELECT * FROM a".repeat(n))
        };
        assert_eq!(refused(&nested(10)), None);
        assert!(refused(&nested(11)).unwrap().contains("10 WITH"));
        for (group_by, fits) in [
            ("CUBE(1, 2, 3)", true),
            ("CUBE(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)", true),
            ("CUBE(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)", false),
            (
                "CUBE(1, 2, 3, 4, 5, 6), ROLLUP(1, 2, 3, 4, 5, 6, 7), GROUPING SETS ((1), (2), (3))",
                true,
            ),
            ("CUBE(1, 2, 3, 4, 5, 6), CUBE(1, 2, 3, 4, 5, 6), GROUPING SETS ((1), (2))", false),
        ] {
            assert_eq!(
                refused(&format!("SELECT 1 GROUP BY {group_by}")).is_none(),
                fits,
                "{group_by}"
            );
        }
        // A name of an inner query hides the same name of an outer one.
        assert_eq!(
            refused(
                "WITH a AS (SELECT 1) SELECT * FROM (WITH a AS (SELECT 2) SELECT * FROM a) b, a"
            ),
            None
        );
    }
}
