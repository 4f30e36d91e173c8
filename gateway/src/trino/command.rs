//! What a statement asks for, decided by its words: a command of the session, a look at the catalog, or a query.
//!
//! The state of a session is in the headers of its client. So a command changes nothing here: its answer has headers that
//! the client then sends with each statement.

use dunlin_planner::{DEFAULT_CATALOG, DEFAULT_SCHEMA};

use super::failure::{Failure, Name};
use crate::text::{Word, Words};

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// A query, a write or an EXPLAIN.
    Query,
    /// A query over the catalog, or about the session.
    Catalog,
    Show(Show),
    Use {
        catalog: Option<String>,
        schema: String,
    },
    SetSession {
        name: String,
        value: String,
    },
    ResetSession {
        name: String,
    },
    Prepare {
        name: String,
        sql: String,
    },
    Execute {
        name: String,
        using: Option<String>,
    },
    ExecuteImmediate {
        sql: String,
        using: Option<String>,
    },
    Deallocate {
        name: String,
    },
    DescribeInput {
        name: String,
    },
    DescribeOutput {
        name: String,
    },
    Begin,
    Commit,
    Rollback,
    /// Says what is so anyway.
    Nothing,
}

/// What is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Show {
    Catalogs(Option<String>),
    Schemas(Option<String>, Option<String>),
    Tables(Vec<String>, Option<String>),
    Columns(Vec<String>, Option<String>),
    CreateTable(Vec<String>),
    Functions(Option<String>),
    Session(Option<String>),
}

impl Command {
    /// What a statement asks for.
    ///
    /// # Errors
    /// A command that is not complete, or that Dunlin does not have.
    pub(super) fn of(sql: &str) -> Result<Self, Failure> {
        let mut words = Words::of(sql);
        let Some(Word::Plain(first)) = words.peek().cloned() else {
            return Ok(Self::query(sql));
        };
        let found = match first.as_str() {
            "use" => usage(&mut words)?,
            "set" => set(&mut words)?,
            "reset" => {
                if !words.take_all(&["reset", "session"]) {
                    return Err(not_supported("RESET of anything but SESSION"));
                }
                Self::ResetSession { name: setting(&mut words)? }
            }
            "prepare" => {
                words.next();
                let name = name(&mut words)?;
                if !words.take("from") {
                    return Err(expected("FROM and a statement"));
                }
                let sql = rest(sql, &words);
                return Ok(Self::Prepare { name, sql });
            }
            "execute" => return execute(sql, words),
            "deallocate" => {
                if !words.take_all(&["deallocate", "prepare"]) {
                    return Err(expected("PREPARE"));
                }
                Self::Deallocate { name: name(&mut words)? }
            }
            "describe" | "desc" => {
                words.next();
                if words.take("input") {
                    Self::DescribeInput { name: name(&mut words)? }
                } else if words.take("output") {
                    Self::DescribeOutput { name: name(&mut words)? }
                } else {
                    Self::Show(Show::Columns(path(&mut words)?, None))
                }
            }
            "show" => Self::Show(show(&mut words)?),
            "start" if words.take_all(&["start", "transaction"]) => return Ok(Self::Begin),
            "commit" | "rollback" => {
                words.next();
                words.take("work");
                if first == "commit" { Self::Commit } else { Self::Rollback }
            }
            "call" | "grant" | "revoke" | "deny" => {
                return Err(not_supported(&first.to_uppercase()));
            }
            _ => return Ok(Self::query(sql)),
        };
        while words.take_sign(";") {}
        if !words.is_done() {
            return Err(expected("the end of the statement"));
        }
        Ok(found)
    }

    fn query(sql: &str) -> Self {
        if asks_catalog(&Words::of(sql)) { Self::Catalog } else { Self::Query }
    }
}

fn expected(what: &str) -> Failure {
    Failure::new(Name::SYNTAX, format!("{what} is expected in this statement"))
}

fn not_supported(what: &str) -> Failure {
    Failure::new(Name::NOT_SUPPORTED, format!("{what} is not supported"))
}

