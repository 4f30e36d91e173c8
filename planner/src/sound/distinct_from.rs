//! What `IS DISTINCT FROM` compares with.
//!
//! ```text
//!  a is distinct from b and c or d
//!  the parser: a is distinct from ((b and c) or d)        here: ((a is distinct from b) and c) or d
//! ```
//! The parser reads everything to the end as the right side, whatever binds less. Parentheses of the statement are kept as
//! they are, so what was not in any can be put in order again.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, VisitMut, VisitorMut};

/// Groups the conditions of a statement as SQL does.
pub(super) fn regroup(statement: &mut impl VisitMut) {
    // Most statements have none, and a look at each condition takes a look at all that it connects.
    if statement.visit(&mut Looks).is_break() {
        let _ = statement.visit(&mut Regroup);
    }
}

/// Looks for a right side that has more than it may.
struct Looks;

impl VisitorMut for Looks {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match is_too_far(expr) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

struct Regroup;

impl VisitorMut for Regroup {
    type Break = ();

    // Parents first: what was read too far may belong to a condition further out.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if reads_too_far(expr) {
            let whole = std::mem::replace(expr, Expr::Wildcard(AttachedToken::empty()));
            let mut terms = Vec::new();
            flatten(whole, None, &mut terms);
            *expr = grouped(terms);
        }
        ControlFlow::Continue(())
    }
}

/// A condition, with the operator before it.
type Term = (Option<BinaryOperator>, Expr);

fn is_too_far(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right)
            if matches!(&**right, Expr::BinaryOp { op, .. } if is_connective(op))
    )
}

fn is_connective(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::And | BinaryOperator::Or)
}

/// Whether a right side has more than it may, in this condition or in those that it connects.
fn reads_too_far(expr: &Expr) -> bool {
    match expr {
        Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => {
            is_too_far(expr) || reads_too_far(right)
        }
        Expr::BinaryOp { left, op, right } if is_connective(op) => {
            reads_too_far(left) || reads_too_far(right)
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => reads_too_far(expr),
        _ => false,
    }
}

/// The conditions from left to right.
fn flatten(expr: Expr, before: Option<BinaryOperator>, terms: &mut Vec<Term>) {
    match expr {
        Expr::BinaryOp { left, op, right } if is_connective(&op) => {
            flatten(*left, before, terms);
            flatten(*right, Some(op), terms);
        }
        Expr::IsDistinctFrom(left, right) => {
            first_of(*right, before, terms, |right| Expr::IsDistinctFrom(left, Box::new(right)));
        }
        Expr::IsNotDistinctFrom(left, right) => {
            first_of(*right, before, terms, |right| Expr::IsNotDistinctFrom(left, Box::new(right)));
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
            first_of(*expr, before, terms, |expr| Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr: Box::new(expr),
            });
        }
        other => terms.push((before, other)),
    }
}

/// Only the first condition of `rest` belongs to the operator.
fn first_of(
    rest: Expr,
    before: Option<BinaryOperator>,
    terms: &mut Vec<Term>,
    with: impl FnOnce(Expr) -> Expr,
) {
    let at = terms.len();
    flatten(rest, before, terms);
    if let Some((_, first)) = terms.get_mut(at) {
        let own = std::mem::replace(first, Expr::Wildcard(AttachedToken::empty()));
        *first = with(own);
    }
}

/// AND binds more than OR, and both from left to right.
fn grouped(terms: Vec<Term>) -> Expr {
    let both = |left: Option<Expr>, op, right| match left {
        None => right,
        Some(left) => Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) },
    };
    let (mut any, mut all) = (None, None);
    for (before, term) in terms {
        if before == Some(BinaryOperator::Or)
            && let Some(done) = all.take()
        {
            any = Some(both(any, BinaryOperator::Or, done));
        }
        all = Some(both(all, BinaryOperator::And, term));
    }
    let last = all.unwrap_or_else(|| Expr::Wildcard(AttachedToken::empty()));
    both(any, BinaryOperator::Or, last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::sql::parser::{DFParser, Statement};

    use super::*;

    /// The statement, with the conditions in parentheses.
    fn read(condition: &str) -> String {
        let statement = DFParser::parse_sql(&format!("SELECT 1 WHERE {condition}"))
            .unwrap()
            .pop_front()
            .unwrap();
        let Statement::Statement(mut statement) = statement else { panic!("{statement}") };
        regroup(statement.as_mut());
        struct Shown;
        impl VisitorMut for Shown {
            type Break = ();
            fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
                if matches!(
                    expr,
                    Expr::BinaryOp { .. } | Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..)
                ) {
                    let inner = std::mem::replace(expr, Expr::Wildcard(AttachedToken::empty()));
                    *expr = Expr::Nested(Box::new(inner));
                }
                ControlFlow::Continue(())
            }
        }
        let _ = statement.visit(&mut Shown);
        statement.to_string().replace("SELECT 1 WHERE ", "")
    }

    #[test]
    fn a_right_side_ends_where_something_binds_less() {
        for (text, grouped) in [
            ("a IS DISTINCT FROM b AND c", "((a IS DISTINCT FROM b) AND c)"),
            ("a IS DISTINCT FROM b OR c AND d", "((a IS DISTINCT FROM b) OR (c AND d))"),
            ("x AND a IS DISTINCT FROM b OR c", "((x AND (a IS DISTINCT FROM b)) OR c)"),
            ("NOT a IS DISTINCT FROM b AND c", "(NOT (a IS DISTINCT FROM b) AND c)"),
            (
                "a IS NOT DISTINCT FROM b AND c IS NOT DISTINCT FROM d AND e",
                "(((a IS NOT DISTINCT FROM b) AND (c IS NOT DISTINCT FROM d)) AND e)",
            ),
            ("a IS DISTINCT FROM b + 1", "(a IS DISTINCT FROM (b + 1))"),
            ("x OR y AND z", "(x OR (y AND z))"),
        ] {
            assert_eq!(read(text), grouped, "{text}");
        }
        assert!(read("a IS DISTINCT FROM (b AND c)").starts_with("(a IS DISTINCT FROM ("));
        assert!(read("f(a IS DISTINCT FROM b AND c)").contains("((a IS DISTINCT FROM b) AND c)"));
    }
}
