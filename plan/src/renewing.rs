//! A store on S3 whose credentials may expire while the process runs.
//!
//! ```text
//!   request ──> client ── ExpiredToken ──> the client is opened anew, and asks for credentials again ──> request, once more
//!                                          └── fixed credentials, or no newer ones ──> an error that says what to do
//! ```
//! A client keeps the credentials of a role until shortly before the time that the role's provider has named. S3 may
//! refuse them earlier: a session was revoked, a clock is off, the provider gave old ones. A new client has no memory of
//! them. Fixed credentials cannot be renewed, so an error says that the process needs new ones.
//!
//! The error stays one that may be tried again: queries wait in the store until somebody has credentials.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use http::Method;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::RwLock;
use url::Url;

use crate::StoreError;

/// What S3 says of them in its answer. The client has no type for it.
const CODE: &str = "<Code>ExpiredToken</Code>";

/// Credentials that have expired, and the store's answer.
#[derive(Debug, thiserror::Error)]
enum Expired {
    #[error(
        "the credentials for {address} have expired (ExpiredToken): give this process new ones and start it again, or let it use a role, whose credentials are renewed without a restart"
    )]
    Fixed { address: String, source: Error },
    #[error(
        "the credentials for {address} have expired (ExpiredToken): the role of this process gives no newer ones; look at the role, and at whoever gives its credentials"
    )]
    OfRole { address: String, source: Error },
}

/// A client, and whether its credentials are fixed.
pub(crate) struct Client {
    pub(crate) store: AmazonS3,
    pub(crate) is_fixed: bool,
}

type Open = Box<dyn Fn() -> std::result::Result<Client, StoreError> + Send + Sync>;

/// See the module.
#[derive(Clone)]
pub(crate) struct RenewingStore(Arc<Inner>);

struct Inner {
    address: String,
    is_fixed: bool,
    open: Open,
    client: RwLock<Arc<AmazonS3>>,
}

impl RenewingStore {
    /// The store at `address`, whose clients `open` makes.
    ///
    /// # Errors
    /// Those of `open`.
    pub(crate) fn open(
        address: &str,
        open: impl Fn() -> std::result::Result<Client, StoreError> + Send + Sync + 'static,
    ) -> std::result::Result<Self, StoreError> {
        let Client { store, is_fixed } = open()?;
        let client = RwLock::new(Arc::new(store));
        let (address, open) = (address.to_owned(), Box::new(open));
        Ok(Self(Arc::new(Inner { address, is_fixed, open, client })))
    }
}

impl Inner {
    fn client(&self) -> Arc<AmazonS3> {
        Arc::clone(&self.client.read())
    }

    /// The outcome of a request of `client`, or the client with which to send it once more. What S3 has refused for its
    /// credentials, it has not done.
    fn after<T>(&self, client: &Arc<AmazonS3>, outcome: Result<T>) -> After<T> {
        match outcome {
            Err(error) if is_expired(&error) => match self.renewed(client) {
                Some(newer) => After::Again(newer),
                None => After::Done(Err(self.told(error))),
            },
            outcome => After::Done(outcome),
        }
    }

    /// A client with a fresh memory, if that can help.
    fn renewed(&self, refused: &Arc<AmazonS3>) -> Option<Arc<AmazonS3>> {
        if self.is_fixed {
            return None;
        }
        let mut client = self.client.write();
        // Another request may have been refused, too, and may have done this already.
        if Arc::ptr_eq(&client, refused) {
            match (self.open)() {
                Ok(opened) => *client = Arc::new(opened.store),
                Err(error) => {
                    tracing::warn!(store = self.address, %error, "the store cannot be opened anew");
                    return None;
                }
            }
            tracing::info!(
                store = self.address,
                "credentials have expired, and are asked for anew"
            );
        }
        Some(Arc::clone(&client))
    }

    /// The error with what it means.
    fn told(&self, error: Error) -> Error {
        if !is_expired(&error) {
            return error;
        }
        let (address, source) = (self.address.clone(), error);
        let expired = match self.is_fixed {
            true => Expired::Fixed { address, source },
            false => Expired::OfRole { address, source },
        };
        Error::Generic { store: "S3", source: Box::new(expired) }
    }

