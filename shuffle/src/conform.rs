//! An operator that passes rows on under another schema, in places where DataFusion would use a cast that its wire
//! form does not keep.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::TryStreamExt;

use crate::batch::conform;
use crate::children::{only, rebuild};

/// Returns the rows of its input under a schema that differs only in names, nullability or metadata of fields. It
/// keeps the order, the partitions and everything else of its input.
///
/// A union needs one schema for all its branches. It wraps a branch with another schema in a cast to the same type
/// and another *field*. datafusion-proto encodes the type of a cast but not its field, so the decoded branch has its
/// old schema and is wrapped again. This operator replaces that cast.
#[derive(Debug, Clone)]
pub struct ConformExec {
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl ConformExec {
    /// `input` under `schema`.
    ///
    /// # Errors
    /// Another number of columns, or other types.
    pub fn try_new(input: Arc<dyn ExecutionPlan>, schema: SchemaRef) -> Result<Self> {
        let own = input.schema();
        let same_names = own.fields().len() == schema.fields().len()
            && own.fields().iter().zip(schema.fields()).all(|(a, b)| a.name() == b.name());
        let properties = input.properties();
        let equivalences = properties.eq_properties.clone().with_new_schema(Arc::clone(&schema))?;
        let partitioning = match &properties.partitioning {
            // Expressions use the old names of columns.
            Partitioning::Hash(..) | Partitioning::Range(..) if !same_names => {
                Partitioning::UnknownPartitioning(properties.partitioning.partition_count())
            }
            known => known.clone(),
        };
        let properties = PlanProperties::new(
            equivalences,
            partitioning,
            properties.emission_type,
            properties.boundedness,
        )
        .with_scheduling_type(properties.scheduling_type);
        Ok(Self { input, schema, properties: Arc::new(properties) })
    }

    /// The operator whose rows are passed on.
    #[must_use]
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

impl DisplayAs for ConformExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<String> = self
            .schema
            .fields()
            .iter()
            .map(|field| format!("{}{}", field.name(), if field.is_nullable() { "?" } else { "" }))
            .collect();
        write!(f, "ConformExec: [{}]", fields.join(", "))
    }
}

impl ExecutionPlan for ConformExec {
    fn name(&self) -> &'static str {
        "ConformExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = only(self.name(), children)?;
        Ok(Arc::new(Self::try_new(input, Arc::clone(&self.schema))?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        rebuild(self, children)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = Arc::clone(&self.schema);
        let rows = self.input.execute(partition, context)?.and_then(move |batch| {
            std::future::ready(conform(batch, &schema).map_err(DataFusionError::from))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows)))
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let [input] = only(self.name(), inputs.to_vec())?;
        Ok(input)
    }
}
