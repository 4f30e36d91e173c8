//! The errors of the exchange, with a type for each. Code that runs a task must know whether another attempt may
//! help, and must never have to read a message for that.

use arrow_schema::ArrowError;
use datafusion::error::DataFusionError;
use dunlin_manifest::query::AdvanceError;

/// An error of the exchange.
#[derive(Debug, thiserror::Error)]
pub enum ShuffleError {
    /// The bytes of a slice differ from those that the producer recorded, and repeated reads do not help.
    #[error("exchange data {key} at {offset}+{len} is damaged: {reason}")]
    Corrupt {
        /// Key below the state's prefix, or `inline`.
        key: String,
        /// First byte of the slice.
        offset: u64,
        /// Recorded length of the slice.
        len: u64,
        /// What did not match.
        reason: String,
    },
    /// The store failed to return a slice.
    #[error("exchange data {key} cannot be read: {source}")]
    Read {
        /// Key below the state's prefix.
        key: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// The store failed to write a part.
    #[error("exchange data {key} cannot be written: {source}")]
    Write {
        /// Key below the state's prefix.
        key: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// Nothing may be written: the attempt does not have its claim, or what it rests on is not confirmed.
    #[error("exchange data may not be written: {0}")]
    NotReady(String),
    /// A seal contradicts itself.
    #[error("malformed exchange record: {0}")]
    Malformed(String),
    /// The seals of a stage's groups could not be read.
    #[error("it cannot be read where exchange data is: {0}")]
    Blocks(#[from] AdvanceError),
    /// Rows could not be encoded.
    #[error("rows cannot be encoded: {0}")]
    Encode(#[from] ArrowError),
    /// Rows have other types than the exchange declares.
    #[error("rows do not fit the schema of the exchange: {0}")]
    Schema(String),
    /// The plan reads a stage for which the task has no data.
    #[error("no exchange data of stage {stage}: the task's inputs name stages {known:?}")]
    UnknownStage {
        /// Stage that the plan reads.
        stage: u32,
        /// Stages for which the task has data.
        known: Vec<u32>,
    },
    /// A plan declares an order, but several unmerged runs have none.
    #[error(
        "bucket {bucket} of stage {stage} is declared ordered, but {tasks} tasks wrote to it: give each run its own partition and merge them"
    )]
    Unordered {
        /// Producer.
        stage: u32,
        /// Bucket.
        bucket: u32,
        /// Tasks with rows in it.
        tasks: usize,
    },
    /// The task's session has no exchange inputs.
    #[error(
        "the session has no exchange inputs: set `ExchangeInputs` with `SessionConfig::with_extension`"
    )]
    NoInputs,
    /// A background job panicked or was stopped.
    #[error("{0} did not end")]
    Lost(&'static str),
    /// The engine's own error.
    #[error(transparent)]
    Engine(#[from] DataFusionError),
}

impl ShuffleError {
    /// Whether another attempt, perhaps on another worker, may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read { source, .. } => !matches!(source, object_store::Error::NotFound { .. }),
            // The stored bytes may be correct. Another worker may read them through another network and memory.
            Self::Corrupt { .. } | Self::Write { .. } | Self::NotReady(_) | Self::Lost(_) => true,
            Self::Malformed(_)
            | Self::Encode(_)
            | Self::Schema(_)
            | Self::UnknownStage { .. }
            | Self::Unordered { .. }
            | Self::NoInputs => false,
            Self::Blocks(error) => error.is_retryable(),
            Self::Engine(error) => engine_retryable(error),
        }
    }
}

fn engine_retryable(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::IoError(_) => true,
        DataFusionError::External(inner) => {
            inner.downcast_ref::<ShuffleError>().is_some_and(ShuffleError::is_retryable)
        }
        _ => false,
    }
}

impl From<ShuffleError> for DataFusionError {
    fn from(error: ShuffleError) -> Self {
        match error {
            ShuffleError::Engine(inner) => inner,
            other => DataFusionError::External(Box::new(other)),
        }
    }
}
