//! Who asks, and the database that everybody sees.

use std::collections::BTreeMap;
use std::sync::Arc;

use dunlin_planner::Grants;

/// The name of the database that clients see, whatever name they connect with.
pub(super) const DATABASE: &str = "dunlin";

/// Who asks, as functions of the session tell it.
#[derive(Clone, Debug)]
pub(in crate::postgres) struct Who {
    pub(in crate::postgres) user: String,
    pub(in crate::postgres) process: u32,
    pub(in crate::postgres) settings: Arc<BTreeMap<String, String>>,
    /// The tables that it may name.
    pub(in crate::postgres) grants: Grants,
}
