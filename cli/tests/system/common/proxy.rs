//! A reverse proxy in front of the tests' S3 server: it remembers every request, and refuses some.
//!
//! The Host header goes through as it was sent, because it is part of what the client signed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::Response;
use object_store::path::Path;

/// One request, as it came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// Key in the bucket, without percent-encoding; empty for a request to the bucket itself.
    pub key: String,
    /// `prefix=` of a LIST.
    pub list: Option<String>,
    /// The `Range` header.
    pub range: Option<String>,
    pub refused: bool,
}

type Refuse = Box<dyn Fn(&Seen) -> bool + Send + Sync>;

struct Shared {
    upstream: String,
    bucket: String,
    client: reqwest::Client,
    refuse: Refuse,
    seen: Mutex<Vec<Seen>>,
}

/// A running proxy; it ends with its runtime.
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Proxy {
    /// Listens on loopback and passes on what `refuse` does not refuse.
    pub async fn start(
        upstream: &str,
        bucket: &str,
        refuse: impl Fn(&Seen) -> bool + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            upstream: upstream.trim_end_matches('/').to_owned(),
            bucket: bucket.to_owned(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            refuse: Box::new(refuse),
            seen: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(pass).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, address }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub fn forget(&self) {
        self.shared.seen.lock().unwrap().clear();
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let url = reqwest::Url::parse(&format!("{}{target}", shared.upstream)).unwrap();
    let path = Path::from_url_path(parts.uri.path()).unwrap_or_default();
    let key = path.as_ref().strip_prefix(&shared.bucket).unwrap_or_default();
    let parameter = |name: &str| {
        url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    };
    let mut seen = Seen {
        method: parts.method.to_string(),
        key: key.trim_start_matches('/').to_owned(),
        list: parameter("list-type").map(|_| parameter("prefix").unwrap_or_default()),
        range: parts.headers.get(header::RANGE).map(|value| value.to_str().unwrap().to_owned()),
        refused: false,
    };
    seen.refused = (shared.refuse)(&seen);
    let refused = seen.refused;
    shared.seen.lock().unwrap().push(seen);
    if refused {
        return plain(StatusCode::FORBIDDEN, "refused by the test");
    }
    let mut headers = parts.headers;
    for hop in [header::CONNECTION, header::TRANSFER_ENCODING] {
        headers.remove(hop);
    }
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let sent = shared.client.request(parts.method, url).headers(headers).body(body).send().await;
    // The client went away, or the server is being stopped: a fault that clients must bear anyway.
    let Ok(answer) = sent else { return plain(StatusCode::BAD_GATEWAY, "no answer") };
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        let hop: [HeaderName; 2] = [header::CONNECTION, header::TRANSFER_ENCODING];
        if !hop.contains(name) {
            response = response.header(name, value);
        }
    }
    response.body(Body::from_stream(answer.bytes_stream())).unwrap()
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    Response::builder().status(status).body(Body::from(text)).unwrap()
}
