//! What every call passes before it is looked at: the key, and the limits of calls in progress.
//!
//! ```text
//!   authorization: Bearer KEY, or Basic with KEY as the password ──> caller ──> bound of the client ──> bound of all
//! ```
//! A token of the issuer stands in the place of a key.
//! The key is shown with every call, so a connection has no identity, and any gateway answers any call.

use std::net::SocketAddr;
use std::sync::Arc;

use dunlin_manifest::env::Clock;
use http::header::AUTHORIZATION;
use tonic::Request;

use super::error::FlightError;
use super::token::PURPOSE;
use crate::auth::{CodeKey, Principal, Scope, Via};
use crate::door::{Admission, Client, Permit, key_or_password};
use crate::options::Current;
use crate::query::audit::Audit;
use crate::query::error::CoreError;
use crate::query::statement::sha256_hex;

/// The path of the call that asks for a token.
pub(super) const HANDSHAKE: &str = "/arrow.flight.protocol.FlightService/Handshake";

/// Who calls.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    principal: Principal,
    /// Seals and opens this caller's tokens.
    pub(super) codes: CodeKey,
}

/// The secret that a Handshake showed. It is given back as the token, and goes nowhere else.
#[derive(Clone)]
pub(super) struct Shown(Arc<str>);

impl Shown {
    /// The value of the header that a client then sends with every call.
    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

/// The state of the guard.
#[derive(Debug)]
pub(super) struct Guard {
    current: Current,
    admission: Arc<Admission>,
    clock: Arc<dyn Clock>,
    audit: Arc<Audit>,
}

impl Guard {
    pub(super) fn new(
        current: Current,
        admission: Arc<Admission>,
        clock: Arc<dyn Clock>,
        audit: Arc<Audit>,
    ) -> Self {
        Self { current, admission, clock, audit }
    }

    /// Admits a call, or says why not. The secret is removed from it.
    pub(super) async fn enter<B: Send>(
        &self,
        request: &mut http::Request<B>,
        peer: SocketAddr,
    ) -> Result<Permit, FlightError> {
        let live = self.current.now();
        let secret = key_or_password(request.headers());
        let via = Via { protocol: "flight_sql", address: peer.ip() };
        let client = live.keyring.client(secret.as_deref(), &self.clock).await;
        let principal = client.map_err(|error| {
            tracing::debug!(%peer, ?error, "a call shows no key that is known");
            self.audit.refused_login(via, error, None);
            FlightError::Unauthorized
        })?;
        let principal = principal.by(via);
        request.headers_mut().remove(AUTHORIZATION);
        let codes = live.keyring.code_key(&principal, PURPOSE).ok_or(FlightError::Unauthorized)?;
        let permit = self.admission.of_client(Client::of(&principal, peer.ip()))?.of_all()?;
        if request.uri().path() == HANDSHAKE {
            // Without keys any word is a token; clients want one that is not empty.
            let shown = secret.filter(|secret| !secret.is_empty());
            let shown = Shown(shown.unwrap_or_else(|| "anyone".to_owned()).into());
            request.extensions_mut().insert(shown);
        }
        request.extensions_mut().insert(Caller { principal, codes });
        Ok(permit)
    }
}

impl Caller {
    /// The client of a call.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, FlightError> {
        let caller = request.extensions().get::<Self>().cloned();
        caller.ok_or_else(|| CoreError::internal("a call passed no guard").into())
    }

    /// The client, whatever its key allows: for what belongs to a query that it may see.
    pub(super) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The client, if its key has `scope`.
    pub(super) fn with(&self, scope: Scope) -> Result<&Principal, FlightError> {
        if self.principal.scopes.has(scope) {
            return Ok(&self.principal);
        }
        Err(if scope == Scope::Write { FlightError::MayNotWrite } else { FlightError::Forbidden })
    }
}

/// The hash of a call's `idempotency-key`.
pub(super) fn idempotency_key<T>(request: &Request<T>) -> Result<Option<String>, FlightError> {
    const LONGEST: usize = 255;
    let Some(value) = request.metadata().get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().unwrap_or_default().trim();
    if key.is_empty() || key.len() > LONGEST {
        return Err(FlightError::invalid(format!(
            "the idempotency-key must have 1 to {LONGEST} visible characters"
        )));
    }
    Ok(Some(sha256_hex(key.as_bytes())))
}
