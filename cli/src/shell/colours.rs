//! Colours of statements while they are typed.

use super::keywords::is_keyword;
use crate::lex::{Kind, lex};

const KEYWORD: &str = "\u{1b}[1;34m";
const TEXT: &str = "\u{1b}[32m";
const NUMBER: &str = "\u{1b}[36m";
const COMMENT: &str = "\u{1b}[2m";
const COMMAND: &str = "\u{1b}[35m";
const PLAIN: &str = "\u{1b}[0m";

/// The text with colours. It is as wide as without.
pub(super) fn coloured(text: &str) -> String {
    if text.trim_start().starts_with('\\') {
        return format!("{COMMAND}{text}{PLAIN}");
    }
    let lexed = lex(text);
    let mut shown = String::with_capacity(text.len() * 2);
    let mut add = |part: &str, colour: Option<&str>| match colour {
        Some(colour) => {
            shown.push_str(colour);
            shown.push_str(part);
            shown.push_str(PLAIN);
        }
        None => shown.push_str(part),
    };
    for part in &lexed.lexemes {
        let word = &text[part.range.clone()];
        let colour = match part.kind {
            Kind::Word if is_keyword(word) => Some(KEYWORD),
            Kind::Text => Some(TEXT),
            Kind::Number => Some(NUMBER),
            Kind::Comment => Some(COMMENT),
            _ => None,
        };
        add(word, colour);
    }
    if let Some(at) = lexed.unread {
        let rest = &text[at..];
        let colour = if rest.starts_with("/*") { COMMENT } else { TEXT };
        add(rest, lexed.open.map(|_| colour));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_texts_and_comments_have_colours() {
        assert_eq!(
            coloured("select a, 'x', 1 -- c"),
            "\u{1b}[1;34mselect\u{1b}[0m a, \u{1b}[32m'x'\u{1b}[0m, \u{1b}[36m1\u{1b}[0m \u{1b}[2m-- c\u{1b}[0m"
        );
        assert_eq!(coloured("from 'da"), "\u{1b}[1;34mfrom\u{1b}[0m \u{1b}[32m'da\u{1b}[0m");
        assert_eq!(coloured("\\d t"), "\u{1b}[35m\\d t\u{1b}[0m");
    }

    #[test]
    fn nothing_is_lost_but_colours() {
        for text in ["select \"A\" from t where b = 'ü;", "/* x", "a\n  b;", "with x as (select 1)"]
        {
            let mut plain = coloured(text);
            for colour in [KEYWORD, TEXT, NUMBER, COMMENT, COMMAND, PLAIN] {
                plain = plain.replace(colour, "");
            }
            assert_eq!(plain, text);
        }
    }
}
