//! The result of planning: a route, an explanation, and the stages of a query that will be stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::{
    Adaptive, EngineFence, Limits, Pin, RECORD_VERSION, ResultSpec, Root, StageSpec,
};
use dunlin_manifest::submit::Submission;
use serde::Serialize;

use crate::explain::{self, Explained, TableNames};
use crate::route::{Route, RouteReason};
use crate::stages::Stage;
use crate::statement::StatementKind;

/// The three plans, complete, as the engine prints them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explain {
    /// Optimised logical plan.
    pub logical: String,
    /// The whole physical plan, before it is cut.
    pub physical: String,
    /// Stages, tasks, partitions, exchange keys, broadcast sides, the route and why.
    pub distributed: String,
}

/// A planned statement.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The route.
    pub route: Route,
    /// The reason for the route.
    pub route_reason: RouteReason,
    /// Shape of the answer.
    pub schema: SchemaRef,
    /// Estimated bytes to be scanned.
    pub scan_bytes: u64,
    /// The stages, if the query will be stored (fleet, or durable).
    pub graph: Option<StageGraph>,
    /// Query or EXPLAIN.
    pub statement: StatementKind,
    pub(crate) physical: Arc<dyn ExecutionPlan>,
    pub(crate) context: Arc<TaskContext>,
    pub(crate) pins: Vec<Pin>,
    pub(crate) logical: LogicalPlan,
    /// Partitions are added to a task until its input reaches this many bytes.
    pub(crate) task_bytes: u64,
    pub(crate) tables: Arc<TableNames>,
}

impl Planned {
    /// How it would run, for people and for programs.
    #[must_use]
    pub fn explained(&self) -> Explained {
        let of = |stages: &[Stage]| {
            Explained::of(self.route, &self.route_reason, stages, self.task_bytes, &self.tables)
        };
        match &self.graph {
            Some(graph) => of(&graph.cut),
            None => of(&[self.whole()]),
        }
    }

    /// The plans, complete: with every file, and with all that the engine prints.
    #[must_use]
    pub fn explain(&self) -> Explain {
        let distributed = |stages: &[Stage]| {
            explain::distributed(self.route, &self.route_reason, stages, self.task_bytes)
        };
        Explain {
            logical: self.logical.display_indent().to_string(),
            physical: displayable(self.physical.as_ref()).indent(false).to_string(),
            distributed: match &self.graph {
                Some(graph) => distributed(&graph.cut),
                None => distributed(&[self.whole()]),
            },
        }
    }

    fn whole(&self) -> Stage {
        Stage::whole(Arc::clone(&self.physical))
    }

    /// The whole plan, for comparisons and benchmarks.
    #[must_use]
    pub fn physical(&self) -> &Arc<dyn ExecutionPlan> {
        &self.physical
    }
}

/// The stages of a query, encoded.
#[derive(Clone, Debug)]
pub struct StageGraph {
    /// Stages, producers first.
    pub stages: Vec<StageSpec>,
    /// Plan objects by name.
    pub plans: Vec<(String, Bytes)>,
    /// Input files.
    pub pins: Vec<Pin>,
    /// Settings of the session.
    pub session: BTreeMap<String, String>,
    pub(crate) route: Route,
    pub(crate) route_reason: RouteReason,
    pub(crate) result: ResultSpec,
    pub(crate) engine: EngineFence,
    /// The stages as they were cut.
    pub(crate) cut: Arc<[Stage]>,
    pub(crate) explain: String,
}

impl StageGraph {
    /// Number of stages.
    #[must_use]
    pub fn stage_count(&self) -> usize {
        self.stages.len()
    }

    /// Everything that must be written for the query to exist.
    #[must_use]
    pub fn into_submission(
        self,
        query: &QueryId,
        env: &Env,
        sql: &str,
        limits: Limits,
        idem: Option<(String, String)>,
    ) -> Submission {
        let root = Root {
            v: RECORD_VERSION,
            nonce: env.nonce(),
            query: query.to_string(),
            sql: sql.to_owned(),
            session: self.session,
            engine: self.engine,
            route: self.route,
            route_reason: self.route_reason.to_string(),
            stages: self.stages,
            result: self.result,
            pins: self.pins,
            limits,
            adaptive: Adaptive::default(),
            plans: BTreeMap::new(),
            explain: self.explain,
            owner: None,
            trace: None,
        };
        Submission { query: query.clone(), root, plans: self.plans, idem }
    }
}
