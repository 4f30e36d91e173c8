//! What a `nextUri` holds: all that any gateway needs to give the next page, so no gateway remembers any.
//!
//! A token names a query and the number of the first row of the page, or a statement that is answered in the gateway itself.
//! The address of a segment holds one, too: it says how many rows and bytes the client was told.
//! It is sealed under the client's API key, as tickets of Flight SQL are ([`CodeKey`]): that finds what was damaged or
//! invented. It is not the permission: each request shows a key, and the core asks whether that key sees the query.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dunlin_manifest::ids::QueryId;
use prost::Message;

use super::encoding::Encoding;
use crate::auth::CodeKey;
use crate::options::MAX_SQL_BYTES;
use crate::query::analyze::Detail;

/// What the key for codes is derived for.
pub(super) const PURPOSE: &str = "dunlin 2026-11 trino pages";
const VERSION: u8 = 1;
/// Longest token, in bytes of an address. Servers and proxies take addresses of 8 KiB.
const LONGEST: usize = 6_000;
/// How much a statement is compressed.
const LEVEL: i32 = 3;

/// What a page is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// The rows of a query in the store, from this one on.
    Rows { from: u64 },
    /// A segment of the rows of a query in the store: from this row on, so many rows, in so many bytes as they are sent.
    Segment { from: u64, rows: u64, bytes: u64 },
    /// What a query in the store has written; the word of its statement.
    Written { word: String },
    /// What a query in the store has cost.
    Analysis(Detail),
    /// A statement that the gateway answers itself, at once.
    Here(Box<Statement>),
}

/// A statement that the gateway answers itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sql: String,
    /// The values of its parameters, as the list behind USING.
    pub(super) using: Option<String>,
    pub(super) catalog: Option<String>,
    pub(super) schema: Option<String>,
    pub(super) user: String,
    pub(super) settings: BTreeMap<String, String>,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) query: QueryId,
    pub(super) of: Of,
    /// The client reads fractions of seconds of any length.
    pub(super) has_digits: bool,
    /// The form in which the client reads rows. None: as they are.
    pub(super) encoding: Option<Encoding>,
}

/// How a token is written.
#[derive(Clone, PartialEq, Message)]
struct Body {
    #[prost(string, tag = "1")]
    query: String,
    #[prost(uint64, tag = "2")]
    from: u64,
    #[prost(bool, tag = "3")]
    has_digits: bool,
    #[prost(string, tag = "4")]
    word: String,
    /// 1: stages, 2: tasks.
    #[prost(uint32, tag = "5")]
    analysis: u32,
    #[prost(message, optional, tag = "6")]
    here: Option<Here>,
    /// The number of a form. 0: rows as they are.
    #[prost(uint32, tag = "7")]
    encoding: u32,
    /// Rows of a segment. 0: it is no segment.
    #[prost(uint64, tag = "8")]
    rows: u64,
    #[prost(uint64, tag = "9")]
    bytes: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Here {
    /// Compressed.
    #[prost(bytes = "vec", tag = "1")]
    sql: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "2")]
    using: Option<Vec<u8>>,
    #[prost(string, optional, tag = "3")]
    catalog: Option<String>,
    #[prost(string, optional, tag = "4")]
    schema: Option<String>,
    #[prost(string, tag = "5")]
    user: String,
    #[prost(btree_map = "string, string", tag = "6")]
    settings: BTreeMap<String, String>,
}

/// A text as few bytes.
pub(super) fn packed(text: &str) -> Vec<u8> {
    zstd::bulk::compress(text.as_bytes(), LEVEL).unwrap_or_default()
}

/// The text again. None if it is none, or is longer than a statement may be.
pub(super) fn unpacked(bytes: &[u8]) -> Option<String> {
    String::from_utf8(zstd::bulk::decompress(bytes, MAX_SQL_BYTES).ok()?).ok()
}

impl Token {
    /// The token for the holder of `key`, as a part of an address. None if its statement is too long for one.
    pub(super) fn seal(&self, key: &CodeKey) -> Option<String> {
        let mut body = Body {
            query: self.query.to_string(),
            has_digits: self.has_digits,
            encoding: self.encoding.map_or(0, Encoding::number),
            ..Body::default()
        };
        match &self.of {
            Of::Rows { from } => body.from = *from,
            Of::Segment { from, rows, bytes } => {
                (body.from, body.rows, body.bytes) = (*from, *rows, *bytes);
            }
            Of::Written { word } => body.word.clone_from(word),
            Of::Analysis(detail) => body.analysis = detail.number(),
            Of::Here(statement) => {
                let Statement { sql, using, catalog, schema, user, settings } =
                    statement.as_ref().clone();
                let (sql, using) = (packed(&sql), using.as_deref().map(packed));
                body.here = Some(Here { sql, using, catalog, schema, user, settings });
            }
        }
        let sealed = URL_SAFE_NO_PAD.encode(key.seal(VERSION, &body.encode_to_vec()));
        (sealed.len() <= LONGEST).then_some(sealed)
    }

