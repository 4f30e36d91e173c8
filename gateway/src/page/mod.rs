//! The page for people, at `/`: queries, one query, the fleet, and a box for SQL.
//!
//! ```text
//!   gateway/page/src ──npm run build──> gateway/page/dist ──include_bytes──> files ──> GET /, GET /assets/{name}
//! ```
//! The page knows only the public API: it asks the gateway that served it, with the key that its user gives. So nothing here
//! knows a query. A place in the page stands behind the `#` of its address, and so the one document serves all of them.
//!
//! Names of assets contain a hash of their content. They may be kept for ever. The document, and the licences of what the page
//! contains of others, are asked for each time.

mod files;

use std::io::Write;
use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

use crate::http::ApiError;

/// What the page may do: run its own scripts and styles, and ask this gateway. Nothing else is loaded, and no other page may
/// show it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The document.
const DOCUMENT: &str = "index.html";
/// The licences of what the page contains of others.
const LICENCES: &str = "assets/licenses.md";
/// Bytes of a hash in an `ETag`.
const TAG_BYTES: usize = 16;

/// A file of the page, as it is embedded.
struct Embedded {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

/// A file as it is sent. Both forms are made once, when the file is first asked for.
struct Form {
    plain: Bytes,
    /// Compressed by gzip, if that makes it smaller.
    packed: Option<Bytes>,
    tag: String,
}

impl Form {
    fn of(file: &Embedded) -> Self {
        let mut tag = String::new();
        for byte in Sha256::digest(file.bytes).iter().take(TAG_BYTES) {
            tag.push_str(&format!("{byte:02x}"));
        }
        let packed = packed(file.bytes).filter(|packed| packed.len() < file.bytes.len());
        Self { plain: Bytes::from_static(file.bytes), packed: packed.map(Bytes::from), tag }
    }
}

fn packed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

fn form(at: usize) -> Option<(&'static Embedded, &'static Form)> {
    static FORMS: [OnceLock<Form>; files::FILES.len()] =
        [const { OnceLock::new() }; files::FILES.len()];
    let file = files::FILES.get(at)?;
    Some((file, FORMS.get(at)?.get_or_init(|| Form::of(file))))
}

/// The routes of the page. They need no key: the page has nothing of its own to tell.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(document))
        .route("/assets/{name}", get(asset))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
}

/// `GET /`: the document, for browsers. A program that asks for something else is told that nothing is here.
async fn document(headers: HeaderMap) -> Result<Response, ApiError> {
    if !takes(&headers, ACCEPT, &["text/html", "text/*", "*/*"], true) {
        return Err(ApiError::NoSuchPath);
    }
    answer(DOCUMENT, &headers)
}

/// `GET /assets/{name}`: a script, a style, a picture.
async fn asset(
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Ok(Path(name)) = name else { return Err(ApiError::NoSuchPath) };
    answer(&format!("assets/{name}"), &headers)
}

fn answer(name: &str, asked: &HeaderMap) -> Result<Response, ApiError> {
    let at = files::FILES.iter().position(|file| file.name == name);
    let (file, form) = at.and_then(form).ok_or(ApiError::NoSuchPath)?;
    let packed = form.packed.as_ref();
    let packed = packed.filter(|_| takes(asked, ACCEPT_ENCODING, &["gzip", "x-gzip", "*"], false));
    // A strong tag names the bytes that are sent.
    let tag = match packed {
        Some(_) => format!("\"{}-gzip\"", form.tag),
        None => format!("\"{}\"", form.tag),
    };
    let is_known = is_known(asked, &tag);
    let mut response = match (is_known, packed) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, Some(packed)) => Response::new(Body::from(packed.clone())),
        (false, None) => Response::new(Body::from(form.plain.clone())),
    };
    let headers = response.headers_mut();
    if !is_known {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.kind));
        if packed.is_some() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    let is_hashed = name != DOCUMENT && name != LICENCES;
    let kept = if is_hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    let varies = if name == DOCUMENT { "accept, accept-encoding" } else { "accept-encoding" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
    headers.insert(VARY, HeaderValue::from_static(varies));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

/// Whether a header names one of the words, without refusing it by `q=0`. `otherwise`: what counts without the header.
fn takes(headers: &HeaderMap, header: HeaderName, words: &[&str], otherwise: bool) -> bool {
    let mut values = headers.get_all(header).iter().peekable();
    if values.peek().is_none() {
        return otherwise;
    }
    let mut entries =
        values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    entries.any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let word = parts.next().unwrap_or_default();
        let is_refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").map(str::parse::<f32>);
            matches!(weight, Some(Ok(weight)) if weight <= 0.0)
        });
        !is_refused && words.iter().any(|known| word.eq_ignore_ascii_case(known))
    })
}