fn name(words: &mut Words) -> Result<String, Failure> {
    words.name().ok_or_else(|| expected("a name"))
}

/// A name of several parts.
fn path(words: &mut Words) -> Result<Vec<String>, Failure> {
    let mut parts = vec![name(words)?];
    while words.take_sign(".") {
        parts.push(name(words)?);
    }
    Ok(parts)
}

/// The name of a setting, which may have a dot.
fn setting(words: &mut Words) -> Result<String, Failure> {
    Ok(path(words)?.join("."))
}

/// The text from the next word on, without semicolons at its end.
fn rest(sql: &str, words: &Words) -> String {
    let rest = sql.get(words.place()..).unwrap_or_default();
    rest.trim().trim_end_matches(';').trim_end().to_owned()
}

fn usage(words: &mut Words) -> Result<Command, Failure> {
    words.next();
    let mut parts = path(words)?;
    match (parts.pop(), parts.pop(), parts.is_empty()) {
        (Some(schema), catalog, true) => Ok(Command::Use { catalog, schema }),
        _ => Err(expected("a schema, or a catalog and a schema,")),
    }
}

fn set(words: &mut Words) -> Result<Command, Failure> {
    words.next();
    if words.take("role") {
        // There are no roles, so all of them are as good as none.
        return match words.name().as_deref() {
            Some("all" | "none") => Ok(Command::Nothing),
            _ => Err(not_supported("SET ROLE")),
        };
    }
    if words.take_all(&["time", "zone"]) {
        let zone = match words.next() {
            Some(Word::Text(zone) | Word::Plain(zone)) => zone.to_uppercase(),
            _ => String::new(),
        };
        return match zone.as_str() {
            "UTC" | "Z" | "+00:00" => Ok(Command::Nothing),
            _ => Err(Failure::new(Name::NOT_SUPPORTED, "times are in UTC, and in no other zone")),
        };
    }
    if !words.take("session") {
        return Err(not_supported("SET of anything but SESSION"));
    }
    let name = setting(words)?;
    if !words.take_sign("=") {
        return Err(expected("= and a value"));
    }
    let value = match words.next() {
        Some(Word::Text(value) | Word::Number(value) | Word::Plain(value)) => value,
        _ => return Err(expected("a text, a number, true or false")),
    };
    Ok(Command::SetSession { name, value })
}

fn execute(sql: &str, mut words: Words) -> Result<Command, Failure> {
    words.next();
    let is_immediate = words.take("immediate");
    let what = match words.next() {
        Some(Word::Text(text)) if is_immediate => text,
        Some(Word::Plain(name) | Word::Quoted(name)) if !is_immediate => name,
        _ if is_immediate => return Err(expected("a statement in quotes")),
        _ => return Err(expected("the name of a prepared statement")),
    };
    while words.take_sign(";") {}
    let using = if words.is_done() {
        None
    } else if words.take("using") {
        Some(rest(sql, &words))
    } else {
        return Err(expected("USING"));
    };
    Ok(if is_immediate {
        Command::ExecuteImmediate { sql: what, using }
    } else {
        Command::Execute { name: what, using }
    })
}

fn show(words: &mut Words) -> Result<Show, Failure> {
    words.next();
    let from = |words: &mut Words| words.take("from") || words.take("in");
    let what = name(words)?;
    Ok(match what.as_str() {
        "catalogs" => Show::Catalogs(like(words)?),
        "schemas" | "databases" => {
            let catalog = if from(words) { Some(name(words)?) } else { None };
            Show::Schemas(catalog, like(words)?)
        }
        "tables" => {
            let schema = if from(words) { path(words)? } else { Vec::new() };
            Show::Tables(schema, like(words)?)
        }
        "columns" => {
            if !from(words) {
                return Err(expected("FROM and a table"));
            }
            Show::Columns(path(words)?, like(words)?)
        }
        "create" if words.take("table") => Show::CreateTable(path(words)?),
        "functions" => {
            if from(words) {
                path(words)?;
            }
            Show::Functions(like(words)?)
        }
        "session" => Show::Session(like(words)?),
        other => return Err(not_supported(&format!("SHOW {}", other.to_uppercase()))),
    })
}

