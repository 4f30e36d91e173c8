//! What the function is told by its environment: where the state is, and how large the function is.

use std::path::PathBuf;

use anyhow::{Context, Result};
use dunlin_config::{Environment, Sources};
use dunlin_plan::config::slots_of;
use dunlin_plan::worker_file::WorkerFile;
use dunlin_worker::WorkerOptions;

/// Where Lambda has unpacked the function.
const ROOT: &str = "LAMBDA_TASK_ROOT";
/// Megabytes of the function.
const MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
/// Memory that no pool counts: the binary, connections, buffers of the engine.
const UNCOUNTED_MB: u64 = 300;

/// What the environment gives, over `dunlin.toml` beside the binary.
pub(crate) async fn file_from_env() -> Result<WorkerFile> {
    let root = std::env::var_os(ROOT).map_or_else(PathBuf::new, PathBuf::from);
    let sources = Sources::default();
    let tree = sources.tree(&root.join("dunlin.toml"), Environment::of_process()).await?;
    Ok(tree.read()?)
}

/// The size of the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) memory_mb: u64,
}

impl Size {
    pub(crate) fn from_env() -> Result<Self> {
        let text = std::env::var(MEMORY).with_context(|| format!("{MEMORY} is not set"))?;
        let memory_mb = text.parse().with_context(|| format!("{MEMORY} is no number: {text}"))?;
        Ok(Self { memory_mb })
    }

    /// One slot for each vCPU, at least one.
    pub(crate) fn slots(self) -> usize {
        slots_of(self.memory_mb)
    }

    /// Memory that operators may reserve. A seventh of it, and what no pool counts, are left free.
    fn pool_bytes(self) -> usize {
        let counted = self.memory_mb.saturating_sub(UNCOUNTED_MB) * 6 / 7;
        usize::try_from(counted.max(self.memory_mb / 4) << 20).unwrap_or(usize::MAX)
    }

    pub(crate) fn worker_options(self) -> WorkerOptions {
        let spill_dir = std::env::temp_dir().join("dunlin-spill");
        WorkerOptions {
            spill_bytes: disk_bytes(&std::env::temp_dir()).map(|bytes| bytes / 10 * 9),
            spill_dir: Some(spill_dir),
            resident_bytes: Some(self.memory_mb << 20),
            retires: false,
            ..WorkerOptions::remote(self.slots(), self.pool_bytes())
        }
    }
}

/// Bytes of the file system, which Lambda makes as large as the function's ephemeral storage.
fn disk_bytes(folder: &std::path::Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_blocks.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dunlin_config::Tree;

    use super::*;

    #[test]
    fn the_whole_configuration_of_a_gateway_is_accepted() {
        let parse = |text| -> Result<WorkerFile> { Ok(Tree::of_text("text", text)?.read()?) };
        let config = parse(
            "[state]\nlocation = \"s3://state/q\"\n[engine]\ntarget_partitions = 16\n[[tables]]\nname = \"t\"\nlocation = \"s3://data/t/\"\nformat = \"parquet\"\n",
        );
        let config = config.unwrap();
        let reaches: Vec<_> =
            config.tables.iter().flat_map(|table| table.location.iter()).collect();
        assert_eq!(
            (config.state.location.as_str(), reaches),
            ("s3://state/q", vec!["s3://data/t/"])
        );
        let missing = parse("[routing]\nmode = \"fleet\"\n").unwrap_err();
        assert!(missing.to_string().contains("state"), "{missing}");
    }

    #[test]
    fn slots_and_memory_follow_from_the_size_of_the_function() {
        let of = |memory_mb| {
            let function = Size { memory_mb };
            (function.slots(), function.pool_bytes() >> 20)
        };
        assert_eq!(of(512), (1, 181));
        assert_eq!(of(1_769), (1, 1_259));
        assert_eq!(of(3_538), (2, 2_775));
        assert_eq!(of(10_240), (5, 8_520));
    }
}
