//! The result of planning: a route, an explanation, and the stages of a query that will be stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::records::{
    Adaptive, EngineFence, Limits, Pin, RECORD_VERSION, ResultSpec, Root, StageSpec, WriteTarget,
};
use dunlin_manifest::submit::Submission;
use serde::Serialize;

use crate::explain::Explained;
use crate::route::{Route, RouteReason};
use crate::statement::StatementKind;

/// How a query would run. It is made where plans are made, because only those threads have the stack for deep plans.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The stages, for people and for programs.
    pub stages: Explained,
    /// The plans, complete, as the engine prints them.
    pub plans: Explain,
}

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
    /// Bytes of the files to be scanned.
    pub scan_bytes: u64,
    /// Bytes that are expected to be read of them.
    pub read_bytes: u64,
    /// The stages, if the query will be stored (fleet, or durable).
    pub graph: Option<StageGraph>,
    /// How it would run, if that was asked for.
    pub explanation: Option<Box<Explanation>>,
    /// Query or EXPLAIN.
    pub statement: StatementKind,
    /// The same files give the same answer: the statement has no `random()` and the like. The time of `now()` is a part of
    /// the plan.
    pub is_repeatable: bool,
    pub(crate) physical: Arc<dyn ExecutionPlan>,
    pub(crate) context: Arc<TaskContext>,
    pub(crate) pins: Arc<[Pin]>,
}

impl Planned {
    /// The whole plan, for comparisons and benchmarks.
    #[must_use]
    pub fn physical(&self) -> &Arc<dyn ExecutionPlan> {
        &self.physical
    }

    /// The files that it reads, in the versions that it reads.
    #[must_use]
    pub fn inputs(&self) -> &[Pin] {
        &self.pins
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
    /// Where its rows are written, if they are.
    pub(crate) write: Option<WriteTarget>,
    /// Settings of the session.
    pub session: BTreeMap<String, String>,
    /// As [`Planned::read_bytes`]. Equal stages run once, and read once.
    pub(crate) read_bytes: u64,
    pub(crate) route: Route,
    pub(crate) route_reason: RouteReason,
    pub(crate) result: ResultSpec,
    pub(crate) engine: EngineFence,
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
            write: self.write,
            plans: BTreeMap::new(),
            explain: self.explain,
            owner: None,
            workgroup: None,
            pool: self.route_reason.pool().map(ToOwned::to_owned),
            trace: None,
            code: None,
        };
        Submission { query: query.clone(), root, plans: self.plans, idem }
    }
}
