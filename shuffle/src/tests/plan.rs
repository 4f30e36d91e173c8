//! The reader as a leaf of a plan.

use std::sync::Arc;

use arrow_schema::SortOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalSortExpr};
use datafusion::physical_plan::{ExecutionPlan, Partitioning, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;

use super::support::*;
use crate::*;
use arrow::array::RecordBatch;

fn context(inputs: ExchangeInputs) -> Arc<TaskContext> {
    let config = SessionConfig::new().with_extension(Arc::new(inputs));
    SessionContext::new_with_config(config).task_ctx()
}

fn reader(stage: u32, partitions: usize, ordered: bool) -> Arc<dyn ExecutionPlan> {
    let schema = table_schema();
    let mut eq = EquivalenceProperties::new(Arc::clone(&schema));
    if ordered {
        eq.add_ordering([PhysicalSortExpr::new(
            col("k", &schema).unwrap(),
            SortOptions::default(),
        )]);
    }
    Arc::new(
        ExchangeReaderExec::new(stage, schema, Partitioning::UnknownPartitioning(partitions), eq)
            .unwrap(),
    )
}

fn shuffle_error(error: DataFusionError) -> ShuffleError {
    match error {
        DataFusionError::External(inner) => *inner.downcast().unwrap(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_partition_gives_the_same_rows_each_time_it_is_executed() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let output =
        write(options(&store, &schema, by(&schema, "k", 3), 0), &on(0, cut(&table(0..5000), 500)))
            .await;
    let context = context(inputs(&store, vec![output]));
    let plan = reader(0, 3, false);
    let mut rows = 0;
    for partition in 0..3 {
        let first: Vec<_> =
            plan.execute(partition, Arc::clone(&context)).unwrap().try_collect().await.unwrap();
        let again: Vec<_> =
            plan.execute(partition, Arc::clone(&context)).unwrap().try_collect().await.unwrap();
        assert_eq!(join(&schema, &first), join(&schema, &again));
        rows += join(&schema, &first).num_rows();
    }
    assert_eq!(rows, 5000);
    assert_eq!(plan.metrics().unwrap().output_rows(), Some(10_000));
    assert!(plan.execute(3, context).is_err());
}

#[tokio::test]
async fn a_session_without_the_stage_is_a_clear_error() {
    let plain = SessionContext::new().task_ctx();
    let error = shuffle_error(reader(0, 1, false).execute(0, plain).err().unwrap());
    assert!(matches!(error, ShuffleError::NoInputs));
    let context = context(inputs(&TestStore::memory(), vec![]));
    let error = shuffle_error(reader(7, 1, false).execute(0, context).err().unwrap());
    assert_eq!(error.to_string(), "no exchange data of stage 7: the task's inputs name stages [0]");
}

#[tokio::test]
async fn several_runs_are_never_passed_off_as_one_order() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let one =
        write(options(&store, &schema, Buckets::Partitions, 0), &on(0, vec![table(0..10)])).await;
    let two =
        write(options(&store, &schema, Buckets::Partitions, 1), &on(1, vec![table(0..10)])).await;
    let apart = context(inputs(&store, vec![one.clone(), two]));
    assert!(reader(0, 2, true).execute(1, apart).is_ok());
    let together = context(inputs(&store, vec![one.clone(), one]));
    assert!(reader(0, 2, false).execute(0, Arc::clone(&together)).is_ok());
    let error = shuffle_error(reader(0, 2, true).execute(0, together).err().unwrap());
    assert!(matches!(error, ShuffleError::Unordered { tasks: 2, .. }));
}

#[test]
fn explain_shows_stage_partitions_and_order() {
    let line = |plan: &dyn ExecutionPlan| displayable(plan).one_line().to_string();
    assert_eq!(
        line(reader(3, 16, false).as_ref()).trim(),
        "ExchangeReaderExec: stage=3, partitions=16"
    );
    assert_eq!(
        line(reader(3, 16, true).as_ref()).trim(),
        "ExchangeReaderExec: stage=3, partitions=16, ordering=[k@0 ASC]"
    );
}

#[test]
fn the_codec_can_read_back_what_a_reader_was_made_of() {
    let plan = reader(3, 16, true);
    let reader = plan.downcast_ref::<ExchangeReaderExec>().unwrap();
    assert_eq!(reader.stage(), 3);
    assert_eq!(reader.schema(), table_schema());
    assert_eq!(reader.partitioning().partition_count(), 16);
    assert!(reader.eq_properties().output_ordering().is_some());
}

/// Rows 0..1000 filtered by the filters of build tasks with the given keys; `with` says which tasks wrote a filter.
async fn filtered(builds: &[(RecordBatch, bool)]) -> Vec<i64> {
    let (store, schema) = (TestStore::memory(), table_schema());
    let mut outputs = Vec::new();
    for (number, (rows, with)) in (0u32..).zip(builds) {
        let mut options = options(&store, &schema, by(&schema, "k", 3), number);
        options.key_filter = *with;
        outputs.push(write(options, &on(0, vec![rows.clone()])).await);
    }
    let probe =
        write(options(&store, &schema, Buckets::Partitions, 99), &on(0, vec![table(0..1000)]))
            .await;
    let inputs =
        inputs(&store, outputs).with_stage(1, Arc::new(StageData::new(vec![probe]).unwrap()));
    let key = col("k", &schema).unwrap();
    let plan = Arc::new(KeyFilterExec::new(reader(1, 1, true), 0, 3, vec![key]));
    assert!(plan.properties().output_ordering().is_some(), "order is kept");
    let rows: Vec<_> = plan.execute(0, context(inputs)).unwrap().try_collect().await.unwrap();
    keys(&join(&schema, &rows))
}

#[tokio::test]
async fn a_probe_row_is_dropped_only_if_no_build_task_has_its_key() {
    let kept =
        filtered(&[(table(100..200), true), (table(0..0), true), (table(500..510), true)]).await;
    let built = (100..200).chain(500..510);
    assert!(built.clone().all(|key| kept.contains(&key)));
    assert!(kept.len() < 200, "{} rows pass", kept.len());
    assert!(kept.is_sorted());
    assert!(filtered(&[(table(0..0), true)]).await.is_empty());
}

#[tokio::test]
async fn a_build_task_without_a_filter_lets_every_row_pass() {
    let kept = filtered(&[(table(100..200), true), (table(300..301), false)]).await;
    assert_eq!(kept, (0..1000).collect::<Vec<_>>());
}
