//! What a statement asks for: a command of the session, a look into the catalog, or a query for the core.

use std::ops::Range;

use super::catalog_words::asks_catalog;
use super::copy::CopyFormat;
use super::failure::{Failure, state};
use crate::text::{Word, Words};

/// What a statement asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// `BEGIN` or `START TRANSACTION`, as it is answered.
    Begin(&'static str),
    Commit,
    Rollback,
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    /// None: back to its first value.
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    /// It says how transactions are kept apart, which changes nothing here.
    SetTransaction,
    ResetAll,
    /// None: all of them.
    Show(Option<String>),
    Discard(String),
    /// None: all of them.
    Deallocate(Option<String>),
    Declare {
        cursor: String,
        hold: bool,
        query: Range<usize>,
    },
    /// None: all that are left. `skip`: the rows are not sent.
    Fetch {
        cursor: String,
        rows: Option<usize>,
        skip: bool,
    },
    /// None: all of them.
    CloseCursor(Option<String>),
    CopyOut {
        query: String,
        format: CopyFormat,
    },
    Unlisten,
    /// Answered from the catalog.
    Catalog,
    Query,
}

fn wrong(what: &str) -> Failure {
    Failure::error(state::SYNTAX, format!("{what} cannot be read"))
}

fn not_offered(what: &str, hint: &str) -> Failure {
    Failure::error(state::FEATURE_NOT_SUPPORTED, format!("{what} is not supported")).hint(hint)
}

impl Command {
    /// What a statement asks for.
    ///
    /// # Errors
    /// A command of Postgres that is not offered, or that cannot be read.
    pub(super) fn of(sql: &str) -> Result<Self, Failure> {
        let mut words = Words::of(sql);
        let Some(Word::Plain(first)) = words.peek().cloned() else {
            return Ok(Self::query(&words));
        };
        let command = match first.as_str() {
            "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint"
            | "release" => transaction(&mut words)?,
            "set" | "reset" => setting(&mut words)?,
            "show" => match show(&mut words) {
                Some(command) => command,
                None => return Ok(Self::Query),
            },
            "discard" => {
                words.next();
                Self::Discard(words.name().ok_or_else(|| wrong("DISCARD"))?)
            }
            "deallocate" => {
                words.next();
                words.take("prepare");
                let name = words.name().ok_or_else(|| wrong("DEALLOCATE"))?;
                Self::Deallocate((name != "all").then_some(name))
            }
            "declare" => declare(&mut words, sql)?,
            "fetch" | "move" => fetch(&mut words)?,
            "close" => {
                words.next();
                let name = words.name().ok_or_else(|| wrong("CLOSE"))?;
                Self::CloseCursor((name != "all").then_some(name))
            }
            "copy" => return copy(&mut words, sql),
            "unlisten" => return Ok(Self::Unlisten),
            "listen" | "notify" => {
                return Err(not_offered("LISTEN and NOTIFY", "Queries tell their news over HTTP."));
            }
            "prepare" | "execute" => {
                return Err(not_offered(
                    "PREPARE as a statement",
                    "Use the prepared statements of your driver, which the protocol has.",
                ));
            }
            _ => return Ok(Self::query(&words)),
        };
        if words.is_done() { Ok(command) } else { Err(wrong(&first.to_uppercase())) }
    }

    fn query(words: &Words) -> Self {
        if asks_catalog(words) { Self::Catalog } else { Self::Query }
    }
}

