//! Reloads certificate files when they are renewed.

use std::sync::Arc;

use dunlin_manifest::env::Env;
use parking_lot::RwLock;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::files::{Stamps, TlsError, TlsOptions, load};

/// The current certificates of a listener.
pub(crate) struct Tls {
    options: TlsOptions,
    current: RwLock<Arc<ServerConfig>>,
    seen: RwLock<Stamps>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The result of a check of the files.
#[derive(Debug)]
pub(crate) enum Look {
    /// The files have not changed since the last check.
    Same,
    /// They changed, and are in use.
    Renewed,
    /// They changed and cannot be used, so the earlier ones stay in use. Reported once for each change.
    Broken(TlsError),
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(crate) fn open(options: TlsOptions) -> Result<Self, TlsError> {
        // The stamps are taken before the contents are read, so the next check finds a change in between.
        let seen = RwLock::new(Stamps::of(&options));
        let current = RwLock::new(load(&options)?);
        Ok(Self { options, current, seen })
    }

    /// The configuration for the next handshake, in which the client is offered one protocol.
    pub(crate) fn acceptor(&self, protocol: &[u8]) -> TlsAcceptor {
        // Sessions and keys are shared: only the list is another.
        let mut config = ServerConfig::clone(&self.current.read());
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Loads files that have changed. Blocks while it reads them.
    pub(crate) fn look(&self) -> Look {
        let stamps = Stamps::of(&self.options);
        if *self.seen.read() == stamps {
            return Look::Same;
        }
        *self.seen.write() = stamps;
        match load(&self.options) {
            Ok(config) => {
                *self.current.write() = config;
                Look::Renewed
            }
            Err(error) => Look::Broken(error),
        }
    }

    /// Checks the files repeatedly until `stop`.
    pub(crate) async fn watch(self: Arc<Self>, env: Env, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = env.clock.sleep(self.options.look) => {}
            }
            let tls = Arc::clone(&self);
            match env.offload(move || tls.look()).await {
                Some(Look::Same) => {}
                Some(Look::Renewed) => tracing::info!("the certificates were renewed"),
                Some(Look::Broken(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(
                        error,
                        "changed certificate files cannot be used; the earlier certificates stay in use"
                    );
                }
                None => tracing::error!("reading the certificates met a defect"),
            }
        }
    }
}
