//! SQL as the engine's tokenizer sees it, with the places in the text: for cutting scripts into statements, for colours
//! and for completion.

use std::ops::Range;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

/// What a part of a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or a name.
    Word,
    /// A name in double quotes.
    Name,
    /// A text in single quotes.
    Text,
    Number,
    Comment,
    Space,
    /// The end of a statement.
    End,
    Other,
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lexeme {
    pub(crate) kind: Kind,
    pub(crate) range: Range<usize>,
}

impl Lexeme {
    /// Whether it says something: it is no space and no comment.
    pub(crate) fn says(&self) -> bool {
        !matches!(self.kind, Kind::Space | Kind::Comment)
    }
}

/// A text in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lexed {
    pub(crate) lexemes: Vec<Lexeme>,
    /// Where a text, a name or a comment begins that does not end.
    pub(crate) open: Option<usize>,
    /// Where the part begins that the tokenizer cannot read.
    pub(crate) unread: Option<usize>,
}

/// Cuts a text into parts. Together with the part that cannot be read, they are the whole text.
pub(crate) fn lex(text: &str) -> Lexed {
    let mut tokens: Vec<TokenWithSpan> = Vec::new();
    let read = Tokenizer::new(&GenericDialect, text).tokenize_with_location_into_buf(&mut tokens);
    let mut cursor = Cursor { text, at: 0, line: 1, column: 1 };
    let mut lexemes = Vec::with_capacity(tokens.len());
    for TokenWithSpan { token, span } in tokens {
        let start = cursor.at;
        cursor.advance(span.end.line, span.end.column);
        let range = start..cursor.at;
        // The parts of a comment that is a hint for other databases have the comment's place.
        if !range.is_empty() {
            let kind = kind(&token, &text[range.clone()]);
            lexemes.push(Lexeme { kind, range });
        }
    }
    let unread = (cursor.at < text.len()).then_some(cursor.at);
    let is_open = |message: &str| message.contains("nterminated") || message.contains("EOF");
    let open = match read {
        Err(error) if is_open(&error.message) => unread,
        _ => None,
    };
    Lexed { lexemes, open, unread }
}

fn kind(token: &Token, text: &str) -> Kind {
    match token {
        _ if text.starts_with("/*") => Kind::Comment,
        Token::SemiColon => Kind::End,
        Token::Word(word) if word.quote_style.is_some() => Kind::Name,
        Token::Word(_) => Kind::Word,
        Token::Number(..) => Kind::Number,
        Token::Whitespace(
            Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_),
        ) => Kind::Comment,
        Token::Whitespace(_) => Kind::Space,
        _ if text.ends_with('\'') || text.starts_with('$') && text.ends_with('$') => Kind::Text,
        Token::DoubleQuotedString(_) => Kind::Name,
        _ => Kind::Other,
    }
}

/// A place in a text. The tokenizer counts lines and characters, a text is cut at bytes.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
    line: u64,
    column: u64,
}

impl Cursor<'_> {
    fn advance(&mut self, line: u64, column: u64) {
        while (self.line, self.column) < (line, column) {
            let Some(letter) = self.text[self.at..].chars().next() else { return };
            self.at += letter.len_utf8();
            if letter == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<(Kind, &str)> {
        let lexed = lex(text);
        lexed.lexemes.into_iter().map(|part| (part.kind, &text[part.range])).collect()
    }

    #[test]
    fn parts_are_where_they_are_in_the_text() {
        assert_eq!(
            parts("select 'ä;', \"B;\", $$x;$$ -- c;\n/* d; */ 1.5e3;"),
            [
                (Kind::Word, "select"),
                (Kind::Space, " "),
                (Kind::Text, "'ä;'"),
                (Kind::Other, ","),
                (Kind::Space, " "),
                (Kind::Name, "\"B;\""),
                (Kind::Other, ","),
                (Kind::Space, " "),
                (Kind::Text, "$$x;$$"),
                (Kind::Space, " "),
                (Kind::Comment, "-- c;\n"),
                (Kind::Comment, "/* d; */"),
                (Kind::Space, " "),
                (Kind::Number, "1.5e3"),
                (Kind::End, ";"),
            ]
        );
    }

    #[test]
    fn together_the_parts_are_the_text() {
        for text in [
            "a\r\nb\r\n;c",
            "e'x\\'y;' u&'\\0041' x'1f' n'a' 'it''s;'",
            "/*!50110 select 1; */ select 2",
            "a->>'b;' #> @> ~* !~~ <=> :: := => ?| ||",
            "\u{1f980}\u{301} 日本 = '語;'\n\n\t\"\"\"q;\"\"\"",
            "`b;q` [1, 2] {a: 1} @x #t",
        ] {
            let lexed = lex(text);
            let all: String = parts(text).iter().map(|(_, part)| *part).collect();
            assert_eq!(all, text);
            assert_eq!((lexed.open, lexed.unread), (None, None), "{text}");
        }
    }

    #[test]
    fn what_does_not_end_is_known_to_be_open() {
        for (text, at) in
            [("a 'b;", 2), ("a /* b; ", 2), ("a \"b;", 2), ("x $t$ y; $u$", 2), ("é 'b", 3)]
        {
            assert_eq!(lex(text).open, Some(at), "{text}");
        }
    }
}
