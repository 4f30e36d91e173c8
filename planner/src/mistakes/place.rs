//! Where in the statement: the line, and a mark below the word.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::Scene;

/// The most characters of a line that are shown.
const WIDEST: usize = 100;
/// The characters before the marked word that are shown of a longer line.
const BEFORE: usize = 60;

/// The words of a text, without spaces and comments; none if it has none.
pub(super) fn tokens(sql: &str) -> Vec<TokenWithSpan> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location();
    let mut tokens = tokens.unwrap_or_default();
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    tokens
}

fn start(token: &TokenWithSpan) -> (u64, u64) {
    (token.span.start.line, token.span.start.column)
}

/// Where a name stands. If it stands in several places, the first.
pub(super) fn of_name(sql: &str, name: &str) -> Option<(u64, u64)> {
    let is_it = |token: &&TokenWithSpan| match &token.token {
        Token::Word(word) => word.value.eq_ignore_ascii_case(name),
        _ => false,
    };
    tokens(sql).iter().find(is_it).map(start)
}

/// Where a function is called. If it is called in several places, nowhere: any of them may be the wrong one.
pub(super) fn of_call(sql: &str, name: &str) -> Option<(u64, u64)> {
    let tokens = tokens(sql);
    let mut calls = tokens.windows(2).filter(|pair| {
        let named =
            matches!(&pair[0].token, Token::Word(word) if word.value.eq_ignore_ascii_case(name));
        named && pair[1].token == Token::LParen
    });
    let first = calls.next()?;
    calls.next().is_none().then(|| start(&first[0]))
}

/// Behind the last word.
pub(super) fn of_end(sql: &str) -> Option<(u64, u64)> {
    let (line, text) =
        sql.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()).last()?;
    Some((line as u64 + 1, text.trim_end().chars().count() as u64 + 1))
}

/// The line of a position with a mark below its word, as text that follows a message. Empty if nothing is known.
pub(super) fn shown(scene: &Scene<'_>, position: Option<(u64, u64)>) -> String {
    let Some((line, column)) = position else { return String::new() };
    let at =
        usize::try_from(line).ok().and_then(|line| scene.sql.lines().nth(line.checked_sub(1)?));
    let Some(text) = at else { return String::new() };
    let letters: Vec<char> =
        text.chars().map(|c| if c.is_whitespace() || c.is_control() { ' ' } else { c }).collect();
    let from = usize::try_from(column).unwrap_or(1).saturating_sub(1).min(letters.len());
    let is_of_word = |c: &&char| c.is_alphanumeric() || matches!(**c, '_' | '.');
    let length = letters[from..].iter().take_while(is_of_word).count().clamp(1, WIDEST - BEFORE);
    let cut = if letters.len() > WIDEST { from.saturating_sub(BEFORE) } else { 0 };
    let end = letters.len().min(cut + WIDEST);
    let (before, after) =
        (if cut > 0 { "…" } else { "" }, if end < letters.len() { "…" } else { "" });
    let line_text: String = letters[cut..end].iter().collect();
    let indent = " ".repeat(from - cut + before.chars().count());
    format!(
        "\nline {line}, column {column}:\n  {before}{}{after}\n  {indent}{}",
        line_text.trim_end(),
        "^".repeat(length)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_marked_in_its_line() {
        let scene = Scene { sql: "select a,\n\tnothing\nfrom t", ..Scene::default() };
        assert_eq!(shown(&scene, Some((2, 2))), "\nline 2, column 2:\n   nothing\n   ^^^^^^^");
        assert_eq!(shown(&scene, Some((9, 1))), "");
        assert_eq!(shown(&scene, None), "");
        assert_eq!(shown(&scene, Some((3, 7))), "\nline 3, column 7:\n  from t\n        ^");
    }

    #[test]
    fn of_a_long_line_only_the_surroundings_are_shown() {
        let sql = format!("select {} oops {} from t", "a, ".repeat(100), "b, ".repeat(100));
        let column = sql.find("oops").map(|at| at as u64 + 1);
        let scene = Scene { sql: &sql, ..Scene::default() };
        let text = shown(&scene, column.map(|column| (1, column)));
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert!(lines[0].starts_with("  …") && lines[0].ends_with('…'), "{text}");
        let mark = lines[1].chars().position(|c| c == '^').unwrap_or_default();
        assert_eq!(lines[0].chars().skip(mark).take(4).collect::<String>(), "oops", "{text}");
        assert!(lines[1].ends_with(" ^^^^"), "{text}");
    }

    #[test]
    fn names_and_calls_are_found() {
        let sql = "select f(x), g(1), g(2) -- f(\nfrom \"T\"";
        assert_eq!(of_call(sql, "F"), Some((1, 8)));
        assert_eq!(of_call(sql, "g"), None);
        assert_eq!(of_name(sql, "t"), Some((2, 6)));
        assert_eq!(of_end("select 1 +\n  \n"), Some((1, 11)));
    }
}
