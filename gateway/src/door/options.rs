//! The options of a listener's access control, and the access control made from them.

use std::net::SocketAddr;
use std::sync::Arc;

use super::exposure::{self, Exposed};
use super::limits::DoorLimits;
use crate::auth::{KeyOptions, Keyring, KeyringError, OidcOptions};
use crate::tls::{Tls, TlsError, TlsOptions};

/// The access control of a listener. The default has none, and is for loopback.
#[derive(Clone, Debug, Default)]
pub struct DoorOptions {
    /// Keys of the clients that may send requests. Without keys and issuer, every client may.
    pub keys: Vec<KeyOptions>,
    /// The issuer whose tokens are accepted beside keys.
    pub oidc: Option<OidcOptions>,
    /// Certificates. Without them, the listener uses plain TCP.
    pub tls: Option<TlsOptions>,
    /// What every client may use.
    pub limits: DoorLimits,
    /// Listen on other addresses than loopback even without keys or TLS.
    pub allow_insecure: bool,
}

/// Why a listener cannot or must not be opened. Trying again does not help.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Keys that cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// Certificates that cannot be used.
    #[error("[gateway.tls] cannot be used")]
    Tls(#[from] TlsError),
    /// The listener has no keys or no TLS, and its address is not loopback.
    #[error(transparent)]
    Exposed(#[from] Exposed),
}

impl DoorOptions {
    /// Whether a listener at `address` may be opened with this access control, and whether the access control can be
    /// set up. A program checks this before anything else, and [`serve`](crate::serve) checks it again.
    ///
    /// # Errors
    /// See [`DoorError`].
    pub fn check(&self, address: SocketAddr) -> Result<(), DoorError> {
        Door::new(self, address).map(|_| ())
    }

    /// The same for a gateway that is given requests by something in front of it, which anybody may reach.
    ///
    /// # Errors
    /// See [`DoorError`].
    pub fn check_behind(&self) -> Result<(), DoorError> {
        Door::behind(self).map(|_| ())
    }

    /// The keyring of these keys and this issuer.
    pub(crate) fn keyring(&self) -> Result<Keyring, KeyringError> {
        Ok(Keyring::new(&self.keys)?.with_issuer(self.oidc.as_ref()))
    }

    /// Whether a client must show something.
    fn has_keys(&self) -> bool {
        !self.keys.is_empty() || self.oidc.is_some()
    }
}

/// The access control of a listener.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) keyring: Keyring,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) limits: DoorLimits,
}

impl Door {
    /// Sets up the access control of a listener at `address`, if the listener may be opened with it.
    pub(crate) fn new(options: &DoorOptions, address: SocketAddr) -> Result<Self, DoorError> {
        let (keys, tls) = (options.has_keys(), options.tls.is_some());
        exposure::check(address, keys, tls, options.allow_insecure)?;
        let keyring = options.keyring()?;
        let tls = options.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
        Ok(Self { keyring, tls, limits: options.limits })
    }

    /// The keys of a gateway that is given requests by something in front of it, which anybody may reach.
    pub(crate) fn behind(options: &DoorOptions) -> Result<Keyring, DoorError> {
        exposure::check_keys(options.has_keys(), options.allow_insecure)?;
        Ok(options.keyring()?)
    }
}