    /// A listing, begun once more if its first page is refused.
    fn listed(
        self: &Arc<Self>,
        list: impl Fn(&AmazonS3) -> BoxStream<'static, Result<ObjectMeta>> + Send + 'static,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let inner = Arc::clone(self);
        let begun = async move {
            let client = inner.client();
            // It may be empty, and is asked again after its first entry.
            let mut entries = list(&client).fuse();
            let first = entries.next().await.transpose();
            let entries = match inner.after(&client, first) {
                After::Done(first) => {
                    let first = first.transpose();
                    futures::stream::iter(first).chain(entries).boxed()
                }
                After::Again(newer) => list(&newer),
            };
            entries.map_err(move |error| inner.told(error))
        };
        futures::stream::once(begun).flatten().boxed()
    }
}

/// What is to be done after an answer.
enum After<T> {
    /// Nothing: this is the outcome.
    Done(Result<T>),
    /// The same request, by this client.
    Again(Arc<AmazonS3>),
}

fn is_expired(error: &Error) -> bool {
    let may_be = matches!(
        error,
        Error::Generic { .. } | Error::PermissionDenied { .. } | Error::Unauthenticated { .. }
    );
    may_be && error.to_string().contains(CODE)
}

/// Sends a request, and once more by a newer client if the first one's credentials have expired.
macro_rules! send {
    ($self:ident, $client:ident => $request:expr) => {{
        let inner = &$self.0;
        let $client = inner.client();
        match inner.after(&$client, $request.await) {
            After::Done(outcome) => outcome,
            After::Again($client) => $request.await.map_err(|error| inner.told(error)),
        }
    }};
}

// A method that is left to the trait's default could bypass the client's own.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for RenewingStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        send!(self, client => client.put_opts(location, payload.clone(), opts.clone()))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        send!(self, client => client.put_multipart_opts(location, opts.clone()))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        send!(self, client => client.get_opts(location, options.clone()))
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        send!(self, client => client.get_ranges(location, ranges))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let inner = Arc::clone(&self.0);
        let client = inner.client();
        let deleted = client.delete_stream(locations);
        // The locations are gone, so whoever deletes sends them again, by the newer client.
        let told = move |error| match is_expired(&error) && inner.renewed(&client).is_some() {
            true => error,
            false => inner.told(error),
        };
        deleted.map_err(told).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned();
        self.0.listed(move |client| client.list(prefix.as_ref()))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (prefix, offset) = (prefix.cloned(), offset.clone());
        self.0.listed(move |client| client.list_with_offset(prefix.as_ref(), &offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        send!(self, client => client.list_with_delimiter(prefix))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        send!(self, client => client.copy_opts(from, to, options.clone()))
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        send!(self, client => client.rename_opts(from, to, options.clone()))
    }
}

#[async_trait]
impl Signer for RenewingStore {
    async fn signed_url(&self, method: Method, path: &Path, expires_in: Duration) -> Result<Url> {
        let client = self.0.client();
        client.signed_url(method, path, expires_in).await
    }
}

impl fmt::Display for RenewingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.client())
    }
}

