//! What every request passes before a handler sees it: key, limit of its client, body, limit of all clients.
//!
//! ```text
//!   Authorization ──401──> client's bound ──429──> body, in time ──408──> bound of all ──503──> handler
//! ```
//!
//! A request without a known key costs one hash, or one signature for what has the form of a token, and the reading of a body that is discarded. A slow body delays only
//! its own client. Requests for health and readiness do not pass through here, because they must be answered even
//! when nothing else is.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use dunlin_manifest::env::Clock;
use futures::StreamExt;
use futures::future::{Either, select};
use http::header::{AUTHORIZATION, CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use http_body::Body as _;

use super::carried::Carried;
use super::elsewhere::is_from_elsewhere;
use super::pass::{PASS, holder};
use super::problem::ApiError;
use super::refusal::Refusal;
use crate::auth::{Keyring, Principal, Scope, Via};
use crate::door::{Admission, Client, DoorLimits, Permit, key_or_password};
use crate::options::{Current, MAX_BODY_BYTES};
use crate::query::audit::Audit;
use crate::query::error::CoreError;

/// Most bytes of a body that are read and discarded, so that its client receives the refusal.
const DISCARDED_BYTES: usize = 4 * MAX_BODY_BYTES;

/// The address that a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The state of the guard.
#[derive(Debug)]
pub(crate) struct Guard {
    current: Current,
    admission: Arc<Admission>,
    limits: DoorLimits,
    clock: Arc<dyn Clock>,
    /// The beginning of the paths of Trino's protocol, whose clients may show a key as the password of Basic.
    passwords: &'static str,
    audit: Arc<Audit>,
}

impl Guard {
    pub(crate) fn new(
        current: Current,
        admission: Arc<Admission>,
        limits: DoorLimits,
        clock: Arc<dyn Clock>,
        (passwords, audit): (&'static str, Arc<Audit>),
    ) -> Arc<Self> {
        Arc::new(Self { current, admission, limits, clock, passwords, audit })
    }
}

/// Admits a request, or answers it with an error.
pub(crate) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match admitted(&guard, request, next).await {
        Ok(response) => response,
        Err(error) => {
            let closes = matches!(error, ApiError::Refused(Refusal::TooSlow));
            let mut response = error.into_response();
            if closes {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

async fn admitted(guard: &Guard, request: Request, next: Next) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let expects = parts.headers.contains_key(EXPECT);
    let (principal, permit, body) = {
        let reading = std::pin::pin!(async {
            match guard.enter(&mut parts).await {
                Ok((principal, permit)) => Ok((principal, permit, whole(body, expects).await?)),
                Err(error) => {
                    if !expects {
                        discard(&mut body.into_data_stream(), 0).await;
                    }
                    Err(error)
                }
            }
        });
        match select(reading, guard.clock.sleep(guard.limits.body)).await {
            Either::Left((read, _)) => read?,
            Either::Right(_) => return Err(Refusal::TooSlow.into()),
        }
    };
    let permit = permit.of_all().map_err(Refusal::from)?;
    parts.extensions.insert(principal);
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    Ok(response.map(|body| Body::new(Carried::new(body, permit))))
}

impl Guard {
    /// The client of a request, and a permit within that client's limit.
    async fn enter(&self, parts: &mut Parts) -> Result<(Principal, Permit), ApiError> {
        let Some(Peer(peer)) = parts.extensions.get::<Peer>().copied() else {
            return Err(CoreError::internal("a request came from nowhere").into());
        };
        let live = self.current.now();
        if live.keyring.is_open() && is_from_elsewhere(parts, peer.ip()) {
            return Err(Refusal::Elsewhere.into());
        }
        let (protocol, secret) = match parts.uri.path().starts_with(self.passwords) {
            true => ("trino", key_or_password(&parts.headers)),
            false => ("http", bearer(&parts.headers).map(str::to_owned)),
        };
        let via = Via { protocol, address: peer.ip() };
        let client = match self.holder(&live.keyring, parts, secret.as_deref()) {
            Some(client) => Ok(client),
            None => live.keyring.client(secret.as_deref(), &self.clock).await,
        };
        let principal = client.map_err(|error| {
            tracing::debug!(%peer, ?error, "a request shows no key that is known");
            self.audit.refused_login(via, error, None);
            Refusal::from(error)
        })?;
        let principal = principal.by(via);
        // Later code does not need the secret. Removing it keeps it out of logs.
        parts.headers.remove(AUTHORIZATION);
        parts.headers.remove(PASS);
        let client = Client::of(&principal, peer.ip());
        let permit = self.admission.of_client(client).map_err(Refusal::from)?;
        Ok((principal, permit))
    }

    /// The client of a request that shows a pass and no secret.
    fn holder(&self, keyring: &Keyring, parts: &Parts, secret: Option<&str>) -> Option<Principal> {
        if secret.is_some() || keyring.is_open() {
            return None;
        }
        let path = parts.uri.path().strip_prefix(self.passwords)?;
        holder(keyring, path, &parts.headers, self.clock.wall_ms())
    }
}

/// The secret of a request. A request with two secrets counts as one without.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, secret) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

/// The whole body. `expects`: the client sends the body only when it is asked to.
async fn whole(body: Body, expects: bool) -> Result<Bytes, ApiError> {
    let hint = body.size_hint();
    if hint.exact() == Some(0) {
        return Ok(Bytes::new());
    }
    let declared = hint.lower() > MAX_BODY_BYTES as u64;
    if declared && expects {
        return Err(ApiError::BodyTooLarge);
    }
    let mut frames = body.into_data_stream();
    if declared {
        discard(&mut frames, 0).await;
        return Err(ApiError::BodyTooLarge);
    }
    let mut held = BytesMut::new();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "a body broke off");
            Refusal::BrokenBody
        })?;
        let length = held.len() + frame.len();
        if length > MAX_BODY_BYTES {
            drop(held);
            discard(&mut frames, length).await;
            return Err(ApiError::BodyTooLarge);
        }
        held.extend_from_slice(&frame);
    }
    Ok(held.freeze())
}

