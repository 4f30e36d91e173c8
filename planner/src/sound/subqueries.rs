//! IN, EXISTS, ANY and ALL over subqueries, in the places where the engine's joins give other rows.
//!
//! ```text
//!  k NOT IN (S) OR …            the engine: NOT mark OR …         here: (k IN (S)) IS NOT TRUE
//!                                                                       AND NOT EXISTS (S, rows with NULL)
//!                                                                       AND (k IS NOT NULL OR NOT EXISTS (S)) OR …
//!  EXISTS (SELECT count(*) …)   the engine: only with rows in …   here: true
//!  k IN (SELECT count(*) …)     the engine: never 0               here: k = (SELECT count(*) …)
//!  SELECT EXISTS (S)            the engine: refused               here: (SELECT count(*) FROM S) > 0
//! ```
//! The engine has a join for a NOT IN that stands alone among the conditions of a WHERE, over a subquery that knows nothing
//! of the row around it. That join knows NULL. In all other places the engine marks the rows that have a match, and a mark is
//! never NULL: what SQL leaves open becomes false, and NOT makes true of it. So NOT IN gets a condition that is true for the
//! same rows and has no need of NULL, and where the value itself is asked for, a CASE that has all three values.
//!
//! In a list of values the engine has no join for EXISTS and IN at all. There they [count](counted).
//!
//! An aggregate without GROUP BY has a row also where it is over no rows. When the engine takes a condition on the row
//! around out of the subquery, it groups by the columns of that condition, and has no group there.

mod counted;

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{Case, Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::utils::{can_hash, conjunction, disjunction, merge_schema};
use datafusion::logical_expr::{
    BinaryExpr, Cast, Distinct, Expr, ExprSchemable, FetchType, Filter, Limit, LogicalPlan,
    LogicalPlanBuilder, Operator, SkipType, Subquery, binary_expr, lit, not,
};
use datafusion::optimizer::AnalyzerRule;

use self::counted::counted;
use super::with_expressions;

/// The rule.
pub(super) fn rule() -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(Subqueries)
}

#[derive(Debug)]
struct Subqueries;

impl AnalyzerRule for Subqueries {
    fn name(&self) -> &'static str {
        "sound_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        // The plans of subqueries come before the expressions that they stand in.
        Ok(plan.transform_up_with_subqueries(sound)?.data)
    }
}

