//! COPY, INSERT and CREATE TABLE AS as they are written: a query, where its rows go, and how.
//!
//! The query is planned from the same text with spaces in the place of the rest, so every place in it is where it was.
//!
//! ```text
//!  COPY (SELECT a FROM t) TO 's3://b/x/' (FORMAT parquet, PARTITION_BY (a))
//!        SELECT a FROM t                                                       <─ what the engine parses
//! ```

use std::borrow::Cow;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::options::Options;
pub(crate) use super::reader::Target;
use super::reader::{Query, Read, Reader};
use crate::error::PlanError;
use crate::tokens::{blanked, keyword, tokens};

/// A statement that writes.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) target: Target,
    pub(crate) options: Options,
}

/// Takes a write out of a statement. Returns the text of the query in it, and nothing for other statements.
///
/// # Errors
/// A COPY that cannot be read, and forms of INSERT and CREATE TABLE AS that Dunlin does not run.
pub(crate) fn asked(sql: &str) -> Result<(Option<Asked>, Cow<'_, str>), PlanError> {
    let other = || Ok((None, Cow::Borrowed(sql)));
    let lower = sql.to_ascii_lowercase();
    if !["copy", "insert", "create"].iter().any(|word| lower.contains(word)) {
        return other();
    }
    let Some(tokens) = tokens(sql) else { return other() };
    let mut reader = Reader { tokens: &tokens, at: explained(&tokens) };
    let first = reader.at;
    let read = match reader.next_keyword() {
        Some(Keyword::COPY) => reader.copy()?,
        Some(Keyword::INSERT) => reader.insert()?,
        Some(Keyword::CREATE) => match reader.create()? {
            Some(read) => read,
            None => return other(),
        },
        _ => return other(),
    };
    let Read { target, options, query } = read;
    let options = Options::read(options)?;
    let place = |at: usize| tokens.get(at).map(|token| token.span.start);
    let end = Location { line: u64::MAX, column: u64::MAX };
    let text = match query {
        Query::Tokens(from, to) => {
            let before = (place(first).unwrap_or(end), place(from).unwrap_or(end));
            let text = blanked(sql, before.0, before.1);
            blanked(&text, place(to).unwrap_or(end), end)
        }
        Query::Table(name) => {
            let before = blanked(sql, place(first).unwrap_or(end), end);
            format!("{} SELECT {name}", before.trim_end())
        }
    };
    Ok((Some(Asked { target, options }), Cow::Owned(text)))
}

/// Words of an EXPLAIN at the beginning.
fn explained(tokens: &[TokenWithSpan]) -> usize {
    if keyword(tokens.first()) != Some(Keyword::EXPLAIN) {
        return 0;
    }
    let mut at = 1;
    if tokens.get(1).is_some_and(|token| token.token == Token::LParen) {
        let end = tokens.iter().position(|token| token.token == Token::RParen);
        return end.map_or(0, |end| end + 1);
    }
    while let Some(Keyword::ANALYZE | Keyword::VERBOSE) = keyword(tokens.get(at)) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(sql: &str) -> (Target, String) {
        let (asked, text) = asked(sql).unwrap();
        (asked.unwrap().target, text.into_owned())
    }

    #[test]
    fn the_query_stays_where_it_is() {
        let (target, text) = read("COPY (SELECT (1)\n AS a) TO 's3://b/x/' (FORMAT csv);");
        assert_eq!(target, Target::Place("s3://b/x/".to_owned()));
        assert_eq!(text.trim_end(), "      SELECT (1)\n AS a");
        let (target, text) = read("explain insert into T (a, \"B\") values (1, 2)");
        let columns = Some(vec!["a".to_owned(), "B".to_owned()]);
        assert_eq!(target, Target::Table { name: "t".to_owned(), columns });
        assert_eq!(text, "explain                        values (1, 2)");
        let (target, text) = read("create table x with (format = 'parquet') as (select 1)");
        assert_eq!(target, Target::NewTable("x".to_owned()));
        assert_eq!(text.trim(), "(select 1)");
        for name in ["public.x", "datafusion.public.x", "\"datafusion\".\"public\".\"x\""] {
            let (target, _) = read(&format!("create table {name} as select 1"));
            assert_eq!(target, Target::NewTable("x".to_owned()), "{name}");
        }
        let (_, text) = read("copy orders (k, d) to 'o.csv'");
        assert_eq!(text.trim(), "SELECT \"k\", \"d\" FROM orders");
        let (_, text) = read("explain copy orders to 'x/'");
        assert_eq!(text, "explain SELECT * FROM orders");
        let (target, text) = read("insert into t (select 1)");
        assert_eq!(target, Target::Table { name: "t".to_owned(), columns: None });
        assert_eq!(text.trim(), "(select 1)");
    }

    #[test]
    fn other_statements_are_left_as_they_are() {
        for sql in [
            "select 'copy'",
            "select copy from insert_log",
            "create table t (a int)",
            "create view v as select 1",
            "insert 'open",
        ] {
            let (asked, text) = asked(sql).unwrap_or((None, Cow::Borrowed(sql)));
            assert!(asked.is_none() && text == sql, "{sql}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (sql, at) in [
            ("copy (select 1) 'x'", (1, 17)),
            ("copy (select 1) to x", (1, 20)),
            ("copy (select 1", (1, 15)),
            ("copy (select 1) to 'x' (format csv", (1, 35)),
            ("copy (select 1) to 'x' (format csv) and more", (1, 37)),
            ("insert t select 1", (1, 8)),
            ("insert into t (a) set 1", (1, 19)),
            ("create table t with (format csv) select 1 as a", (1, 34)),
        ] {
            match asked(sql) {
                Err(PlanError::Syntax { position, message, .. }) => {
                    assert_eq!(position, Some(at), "{sql}: {message}");
                }
                other => panic!("{sql}: {other:?}"),
            }
        }
        for sql in [
            "copy t from 'x.csv'",
            "insert overwrite t select 1",
            "insert into a.b select 1",
            "insert into a.public.b select 1",
            "insert into a.datafusion.public.b select 1",
            "create or replace table t as select 1",
            "create table if not exists t as select 1",
            "create table t (a) as select 1",
        ] {
            assert!(matches!(asked(sql), Err(PlanError::Unsupported { .. })), "{sql}");
        }
    }
}
