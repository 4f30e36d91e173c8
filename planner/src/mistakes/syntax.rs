//! A text that is not SQL: what was expected, what is there, and the word that was perhaps meant.

use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use dunlin_plan::words::plain;

use super::Scene;
use super::place;
use dunlin_config::distance;

/// The words that are often misspelt.
const KEYWORDS: &[&str] = &[
    "SELECT",
    "DISTINCT",
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "INNER",
    "LEFT",
    "RIGHT",
    "FULL",
    "OUTER",
    "CROSS",
    "JOIN",
    "USING",
    "BETWEEN",
    "WITH",
    "RECURSIVE",
    "EXPLAIN",
    "ANALYZE",
    "VALUES",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "OVER",
    "PARTITION",
    "INTERVAL",
];

/// What is wrong, and where.
pub(super) fn told(error: &ParserError, scene: &Scene<'_>) -> (String, Option<(u64, u64)>) {
    let text = match error {
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => "it is nested too deeply",
    };
    let (text, position) = split(text);
    let is_end = text.ends_with("found: EOF");
    let position = position.or_else(|| if is_end { place::of_end(scene.sql) } else { None });
    let Some((expected, found)) = halves(text) else {
        return (format!("syntax error: {}", tidy(text)), position);
    };
    let found = match found {
        "EOF" => "the statement ends here".to_owned(),
        found => format!("here is '{}'", shortened(found)),
    };
    let mut message = format!("syntax error: {} was expected, and {found}", expectation(expected));
    if let Some(hint) = misspelt(scene, position) {
        message = format!("{message}; {hint}");
    }
    (message, position)
}

/// The text without its position, and the position.
fn split(text: &str) -> (&str, Option<(u64, u64)>) {
    let Some((text, place)) = text.rsplit_once(" at Line: ") else { return (text, None) };
    let position = place.split_once(", Column: ").and_then(|(line, column)| {
        let digits = column.find(|c: char| !c.is_ascii_digit()).unwrap_or(column.len());
        Some((line.parse().ok()?, column[..digits].parse().ok()?))
    });
    (text, position)
}

/// `Expected: this, found: that`.
fn halves(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix("sql parser error: ").unwrap_or(text);
    let rest = text.strip_prefix("Expected: ").or_else(|| text.strip_prefix("Expected "))?;
    let (expected, found) =
        rest.rsplit_once(", found: ").or_else(|| rest.rsplit_once(" found: "))?;
    Some((expected.trim(), found.trim()))
}

/// What the parser expected, in words.
fn expectation(expected: &str) -> String {
    let expected = expected.trim_end_matches([',', '.']);
    match expected {
        "end of statement" => "the end of the statement".to_owned(),
        "identifier" => "a name".to_owned(),
        "an expression" | "an expression:" => "an expression".to_owned(),
        "an SQL statement" | "a statement" => "a statement such as SELECT".to_owned(),
        "literal string" => "a text in single quotes".to_owned(),
        "literal int" | "literal number" => "a number".to_owned(),
        other if !other.contains(char::is_alphanumeric) => format!("'{other}'"),
        other => plain(other),
    }
}

/// A message of the parser that names no expectation.
fn tidy(text: &str) -> String {
    let text = text.strip_prefix("sql parser error: ").unwrap_or(text);
    match text {
        "Unterminated string literal" => "a text that begins here has no closing quote".to_owned(),
        "Unterminated encoded string literal" | "Unterminated dollar-quoted string" => {
            "a text that begins here has no end".to_owned()
        }
        "Unexpected EOF while in a multi-line comment" => "a comment has no */".to_owned(),
        other => match other.strip_prefix("Expected close delimiter ") {
            Some(quote) => {
                let quote = quote.split(" before EOF").next().unwrap_or(quote).trim_matches('\'');
                format!("a name that begins here has no closing {quote}")
            }
            None => plain(other),
        },
    }
}

/// A token that is shown: a long text in quotes says nothing more.
fn shortened(found: &str) -> String {
    const LONGEST: usize = 40;
    match found.chars().count() > LONGEST {
        true => found.chars().take(LONGEST).chain("…".chars()).collect(),
        false => found.to_owned(),
    }
}

/// The keyword that the word at the position, or one of the two before it, may have been meant to be: the one with the
/// fewest mistakes.
fn misspelt(scene: &Scene<'_>, position: Option<(u64, u64)>) -> Option<String> {
    let tokens = place::tokens(scene.sql);
    let at = position.and_then(|(line, column)| {
        let is_there = |token: &TokenWithSpan| {
            (token.span.start.line, token.span.start.column) >= (line, column)
        };
        tokens.iter().position(is_there)
    });
    let end = at.map_or(tokens.len(), |at| at + 1);
    let near = |token: &TokenWithSpan| {
        let Token::Word(word) = &token.token else { return None };
        let written = word.value.to_lowercase();
        let is_name = word.quote_style.is_some() || scene.tables.contains(&written);
        if written.chars().count() < 3 || is_name {
            return None;
        }
        let known =
            KEYWORDS.iter().map(|known| (distance(&written, &known.to_lowercase()), *known));
        let (mistakes, meant) = known.min()?;
        // Of three letters, one mistake leaves little: they must begin alike.
        let begin: String = written.chars().take(2).collect();
        if written.chars().count() == 3 && !meant.to_lowercase().starts_with(&begin) {
            return None;
        }
        // A keyword that is written as it should be stands in the wrong place.
        (1..=written.len() / 3).contains(&mistakes).then(|| (mistakes, meant, word.value.clone()))
    };
    let near = tokens[end.saturating_sub(3)..end].iter().rev().filter_map(near);
    let (_, meant, written) = near.min_by_key(|(mistakes, ..)| *mistakes)?;
    Some(format!("did you mean {meant}? ('{written}' is read as a name)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_position_is_read() {
        let text = "Expected: end of statement, found: x at Line: 3, Column: 17";
        assert_eq!(split(text), ("Expected: end of statement, found: x", Some((3, 17))));
        assert_eq!(split("no position"), ("no position", None));
    }

    #[test]
    fn an_unfinished_statement_is_marked_at_its_end() {
        let scene = Scene { sql: "select 1 +\n", ..Scene::default() };
        let error = ParserError::ParserError("Expected: an expression, found: EOF".to_owned());
        let (message, position) = told(&error, &scene);
        assert_eq!(
            message,
            "syntax error: an expression was expected, and the statement ends here"
        );
        assert_eq!(position, Some((1, 11)));
    }
}
