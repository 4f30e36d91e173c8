//! EXCEPT ALL and INTERSECT ALL count.
//!
//! ```text
//!  a: 1 1 1 NULL NULL   EXCEPT ALL   b: 1 NULL      the engine: no rows      here: 1 1 NULL
//!
//!  Join: LeftAnti, a = b   ==>   Projection: a
//!    a                             Join: LeftAnti, a = b AND copy = copy
//!    b                               Window: row_number() PARTITION BY a     (1, 1) (1, 2) (1, 3) (NULL, 1) (NULL, 2)
//!                                    Window: row_number() PARTITION BY b     (1, 1) (NULL, 1)
//! ```
//! The engine joins the rows that are in both, where NULL is NULL, and then one row on the right stands for any number of
//! equal ones on the left. So the equal rows of each side get numbers, and a row is joined to the one with its number.
//!
//! What is equal is told by the join: it compares in a type that both sides fit in. So this comes after the engine has put
//! the casts into the join, and the numbers are of the same casts.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, Result, ScalarValue, plan_err};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{
    Distinct, Expr, ExprFunctionExt, ExprSchemable, Join, LogicalPlan, Operator, Projection,
    Window, binary_expr,
};
use datafusion::optimizer::AnalyzerRule;

/// The names of the numbers. No column of a statement has them.
const LEFT: &str = "__left_copy";
const RIGHT: &str = "__right_copy";

/// The rule. Its place is after the engine's own.
pub(super) fn rule() -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(SetOperations)
}

#[derive(Debug)]
struct SetOperations;

impl AnalyzerRule for SetOperations {
    fn name(&self) -> &'static str {
        "sound_set_operations"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(sound)?.data)
    }
}

fn sound(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut join = match plan {
        LogicalPlan::Join(join) if is_set_operation(&join) => join,
        other => return Ok(Transformed::no(other)),
    };
    let is_new = pair(&mut join)?;
    if is_distinct(&join.left) {
        let join = LogicalPlan::Join(join);
        return Ok(if is_new { Transformed::yes(join) } else { Transformed::no(join) });
    }
    Ok(Transformed::yes(LogicalPlan::Projection(counted(join)?)))
}

/// Whether a join is EXCEPT or INTERSECT that was not rewritten yet. Before the engine's optimiser, no other join takes NULL
/// for NULL.
fn is_set_operation(join: &Join) -> bool {
    let columns = join.on.len();
    matches!(join.join_type, JoinType::LeftAnti | JoinType::LeftSemi)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.left.schema().fields().len() == columns
        && join.right.schema().fields().len() == columns
        // A SELECT with such functions has its columns above them.
        && !matches!(join.left.as_ref(), LogicalPlan::Window(_))
}

/// Compares each column with the one in its place, and tells whether the engine had chosen others: it looks for the columns
/// by their names, and `SELECT t.k, u.k … USING (k)` has two of one name.
fn pair(join: &mut Join) -> Result<bool> {
    let mut is_new = false;
    let (of_left, of_right) = (join.left.schema(), join.right.schema());
    for (at, pair) in join.on.iter_mut().enumerate() {
        let left = Column::from(of_left.qualified_field(at));
        let right = Column::from(of_right.qualified_field(at));
        if is_of(&pair.0, &left) && is_of(&pair.1, &right) {
            continue;
        }
        if of_left.field(at).data_type() != of_right.field(at).data_type() {
            return plan_err!(
                "EXCEPT and INTERSECT cannot tell the columns named {} from each other; give each \
                 its own name with AS",
                left.name
            );
        }
        *pair = (Expr::Column(left), Expr::Column(right));
        is_new = true;
    }
    Ok(is_new)
}

/// Whether an expression is a column, or a cast of it.
fn is_of(expr: &Expr, column: &Column) -> bool {
    expr.column_refs().into_iter().eq([column])
}

/// Whether no two rows are equal. Then one row of the other side is enough, also for ALL.
fn is_distinct(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Distinct(Distinct::All(_)) => true,
        LogicalPlan::SubqueryAlias(alias) => is_distinct(&alias.input),
        _ => false,
    }
}

