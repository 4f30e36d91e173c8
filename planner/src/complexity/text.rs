//! Measures how deep the syntax tree of a text will be, in one pass over its tokens, before anything is built.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::{Keyword, RESERVED_FOR_COLUMN_ALIAS};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::{StatementLimits, TooComplex};
use crate::error::PlanError;

/// Nested calls that the parser reads twice: see [`is_read_twice`]. If the text is wrong, each level doubles the
/// time.
const MOST_READ_TWICE: usize = 16;

/// Refuses a text whose tree would be too deep. Text that is not SQL passes: the parser says what is wrong. True if the
/// text has so many CASEs in one another that [`super::check_cases`] has to read them first.
pub(crate) fn check_text(sql: &str, limits: &StatementLimits) -> Result<bool, PlanError> {
    let Depth { levels, read_twice, cases, parts } = depth(sql);
    if parts > MOST_PARTS {
        return Err(TooComplex::Parts { most: MOST_PARTS }.into());
    }
    if levels > limits.max_depth {
        return Err(TooComplex::Depth { found: levels, most: limits.max_depth }.into());
    }
    if read_twice > MOST_READ_TWICE {
        return Err(TooComplex::Calls { most: MOST_READ_TWICE }.into());
    }
    Ok(cases > MOST_CASES)
}

/// Parts of a name, as in `catalog.schema.table.column.field`. Where something is wrong behind them, the parser reads
/// them again from each part on.
const MOST_PARTS: usize = 20;

/// CASEs in one another that are read as they come.
const MOST_CASES: usize = 8;

/// How deep a text is at its deepest point, or more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Depth {
    /// Levels of the tree.
    levels: usize,
    /// Nested calls that the parser reads twice.
    read_twice: usize,
    /// CASEs in one another.
    cases: usize,
    /// Parts of a name.
    parts: usize,
}

/// Links of the open chains on one level of parentheses.
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
    /// Whether the parenthesis belongs to a word that the parser reads twice.
    read_twice: bool,
    /// Whether such a word stands before what is being read, as in `INTERVAL f(…)` and `CAST(…)`.
    after_read_twice: bool,
    /// CASEs around, and this one.
    cases: usize,
}

impl Level {
    fn links(self) -> usize {
        self.operators + self.set_operations + self.joins
    }

    /// The state after a comma of this level, after a semicolon, or in the next part of a set operation.
    fn anew(self) -> Self {
        Self { read_twice: self.read_twice, cases: self.cases, ..Self::default() }
    }

    fn word(&mut self, keyword: Keyword) {
        match keyword {
            Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => {
                *self = Self { set_operations: self.set_operations + 1, ..self.anew() };
            }
            Keyword::JOIN
            | Keyword::PIVOT
            | Keyword::UNPIVOT
            | Keyword::TABLESAMPLE
            | Keyword::MATCH_RECOGNIZE => {
                self.joins += 1;
                self.operators = 0;
            }
            Keyword::FROM => (self.operators, self.from) = (0, true),
            Keyword::SELECT
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::ORDER => (self.operators, self.from) = (0, false),
            Keyword::ON | Keyword::WHEN | Keyword::THEN | Keyword::ELSE => self.operators = 0,
            Keyword::AND
            | Keyword::OR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::SIMILAR
            | Keyword::OVERLAPS
            | Keyword::OPERATOR
            | Keyword::MEMBER
            | Keyword::INTERVAL
            | Keyword::EXPLAIN
            | Keyword::BETWEEN
            | Keyword::IN
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::XOR
            | Keyword::DIV => self.operators += 1,
            _ => {}
        }
    }
}

/// Words with a grammar of their own. If that grammar fails inside, the parser reads the word again as a function's
/// name.
fn is_read_twice(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::CASE
            | Keyword::CAST
            | Keyword::TRY_CAST
            | Keyword::SAFE_CAST
            | Keyword::CONVERT
            | Keyword::TRY_CONVERT
            | Keyword::EXISTS
            | Keyword::EXTRACT
            | Keyword::CEIL
            | Keyword::FLOOR
            | Keyword::POSITION
            | Keyword::SUBSTR
            | Keyword::SUBSTRING
            | Keyword::OVERLAY
            | Keyword::TRIM
            | Keyword::INTERVAL
            | Keyword::ARRAY
            | Keyword::NOT
            | Keyword::MATCH
            | Keyword::STRUCT
            | Keyword::PRIOR
            | Keyword::MAP
            | Keyword::LAMBDA
    )
}

/// One pass over the tokens of a text.
#[derive(Default)]
struct Scan {
    levels: Vec<Level>,
    /// Levels around the innermost parenthesis.
    below: usize,
    read_twice: usize,
    /// Parts of the name that is being read: the engine looks for every part of `a.b.c` in every other one.
    parts: usize,
    most: Depth,
}

impl Scan {
    fn open(&mut self, case: bool) {
        let cases = self.levels.last().map_or(0, |level| level.cases) + usize::from(case);
        self.most.cases = self.most.cases.max(cases);
        let read_twice = !case && self.levels.last().is_some_and(|level| level.after_read_twice);
        self.read_twice += usize::from(read_twice);
        self.below += self.levels.last().map_or(0, |level| level.links()) + 1;
        self.levels.push(Level { read_twice, cases, ..Level::default() });
    }

