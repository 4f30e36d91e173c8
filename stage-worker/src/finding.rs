//! Where a slot finds work: among the queries that its process was told of, that it knows, or that are listed.

use std::sync::Arc;

use dunlin_manifest::ids::QueryId;
use dunlin_manifest::store::StoreError;
use futures::future::join_all;

use crate::compute::Compute;
use crate::looks::Looks;
use crate::shared::{Asked, Shared};
use crate::shares::Candidate;
use crate::turn::{Until, turn};

/// What a slot remembers between its looks.
#[derive(Debug, Default)]
pub(crate) struct Ears {
    /// The number of the latest news that it knows.
    heard: u64,
    /// It has worked on what it was told of when it would have listed.
    is_list_due: bool,
}

/// The result of a look.
pub(crate) enum Found {
    /// A task was run, or a query was advanced.
    Work,
    /// There are queries, but nothing to do for this slot now.
    Active,
    /// There is no query.
    Nothing,
}

/// Works on the query whose turn it is of those that have something to do. Queries that this process was told of, or knows,
/// are not listed first.
pub(crate) async fn look(
    shared: &Arc<Shared>,
    slot: usize,
    compute: &mut Compute,
    ears: &mut Ears,
) -> Result<Found, StoreError> {
    let told = shared.heard_since(&mut ears.heard);
    let crowd = shared.crowd();
    let is_fresh = shared.has_listed_lately();
    let mut queries = told.clone();
    if is_fresh {
        let open = shared.open_queries().into_iter().map(|candidate| candidate.query);
        queries.extend(open.filter(|query| !told.contains(query)));
    }
    if !queries.is_empty() && (is_fresh || !(crowd.is_large() || ears.is_list_due)) {
        let found = look_at(shared, queries, &told, slot, compute).await;
        // What each of many is told, each need not ask for as well.
        let is_enough = matches!(found, Found::Active) && crowd.is_large() && !told.is_empty();
        if matches!(found, Found::Work) || is_enough {
            ears.is_list_due = !is_fresh;
            return Ok(found);
        }
    }
    ears.is_list_due = false;
    let queries = shared.active().await?;
    shared.keep_only(&queries);
    if queries.is_empty() {
        return Ok(Found::Nothing);
    }
    Ok(look_at(shared, queries, &[], slot, compute).await)
}

/// So many queries are read at once when the first one that was read is not the one whose turn it is.
const READ_AT_ONCE: usize = 16;

/// Works on the query whose turn it is of those that have something to do.
async fn look_at(
    shared: &Arc<Shared>,
    mut queries: Vec<QueryId>,
    told: &[QueryId],
    slot: usize,
    compute: &mut Compute,
) -> Found {
    queries.sort();
    let is_for_the_oldest = shared.shares.is_for_the_oldest();
    let mut active = false;
    let mut candidates = Vec::new();
    for query in queries {
        match shared.candidate(&query) {
            Asked::Turn(candidate) => candidates.push(candidate),
            // News may have come while another look found nothing.
            Asked::Quiet(candidate) if told.contains(&query) => candidates.push(candidate),
            Asked::Quiet(_) => active = true,
            Asked::Refused => shared.refuse_again(&query).await,
            Asked::NotOurs => {}
        }
    }
    let mut at_once = 1;
    while let Some(first) = shared.shares.first(&candidates, is_for_the_oldest).cloned() {
        if !first.is_read {
            active |= read(shared, &mut candidates, &first, at_once).await;
            at_once = READ_AT_ONCE;
            continue;
        }
        candidates.retain(|candidate| candidate.query != first.query);
        // It may have ended meanwhile.
        let Some(known) = shared.is_known(&first.query) else { continue };
        active = true;
        let looks = match told.contains(&first.query) {
            true => Looks::TOLD,
            false => Looks::default(),
        };
        match turn(shared, &known, slot, compute, looks, Until::AnothersTurn).await {
            Ok(true) => return Found::Work,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(query = %first.query, %error, "a query could not be moved on");
            }
        }
    }
    if active { Found::Active } else { Found::Nothing }
}

/// Reads `first`, and others that are not read, up to `most` in all. True if one of them could not be read.
async fn read(
    shared: &Arc<Shared>,
    candidates: &mut Vec<Candidate>,
    first: &Candidate,
    most: usize,
) -> bool {
    let others = candidates.iter().filter(|other| !other.is_read && other.query != first.query);
    let others = others.take(most - 1).map(|other| other.query.clone());
    let unread: Vec<QueryId> = std::iter::once(first.query.clone()).chain(others).collect();
    candidates.retain(|candidate| !unread.contains(&candidate.query));
    let asked = unread.iter().map(|query| async move { (query, shared.known(query).await) });
    let mut is_one_missing = false;
    for (query, known) in join_all(asked).await {
        match known {
            Ok(_) => match shared.candidate(query) {
                Asked::Turn(candidate) | Asked::Quiet(candidate) if candidate.is_read => {
                    candidates.push(candidate);
                }
                Asked::Refused => shared.refuse_again(query).await,
                _ => {}
            },
            Err(error) => {
                // A query that cannot be read must not keep this worker from the others.
                tracing::warn!(%query, %error, "a query could not be read");
                is_one_missing = true;
            }
        }
    }
    is_one_missing
}
