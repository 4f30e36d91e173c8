//! In which form a client reads rows, and rows in that form.
//!
//! ```text
//!   X-Trino-Query-Data-Encoding: json+zstd, json+lz4, json ──the first that is known──> json+zstd
//!   rows in JSON ──long enough, and it makes them shorter──> compressed, with both sizes
//!                └─────────────────────────────────────────> as they are, with one size
//! ```
//! Rows in such a form come in segments. A segment says how many rows are before it, how many it has, and how long it is to
//! the byte: clients compare. A client that asks for no form, or for none that is known, reads rows as they are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::headers::list;

/// The forms that a client reads, the one it likes best first.
const HEADER: &str = "x-trino-query-data-encoding";
/// Shorter segments are not compressed, as in Trino.
const LEAST: usize = 8 << 10;
/// A fast level: a segment is read once.
const LEVEL: i32 = 1;

/// A form in which rows are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    /// JSON in a frame of Zstandard.
    Zstd,
    /// JSON in a block of LZ4, without a frame.
    Lz4,
}

/// The bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    /// How long they were before they were compressed, if they were.
    pub(super) plain: Option<u64>,
}

/// Rows in a form that their client has asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Rows of the answer before it.
    pub(super) from: u64,
    pub(super) rows: u64,
    pub(super) encoded: Encoded,
}

impl Encoding {
    const ALL: [Self; 3] = [Self::Json, Self::Zstd, Self::Lz4];

    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Zstd => "json+zstd",
            Self::Lz4 => "json+lz4",
        }
    }

    /// The number in tokens. Zero stands for no form.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Json => 1,
            Self::Zstd => 2,
            Self::Lz4 => 3,
        }
    }

    pub(super) fn of_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.number() == number)
    }

    /// Of the forms that a client asks for, the first that is known.
    pub(super) fn asked(headers: &HeaderMap) -> Option<Self> {
        // A header that cannot be read names no form that is known.
        let names = list(headers, HEADER).unwrap_or_default();
        names.into_iter().find_map(|name| Self::ALL.into_iter().find(|known| known.name() == name))
    }

    /// Rows in this form.
    pub(super) fn encode(self, json: Vec<u8>) -> Encoded {
        let length = json.len();
        let packed = match self {
            _ if length < LEAST => None,
            Self::Json => None,
            Self::Zstd => zstd::bulk::compress(&json, LEVEL).ok(),
            Self::Lz4 => Some(lz4_flex::block::compress(&json)),
        };
        // A segment may be kept for a while, and then holds no more memory than it has bytes.
        let exact = |bytes: Vec<u8>| Bytes::from(bytes.into_boxed_slice());
        match packed.filter(|packed| packed.len() < length) {
            Some(packed) => Encoded { bytes: exact(packed), plain: Some(length as u64) },
            None => Encoded { bytes: exact(json), plain: None },
        }
    }

    /// What an answer has as `data`.
    pub(super) fn data(self, segments: &[Value]) -> Vec<u8> {
        let data = json!({ "encoding": self.name(), "metadata": {}, "segments": segments });
        serde_json::to_vec(&data).unwrap_or_default()
    }
}

impl Segment {
    /// What a client has to know before it reads the bytes. Without a size before compression, they are JSON.
    pub(super) fn metadata(&self) -> Value {
        let Self { from, rows, encoded: Encoded { bytes, plain } } = self;
        let mut told = json!({ "rowOffset": from, "rowsCount": rows, "segmentSize": bytes.len() });
        if let Some(plain) = plain {
            told["uncompressedSize"] = (*plain).into();
        }
        told
    }

    /// A segment whose bytes are in the answer.
    pub(super) fn inline(&self) -> Value {
        let data = STANDARD.encode(&self.encoded.bytes);
        json!({ "type": "inline", "data": data, "metadata": self.metadata() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn asked(values: &[&[u8]]) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_static(HEADER), value);
        }
        Encoding::asked(&headers)
    }