    fn close(&mut self) {
        if self.levels.len() < 2 {
            return;
        }
        let closed = self.levels.pop();
        self.read_twice -= usize::from(closed.is_some_and(|level| level.read_twice));
        self.below -= self.levels.last().map_or(0, |outer| outer.links() + 1);
    }

    fn read(&mut self, token: &Token) {
        let Some(level) = self.levels.last_mut() else { return };
        match token {
            Token::LParen | Token::LBrace => self.open(false),
            Token::LBracket => {
                // `x[1][1]` and `INT[][]` are chains.
                level.operators += 1;
                self.open(false);
            }
            Token::RParen | Token::RBracket | Token::RBrace => self.close(),
            Token::Comma if level.from => level.joins += 1,
            Token::Comma => level.operators = 0,
            Token::SemiColon => *level = level.anew(),
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::CASE => self.open(true),
                Keyword::END => self.close(),
                keyword => level.word(keyword),
            },
            Token::Word(_)
            | Token::Number(..)
            | Token::Whitespace(_)
            | Token::Period
            | Token::SingleQuotedString(_)
            | Token::EOF => {}
            // Every other token is an operator, or counts as one.
            _ => level.operators += 1,
        }
        self.after(token);
        match token {
            Token::Whitespace(_) => return,
            Token::Period => self.parts += 1,
            Token::Word(_) => {}
            _ => self.parts = 0,
        }
        let inside = match token {
            Token::SingleQuotedString(text) => nested(text),
            _ => self.parts,
        };
        let links = self.levels.last().map_or(0, |level| level.links());
        self.most.parts = self.most.parts.max(self.parts);
        self.most.levels = self.most.levels.max(self.below + links + inside);
        self.most.read_twice = self.most.read_twice.max(self.read_twice);
    }

    /// Whether what follows a token belongs to a word that the parser reads twice.
    fn after(&mut self, token: &Token) {
        let Some(level) = self.levels.last_mut() else { return };
        match token {
            Token::Word(word) if word.quote_style.is_none() => {
                if is_read_twice(word.keyword) {
                    level.after_read_twice = true;
                } else if begins_anew(word.keyword) {
                    level.after_read_twice = false;
                }
            }
            Token::Word(_)
            | Token::Whitespace(_)
            | Token::Period
            | Token::LParen
            | Token::LBracket
            | Token::LBrace => {}
            _ => level.after_read_twice = false,
        }
    }
}

/// Keywords after which another operand or clause begins. The others name functions or types, and may stand between a
/// word that is read twice and its parenthesis.
fn begins_anew(keyword: Keyword) -> bool {
    RESERVED_FOR_COLUMN_ALIAS.contains(&keyword)
        || matches!(
            keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::XOR
                | Keyword::DIV
                | Keyword::IS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::IN
                | Keyword::BETWEEN
                | Keyword::AS
                | Keyword::ON
                | Keyword::OVER
                | Keyword::FILTER
                | Keyword::WHEN
                | Keyword::THEN
                | Keyword::ELSE
        )
}

/// The deepest point of the tree that a text becomes, or more: one pass over its tokens.
fn depth(sql: &str) -> Depth {
    // Any dialect will do: an unknown character ends the scan, and the parser refuses the text.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else {
        return Depth::default();
    };
    let mut scan = Scan { levels: vec![Level::default()], ..Scan::default() };
    for token in tokens {
        scan.read(&token);
    }
    scan.most
}

/// Brackets in a text that is a type (`arrow_cast(x, 'List(List(…`) or a pattern. Each is read by nested calls.
fn nested(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'<' => open += 1,
            b')' | b']' | b'}' | b'>' => open = open.saturating_sub(1),
            _ => continue,
        }
        most = most.max(open);
    }
    most
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
            (format!("SELECT x{}", "[1]".repeat(300)), 301),
            (format!("SELECT CAST(1 AS INT{})", "[]".repeat(300)), 302),
            (format!("SELECT 1::{}", "int::".repeat(300)), 301),
            (format!("SELECT * FROM t {}", "PIVOT(sum(a) FOR b IN (1))".repeat(300)), 303),
            (format!("SELECT {}a = {}b", "a.".repeat(300), "b.".repeat(20)), 300),
            (format!("SELECT arrow_cast(1, '{}')", "List(".repeat(300)), 301),
            ("SELECT a.b = c.d AND e.f = g.h".to_owned(), 4),
            ("SELECT ')' , \")\" -- ) \n".to_owned(), 0),
            (")))) END END".to_owned(), 0),
        ] {
            assert_eq!(depth(&sql).levels, levels, "{}", sql.chars().take(60).collect::<String>());
        }
    }

    #[test]
    fn calls_that_are_read_twice_are_counted_inside_one_another() {
        for (sql, calls) in [
            ("SELECT cast(abs(cast (trim(1) AS INT)) AS INT)".to_owned(), 3),
            ("SELECT NOT (a) AND NOT (b), cast(1 AS INT), \"cast\"(1)".to_owned(), 1),
            (format!("SELECT {}1", "position(".repeat(20)), 20),
            (format!("SELECT {}", "cast(1 AS INT) + ".repeat(20)), 1),
            (format!("SELECT {}1", "interval f(".repeat(20)), 20),
            ("SELECT interval '1' day + (1), interval '1' day * (2)".to_owned(), 0),
        ] {
            assert_eq!(depth(&sql).read_twice, calls, "{sql}");
        }
    }
}
