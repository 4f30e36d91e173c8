//! Measures how large and how deep a logical plan is, when shared parts are written out at each place that names
//! them.

use std::collections::HashMap;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion, TreeNodeVisitor};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, LogicalPlan};

use dunlin_plan::functions::MOST_CONSTANT_BYTES;

use super::{StatementLimits, TooComplex};
use crate::error::PlanError;

/// Refuses a logical plan that is too large when it is written out.
pub(crate) fn check_plan(plan: &LogicalPlan, limits: &StatementLimits) -> Result<(), PlanError> {
    let mut sizes = HashMap::new();
    let size = written_out(plan, &mut sizes).map_err(PlanError::from_planning)?;
    if size.operators > limits.max_operators {
        return Err(TooComplex::Operators { most: limits.max_operators }.into());
    }
    if size.expressions > limits.max_expressions {
        return Err(TooComplex::Expressions { most: limits.max_expressions }.into());
    }
    if size.levels > limits.max_plan_depth {
        return Err(
            TooComplex::PlanDepth { found: size.levels, most: limits.max_plan_depth }.into()
        );
    }
    Ok(())
}

/// Refuses an optimized plan whose constants are too large. Each is copied for every row of a batch, and a constant
/// that is named in a WITH is written out at each place that uses it.
pub(crate) fn check_constants(plan: &LogicalPlan) -> Result<(), PlanError> {
    let mut bytes = 0_u64;
    let counted = plan.apply_with_subqueries(|operator| {
        operator.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Literal(value, _) = expr {
                    bytes = bytes.saturating_add(held(value));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    counted.map_err(PlanError::from_planning)?;
    if bytes > MOST_CONSTANT_BYTES {
        return Err(TooComplex::Constants { most: MOST_CONSTANT_BYTES }.into());
    }
    Ok(())
}

/// Bytes of a value that may be large.
fn held(value: &ScalarValue) -> u64 {
    let bytes = match value {
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text)) => text.len(),
        ScalarValue::Binary(Some(bytes))
        | ScalarValue::LargeBinary(Some(bytes))
        | ScalarValue::BinaryView(Some(bytes))
        | ScalarValue::FixedSizeBinary(_, Some(bytes)) => bytes.len(),
        ScalarValue::List(_)
        | ScalarValue::LargeList(_)
        | ScalarValue::FixedSizeList(_)
        | ScalarValue::Struct(_)
        | ScalarValue::Map(_) => value.size(),
        _ => 0,
    };
    bytes as u64
}

/// The size of a plan whose shared parts are written out.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    operators: usize,
    expressions: usize,
    /// Operators on the way to the deepest leaf, each with its deepest expression. The optimizer merges projections,
    /// which nests their expressions.
    levels: usize,
}

impl Size {
    fn add(&mut self, other: Self) {
        self.operators = self.operators.saturating_add(other.operators);
        self.expressions = self.expressions.saturating_add(other.expressions);
    }

    /// The size of an operator above its parts.
    fn above(mut self, parts: Vec<Self>) -> Self {
        self.levels += parts.iter().map(|part| part.levels).max().unwrap_or(0);
        for part in parts {
            self.add(part);
        }
        self
    }
}

/// Parts are shared by reference. Each is measured once, even if it is named often.
fn written_out(plan: &LogicalPlan, sizes: &mut HashMap<usize, Size>) -> DfResult<Size> {
    // A visit copies a subquery, but not the plan in it.
    let at = match plan {
        LogicalPlan::Subquery(subquery) => std::sync::Arc::as_ptr(&subquery.subquery),
        plan => std::ptr::from_ref(plan),
    } as usize;
    if let Some(known) = sizes.get(&at) {
        return Ok(*known);
    }
    let mut size = Size { operators: 1, expressions: 0, levels: 1 };
    let mut deepest = 0;
    plan.apply_expressions(|expr| {
        let mut nesting = Nesting::default();
        expr.visit(&mut nesting)?;
        size.expressions += nesting.nodes;
        deepest = deepest.max(nesting.deepest);
        Ok(TreeNodeRecursion::Continue)
    })?;
    size.levels += deepest;
    if let LogicalPlan::Values(values) = plan {
        size.expressions = values.values.iter().map(Vec::len).sum();
    }
    let mut parts = Vec::new();
    plan.apply_subqueries(|part| {
        // The visit continues with nested subqueries by itself.
        parts.push(written_out(part, sizes)?);
        Ok(TreeNodeRecursion::Jump)
    })?;
    for input in plan.inputs() {
        parts.push(written_out(input, sizes)?);
    }
    let size = size.above(parts);
    sizes.insert(at, size);
    Ok(size)
}

/// Nodes of an expression, and how deep they are nested.
#[derive(Default)]
struct Nesting {
    nodes: usize,
    depth: usize,
    deepest: usize,
}

impl TreeNodeVisitor<'_> for Nesting {
    type Node = Expr;

    fn f_down(&mut self, _: &Expr) -> DfResult<TreeNodeRecursion> {
        self.nodes += 1;
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        Ok(TreeNodeRecursion::Continue)
    }

    fn f_up(&mut self, _: &Expr) -> DfResult<TreeNodeRecursion> {
        self.depth -= 1;
        Ok(TreeNodeRecursion::Continue)
    }
}
