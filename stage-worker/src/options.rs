//! What a worker may use and how often it looks: every number of a worker process is set here.

use std::path::PathBuf;
use std::time::Duration;

/// What a worker process may use, and how it looks for work.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Tasks run at once.
    pub slots: usize,
    /// Memory that operators and the exchange may reserve, in bytes, for the whole process.
    pub memory_bytes: usize,
    /// Folder for spills.
    pub spill_dir: Option<PathBuf>,
    /// Pause between two looks while there is work about.
    pub active_poll: Duration,
    /// Longest pause between two looks at the bell while there is none.
    pub idle_poll: Duration,
    /// Pause after which an idle worker looks whether or not the bell rang: a lost ring costs this much.
    pub sweep: Duration,
}

impl WorkerOptions {
    /// Periods for a state on a folder or in memory, where a look costs microseconds.
    #[must_use]
    pub fn local(slots: usize, memory_bytes: usize) -> Self {
        Self {
            slots,
            memory_bytes,
            spill_dir: None,
            active_poll: Duration::from_millis(7),
            idle_poll: Duration::from_millis(50),
            sweep: Duration::from_secs(2),
        }
    }

    /// Periods for a state across a network: an idle worker's GETs of the bell cost $0.035 a day.
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
