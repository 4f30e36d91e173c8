//! A statement as words: enough to tell commands from queries, by the engine's tokenizer.

use std::ops::Range;

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// A word of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// A keyword or a name without quotes, in lower case.
    Plain(String),
    /// A name in double quotes.
    Quoted(String),
    /// A text.
    Text(String),
    Number(String),
    /// Anything else, as it is written.
    Sign(String),
}

/// The words of a statement, and where each is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    words: Vec<(Word, Range<usize>)>,
    at: usize,
}

impl Words {
    /// The words of a statement. What cannot be read ends them: the parser says what is wrong.
    pub(crate) fn of(sql: &str) -> Self {
        let mut tokens: Vec<TokenWithSpan> = Vec::new();
        let _ =
            Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location_into_buf(&mut tokens);
        let mut cursor = Cursor { sql, at: 0, line: 1, column: 1 };
        let mut words = Vec::new();
        for TokenWithSpan { token, span } in tokens {
            let start = cursor.go(span.start);
            let end = cursor.go(span.end);
            let word = match token {
                Token::Whitespace(_) | Token::EOF => continue,
                Token::Word(word) if word.quote_style.is_some() => Word::Quoted(word.value),
                Token::Word(word) => Word::Plain(word.value.to_lowercase()),
                Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => {
                    Word::Text(text)
                }
                Token::Number(number, _) => Word::Number(number),
                other => Word::Sign(other.to_string()),
            };
            words.push((word, start..end));
        }
        Self { words, at: 0 }
    }

    /// The word that comes next.
    pub(crate) fn peek(&self) -> Option<&Word> {
        self.words.get(self.at).map(|(word, _)| word)
    }

    /// Where the next word begins; the end of the statement after the last one.
    pub(crate) fn place(&self) -> usize {
        match self.words.get(self.at) {
            Some((_, range)) => range.start,
            None => self.words.last().map_or(0, |(_, range)| range.end),
        }
    }

    pub(crate) fn next(&mut self) -> Option<Word> {
        let word = self.peek().cloned();
        self.at += usize::from(word.is_some());
        word
    }

    /// Takes the next word if it is this keyword.
    pub(crate) fn take(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Some(Word::Plain(word)) if word == keyword);
        self.at += usize::from(found);
        found
    }

    /// Takes the next word if it is this sign.
    pub(crate) fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Word::Sign(word)) if word == sign);
        self.at += usize::from(found);
        found
    }

    /// Takes the next words if they are these keywords.
    pub(crate) fn take_all(&mut self, keywords: &[&str]) -> bool {
        let before = self.at;
        let found = keywords.iter().all(|keyword| self.take(keyword));
        if !found {
            self.at = before;
        }
        found
    }

    /// Takes the next word if it is a name.
    pub(crate) fn name(&mut self) -> Option<String> {
        match self.next()? {
            Word::Plain(name) | Word::Quoted(name) => Some(name),
            _ => None,
        }
    }

    /// Takes the next word if it is a text.
    pub(crate) fn text(&mut self) -> Option<String> {
        match self.next()? {
            Word::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Takes what is in parentheses, and returns where it is.
    pub(crate) fn group(&mut self) -> Option<Range<usize>> {
        if !self.take_sign("(") {
            return None;
        }
        let start = self.place();
        let mut depth = 1;
        loop {
            let end = self.place();
            match self.next()? {
                Word::Sign(sign) if sign == "(" => depth += 1,
                Word::Sign(sign) if sign == ")" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(start..end);
            }
        }
    }

    /// Whether no word is left.
    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.words.len()
    }

    /// All words from here on.
    pub(crate) fn rest(&self) -> impl Iterator<Item = &Word> {
        self.words[self.at.min(self.words.len())..].iter().map(|(word, _)| word)
    }
}

/// Follows the lines and columns of tokens through a text.
struct Cursor<'a> {
    sql: &'a str,
    at: usize,
    line: u64,
    column: u64,
}

impl Cursor<'_> {
    /// The byte of a place, which is not before the last one.
    fn go(&mut self, to: Location) -> usize {
        while (self.line, self.column) < (to.line, to.column) {
            let Some(letter) = self.sql[self.at..].chars().next() else { break };
            self.at += letter.len_utf8();
            if letter == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        self.at
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn words_know_their_places() {
        let sql = "COPY (select 'ä;', \"B\"\n from t where (1=1)) TO stdout";
        let mut words = Words::of(sql);
        assert!(words.take("copy") && !words.take("to"));
        let inner = words.group().unwrap();
        assert_eq!(&sql[inner], "select 'ä;', \"B\"\n from t where (1=1)");
        assert!(words.take_all(&["to", "stdout"]) && words.is_done());
        assert_eq!(Words::of("(select").group(), None);
    }
}
