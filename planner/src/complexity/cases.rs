//! Deeply nested CASE, read part by part.
//!
//! Where something is wrong inside a CASE, the parser tries the word again as a name, and reads all that follows as
//! more branches of the CASE around it: each level doubles the time, and thirty levels take hours. A text in which
//! nothing is wrong is read once. So a text with many levels is read in parts of a few levels each, with `NULL` in the
//! place of what was read already; if a part is wrong, so is the text.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::PlanError;

/// Levels of a part: up to 2^8 times the time.
const PART: usize = 8;

/// A CASE that is being read.
#[derive(Default)]
struct Case {
    text: String,
    /// Levels in it.
    levels: usize,
}

impl Case {
    fn push(&mut self, token: &str) {
        self.text.push(' ');
        self.text.push_str(token);
    }
}

/// Reads the nested CASEs of a text with `parse`, part by part from the innermost out.
pub(crate) fn check_cases(
    sql: &str,
    parse: impl Fn(&str) -> Result<(), PlanError>,
) -> Result<(), PlanError> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return Ok(()) };
    let mut open: Vec<Case> = Vec::new();
    for token in tokens {
        let keyword = match &token {
            Token::Word(word) if word.quote_style.is_none() => word.keyword,
            Token::Whitespace(_) => continue,
            _ => Keyword::NoKeyword,
        };
        if keyword == Keyword::CASE {
            open.push(Case::default());
        }
        let Some(case) = open.last_mut() else { continue };
        case.push(&written(&token));
        if keyword != Keyword::END {
            continue;
        }
        let Some(mut case) = open.pop() else { continue };
        case.levels += 1;
        if case.levels >= PART || open.is_empty() {
            parse(&format!("SELECT{}", case.text)).map_err(somewhere)?;
            case = Case { text: " NULL".to_owned(), levels: 0 };
        }
        if let Some(around) = open.last_mut() {
            around.text.push_str(&case.text);
            around.levels = around.levels.max(case.levels);
        }
    }
    match open.pop() {
        // Its levels may still be too many to be read with something wrong in them.
        Some(_) => Err(PlanError::Syntax {
            message: "a CASE of the statement has no END".to_owned(),
            position: None,
            source: None,
        }),
        None => Ok(()),
    }
}

/// A token as text. What stands in quotes does not matter to the parser, and tokens do not escape it.
fn written(token: &Token) -> String {
    match token {
        Token::SingleQuotedString(_) => "''".to_owned(),
        Token::EscapedStringLiteral(_) => "E''".to_owned(),
        Token::NationalStringLiteral(_) => "N''".to_owned(),
        Token::UnicodeStringLiteral(_) => "U&''".to_owned(),
        Token::Word(word) if word.quote_style.is_some() => "\"x\"".to_owned(),
        token => token.to_string(),
    }
}

/// The place of an error in a part says nothing about the text.
fn somewhere(error: PlanError) -> PlanError {
    match error {
        PlanError::Syntax { message, .. } => {
            PlanError::Syntax { message, position: None, source: None }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn check(sql: &str) -> Result<(), PlanError> {
        check_cases(sql, |part| {
            let parsed = DFParser::parse_sql(part);
            parsed.map(drop).map_err(PlanError::from_planning)
        })
    }

    #[test]
    fn a_deep_case_is_read_quickly_whether_it_is_right_or_wrong() {
        let nested = |inner: &str| {
            format!(
                "SELECT {}{inner}{} FROM t",
                "CASE WHEN a = 'it''s' THEN (b.c::int) ELSE ".repeat(45),
                " END".repeat(45)
            )
        };
        assert!(check(&nested("1")).is_ok());
        assert!(check(&nested("1 +")).is_err());
        assert!(check(&nested("CASE WHEN b THEN")).is_err());
        assert!(check(&"CASE WHEN b THEN ".repeat(60)).is_err());
        assert!(
            check("SELECT CASE a WHEN 1 THEN 2 END, CASE WHEN a THEN CASE WHEN b THEN 1 END END")
                .is_ok()
        );
        assert!(check("SELECT \"case\", 'CASE' FROM t").is_ok());
    }
}
