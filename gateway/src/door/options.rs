//! How a listener is locked, and the locks once they are made.

use std::net::SocketAddr;
use std::sync::Arc;

use super::exposure::{self, Exposed};
use super::limits::DoorLimits;
use crate::auth::{KeyOptions, Keyring, KeyringError};
use crate::tls::{Tls, TlsError, TlsOptions};

/// How a listener is locked. The default has no locks and is for loopback.
#[derive(Clone, Debug, Default)]
pub struct DoorOptions {
    /// Whose requests are answered; everybody's, if there are none.
    pub keys: Vec<KeyOptions>,
    /// Certificates; plain TCP, if there are none.
    pub tls: Option<TlsOptions>,
    /// What every client may take.
    pub limits: DoorLimits,
    /// Listen off loopback even without keys or without TLS.
    pub allow_insecure: bool,
}

/// Why a door cannot be made or must not be opened. None of them passes by itself.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Keys that cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// Certificates that cannot be used.
    #[error("[gateway.tls] cannot be used")]
    Tls(#[from] TlsError),
    /// A door without locks, off loopback.
    #[error(transparent)]
    Exposed(#[from] Exposed),
}

impl DoorOptions {
    /// Whether a listener at `address` may be opened with these locks, and whether they can be made: a program
    /// asks before it does anything else, and [`serve`](crate::serve) asks again.
    ///
    /// # Errors
    /// See [`DoorError`].
    pub fn check(&self, address: SocketAddr) -> Result<(), DoorError> {
        Door::new(self, address).map(|_| ())
    }
}

/// The locks of a listener.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) keyring: Keyring,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) limits: DoorLimits,
}

impl Door {
    /// Makes the locks of a listener at `address`, if it may be opened with them.
    pub(crate) fn new(options: &DoorOptions, address: SocketAddr) -> Result<Self, DoorError> {
        let (keys, tls) = (!options.keys.is_empty(), options.tls.is_some());
        exposure::check(address, keys, tls, options.allow_insecure)?;
        let keyring = Keyring::new(&options.keys)?;
        let tls = options.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
        Ok(Self { keyring, tls, limits: options.limits })
    }
}
