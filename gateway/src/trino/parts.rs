//! The parts of the core that the protocol works with. What is done with them is in the modules of the requests.

use std::sync::Arc;
use std::time::Duration;

use super::catalog::Desk;
use super::kept::Kept;
use super::token::{PURPOSE, Token};
use crate::auth::{CodeKey, Principal};
use crate::http::{ApiError, Refusal, pass};
use crate::options::Current;
use crate::query::error::CoreError;
use crate::query::intake::Intake;
use crate::query::queries::Queries;

/// The parts of the core that the protocol uses.
#[derive(Clone, Debug)]
pub(crate) struct Trino {
    pub(super) intake: Arc<Intake>,
    pub(super) queries: Arc<Queries>,
    pub(super) desk: Arc<Desk>,
    /// Segments that are soon asked for.
    pub(super) kept: Arc<Kept>,
    current: Current,
    /// Whether clients of the listener use TLS.
    pub(super) is_tls: bool,
    /// When the gateway started, by its clock.
    pub(super) started: Duration,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) principal: Principal,
    /// Seals and opens this client's tokens.
    pub(super) codes: CodeKey,
}

impl Trino {
    pub(crate) fn new(
        (intake, queries): (Arc<Intake>, Arc<Queries>),
        current: Current,
        is_tls: bool,
    ) -> Self {
        let desk = Arc::new(Desk::new(Arc::clone(&intake), queries.env()));
        let started = queries.now();
        Self { intake, queries, desk, kept: Arc::default(), current, is_tls, started }
    }

    /// The client that a key belongs to.
    ///
    /// # Errors
    /// The key is not configured any more.
    pub(super) fn client(&self, principal: Principal) -> Result<Client, ApiError> {
        let codes = self.current.now().keyring.code_key(&principal, PURPOSE);
        let codes = codes.ok_or(ApiError::Refused(Refusal::Unauthorized))?;
        Ok(Client { principal, codes })
    }

    /// What a client shows instead of its key when it asks for the segment of a token. None where no client needs a key.
    pub(super) fn pass(&self, client: &Client, token: &str) -> Option<String> {
        let now_ms = self.queries.env().clock.wall_ms();
        pass(&self.current.now().keyring, &client.principal, token, now_ms)
    }
}

impl Client {
    /// A token for this client, as a part of an address.
    ///
    /// # Errors
    /// Its statement is too long for one.
    pub(super) fn sealed(&self, token: &Token) -> Result<String, CoreError> {
        token.seal(&self.codes).ok_or_else(|| CoreError::internal("a token is too long"))
    }
}
