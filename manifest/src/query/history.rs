//! The queries that have ended, newest first, without a listing of all of them.
//!
//! ```text
//!   end/…  ├── oldest page ──┤ … ├──── 64 min ────┤── 8 min ──┤ 1 min │ now
//!                                                   <── windows, until enough is found
//! ```
//! Stores list keys in ascending order, and ids ascend with time. So the newest queries are found by listing windows of
//! time, from now into the past, each larger than the one before. A folder has no order: it is listed whole, and only the
//! newest names are kept.

use crate::model::ids::QueryId;
use crate::model::keys;
use crate::store::control::StoreError;
use crate::store::object::ObjectControlStore;

/// Ends that are listed with the first request. If there are no more, nothing else is asked.
const PAGE: usize = 1_000;
/// Ends that one window may have before it is made smaller.
const WINDOW: usize = 4_000;
/// Milliseconds of the first window.
const FIRST_WINDOW: u64 = 60_000;

/// The newest queries that have ended, newest first: at most `most`, and only such that were submitted before `before`.
///
/// # Errors
/// The store's.
pub async fn ended_before(
    store: &ObjectControlStore,
    before: Option<&QueryId>,
    most: usize,
) -> Result<Vec<QueryId>, StoreError> {
    let mut upper = before.map(keys::end);
    let read = if store.is_sorted() { PAGE } else { most };
    let (oldest, all) = store.list_between(keys::ENDS, None, upper.as_deref(), read).await?;
    let mut found = Vec::new();
    if all || !store.is_sorted() {
        add(&mut found, &oldest);
        found.truncate(most);
        return Ok(found);
    }
    let begin = oldest.iter().find_map(|key| query_of(key)).map_or(0, |query| query.unix_ms());
    let mut until = before.map_or_else(|| store.env().clock.wall_ms(), QueryId::unix_ms);
    let mut width = FIRST_WINDOW;
    while found.len() < most && until > begin {
        let from = until.saturating_sub(width).max(begin.saturating_sub(1));
        let lower = keys::end(&QueryId::at(from, &[0; 10]));
        let (listed, all) =
            store.list_between(keys::ENDS, Some(&lower), upper.as_deref(), WINDOW).await?;
        if !all && width > 1 {
            width = (width / 8).max(1);
            continue;
        }
        add(&mut found, &listed);
        (until, upper) = (from, Some(lower));
        width = width.saturating_mul(if listed.len() * 4 < most { 8 } else { 2 });
    }
    found.truncate(most);
    Ok(found)
}

fn add(found: &mut Vec<QueryId>, ascending: &[String]) {
    found.extend(ascending.iter().rev().filter_map(|key| query_of(key)));
}

fn query_of(key: &str) -> Option<QueryId> {
    keys::parse(key).map(|(query, _)| query)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use object_store::memory::InMemory;
    use object_store::path::Path;

    use super::*;
    use crate::env::Env;
    use crate::store::control::ControlStore;

    /// A store with a query that ended at each of these times.
    async fn store(times: &[u64], sorted: bool) -> ObjectControlStore {
        let inner = Arc::new(InMemory::new());
        let store = ObjectControlStore::new(inner, Path::from("x"), Env::system()).sorted(sorted);
        for (at, time) in times.iter().enumerate() {
            let query = QueryId::at(*time, &[u8::try_from(at % 251).unwrap(); 10]);
            store.put(&keys::end(&query), Bytes::new()).await.unwrap();
        }
        store
    }

    /// The times of all queries, page by page.
    async fn pages(store: &ObjectControlStore, most: usize) -> Vec<u64> {
        let mut times = Vec::new();
        let mut before = None;
        loop {
            let page = ended_before(store, before.as_ref(), most).await.unwrap();
            assert!(page.len() <= most);
            let Some(last) = page.last().cloned() else { return times };
            times.extend(page.iter().map(QueryId::unix_ms));
            before = Some(last);
        }
    }

    #[tokio::test]
    async fn every_query_is_listed_once_and_the_newest_first() {
        let now = Env::system().clock.wall_ms();
        // A burst in the last seconds, a steady load before it, a long silence, and the distant past.
        let burst = (0..1_500).map(|n| now - n * 7);
        let steady = (0..300).map(|n| now - 3_600_000 - n * 60_000);
        let past = (0..60).map(|n| now - 40_000_000_000 - n * 1_000_000);
        let times: Vec<u64> = burst.chain(steady).chain(past).collect();
        for sorted in [true, false] {
            let store = store(&times, sorted).await;
            assert_eq!(pages(&store, 200).await, times, "sorted: {sorted}");
        }
    }

    #[tokio::test]
    async fn few_queries_cost_one_listing_and_none_are_no_error() {
        let store = store(&[], true).await;
        assert_eq!(ended_before(&store, None, 10).await.unwrap(), []);
        let store = super::tests::store(&[5, 9, 7], true).await;
        let newest = ended_before(&store, None, 2).await.unwrap();
        assert_eq!(newest.iter().map(QueryId::unix_ms).collect::<Vec<_>>(), [9, 7]);
    }

    #[tokio::test]
    async fn a_millisecond_with_very_many_ends_does_not_stop_the_listing() {
        let now = Env::system().clock.wall_ms();
        let inner = Arc::new(InMemory::new());
        let store = ObjectControlStore::new(inner, Path::from("x"), Env::system()).sorted(true);
        for at in 0..2_000u16 {
            let [high, low] = at.to_be_bytes();
            let query = QueryId::at(now - 500, &[high, low, 0, 0, 0, 0, 0, 0, 0, 0]);
            store.put(&keys::end(&query), Bytes::new()).await.unwrap();
        }
        let newest = ended_before(&store, None, 100).await.unwrap();
        assert_eq!(newest.len(), 100);
        assert!(newest.is_sorted_by(|a, b| a > b));
    }
}
