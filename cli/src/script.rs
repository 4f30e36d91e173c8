//! Scripts: statements with `;` between them, and commands of the shell (`\d`), one in each line.

use crate::lex::{Kind, Lexed, Lexeme, lex};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// Runs a statement.
    Statement(Statement),
    /// A line that begins with a backslash, without it.
    Command(String),
}

/// A statement of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Its text, without the `;`.
    pub(crate) text: String,
    /// Its first line in the script, from 1.
    pub(crate) line: u64,
    /// Its first column there, in characters, from 1.
    pub(crate) column: u64,
    /// Its first words, in lower case.
    words: Vec<String>,
}

/// Words that say what kind of statement it is.
const WORDS: usize = 3;

impl Statement {
    /// Whether it is EXPLAIN ANALYZE, and if so, whether of every task.
    pub(crate) fn analysis(&self) -> Option<bool> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["explain", "analyze", rest @ ..] => Some(rest.first() == Some(&"verbose")),
            _ => None,
        }
    }

    /// Whether other tables may be there after it.
    pub(crate) fn changes_tables(&self) -> bool {
        let first = self.words.first().map(String::as_str);
        matches!(first, Some("create" | "drop" | "alter" | "insert" | "copy"))
    }
}

/// Whether there is nothing to wait for: the last statement has its `;`, or the text is a command or nothing.
pub(crate) fn is_complete(text: &str) -> bool {
    let mut rest = text;
    loop {
        let trimmed = rest.trim_start();
        if trimmed.is_empty() {
            return true;
        }
        if trimmed.starts_with('\\') {
            rest = trimmed.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let lexed = lex(trimmed);
        if let Some(at) = next_command(trimmed, &lexed) {
            rest = &trimmed[at..];
            continue;
        }
        let last = lexed.lexemes.iter().rev().find(|part| part.says());
        return lexed.open.is_none()
            && (lexed.unread.is_some() || last.is_none_or(|part| part.kind == Kind::End));
    }
}

/// Where a command begins between two statements.
fn next_command(text: &str, lexed: &Lexed) -> Option<usize> {
    let mut between = false;
    for part in &lexed.lexemes {
        if between && part.says() && text[part.range.start..].starts_with('\\') {
            return Some(part.range.start);
        }
        if part.says() {
            between = part.kind == Kind::End;
        }
    }
    None
}

/// The items of a script.
pub(crate) fn items(script: &str) -> Vec<Item> {
    let script = script.strip_prefix('\u{feff}').unwrap_or(script);
    let mut items = Vec::new();
    let mut at = 0;
    loop {
        let rest = &script[at..];
        at += rest.len() - rest.trim_start().len();
        let rest = &script[at..];
        if rest.is_empty() {
            return items;
        }
        if let Some(command) = rest.strip_prefix('\\') {
            let line = command.split('\n').next().unwrap_or_default();
            items.push(Item::Command(line.trim().to_owned()));
            at += 1 + line.len();
            continue;
        }
        let lexed = lex(rest);
        let end = next_command(rest, &lexed);
        statements(script, at, &lexed, end, &mut items);
        match end {
            Some(end) => at += end,
            None => return items,
        }
    }
}

/// Adds the statements of the part of `script` that begins at `base`, up to a command at `end`.
fn statements(script: &str, base: usize, lexed: &Lexed, end: Option<usize>, items: &mut Vec<Item>) {
    let rest = &script[base..];
    let mut open: Vec<&Lexeme> = Vec::new();
    let mut add = |parts: &mut Vec<&Lexeme>, until: usize| {
        if let Some(first) = parts.first() {
            let words = parts.iter().filter(|part| part.says()).take(WORDS);
            let words = words.map(|part| rest[part.range.clone()].to_ascii_lowercase()).collect();
            let start = base + first.range.start;
            let text = rest[first.range.start..until].trim_end().to_owned();
            let line = script[..start].matches('\n').count() as u64 + 1;
            let before = script[..start].rsplit('\n').next().unwrap_or_default();
            let column = before.chars().count() as u64 + 1;
            items.push(Item::Statement(Statement { text, line, column, words }));
        }
        parts.clear();
    };
    let stop = end.unwrap_or(rest.len());
    for part in lexed.lexemes.iter().filter(|part| part.range.start < stop) {
        if part.kind == Kind::End {
            add(&mut open, part.range.start);
        } else if part.says() || !open.is_empty() {
            open.push(part);
        }
    }
    match lexed.unread {
        // The gateway says what is wrong with it.
        Some(at) if end.is_none() => {
            let unread = Lexeme { kind: Kind::Other, range: at..rest.len() };
            open.push(&unread);
            add(&mut open, rest.len());
        }
        _ => add(&mut open, stop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<String> {
        let item = |item| match item {
            Item::Statement(Statement { text, line, column, .. }) => {
                format!("{line}:{column} {text}")
            }
            Item::Command(text) => format!("\\{text}"),
        };
        items(script).into_iter().map(item).collect()
    }

    #[test]
    fn statements_end_at_semicolons_that_are_no_text_and_no_comment() {
        assert_eq!(
            texts("select ';' -- a;b\n, \"c;\";\n\n  /* x; */ select 2 ; select $$;$$"),
            ["1:1 select ';' -- a;b\n, \"c;\"", "4:12 select 2", "4:23 select $$;$$"]
        );
        assert_eq!(texts("\u{feff}select 1;;; -- the end\n;"), ["1:1 select 1"]);
        assert_eq!(texts(" \n-- nothing\n/* ; */"), Vec::<String>::new());
        assert_eq!(texts("select 'ä'; select 'ö'"), ["1:1 select 'ä'", "1:13 select 'ö'"]);
    }

    #[test]
    fn what_comes_before_an_open_text_still_runs() {
        assert_eq!(texts("select 1; select 'x;\n"), ["1:1 select 1", "1:11 select 'x;"]);
        assert_eq!(texts("select 1; /* x"), ["1:1 select 1", "1:11 /* x"]);
    }

    #[test]
    fn commands_are_lines_between_statements() {
        assert_eq!(
            texts("\\timing off\nselect 1;\n\\o it's.csv\nselect '\n\\no';\\q"),
            ["\\timing off", "2:1 select 1", "\\o it's.csv", "4:1 select '\n\\no'", "\\q"]
        );
    }

    #[test]
    fn a_text_is_complete_with_its_semicolon() {
        for text in ["", "  ", "\\d", "select 1;", "select 1; -- x", "\\d it's", "select 1;\n\\dt"]
        {
            assert!(is_complete(text), "{text}");
        }
        for text in ["select 1", "select ';", "select 1; select", "/* ;", "\\x\nselect 1"] {
            assert!(!is_complete(text), "{text}");
        }
    }

    #[test]
    fn kinds_of_statements_are_known_by_their_first_words() {
        let first = |text: &str| match items(text).remove(0) {
            Item::Statement(statement) => statement,
            Item::Command(_) => unreachable!(),
        };
        assert_eq!(first("EXPLAIN /* x */ Analyze select 1").analysis(), Some(false));
        assert_eq!(first("explain analyze verbose select 1").analysis(), Some(true));
        assert_eq!(first("explain select 'analyze'").analysis(), None);
        assert!(first("CREATE TABLE t AS SELECT 1").changes_tables());
        assert!(!first("select 1").changes_tables());
    }
}
