//! How much a process may fetch at once. Many partitions read at the same time. Without a common limit, their fetches
//! would need memory in proportion to the number of partitions, and a burst of requests would be throttled.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes being fetched at the same time by all users of the governor.
    pub in_flight_bytes: u64,
    /// Slices that a partition fetches before the current one is read.
    pub slices_ahead: usize,
    /// Bytes that a partition fetches in advance. One slice may always be in progress.
    pub bytes_ahead: u64,
    /// Small batches are joined up to this many rows.
    pub batch_rows: usize,
    /// GETs of one slice before giving up. The store's client may retry each of them.
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

/// The shared limit of a process: create one and clone it for every task.
#[derive(Clone, Debug)]
pub struct ReadGovernor {
    limits: ReadLimits,
    // In KiB, because the number of a semaphore's permits has 32 bits.
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

    /// Waits until `bytes` more may be fetched. A request that is larger than the whole limit waits until nothing
    /// else is fetched.
    ///
    /// A permit is held while a fetch runs in a task of its own, but never while its rows wait for a reader.
    /// Otherwise partitions that a merge does not poll could block the partition that it waits for.
    pub(crate) async fn acquire(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, self.total_kib);
        // The semaphore is never closed, so a permit always becomes free.
        Arc::clone(&self.permits).acquire_many_owned(kib).await.ok()
    }
}
