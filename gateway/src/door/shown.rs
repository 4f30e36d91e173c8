//! The secret that a request shows in its headers, for protocols whose clients know passwords but no keys.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Base64 as clients write it: those in Go leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The secret of a request: that of Bearer, or the password of Basic. A request with two secrets counts as one without.
pub(crate) fn key_or_password(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, shown) = value.trim().split_once(' ')?;
    let shown = shown.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(shown.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64.decode(shown).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn shown(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        key_or_password(&headers)
    }

    #[test]
    fn a_secret_is_a_bearer_or_a_password() {
        let basic = |text: &str| format!("Basic {}", BASE64.encode(text));
        assert_eq!(shown(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(shown(&["bearer  abc "]).as_deref(), Some("abc"));
        assert_eq!(shown(&[&basic("anyone:abc")]).as_deref(), Some("abc"));
        assert_eq!(shown(&[&basic(":a:bc")]).as_deref(), Some("a:bc"));
        let padded = basic("anyone:abcd");
        assert!(padded.ends_with('='));
        for basic in [padded.as_str(), padded.trim_end_matches('=')] {
            assert_eq!(shown(&[basic]).as_deref(), Some("abcd"), "{basic}");
        }
        assert_eq!(shown(&[&basic("abc")]), None);
        assert_eq!(shown(&["Basic %%%"]), None);
        assert_eq!(shown(&["abc"]), None);
        assert_eq!(shown(&["Bearer a", "Bearer b"]), None);
        assert_eq!(shown(&[]), None);
    }
}
