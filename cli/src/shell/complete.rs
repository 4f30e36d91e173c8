//! What Tab offers.

use std::collections::BTreeSet;

use super::catalog::Names;
use super::command::COMMANDS;
use super::keywords::{KEYWORDS, is_keyword};
use crate::lex::{Kind, Lexeme, lex};

/// Words after which a table stands.
const BEFORE_TABLES: [&str; 5] = ["from", "join", "into", "table", "describe"];
/// The formats, for `\format`.
const FORMATS: [&str; 8] = ["table", "csv", "tsv", "json", "jsonl", "markdown", "arrow", "parquet"];

/// What may stand at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// The name of a file.
    File,
    /// One of these words, from this byte on.
    Words(usize, Vec<String>),
}

/// Whether names of tables are needed to complete a line.
pub(super) fn needs_names(before: &str) -> bool {
    let trimmed = before.trim_start();
    !trimmed.starts_with('\\') || trimmed.starts_with("\\d ")
}

/// What may stand at `at` in `line`.
pub(super) fn complete(line: &str, at: usize, names: &Names) -> Offer {
    let before = &line[..at];
    if let Some(command) = before.trim_start().strip_prefix('\\') {
        return of_command(before, command, names);
    }
    let lexed = lex(before);
    if let Some(open) = lexed.open {
        let is_text = before[open..].starts_with('\'');
        return if is_text { Offer::File } else { Offer::Words(at, Vec::new()) };
    }
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let start = before
        .rfind(|letter| !is_part(letter))
        .map_or(0, |found| found + before[found..].chars().next().map_or(1, char::len_utf8));
    let word = &before[start..];
    let parts = statement_at(line, at);
    let said = words(line, &parts);
    if let Some(owner) = before[..start].strip_suffix('.') {
        let owner = owner.rsplit(|letter| !is_part(letter)).next().unwrap_or_default();
        let columns = columns_of(&owner.to_lowercase(), &said, names);
        return Offer::Words(start, matching(columns, word));
    }
    let previous: Vec<&str> = words(before, &statement_at(before, start))
        .into_iter()
        .filter(|(place, _)| *place < start)
        .map(|(_, word)| word)
        .collect();
    let after_table_word = previous
        .last()
        .is_some_and(|last| BEFORE_TABLES.iter().any(|word| last.eq_ignore_ascii_case(word)));
    let tables = names.tables.keys().map(|name| quoted(name));
    if after_table_word {
        return Offer::Words(start, matching(tables, word));
    }
    if word.is_empty() {
        return Offer::Words(start, Vec::new());
    }
    let mentioned = mentioned(&said, names);
    let columns = names
        .tables
        .iter()
        .filter(|(table, _)| mentioned.is_empty() || mentioned.contains(table.as_str()));
    let columns = columns.flat_map(|(_, columns)| columns.iter().map(|name| quoted(name)));
    let functions = names.functions.iter().map(|name| format!("{name}("));
    let lower = word.chars().all(|letter| !letter.is_uppercase());
    let keywords = KEYWORDS
        .iter()
        .map(|keyword| if lower { keyword.to_ascii_lowercase() } else { (*keyword).to_owned() });
    Offer::Words(start, matching(columns.chain(tables).chain(keywords).chain(functions), word))
}

fn of_command(before: &str, command: &str, names: &Names) -> Offer {
    let Some((name, rest)) = command.split_once(' ') else {
        let start = before.len() - command.len();
        let all = COMMANDS.iter().map(|(name, ..)| (*name).to_owned());
        return Offer::Words(start, matching(all, command));
    };
    let start = before.len() - rest.trim_start().len();
    let word = rest.trim_start();
    let fixed = |words: &[&str]| {
        Offer::Words(start, matching(words.iter().map(|word| (*word).to_owned()), word))
    };
    match name {
        "i" | "o" => Offer::File,
        "d" if word.starts_with('\'') => Offer::File,
        "d" => Offer::Words(start, matching(names.tables.keys().map(|name| quoted(name)), word)),
        "format" => fixed(&FORMATS),
        "x" => fixed(&["on", "off", "auto"]),
        "timing" => fixed(&["on", "off"]),
        _ => Offer::Words(start, Vec::new()),
    }
}

/// The parts of the statement around `at`.
fn statement_at(line: &str, at: usize) -> Vec<Lexeme> {
    let mut parts = Vec::new();
    for part in lex(line).lexemes {
        if part.kind == Kind::End {
            if part.range.end > at {
                break;
            }
            parts.clear();
        } else {
            parts.push(part);
        }
    }
    parts
}

/// The words and names of a statement, with their places.
fn words<'a>(line: &'a str, parts: &[Lexeme]) -> Vec<(usize, &'a str)> {
    let says = parts.iter().filter(|part| part.says());
    says.map(|part| (part.range.start, &line[part.range.clone()])).collect()
}

fn mentioned<'a>(said: &[(usize, &str)], names: &'a Names) -> BTreeSet<&'a str> {
    let known = |(_, word): &(usize, &str)| {
        names.tables.get_key_value(&unquoted(word)).map(|(table, _)| table.as_str())
    };
    said.iter().filter_map(known).collect()
}