/// A pattern of LIKE as a text of SQL, with its ESCAPE.
fn like(words: &mut Words) -> Result<Option<String>, Failure> {
    if !words.take("like") {
        return Ok(None);
    }
    let quoted = |text: String| format!("'{}'", text.replace('\'', "''"));
    let pattern = quoted(words.text().ok_or_else(|| expected("a pattern in quotes"))?);
    if !words.take("escape") {
        return Ok(Some(pattern));
    }
    let escape = quoted(words.text().ok_or_else(|| expected("one letter in quotes"))?);
    Ok(Some(format!("{pattern} escape {escape}")))
}

/// Functions that tell of the session.
const SESSION_FUNCTIONS: &[&str] = &["version", "current_groups"];
/// Words that tell of the session without parentheses.
const SESSION_WORDS: &[&str] = &["current_user", "current_catalog", "current_schema"];
/// Schemas of the catalog `system`.
const SYSTEM_SCHEMAS: &[&str] = &["jdbc", "metadata", "runtime", "information_schema"];

/// Whether a query names something that only the catalog has.
pub(super) fn asks_catalog(words: &Words) -> bool {
    let all: Vec<&Word> = words.rest().collect();
    let sign =
        |at: usize, sign: &str| matches!(all.get(at), Some(Word::Sign(found)) if found == sign);
    let name = |at: usize| match all.get(at) {
        Some(Word::Plain(name)) => Some(name.as_str()),
        Some(Word::Quoted(name)) => Some(name.as_str()),
        _ => None,
    };
    (0..all.len()).any(|at| {
        let Some(word) = name(at) else { return false };
        let is_plain = matches!(all[at], Word::Plain(_));
        let (called, before_dot) = (sign(at + 1, "("), sign(at + 1, "."));
        let after_dot = at > 0 && sign(at - 1, ".");
        let second = || name(at + 2).unwrap_or_default();
        let begins = |of: &str| before_dot && !after_dot && word == of;
        begins("information_schema")
            || (begins("system") && SYSTEM_SCHEMAS.contains(&second()))
            || (begins(DEFAULT_CATALOG) && second() == "information_schema")
            || (called && is_plain && !after_dot && SESSION_FUNCTIONS.contains(&word))
            || (is_plain && !after_dot && !before_dot && SESSION_WORDS.contains(&word))
    })
}

