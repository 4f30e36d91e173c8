//! The environment of a decision: time, randomness and blocking work.
//!
//! Everything in Dunlin that needs one of these takes it from an [`Env`], so that a whole run can be replayed from a
//! seed. The simulator passes a paused clock, a seeded generator and an offload that runs the work in place. This
//! file is the only one that may read the system clock or the system's entropy.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;

use crate::model::ids::QueryId;

/// Time as one process sees it. It is never compared between machines.
pub trait Clock: Send + Sync + Debug {
    /// Time since this clock was made. It never decreases.
    fn monotonic(&self) -> Duration;
    /// Milliseconds since 1970, for ids and for people. No decision reads it.
    fn wall_ms(&self) -> u64;
    /// Sleeps for `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Fresh random bits.
pub trait Entropy: Send + Sync + Debug {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// Runs work that would block an async thread (encoding, compression, planning).
pub trait Offload: Send + Sync + Debug {
    /// Runs `work` where it may block. The future resolves when the work has run.
    fn run(&self, work: Box<dyn FnOnce() + Send + 'static>) -> BoxFuture<'static, ()>;
}

/// The injected environment. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Env {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Blocking work.
    pub offload: Arc<dyn Offload>,
}

impl Env {
    /// The real environment: system clock, operating-system entropy, Tokio's blocking pool.
    #[must_use]
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock { start: Instant::now() }),
            entropy: Arc::new(SystemEntropy),
            offload: Arc::new(BlockingPool),
        }
    }

    /// 128 fresh random bits as 32 hex digits: the nonce of a decision record.
    #[must_use]
    pub fn nonce(&self) -> String {
        let mut bytes = [0u8; 16];
        self.entropy.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A random number in `0..bound` (`bound` > 0).
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0u8; 8];
        self.entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes) % bound.max(1)
    }

    /// `base` with ±50 % jitter, so that many pollers do not poll at the same moment.
    #[must_use]
    pub fn jitter(&self, base: Duration) -> Duration {
        let micros = u64::try_from(base.as_micros()).unwrap_or(u64::MAX / 4).max(2);
        Duration::from_micros(micros / 2 + self.below(micros))
    }

    /// Runs `work` on the offload. Returns its result, or `None` if it panicked.
    pub async fn offload<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.offload
            .run(Box::new(move || {
                let _ = sender.send(work());
            }))
            .await;
        receiver.await.ok()
    }
}

impl QueryId {
    /// A fresh id from the environment's clock and entropy.
    #[must_use]
    pub fn new(env: &Env) -> Self {
        let mut random = [0u8; 10];
        env.entropy.fill(&mut random);
        Self::at(env.clock.wall_ms(), &random)
    }
}

#[derive(Debug)]
struct SystemClock {
    start: Instant,
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map(|elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
            .unwrap_or(0)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[derive(Debug)]
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        rand::RngCore::fill_bytes(&mut rand::rng(), buffer);
    }
}

#[derive(Debug)]
struct BlockingPool;

impl Offload for BlockingPool {
    fn run(&self, work: Box<dyn FnOnce() + Send + 'static>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _ = tokio::task::spawn_blocking(work).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_fresh_ids_differ_and_are_of_version_7() {
        let env = Env::system();
        let (one, two) = (QueryId::new(&env), QueryId::new(&env));
        assert_ne!(one, two);
        assert_eq!(QueryId::parse(one.as_str()), Some(one.clone()));
        assert_eq!(&one.as_str()[14..15], "7");
    }
}
