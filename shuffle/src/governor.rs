//! How much a process may have under way. Many partitions read at once; without a common bound their
//! fetches would need memory in proportion to the partitions, and a burst of requests meets throttling.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bounds on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes being fetched at one time by all who share the governor.
    pub in_flight_bytes: u64,
    /// Slices that a partition fetches ahead of the one being read.
    pub slices_ahead: usize,
    /// Bytes that a partition fetches ahead; one slice may always be under way.
    pub bytes_ahead: u64,
    /// Small batches are joined up to this many rows.
    pub batch_rows: usize,
    /// GETs of one slice before giving up, each of which the store's client may itself retry.
    pub attempts: u32,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            in_flight_bytes: 48 << 20,
            slices_ahead: 4,
            bytes_ahead: 16 << 20,
            batch_rows: 8192,
            attempts: 4,
        }
    }
}

/// The shared bound of a process: make one, clone it for every task.
#[derive(Clone, Debug)]
pub struct ReadGovernor {
    limits: ReadLimits,
    // In KiB: a semaphore's permits are counted in 32 bits.
    permits: Arc<Semaphore>,
    total_kib: u32,
}

impl Default for ReadGovernor {
    fn default() -> Self {
        Self::new(ReadLimits::default())
    }
}

impl ReadGovernor {
    /// A governor with these limits.
    #[must_use]
    pub fn new(limits: ReadLimits) -> Self {
        let total_kib =
            u32::try_from((limits.in_flight_bytes >> 10).clamp(1, 1 << 28)).unwrap_or(1 << 28);
        Self { limits, permits: Arc::new(Semaphore::new(total_kib as usize)), total_kib }
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> ReadLimits {
        self.limits
    }

    /// Waits until `bytes` more may be under way. What exceeds the whole bound waits to be alone.
    ///
    /// A permit is held while a fetch runs in a task of its own, never while its rows wait for a
    /// reader: partitions that a merge does not poll could otherwise starve the one it waits for.
    pub(crate) async fn acquire(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, self.total_kib);
        // The semaphore is never closed, so there is always a permit in the end.
        Arc::clone(&self.permits).acquire_many_owned(kib).await.ok()
    }
}
