//! Answers statements about the catalog and the session.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::CatalogProvider;
use datafusion::catalog::memory::MemoryCatalogProvider;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion_pg_catalog::pg_catalog::context::{PgCatalogContextProvider, Role};
use datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use dunlin_manifest::env::Env;
use dunlin_planner::{Grants, PlanError, SYSTEM_SCHEMA, Signature};

use super::functions;
use super::information::Information;
use super::rewritten;
use super::who::{DATABASE, Who};
use crate::catalog::{ByGrants, Names, SystemNames, session};
use crate::query::error::CoreError;
use crate::query::intake::Intake;

/// Answers statements about the catalog and the session.
#[derive(Debug)]
pub(in crate::postgres) struct Desk {
    intake: Arc<Intake>,
    opened: ByGrants<Opened>,
}

/// What all statements of clients with the same grants share. It is made when the first client asks.
struct Opened {
    base: SessionState,
    parser: PostgresCompatibilityParser,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

/// The one role that owns everything.
#[derive(Clone, Debug)]
struct Roles;

#[async_trait]
impl PgCatalogContextProvider for Roles {
    async fn roles(&self) -> Vec<String> {
        vec![DATABASE.to_owned()]
    }

    async fn role(&self, name: &str) -> Option<Role> {
        (name == DATABASE).then(|| Role {
            name: name.to_owned(),
            is_superuser: false,
            can_login: true,
            can_create_db: false,
            can_create_role: false,
            can_create_user: false,
            can_replication: false,
            grants: Vec::new(),
            inherited_roles: Vec::new(),
        })
    }
}

impl Desk {
    pub(in crate::postgres) fn new(intake: Arc<Intake>, env: &Env) -> Self {
        let opened = ByGrants::new(Arc::clone(&intake), Arc::clone(&env.clock));
        Self { intake, opened }
    }

    /// What a statement takes and returns.
    pub(in crate::postgres) async fn signature(
        &self,
        sql: String,
        declared: Vec<Option<DataType>>,
        who: Who,
    ) -> Result<Signature, CoreError> {
        let opened = self.open(&who.grants).await?;
        let planner = self.intake.live().planner.clone();
        self.intake
            .think(move || async move {
                planner.measure(&sql)?;
                let (state, plan) = opened.plan(&sql, &who).await?;
                session::signature(&state, plan, &declared)
            })
            .await
    }

    /// The rows of a statement.
    pub(in crate::postgres) async fn run(
        &self,
        sql: String,
        values: Vec<ScalarValue>,
        who: Who,
    ) -> Result<SendableRecordBatchStream, CoreError> {
        let opened = self.open(&who.grants).await?;
        let planner = self.intake.live().planner.clone();
        let ready = self
            .intake
            .think(move || async move {
                planner.measure(&sql)?;
                let (state, plan) = opened.plan(&sql, &who).await?;
                session::ready(&state, plan, values).await
            })
            .await?;
        self.intake.run_beside(ready.plan, ready.context, session::PATIENCE).await
    }

    /// What all statements with these grants share, with the tables of this moment.
    async fn open(&self, grants: &Grants) -> Result<Arc<Opened>, CoreError> {
        self.opened.get(grants, Opened::new).await
    }
}

impl Opened {
    fn new(names: Arc<Names>, memory: usize) -> Result<Self, PlanError> {
        let planning = PlanError::from_planning;
        let context = session::context(memory, DATABASE, "public")?;
        let catalog = Arc::new(MemoryCatalogProvider::new());
        let information = Arc::new(Information { names: Arc::clone(&names) });
        catalog.register_schema("public", names).map_err(planning)?;
        catalog.register_schema("information_schema", information).map_err(planning)?;
        catalog.register_schema(SYSTEM_SCHEMA, Arc::new(SystemNames)).map_err(planning)?;
        context.register_catalog(DATABASE, catalog);
        setup_pg_catalog(&context, DATABASE, Roles).map_err(|error| planning(*error))?;
        Ok(Self { base: context.state(), parser: PostgresCompatibilityParser::new() })
    }

    /// The session of one statement, and its plan.
    async fn plan(&self, sql: &str, who: &Who) -> Result<(SessionState, LogicalPlan), PlanError> {
        let planning = PlanError::from_planning;
        let mut state = SessionStateBuilder::new_from_existing(self.base.clone()).build();
        functions::add(&mut state, who).map_err(planning)?;
        let parsed = self.parser.parse(&rewritten::text(sql));
        let mut parsed =
            parsed.map_err(|error| planning(DataFusionError::SQL(Box::new(error), None)))?;
        let (Some(mut statement), true) = (parsed.pop(), parsed.is_empty()) else {
            return Err(PlanError::Setting("one statement is expected".to_owned()));
        };
        rewritten::statement(&mut statement);
        let plan = session::query(&state, statement).await?;
        Ok((state, plan))
    }
}
