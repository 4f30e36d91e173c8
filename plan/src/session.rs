//! The only session builder. Both the planner and the workers use it.
//!
//! A serialised plan keeps its meaning only with the settings that it was made with. So `root` holds the settings as
//! text, and the planner and the workers build their sessions from that text. Some settings are **pinned**: with
//! another value the fleet would give wrong answers or hang (`docs/decisions/0002`).

use std::collections::BTreeMap;

use datafusion::config::ConfigOptions;
use datafusion::execution::config::SessionConfig;
use dunlin_shuffle::Compression;

use crate::SettingError;
use crate::config::EngineConfig;

/// Settings that Dunlin's exactness depends on. The reason is next to each.
pub const PINNED: &[(&str, &str)] = &[
    // Otherwise the partitions of one scan share a work queue. A task that runs only its own partition would read
    // every file, and every task would count the whole answer.
    ("datafusion.execution.enable_file_stream_work_stealing", "false"),
    // A hash join with a dynamic filter waits until all its partitions report, so a task that runs only some of them
    // would wait forever. The flag for all of them comes first, because setting it overwrites the three that follow.
    ("datafusion.optimizer.enable_dynamic_filter_pushdown", "false"),
    ("datafusion.optimizer.enable_join_dynamic_filter_pushdown", "false"),
    ("datafusion.optimizer.enable_topk_dynamic_filter_pushdown", "false"),
    ("datafusion.optimizer.enable_aggregate_dynamic_filter_pushdown", "false"),
    // Spreads rows by their arrival, which no other process can repeat.
    ("datafusion.optimizer.enable_round_robin_repartition", "false"),
    ("datafusion.optimizer.prefer_existing_union", "true"),
    ("datafusion.optimizer.prefer_existing_sort", "false"),
    ("datafusion.optimizer.preserve_file_partitions", "0"),
    // The wire form of a scan does not keep what this setting decides.
    ("datafusion.optimizer.enable_sort_pushdown", "false"),
    // It has no wire form.
    ("datafusion.optimizer.enable_piecewise_merge_join", "false"),
    ("datafusion.optimizer.enable_window_topn", "false"),
    // Scalar subqueries are stages of one row, and more than one row is still an error.
    ("datafusion.optimizer.enable_physical_uncorrelated_scalar_subquery", "true"),
    ("datafusion.execution.collect_statistics", "true"),
    ("datafusion.execution.batch_size", "8192"),
];

/// Name of the setting for the compression of exchange data: `lz4`, or `none`. It is Dunlin's own setting, and the
/// engine does not see it.
pub const EXCHANGE_COMPRESSION: &str = "dunlin.exchange_compression";

/// How the tasks of a query with these settings compress what they write.
#[must_use]
pub fn exchange_compression(settings: &BTreeMap<String, String>) -> Compression {
    match settings.get(EXCHANGE_COMPRESSION).map(String::as_str) {
        Some("lz4") => Compression::Lz4,
        _ => Compression::None,
    }
}

/// A query's settings as text, in an order in which they can be applied from first to last.
#[must_use]
pub fn settings(engine: &EngineConfig, target_partitions: usize) -> BTreeMap<String, String> {
    let mut map: BTreeMap<String, String> =
        PINNED.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut set = |key: &str, value: String| map.insert(key.to_owned(), value);
    set("datafusion.execution.target_partitions", target_partitions.to_string());
    // Planning must not depend on the machine. This value only sets how many files are listed at once.
    set("datafusion.execution.planning_concurrency", "4".to_owned());
    set(
        "datafusion.optimizer.repartition_file_min_size",
        engine.repartition_file_min_size.to_string(),
    );
    set(
        "datafusion.optimizer.hash_join_single_partition_threshold",
        engine.broadcast_bytes.to_string(),
    );
    set(
        "datafusion.optimizer.hash_join_single_partition_threshold_rows",
        engine.broadcast_rows.to_string(),
    );
    set("datafusion.optimizer.prefer_hash_join", engine.prefer_hash_join.to_string());
    map
}

/// The session configuration for settings as text.
///
/// # Errors
/// A key or value that this engine does not know. The query was planned by another engine version.
pub fn config(settings: &BTreeMap<String, String>) -> Result<SessionConfig, SettingError> {
    const UMBRELLA: &str = "datafusion.optimizer.enable_dynamic_filter_pushdown";
    let mut options = ConfigOptions::new();
    let mut apply = |key: &str, value: &str| {
        options.set(key, value).map_err(|source| SettingError {
            key: key.to_owned(),
            value: value.to_owned(),
            source: Box::new(source),
        })
    };
    if let Some(value) = settings.get(UMBRELLA) {
        apply(UMBRELLA, value)?;
    }
    for (key, value) in settings {
        if key.starts_with("datafusion.") && key != UMBRELLA {
            apply(key, value)?;
        }
    }
    Ok(SessionConfig::from(options).with_information_schema(true))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_pinned_setting_holds_after_a_round_trip() {
        let map = settings(&EngineConfig::default(), 7);
        let config = config(&map).unwrap();
        let options = config.options();
        assert_eq!(options.execution.target_partitions, 7);
        assert!(!options.execution.enable_file_stream_work_stealing);
        assert!(!options.optimizer.enable_join_dynamic_filter_pushdown);
        assert!(!options.optimizer.enable_topk_dynamic_filter_pushdown);
        assert!(!options.optimizer.enable_aggregate_dynamic_filter_pushdown);
        assert!(!options.optimizer.enable_round_robin_repartition);
        assert!(options.optimizer.prefer_existing_union);
        assert!(!options.optimizer.enable_sort_pushdown);
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let map = BTreeMap::from([("datafusion.no.such".to_owned(), "1".to_owned())]);
        assert!(config(&map).is_err());
    }
}
