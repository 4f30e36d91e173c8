//! Scans of JSON files of which each is one array of objects.
//!
//! The engine's own source can read them, but does not say that it does, and would be cut into pieces like a file of
//! lines. This one is the same source with both mended.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource, JsonSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::proto::ExecutionPlanEncodeCtx;
use datafusion_proto::protobuf::PhysicalPlanNode;
use object_store::ObjectStore;

/// A source of JSON files of which each is one array.
#[derive(Clone)]
pub struct JsonArrays(JsonSource);

impl std::fmt::Debug for JsonArrays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonArrays").finish_non_exhaustive()
    }
}

impl JsonArrays {
    /// Reads arrays where `source` would read lines.
    #[must_use]
    pub fn of(source: JsonSource) -> Self {
        Self(source.with_newline_delimited(false))
    }

    fn again(source: &dyn FileSource) -> Option<Arc<dyn FileSource>> {
        let source = source.downcast_ref::<JsonSource>()?;
        Some(Arc::new(Self(source.clone())))
    }
}

impl FileSource for JsonArrays {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.0.create_file_opener(object_store, base_config, partition)
    }

    fn table_schema(&self) -> &TableSchema {
        self.0.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let source = self.0.with_batch_size(batch_size);
        Self::again(source.as_ref()).unwrap_or_else(|| Arc::new(self.clone()))
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.0.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.0.metrics()
    }

    fn file_type(&self) -> &'static str {
        "json"
    }

    /// An array cannot be read from its middle.
    fn repartitioned(
        &self,
        _: usize,
        _: usize,
        _: Option<LexOrdering>,
        _: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        Ok(None)
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let pushed = self.0.try_pushdown_projection(projection)?;
        Ok(pushed.and_then(|source| Self::again(source.as_ref())))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.0.apply_expressions(f)
    }

    /// The wire form of lines. Whoever encodes it says beside it that it is arrays.
    fn try_to_proto(
        &self,
        base: &FileScanConfig,
        ctx: &ExecutionPlanEncodeCtx<'_>,
    ) -> Result<Option<PhysicalPlanNode>> {
        self.0.try_to_proto(base, ctx)
    }
}
