//! What a request says in its headers: who asks, the session that its client keeps, and how it reads answers.
//!
//! | header | what |
//! |---|---|
//! | `X-Trino-User` | who asks, as the client calls itself |
//! | `X-Trino-Catalog`, `-Schema` | where names are looked up |
//! | `X-Trino-Session` | settings: `dunlin.route=fleet` |
//! | `X-Trino-Prepared-Statement` | prepared statements, by name |
//! | `X-Trino-Transaction-Id` | that a transaction is open |
//! | `X-Trino-Client-Tags`, `-Source` | tags of the query |
//! | `X-Trino-Client-Capabilities` | whether fractions of seconds may have any length |
//! | `X-Trino-Query-Data-Encoding` | in which form rows are sent |
//! | `Idempotency-Key`, `Cache-Control`, `traceparent` | as over HTTP |

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datafusion::common::ScalarValue;
use dunlin_manifest::model::trace::TraceContext;
use http::HeaderMap;
use serde_json::{Map, Value};

use super::address::base;
use super::encoding::Encoding;
use super::failure::{Failure, Name};
use super::headers::{encoded, invalid, list, one, pairs};
use super::token::{packed, unpacked};
use crate::http::{ApiError, wants_fresh};
use crate::options::Most;
use crate::query::asked::{LONGEST_NAME, LONGEST_VALUE, MOST_TAGS, Tags};
use crate::query::statement::{Statement, sha256_hex};

/// The name of the statement's settings, for clients that want a catalog's name before each.
const PREFIX: &str = "dunlin.";
/// The settings of a session, each with what it does.
pub(super) const SETTINGS: [(&str, &str, &str); 6] = [
    ("route", "varchar", "Where statements run: auto, inline or fleet"),
    ("pool", "varchar", "The pool whose workers run statements"),
    ("target_partitions", "bigint", "Partitions of wide stages"),
    ("task_bytes", "bigint", "Bytes of a task's input, about"),
    ("max_bytes_scanned", "bigint", "The most bytes that a statement may read from tables"),
    ("max_cost_usd", "double", "The most dollars that a statement may cost"),
];
/// Most prepared statements of a request.
const MOST_PREPARED: usize = 256;
/// Longest name of a catalog, a schema or a user.
const LONGEST: usize = 256;
/// Longest `Idempotency-Key`.
const LONGEST_KEY: usize = 255;
/// How a prepared statement begins that is compressed.
const PACKED: &str = "$zstd:";
/// Bytes from which a prepared statement is compressed.
const PACKED_FROM: usize = 1_024;

/// What a request says.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The beginning of the addresses that the client is told.
    pub(super) base: String,
    pub(super) user: String,
    pub(super) catalog: Option<String>,
    pub(super) schema: Option<String>,
    /// Settings, by their names with a prefix or without.
    pub(super) settings: BTreeMap<String, String>,
    /// Prepared statements as their client keeps them. A header of some bytes may be a long statement, and is read only when
    /// it is named.
    prepared: BTreeMap<String, String>,
    pub(super) tags: Tags,
    pub(super) in_transaction: bool,
    pub(super) has_digits: bool,
    /// The form in which the client reads rows. None: as they are.
    pub(super) encoding: Option<Encoding>,
    /// The hash of the idempotency key.
    pub(super) key: Option<String>,
    /// The statement is run, also if its answer is there already.
    pub(super) fresh: bool,
    trace: Option<String>,
}

/// A prepared statement as its client keeps it: a long one is compressed.
pub(super) fn kept(sql: &str) -> String {
    if sql.len() < PACKED_FROM {
        return encoded(sql);
    }
    encoded(&format!("{PACKED}{}", URL_SAFE_NO_PAD.encode(packed(sql))))
}

fn restored(kept: &str) -> Option<String> {
    match kept.strip_prefix(PACKED) {
        Some(text) => unpacked(&URL_SAFE_NO_PAD.decode(text).ok()?),
        None => Some(kept.to_owned()),
    }
}

/// The name of a setting without its prefix.
pub(super) fn setting(name: &str) -> Result<&str, Failure> {
    let short = name.strip_prefix(PREFIX).unwrap_or(name);
    if SETTINGS.iter().any(|(known, ..)| *known == short) {
        return Ok(short);
    }
    let name: String = name.chars().take(64).collect();
    let known: Vec<_> = SETTINGS.iter().map(|(known, ..)| *known).collect();
    Err(Failure::new(
        Name::BAD_SETTING,
        format!("Session property '{name}' does not exist; known are {}", known.join(", ")),
    ))
}

