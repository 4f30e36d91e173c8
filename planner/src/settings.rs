//! What a request may choose about how its query runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a query may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RouteMode {
    /// Small scans in the gateway, other queries on the fleet.
    #[default]
    Auto,
    /// In the gateway.
    Inline,
    /// On the fleet, or refused.
    Fleet,
}

/// What a request may choose. Unknown names are errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuerySettings {
    /// Where the query may run; the mode of the configuration if not set.
    pub route: Option<RouteMode>,
    /// Partitions of wide stages; the number of the configuration if not set. 1 to 4096.
    pub target_partitions: Option<usize>,
    /// Partitions are added to a task until its input reaches this many bytes; 0: one partition for each task.
    pub task_bytes: Option<u64>,
    /// The pool whose workers run it. A query that names one goes to the fleet.
    pub pool: Option<String>,
    /// The pool of the client's workgroup, which has no other. Only the gateway sets this.
    #[serde(skip)]
    pub group_pool: Option<String>,
    /// The query must be stored even if it runs in the gateway. Only the gateway sets this.
    #[serde(skip)]
    pub durable: bool,
    /// The plan must be explained even if the statement is no EXPLAIN.
    #[serde(skip)]
    pub explain: bool,
}
