//! Rows in segments: a page tells what they are, and any gateway gives each of them.
//!
//! ```text
//!   rows of the answer     │  page  │  page  │  page  │  page  │  page  │ …
//!   GET nextUri                0    the first page, in the answer itself
//!   GET nextUri                         1        2        3        4       four addresses: GET each, beside one another
//! ```
//! A segment has the rows of a page: its first row alone decides which rows it has and which bytes. So a segment is made at
//! any gateway from the objects of the answer, and again. No object is written for it.
//!
//! A client compares the length of a segment with what it was told, to the byte. So a page makes its segments before it tells
//! of them, and [`Kept`](super::kept::Kept) has them for a while.

use serde_json::{Value, json};

use super::PATH;
use super::encode::Rows;
use super::encoding::{Encoded, Encoding, Segment};
use super::failure::Refused;
use super::kept::Place;
use super::parts::{Client, Trino};
use super::token::{Of, Token};
use crate::http::{ACKNOWLEDGED, PASS, SEGMENTS};
use crate::query::error::CoreError;
use crate::query::queries::Ended;

/// Most segments of a page. Its client waits until all of them are made.
const MOST: usize = 4;

/// A page of rows as its client reads them.
pub(super) struct Page {
    pub(super) columns: Vec<Value>,
    /// None if it has no rows.
    pub(super) data: Option<Vec<u8>>,
    /// The row after the page.
    pub(super) next: u64,
    /// Rows of the whole answer.
    pub(super) total: u64,
}

/// The segment that a token names.
fn place(token: &Token) -> Option<Place> {
    let Token { query, of, has_digits, encoding } = token;
    match (of, encoding) {
        (Of::Segment { from, .. }, Some(encoding)) => {
            let (query, has_digits) = (query.clone(), *has_digits);
            Some(Place { query, from: *from, has_digits, encoding: *encoding })
        }
        _ => None,
    }
}

impl Trino {
    /// The rows of a query that has ended from row `from` on, in the form that the client of `token` reads.
    pub(super) async fn page(
        &self,
        client: &Client,
        ended: &Ended,
        (token, from): (&Token, u64),
        base: &str,
    ) -> Result<Page, Refused> {
        let (rows, total) = self.page_of(ended, from, token.has_digits).await?;
        let Rows { columns, json, count } = rows;
        let mut next = from + count;
        let Some(encoding) = token.encoding else {
            return Ok(Page { columns, data: (count > 0).then_some(json), next, total });
        };
        if count == 0 {
            return Ok(Page { columns, data: None, next, total });
        }
        let first = Segment { from, rows: count, encoded: encoding.encode(json) };
        // A client that reads the first rows only waits for no others, and most answers have no others.
        let most = if from == 0 { 1 } else { MOST };
        let mut segments = vec![first];
        while next < total && segments.len() < most {
            let (rows, _) = self.page_of(ended, next, token.has_digits).await?;
            let (from, rows, json) = (next, rows.count, rows.json);
            segments.push(Segment { from, rows, encoded: encoding.encode(json) });
            next += rows;
        }
        let told = match segments.as_slice() {
            [one] => vec![one.inline()],
            several => {
                let told = several.iter().map(|it| self.spooled(client, token, it, encoding, base));
                told.collect::<Result<Vec<_>, CoreError>>()?
            }
        };
        Ok(Page { columns, data: Some(encoding.data(&told)), next, total })
    }

    /// A segment that its client asks for. It is kept until then.
    fn spooled(
        &self,
        client: &Client,
        token: &Token,
        segment: &Segment,
        encoding: Encoding,
        base: &str,
    ) -> Result<Value, CoreError> {
        let Segment { from, rows, encoded } = segment.clone();
        let of = Of::Segment { from, rows, bytes: encoded.bytes.len() as u64 };
        let token = Token { of, encoding: Some(encoding), ..token.clone() };
        let sealed = client.sealed(&token)?;
        if let Some(place) = place(&token) {
            self.kept.put(place, encoded);
        }
        let uri = format!("{base}{PATH}{SEGMENTS}{sealed}");
        // Clients show no key where they fetch segments.
        let headers = match self.pass(client, &sealed) {
            Some(pass) => json!({ PASS: [pass] }),
            None => json!({}),
        };
        Ok(json!({
            "type": "spooled",
            "uri": uri,
            "ackUri": format!("{uri}{ACKNOWLEDGED}"),
            "metadata": segment.metadata(),
            "headers": headers,
        }))
    }

    /// The bytes of the segment that a token names.
    pub(super) async fn segment(&self, client: &Client, token: Token) -> Result<Encoded, Refused> {
        let (Some(place), Of::Segment { from, rows, bytes }) = (place(&token), token.of) else {
            return Err(CoreError::internal("this is no token of a segment").into());
        };
        // Also for what is kept, it is asked whether the query is there and is this client's.
        let ended = self.queries.ended(&client.principal, &place.query).await?;
        if let Some(kept) = self.kept.get(&place) {
            return Ok(kept);
        }
        let (made, _) = self.page_of(&ended, from, place.has_digits).await?;
        let (count, encoded) = (made.count, place.encoding.encode(made.json));
        if (count, encoded.bytes.len() as u64) != (rows, bytes) {
            let what = "the segment is not as long as its client was told; gateways of two builds write rows in different ways, so fetch the answer again";
            return Err(CoreError::internal(what).into());
        }
        Ok(encoded)
    }

    /// The client of a token has its segment.
    pub(super) fn acknowledged(&self, token: &Token) {
        if let Some(place) = place(token) {
            self.kept.forget(&place);
        }
    }
}