/// The columns of a table, or of the table that has this name in the statement.
fn columns_of(owner: &str, said: &[(usize, &str)], names: &Names) -> Vec<String> {
    let table = names.tables.get(owner).or_else(|| {
        said.iter().enumerate().find_map(|(index, (_, word))| {
            let table = names.tables.get(&unquoted(word))?;
            let mut next = said.iter().skip(index + 1).map(|(_, word)| *word);
            let mut alias = next.next()?;
            if alias.eq_ignore_ascii_case("as") {
                alias = next.next()?;
            }
            (!is_keyword(alias) && unquoted(alias) == owner).then_some(table)
        })
    });
    table.into_iter().flatten().map(|name| quoted(name)).collect()
}

/// A name as SQL has it.
fn quoted(name: &str) -> String {
    let first =
        name.chars().next().is_some_and(|letter| letter.is_ascii_lowercase() || letter == '_');
    let plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    if first && name.chars().all(plain) && !is_keyword(name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// The name that SQL means.
fn unquoted(word: &str) -> String {
    match word.strip_prefix('"').and_then(|word| word.strip_suffix('"')) {
        Some(inside) => inside.replace("\"\"", "\""),
        None => word.to_lowercase(),
    }
}

/// Those that begin with `word`, whatever its case, once each.
fn matching(candidates: impl IntoIterator<Item = String>, word: &str) -> Vec<String> {
    let word = word.to_lowercase();
    let begins =
        |candidate: &String| candidate.trim_start_matches('"').to_lowercase().starts_with(&word);
    let found: BTreeSet<String> = candidates.into_iter().filter(begins).collect();
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let table = |name: &str, columns: &[&str]| {
            (name.to_owned(), columns.iter().map(|name| (*name).to_owned()).collect())
        };
        Names {
            tables: [
                table("lineitem", &["l_orderkey", "l_quantity"]),
                table("orders", &["o_orderkey", "Total"]),
                table("Odd Name", &["x"]),
            ]
            .into(),
            functions: vec!["sum".to_owned(), "lower".to_owned()],
        }
    }

    /// What is offered at the `|`.
    fn offered(line: &str) -> Vec<String> {
        let at = line.find('|').unwrap_or(line.len());
        match complete(&line.replace('|', ""), at, &names()) {
            Offer::File => vec!["<file>".to_owned()],
            Offer::Words(start, words) => {
                let start = &line[start..at];
                words.into_iter().map(|word| format!("{start}>{word}")).collect()
            }
        }
    }

    #[test]
    fn tables_come_after_from_and_columns_of_the_tables_elsewhere() {
        assert_eq!(offered("select * from o|"), ["o>\"Odd Name\"", "o>orders"]);
        assert_eq!(offered("select * from |"), [">\"Odd Name\"", ">lineitem", ">orders"]);
        assert_eq!(offered("select l_q| from lineitem"), ["l_q>l_quantity"]);
        assert_eq!(offered("select l_q| from orders"), Vec::<String>::new());
        assert_eq!(offered("select * from lineitem; select o_| from orders;"), ["o_>o_orderkey"]);
        assert_eq!(
            offered("select T| from orders"),
            ["T>\"Total\"", "T>TABLE", "T>THEN", "T>TO", "T>TRUE", "T>TRY_CAST"]
        );
    }

    #[test]
    fn a_table_is_known_by_its_other_name_too() {
        assert_eq!(offered("select o.| from orders as o"), [">\"Total\"", ">o_orderkey"]);
        assert_eq!(offered("select * from lineitem l where l.l_o|"), ["l_o>l_orderkey"]);
        assert_eq!(offered("select orders.o|"), ["o>o_orderkey"]);
        assert_eq!(offered("select nobody.x|"), Vec::<String>::new());
    }

    #[test]
    fn keywords_have_the_case_that_was_begun() {
        assert_eq!(offered("sel|"), ["sel>select"]);
        assert_eq!(offered("SEL|"), ["SEL>SELECT"]);
        assert_eq!(offered("select su|"), ["su>sum("]);
        assert_eq!(offered("|"), Vec::<String>::new());
    }

    #[test]
    fn files_are_offered_in_texts_and_nothing_in_comments() {
        assert_eq!(offered("select * from 'da|"), ["<file>"]);
        assert_eq!(offered("select 1 /* fr|"), Vec::<String>::new());
        assert_eq!(offered("select 'it''s', su|"), ["su>sum("]);
    }

    #[test]
    fn commands_have_arguments() {
        assert_eq!(offered("\\d|"), ["d>d", "d>df", "d>dt"]);
        assert_eq!(offered("\\d li|"), ["li>lineitem"]);
        assert_eq!(offered("\\d 'x|"), ["<file>"]);
        assert_eq!(offered("\\format js|"), ["js>json", "js>jsonl"]);
        assert_eq!(offered("\\i |"), ["<file>"]);
        assert!(needs_names("sel") && needs_names("\\d l") && !needs_names("\\format "));
    }
}
