//! What the function is told by its environment: where the state is, and how large the function is.

use std::path::PathBuf;

use anyhow::{Context, Result};
use dunlin_plan::config::{StateConfig, StoreParams};
use dunlin_plan::stores::Reach;
use dunlin_worker::WorkerOptions;
use serde::Deserialize;

/// The text of the configuration.
const TEXT: &str = "DUNLIN_CONFIG_TOML";
/// Its file, if there is no text; by default `dunlin.toml` beside the binary.
const FILE: &str = "DUNLIN_CONFIG";
/// Where Lambda has unpacked the function.
const ROOT: &str = "LAMBDA_TASK_ROOT";
/// Megabytes of the function.
const MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
/// Megabytes of memory for which Lambda gives one vCPU.
const MEMORY_OF_A_CPU: u64 = 1_769;
/// Memory that no pool counts: the binary, connections, buffers of the engine.
const UNCOUNTED_MB: u64 = 300;

/// The parts of `dunlin.toml` that a worker reads. A worker has no use for the others.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Config {
    pub(crate) state: StateConfig,
    #[serde(default)]
    tables: Vec<Table>,
}

/// Where a table is.
#[derive(Clone, Debug, Deserialize)]
struct Table {
    name: String,
    location: String,
    #[serde(default)]
    params: StoreParams,
}

impl Config {
    /// The text in `DUNLIN_CONFIG_TOML`, or the file that `DUNLIN_CONFIG` names.
    pub(crate) fn from_env() -> Result<Self> {
        if let Ok(text) = std::env::var(TEXT) {
            return Self::parse(&text).with_context(|| format!("{TEXT} cannot be used"));
        }
        let beside = || {
            let root = std::env::var_os(ROOT).map_or_else(PathBuf::new, PathBuf::from);
            root.join("dunlin.toml")
        };
        let path = std::env::var_os(FILE).map_or_else(beside, PathBuf::from);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("there is no {TEXT}, and {} cannot be read", path.display())
        })?;
        Self::parse(&text).with_context(|| format!("{} cannot be used", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        Ok(toml::from_str(text)?)
    }

    /// The stores of the tables.
    pub(crate) fn reaches(&self) -> impl Iterator<Item = Reach<'_>> {
        self.tables.iter().map(|table| Reach {
            owner: &table.name,
            location: &table.location,
            params: &table.params,
        })
    }
}

/// The size of the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    memory_mb: u64,
}

impl Function {
    pub(crate) fn from_env() -> Result<Self> {
        let text = std::env::var(MEMORY).with_context(|| format!("{MEMORY} is not set"))?;
        let memory_mb = text.parse().with_context(|| format!("{MEMORY} is no number: {text}"))?;
        Ok(Self { memory_mb })
    }

    /// One slot for each vCPU, at least one.
    fn slots(self) -> usize {
        usize::try_from(self.memory_mb / MEMORY_OF_A_CPU).unwrap_or(usize::MAX).clamp(1, 6)
    }

    /// Memory that operators may reserve. A seventh of it, and what no pool counts, are left free.
    fn pool_bytes(self) -> usize {
        let counted = self.memory_mb.saturating_sub(UNCOUNTED_MB) * 6 / 7;
        usize::try_from(counted.max(self.memory_mb / 4) << 20).unwrap_or(usize::MAX)
    }

    pub(crate) fn worker_options(self) -> WorkerOptions {
        let spill_dir = Some(std::env::temp_dir().join("dunlin-spill"));
        WorkerOptions { spill_dir, ..WorkerOptions::remote(self.slots(), self.pool_bytes()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_whole_configuration_of_a_gateway_is_accepted() {
        let config = Config::parse(
            "[state]\nlocation = \"s3://state/q\"\n[engine]\ntarget_partitions = 16\n[[tables]]\nname = \"t\"\nlocation = \"s3://data/t/\"\nformat = \"parquet\"\n",
        );
        let config = config.unwrap();
        let reaches: Vec<_> = config.reaches().map(|reach| reach.location).collect();
        assert_eq!(
            (config.state.location.as_str(), reaches),
            ("s3://state/q", vec!["s3://data/t/"])
        );
        let missing = Config::parse("[routing]\nmode = \"fleet\"\n").unwrap_err();
        assert!(missing.to_string().contains("state"), "{missing}");
    }

    #[test]
    fn slots_and_memory_follow_from_the_size_of_the_function() {
        let of = |memory_mb| {
            let function = Function { memory_mb };
            (function.slots(), function.pool_bytes() >> 20)
        };
        assert_eq!(of(512), (1, 181));
        assert_eq!(of(1_769), (1, 1_259));
        assert_eq!(of(3_538), (2, 2_775));
        assert_eq!(of(10_240), (5, 8_520));
    }
}
