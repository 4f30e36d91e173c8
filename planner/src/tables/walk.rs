//! What is below a folder.

use std::sync::Arc;

use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, ObjectStore};

use super::ranges;

/// Folders of a table that are listed at the same time.
const LISTINGS_AT_ONCE: usize = 32;
/// Folders of a walk whose own folders are looked at one by one. The others are listed whole: a request for each folder
/// of a deep tree would be more than a page for each 1,000 files.
const MOST_OPENED: usize = 256;

/// What is wanted of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    /// No file.
    Nothing,
    /// All files.
    Whole,
    /// Some of its folders, perhaps.
    Folders,
}

/// What is wanted of each folder.
pub(super) type Choice<'a> = &'a (dyn Fn(&Path) -> Below + Sync);

/// All files below a folder of the store at `address`, without those in folders of which `choice` wants nothing.
pub(super) async fn walk(
    store: &Arc<dyn ObjectStore>,
    address: &str,
    folder: &Path,
    choice: Option<Choice<'_>>,
) -> object_store::Result<Vec<ObjectMeta>> {
    match choice {
        Some(choice) => chosen(store, address, folder, choice).await,
        None if ranges::are_listed_in_order(address) => ranges::list(store, folder).await,
        None => by_folders(store, folder).await,
    }
}

/// Its own folders are listed beside one another.
async fn by_folders(
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

/// Level by level, as far as the names of folders leave some of them out.
async fn chosen(
    store: &Arc<dyn ObjectStore>,
    address: &str,
    folder: &Path,
    choice: Choice<'_>,
) -> object_store::Result<Vec<ObjectMeta>> {
    let list = |(folder, below): (Path, Below)| async move {
        match below {
            Below::Folders => store.list_with_delimiter(Some(&folder)).await,
            _ => {
                let objects = match ranges::are_listed_in_order(address) {
                    true => ranges::list(store, &folder).await?,
                    false => store.list(Some(&folder)).try_collect().await?,
                };
                Ok(ListResult { objects, common_prefixes: Vec::new() })
            }
        }
    };
    let mut files = Vec::new();
    let mut waiting = vec![(folder.clone(), Below::Folders)];
    let mut opened = 1;
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < LISTINGS_AT_ONCE
            && let Some(next) = waiting.pop()
        {
            running.push(list(next));
        }
        let Some(found) = running.next().await else { return Ok(files) };
        let ListResult { objects, common_prefixes } = found?;
        files.extend(objects);
        for folder in common_prefixes {
            let below = match choice(&folder) {
                Below::Nothing => continue,
                Below::Folders if opened < MOST_OPENED => Below::Folders,
                Below::Folders | Below::Whole => Below::Whole,
            };
            opened += usize::from(below == Below::Folders);
            waiting.push((folder, below));
        }
    }
}

#[cfg(test)]
mod tests;
