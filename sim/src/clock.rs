//! Time that stands still while anything can run, and then jumps to the next sleeper.
//!
//! ```text
//!   sleep(30 ms) ──> sleepers, by time and order        tasks run ──> none is left
//!                        │                                               │
//!                        └── the earliest alone is woken <── on_thread_park
//! ```
//! It exists because Tokio's paused time needs a feature that the workspace does not turn on, and counts in milliseconds:
//! all sleepers of one millisecond wake together. Here each wakes alone, and `select!` draws from the seed as well (that
//! is what `tokio_unstable` in `.cargo/config.toml` is for), so a run is a function of its seed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dunlin_manifest::env::{Clock, Entropy, Env, Offload};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::RngSeed;

/// Milliseconds since 1970 when a simulation begins. Any number would do.
const BEGIN_MS: u64 = 1_800_000_000_000;

/// The clock of all processes of a simulation.
#[derive(Clone, Debug, Default)]
pub struct SimClock(Arc<Mutex<Sleepers>>);

#[derive(Debug, Default)]
struct Sleepers {
    now: Duration,
    next: u64,
    waiting: BTreeMap<(Duration, u64), Waker>,
}

impl SimClock {
    /// The time since the simulation began.
    pub fn now(&self) -> Duration {
        self.0.lock().now
    }

    /// A time of this clock as the time since 1970.
    pub fn since_1970(at: Duration) -> Duration {
        Duration::from_millis(BEGIN_MS) + at
    }

    /// Runs `work` and what it spawns on this thread, with this clock.
    pub fn run<T>(&self, seed: u64, work: impl Future<Output = T>) -> std::io::Result<T> {
        let clock = self.clone();
        // Without drivers: what asks for real time or for a socket panics.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .on_thread_park(move || clock.turn())
            .rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()))
            .build()?;
        Ok(runtime.block_on(work))
    }

    /// Wakes the sleeper whose time comes first. Nothing else can run, so nothing happens before.
    fn turn(&self) {
        let woken = {
            let mut sleepers = self.0.lock();
            let first = sleepers.waiting.pop_first();
            first.map(|((at, _), waker)| {
                sleepers.now = sleepers.now.max(at);
                waker
            })
        };
        if let Some(waker) = woken {
            waker.wake();
        }
    }

    /// The environment of processes with this clock. All draw from one source of numbers, in the order in which they
    /// come.
    pub fn env(&self, seed: u64) -> Env {
        Env {
            clock: Arc::new(self.clone()),
            entropy: Arc::new(Seeded(Mutex::new(seed))),
            offload: Arc::new(InPlace),
        }
    }
}

impl Clock for SimClock {
    fn monotonic(&self) -> Duration {
        self.now()
    }

    fn wall_ms(&self) -> u64 {
        u64::try_from(Self::since_1970(self.now()).as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let at = self.now().saturating_add(duration);
        Sleep { sleepers: Arc::clone(&self.0), at, number: None }.boxed()
    }
}

struct Sleep {
    sleepers: Arc<Mutex<Sleepers>>,
    at: Duration,
    /// Its place among the sleepers of the same time, once it is one of them.
    number: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = Arc::clone(&self.sleepers);
        let mut sleepers = shared.lock();
        if sleepers.now >= self.at {
            return Poll::Ready(());
        }
        let number = *self.number.get_or_insert(sleepers.next);
        sleepers.next = sleepers.next.max(number + 1);
        sleepers.waiting.insert((self.at, number), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.sleepers.lock().waiting.remove(&(self.at, number));
        }
    }
}

/// `SplitMix64`.
#[derive(Debug)]
struct Seeded(Mutex<u64>);

impl Entropy for Seeded {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.0.lock();
        for bytes in buffer.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            bytes.copy_from_slice(&mixed(*state).to_le_bytes()[..bytes.len()]);
        }
    }
}

/// A number that looks random and depends on nothing but `number`.
pub fn mixed(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Runs blocking work at once, because another thread would not be waited for.
#[derive(Debug)]
struct InPlace;

impl Offload for InPlace {
    fn run(&self, work: Box<dyn FnOnce() + Send + 'static>) -> BoxFuture<'static, ()> {
        work();
        futures::future::ready(()).boxed()
    }
}