/// Whether there is such a catalog, and such a schema in it.
///
/// # Errors
/// There is not.
pub(super) fn known(catalog: Option<&str>, schema: Option<&str>) -> Result<(), Failure> {
    let catalog = catalog.unwrap_or(DEFAULT_CATALOG);
    let schemas: &[&str] = match catalog {
        DEFAULT_CATALOG => &[DEFAULT_SCHEMA, "information_schema"],
        "system" => SYSTEM_SCHEMAS,
        other => {
            let other: String = other.chars().take(64).collect();
            return Err(Failure::new(
                Name::NO_CATALOG,
                format!(
                    "Catalog '{other}' does not exist; the tables are in the catalog {DEFAULT_CATALOG}, schema {DEFAULT_SCHEMA}"
                ),
            ));
        }
    };
    match schema {
        Some(schema) if !schemas.contains(&schema) => {
            let schema: String = schema.chars().take(64).collect();
            let known = schemas.join(", ");
            Err(Failure::new(
                Name::NO_SCHEMA,
                format!(
                    "Schema '{schema}' does not exist in the catalog {catalog}, which has {known}"
                ),
            ))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(sql: &str) -> Command {
        Command::of(sql).unwrap()
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn commands_are_known_by_their_words() {
        let name = || "s1".to_owned();
        assert_eq!(of("select 1"), Command::Query);
        assert_eq!(of("(select 1)"), Command::Query);
        assert_eq!(
            of("USE datafusion.public"),
            Command::Use { catalog: text("datafusion"), schema: "public".to_owned() }
        );
        assert_eq!(
            of("PREPARE s1 FROM select ?, ';' from t ;"),
            Command::Prepare { name: name(), sql: "select ?, ';' from t".to_owned() }
        );
        assert_eq!(
            of("execute s1 using 1, 'a,b', date '2024-01-01'"),
            Command::Execute { name: name(), using: text("1, 'a,b', date '2024-01-01'") }
        );
        assert_eq!(of("EXECUTE s1"), Command::Execute { name: name(), using: None });
        assert_eq!(
            of("EXECUTE IMMEDIATE 'select ''x'', ?' USING 1"),
            Command::ExecuteImmediate { sql: "select 'x', ?".to_owned(), using: text("1") }
        );
        assert_eq!(
            of("DEALLOCATE PREPARE \"S 1\""),
            Command::Deallocate { name: "S 1".to_owned() }
        );
        assert_eq!(
            of("set session dunlin.route = 'fleet'"),
            Command::SetSession { name: "dunlin.route".to_owned(), value: "fleet".to_owned() }
        );
        assert_eq!(of("START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY"), Command::Begin);
        assert_eq!(of("ROLLBACK WORK"), Command::Rollback);
        assert_eq!(of("DESCRIBE OUTPUT s1"), Command::DescribeOutput { name: name() });
        assert_eq!(of("set time zone 'UTC'"), Command::Nothing);
    }

    #[test]
    fn lists_are_known_by_their_words() {
        let parts = |path: &str| path.split('.').map(str::to_owned).collect::<Vec<_>>();
        let shown = |sql: &str| match of(sql) {
            Command::Show(show) => show,
            other => panic!("{other:?}"),
        };
        assert_eq!(shown("show catalogs"), Show::Catalogs(None));
        assert_eq!(
            shown("show schemas from datafusion like 'a''%' escape '\\'"),
            Show::Schemas(text("datafusion"), text("'a''%' escape '\\'"))
        );
        assert_eq!(shown("SHOW TABLES IN a.b"), Show::Tables(parts("a.b"), None));
        assert_eq!(shown("describe a.b.\"C\""), Show::Columns(parts("a.b.C"), None));
        assert_eq!(shown("show create table t;"), Show::CreateTable(parts("t")));
        assert_eq!(shown("show session"), Show::Session(None));
    }

    #[test]
    fn what_is_not_complete_is_refused() {
        for sql in [
            "use",
            "use a.b.c",
            "set session x",
            "prepare p",
            "execute",
            "execute immediate x",
            "execute p with 1",
            "show",
            "show stats for t",
            "show columns t",
            "describe t u",
            "set path x",
            "reset x",
            "call x()",
            "set time zone 'Europe/Berlin'",
            "show tables like x",
        ] {
            assert!(Command::of(sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn the_catalog_is_asked_by_names_and_functions_that_only_it_has() {
        for sql in [
            "select version()",
            "SELECT current_user",
            "select * from information_schema.tables",
            "select * from \"information_schema\".\"columns\" where 1=1",
            "select * from system.jdbc.tables",
            "select * from \"system\".\"metadata\".\"table_comments\"",
            "select table_name from datafusion.information_schema.tables",
        ] {
            assert_eq!(of(sql), Command::Catalog, "{sql}");
        }
        for sql in [
            "select 'version()'",
            "select system.a from t as system",
            "select t.version from t",
            "select \"current_user\" from t",
            "select x.information_schema.y from x",
            "select * from datafusion.public.orders",
        ] {
            assert_eq!(of(sql), Command::Query, "{sql}");
        }
    }

    #[test]
    fn a_catalog_or_schema_that_is_not_there_is_refused() {
        assert!(known(None, None).is_ok());
        assert!(known(Some("datafusion"), Some("public")).is_ok());
        assert!(known(Some("system"), Some("jdbc")).is_ok());
        let refused = |catalog, schema| known(catalog, schema).unwrap_err().to_string();
        assert!(refused(Some("hive"), None).starts_with("CATALOG_NOT_FOUND"));
        assert!(refused(None, Some("default")).starts_with("SCHEMA_NOT_FOUND"));
    }
}