impl fmt::Debug for RenewingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RenewingStore").field("address", &self.0.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use object_store::ObjectStoreExt;
    use object_store::aws::AmazonS3Builder;
    use parking_lot::Mutex;

    use super::*;

    const FIXED: &str = "the credentials for s3://b have expired (ExpiredToken): give this process new ones and start it again";
    const OF_A_ROLE: &str = "the credentials for s3://b have expired (ExpiredToken): the role of this process gives no newer ones";

    /// A server that refuses the key `old`, as S3 refuses credentials that have expired, and answers all others. It
    /// remembers the key and the method of each request.
    struct Server {
        endpoint: String,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl Server {
        fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let endpoint = format!("http://{}", listener.local_addr().unwrap());
            let asked: Arc<Mutex<Vec<String>>> = Arc::default();
            let seen = Arc::clone(&asked);
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let seen = Arc::clone(&seen);
                    std::thread::spawn(move || answer(&stream.unwrap(), &seen));
                }
            });
            Self { endpoint, asked }
        }

        fn client(&self, key: &str, is_fixed: bool) -> std::result::Result<Client, StoreError> {
            let store = AmazonS3Builder::new()
                .with_endpoint(&self.endpoint)
                .with_bucket_name("b")
                .with_region("us-east-1")
                .with_access_key_id(key)
                .with_secret_access_key("secret")
                .with_allow_http(true)
                .build()
                .unwrap();
            Ok(Client { store, is_fixed })
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut *self.asked.lock())
        }
    }

    fn answer(mut stream: &TcpStream, seen: &Mutex<Vec<String>>) {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap() == 0 {
                return;
            }
        }
        let after = |text: &str, end: char| {
            let part = head.split(text).nth(1)?;
            Some(part.split(end).next()?.trim().to_owned())
        };
        let length = after("content-length:", '\r').map_or(0, |length| length.parse().unwrap());
        reader.read_exact(&mut vec![0; length]).unwrap();
        let method = head.split(' ').next().unwrap();
        let key = after("Credential=", '/').unwrap();
        seen.lock().push(format!("{key} {method}"));
        let ranged = head.to_ascii_lowercase().contains("\r\nrange:");
        let (status, body) = match (key.as_str(), head.contains("list-type=2")) {
            ("old", _) => (
                "400 Bad Request",
                "<?xml version=\"1.0\"?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>",
            ),
            (_, true) => (
                "200 OK",
                "<ListBucketResult><Contents><Key>x</Key><Size>4</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"e\"</ETag></Contents></ListBucketResult>",
            ),
            _ if ranged => ("206 Partial Content", "rows"),
            _ => ("200 OK", "rows"),
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-range: bytes 0-3/4\r\netag: \"e\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .unwrap();
    }

    /// The store of a role whose first credentials have expired.
    fn of_a_role(server: &Arc<Server>, keys: [&'static str; 2]) -> RenewingStore {
        let (server, opened) = (Arc::clone(server), AtomicUsize::new(0));
        let open =
            move || server.client(keys[opened.fetch_add(1, Ordering::Relaxed).min(1)], false);
        RenewingStore::open("s3://b", open).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_sent_again_with_the_newer_credentials_of_a_role() {
        let server = Arc::new(Server::start());
        let path = Path::from("x");
        let store = || of_a_role(&server, ["old", "new"]);
        let create = PutOptions { mode: object_store::PutMode::Create, ..PutOptions::default() };
        store().put_opts(&path, "rows".into(), create).await.unwrap();
        assert_eq!(server.take(), ["old PUT", "new PUT"]);
        let read = store().get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(
            (&read[..], server.take()),
            (&b"rows"[..], vec!["old GET".into(), "new GET".into()])
        );
        let ranges = store().get_ranges(&path, std::slice::from_ref(&(0..4))).await;
        assert_eq!((ranges.is_ok(), server.take().len()), (true, 2));
        let renewed = store();
        let listed: Vec<_> = renewed.list(None).try_collect().await.unwrap();
        assert_eq!((listed.len(), server.take()), (1, vec!["old GET".into(), "new GET".into()]));
        // The newer client stays.
        let listed: Vec<_> = renewed.list(None).try_collect().await.unwrap();
        assert_eq!((listed.len(), server.take()), (1, vec!["new GET".to_owned()]));
    }

    #[tokio::test]
    async fn fixed_credentials_that_have_expired_are_told_in_a_sentence() {
        let server = Arc::new(Server::start());
        let fixed = Arc::clone(&server);
        let store = RenewingStore::open("s3://b", move || fixed.client("old", true)).unwrap();
        let error = store.put(&Path::from("x"), "rows".into()).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("Generic S3 error: {FIXED}")), "{error}");
        assert_eq!(server.take(), ["old PUT"]);
        let listed = store.list(None).try_collect::<Vec<_>>().await.unwrap_err();
        assert!(listed.to_string().contains(FIXED), "{listed}");
    }

    #[tokio::test]
    async fn a_role_without_newer_credentials_is_told_in_another_sentence() {
        let server = Arc::new(Server::start());
        let store = of_a_role(&server, ["old", "old"]);
        for _ in 0..2 {
            let error = store.get(&Path::from("x")).await.unwrap_err();
            assert!(error.to_string().contains(OF_A_ROLE), "{error}");
        }
        assert_eq!(server.take().len(), 4, "each request is sent twice, and no more");
        let deleted = store.delete(&Path::from("x")).await.unwrap_err();
        assert!(deleted.to_string().contains("ExpiredToken"), "{deleted}");
    }
}
