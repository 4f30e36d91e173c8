//! The protocols, as a client speaks them that does as little as it can.

use std::io;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;
use tonic::transport::{Channel, Endpoint};

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Where a protocol is spoken.
pub(crate) enum Door {
    /// A handler that does nothing.
    Bare(String),
    Http(String),
    Postgres(String),
    Flight(String),
}

impl FromStr for Door {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once('=') {
            Some(("http", address)) => Ok(Self::Http(address.to_owned())),
            Some(("postgres", address)) => Ok(Self::Postgres(address.to_owned())),
            Some(("flight", address)) => Ok(Self::Flight(address.to_owned())),
            _ => Err(format!("{text} is none of http=, postgres=, flight=").into()),
        }
    }
}

impl Door {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Bare(_) => "bare",
            Self::Http(_) => "http",
            Self::Postgres(_) => "postgres",
            Self::Flight(_) => "flight",
        }
    }

    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        Ok(match self {
            Self::Bare(address) | Self::Http(address) => {
                let client = reqwest::Client::builder().pool_max_idle_per_host(1).no_proxy();
                Connection::Http(client.build()?, format!("http://{address}/v1/sql"))
            }
            Self::Postgres(address) => {
                let received = Arc::new(AtomicU64::new(0));
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let counted = Counted { stream, received: Arc::clone(&received) };
                let mut config = tokio_postgres::Config::new();
                config.user("bench").dbname("dunlin");
                let (client, connection) = config.connect_raw(counted, NoTls).await?;
                tokio::spawn(connection);
                Connection::Postgres(client, received)
            }
            Self::Flight(address) => {
                let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
                let service = FlightServiceClient::new(endpoint.tcp_nodelay(true).connect().await?);
                Connection::Flight(Box::new(FlightSqlServiceClient::new_from_inner(service)))
            }
        })
    }
}

/// A connection that one statement after the other goes over.
pub(crate) enum Connection {
    Http(reqwest::Client, String),
    Postgres(tokio_postgres::Client, Arc<AtomicU64>),
    Flight(Box<FlightSqlServiceClient<Channel>>),
}

impl Connection {
    /// Sends a statement, and reads its answer to the end.
    ///
    /// # Returns
    /// The bytes that arrived: of HTTP the body in Arrow's format if the answer is large, of Postgres everything, of Flight
    /// the messages.
    pub(crate) async fn ask(&mut self, statement: &str) -> Result<u64, Error> {
        let mut count = 0;
        match self {
            Self::Http(client, url) => {
                let mut request = client.post(&*url).body(statement.to_owned());
                if statement.contains(" from ") {
                    request = request.header("accept", "application/vnd.apache.arrow.stream");
                }
                let mut body = request.send().await?.error_for_status()?.bytes_stream();
                while let Some(block) = body.next().await {
                    count += block?.len() as u64;
                }
            }
            Self::Postgres(client, received) => {
                let before = received.load(Ordering::Relaxed);
                let rows = client.query_typed_raw::<&str, _>(statement, []).await?;
                rows.try_for_each(async |_| Ok(())).await?;
                count = received.load(Ordering::Relaxed) - before;
            }
            Self::Flight(client) => {
                let info = client.execute(statement.to_owned(), None).await?;
                for endpoint in info.endpoint {
                    let ticket = endpoint.ticket.ok_or("an endpoint without a ticket")?;
                    let mut messages = client.inner_mut().do_get(ticket).await?.into_inner();
                    while let Some(message) = messages.message().await? {
                        count += (message.data_header.len() + message.data_body.len()) as u64;
                    }
                }
            }
        }
        Ok(count)
    }
}

/// A connection that counts what arrives.
pub(crate) struct Counted {
    stream: TcpStream,
    received: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.received.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
