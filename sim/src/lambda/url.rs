//! Function URLs: an HTTP request becomes an event, and the function's streamed answer an HTTP response.
//!
//! The whole answer is taken before it is sent on. So tests see what a client sees, and not when it sees it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::{Shared, Throttled, answer, refusal};
use crate::lambda::function::Outcome;

/// What separates the head of a streamed answer from its body.
const SEPARATOR: [u8; 8] = [0; 8];

#[derive(Clone, Debug)]
struct Front {
    shared: Arc<Shared>,
    function: String,
}

/// Serves the URL of a function on loopback.
pub(super) async fn serve(shared: Arc<Shared>, function: String) -> std::io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .fallback(request)
        .layer(axum::extract::DefaultBodyLimit::max(super::MOST_SYNC))
        .with_state(Front { shared, function });
    tokio::spawn(async move {
        // It runs until the runtime ends.
        let _ = axum::serve(listener, router).await;
    });
    Ok(address)
}

async fn request(
    State(front): State<Front>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(pool) = front.shared.find(&front.function, None) else {
        return refusal(StatusCode::NOT_FOUND, "ResourceNotFoundException", "no such function");
    };
    let event = event(&method, &uri, &headers, &body);
    let plain = |status| answer(status, Bytes::new(), false);
    match front.shared.run(pool, event.into()).await {
        Ok(Outcome::Done(streamed)) => {
            response(&streamed).unwrap_or_else(|| plain(StatusCode::BAD_GATEWAY))
        }
        Ok(Outcome::Failed { .. }) => plain(StatusCode::BAD_GATEWAY),
        Err(Throttled) => plain(StatusCode::TOO_MANY_REQUESTS),
    }
}

/// The event of a request, in version 2.0 of the payload format.
fn event(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> String {
    let texts = headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), Value::from(value.to_str().ok()?)))
    });
    let (path, query) = (uri.path(), uri.query().unwrap_or(""));
    let event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": texts.collect::<Map<_, _>>(),
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "url",
            "domainName": "url.lambda-url.us-east-1.on.aws",
            "domainPrefix": "url",
            "http": {
                "method": method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "test",
            },
            "requestId": "r",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 0,
        },
        "body": String::from_utf8_lossy(body),
        "isBase64Encoded": false,
    });
    event.to_string()
}

/// The response that a streamed answer stands for: its head as JSON, eight zero bytes, and the body.
fn response(answer: &Bytes) -> Option<Response> {
    let at = answer.windows(SEPARATOR.len()).position(|window| window == SEPARATOR)?;
    let head: Value = serde_json::from_slice(&answer[..at]).ok()?;
    let mut response = Response::new(Body::from(answer.slice(at + SEPARATOR.len()..)));
    let status = u16::try_from(head["statusCode"].as_u64()?).ok()?;
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    for (name, value) in head["headers"].as_object().into_iter().flatten() {
        let name = axum::http::HeaderName::try_from(name.as_str()).ok()?;
        response.headers_mut().append(name, value.as_str()?.try_into().ok()?);
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_streamed_answer_is_taken_apart() {
        let mut answer =
            br#"{"statusCode":202,"headers":{"a":"b \"c\"","location":"/x"},"cookies":[]}"#
                .to_vec();
        answer.extend(SEPARATOR);
        answer.extend(b"body");
        let response = response(&answer.into()).unwrap();
        assert_eq!(response.status(), 202);
        assert_eq!(response.headers()["a"], "b \"c\"");
        assert_eq!(response.headers()["location"], "/x");
    }
}
