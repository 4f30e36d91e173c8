//! The words of a statement, for what the engine's parser does not know.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// The words with their places, without spaces and comments; nothing if it is no SQL.
pub(crate) fn tokens(sql: &str) -> Option<Vec<TokenWithSpan>> {
    let mut tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    Some(tokens)
}

/// The keyword at a place, if a word that is not quoted is there.
pub(crate) fn keyword(token: Option<&TokenWithSpan>) -> Option<Keyword> {
    match &token?.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// The text with spaces in the place of what stands between two places.
pub(crate) fn blanked(sql: &str, from: Location, to: Location) -> String {
    let (mut line, mut column) = (1, 1);
    sql.chars()
        .map(|c| {
            let here = (line, column);
            if c == '\n' {
                (line, column) = (line + 1, 1);
            } else {
                column += 1;
            }
            let inside = here >= (from.line, from.column) && here < (to.line, to.column);
            if inside && c != '\n' { ' ' } else { c }
        })
        .collect()
}
