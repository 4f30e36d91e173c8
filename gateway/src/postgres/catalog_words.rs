//! Which statements the catalog answers: those that name something that only it has.

use datafusion_pg_catalog::pg_catalog::PG_CATALOG_TABLES;

use crate::text::{Word, Words};

/// Functions that tell of the session or the catalog. The core knows none of them.
const SESSION_FUNCTIONS: &[&str] = &[
    "version",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_setting",
    "set_config",
    "format_type",
    "obj_description",
    "shobj_description",
    "col_description",
    "quote_ident",
    "quote_literal",
    "to_regclass",
    "to_regtype",
    "txid_current",
    "inet_server_addr",
    "inet_server_port",
    "inet_client_addr",
    "inet_client_port",
];

/// Words that tell of the session without parentheses.
const SESSION_WORDS: &[&str] =
    &["current_user", "session_user", "current_catalog", "current_role", "current_schema"];

/// Types of the catalog.
const CATALOG_TYPES: &[&str] = &[
    "regclass",
    "regtype",
    "regproc",
    "regprocedure",
    "regnamespace",
    "regrole",
    "regoper",
    "regoperator",
];

/// Words that begin a clause, as far as they tell commas apart.
const CLAUSES: [&str; 7] = ["from", "select", "where", "by", "having", "on", "using"];

/// Whether a query names something that only the catalog has.
pub(super) fn asks_catalog(words: &Words) -> bool {
    let all: Vec<&Word> = words.rest().collect();
    let sign =
        |at: usize, sign: &str| matches!(all.get(at), Some(Word::Sign(found)) if found == sign);
    // The clause that the words are in.
    let mut clause = None;
    all.iter().enumerate().any(|(at, word)| {
        if let Word::Plain(name) = word
            && CLAUSES.contains(&name.as_str())
        {
            clause = Some(name.as_str());
        }
        let (Word::Plain(name) | Word::Quoted(name)) = word else { return false };
        let name = name.as_str();
        let (called, before_dot) = (sign(at + 1, "("), sign(at + 1, "."));
        let after_dot = at > 0 && sign(at - 1, ".");
        let is_plain = matches!(word, Word::Plain(_));
        (before_dot && !after_dot && matches!(name, "pg_catalog" | "information_schema"))
            || (name.starts_with("pg_") && called)
            || (PG_CATALOG_TABLES.contains(&name) && is_table(&all, at, clause))
            || (called && is_plain && SESSION_FUNCTIONS.contains(&name))
            || (called && is_plain && name.starts_with("has_") && name.ends_with("_privilege"))
            || (is_plain && !after_dot && !before_dot && SESSION_WORDS.contains(&name))
            || (at > 0 && sign(at - 1, "::") && CATALOG_TYPES.contains(&name))
    })
}

/// Whether the word at a place stands where a table does: behind FROM or JOIN, or behind a comma of FROM.
fn is_table(all: &[&Word], at: usize, clause: Option<&str>) -> bool {
    match at.checked_sub(1).and_then(|before| all.get(before)) {
        Some(Word::Plain(word)) => {
            matches!(word.as_str(), "from" | "join" | "only" | "lateral")
        }
        // A comma of SELECT comes before FROM, and one of FROM after it.
        Some(Word::Sign(sign)) => sign == "," && clause == Some("from"),
        _ => false,
    }
}
