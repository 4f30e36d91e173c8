//! The formats of an answer's rows, and which of them a client accepts.

use http::HeaderMap;
use http::header::ACCEPT;

use super::problem::ApiError;

/// The format of an answer's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An array of objects.
    Json,
    /// One object on each line.
    JsonLines,
    /// RFC 4180 with a header line.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
    /// A table for people.
    Text,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] =
        [Self::Json, Self::JsonLines, Self::Csv, Self::Arrow, Self::Parquet, Self::Text];

    /// The media type of answers in this format.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::JsonLines => "application/jsonl",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    /// The media type without parameters.
    #[must_use]
    pub fn essence(self) -> &'static str {
        self.content_type().split(';').next().unwrap_or_default()
    }

    /// The word for it in an address: `?format=csv`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
            Self::Text => "text",
        }
    }

    fn of_range(range: &str) -> Option<Self> {
        match range {
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "application/jsonl" | "application/x-ndjson" | "application/x-jsonlines" => {
                Some(Self::JsonLines)
            }
            "text/csv" | "text/*" => Some(Self::Csv),
            "text/plain" => Some(Self::Text),
            "application/vnd.apache.arrow.stream" => Some(Self::Arrow),
            "application/vnd.apache.parquet" | "application/x-parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// The format that a client asks for: by a word in the address, or by `Accept`.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for another word, and as [`Self::negotiate`].
    pub(super) fn asked(word: Option<&str>, headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(word) = word else { return Self::negotiate(headers) };
        Self::ALL.into_iter().find(|format| format.word() == word).ok_or_else(|| {
            let words = Self::ALL.map(Self::word).join(", ");
            ApiError::invalid_request(format!("format is one of {words}"))
        })
    }

    /// The best format that `Accept` allows. It is JSON if the client names none.
    ///
    /// # Errors
    /// `NOT_ACCEPTABLE` if the client accepts none.
    pub fn negotiate(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut best: Option<(Self, f32)> = None;
        let mut asked = false;
        for value in headers.get_all(ACCEPT) {
            for entry in value.to_str().unwrap_or("").split(',') {
                let mut parts = entry.split(';').map(str::trim);
                let range = parts.next().unwrap_or("").to_ascii_lowercase();
                if range.is_empty() {
                    continue;
                }
                asked = true;
                let Some(format) = Self::of_range(&range) else { continue };
                let quality = quality(parts);
                if quality > 0.0 && best.is_none_or(|(_, most)| quality > most) {
                    best = Some((format, quality));
                }
            }
        }
        match best {
            Some((format, _)) => Ok(format),
            None if !asked => Ok(Self::Json),
            None => Err(ApiError::not_acceptable(Self::ALL.map(Self::essence))),
        }
    }
}

/// The weight among the parameters of an entry of `Accept` or `Accept-Encoding`; 1 if there is none.
pub(super) fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> f32 {
    let weight = parameters.find_map(|part| part.trim().strip_prefix("q="));
    weight.and_then(|weight| weight.parse::<f32>().ok()).unwrap_or(1.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn accepting(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_str(accept).unwrap())])
    }

    #[test]
    fn accept_picks_the_format() {
        let pick = |accept: &str| Format::negotiate(&accepting(accept));
        assert_eq!(Format::negotiate(&HeaderMap::new()).unwrap(), Format::Json);
        assert_eq!(pick("*/*").unwrap(), Format::Json);
        assert_eq!(pick("text/csv").unwrap(), Format::Csv);
        assert_eq!(pick("Application/JSONL").unwrap(), Format::JsonLines);
        assert_eq!(
            pick("text/html, text/csv;q=0.5, application/jsonl;q=0.9").unwrap(),
            Format::JsonLines
        );
        assert_eq!(pick("application/json;q=0, text/csv;q=0.1").unwrap(), Format::Csv);
        assert_eq!(pick("image/png").unwrap_err().problem().code.as_str(), "NOT_ACCEPTABLE");
        for format in Format::ALL {
            assert_eq!(pick(format.content_type()).unwrap(), format);
        }
    }

    #[test]
    fn a_word_in_the_address_wins_over_accept() {
        let headers = accepting("image/png");
        for format in Format::ALL {
            assert_eq!(Format::asked(Some(format.word()), &headers).unwrap(), format);
        }
        let refused = Format::asked(Some("xlsx"), &headers).unwrap_err().to_string();
        assert_eq!(refused, "format is one of json, jsonl, csv, arrow, parquet, text");
        assert!(Format::asked(None, &headers).is_err());
    }
}
