//! JDBC and ODBC clients write parameters as `?`. The engine numbers them: `$1`, `$2`, ….

use std::borrow::Cow;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};

/// The statement with each `?` as `$1`, `$2`, …, in their order, and how many there are. A statement without `?`, with numbers
/// of its own, or that cannot be read is given back as it is.
pub(crate) fn numbered(sql: &str) -> (Cow<'_, str>, usize) {
    let places = places(sql);
    if places.is_empty() {
        return (Cow::Borrowed(sql), 0);
    }
    let mut written = String::with_capacity(sql.len() + places.len() * 3);
    let mut places = places.into_iter().peekable();
    let mut number = 0;
    let mut at = Location { line: 1, column: 1 };
    for letter in sql.chars() {
        if letter == '?' && places.peek() == Some(&at) {
            places.next();
            number += 1;
            written.push_str(&format!("${number}"));
        } else {
            written.push(letter);
        }
        if letter == '\n' {
            at = Location { line: at.line + 1, column: 1 };
        } else {
            at.column += 1;
        }
    }
    (Cow::Owned(written), number)
}

/// Where the `?` of a statement are, if all its parameters are written so.
fn places(sql: &str) -> Vec<Location> {
    if !sql.contains('?') {
        return Vec::new();
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() else {
        return Vec::new();
    };
    let mut places = Vec::new();
    for found in tokens {
        match found.token {
            Token::Placeholder(name) if name == "?" => places.push(found.span.start),
            Token::Placeholder(_) => return Vec::new(),
            _ => {}
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_marks_are_numbered_in_their_order_and_nowhere_else() {
        assert_eq!(numbered("select ?, '?', ?").1, 2);
        for (sql, wanted) in [
            ("select 1", "select 1"),
            ("select ?", "select $1"),
            (
                "select ?, '?', \"?\" from t where a=? -- ?\n and b = ?",
                "select $1, '?', \"?\" from t where a=$2 -- ?\n and b = $3",
            ),
            ("select /* ? */ 'ö' || ?\r\n,?", "select /* ? */ 'ö' || $1\r\n,$2"),
            ("select $1, ?", "select $1, ?"),
            ("select '?", "select '?"),
        ] {
            assert_eq!(numbered(sql).0, wanted);
        }
    }
}
