//! How a worker learns of work before it looks.
//!
//! A worker finds work by looking at the store, and the bell tells it when to look. Both take requests of 27 ms, and
//! the bell is read about once a second. A [`Wake`] is a faster way, if there is one: it names the query. Nothing
//! depends on it.

use std::fmt::Debug;

use async_trait::async_trait;
use dunlin_manifest::query::{Heard, News};

/// A way in which processes tell each other of work. News may be lost, late, repeated or wrong.
#[async_trait]
pub trait Wake: Send + Sync + Debug {
    /// Tells other processes.
    async fn tell(&self, news: News);

    /// Waits until another process has told something, or until it can no longer be told.
    async fn listen(&self) -> Heard;
}
