//! How headers are read that hold names, lists and pairs.

use http::HeaderMap;
use url::form_urlencoded;

use crate::http::ApiError;
use crate::query::error::CoreError;

/// The request cannot be read.
pub(super) fn invalid(what: impl Into<String>) -> ApiError {
    CoreError::invalid_request(what).into()
}

/// The value of a header that comes once.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid(format!("the header {name} comes twice")));
    }
    let text = std::str::from_utf8(value.as_bytes());
    let text = text.map_err(|_| invalid(format!("the header {name} is not valid UTF-8")))?;
    Ok(Some(text.trim()).filter(|text| !text.is_empty()))
}

/// The words of a header that is a list, in one or several lines.
pub(super) fn list<'a>(headers: &'a HeaderMap, name: &str) -> Result<Vec<&'a str>, ApiError> {
    let mut all = Vec::new();
    for value in headers.get_all(name) {
        let text = std::str::from_utf8(value.as_bytes());
        let text = text.map_err(|_| invalid(format!("the header {name} is not valid UTF-8")))?;
        all.extend(text.split(',').map(str::trim).filter(|word| !word.is_empty()));
    }
    Ok(all)
}

/// The pairs of a header like `a=1,b=%20`.
pub(super) fn pairs(headers: &HeaderMap, name: &str) -> Result<Vec<(String, String)>, ApiError> {
    let pair = |word: &&str| {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        Some((decoded(key)?, decoded(value)?)).filter(|(key, _)| !key.is_empty())
    };
    let read = |word: &str| {
        pair(&word).ok_or_else(|| {
            invalid(format!("the header {name} is a list of name=value, and has something else"))
        })
    };
    list(headers, name)?.into_iter().map(read).collect()
}

/// A text that was written for an address. None if it is not.
fn decoded(text: &str) -> Option<String> {
    if text.contains('&') {
        return None;
    }
    let text = format!("v={text}");
    let mut read = form_urlencoded::parse(text.as_bytes());
    read.next().map(|(_, value)| value.into_owned())
}

/// A text as clients send it back in a header.
pub(super) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HeaderName::from_static("a"), HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn pairs_come_in_one_line_or_several() {
        let read = pairs(&headers(&[b"a=1, b=%20x%2C+y", b"c"]), "a").unwrap();
        let wanted = [("a", "1"), ("b", " x, y"), ("c", "")];
        assert_eq!(read, wanted.map(|(key, value)| (key.to_owned(), value.to_owned())));
        for wrong in [&b"=1"[..], b"a=1&b=2", b"\xff"] {
            assert!(pairs(&headers(&[wrong]), "a").is_err());
        }
    }

    #[test]
    fn what_comes_twice_is_refused() {
        assert_eq!(one(&headers(&[b" x "]), "a").unwrap(), Some("x"));
        assert_eq!(one(&headers(&[b" "]), "a").unwrap(), None);
        assert!(one(&headers(&[b"x", b"y"]), "a").is_err());
    }
}
