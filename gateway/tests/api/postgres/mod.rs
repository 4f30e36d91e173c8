//! The Postgres protocol as a client sees it: a real driver, and bytes that no driver would send.

mod doors;
mod frames;
mod portals;
mod statements;
mod types;

use std::net::SocketAddr;
use std::sync::Arc;

use dunlin_gateway::GatewayOptions;
use dunlin_manifest::ids::QueryId;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls, SimpleQueryMessage};

use super::site::*;

/// A gateway that serves the protocol.
struct Server {
    running: Running,
    address: SocketAddr,
}

impl Site {
    /// A gateway that serves the protocol.
    async fn postgres(&self, options: GatewayOptions) -> Server {
        let running = self.gateway(None, options).await;
        Server { address: running.postgres, running }
    }
}

/// A session, and the notices that came with it.
struct Talk {
    client: Client,
    notices: Arc<Mutex<Vec<String>>>,
    driving: JoinHandle<Result<(), Error>>,
}

impl Server {
    fn config(&self) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.address.port()).user("tests");
        config
    }

    async fn talk(&self) -> Talk {
        talk(&self.config()).await.unwrap()
    }

    async fn bytes(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

async fn talk(config: &Config) -> Result<Talk, Error> {
    let (client, mut connection) = config.connect(NoTls).await?;
    let notices = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&notices);
    let driving = tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notice(notice) = message? {
                heard.lock().push(notice.message().to_owned());
            }
        }
        Ok(())
    });
    Ok(Talk { client, notices, driving })
}

impl Talk {
    /// The values of the first column as texts, by the simple protocol.
    async fn texts(&self, sql: &str) -> Vec<Option<String>> {
        let messages = self.client.simple_query(sql).await.unwrap();
        let texts = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
            _ => None,
        });
        texts.collect()
    }

    /// The one value of a statement.
    async fn text(&self, sql: &str) -> String {
        let mut texts = self.texts(sql).await;
        assert_eq!(texts.len(), 1, "{sql}");
        texts.remove(0).unwrap()
    }

    /// The SQLSTATE of a statement that fails.
    async fn state(&self, sql: &str) -> String {
        match self.client.simple_query(sql).await {
            Ok(_) => panic!("{sql} is answered"),
            Err(error) => state(&error),
        }
    }

    /// The id in the last notice that has one.
    fn query(&self) -> Option<QueryId> {
        let notices = self.notices.lock();
        let ids = notices.iter().flat_map(|notice| notice.split([' ', ':']));
        ids.filter_map(QueryId::parse).next_back()
    }
}

fn state(error: &Error) -> String {
    error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned())
}
