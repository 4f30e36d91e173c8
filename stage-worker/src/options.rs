//! What a worker may use and how often it looks for work. Every number of a worker process is set here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::query::Wake;
use dunlin_plan::config::check_pool;

/// All pools, where a worker is told its own.
const ALL: &str = "*";

/// Which queries a worker runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pool {
    /// Those that are for no pool.
    #[default]
    None,
    /// Those for this pool.
    Named(String),
    /// All of them.
    All,
}

impl Pool {
    /// The pool of this name, all of them (`*`), or none.
    ///
    /// # Errors
    /// It cannot be the name of a pool.
    pub fn of(name: Option<String>) -> Result<Self, String> {
        match name {
            None => Ok(Self::None),
            Some(name) if name == ALL => Ok(Self::All),
            Some(name) => check_pool(&name).map(|()| Self::Named(name)),
        }
    }

    /// Whether it runs queries for this pool.
    #[must_use]
    pub fn runs(&self, pool: Option<&str>) -> bool {
        match self {
            Self::None => pool.is_none(),
            Self::Named(own) => pool == Some(own),
            Self::All => true,
        }
    }
}

/// What a worker process may use, and how it looks for work.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The worker's name in claims and commits, and where it listens for news. A new one if not set.
    pub name: Option<String>,
    /// Which queries it runs. It looks after no others.
    pub pool: Pool,
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
            pool: Pool::None,
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