fn transaction(words: &mut Words) -> Result<Command, Failure> {
    let first = words.name().unwrap_or_default();
    let skip = |words: &mut Words| {
        let _ = words.take("work") || words.take("transaction");
    };
    Ok(match first.as_str() {
        "begin" => {
            skip(words);
            modes(words)?;
            Command::Begin("BEGIN")
        }
        "start" if words.take("transaction") => {
            modes(words)?;
            Command::Begin("START TRANSACTION")
        }
        "start" => return Err(wrong("START")),
        "savepoint" => Command::Savepoint(words.name().ok_or_else(|| wrong("SAVEPOINT"))?),
        "release" => {
            words.take("savepoint");
            Command::Release(words.name().ok_or_else(|| wrong("RELEASE"))?)
        }
        "commit" | "end" => {
            skip(words);
            if words.take("prepared") {
                return Err(not_offered("COMMIT PREPARED", "Statements are not undone."));
            }
            words.take_all(&["and", "no", "chain"]);
            Command::Commit
        }
        _ => {
            skip(words);
            words.take_all(&["and", "no", "chain"]);
            if words.take("to") {
                words.take("savepoint");
                Command::RollbackTo(words.name().ok_or_else(|| wrong("ROLLBACK TO"))?)
            } else {
                Command::Rollback
            }
        }
    })
}

/// How a transaction is kept apart from others. Every statement reads the files as they are when it is planned.
fn modes(words: &mut Words) -> Result<(), Failure> {
    loop {
        let known = words.take_all(&["isolation", "level", "serializable"])
            || words.take_all(&["isolation", "level", "repeatable", "read"])
            || words.take_all(&["isolation", "level", "read", "committed"])
            || words.take_all(&["isolation", "level", "read", "uncommitted"])
            || words.take_all(&["read", "only"])
            || words.take_all(&["read", "write"])
            || words.take_all(&["not", "deferrable"])
            || words.take("deferrable");
        if !known {
            return if words.is_done() { Ok(()) } else { Err(wrong("the mode of a transaction")) };
        }
        words.take_sign(",");
    }
}

fn setting(words: &mut Words) -> Result<Command, Failure> {
    if words.take("reset") {
        if words.take("all") {
            return Ok(Command::ResetAll);
        }
        let name = setting_name(words).ok_or_else(|| wrong("RESET"))?;
        return Ok(Command::Set { name, value: None, local: false });
    }
    words.next();
    if words.take_all(&["session", "characteristics", "as", "transaction"])
        || words.take("transaction")
    {
        modes(words)?;
        return Ok(Command::SetTransaction);
    }
    let local = words.take("local");
    let _ = local || words.take("session");
    let set = |name: &str, words: &mut Words| {
        Ok(Command::Set { name: name.to_owned(), value: setting_value(words)?, local })
    };
    if words.take_all(&["time", "zone"]) {
        return set("timezone", words);
    }
    if words.take("names") {
        return set("client_encoding", words);
    }
    let name = setting_name(words).ok_or_else(|| wrong("SET"))?;
    if matches!(name.as_str(), "role" | "session_authorization" | "authorization") {
        return Err(not_offered("SET ROLE", "Connect with the key that you want to use."));
    }
    if !words.take_sign("=") && !words.take("to") {
        return Err(wrong("SET"));
    }
    set(&name, words)
}

fn setting_name(words: &mut Words) -> Option<String> {
    if words.take_all(&["time", "zone"]) {
        return Some("timezone".to_owned());
    }
    let mut name = words.name()?.to_lowercase();
    while words.take_sign(".") {
        name = format!("{name}.{}", words.name()?.to_lowercase());
    }
    Some(name)
}

/// A value, or several with commas between them. None: DEFAULT.
fn setting_value(words: &mut Words) -> Result<Option<String>, Failure> {
    if words.take("default") {
        return Ok(None);
    }
    let mut parts: Vec<String> = Vec::new();
    while let Some(word) = words.next() {
        match word {
            Word::Plain(text) | Word::Quoted(text) | Word::Text(text) | Word::Number(text) => {
                parts.push(text);
            }
            Word::Sign(sign) if sign == "-" => match words.next() {
                Some(Word::Number(number)) => parts.push(format!("-{number}")),
                _ => return Err(wrong("SET")),
            },
            Word::Sign(sign) if sign == "," && !parts.is_empty() => {}
            Word::Sign(_) => return Err(wrong("SET")),
        }
    }
    if parts.is_empty() { Err(wrong("SET")) } else { Ok(Some(parts.join(", "))) }
}

