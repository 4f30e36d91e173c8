//! Keeping up with certificate files that somebody renews.

use std::sync::Arc;

use dunlin_manifest::env::Env;
use parking_lot::RwLock;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::files::{Stamps, TlsError, TlsOptions, load};

/// The certificates of a listener, as they are now.
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

/// What a look at the files came to.
#[derive(Debug)]
pub(crate) enum Look {
    /// As they were at the last look.
    Same,
    /// They changed, and are in use.
    Renewed,
    /// They changed, cannot be used, and the earlier ones go on. Said once for each change.
    Broken(TlsError),
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(crate) fn open(options: TlsOptions) -> Result<Self, TlsError> {
        // Stamps before contents: a change in between is found at the next look.
        let seen = RwLock::new(Stamps::of(&options));
        let current = RwLock::new(load(&options)?);
        Ok(Self { options, current, seen })
    }

    /// What the next handshake uses.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read()))
    }

    /// Takes up files that have changed. Blocks for the time of reading them.
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

    /// Looks at the files again and again until `stop`.
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
