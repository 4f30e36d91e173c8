//! What goes on beside the plan: encoding, PUTs, and reads for the next task.

use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use futures::FutureExt;
use tokio::sync::oneshot;

use super::support::*;
use crate::*;

/// A place for parts that waits until it is told to begin.
fn waiting() -> (oneshot::Sender<Result<(), String>>, Ready) {
    let (begin, told) = oneshot::channel::<Result<(), String>>();
    let ready = async move { told.await.unwrap_or_else(|_| Err("nobody told".to_owned())) };
    (begin, ready.boxed().shared())
}

#[tokio::test]
async fn compressed_rows_arrive_in_their_order_whatever_is_encoded_meanwhile() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let mut settings = options(&store, &schema, Buckets::Partitions, 0);
    settings.compression = Compression::Lz4;
    settings.part_bytes = 1 << 20;
    let mut writer = TaskWriter::new(settings).unwrap();
    // Some 60 MB of rows, so that many batches are handed over.
    let rows = 100 * 8_192;
    for from in (0..rows).step_by(8_192) {
        for partition in 0..2 {
            writer.push(partition, table(from..from + 8_192)).await.unwrap();
        }
    }
    assert!(writer.parts() > 1, "{} parts", writer.parts());
    let output = writer.finish().await.unwrap();
    let inputs = inputs(&store, vec![output]);
    for partition in 0..2 {
        let found = keys(&read(&inputs, partition, &schema).await);
        assert!(found.into_iter().eq(0..rows), "partition {partition}");
    }
}

#[tokio::test]
async fn rows_are_taken_while_a_part_is_on_its_way() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let mut settings = options(&store, &schema, Buckets::Partitions, 0);
    (settings.part_bytes, settings.batch_size) = (100_000, 1_000);
    let (begin, ready) = waiting();
    settings.target.ready = ready;
    let mut writer = TaskWriter::new(settings).unwrap();
    let mut from = 0;
    while writer.parts() == 0 {
        writer.push(0, table(from..from + 1_000)).await.unwrap();
        from += 1_000;
    }
    let held = writer.held_bytes();
    assert!(held >= 100_000, "{held} bytes are held");
    // The first part waits, and rows of the second one are taken.
    writer.push(0, table(from..from + 1_000)).await.unwrap();
    assert_eq!((store.puts(), writer.parts()), (0, 1));
    begin.send(Ok(())).unwrap();
    let output = writer.finish().await.unwrap();
    assert_eq!(output.objects.len() as u64, store.puts());
    let found = keys(&read(&inputs(&store, vec![output]), 0, &schema).await);
    assert!(found.into_iter().eq(0..from + 1_000));
}

#[tokio::test]
async fn a_part_that_may_not_be_written_is_an_error_and_never_a_part() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let mut settings = options(&store, &schema, Buckets::Partitions, 0);
    settings.part_bytes = 1;
    let (begin, ready) = waiting();
    settings.target.ready = ready;
    let mut writer = TaskWriter::new(settings).unwrap();
    writer.push(0, table(0..8_192)).await.unwrap();
    begin.send(Err("the claim was not won".to_owned())).unwrap();
    let error = writer.finish().await.unwrap_err();
    assert!(matches!(error, ShuffleError::NotReady(_)), "{error}");
    assert_eq!(store.puts(), 0);
}

/// Two tasks that wrote buckets 0 to 3 as objects.
async fn two_tasks(store: &Arc<TestStore>) -> ExchangeInputs {
    let schema = table_schema();
    let mut outputs = Vec::new();
    for task in 0..2 {
        let settings = options(store, &schema, by(&schema, "k", 4), task);
        let rows = table(i64::from(task) * 1_000..i64::from(task) * 1_000 + 1_000);
        outputs.push(write(settings, &on(0, vec![rows])).await);
    }
    inputs(store, outputs)
}

#[tokio::test]
async fn what_is_read_early_is_not_read_again() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let inputs = two_tasks(&store).await;
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(64 << 20));
    inputs.read_early([(0, 1)], &pool, 1 << 20).unwrap();
    while store.gets() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(pool.reserved() > 0);
    // The task begins, and asks for the same.
    inputs.read_ahead([(0, 1)], &pool).unwrap();
    let found = read(&inputs, 1, &schema).await;
    assert!(found.num_rows() > 0);
    assert_eq!((store.gets(), pool.reserved()), (2, 0));
}

#[tokio::test]
async fn what_was_read_for_a_task_of_another_is_dropped_with_its_memory() {
    let store = TestStore::memory();
    let inputs = two_tasks(&store).await;
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(64 << 20));
    inputs.read_early([(0, 1), (0, 2)], &pool, 1 << 20).unwrap();
    drop(inputs);
    while pool.reserved() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // No more than it may have.
    let inputs = two_tasks(&store).await;
    let gets = store.gets();
    inputs.read_early([(0, 1), (0, 2)], &pool, 1).unwrap();
    assert_eq!((store.gets(), pool.reserved()), (gets, 0));
}