fn sound(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut has_some = false;
    plan.apply_expressions(|expr| {
        has_some |= asks(expr)?;
        Ok(if has_some { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !has_some {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    let conditions = Conditions { schema: &schema };
    Ok(match plan {
        LogicalPlan::Filter(mut filter) => {
            filter.predicate = conditions.holds(filter.predicate, true)?;
            Transformed::yes(LogicalPlan::Filter(filter))
        }
        // The engine moves such a condition into a filter of one side, or refuses it.
        LogicalPlan::Join(mut join) => {
            let filter = join.filter.take();
            join.filter = filter.map(|filter| conditions.holds(filter, true)).transpose()?;
            Transformed::yes(LogicalPlan::Join(join))
        }
        plan @ LogicalPlan::Projection(_) => with_expressions(plan, |expr| {
            Ok(Transformed::yes(counted(conditions.value(expr)?, conditions.schema)?))
        })?,
        // All other nodes are refused with such an expression in them.
        other => Transformed::no(other),
    })
}

/// Whether there is something here for this rule.
fn asks(expr: &Expr) -> Result<bool> {
    expr.exists(|part| {
        Ok(matches!(part, Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)))
    })
}

/// Rewrites the expressions of a node.
struct Conditions<'a> {
    /// The columns that they are over.
    schema: &'a DFSchema,
}

/// Where NULL can come from in `k IN (S)`.
#[derive(Clone, Copy)]
struct Nulls {
    key: bool,
    column: bool,
}

impl Conditions<'_> {
    /// A condition that is true where this one is; where it is not, it may be false for NULL. `alone` says that all else is
    /// joined to it by AND.
    fn holds(&self, expr: Expr, alone: bool) -> Result<Expr> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => {
                each(expr, Operator::And, |part| self.holds(part, alone)).map(all)
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
                each(expr, Operator::Or, |part| self.holds(part, false)).map(any)
            }
            Expr::Not(inner) => self.fails(*inner, alone),
            Expr::InSubquery(member) => self.member(member, alone),
            other => self.value(other),
        }
    }

    /// A condition that is true where this one is false.
    fn fails(&self, expr: Expr, alone: bool) -> Result<Expr> {
        if !asks(&expr)? {
            return Ok(not(expr));
        }
        match expr {
            Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => {
                each(expr, Operator::And, |part| self.fails(part, false)).map(any)
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
                each(expr, Operator::Or, |part| self.fails(part, alone)).map(all)
            }
            Expr::Not(inner) => self.holds(*inner, alone),
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                self.member(InSubquery::new(expr, subquery, !negated), alone)
            }
            Expr::Exists(Exists { subquery, negated }) => {
                present(Exists { subquery, negated: !negated })
            }
            other => Ok(not(self.value(other)?)),
        }
    }

    /// An expression with the same values, all three of them.
    fn value(&self, expr: Expr) -> Result<Expr> {
        let done = expr.transform_down(|expr| {
            let is_whole = matches!(
                expr,
                Expr::IsTrue(_)
                    | Expr::IsNotTrue(_)
                    | Expr::IsFalse(_)
                    | Expr::IsNotFalse(_)
                    | Expr::Case(Case { expr: None, .. })
                    | Expr::InSubquery(_)
                    | Expr::Exists(_)
                    | Expr::SetComparison(_)
            );
            if !is_whole || !asks(&expr)? {
                return Ok(Transformed::no(expr));
            }
            let new = match expr {
                Expr::IsTrue(inner) => self.holds(*inner, false)?.is_true(),
                Expr::IsNotTrue(inner) => self.holds(*inner, false)?.is_not_true(),
                Expr::IsFalse(inner) => self.fails(*inner, false)?.is_true(),
                Expr::IsNotFalse(inner) => self.fails(*inner, false)?.is_not_true(),
                Expr::Case(case) => self.case(case)?,
                Expr::InSubquery(member) => self.answer(member)?,
                Expr::Exists(exists) => present(exists)?,
                Expr::SetComparison(comparison) => self.compared(comparison)?,
                other => other,
            };
            Ok(Transformed::new(new, true, TreeNodeRecursion::Jump))
        })?;
        Ok(done.data)
    }

    /// A CASE without a value to compare takes what is true.
    fn case(&self, case: Case) -> Result<Expr> {
        let Case { expr, when_then_expr, else_expr } = case;
        let mut arms = Vec::new();
        for (when, then) in when_then_expr {
            arms.push((Box::new(self.holds(*when, false)?), Box::new(self.value(*then)?)));
        }
        let otherwise = else_expr.map(|expr| self.value(*expr).map(Box::new)).transpose()?;
        Ok(Expr::Case(Case::new(expr, arms, otherwise)))
    }

    /// IN or NOT IN, of which only the rows matter where it is true.
    fn member(&self, member: InSubquery, alone: bool) -> Result<Expr> {
        let InSubquery { expr, subquery, negated } = member;
        let key = self.value(*expr)?;
        if let Some(compared) = with_one(&key, equality(negated), &subquery, negated)? {
            return Ok(compared);
        }
        let nulls = self.nulls(&key, &subquery);
        let is_sound = !negated
            || !(nulls.key || nulls.column)
            || (alone && !is_correlated(&subquery) && self.is_plain(&key));
        if is_sound {
            return Ok(Expr::InSubquery(InSubquery::new(Box::new(key), subquery, negated)));
        }
        let found = InSubquery::new(Box::new(key.clone()), subquery.clone(), false);
        // Not NOT: the engine would make NOT IN of it again.
        let mut conditions = vec![Expr::InSubquery(found).is_not_true()];
        if nulls.column {
            conditions.push(existing(with_null(&subquery)?, true));
        }
        if nulls.key {
            conditions.push(key.is_not_null().or(existing(subquery, true)));
        }
        Ok(all(conditions))
    }

    /// IN or NOT IN, of which the value matters.
    fn answer(&self, member: InSubquery) -> Result<Expr> {
        let InSubquery { expr, subquery, negated } = member;
        let key = self.value(*expr)?;
        if let Some(compared) = with_one(&key, equality(negated), &subquery, negated)? {
            return Ok(compared);
        }
        let nulls = self.nulls(&key, &subquery);
        if !(nulls.key || nulls.column) {
            return Ok(Expr::InSubquery(InSubquery::new(Box::new(key), subquery, negated)));
        }
        let found = InSubquery::new(Box::new(key.clone()), subquery.clone(), false);
        let mut open = Vec::new();
        if nulls.column {
            open.push(existing(with_null(&subquery)?, false));
        }
        if nulls.key {
            open.push(key.is_null().and(existing(subquery, false)));
        }
        let null = Expr::Literal(ScalarValue::Boolean(None), None);
        let arms = vec![
            (Box::new(Expr::InSubquery(found).is_true()), Box::new(lit(!negated))),
            (Box::new(any(open)), Box::new(null)),
        ];
        Ok(Expr::Case(Case::new(None, arms, Some(Box::new(lit(negated))))))
    }

    /// ANY or ALL. The engine makes a CASE of it, with all three values.
    fn compared(&self, comparison: SetComparison) -> Result<Expr> {
        let SetComparison { expr, subquery, op, quantifier } = comparison;
        let key = self.value(*expr)?;
        let of_none = matches!(quantifier, SetQuantifier::All);
        Ok(match with_one(&key, op, &subquery, of_none)? {
            Some(compared) => compared,
            None => {
                Expr::SetComparison(SetComparison::new(Box::new(key), subquery, op, quantifier))
            }
        })
    }

    fn nulls(&self, key: &Expr, subquery: &Subquery) -> Nulls {
        Nulls {
            key: key.nullable(self.schema).unwrap_or(true),
            column: subquery.subquery.schema().fields().iter().any(|field| field.is_nullable()),
        }
    }

    /// Whether the engine's join for NOT IN finds the NULLs of this key: it must be a key of a hash join, and the engine
    /// looks whether its columns may be NULL, not whether the key may.
    fn is_plain(&self, key: &Expr) -> bool {
        match key {
            Expr::Column(_) => key.get_type(self.schema).is_ok_and(|kind| can_hash(&kind)),
            Expr::Cast(Cast { expr, field }) => can_hash(field.data_type()) && self.is_plain(expr),
            _ => false,
        }
    }
}