/// The join with the numbers in it, and without them above it.
fn counted(join: Join) -> Result<Projection> {
    let (lefts, rights): (Vec<Expr>, Vec<Expr>) = join.on.iter().cloned().unzip();
    let mut on = join.on;
    on.push((
        Expr::Column(Column::new_unqualified(LEFT)),
        Expr::Column(Column::new_unqualified(RIGHT)),
    ));
    let numbered = Join::try_new(
        numbered(join.left, lefts, LEFT)?,
        numbered(join.right, rights, RIGHT)?,
        on,
        None,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    let columns = join.schema.columns().into_iter().map(Expr::Column).collect();
    Projection::try_new_with_schema(columns, Arc::new(LogicalPlan::Join(numbered)), join.schema)
}

/// The rows of a side, and among those with equal keys the number of each.
fn numbered(side: Arc<LogicalPlan>, keys: Vec<Expr>, name: &str) -> Result<Arc<LogicalPlan>> {
    let schema = Arc::clone(side.schema());
    let mut parts = Vec::new();
    for key in keys {
        parts.extend(part(key, &schema)?);
    }
    let number = row_number().partition_by(parts).build()?.alias(name);
    Ok(Arc::new(LogicalPlan::Window(Window::try_new(vec![number], side)?)))
}

/// What rows are put together by, where the join compares them by a key.
fn part(key: Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let kind = key.get_type(schema)?;
    // All are equal.
    if kind == DataType::Null {
        return Ok(None);
    }
    if !kind.is_floating() {
        return Ok(Some(key));
    }
    // A window has the two zeros apart, and a join does not.
    let zero = Expr::Literal(ScalarValue::new_zero(&kind)?, None);
    let is_zero = binary_expr(key.clone(), Operator::Eq, zero.clone());
    let arms = vec![(Box::new(is_zero), Box::new(zero))];
    Ok(Some(Expr::Case(Case::new(None, arms, Some(Box::new(key))))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::util::display::FormatOptions;
    use datafusion::arrow::util::pretty::pretty_format_batches_with_options;
    use datafusion::optimizer::analyzer::Analyzer;
    use datafusion::prelude::SessionContext;

    use super::*;

    const TABLES: [&str; 6] = [
        "CREATE TABLE a (x BIGINT) AS VALUES (1), (1), (1), (NULL), (NULL)",
        "CREATE TABLE b (y BIGINT) AS VALUES (1), (NULL)",
        "CREATE TABLE p (k BIGINT, t VARCHAR) AS VALUES (1, 'a'), (1, 'a'), (1, 'b'), (2, NULL), (2, NULL)",
        "CREATE TABLE q (id INT, u VARCHAR) AS VALUES (1, 'a'), (2, NULL), (2, NULL), (2, NULL)",
        "CREATE TABLE one (k BIGINT) AS VALUES (1)",
        "CREATE TABLE zeros (z DOUBLE) AS VALUES (CAST('0.0' AS DOUBLE)), (CAST('-0.0' AS DOUBLE))",
    ];

    async fn context() -> SessionContext {
        crate::sound::context(vec![rule()], &TABLES).await
    }

    /// The rows of a statement, in order.
    async fn rows(context: &SessionContext, text: &str) -> String {
        let frame = context.sql(text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
        let batches = frame.collect().await.unwrap_or_else(|error| panic!("{text}: {error}"));
        let options = FormatOptions::default().with_null("NULL");
        let table = pretty_format_batches_with_options(&batches, &options).unwrap().to_string();
        let lines = table.lines().skip(3).filter(|line| line.starts_with('|'));
        let cells = |line: &str| {
            let cells = line.trim_matches('|').split('|').map(str::trim);
            cells.collect::<Vec<_>>().join(" ")
        };
        let mut rows: Vec<_> = lines.map(cells).collect();
        rows.sort_unstable();
        rows.join(", ")
    }

    async fn check(cases: &[(&str, &str)]) {
        let context = context().await;
        for (text, expected) in cases {
            assert_eq!(rows(&context, text).await, *expected, "{text}");
        }
    }

    #[tokio::test]
    async fn equal_rows_are_counted() {
        check(&[
            ("SELECT x FROM a EXCEPT ALL SELECT y FROM b", "1, 1, NULL"),
            ("SELECT x FROM a INTERSECT ALL SELECT y FROM b", "1, NULL"),
            ("SELECT y FROM b EXCEPT ALL SELECT x FROM a", ""),
            ("SELECT y FROM b INTERSECT ALL SELECT x FROM a", "1, NULL"),
            ("SELECT x FROM a INTERSECT ALL SELECT x FROM a", "1, 1, 1, NULL, NULL"),
            ("SELECT x FROM a EXCEPT ALL SELECT y FROM b WHERE y > 1", "1, 1, 1, NULL, NULL"),
            (
                "(SELECT x FROM a UNION ALL SELECT y FROM b) EXCEPT ALL SELECT y FROM b",
                "1, 1, 1, NULL, NULL",
            ),
            ("SELECT k, t FROM p EXCEPT ALL SELECT id, u FROM q", "1 a, 1 b"),
            ("SELECT k, t FROM p INTERSECT ALL SELECT id, u FROM q", "1 a, 2 NULL, 2 NULL"),
        ])
        .await;
    }

    #[tokio::test]
    async fn without_all_a_row_comes_once() {
        check(&[
            ("SELECT x FROM a EXCEPT SELECT y FROM b", ""),
            ("SELECT x FROM a INTERSECT SELECT y FROM b", "1, NULL"),
            ("SELECT k, t FROM p EXCEPT SELECT id, u FROM q", "1 b"),
            ("SELECT DISTINCT x FROM a EXCEPT ALL SELECT y FROM b WHERE y = 1", "NULL"),
            ("SELECT DISTINCT x FROM a INTERSECT ALL SELECT x FROM a", "1, NULL"),
        ])
        .await;
    }

    #[tokio::test]
    async fn one_after_the_other_and_anywhere() {
        check(&[
            ("SELECT x FROM a EXCEPT ALL SELECT y FROM b EXCEPT ALL SELECT y FROM b", "1"),
            ("SELECT x FROM a EXCEPT ALL (SELECT x FROM a EXCEPT ALL SELECT y FROM b)", "1, NULL"),
            ("SELECT x FROM a EXCEPT ALL SELECT y FROM b EXCEPT SELECT 2", "1, NULL"),
            ("WITH d AS (SELECT x FROM a EXCEPT ALL SELECT y FROM b) SELECT x + 1 FROM d", "2, 2, NULL"),
            ("SELECT count(*) FROM (SELECT x FROM a EXCEPT ALL SELECT y FROM b) d WHERE x = 1", "2"),
            (
                "SELECT (SELECT count(*) FROM (SELECT x FROM a EXCEPT ALL SELECT y FROM b) d) FROM one",
                "3",
            ),
            ("SELECT y FROM b WHERE y IN (SELECT x FROM a EXCEPT ALL SELECT y FROM b)", "1"),
        ])
        .await;
    }

    #[tokio::test]
    async fn equal_is_what_the_join_takes_for_equal() {
        let large = "(VALUES (9007199254740992), (9007199254740993)) v (n)";
        let large = format!(
            "SELECT count(*) FROM (SELECT n FROM {large} EXCEPT ALL SELECT CAST(9007199254740992 AS DOUBLE)) d"
        );
        check(&[
            ("SELECT CAST(x AS INT) FROM a EXCEPT ALL SELECT y FROM b", "1, 1, NULL"),
            ("SELECT x FROM a EXCEPT ALL SELECT CAST(y AS SMALLINT) FROM b", "1, 1, NULL"),
            (
                "SELECT x FROM a EXCEPT ALL (SELECT CAST(y AS INT) FROM b UNION ALL SELECT 1.0)",
                "1, NULL",
            ),
            (
                "SELECT count(*) FROM (SELECT z FROM zeros EXCEPT ALL SELECT CAST('0.0' AS DOUBLE)) d",
                "1",
            ),
            (large.as_str(), "1"),
        ])
        .await;
    }

    #[tokio::test]
    async fn columns_of_one_name_keep_their_places() {
        let left = "SELECT p.k, one.k FROM (SELECT DISTINCT k FROM p) p LEFT JOIN one USING (k)";
        let right = "SELECT id, CAST(id AS BIGINT) AS other FROM (SELECT CAST(id AS BIGINT) AS id FROM q) q";
        // Without ALL the engine refuses two columns of one name.
        check(&[(&*format!("{left} EXCEPT ALL {right}"), "2 NULL")]).await;
    }

    #[tokio::test]
    async fn the_schema_stays_and_a_second_look_changes_nothing() {
        let context = context().await;
        let state = context.state();
        let engine = Analyzer::new();
        for text in [
            "SELECT k, t FROM p EXCEPT ALL SELECT id, u FROM q",
            "SELECT k AS n, t FROM p INTERSECT ALL SELECT id AS n, u FROM q ORDER BY n",
        ] {
            let plan = state.create_logical_plan(text).await.unwrap();
            let options = state.config_options();
            let look = |plan| state.analyzer().execute_and_check(plan, options, |_, _| {}).unwrap();
            let own = engine.execute_and_check(plan.clone(), options, |_, _| {}).unwrap();
            let once = look(plan);
            assert_eq!(once.schema().columns(), own.schema().columns(), "{text}");
            assert_eq!(once.schema().fields(), own.schema().fields(), "{text}");
            let twice = look(once.clone());
            assert_ne!(once.display_indent().to_string(), own.display_indent().to_string());
            assert_eq!(once.display_indent().to_string(), twice.display_indent().to_string());
        }
    }
}