/// None: a SHOW of the core, such as SHOW TABLES.
fn show(words: &mut Words) -> Option<Command> {
    words.next();
    if matches!(words.peek(), Some(Word::Plain(word)) if matches!(word.as_str(), "tables" | "columns" | "functions" | "create"))
    {
        return None;
    }
    if words.take_all(&["transaction", "isolation", "level"]) {
        return Some(Command::Show(Some("transaction_isolation".to_owned())));
    }
    if words.take("all") {
        return Some(Command::Show(None));
    }
    setting_name(words).map(|name| Command::Show(Some(name)))
}

fn declare(words: &mut Words, sql: &str) -> Result<Command, Failure> {
    words.next();
    let cursor = words.name().ok_or_else(|| wrong("DECLARE"))?;
    loop {
        if words.take("binary") {
            return Err(not_offered("a BINARY cursor", "Ask for binary values in Bind."));
        }
        if words.take_all(&["no", "scroll"])
            || words.take("insensitive")
            || words.take("asensitive")
        {
            continue;
        }
        if words.take("scroll") {
            return Err(not_offered("a SCROLL cursor", "Rows are read forward, once."));
        }
        break;
    }
    if !words.take("cursor") {
        return Err(wrong("DECLARE"));
    }
    let hold = words.take_all(&["with", "hold"]);
    let _ = hold || words.take_all(&["without", "hold"]);
    if !words.take("for") {
        return Err(wrong("DECLARE"));
    }
    let query = words.place()..sql.len();
    while words.next().is_some() {}
    Ok(Command::Declare { cursor, hold, query })
}

fn fetch(words: &mut Words) -> Result<Command, Failure> {
    let skip = matches!(words.next(), Some(Word::Plain(word)) if word == "move");
    let backward = || not_offered("reading a cursor backward", "Rows are read forward, once.");
    let number = |words: &mut Words| match words.peek() {
        Some(Word::Number(number)) => {
            // More rows than can be counted are all rows.
            let is_whole = number.bytes().all(|digit| digit.is_ascii_digit());
            let number = number.parse().ok().or_else(|| is_whole.then_some(usize::MAX));
            words.next();
            number
        }
        _ => None,
    };
    let rows = if words.take("next") {
        Some(1)
    } else if words.take("all") {
        None
    } else if words.take("forward") {
        if words.take("all") { None } else { Some(number(words).unwrap_or(1)) }
    } else if ["prior", "first", "last", "absolute", "relative", "backward"]
        .iter()
        .any(|word| words.take(word))
        || matches!(words.peek(), Some(Word::Sign(sign)) if sign == "-")
    {
        return Err(backward());
    } else {
        Some(number(words).unwrap_or(1))
    };
    let _ = words.take("from") || words.take("in");
    let cursor = words.name().ok_or_else(|| wrong("FETCH"))?;
    Ok(Command::Fetch { cursor, rows, skip })
}