/// Reads and discards the rest of a body, up to a limit. Most clients read an answer only after they have sent
/// everything, and do not see the reason if the connection is closed before. `taken` bytes were read before.
async fn discard(frames: &mut BodyDataStream, mut taken: usize) {
    while taken < DISCARDED_BYTES
        && let Some(Ok(frame)) = frames.next().await
    {
        taken += frame.len();
    }
}

/// The client of the request that a handler answers.
#[derive(Debug)]
pub(crate) struct Caller(pub(crate) Principal);

impl Caller {
    /// The client, if its key has `scope`.
    pub(crate) fn with(self, scope: Scope) -> Result<Principal, Refusal> {
        if self.0.scopes.has(scope) { Ok(self.0) } else { Err(Refusal::Forbidden) }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let principal = parts.extensions.get::<Principal>().cloned();
        principal.map(Self).ok_or_else(|| CoreError::internal("a request passed no guard").into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dunlin_manifest::records::ErrorCode;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_secret_is_what_follows_bearer() {
        for value in [&b"Bearer abc"[..], b"bearer abc", b"BEARER   abc "] {
            assert_eq!(bearer(&headers(&[value])), Some("abc"));
        }
        for value in [&b"abc"[..], b"Basic abc", b"Bearer", b"Bearer \xff"] {
            assert_eq!(bearer(&headers(&[value])), None);
        }
        assert_eq!(bearer(&headers(&[])), None);
        assert_eq!(bearer(&headers(&[b"Bearer a", b"Bearer b"])), None);
    }

    #[tokio::test]
    async fn a_body_is_bounded_whether_or_not_it_says_its_length() {
        assert_eq!(whole(Body::from("abc"), false).await.unwrap(), "abc");
        assert_eq!(whole(Body::empty(), false).await.unwrap(), "");
        let long = vec![0u8; MAX_BODY_BYTES + 1];
        let error = whole(Body::from(long.clone()), false).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::BodyTooLarge);
        let parts = long.chunks(1 << 16).map(|part| Ok::<_, std::io::Error>(part.to_vec()));
        let parts: Vec<_> = parts.collect();
        let error =
            whole(Body::from_stream(futures::stream::iter(parts)), false).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::BodyTooLarge);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_told_apart() {
        let parts = [Ok("abc"), Err(std::io::Error::other("gone"))];
        let error =
            whole(Body::from_stream(futures::stream::iter(parts)), false).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.code()), (400, ErrorCode::InvalidRequest));
    }
}