    /// Reads what a client gives back. None if it is not from here, is damaged, or was given to the holder of another key.
    pub(super) fn open(text: &str, key: &CodeKey) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let body = Body::decode(key.open(VERSION, &sealed)?).ok()?;
        let of = match (body.here, Detail::of_number(body.analysis)) {
            (Some(Here { sql, using, catalog, schema, user, settings }), _) => {
                let using = match using {
                    Some(using) => Some(unpacked(&using)?),
                    None => None,
                };
                let sql = unpacked(&sql)?;
                Of::Here(Box::new(Statement { sql, using, catalog, schema, user, settings }))
            }
            (None, Some(detail)) => Of::Analysis(detail),
            (None, None) if !body.word.is_empty() => Of::Written { word: body.word },
            (None, None) if body.rows > 0 => {
                Of::Segment { from: body.from, rows: body.rows, bytes: body.bytes }
            }
            (None, None) => Of::Rows { from: body.from },
        };
        let (query, encoding) = (QueryId::parse(&body.query)?, Encoding::of_number(body.encoding));
        Some(Self { query, of, has_digits: body.has_digits, encoding })
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
        let here = Statement {
            sql: "show tables".to_owned(),
            using: Some("1, 'a'".to_owned()),
            catalog: Some("c".to_owned()),
            schema: None,
            user: "me".to_owned(),
            settings: [("dunlin.route".to_owned(), "fleet".to_owned())].into(),
        };
        let all = [
            Of::Rows { from: 0 },
            Of::Rows { from: u64::MAX },
            Of::Segment { from: 0, rows: 1, bytes: 5 },
            Of::Segment { from: 7, rows: u64::MAX, bytes: u64::MAX },
            Of::Written { word: "INSERT".to_owned() },
            Of::Analysis(Detail::Tasks),
            Of::Here(Box::new(here)),
            Of::Here(Box::default()),
        ];
        let query = QueryId::at(7, &[3; 10]);
        let forms = [None, Some(Encoding::Json), Some(Encoding::Zstd), Some(Encoding::Lz4)];
        let token = |(of, encoding)| Token { query: query.clone(), of, has_digits: true, encoding };
        all.into_iter().zip(forms.into_iter().cycle()).map(token).collect()
    }

    #[test]
    fn a_token_comes_back_as_it_was_and_only_for_its_key() {
        let (mine, other) = (code_key("mine"), code_key("other"));
        for token in tokens() {
            let sealed = token.seal(&mine).unwrap();
            assert_eq!(Token::open(&sealed, &mine), Some(token));
            assert_eq!(Token::open(&sealed, &other), None);
        }
    }

    #[test]
    fn no_changed_byte_and_no_cut_is_taken() {
        let key = code_key("mine");
        for token in tokens() {
            let sealed = URL_SAFE_NO_PAD.decode(token.seal(&key).unwrap()).unwrap();
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert_eq!(Token::open(&URL_SAFE_NO_PAD.encode(changed), &key), None, "{at}");
                assert_eq!(Token::open(&URL_SAFE_NO_PAD.encode(&sealed[..at]), &key), None, "{at}");
            }
        }
        for text in ["", "x", "%2e", "..", "ä"] {
            assert_eq!(Token::open(text, &key), None);
        }
    }

    #[test]
    fn a_long_statement_has_no_token_unless_it_repeats_itself() {
        let key = code_key("mine");
        let of = |sql: String| {
            let statement = Statement { sql, ..Statement::default() };
            let query = QueryId::at(7, &[3; 10]);
            let of = Of::Here(Box::new(statement));
            Token { query, of, has_digits: true, encoding: None }
        };
        // Nothing in it comes again.
        let random: String =
            (0..400_u32).map(|n| blake3::hash(&n.to_le_bytes()).to_hex().to_string()).collect();
        assert_eq!(of(random).seal(&key), None);
        let long = of("select 1 ".repeat(20_000));
        assert_eq!(Token::open(&long.seal(&key).unwrap(), &key), Some(long));
    }
}
