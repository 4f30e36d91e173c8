//! The parts of the core that the protocol works with. What is done with them is in the modules of the requests.

use std::sync::Arc;
use std::time::Duration;

use super::catalog::Desk;
use super::token::PURPOSE;
use crate::auth::{CodeKey, Principal};
use crate::http::{ApiError, Refusal};
use crate::options::Current;
use crate::query::intake::Intake;
use crate::query::queries::Queries;

/// The parts of the core that the protocol uses.
#[derive(Clone, Debug)]
pub(crate) struct Trino {
    pub(super) intake: Arc<Intake>,
    pub(super) queries: Arc<Queries>,
    pub(super) desk: Arc<Desk>,
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
        Self { intake, queries, desk, current, is_tls, started }
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
}