impl Asked {
    /// Reads the headers of a request.
    ///
    /// # Errors
    /// A header that cannot be read, or no user.
    pub(super) fn of(headers: &HeaderMap, is_tls: bool) -> Result<Self, ApiError> {
        let text = |name: &str| -> Result<Option<String>, ApiError> {
            match one(headers, name)? {
                Some(text) if text.len() > LONGEST => {
                    Err(invalid(format!("the header {name} is longer than {LONGEST} bytes")))
                }
                text => Ok(text.map(str::to_owned)),
            }
        };
        // A page of another site can send a statement from a browser, but not this header.
        let Some(user) = text("x-trino-user")? else {
            return Err(invalid("the header X-Trino-User is missing; it names who asks"));
        };
        let prepared = pairs(headers, "x-trino-prepared-statement")?;
        if prepared.len() > MOST_PREPARED {
            return Err(invalid(format!("more than {MOST_PREPARED} prepared statements")));
        }
        let capabilities = list(headers, "x-trino-client-capabilities")?;
        let transaction = one(headers, "x-trino-transaction-id")?;
        let trace = one(headers, "traceparent")?.and_then(TraceContext::parse);
        Ok(Self {
            base: base(headers, is_tls)?,
            user,
            catalog: text("x-trino-catalog")?,
            schema: text("x-trino-schema")?,
            settings: pairs(headers, "x-trino-session")?.into_iter().collect(),
            prepared: prepared.into_iter().collect(),
            tags: tags(headers)?,
            in_transaction: transaction.is_some_and(|id| !id.eq_ignore_ascii_case("none")),
            has_digits: capabilities.contains(&"PARAMETRIC_DATETIME"),
            encoding: Encoding::asked(headers),
            key: key(headers)?,
            fresh: wants_fresh(headers),
            trace: trace.map(|trace| trace.to_string()),
        })
    }

    /// The text of a prepared statement.
    ///
    /// # Errors
    /// There is none of this name, or it is not what a gateway has given out.
    pub(super) fn prepared(&self, name: &str) -> Result<String, Failure> {
        let kept = self.prepared.get(name).ok_or_else(|| Failure::not_prepared(name))?;
        let damaged =
            || Failure::new(Name::USER, "the prepared statement is damaged; PREPARE it again");
        restored(kept).ok_or_else(damaged)
    }

    /// Whether a statement of this name was prepared.
    pub(super) fn has_prepared(&self, name: &str) -> bool {
        self.prepared.contains_key(name)
    }

    /// A statement for the core, with the settings of the session.
    ///
    /// # Errors
    /// A setting that is not known, or has a value that it cannot have; a statement that is too long.
    pub(super) fn statement(
        &self,
        sql: String,
        values: Vec<ScalarValue>,
    ) -> Result<Statement, Failure> {
        let mut statement = of_session(sql, values, &self.settings)?;
        statement.remarks.tags = self.tags.clone();
        statement.trace.clone_from(&self.trace);
        Ok(statement)
    }
}

/// A statement for the core with the settings of a session, by their names without a prefix or with it.
///
/// # Errors
/// A setting that is not known, or has a value that it cannot have; a statement that is too long.
pub(super) fn of_session(
    sql: String,
    values: Vec<ScalarValue>,
    session: &BTreeMap<String, String>,
) -> Result<Statement, Failure> {
    let (mut settings, mut most) = (Map::new(), Most::default());
    for (name, value) in session {
        let name = setting(name)?;
        let wrong = || {
            let value: String = value.chars().take(64).collect();
            Failure::new(Name::BAD_SETTING, format!("{name} cannot be '{value}'"))
        };
        match name {
            "max_bytes_scanned" => {
                most.max_bytes_scanned = Some(value.parse().map_err(|_| wrong())?);
            }
            "max_cost_usd" => {
                let dollars = value.parse::<f64>().ok().filter(|it| it.is_finite() && *it >= 0.0);
                most.max_cost_usd = Some(dollars.ok_or_else(wrong)?);
            }
            "route" => {
                settings.insert(name.to_owned(), Value::from(value.to_lowercase()));
            }
            _ => {
                let number: u64 = value.parse().map_err(|_| wrong())?;
                settings.insert(name.to_owned(), number.into());
            }
        }
    }
    let mut statement = Statement::typed(sql, values, settings).map_err(Failure::from)?;
    statement.most = most;
    Ok(statement)
}

