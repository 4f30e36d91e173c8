//! How the fleet plans a query under test: sections of a configuration. Together they use every kind of join that the
//! planner has.

/// Everything runs on the fleet, with one task for each partition and files cut as small as the number of partitions
/// requires.
pub const ENGINE: &str =
    "[routing]\nmode = \"fleet\"\n\n[engine]\nrepartition_file_min_size = 1024\ntask_bytes = 0\n\n";

/// As [`ENGINE`], and no build side is planned as a broadcast. Every join on keys is partitioned and filters its
/// probe side where that is correct. It may change to a broadcast of its build side once that is written. Stages that
/// read less than `task_bytes` are run by the stages that read them.
pub const PARTITIONED: &str = "[routing]\nmode = \"fleet\"\n\n[engine]\nrepartition_file_min_size = 1024\ntask_bytes = 16384\nbroadcast_bytes = 0\nbroadcast_rows = 0\n\n";

/// As [`PARTITIONED`], and no build side is broadcast, even if it is small. With 16 partitions, exchanges have two levels.
pub const EXCHANGED: &str = "[routing]\nmode = \"fleet\"\n\n[engine]\nrepartition_file_min_size = 1024\ntask_bytes = 0\nbroadcast_bytes = 0\nbroadcast_rows = 0\nsealed_broadcast_bytes = 0\nexchange_slices = 128\n\n";

/// As [`ENGINE`], and joins on keys sort both sides instead of building a hash table of one.
pub const SORTED: &str = "[routing]\nmode = \"fleet\"\n\n[engine]\nrepartition_file_min_size = 1024\ntask_bytes = 0\nprefer_hash_join = false\n\n";
