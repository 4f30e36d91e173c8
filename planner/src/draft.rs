//! A query that has a plan but no route yet. Cutting and encoding start from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use dunlin_manifest::records::{Pin, ResultSpec, WriteTarget};
use dunlin_plan::config::EngineConfig;
use dunlin_plan::session::EXCHANGE_COMPRESSION;
use dunlin_plan::{fence, wire};

use crate::encode::{EncodedStages, Mangled, StageLimits, WindowFilters, Wire};
use crate::error::PlanError;
use crate::explain::{Explained, TableNames};
use crate::planned::StageGraph;
use crate::route::{Route, RouteReason};
use crate::scans;
use crate::stages::{self, SplitOptions, Stage};

/// A plan before its route is decided.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) physical: Arc<dyn ExecutionPlan>,
    pub(crate) context: Arc<TaskContext>,
    pub(crate) pins: Vec<Pin>,
    pub(crate) scan_bytes: u64,
    /// The filters of its window functions.
    pub(crate) filters: WindowFilters,
    /// The settings that it was planned with.
    pub(crate) session: BTreeMap<String, String>,
    /// Partitions are added to a task until its input reaches this many bytes.
    pub(crate) task_bytes: u64,
    /// Where its rows are written, if they are.
    pub(crate) write: Option<WriteTarget>,
    /// The tables by the places of their files.
    pub(crate) tables: Arc<TableNames>,
}

/// Why a plan has no stages that can be encoded.
#[derive(Debug)]
pub(crate) enum Unwritable {
    /// An operator would change when it is encoded and decoded.
    Mangled(Mangled),
    /// The engine failed.
    Engine(DataFusionError),
}

impl From<Mangled> for Unwritable {
    fn from(mangled: Mangled) -> Self {
        Self::Mangled(mangled)
    }
}

impl From<DataFusionError> for Unwritable {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(error)
    }
}

impl Unwritable {
    /// The error of a query that cannot run in another way. `explained` gives the text of what would have been
    /// encoded.
    pub(crate) fn refused(self, explained: impl FnOnce(String) -> String) -> PlanError {
        match self {
            Self::Mangled(Mangled { operator, difference }) => {
                PlanError::Unsupported { operator, reason: explained(difference) }
            }
            Self::Engine(error) => PlanError::from_planning(error),
        }
    }
}

impl Draft {
    /// Cuts the plan into stages for the fleet, and encodes them.
    pub(crate) fn on_fleet(
        &self,
        reason: RouteReason,
        engine: &EngineConfig,
        compression: &str,
    ) -> Result<(StageGraph, Vec<Stage>), Unwritable> {
        if self.physical.exists(|node| Ok(node.is::<RecursiveQueryExec>()))? {
            return Err(Unwritable::Mangled(Mangled {
                operator: "RecursiveQueryExec".to_owned(),
                difference: "a recursive query keeps its rows in one process's memory".to_owned(),
            }));
        }
        let options = SplitOptions {
            runtime_filters: engine.runtime_filters,
            sealed_broadcast: engine.sealed_broadcast_bytes > 0,
            most_slices: engine.exchange_slices,
        };
        let stages = stages::split(Arc::clone(&self.physical), options)?;
        let graph = self.written(&stages, Route::Fleet, reason, engine, compression)?;
        Ok((graph, stages))
    }

    /// Encodes the plan as one stage, for the process that made it.
    pub(crate) fn whole(
        &self,
        reason: RouteReason,
        engine: &EngineConfig,
        compression: &str,
    ) -> Result<StageGraph, Unwritable> {
        self.written(&[self.as_one()], Route::Inline, reason, engine, compression)
    }

    /// The plan as one stage.
    pub(crate) fn as_one(&self) -> Stage {
        Stage::whole(Arc::clone(&self.physical))
    }

    /// How the plan would run as these stages.
    pub(crate) fn explained(
        &self,
        route: Route,
        reason: &RouteReason,
        stages: &[Stage],
    ) -> Explained {
        Explained::of(route, reason, stages, self.task_bytes, &self.tables)
    }

    fn written(
        &self,
        stages: &[Stage],
        route: Route,
        reason: RouteReason,
        engine: &EngineConfig,
        compression: &str,
    ) -> Result<StageGraph, Unwritable> {
        let wire = Wire { context: &self.context, filters: &self.filters };
        let limits = StageLimits {
            task_bytes: self.task_bytes,
            broadcast_bytes: engine.sealed_broadcast_bytes,
        };
        let EncodedStages { specs, plans } = EncodedStages::of(stages, wire, limits)?;
        let runtime = self.context.runtime_env();
        let read = stages.iter().map(|stage| scans::read(&stage.plan, &runtime));
        let read_bytes = read.sum::<Result<u64, DataFusionError>>()?;
        let mut session = self.session.clone();
        session.insert(EXCHANGE_COMPRESSION.to_owned(), compression.to_owned());
        Ok(StageGraph {
            stages: specs,
            plans,
            pins: self.pins.clone(),
            write: self.write.clone(),
            session,
            read_bytes,
            route,
            result: ResultSpec { schema: wire::schema_to_text(&self.physical.schema())? },
            engine: fence::current()?,
            explain: self.explained(route, &reason, stages).text(),
            route_reason: reason,
        })
    }
}