fn copy(words: &mut Words, sql: &str) -> Result<Command, Failure> {
    words.next();
    let query = match words.group() {
        Some(query) => sql[query].to_owned(),
        None => {
            let start = words.place();
            while words.name().is_some() && words.take_sign(".") {}
            let table = sql[start..words.place()].trim_end();
            match words.group() {
                Some(columns) => format!("select {} from {table}", &sql[columns]),
                None => format!("select * from {table}"),
            }
        }
    };
    if words.take("from") {
        return Err(not_offered(
            "COPY FROM",
            "Put the rows into a file of the store, and read it as a table.",
        ));
    }
    // COPY … TO a place of the store is a statement of the core.
    if !words.take("to") || !words.take("stdout") {
        return Ok(Command::Query);
    }
    Ok(Command::CopyOut { query, format: CopyFormat::read(words)? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(sql: &str) -> Command {
        Command::of(sql).unwrap()
    }

    #[test]
    fn commands_of_a_session_are_told_from_queries() {
        assert_eq!(of("BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY"), Command::Begin("BEGIN"));
        assert_eq!(of("start transaction"), Command::Begin("START TRANSACTION"));
        assert_eq!(of("rollback to savepoint \"A\""), Command::RollbackTo("A".to_owned()));
        let set = |name: &str, value: Option<&str>| Command::Set {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            local: false,
        };
        assert_eq!(of("SET application_name = 'a b'"), set("application_name", Some("a b")));
        assert_eq!(of("set session time zone 'UTC'"), set("timezone", Some("UTC")));
        assert_eq!(of("SET search_path TO a, \"B\""), set("search_path", Some("a, B")));
        assert_eq!(of("set extra_float_digits = -3"), set("extra_float_digits", Some("-3")));
        assert_eq!(of("RESET my.own"), set("my.own", None));
        assert_eq!(
            of("show transaction isolation level"),
            Command::Show(Some("transaction_isolation".to_owned()))
        );
        assert_eq!(of("show tables"), Command::Query);
        assert_eq!(of("select 1"), Command::Query);
        assert_eq!(of("deallocate all"), Command::Deallocate(None));
        for wrong in
            ["begin now", "fetch backward 1 from c", "listen x", "set role ci", "declare c"]
        {
            assert!(Command::of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cursors_have_their_query_and_their_number_of_rows() {
        let sql = "DECLARE \"c 1\" NO SCROLL CURSOR WITH HOLD FOR select 'for' from t";
        let Command::Declare { cursor, hold, query } = of(sql) else { panic!("{sql}") };
        assert_eq!((cursor.as_str(), hold, &sql[query]), ("c 1", true, "select 'for' from t"));
        let fetch = |rows, skip| Command::Fetch { cursor: "c".to_owned(), rows, skip };
        assert_eq!(of("FETCH FORWARD 10 FROM \"c\""), fetch(Some(10), false));
        assert_eq!(of("fetch all in c"), fetch(None, false));
        assert_eq!(of("fetch 99999999999999999999999 c"), fetch(Some(usize::MAX), false));
        assert_eq!(of("fetch c"), fetch(Some(1), false));
        assert_eq!(of("move forward all in c"), fetch(None, true));
    }

    #[test]
    fn a_copy_to_the_client_is_a_query_with_a_format() {
        let query = |sql: &str| match of(sql) {
            Command::CopyOut { query, .. } => query,
            other => panic!("{other:?}"),
        };
        assert_eq!(query("COPY ( select 1 as a ) TO STDOUT csv header").trim(), "select 1 as a");
        assert_eq!(query("copy orders to stdout"), "select * from orders");
        assert_eq!(query("copy public.t (a, \"B\") to stdout"), "select a, \"B\" from public.t");
        assert_eq!(of("copy (select 1) to 's3://b/x'"), Command::Query);
        assert!(Command::of("copy t from stdin").is_err());
    }

    #[test]
    fn the_catalog_answers_what_only_it_knows() {
        for sql in [
            "select * from pg_catalog.pg_class",
            "select relname from pg_class c, pg_namespace n where true",
            "select version()",
            "select pg_catalog.version()",
            "select current_user",
            "select 'x'::regclass",
            "select a from t join pg_type on true",
            "select pg_is_in_recovery()",
            "with x as (select oid from pg_class) select * from x",
            "select table_name from information_schema.tables",
        ] {
            assert_eq!(of(sql), Command::Catalog, "{sql}");
        }
        for sql in [
            "select 'pg_catalog.pg_class'",
            "select pg_size from sales",
            "select 1 -- from pg_class",
            "select t.current_user from t",
            "select user from t",
            "select a, pg_b from t",
        ] {
            assert_eq!(of(sql), Command::Query, "{sql}");
        }
    }
}
