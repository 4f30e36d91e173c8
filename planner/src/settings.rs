//! What a request may choose about how it is run.

use serde::{Deserialize, Serialize};

/// Where a query may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteMode {
    /// Small scans in the gateway, the rest on the fleet.
    #[default]
    Auto,
    /// In the gateway.
    Inline,
    /// On the fleet, or not at all.
    Fleet,
}

/// What a request may choose. Unknown names are errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuerySettings {
    /// Where the query may run; the configuration's mode if not set.
    pub route: Option<RouteMode>,
    /// Partitions of wide stages; the configuration's number if not set. 1 to 4096.
    pub target_partitions: Option<usize>,
    /// A task is given partitions until its input reaches this many bytes; 0 = one partition a task.
    pub task_bytes: Option<u64>,
    /// The query must leave its objects even if it runs in the gateway. Set by the gateway only.
    #[serde(skip)]
    pub durable: bool,
}