/// The tags of a query: those of the client, and the program that it names.
fn tags(headers: &HeaderMap) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in list(headers, "x-trino-client-tags")? {
        let (name, value) = tag.split_once([':', '=']).unwrap_or((tag, ""));
        tags.insert(name.to_owned(), value.to_owned());
    }
    if let Some(source) = one(headers, "x-trino-source")? {
        tags.entry("source".to_owned()).or_insert_with(|| source.to_owned());
    }
    let is_long = |(name, value): (&String, &String)| {
        name.is_empty() || name.len() > LONGEST_NAME || value.len() > LONGEST_VALUE
    };
    if tags.len() > MOST_TAGS || tags.iter().any(is_long) {
        return Err(invalid(format!(
            "X-Trino-Client-Tags and X-Trino-Source give at most {MOST_TAGS} tags, with names of at most {LONGEST_NAME} bytes and values of at most {LONGEST_VALUE}"
        )));
    }
    Ok(tags)
}

fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(key) = one(headers, "idempotency-key")? else { return Ok(None) };
    if key.len() > LONGEST_KEY {
        return Err(invalid(format!("the Idempotency-Key has more than {LONGEST_KEY} characters")));
    }
    Ok(Some(sha256_hex(key.as_bytes())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn asked(more: &[(&'static str, &str)]) -> Result<Asked, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost:8090"));
        headers.insert("x-trino-user", HeaderValue::from_static("me"));
        for (name, value) in more {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        Asked::of(&headers, false)
    }

    #[test]
    fn a_session_is_read_from_one_header_or_several() {
        let read = asked(&[
            ("x-trino-session", "dunlin.route=fleet,task_bytes=1024"),
            ("x-trino-session", "max_cost_usd=1%2E5"),
            ("x-trino-prepared-statement", "a=select+%3F%2C+%27b%26c%27"),
            ("x-trino-client-tags", "team:finance,urgent"),
            ("x-trino-source", "superset"),
            ("x-trino-client-capabilities", "PATH,PARAMETRIC_DATETIME"),
            ("x-trino-transaction-id", "NONE"),
            ("x-trino-query-data-encoding", "json+zstd,json"),
        ])
        .unwrap();
        assert_eq!(read.prepared("a").unwrap(), "select ?, 'b&c'");
        assert_eq!(read.tags["team"], "finance");
        assert_eq!((read.tags["urgent"].as_str(), read.tags["source"].as_str()), ("", "superset"));
        assert!(read.has_digits && !read.in_transaction);
        assert_eq!(read.encoding, Some(Encoding::Zstd));
        let statement = read.statement("select 1".to_owned(), Vec::new()).unwrap();
        assert_eq!(statement.most.max_cost_usd, Some(1.5));
        assert_eq!(statement.settings.task_bytes, Some(1_024));
        assert!(statement.settings.route.is_some());
    }

    #[test]
    fn a_long_prepared_statement_is_kept_in_few_bytes() {
        let sql = format!("select {}", "column_with_a_long_name, ".repeat(500));
        let kept = kept(&sql);
        assert!(kept.len() < 500, "{}", kept.len());
        let header = format!("p={kept}");
        let read = asked(&[("x-trino-prepared-statement", &header)]).unwrap();
        assert_eq!(read.prepared("p").unwrap(), sql);
        assert_eq!(super::kept("select 'ä'"), "select+%27%C3%A4%27");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert!(Asked::of(&HeaderMap::new(), false).is_err());
        for (name, value) in [
            ("x-trino-user", "two"),
            ("x-trino-session", "=1"),
            ("x-trino-client-tags", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"),
        ] {
            assert!(asked(&[(name, value)]).is_err(), "{name}");
        }
        // A prepared statement is read when it is named.
        for kept in ["a=%24zstd%3A!!!", "a=%24zstd%3AAAAA"] {
            let read = asked(&[("x-trino-prepared-statement", kept)]).unwrap();
            let refused = read.prepared("a").unwrap_err();
            assert!(refused.to_string().contains("is damaged"), "{refused}");
            assert!(read.has_prepared("a") && !read.has_prepared("b"));
            assert!(read.prepared("b").is_err());
        }
        let long = "x".repeat(LONGEST + 1);
        assert!(asked(&[("x-trino-catalog", &long)]).is_err());
        for (name, value) in
            [("nothing", "1"), ("task_bytes", "many"), ("route", "moon"), ("max_cost_usd", "NaN")]
        {
            let read = asked(&[("x-trino-session", &format!("{name}={value}"))]).unwrap();
            let refused = read.statement("select 1".to_owned(), Vec::new()).unwrap_err();
            assert!(refused.to_string().starts_with("INVALID_SESSION_PROPERTY"), "{refused}");
        }
    }
}