/// What is made of each part of a chain of ANDs or ORs. Chains can be too long for recursion.
fn each(
    expr: Expr,
    joined_by: Operator,
    mut make: impl FnMut(Expr) -> Result<Expr>,
) -> Result<Vec<Expr>> {
    let (mut made, mut left_over) = (Vec::new(), vec![expr]);
    while let Some(expr) = left_over.pop() {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if op == joined_by => {
                left_over.push(*right);
                left_over.push(*left);
            }
            other => made.push(make(other)?),
        }
    }
    Ok(made)
}

fn all(conditions: Vec<Expr>) -> Expr {
    conjunction(conditions).unwrap_or_else(|| lit(true))
}

fn any(conditions: Vec<Expr>) -> Expr {
    disjunction(conditions).unwrap_or_else(|| lit(false))
}

fn equality(negated: bool) -> Operator {
    if negated { Operator::NotEq } else { Operator::Eq }
}

/// Whether a subquery refers to the row around it.
fn is_correlated(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty() || !subquery.subquery.all_out_ref_exprs().is_empty()
}

/// The rows of a subquery with one column in which that is NULL.
fn with_null(subquery: &Subquery) -> Result<Subquery> {
    let column = Expr::Column(Column::from(subquery.subquery.schema().qualified_field(0)));
    let filter = Filter::try_new(column.is_null(), Arc::clone(&subquery.subquery))?;
    Ok(subquery.with_plan(Arc::new(LogicalPlan::Filter(filter))))
}

/// EXISTS or NOT EXISTS that this rule has made.
fn existing(subquery: Subquery, negated: bool) -> Expr {
    if matches!(rows(&subquery.subquery), Some(Rows::One)) {
        return lit(!negated);
    }
    if is_correlated(&subquery) {
        return Expr::Exists(Exists { subquery, negated });
    }
    // Each row is joined to what there is, and one row tells.
    let limit = LogicalPlan::Limit(Limit {
        skip: None,
        fetch: Some(Box::new(lit(1_i64))),
        input: Arc::clone(&subquery.subquery),
    });
    Expr::Exists(Exists { subquery: subquery.with_plan(Arc::new(limit)), negated })
}

/// EXISTS or NOT EXISTS of a statement.
fn present(exists: Exists) -> Result<Expr> {
    let Exists { subquery, negated } = exists;
    match rows(&subquery.subquery) {
        Some(Rows::One) => return Ok(lit(!negated)),
        Some(Rows::Having(having)) if is_correlated(&subquery) => {
            let passes = passing(&subquery, having)?;
            return Ok(if negated { passes.is_not_true() } else { passes.is_true() });
        }
        _ => must_not_hide_aggregate(&subquery)?,
    }
    if is_correlated(&subquery) && skips(&subquery.subquery) {
        return plan_err!(
            "EXISTS over a subquery with OFFSET that depends on the row around it is not supported; \
             compare a count instead, such as (SELECT count(*) ...) > 3"
        );
    }
    Ok(Expr::Exists(Exists { subquery, negated }))
}

/// Whether a subquery leaves its first rows out. The engine's join would have them.
fn skips(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Limit(limit) => {
            !matches!(limit.get_skip_type(), Ok(SkipType::Literal(0))) || skips(&limit.input)
        }
        LogicalPlan::Projection(projection) => skips(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => skips(&alias.input),
        LogicalPlan::Sort(sort) => skips(&sort.input),
        LogicalPlan::Distinct(Distinct::All(input)) => skips(input),
        _ => false,
    }
}