/// Whether the client has these bytes. A proxy may have made the tag a weak one.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|text| text.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str, headers: &[(HeaderName, &str)]) -> Response {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        routes::<()>().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn body(response: Response) -> Vec<u8> {
        axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()
    }

    fn header(response: &Response, name: HeaderName) -> String {
        let value = response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        value.unwrap_or_default()
    }

    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    #[tokio::test]
    async fn a_browser_gets_the_document_and_all_that_it_names() {
        let response = ask("/", &[(ACCEPT, BROWSER)]).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, CONTENT_TYPE), "text/html; charset=utf-8");
        assert_eq!(header(&response, CACHE_CONTROL), "no-cache");
        let document = String::from_utf8(body(response).await).unwrap();
        let mut named = 0;
        for link in document.split("\"./").skip(1) {
            let name = link.split('"').next().unwrap();
            let response = ask(&format!("/{name}"), &[]).await;
            assert_eq!(response.status(), 200, "{name}");
            assert!(header(&response, CACHE_CONTROL).contains("immutable"), "{name}");
            named += 1;
        }
        assert!(named >= 3, "{document}");
        let licences = ask(&format!("/{LICENCES}"), &[]).await;
        assert_eq!(
            (licences.status().as_u16(), header(&licences, CACHE_CONTROL)),
            (200, "no-cache".to_owned())
        );
    }

    #[tokio::test]
    async fn every_file_may_do_nothing_but_ask_this_gateway() {
        for file in files::FILES {
            let path = if file.name == DOCUMENT { "" } else { file.name };
            let response = ask(&format!("/{path}"), &[]).await;
            let policy = header(&response, CONTENT_SECURITY_POLICY);
            assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
            assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
            assert_eq!(header(&response, X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert_eq!(header(&response, REFERRER_POLICY), "no-referrer");
        }
    }

    #[tokio::test]
    async fn the_document_has_no_script_of_its_own() {
        let document = String::from_utf8(body(ask("/", &[]).await).await).unwrap();
        for script in document.split("<script").skip(1) {
            assert!(script.split('>').next().unwrap().contains("src=\"./assets/"), "{script}");
        }
        for word in ["http://", "https://", "//cdn", "<style", "style=\"", "javascript:"] {
            assert!(!document.contains(word), "{word}");
        }
    }

    #[tokio::test]
    async fn a_program_that_asks_for_json_is_told_that_nothing_is_here() {
        let response = ask("/", &[(ACCEPT, "application/json")]).await;
        assert_eq!(response.status(), 404);
        assert_eq!(header(&response, CONTENT_TYPE), "application/problem+json");
        assert_eq!(ask("/", &[(ACCEPT, "*/*")]).await.status(), 200);
        assert_eq!(ask("/", &[(ACCEPT, "text/html;q=0, application/json")]).await.status(), 404);
        assert_eq!(ask("/assets/none.js", &[]).await.status(), 404);
        assert_eq!(ask("/assets/..%2Findex.html", &[]).await.status(), 404);
    }

    #[tokio::test]
    async fn gzip_is_the_same_file_under_another_tag() {
        for file in files::FILES.iter().filter(|file| file.name != DOCUMENT) {
            let path = format!("/{}", file.name);
            let plain = ask(&path, &[(ACCEPT_ENCODING, "zstd, gzip;q=0")]).await;
            assert_eq!(header(&plain, CONTENT_ENCODING), "");
            let packed = ask(&path, &[(ACCEPT_ENCODING, "gzip, deflate, br")]).await;
            assert_eq!(header(&packed, CONTENT_ENCODING), "gzip");
            assert_ne!(header(&plain, ETAG), header(&packed, ETAG));
            assert!(header(&packed, VARY).contains("accept-encoding"));
            let mut unpacked = Vec::new();
            let bytes = body(packed).await;
            GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
            assert!(bytes.len() < unpacked.len());
            assert_eq!(unpacked, body(plain).await);
        }
    }

    #[tokio::test]
    async fn a_client_that_has_a_file_is_not_sent_it_again() {
        let tag = header(&ask("/", &[]).await, ETAG);
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()]
        {
            let response = ask("/", &[(IF_NONE_MATCH, &known)]).await;
            assert_eq!(response.status(), 304, "{known}");
            assert_eq!(header(&response, ETAG), tag);
            assert!(body(response).await.is_empty());
        }
        assert_eq!(ask("/", &[(IF_NONE_MATCH, "\"other\"")]).await.status(), 200);
        let gzip = (ACCEPT_ENCODING, "gzip");
        assert_eq!(ask("/", &[(IF_NONE_MATCH, &tag), gzip]).await.status(), 200);
    }

    #[tokio::test]
    async fn all_views_together_have_at_most_300_kb() {
        let forms = (0..files::FILES.len()).filter_map(form);
        let sizes = forms.map(|(_, form)| form.packed.as_ref().unwrap_or(&form.plain).len());
        let sum: usize = sizes.sum();
        assert!((10_000..300_000).contains(&sum), "{sum}");
    }

    #[tokio::test]
    async fn another_method_is_refused() {
        let request = Request::post("/").body(Body::empty()).unwrap();
        let response = routes::<()>().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 405);
    }
}
