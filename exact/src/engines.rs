//! How the fleet plans a query under test: sections of a configuration. Together they reach every kind of
//! join that the planner has.

/// Everything through the fleet, one task a partition, files cut as small as the partitions ask for.
pub const ENGINE: &str =
    "[routing]\nmode = \"fleet\"\n\n[engine]\nrepartition_file_min_size = 1024\ntask_bytes = 0\n\n";

/// As [`ENGINE`], and no build side is planned to be sent whole: every join on keys is partitioned, filters its
/// probe side where that is sound, and may turn to sending its build side once that is written.
pub const PARTITIONED: &str = "[routing]\nmode = \"fleet\"\n\n[engine]\nrepartition_file_min_size = 1024\ntask_bytes = 0\nbroadcast_bytes = 0\nbroadcast_rows = 0\n\n";

/// As [`PARTITIONED`], and no build side is sent whole however small it turns out to be.
pub const EXCHANGED: &str = "[routing]\nmode = \"fleet\"\n\n[engine]\nrepartition_file_min_size = 1024\ntask_bytes = 0\nbroadcast_bytes = 0\nbroadcast_rows = 0\nsealed_broadcast_bytes = 0\n\n";

/// As [`ENGINE`], and joins on keys sort both sides instead of building a table of one.
pub const SORTED: &str = "[routing]\nmode = \"fleet\"\n\n[engine]\nrepartition_file_min_size = 1024\ntask_bytes = 0\nprefer_hash_join = false\n\n";
