//! What a worker may use and how often it looks for work. Every number of a worker process is set here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::query::Wake;

/// What a worker process may use, and how it looks for work.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The worker's name in claims and commits, and where it listens for news. A new one if not set.
    pub name: Option<String>,
    /// Tasks run at once.
    pub slots: usize,
    /// Memory that operators and the exchange may reserve, in bytes, for the whole process.
    pub memory_bytes: usize,
    /// Folder for spills.
    pub spill_dir: Option<PathBuf>,
    /// Pause between two looks while there are active queries.
    pub active_poll: Duration,
    /// Longest pause between two reads of the bell while there are none.
    pub idle_poll: Duration,
    /// Pause after which an idle worker looks even if the bell did not change. A lost ring delays work by at most
    /// this.
    pub sweep: Duration,
    /// A way to learn of work faster than by looking, if there is one.
    pub wake: Option<Arc<dyn Wake>>,
    /// This worker's level, if there are workers with more memory: it leaves tasks to them that need a higher level
    /// ([`QueryHandle::level`](dunlin_manifest::query::QueryHandle::level)).
    pub level: Option<u32>,
    /// Removes the hints of queries that have ended. A worker that may delete nothing leaves them to a sweeper.
    pub retires: bool,
    /// The most bytes that operators may spill to local disk, for the whole process; none: 100 GiB, the engine's own limit.
    pub spill_bytes: Option<u64>,
    /// The memory that the process may have in all before the operating system kills it; none: it is not looked at.
    pub resident_bytes: Option<u64>,
}

impl WorkerOptions {
    /// Periods for a state in a folder or in memory, where a look takes microseconds.
    #[must_use]
    pub fn local(slots: usize, memory_bytes: usize) -> Self {
        Self {
            name: None,
            slots,
            memory_bytes,
            spill_dir: None,
            active_poll: Duration::from_millis(7),
            idle_poll: Duration::from_millis(50),
            sweep: Duration::from_secs(2),
            wake: None,
            level: None,
            retires: true,
            spill_bytes: None,
            resident_bytes: None,
        }
    }

    /// Periods for a state across a network: the GETs of the bell by an idle worker cost $0.035 a day.
    #[must_use]
    pub fn remote(slots: usize, memory_bytes: usize) -> Self {
        Self {
            active_poll: Duration::from_millis(40),
            idle_poll: Duration::from_secs(1),
            sweep: Duration::from_secs(15),
            ..Self::local(slots, memory_bytes)
        }
    }
}
