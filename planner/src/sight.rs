//! What a statement can name.

use std::sync::Arc;

use crate::grants::Grants;
use crate::snapshots::Snapshots;

/// What a statement can name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    /// Tables whose rows are no files.
    pub(crate) snapshots: Option<Arc<dyn Snapshots>>,
    /// Which of the others there are.
    pub(crate) grants: Grants,
}