    fn decoded(encoding: Encoding, encoded: &Encoded) -> Vec<u8> {
        let Some(plain) = encoded.plain else { return encoded.bytes.to_vec() };
        let plain = usize::try_from(plain).unwrap();
        let decoded = match encoding {
            Encoding::Zstd => zstd::bulk::decompress(&encoded.bytes, plain).unwrap(),
            Encoding::Lz4 => lz4_flex::block::decompress(&encoded.bytes, plain).unwrap(),
            Encoding::Json => panic!("JSON is not compressed"),
        };
        assert_eq!(decoded.len(), plain);
        decoded
    }

    #[test]
    fn the_form_that_a_client_likes_best_is_taken_among_those_that_are_known() {
        assert_eq!(asked(&[b"json+zstd,json+lz4,json"]), Some(Encoding::Zstd));
        assert_eq!(asked(&[b"json+lz4, json+zstd"]), Some(Encoding::Lz4));
        assert_eq!(asked(&[b"arrow+zstd , json ,json+zstd"]), Some(Encoding::Json));
        assert_eq!(asked(&[b"arrow", b"json+lz4"]), Some(Encoding::Lz4));
    }

    #[test]
    fn a_client_that_asks_for_nothing_known_reads_rows_as_they_are() {
        assert_eq!(asked(&[]), None);
        for header in [&b""[..], b",", b"arrow", b"json+brotli", b"JSON", b"json zstd", b"\xff"] {
            assert_eq!(asked(&[header]), None, "{header:?}");
        }
    }

    #[test]
    fn numbers_of_tokens_are_those_of_their_forms() {
        for encoding in Encoding::ALL {
            assert_eq!(Encoding::of_number(encoding.number()), Some(encoding));
        }
        assert_eq!((Encoding::of_number(0), Encoding::of_number(4)), (None, None));
    }

    #[test]
    fn rows_are_the_same_in_every_form_and_compressed_where_that_makes_them_shorter() {
        let short = b"[[1],[2]]".to_vec();
        let long = format!("[{}[2]]", "[1,\"some text\"],".repeat(2_000)).into_bytes();
        // Nothing in it comes again.
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"noise");
        let mut noise = vec![0; 2 * LEAST];
        hasher.finalize_xof().fill(&mut noise);
        for encoding in Encoding::ALL {
            for rows in [&short, &long, &noise] {
                let encoded = encoding.encode(rows.clone());
                assert_eq!(decoded(encoding, &encoded), *rows, "{encoding:?}");
                let is_packed = encoding != Encoding::Json && *rows == long;
                let length = rows.len() as u64;
                assert_eq!(encoded.plain, is_packed.then_some(length), "{encoding:?}");
                assert_eq!(encoded.bytes.len() < rows.len(), is_packed, "{encoding:?}");
            }
        }
    }

    #[test]
    fn a_segment_tells_its_place_and_its_sizes() {
        let json = format!("[{}[1]]", "[1],".repeat(20_000)).into_bytes();
        let (length, encoded) = (json.len(), Encoding::Zstd.encode(json));
        let size = encoded.bytes.len();
        let segment = Segment { from: 7, rows: 20_001, encoded };
        let wanted = json!({
            "rowOffset": 7, "rowsCount": 20_001, "segmentSize": size, "uncompressedSize": length,
        });
        assert_eq!(segment.metadata(), wanted);
        let segment = Segment { from: 0, rows: 1, encoded: Encoding::Zstd.encode(b"[[1]]".into()) };
        let wanted = json!({ "rowOffset": 0, "rowsCount": 1, "segmentSize": 5 });
        let inline = segment.inline();
        assert_eq!((&inline["type"], &inline["metadata"]), (&json!("inline"), &wanted));
        assert_eq!(inline["data"], "W1sxXV0=");
        let data: Value =
            serde_json::from_slice(&Encoding::Zstd.data(std::slice::from_ref(&inline))).unwrap();
        assert_eq!(data, json!({"encoding": "json+zstd", "metadata": {}, "segments": [inline]}));
    }
}
