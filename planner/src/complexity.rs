//! Bounds on what a statement may be, so that no text ends or stalls a process.
//!
//! ```text
//!  text ──tokens──> how deep will the tree be?   before anything is built: a tree that is too deep cannot even
//!                                                be dropped without a deep stack
//!  logical plan ──> how large is it, written out? a WITH that is named twice by the next WITH, thirty times,
//!                                                is a short text and 2^30 scans
//! ```
//!
//! A chain (`a OR b OR …`, `SELECT … UNION ALL SELECT …`) is as deep as it has links, because parsers and
//! planners nest it. The limits stand in the configuration; threads that plan have the stack that they need.

use std::collections::HashMap;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::PlanError;
use crate::too_complex::TooComplex;

/// The most that a statement may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementLimits {
    /// Levels of the tree that a statement becomes. A level is a parenthesis, a CASE, or a link of a chain of
    /// operators, of UNIONs or of joins.
    pub max_depth: usize,
    /// Operators of the logical plan, written out: a common table expression counts each time it is named.
    pub max_operators: usize,
    /// Expressions of the logical plan, written out.
    pub max_expressions: usize,
}

impl Default for StatementLimits {
    fn default() -> Self {
        Self { max_depth: 1_000, max_operators: 10_000, max_expressions: 500_000 }
    }
}

/// Refuses a text whose tree would be too deep. Text that is not SQL passes: the parser says what is wrong.
pub(crate) fn check_text(sql: &str, limits: &StatementLimits) -> Result<(), PlanError> {
    let found = depth(sql);
    if found > limits.max_depth {
        return Err(TooComplex::Depth { found, most: limits.max_depth }.into());
    }
    Ok(())
}

/// Links of the chains that are open on one level of parentheses.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// Operators of the expression that is being read.
    operators: usize,
    /// UNION, INTERSECT and EXCEPT.
    set_operations: usize,
    /// Joins and the commas of FROM.
    joins: usize,
    /// Whether a comma separates relations.
    from: bool,
}

impl Level {
    fn links(self) -> usize {
        self.operators + self.set_operations + self.joins
    }
}

/// The deepest point of the tree that a text becomes, or more: one pass over its tokens.
fn depth(sql: &str) -> usize {
    // The dialect matters little: an unknown character ends the scan, and the text is refused by the parser.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return 0 };
    let mut levels = vec![Level::default()];
    let (mut below, mut most) = (0, 0);
    for token in tokens {
        let Some(level) = levels.last_mut() else { break };
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                below += level.links() + 1;
                levels.push(Level::default());
            }
            Token::RParen | Token::RBracket | Token::RBrace => below -= close(&mut levels),
            Token::Comma if level.from => level.joins += 1,
            Token::Comma => level.operators = 0,
            Token::SemiColon => *level = Level::default(),
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::CASE => {
                    below += level.links() + 1;
                    levels.push(Level::default());
                }
                Keyword::END => below -= close(&mut levels),
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => {
                    *level = Level { set_operations: level.set_operations + 1, ..Level::default() };
                }
                Keyword::JOIN => {
                    level.joins += 1;
                    level.operators = 0;
                }
                Keyword::FROM => (level.operators, level.from) = (0, true),
                Keyword::SELECT
                | Keyword::WHERE
                | Keyword::GROUP
                | Keyword::HAVING
                | Keyword::ORDER => (level.operators, level.from) = (0, false),
                Keyword::ON | Keyword::WHEN | Keyword::THEN | Keyword::ELSE => level.operators = 0,
                Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::BETWEEN
                | Keyword::IN
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::XOR
                | Keyword::DIV => level.operators += 1,
                _ => {}
            },
            Token::Word(_)
            | Token::Number(..)
            | Token::Whitespace(_)
            | Token::Period
            | Token::SingleQuotedString(_)
            | Token::EOF => {}
            // Every other token is an operator, or as good as one.
            _ => level.operators += 1,
        }
        if let Some(level) = levels.last() {
            most = most.max(below + level.links());
        }
    }
    most
}

/// Closes a level; gives how much shallower that makes what follows.
fn close(levels: &mut Vec<Level>) -> usize {
    if levels.len() < 2 {
        return 0;
    }
    levels.pop();
    levels.last().map_or(0, |outer| outer.links() + 1)
}

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
    Ok(())
}

/// What a plan becomes when shared parts are written out.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    operators: usize,
    expressions: usize,
}

impl Size {
    fn add(&mut self, other: Self) {
        self.operators = self.operators.saturating_add(other.operators);
        self.expressions = self.expressions.saturating_add(other.expressions);
    }
}

/// Parts are shared by reference: each is measured once, however often it is named.
fn written_out(plan: &LogicalPlan, sizes: &mut HashMap<usize, Size>) -> DfResult<Size> {
    // A subquery is copied when it is visited; the plan in it is not.
    let at = match plan {
        LogicalPlan::Subquery(subquery) => std::sync::Arc::as_ptr(&subquery.subquery),
        plan => std::ptr::from_ref(plan),
    } as usize;
    if let Some(known) = sizes.get(&at) {
        return Ok(*known);
    }
    let mut size = Size { operators: 1, expressions: 0 };
    plan.apply_expressions(|expr| {
        use datafusion::common::tree_node::TreeNode;
        expr.apply(|_| {
            size.expressions += 1;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if let LogicalPlan::Values(values) = plan {
        size.expressions = values.values.iter().map(Vec::len).sum();
    }
    let mut parts = Vec::new();
    plan.apply_subqueries(|part| {
        // The visit of subqueries goes on below this one by itself.
        parts.push(written_out(part, sizes)?);
        Ok(TreeNodeRecursion::Jump)
    })?;
    for input in plan.inputs() {
        parts.push(written_out(input, sizes)?);
    }
    for part in parts {
        size.add(part);
    }
    sizes.insert(at, size);
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_count_a_level_a_link_and_lists_do_not() {
        for (sql, levels) in [
            ("SELECT 1".to_owned(), 0),
            (format!("SELECT 1 {}", "UNION ALL SELECT 1 ".repeat(5_000)), 5_000),
            (format!("SELECT 1 WHERE 1 {}", "AND 1 ".repeat(20_000)), 20_000),
            (format!("SELECT 1 {}", "+ 1 ".repeat(7)), 7),
            (format!("SELECT 1 {}", ", 1 + 1".repeat(7_000)), 1),
            (format!("SELECT 1 IN (1{})", ", 2".repeat(7_000)), 2),
            (format!("SELECT {}1{}", "(".repeat(90), ")".repeat(90)), 90),
            (format!("SELECT {}1 {}", "CASE WHEN ".repeat(40), "THEN 1 END ".repeat(40)), 40),
            (format!("SELECT CASE x {} END", "WHEN 1 THEN 2 ".repeat(4_000)), 1),
            (format!("SELECT 1 FROM t{}", ", t".repeat(300)), 300),
            (format!("SELECT 1 FROM t{}", " JOIN t ON a = b".repeat(300)), 301),
            ("SELECT 1 + (2 + (3 + 4))".to_owned(), 5),
            ("SELECT ')' , \")\" -- ) \n".to_owned(), 0),
            (")))) END END".to_owned(), 0),
        ] {
            assert_eq!(depth(&sql), levels, "{}", sql.chars().take(60).collect::<String>());
        }
    }
}