/// A comparison with the rows of a subquery, where it has one row, or none by its HAVING (then the comparison is `of_none`).
/// `None` where the engine's join has the same rows.
fn with_one(key: &Expr, op: Operator, subquery: &Subquery, of_none: bool) -> Result<Option<Expr>> {
    if !is_correlated(subquery) {
        return Ok(None);
    }
    let Some(rows) = rows(&subquery.subquery) else {
        must_not_hide_aggregate(subquery)?;
        return Ok(None);
    };
    let one = subquery.with_plan(Arc::new(bare(subquery.subquery.as_ref().clone())));
    let compared = binary_expr(key.clone(), op, Expr::ScalarSubquery(one));
    let Rows::Having(having) = rows else { return Ok(Some(compared)) };
    let arms = vec![(Box::new(passing(subquery, having)?.is_true()), Box::new(compared))];
    Ok(Some(Expr::Case(Case::new(None, arms, Some(Box::new(lit(of_none)))))))
}

/// The condition of a HAVING as a value.
fn passing(subquery: &Subquery, having: &Filter) -> Result<Expr> {
    let plan = LogicalPlanBuilder::from(bare(having.input.as_ref().clone()))
        .project(vec![having.predicate.clone().alias("having")])?
        .build()?;
    Ok(Expr::ScalarSubquery(subquery.with_plan(Arc::new(plan))))
}

/// How many rows an aggregate without GROUP BY has.
enum Rows<'a> {
    One,
    /// One where its HAVING is true, and none elsewhere.
    Having(&'a Filter),
}

/// The rows of a plan that is an aggregate without GROUP BY, and above it what neither adds a row nor takes one away.
fn rows(plan: &LogicalPlan) -> Option<Rows<'_>> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty().then_some(Rows::One),
        LogicalPlan::Projection(projection) => rows(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => rows(&alias.input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => rows(&sort.input),
        LogicalPlan::Distinct(Distinct::All(input)) => rows(input),
        LogicalPlan::Limit(limit) => {
            let skips = !matches!(limit.get_skip_type(), Ok(SkipType::Literal(0)));
            let fetches = match limit.get_fetch_type() {
                Ok(FetchType::Literal(most)) => most.is_none_or(|most| most > 0),
                _ => false,
            };
            if skips || !fetches { None } else { rows(&limit.input) }
        }
        LogicalPlan::Filter(filter) => match rows(&filter.input)? {
            // The engine does not find its way back through the name of a derived table.
            Rows::One if is_derived(&filter.input) => None,
            Rows::One => Some(Rows::Having(filter)),
            Rows::Having(_) => None,
        },
        _ => None,
    }
}

fn is_derived(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(_) => true,
        LogicalPlan::Projection(projection) => is_derived(&projection.input),
        LogicalPlan::Sort(sort) => is_derived(&sort.input),
        LogicalPlan::Distinct(Distinct::All(input)) => is_derived(input),
        LogicalPlan::Limit(limit) => is_derived(&limit.input),
        _ => false,
    }
}

/// Such a plan without its HAVING, and without what changes nothing of one row: the engine does not take conditions through
/// all of it.
fn bare(plan: LogicalPlan) -> LogicalPlan {
    let inner = |input: Arc<LogicalPlan>| bare(Arc::unwrap_or_clone(input));
    match plan {
        LogicalPlan::Projection(mut projection) => {
            projection.input = Arc::new(inner(projection.input));
            LogicalPlan::Projection(projection)
        }
        LogicalPlan::SubqueryAlias(mut alias) => {
            alias.input = Arc::new(inner(alias.input));
            LogicalPlan::SubqueryAlias(alias)
        }
        LogicalPlan::Sort(sort) => inner(sort.input),
        LogicalPlan::Distinct(Distinct::All(input)) => inner(input),
        LogicalPlan::Limit(limit) => inner(limit.input),
        LogicalPlan::Filter(filter) => inner(filter.input),
        other => other,
    }
}

/// Refuses an aggregate without GROUP BY that is deeper in a subquery, and over rows that depend on the row around.
fn must_not_hide_aggregate(subquery: &Subquery) -> Result<()> {
    let mut hides = false;
    subquery.subquery.as_ref().apply(|node| {
        Ok(match node {
            // What is inside refers to its neighbours.
            LogicalPlan::Subquery(_) => TreeNodeRecursion::Jump,
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
                hides |= !node.all_out_ref_exprs().is_empty();
                TreeNodeRecursion::Continue
            }
            _ => TreeNodeRecursion::Continue,
        })
    })?;
    if hides {
        return plan_err!(
            "an aggregate without GROUP BY is deep inside a subquery of IN, EXISTS, ANY or ALL, and \
             depends on the row around that: where it is over no rows, its row would be lost; \
             compare it as a value instead, such as (SELECT count(*) ...) > 0"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
