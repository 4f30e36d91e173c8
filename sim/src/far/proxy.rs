//! A reverse proxy in front of an S3 server: it delays answers, remembers every request, and refuses some.
//!
//! The Host header goes through as it was sent, because it is part of what the client signed.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::Response;
use object_store::path::Path;
use parking_lot::Mutex;

use crate::far::latency::{Latency, Profile};

/// Larger bodies are passed on in pieces, so that they flow with the connection's bandwidth.
const PIECE: u64 = 1 << 20;

/// One request, as it came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// HTTP method.
    pub method: String,
    /// Key in the bucket, without percent-encoding; empty for a request to the bucket itself.
    pub key: String,
    /// `prefix=` of a LIST.
    pub list: Option<String>,
    /// The `Range` header.
    pub range: Option<String>,
    /// True for a create: with the header `If-None-Match: *`.
    pub if_none_match: bool,
    /// The status of the answer; `None` while it is under way.
    pub status: Option<u16>,
    /// The access key that has signed it; empty if nobody has.
    pub access_key: String,
    /// True if the proxy refused it.
    pub refused: bool,
    /// When it came in, since the proxy started.
    pub start: Duration,
    /// When its answer was sent; `None` while it is under way.
    pub end: Option<Duration>,
}

type Refuse = Box<dyn Fn(&Seen) -> bool + Send + Sync>;
/// How a request is refused: the status, and the body.
type Refusal = (StatusCode, &'static str);

const REFUSED: Refusal = (StatusCode::FORBIDDEN, "refused by the proxy");
/// As S3 says it.
const EXPIRED: Refusal = (
    StatusCode::BAD_REQUEST,
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>",
);

struct Shared {
    upstream: String,
    bucket: String,
    client: reqwest::Client,
    refuse: Refuse,
    refusal: Refusal,
    latency: Latency,
    started: Instant,
    seen: Mutex<Log>,
}

/// Requests by number. Numbers go on after the log was emptied.
#[derive(Default)]
struct Log {
    first: usize,
    requests: Vec<Seen>,
}

/// A running proxy; it ends with its runtime.
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Listens on loopback, and passes on to `upstream` what `refuse` does not refuse. Answers take as long as
    /// `latency` says.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start(
        upstream: &str,
        bucket: &str,
        latency: Latency,
        refuse: impl Fn(&Seen) -> bool + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        Self::refusing(upstream, bucket, latency, (Box::new(refuse), REFUSED)).await
    }

    /// As [`Proxy::near`]. The requests for which `is_expired` holds are refused as S3 refuses credentials that have
    /// expired.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn expiring(
        upstream: &str,
        bucket: &str,
        is_expired: impl Fn(&Seen) -> bool + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let latency = Latency::new(Profile::Near, 0);
        Self::refusing(upstream, bucket, latency, (Box::new(is_expired), EXPIRED)).await
    }

    async fn refusing(
        upstream: &str,
        bucket: &str,
        latency: Latency,
        (refuse, refusal): (Refuse, Refusal),
    ) -> std::io::Result<Self> {
        let client =
            reqwest::Client::builder().no_proxy().build().map_err(std::io::Error::other)?;
        let shared = Arc::new(Shared {
            upstream: upstream.trim_end_matches('/').to_owned(),
            bucket: bucket.to_owned(),
            client,
            refuse,
            refusal,
            latency,
            started: Instant::now(),
            seen: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = axum::Router::new().fallback(pass).with_state(Arc::clone(&shared));
        tokio::spawn(async move {
            // It runs until the runtime ends.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { shared, address })
    }

    /// As [`Proxy::start`], without delays.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn near(
        upstream: &str,
        bucket: &str,
        refuse: impl Fn(&Seen) -> bool + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        Self::start(upstream, bucket, Latency::new(Profile::Near, 0), refuse).await
    }

    /// Where clients reach the server through the proxy.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests since the proxy started or was told to forget.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().requests.clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        let mut log = self.shared.seen.lock();
        log.first += log.requests.len();
        log.requests.clear();
    }
}

impl Shared {
    fn begin(&self, seen: Seen) -> usize {
        let mut log = self.seen.lock();
        log.requests.push(seen);
        log.first + log.requests.len() - 1
    }

    fn status(&self, number: usize, status: StatusCode) {
        let mut log = self.seen.lock();
        let at = number.checked_sub(log.first);
        if let Some(seen) = at.and_then(|at| log.requests.get_mut(at)) {
            seen.status = Some(status.as_u16());
        }
    }

    fn end(&self, number: usize) {
        let now = self.started.elapsed();
        let mut log = self.seen.lock();
        let at = number.checked_sub(log.first);
        if let Some(seen) = at.and_then(|at| log.requests.get_mut(at)) {
            seen.end = Some(now);
        }
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let Ok(url) = reqwest::Url::parse(&format!("{}{target}", shared.upstream)) else {
        return plain(StatusCode::BAD_REQUEST, "no URL");
    };
    let path = Path::from_url_path(parts.uri.path()).unwrap_or_default();
    let key = path.as_ref().strip_prefix(&shared.bucket).unwrap_or_default();
    let parameter = |name: &str| {
        url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    };
    let range = parts.headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let mut seen = Seen {
        method: parts.method.to_string(),
        key: key.trim_start_matches('/').to_owned(),
        list: parameter("list-type").map(|_| parameter("prefix").unwrap_or_default()),
        range: range.map(ToOwned::to_owned),
        if_none_match: parts.headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "*"),
        access_key: signer_of(&parts.headers).unwrap_or_default(),
        status: None,
        refused: false,
        start: shared.started.elapsed(),
        end: None,
    };
    seen.refused = (shared.refuse)(&seen);
    let refused = seen.refused;
    let number = shared.begin(seen);
    if refused {
        shared.end(number);
        let (status, text) = shared.refusal;
        shared.status(number, status);
        return plain(status, text);
    }
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    let mut headers = parts.headers;
    for hop in [header::CONNECTION, header::TRANSFER_ENCODING] {
        headers.remove(hop);
    }
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return plain(StatusCode::BAD_REQUEST, "the body broke off");
    };
    // Half of the time passes before the server has the request. The delay includes what the server here takes.
    let first_byte = shared.latency.first_byte(is_read);
    let begun = tokio::time::Instant::now() + shared.latency.body(body.len() as u64);
    let answer_at = begun + first_byte;
    tokio::time::sleep_until(begun + first_byte / 2).await;
    let sent = shared.client.request(parts.method, url).headers(headers).body(body).send().await;
    tokio::time::sleep_until(answer_at).await;
    // The client went away, or the server is being stopped: a fault that clients must bear anyway.
    let Ok(answer) = sent else {
        shared.end(number);
        return plain(StatusCode::BAD_GATEWAY, "no answer");
    };
    shared.status(number, answer.status());
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        let hop: [HeaderName; 2] = [header::CONNECTION, header::TRANSFER_ENCODING];
        if !hop.contains(name) {
            response = response.header(name, value);
        }
    }
    let length = answer.content_length().unwrap_or(0);
    let body = if length <= PIECE {
        let Ok(bytes) = answer.bytes().await else {
            shared.end(number);
            return plain(StatusCode::BAD_GATEWAY, "the answer broke off");
        };
        tokio::time::sleep(shared.latency.body(bytes.len() as u64)).await;
        shared.end(number);
        Body::from(bytes)
    } else {
        Body::from_stream(flow(Arc::clone(&shared), number, answer))
    };
    response.body(body).unwrap_or_else(|_| plain(StatusCode::BAD_GATEWAY, "no response"))
}

/// The access key in `Authorization: AWS4-HMAC-SHA256 Credential=KEY/…`.
fn signer_of(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    Some(text.split("Credential=").nth(1)?.split('/').next()?.to_owned())
}

/// The body of an answer, with the bandwidth of one connection.
fn flow(
    shared: Arc<Shared>,
    number: usize,
    answer: reqwest::Response,
) -> impl futures::Stream<Item = reqwest::Result<bytes::Bytes>> {
    let begun = tokio::time::Instant::now();
    let state = (shared, answer, 0u64);
    futures::stream::unfold(state, move |(shared, mut answer, sent)| async move {
        match answer.chunk().await {
            Ok(Some(bytes)) => {
                let sent = sent + bytes.len() as u64;
                tokio::time::sleep_until(begun + shared.latency.body(sent)).await;
                Some((Ok(bytes), (shared, answer, sent)))
            }
            Ok(None) => {
                shared.end(number);
                None
            }
            Err(error) => {
                shared.end(number);
                Some((Err(error), (shared, answer, sent)))
            }
        }
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}
