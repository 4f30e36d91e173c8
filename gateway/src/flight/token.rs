//! Tickets of answers and handles of prepared statements: they hold all that any gateway needs, so no gateway remembers any.
//!
//! ```text
//!   version │ code (32 bytes) │ what it names
//!           └ under the key of the client that it was given to, over the rest
//! ```
//! A code finds what was damaged or invented, and keeps the tokens of one key from the holder of another. Every gateway
//! that knows the client's key checks it alike. It replaces no permission: whoever redeems a token has shown a key, and
//! the core asks whether that key may see the query.

use arrow_flight::sql::{ProstMessageExt, TicketStatementQuery};
use bytes::Bytes;
use dunlin_manifest::ids::QueryId;
use prost::Message;

use super::error::FlightError;
use crate::auth::CodeKey;
use crate::query::analyze::Detail;

/// What the key for codes is derived for.
pub(super) const PURPOSE: &str = "dunlin 2026-11 flight sql tokens";

const VERSION: u8 = 1;

/// What a token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// The rows of a query in the store: all, or those of some parts, from the first to before the end.
    Rows { query: QueryId, parts: Option<(u64, u64)> },
    /// What a query in the store has cost.
    Analysis { query: QueryId, detail: Detail },
    /// A statement, with its parameters as an Arrow stream of one row; empty if none are bound.
    Statement { sql: String, parameters: Bytes },
}

/// How a token is written.
#[derive(Clone, PartialEq, Message)]
struct Body {
    #[prost(string, tag = "1")]
    query: String,
    /// The first part.
    #[prost(uint64, tag = "2")]
    first: u64,
    /// The part after the last one; 0: all rows.
    #[prost(uint64, tag = "6")]
    end: u64,
    /// 1: stages, 2: tasks.
    #[prost(uint32, tag = "3")]
    analysis: u32,
    #[prost(string, tag = "4")]
    sql: String,
    #[prost(bytes = "bytes", tag = "5")]
    parameters: Bytes,
}

impl Token {
    /// The token for the holder of `key`.
    pub(super) fn seal(&self, key: &CodeKey) -> Bytes {
        let body = match self.clone() {
            Self::Rows { query, parts } => {
                let (first, end) = parts.unwrap_or_default();
                Body { query: query.to_string(), first, end, ..Body::default() }
            }
            Self::Analysis { query, detail } => {
                let analysis = detail.number();
                Body { query: query.to_string(), analysis, ..Body::default() }
            }
            Self::Statement { sql, parameters } => Body { sql, parameters, ..Body::default() },
        };
        key.seal(VERSION, &body.encode_to_vec()).into()
    }

    /// The same, as the ticket of a Flight endpoint.
    pub(super) fn ticket(&self, key: &CodeKey) -> Bytes {
        let statement_handle = self.seal(key);
        TicketStatementQuery { statement_handle }.as_any().encode_to_vec().into()
    }

    /// Reads what a client gives back.
    ///
    /// # Errors
    /// It is not from here, is damaged, or was given to the holder of another key. The error does not say which.
    pub(super) fn open(token: &[u8], key: &CodeKey) -> Result<Self, FlightError> {
        let body = key.open(VERSION, token).ok_or(FlightError::NoSuchToken)?;
        let Body { query, first, end, analysis, sql, parameters } =
            Body::decode(body).map_err(|_| FlightError::NoSuchToken)?;
        if query.is_empty() {
            return Ok(Self::Statement { sql, parameters });
        }
        let query = QueryId::parse(&query).ok_or(FlightError::NoSuchToken)?;
        match (analysis, Detail::of_number(analysis)) {
            (0, _) => Ok(Self::Rows { query, parts: (end > first).then_some((first, end)) }),
            (_, Some(detail)) => Ok(Self::Analysis { query, detail }),
            (_, None) => Err(FlightError::NoSuchToken),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn code_key(secret: &str) -> CodeKey {
        CodeKey::of_test(secret, PURPOSE)
    }

    fn tokens() -> Vec<Token> {
        let query = QueryId::at(7, &[3; 10]);
        vec![
            Token::Rows { query: query.clone(), parts: None },
            Token::Rows { query: query.clone(), parts: Some((0, 3)) },
            Token::Analysis { query, detail: Detail::Tasks },
            Token::Statement { sql: "select $1".to_owned(), parameters: Bytes::from_static(b"p") },
            Token::Statement { sql: String::new(), parameters: Bytes::new() },
        ]
    }

    #[test]
    fn a_token_comes_back_as_it_was_and_only_for_its_key() {
        let (mine, other) = (code_key("mine"), code_key("other"));
        for token in tokens() {
            let sealed = token.seal(&mine);
            assert_eq!(Token::open(&sealed, &mine).unwrap(), token);
            assert!(matches!(Token::open(&sealed, &other), Err(FlightError::NoSuchToken)));
        }
    }

    #[test]
    fn no_changed_byte_and_no_cut_is_taken() {
        let key = code_key("mine");
        for token in tokens() {
            let sealed = token.seal(&key);
            for at in 0..sealed.len() {
                let mut changed = sealed.to_vec();
                changed[at] ^= 1;
                assert!(Token::open(&changed, &key).is_err(), "{at}");
                assert!(Token::open(&sealed[..at], &key).is_err(), "{at}");
            }
            let longer = [&sealed[..], b"\0"].concat();
            assert!(Token::open(&longer, &key).is_err());
        }
    }
}
