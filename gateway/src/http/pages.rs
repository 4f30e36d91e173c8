//! Pages that come with the gateway: the API's description, a reader for it, and a page for each error code. They load
//! nothing from anywhere else.

use axum::Extension;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;
use bytes::Bytes;
use dunlin_manifest::records::ErrorCode;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

use super::problem::ApiError;

/// What the page for people may do: run its own script and read the description. Nothing else is loaded.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const READER: &str = include_str!("docs.html");
/// The page that explains the codes to people; each code has a section.
const CODES: &str = include_str!("../../../docs/troubleshooting.md");

/// The description of the API, as JSON.
#[derive(Clone, Debug)]
pub(super) struct Document(pub(super) Bytes);

/// `GET /openapi.json`: the description of the API.
pub(super) async fn openapi(Extension(Document(bytes)): Extension<Document>) -> Response {
    page("application/json", bytes)
}

/// `GET /docs`: the same for people.
pub(super) async fn docs() -> Response {
    let mut response = page("text/html; charset=utf-8", Bytes::from_static(READER.as_bytes()));
    let policy = HeaderValue::from_static(POLICY);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// `GET /errors/{code}`: what an error code means, and what to do. The `type` of every problem leads here.
pub(super) async fn error(code: Result<Path<String>, PathRejection>) -> Result<Response, ApiError> {
    let Ok(Path(code)) = code else { return Err(ApiError::NoSuchPath) };
    let known = ErrorCode::KNOWN.iter().find(|known| known.as_str() == code);
    let section = known.and_then(section).ok_or(ApiError::NoSuchPath)?;
    Ok(page("text/plain; charset=utf-8", Bytes::from(section)))
}

/// The section of a code, with the sections that it refers to.
fn section(code: &ErrorCode) -> Option<String> {
    let own = under(code.as_str())?;
    let mut text = format!("{code}\n\n{own}\n");
    for reference in own.split("](#").skip(1).filter_map(|rest| rest.split_once(')')) {
        let headings = CODES.lines().filter_map(|line| line.strip_prefix("### "));
        let heading = headings.into_iter().find(|heading| anchor(heading) == reference.0);
        if let Some((heading, more)) = heading.and_then(|it| Some((it, under(it)?))) {
            text.push_str(&format!("\n{heading}\n\n{more}\n"));
        }
    }
    Some(text)
}

/// What is written under a heading.
fn under(heading: &str) -> Option<&'static str> {
    let (_, after) = CODES.split_once(&format!("\n### {heading}\n"))?;
    let end = ["\n### ", "\n## "].iter().filter_map(|next| after.find(next)).min();
    Some(after[..end.unwrap_or(after.len())].trim())
}

/// The anchor of a heading: lower case, words joined by hyphens.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn page(kind: &'static str, bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_error_code_has_its_page() {
        for code in ErrorCode::KNOWN {
            let text = section(code).unwrap_or_else(|| panic!("{code} has no section"));
            assert!(text.starts_with(code.as_str()) && text.len() > 40, "{text}");
            assert!(!text.contains("\n### "), "{text}");
        }
    }

    #[test]
    fn a_page_has_what_its_section_refers_to() {
        let text = section(&ErrorCode::Unauthorized).unwrap();
        assert!(text.contains("\n401 or 403\n\n"), "{text}");
        assert_eq!(anchor("A wrong key in a secret"), "a-wrong-key-in-a-secret");
    }

    #[test]
    fn the_reader_loads_nothing_from_elsewhere() {
        for word in ["http://", "https://", "//cdn", "src=", "@import", "url("] {
            assert!(!READER.contains(word), "{word}");
        }
        assert!(READER.contains("fetch('openapi.json')"));
    }
}
