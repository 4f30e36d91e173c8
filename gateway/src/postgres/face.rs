//! What all connections of the Postgres protocol share.

use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::env::Env;

use super::cancel::Connections;
use super::catalog::Desk;
use crate::door::{Admission, DoorLimits};
use crate::options::Current;
use crate::query::intake::Intake;
use crate::query::queries::Queries;
use crate::tls::Tls;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Face {
    pub(super) intake: Arc<Intake>,
    pub(super) queries: Arc<Queries>,
    pub(super) desk: Desk,
    pub(super) connections: Arc<Connections>,
    pub(super) current: Current,
    pub(super) admission: Arc<Admission>,
    pub(super) limits: DoorLimits,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) env: Env,
    /// How long rows that this process computes may wait for their client's next FETCH.
    pub(super) patience: Duration,
}

impl Face {
    pub(crate) fn new(
        (intake, queries): (Arc<Intake>, Arc<Queries>),
        (current, admission): (Current, Arc<Admission>),
        limits: DoorLimits,
        env: Env,
        patience: Duration,
    ) -> Self {
        let desk = Desk::new(Arc::clone(&intake), &env);
        let connections = Arc::default();
        Self {
            intake,
            queries,
            desk,
            connections,
            current,
            admission,
            limits,
            tls: None,
            env,
            patience,
        }
    }

    /// The same with the certificates of the listener.
    pub(crate) fn with_tls(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
    }
}
