//! Which processes may act on a query.
//!
//! Serialised plans are stable only within one DataFusion version, and so is the hash that places rows in buckets.
//! The fence holds both: the name of the version, and the result of the hash for a fixed batch. It also holds a hash of
//! Dunlin's own sources that define records, decisions, plans and the exchange (`build.rs`): two builds that differ in
//! these never act on the same query.

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::error::Result as DfResult;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::repartition::BatchPartitioner;
use dunlin_manifest::records::EngineFence;

/// The fence of this process.
///
/// # Errors
/// Hashing a batch failed, which means that the engine cannot be used at all.
pub fn current() -> DfResult<EngineFence> {
    static FENCE: OnceLock<EngineFence> = OnceLock::new();
    if let Some(fence) = FENCE.get() {
        return Ok(fence.clone());
    }
    let fence = EngineFence {
        engine: format!(
            "dunlin-{}+datafusion-{}",
            env!("CARGO_PKG_VERSION"),
            datafusion::DATAFUSION_VERSION
        ),
        hash: hash_fingerprint()?,
        build: env!("DUNLIN_BUILD").to_owned(),
    };
    Ok(FENCE.get_or_init(|| fence).clone())
}

fn hash_fingerprint() -> DfResult<String> {
    let rows = 512;
    let ints: Int64Array = (0..rows).map(|i| (i % 7 != 0).then_some(i * 1_000_003)).collect();
    let floats: Float64Array =
        (0..rows).map(|i| (i % 11 != 0).then(|| f64::from(i as i32) * 0.37)).collect();
    let strings: StringArray =
        (0..rows).map(|i| (i % 5 != 0).then(|| format!("key-{}", i * i))).collect();
    let batch = RecordBatch::try_from_iter_with_nullable(vec![
        ("i", Arc::new(ints) as ArrayRef, true),
        ("f", Arc::new(floats), true),
        ("s", Arc::new(strings), true),
        ("row", Arc::new(Int64Array::from_iter_values(0..rows)), false),
    ])?;
    let schema = batch.schema();
    let exprs = vec![col("i", &schema)?, col("f", &schema)?, col("s", &schema)?];
    let mut partitioner = BatchPartitioner::new_hash_partitioner(exprs, 61, Time::new())?;
    let mut placed = vec![0u8; 512];
    partitioner.partition(batch, |bucket, part| {
        let numbers = part.column(3).as_any().downcast_ref::<Int64Array>();
        for row in numbers.into_iter().flat_map(|array| array.values().iter().copied()) {
            if let Some(slot) = usize::try_from(row).ok().and_then(|row| placed.get_mut(row)) {
                *slot = u8::try_from(bucket).unwrap_or(u8::MAX);
            }
        }
        Ok(())
    })?;
    Ok(blake3::hash(&placed).to_hex()[..16].to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    /// The expected placement of the rows of the fixed batch. If this fails, rows are placed differently than by
    /// earlier builds, so stages of those builds and of this one must not be mixed in one query. The fence prevents
    /// that. Find out what changed (the engine's version, its hash, a feature of a dependency), and then write the
    /// new value here.
    #[test]
    fn rows_are_placed_where_they_always_were() {
        assert_eq!(super::hash_fingerprint().unwrap(), "ef09a8628fa9919c");
    }

    #[test]
    fn the_fence_is_stable_within_a_process_and_names_the_engine() {
        let fence = super::current().unwrap();
        assert!(fence.engine.contains("datafusion-55"));
        assert_eq!(fence, super::current().unwrap());
        assert_eq!(fence.hash, super::hash_fingerprint().unwrap());
        assert_eq!(fence.build.len(), 16);
    }
}
