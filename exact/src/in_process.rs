//! Runs the stages of a query one after the other in this process, decoded from their plan objects, as workers do. If
//! the fleet is wrong and this is right, the error is in the protocol. If both are wrong, it is in the planner or the
//! exchange.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, TaskContext};
use dunlin_manifest::decide::{self, Sealed};
use dunlin_manifest::env::Env;
use dunlin_manifest::ids::QueryId;
use dunlin_manifest::meter::Meter;
use dunlin_manifest::pinned::InputWatch;
use dunlin_manifest::records::{
    Limits, SealedTask, StageManifest, StageSpec, TaskMetrics, TaskOutput,
};
use dunlin_plan::gather::gathered;
use dunlin_plan::stores::Stores;
use dunlin_plan::{functions, session, task};
use dunlin_planner::config::Config;
use dunlin_planner::{PlanError, Planned, Planner, QuerySettings, RouteMode, StageGraph};
use dunlin_shuffle::{
    Buckets, DataTarget, ExchangeInputs, Jobs, ReadGovernor, StageData, TaskWriter, WriterOptions,
    at_once,
};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::memory::InMemory;

/// Bytes of memory of an uncut run.
const INLINE_MEMORY: usize = 4 << 30;

/// A planner over a configuration, and what running its plans needs.
#[derive(Debug)]
pub struct InProcess {
    planner: Planner,
    stores: Stores,
    functions: SessionState,
    env: Env,
}

impl InProcess {
    /// The planner of a configuration, on the runtime that calls this.
    ///
    /// # Panics
    /// The configuration cannot be used.
    #[must_use]
    pub fn open(config: &Config) -> Self {
        Self::over(config, config.open_stores(&tokio::runtime::Handle::current()).unwrap())
    }

    /// The planner of a configuration, over stores that are open.
    ///
    /// # Panics
    /// The configuration cannot be used.
    #[must_use]
    pub fn over(config: &Config, stores: Stores) -> Self {
        Self {
            planner: Planner::open(config, &stores).unwrap(),
            stores,
            functions: functions::session(),
            env: Env::system(),
        }
    }

    /// Plans `sql` for the fleet.
    ///
    /// # Panics
    /// It cannot be planned.
    pub async fn plan(&self, sql: &str, partitions: usize) -> Planned {
        self.try_plan(sql, partitions, RouteMode::Fleet).await.unwrap()
    }

    /// Plans `sql` for a route.
    ///
    /// # Errors
    /// The planner's own.
    pub async fn try_plan(
        &self,
        sql: &str,
        partitions: usize,
        route: RouteMode,
    ) -> Result<Planned, PlanError> {
        let settings = QuerySettings {
            route: Some(route),
            target_partitions: Some(partitions),
            task_bytes: Some(0),
            explain: true,
            ..QuerySettings::default()
        };
        self.planner.plan(&self.planner.parse(sql)?, &[], &settings).await
    }

    /// Runs the plan of `sql` in this process as the gateway's inline route does: not cut and not encoded.
    ///
    /// # Errors
    /// It cannot be planned, or fails.
    pub async fn uncut(&self, sql: &str, partitions: usize) -> Result<Vec<RecordBatch>> {
        let planned = self.try_plan(sql, partitions, RouteMode::Inline).await?;
        let mut rows = vec![RecordBatch::new_empty(Arc::clone(&planned.schema))];
        let plan = self.planner.inline_plan(&planned, &Arc::default(), INLINE_MEMORY)?;
        let mut stream = plan.run()?;
        while let Some(batch) = stream.try_next().await? {
            rows.push(batch);
        }
        Ok(rows)
    }

    /// Plans, encodes, decodes and runs `sql`, with one task for each partition.
    ///
    /// # Panics
    /// It cannot be planned, or fails.
    pub async fn run(&self, sql: &str, partitions: usize) -> Vec<RecordBatch> {
        self.decoded(sql, partitions).await.unwrap()
    }

    /// Plans, encodes, decodes and runs `sql`, with one task for each partition.
    ///
    /// # Errors
    /// It cannot be planned, or fails.
    pub async fn decoded(&self, sql: &str, partitions: usize) -> Result<Vec<RecordBatch>> {
        Ok(self.decided(sql, partitions).await?.0)
    }

