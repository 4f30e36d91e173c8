//! A gateway inside another command, for that command alone: it listens on loopback, and asks for a key that only the
//! command knows. Other users of the machine can reach the port, and must not read files through it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dunlin_gateway::auth::{KeyOptions, NewKey, Scope, Scopes};
use dunlin_process::{ConfigOptions, cores};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Opened, OwnWorker, Telling, read};
use crate::door;

/// A gateway inside another command.
pub(crate) struct Embedded {
    opened: Opened,
    url: String,
    key: NewKey,
    stopping: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Embedded {
    /// Starts a gateway. Its tasks run in this process, or in `others` that have been or will be started.
    ///
    /// # Errors
    /// A configuration or store that cannot be used.
    pub(crate) fn start(from: &ConfigOptions, others: bool) -> Result<Self> {
        let loaded = read(from)?;
        let config = &loaded.config;
        ensure!(
            !others || !config.state.location.starts_with("memory:"),
            "--fleet needs a state that several processes see, and [state] location is memory://: use a folder or a bucket"
        );
        let key = NewKey::generate()?;
        let scopes: Scopes = Scope::ALL.into_iter().collect();
        let name = "dunlin sql".to_owned();
        let sha256 = key.sha256();
        let only = KeyOptions { name, sha256, scopes, scram: None, workgroup: None };
        let mut door = door::options(&config.gateway, false)?;
        (door.keys, door.oidc, door.tls) = (vec![only], None, None);
        let opened = Opened::of(loaded)?;
        let stopping = CancellationToken::new();
        let (url, tasks) = opened.io.block_on(async {
            // A folder is known to be fit.
            if opened.stores.control_location().is_remote() {
                opened.probe_once().await?;
            }
            let telling = Telling { metrics: None, page: None, spans: None };
            let (hub, wake) = opened.hub(opened.functions().await, &telling);
            let worker = opened.worker(cores(), wake, stopping.clone())?;
            let own = worker.clone();
            let mut tasks = Vec::new();
            if !others {
                tasks.push(tokio::spawn(async move { worker.run().await }));
            }
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .context("no port of this machine can be listened on")?;
            let http: SocketAddr = listener.local_addr()?;
            let url = format!("http://{http}");
            let mut options = opened.gateway_options(http, door)?;
            // Only the processes of this command have the key.
            options.advertise = others.then(|| url.clone());
            let gateway = opened.gateway(Arc::new(OwnWorker(own, Arc::clone(&hub))), hub)?;
            let until = stopping.clone().cancelled_owned();
            let serving = dunlin_gateway::serve(gateway, options, listener, until);
            tasks.push(tokio::spawn(async move {
                if let Err(error) = serving.await {
                    tracing::error!(%error, "the gateway of this process has ended");
                }
            }));
            anyhow::Ok((url, tasks))
        })?;
        Ok(Self { opened, url, key, stopping, tasks })
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The key that it asks for.
    pub(crate) fn key(&self) -> &str {
        self.key.text()
    }

    /// Stops it. Tasks have this much time to be given back.
    pub(crate) fn stop(self, patience: Duration) {
        self.stopping.cancel();
        let Self { opened, tasks, .. } = self;
        opened.io.block_on(async {
            let all = async {
                for task in tasks {
                    let _ = task.await;
                }
            };
            let _ = tokio::time::timeout(patience, all).await;
        });
        opened.end();
    }
}
