//! A limited number of seats with a limited queue, so that one kind of work cannot use a whole process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dunlin_manifest::env::Env;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{CoreError, ErrorKind};

/// Seats for one kind of work.
#[derive(Debug)]
pub(super) struct Seats {
    /// The work that uses the seats, for people: `statements are planned`.
    work: &'static str,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    seats: usize,
    queue: usize,
}

/// A seat. Dropping it gives it to the next waiter.
#[derive(Debug)]
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
}

/// A place in the queue.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Seats {
    /// `seats` at a time, and at most `queue` waiters.
    pub(super) fn new(work: &'static str, seats: usize, queue: usize) -> Self {
        let free = Arc::new(Semaphore::new(seats));
        Self { work, free, waiting: AtomicUsize::new(0), seats, queue }
    }

    /// Takes a seat, and waits at most `patience` for it. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// `GATEWAY_BUSY` if the queue is full or the wait is over.
    pub(super) async fn take(&self, env: &Env, patience: Duration) -> Result<Seat, CoreError> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(Seat { _permit: permit });
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(self.busy());
        }
        let _place = Place(&self.waiting);
        tokio::select! {
            permit = Arc::clone(&self.free).acquire_owned() => match permit {
                Ok(permit) => Ok(Seat { _permit: permit }),
                // The semaphore is never closed.
                Err(_) => Err(self.busy()),
            },
            () = env.clock.sleep(patience) => Err(self.busy()),
        }
    }

    /// Waiters.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn busy(&self) -> CoreError {
        ErrorKind::Busy(format!(
            "this gateway is busy: {} {} at once and {} more wait; try again later, or on another gateway",
            self.seats, self.work, self.queue
        ))
        .into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dunlin_manifest::records::ErrorCode;

    use super::*;

    #[tokio::test]
    async fn seats_are_bounded_and_so_is_the_queue() {
        let env = Env::system();
        let seats = Arc::new(Seats::new("tests run", 1, 1));
        let first = seats.take(&env, Duration::ZERO).await.unwrap();
        let (waits, env_of_second) = (Arc::clone(&seats), env.clone());
        let second = tokio::spawn(async move {
            waits.take(&env_of_second, Duration::from_secs(60)).await.map(|_| ())
        });
        while seats.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        // The queue is full, so a third waiter is refused at once, however long it would wait.
        let refused = seats.take(&env, Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::GatewayBusy);
        assert!(refused.is_retryable());
        drop(first);
        second.await.unwrap().unwrap();
        // A waiter that gives up leaves the queue.
        let held = seats.take(&env, Duration::ZERO).await.unwrap();
        assert!(seats.take(&env, Duration::from_millis(1)).await.is_err());
        assert_eq!(seats.waiting.load(Ordering::Relaxed), 0);
        drop(held);
    }
}