    /// As [`InProcess::decoded`], and also returns what was decided for each stage when it could run.
    ///
    /// # Errors
    /// It cannot be planned, or fails.
    pub async fn decided(
        &self,
        sql: &str,
        partitions: usize,
    ) -> Result<(Vec<RecordBatch>, Vec<StageManifest>)> {
        let planned = self.try_plan(sql, partitions, RouteMode::Fleet).await?;
        let graph = planned.graph.as_ref().context("the statement has no stages")?;
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let prefix = object_store::path::Path::from("state");
        let mut inputs = ExchangeInputs::new(
            Arc::clone(&store),
            prefix.clone(),
            self.env.clone(),
            ReadGovernor::default(),
        );
        let query = QueryId::new(&self.env);
        let limits = Limits::default();
        let root = graph.clone().into_submission(&query, &self.env, sql, limits, None).root;
        let mut manifests: Vec<StageManifest> = Vec::new();
        let mut seals: BTreeMap<u32, Sealed> = BTreeMap::new();
        for planned in &root.stages {
            // What a stage does is decided as workers decide it: by the sealed sizes of its inputs.
            let decided = decide::manifest_of(&root, planned, |stage| seals.get(&stage).cloned());
            let decided = decided.context("producers come before consumers")?;
            let spec = planned.decided(decided.manifest.broadcast);
            let mut winners = Vec::new();
            for (number, task) in (0..).zip(&decided.manifest.tasks) {
                let name = format!("s{}/{number}", spec.id);
                let target = DataTarget {
                    store: Arc::clone(&store),
                    prefix: prefix.clone(),
                    key_of: Arc::new(move |part| format!("{name}/{part}.arrow")),
                    ready: at_once(),
                    jobs: Jobs::here(),
                };
                let inputs = match task.share {
                    Some(share) => inputs.clone().with_share(share),
                    None => inputs.clone(),
                };
                let output = self.task(graph, &spec, &task.partitions, &inputs, target).await?;
                winners.push(SealedTask {
                    task: number,
                    attempt: 0,
                    claim: String::new(),
                    worker: String::new(),
                    output,
                    metrics: TaskMetrics::default(),
                });
            }
            let sealed = Sealed::derived(decide::seal(&decided, winners));
            inputs = inputs.with_stage(spec.id, Arc::new(StageData::of(&sealed.seal, None)?));
            seals.insert(spec.id, sealed);
            manifests.push(decided.manifest);
        }
        let last = graph.stages.last().context("a graph has stages")?;
        let pool = self.context(graph, &inputs)?.memory_pool().clone();
        let mut rows = vec![RecordBatch::new_empty(Arc::clone(&planned.schema))];
        for partition in 0..last.partitions {
            let schema = Arc::clone(&planned.schema);
            let mut stream = inputs.open(last.id, partition, schema, &pool)?;
            while let Some(batch) = stream.try_next().await? {
                rows.push(batch);
            }
        }
        Ok((rows, manifests))
    }

    fn context(&self, graph: &StageGraph, inputs: &ExchangeInputs) -> Result<Arc<TaskContext>> {
        let config = session::config(&graph.session)?.with_extension(Arc::new(inputs.clone()));
        let meter = Arc::new(Meter::default());
        let runtime = RuntimeEnvBuilder::new()
            .with_object_store_registry(self.stores.pinned_registry(
                &graph.pins,
                &meter,
                &InputWatch::default(),
            ))
            .build_arc()?;
        Ok(Arc::new(TaskContext::new(
            None,
            "in-process".to_owned(),
            config,
            self.functions.scalar_functions().clone(),
            self.functions.higher_order_functions().clone(),
            self.functions.aggregate_functions().clone(),
            self.functions.window_functions().clone(),
            runtime,
        )))
    }

    async fn task(
        &self,
        graph: &StageGraph,
        spec: &StageSpec,
        partitions: &[u32],
        inputs: &ExchangeInputs,
        target: DataTarget,
    ) -> Result<TaskOutput> {
        let context = self.context(graph, inputs)?;
        let packed = graph.plans.iter().find(|(name, _)| *name == spec.plan);
        let (_, packed) = packed.context("a stage has a plan")?;
        let mut opened = task::open(packed, spec, partitions, &context)?;
        opened.plan = gathered(opened.plan, inputs, None)?;
        let buckets = match &opened.hash {
            Some((exprs, count)) => {
                Buckets::Hash { exprs: exprs.clone(), n: u32::try_from(*count)? }
            }
            None => Buckets::Partitions,
        };
        let reservation = MemoryConsumer::new("writer").register(context.memory_pool());
        let schema = opened.plan.schema();
        let mut options =
            WriterOptions::new(schema, buckets, target, self.env.clone(), reservation);
        options.key_filter = spec.key_filter;
        if let Some((stage, bucket)) = opened.filter {
            options.filter = inputs.key_filter(stage, bucket).await?;
        }
        let mut writer = TaskWriter::new(options)?;
        let mut streams = Vec::with_capacity(partitions.len());
        for &partition in partitions {
            let rows = opened.plan.execute(partition as usize, Arc::clone(&context))?;
            streams.push(rows.map(move |batch| (partition, batch)).boxed());
        }
        let mut rows = futures::stream::select_all(streams);
        while let Some((partition, batch)) = rows.next().await {
            writer.push(partition, batch?).await?;
        }
        Ok(writer.finish().await?)
    }
}
