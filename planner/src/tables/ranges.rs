//! Lists a large folder of a store in ranges of names, beside one another.
//!
//! ```text
//!  one after the other:  page ─> page ─> page ─> … 1,000 names each
//!
//!  in ranges:            page ─> page ─┬─> page            up to part-02
//!                                      ├─> page ─> page    after part-02, up to part-03
//!                                      └─> page ─┬─> …     after part-1
//!                                                └─> …     after part-15
//! ```
//! A store gives names in order, and may begin after any name. So a range begins after its start, and ends with the start of
//! the next one. Starts are guessed from the names of a page ([`super::splits`]) and from the names of folders. Each name is in
//! exactly one range, whatever the starts are: a bad guess costs a request.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, Result};

use super::splits;

/// Names of a page.
pub(super) const PAGE: usize = 1000;
/// Pages of a folder that are read one after the other. A folder with more files is large.
const PAGES_IN_ORDER: usize = 2;
/// Pages for which a large folder waits until it knows the names of its folders. Then it guesses.
const PAGES_OF_WAIT: usize = 2;
/// Ranges that are listed at the same time.
const AT_ONCE: usize = 32;
/// Pages without a name of their range, more than pages with names, after which nothing is guessed any more.
const MOST_WASTED: usize = 2 * AT_ONCE;

/// True if the store at an address lists names in the order of their bytes, and can begin after a name.
pub(super) fn are_listed_in_order(address: &str) -> bool {
    // Directory buckets of S3 list in no order.
    address.starts_with("s3://") && !address.trim_end_matches('/').ends_with("--x-s3")
}

/// All files below a folder.
///
/// # Errors
/// The store's.
pub(super) async fn list(store: &Arc<dyn ObjectStore>, folder: &Path) -> Result<Vec<ObjectMeta>> {
    let mut ranges = Ranges::new(store, folder);
    while let Some(event) = ranges.running.next().await {
        let in_order = match event? {
            Event::Page(page) => ranges.take(page),
            Event::Folders(folders) => {
                ranges.folders = Folders::Known(folders);
                true
            }
        };
        if !in_order {
            tracing::warn!(%folder, "the store does not list in order; its files are listed one page after the other");
            return store.list(Some(folder)).try_collect().await;
        }
    }
    Ok(ranges.files)
}

/// A page of a range.
struct Page {
    start: String,
    items: Vec<ObjectMeta>,
    /// What comes after it; nothing if it is the last.
    rest: Option<BoxStream<'static, Result<ObjectMeta>>>,
}

enum Event {
    Page(Page),
    Folders(Vec<Path>),
}

/// The names of the folders of a large folder.
enum Folders {
    NotAsked,
    /// Pages that have come since.
    Asked(usize),
    /// In order.
    Known(Vec<Path>),
}

struct Ranges<'a> {
    store: &'a Arc<dyn ObjectStore>,
    folder: &'a Path,
    /// The last name that was taken of each range, by its start.
    starts: BTreeMap<String, String>,
    running: FuturesUnordered<BoxFuture<'a, Result<Event>>>,
    files: Vec<ObjectMeta>,
    pages: usize,
    /// Pages without a name of their range.
    wasted: usize,
    folders: Folders,
}

impl<'a> Ranges<'a> {
    fn new(store: &'a Arc<dyn ObjectStore>, folder: &'a Path) -> Self {
        let running = FuturesUnordered::new();
        running.push(page(String::new(), store.list(Some(folder))));
        Self {
            store,
            folder,
            starts: BTreeMap::from([(String::new(), String::new())]),
            running,
            files: Vec::new(),
            pages: 0,
            wasted: 0,
            folders: Folders::NotAsked,
        }
    }

    /// Takes the names of a page that are in its range, and goes on. False if the store does not list in order.
    fn take(&mut self, of: Page) -> bool {
        let Page { start, items, rest } = of;
        self.pages += 1;
        let after = (Bound::Excluded(start.as_str()), Bound::Unbounded);
        let end = self.starts.range::<str, _>(after).next().map(|(end, _)| end.clone());
        let Some(reached) = self.starts.get_mut(&start) else { return false };
        let first = self.files.len();
        for item in items {
            let name = item.location.as_ref();
            if name <= reached.as_str() {
                return false;
            }
            if end.as_deref().is_some_and(|end| name > end) {
                self.wasted += usize::from(self.files.len() == first);
                return true;
            }
            *reached = name.to_owned();
            self.files.push(item);
        }
        let Some(rest) = rest else {
            self.wasted += usize::from(self.files.len() == first);
            return true;
        };
        self.split(first, end.as_deref());
        self.running.push(page(start, rest));
        true
    }

    /// Lists parts of a range beside it. Its last page begins at `first` of the files.
    fn split(&mut self, first: usize, end: Option<&str>) {
        // The page of the range itself is one of them.
        let free = AT_ONCE.saturating_sub(self.running.len() + 1);
        if self.pages < PAGES_IN_ORDER || free == 0 {
            return;
        }
        let names: Vec<&str> =
            self.files[first..].iter().map(|file| file.location.as_ref()).collect();
        let Some(last) = names.last() else { return };
        let known = match &mut self.folders {
            Folders::Known(folders) => splits::between(folders, last, end),
            Folders::Asked(pages) => {
                *pages += 1;
                if *pages <= PAGES_OF_WAIT {
                    return;
                }
                Vec::new()
            }
            Folders::NotAsked => {
                let below = splits::own(self.folder);
                let has_folders =
                    names.iter().any(|name| name.get(below..).is_some_and(|it| it.contains('/')));
                if has_folders {
                    self.folders = Folders::Asked(0);
                    self.running.push(folders(self.store, self.folder));
                    return;
                }
                Vec::new()
            }
        };
        let is_hopeless = self.wasted > self.pages - self.wasted + MOST_WASTED;
        let starts = match known.is_empty() {
            true if is_hopeless => return,
            true => splits::guessed(self.folder, &names, end),
            false => known,
        };
        for start in splits::evenly(starts, free) {
            let text = start.to_string();
            self.starts.insert(text.clone(), text.clone());
            self.running.push(page(text, self.store.list_with_offset(Some(self.folder), &start)));
        }
    }
}

/// The next page of a listing.
fn page<'a>(
    start: String,
    mut objects: BoxStream<'static, Result<ObjectMeta>>,
) -> BoxFuture<'a, Result<Event>> {
    async move {
        let mut items = Vec::new();
        while items.len() < PAGE {
            match objects.next().await {
                Some(item) => items.push(item?),
                None => return Ok(Event::Page(Page { start, items, rest: None })),
            }
        }
        Ok(Event::Page(Page { start, items, rest: Some(objects) }))
    }
    .boxed()
}

/// The names of the folders of a folder.
fn folders<'a>(store: &'a Arc<dyn ObjectStore>, folder: &'a Path) -> BoxFuture<'a, Result<Event>> {
    async move {
        let mut folders = store.list_with_delimiter(Some(folder)).await?.common_prefixes;
        folders.sort_unstable();
        Ok(Event::Folders(folders))
    }
    .boxed()
}

#[cfg(test)]
mod tests;
