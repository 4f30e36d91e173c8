//! What is below a folder.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

/// Folders of a table that are listed at the same time.
const LISTINGS_AT_ONCE: usize = 32;

/// All files below a folder. Its own folders are listed beside one another, because a store lists 1,000 files at a
/// time, each page after the one before.
pub(super) async fn walk(
    store: &Arc<dyn ObjectStore>,
    folder: &Path,
) -> object_store::Result<Vec<ObjectMeta>> {
    let top = store.list_with_delimiter(Some(folder)).await?;
    let mut files = top.objects;
    let below: Vec<Vec<ObjectMeta>> = stream::iter(top.common_prefixes)
        .map(|folder| store.list(Some(&folder)).try_collect())
        .buffered(LISTINGS_AT_ONCE)
        .try_collect()
        .await?;
    files.extend(below.into_iter().flatten());
    Ok(files)
}
