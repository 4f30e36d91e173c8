//! The requests of the exchange, and the memory it holds.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
use futures::StreamExt;

use super::support::*;
use crate::*;

#[tokio::test]
async fn a_part_costs_one_put_and_a_slice_one_get() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let mut outputs = Vec::new();
    for task in 0..3i64 {
        let rows = table(task * 10_000..task * 10_000 + 10_000);
        let mut settings = options(&store, &schema, by(&schema, "k", 16), task as u32);
        settings.batch_size = 128;
        settings.part_bytes = 200_000;
        outputs.push(write(settings, &on(0, cut(&rows, 1000))).await);
    }
    let parts: usize = outputs.iter().map(|output| output.objects.len()).sum();
    let slices: usize = outputs.iter().map(|output| output.slices.len()).sum();
    let bytes: u64 = outputs.iter().map(|output| output.bytes).sum();
    assert!(parts > 3);
    assert_eq!(store.puts(), parts as u64);
    let inputs = inputs(&store, outputs);
    for bucket in 0..16 {
        read(&inputs, bucket, &schema).await;
    }
    assert_eq!(store.gets(), slices as u64);
    let counters = inputs.counters();
    assert_eq!(counters.gets.load(Ordering::Relaxed), slices as u64);
    assert_eq!(counters.bytes.load(Ordering::Relaxed), bytes);
    assert_eq!(counters.rows.load(Ordering::Relaxed), 30_000);
}

#[tokio::test]
async fn a_small_output_costs_no_request() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let mut settings = options(&store, &schema, by(&schema, "k", 4), 0);
    settings.inline_limit = 64 << 10;
    let output = write(settings, &on(0, vec![table(0..100)])).await;
    assert!(output.objects.is_empty() && !output.inline.is_empty());
    assert!(output.slices.iter().all(|slice| slice.object.is_none()));
    let inputs = inputs(&store, vec![output]);
    let mut found = Vec::new();
    for bucket in 0..4 {
        found.extend(keys(&read(&inputs, bucket, &schema).await));
    }
    found.sort_unstable();
    assert_eq!(found, (0..100).collect::<Vec<_>>());
    assert_eq!((store.puts(), store.gets()), (0, 0));
}

#[tokio::test]
async fn nothing_is_fetched_before_the_first_poll() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let output =
        write(options(&store, &schema, Buckets::Partitions, 0), &on(0, vec![table(0..100)])).await;
    let inputs = inputs(&store, vec![output]);
    drop(inputs.open(0, 0, schema, &pool()).unwrap());
    assert_eq!(store.gets(), 0);
}

#[tokio::test]
async fn many_tiny_slices_arrive_as_full_batches() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let mut outputs = Vec::new();
    for task in 0..100i64 {
        let rows = table(task * 100..task * 100 + 100);
        outputs.push(
            write(options(&store, &schema, Buckets::Partitions, task as u32), &on(0, vec![rows]))
                .await,
        );
    }
    let inputs = inputs(&store, outputs);
    let sizes: Vec<usize> =
        batches(&inputs, 0, &schema).await.unwrap().iter().map(|batch| batch.num_rows()).collect();
    assert_eq!(sizes, vec![8192, 10_000 - 8192]);
    assert_eq!(keys(&read(&inputs, 0, &schema).await), (0..10_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reader_that_is_not_polled_does_not_starve_another() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let mut outputs = Vec::new();
    for task in 0..10 {
        let pushes = [on(0, vec![table(0..500)]), on(1, vec![table(0..500)])].concat();
        outputs.push(write(options(&store, &schema, Buckets::Partitions, task), &pushes).await);
    }
    // Room for less than one slice at a time.
    let limits = ReadLimits { in_flight_bytes: 1024, batch_rows: 100, ..ReadLimits::default() };
    let inputs = inputs_with(&store, outputs, limits);
    let mut idle = inputs.open(0, 0, Arc::clone(&schema), &pool()).unwrap();
    assert!(idle.next().await.is_some());
    assert_eq!(read(&inputs, 1, &schema).await.num_rows(), 5000);
    assert!(idle.next().await.is_some());
}

#[tokio::test]
async fn a_refused_reservation_writes_a_part_early_and_all_memory_is_given_back() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(6 << 20));
    let mut settings = options(&store, &schema, by(&schema, "k", 8), 0);
    settings.reservation = MemoryConsumer::new("writer").register(&pool);
    let mut writer = TaskWriter::new(settings).unwrap();
    for step in 0..100i64 {
        writer.push(0, table(step * 8192..step * 8192 + 8192)).await.unwrap();
        assert!(pool.reserved() <= 7 << 20, "{} reserved", pool.reserved());
    }
    assert!(writer.parts() >= 2, "{} parts", writer.parts());
    let output = writer.finish().await.unwrap();
    assert_eq!(pool.reserved(), 0);
    assert_eq!(output.rows, 100 * 8192);
    let inputs = inputs(&store, vec![output]);
    let mut found = 0;
    for bucket in 0..8 {
        let mut stream = inputs.open(0, bucket, Arc::clone(&schema), &pool).unwrap();
        while let Some(batch) = stream.next().await {
            found += batch.unwrap().num_rows();
        }
    }
    assert_eq!(found, 100 * 8192);
    assert_eq!(pool.reserved(), 0);
}

#[tokio::test]
async fn an_aborted_attempt_leaves_no_parts() {
    let (store, schema) = (TestStore::memory(), table_schema());
    let mut settings = options(&store, &schema, Buckets::Partitions, 0);
    settings.part_bytes = 1000;
    settings.batch_size = 100;
    let mut writer = TaskWriter::new(settings).unwrap();
    writer.push(0, table(0..1000)).await.unwrap();
    assert!(writer.parts() > 0);
    writer.abort().await;
    let left: Vec<_> = object_store::ObjectStore::list(store.as_ref(), None).collect().await;
    assert!(left.is_empty());
}
