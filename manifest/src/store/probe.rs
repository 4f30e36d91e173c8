//! Checks whether a store can be used for coordination. A gateway does this once when it starts.
//!
//! The protocol needs one promise that some stores do not keep: of many creates of one key, exactly one wins. The
//! probe tests it with concurrent creates, and also checks the other promises of [`ControlStore`].

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};

use crate::env::Env;
use crate::model::keys;
use crate::store::control::{ControlStore, Put, StoreError};
use crate::store::create::{self, CreateError, Decision};

/// How intensively to probe.
#[derive(Clone, Copy, Debug)]
pub struct ProbeOptions {
    /// Writers that race for one key.
    pub ways: usize,
    /// Races.
    pub rounds: usize,
    /// Races at the same time.
    pub at_once: usize,
    /// Bytes of the body in every other race.
    pub large: usize,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self { ways: 32, rounds: 20, at_once: 4, large: 64 << 10 }
    }
}

/// What the probe found about a usable store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// Races, each with exactly one winner.
    pub races: usize,
    /// Writers in each race.
    pub ways: usize,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The store cannot be reached, or refuses requests.
    #[error("the state store cannot be used: {0}; check [state] location and its credentials")]
    Store(#[from] StoreError),
    /// The store answers, but creates have no clear result.
    #[error("the state store cannot be used: {0}; check [state] location and its credentials")]
    Create(#[from] CreateError),
    /// Several writers won the same key.
    #[error(
        "this store cannot coordinate queries: {winners} of {ways} writers won the same key, so its conditional create (If-None-Match: *) is not atomic; use a store that has it, such as Amazon S3, MinIO or a local folder"
    )]
    NotAtomic {
        /// Number of winners.
        winners: usize,
        /// Number of writers.
        ways: usize,
    },
    /// A create replaced an existing object.
    #[error(
        "this store cannot coordinate queries: it ignores conditional creates (If-None-Match: *) and overwrote an object; use a store that has them"
    )]
    Overwrites,
    /// What was read or listed is not what was written.
    #[error("this store cannot coordinate queries: {0}")]
    Inconsistent(&'static str),
}

impl Unfit {
    /// Whether another probe may find the store fit.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Create(error) => error.is_retryable(),
            Self::NotAtomic { .. } | Self::Overwrites | Self::Inconsistent(_) => false,
        }
    }
}

/// Probes a store. Everything that it writes is below `probe/` and is deleted afterwards.
///
/// # Errors
/// See [`Unfit`].
pub async fn probe(
    store: &dyn ControlStore,
    env: &Env,
    options: ProbeOptions,
) -> Result<ProbeReport, Unfit> {
    let nonce = env.nonce();
    let nonce = nonce.as_str();
    let outcome = async {
        basics(store, env, nonce).await?;
        stream::iter(0..options.rounds)
            .map(|round| race(store, env, nonce, round, options))
            .buffer_unordered(options.at_once.max(1))
            .try_collect::<()>()
            .await
    }
    .await;
    let written = store.list(&keys::probe_prefix(nonce)).await.unwrap_or_default();
    join_all(written.iter().map(|entry| store.delete(&entry.key))).await;
    outcome.map(|()| ProbeReport { races: options.rounds, ways: options.ways })
}

async fn basics(store: &dyn ControlStore, env: &Env, nonce: &str) -> Result<(), Unfit> {
    let (prefix, key) = (keys::probe_prefix(nonce), keys::probe_basics(nonce));
    let body = Bytes::from(env.nonce());
    store.put_if_absent(&key, body.clone()).await?;
    match store.get(&key).await? {
        Some(got) if got.body == body => {}
        Some(_) => return Err(Unfit::Inconsistent("an object reads back with other bytes")),
        None => {
            return Err(Unfit::Inconsistent("an object cannot be read right after it was created"));
        }
    }
    if matches!(store.put_if_absent(&key, Bytes::from(env.nonce())).await?, Put::Created) {
        return Err(Unfit::Overwrites);
    }
    if store.get(&key).await?.map(|got| got.body) != Some(body) {
        return Err(Unfit::Overwrites);
    }
    if !store.list(&prefix).await?.iter().any(|entry| entry.key == key) {
        return Err(Unfit::Inconsistent("LIST does not show an object that was just created"));
    }
    store.delete(&key).await?;
    if store.get(&key).await?.is_some() {
        return Err(Unfit::Inconsistent("a deleted object can still be read"));
    }
    if store.list(&prefix).await?.iter().any(|entry| entry.key == key) {
        return Err(Unfit::Inconsistent("LIST still shows a deleted object"));
    }
    Ok(())
}

async fn race(
    store: &dyn ControlStore,
    env: &Env,
    nonce: &str,
    round: usize,
    options: ProbeOptions,
) -> Result<(), Unfit> {
    let key = keys::probe_race(nonce, round);
    let filler = if round.is_multiple_of(2) { 0 } else { options.large };
    let contenders = (0..options.ways).map(|_| async {
        let nonce = env.nonce();
        let body = format!("{{\"nonce\":\"{nonce}\",\"filler\":\"{}\"}}", "x".repeat(filler));
        create::decide(store, env, &key, Bytes::from(body), &nonce).await
    });
    let mut winners = 0;
    for outcome in join_all(contenders).await {
        if outcome? == Decision::Won {
            winners += 1;
        }
    }
    if winners == 1 { Ok(()) } else { Err(Unfit::NotAtomic { winners, ways: options.ways }) }
}
