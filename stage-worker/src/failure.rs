//! Why an attempt failed, and whether another one may help.
//!
//! ```text
//!   error of the engine, the exchange, a write, a disk ─> its root cause ─> class, code, sentence ─> `fail` record
//! ```

use datafusion::error::DataFusionError;
use dunlin_manifest::records::{ErrorCode, FailClass};
use dunlin_plan::write::WriteError;
use dunlin_plan::{damaged, disk, words};
use dunlin_shuffle::ShuffleError;

/// Why an attempt failed, with the content of its `fail` record.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct AttemptError {
    /// Whether another attempt may help.
    pub class: FailClass,
    /// Code for the API.
    pub code: ErrorCode,
    /// What went wrong.
    pub message: String,
}

impl AttemptError {
    /// The worker leaves the task to others.
    pub(crate) fn given_back() -> Self {
        Self {
            class: FailClass::GiveBack,
            code: ErrorCode::GivenBack,
            message: "the worker was asked to stop".to_owned(),
        }
    }
}

/// Whether another attempt may help, decided by the root cause of the error.
pub(crate) fn classify(error: &DataFusionError) -> AttemptError {
    classify_reading(error, &[])
}

/// As [`classify`]. `read` are the files that were read until then, for the message.
pub(crate) fn classify_reading(error: &DataFusionError, read: &[String]) -> AttemptError {
    let message = words::sentence_in(error, read);
    if damaged::is_damage(error) {
        // Every attempt would find the file as it is.
        return AttemptError { class: FailClass::Fatal, code: ErrorCode::ExecutionFailed, message };
    }
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(write) = cause.downcast_ref::<WriteError>() {
            let (class, code) = match write {
                WriteError::Exists { .. } | WriteError::Taken { .. } => {
                    (FailClass::Fatal, ErrorCode::TargetExists)
                }
                // Who has cancelled it ends the query in a moment, if it does not die before.
                WriteError::Cancelled => (FailClass::Retry, ErrorCode::Cancelled),
                _ => (FailClass::Fatal, ErrorCode::ExecutionFailed),
            };
            return AttemptError { class, code, message: write.to_string() };
        }
        if let Some(shuffle) = cause.downcast_ref::<ShuffleError>() {
            return classify_shuffle(shuffle);
        }
        if disk::is_full(cause) {
            return AttemptError { class: FailClass::Retry, code: ErrorCode::DiskFull, message };
        }
        if let Some(store) = cause.downcast_ref::<object_store::Error>() {
            let code = ErrorCode::StoreUnavailable;
            return AttemptError { class: class_of_store(store), code, message };
        }
        if cause.is::<std::io::Error>() {
            let code = ErrorCode::StoreUnavailable;
            return AttemptError { class: FailClass::Retry, code, message };
        }
        source = cause.source();
    }
    let (class, code) = match error.find_root() {
        DataFusionError::ObjectStore(store) => (class_of_store(store), ErrorCode::StoreUnavailable),
        DataFusionError::IoError(_) => (FailClass::Retry, ErrorCode::StoreUnavailable),
        DataFusionError::ResourcesExhausted(_) => (FailClass::Retry, ErrorCode::OutOfMemory),
        DataFusionError::ExecutionJoin(_) => (FailClass::Retry, ErrorCode::Internal),
        DataFusionError::Internal(_) => (FailClass::Fatal, ErrorCode::Internal),
        _ => (FailClass::Fatal, ErrorCode::ExecutionFailed),
    };
    AttemptError { class, code, message }
}

/// A store that has answered with what it means will answer so again. Any other trouble may pass.
fn class_of_store(error: &object_store::Error) -> FailClass {
    let is_trouble = match error {
        object_store::Error::Generic { source, .. } => {
            // What was sent, and what came back, is in the texts of the causes.
            let said = words::whole(source.as_ref());
            let is_told = ["No space left on device", "Permission denied"];
            words::meaning(&said).is_none() && !is_told.iter().any(|word| said.contains(word))
        }
        object_store::Error::JoinError { .. } => true,
        _ => false,
    };
    if is_trouble { FailClass::Store } else { FailClass::Retry }
}

/// The same of the exchange's error.
pub(crate) fn classify_shuffle(error: &ShuffleError) -> AttemptError {
    match error {
        ShuffleError::Engine(inner) => classify(inner),
        ShuffleError::Read { source, .. } | ShuffleError::Write { source, .. }
            if error.is_retryable() =>
        {
            AttemptError {
                class: class_of_store(source),
                code: ErrorCode::StoreUnavailable,
                message: words::with_cause(error.to_string()),
            }
        }
        other if other.is_retryable() => AttemptError {
            class: FailClass::Retry,
            code: ErrorCode::StoreUnavailable,
            message: words::with_cause(other.to_string()),
        },
        other => AttemptError {
            class: FailClass::Fatal,
            code: ErrorCode::ExchangeFailed,
            message: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use datafusion::execution::disk_manager::DiskManagerBuilder;

    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_and_may_be_tried_elsewhere() {
        // The engine's own error for spills over their limit.
        let disk = DiskManagerBuilder::default().with_max_temp_directory_size(1).build().unwrap();
        let file = Arc::new(disk).create_tmp_file("spill").unwrap();
        let over = file.open_writer().unwrap().write_all(&[0; 4_096]).unwrap_err();
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        for error in [over, full] {
            let error = classify(&DataFusionError::IoError(error));
            assert_eq!(
                (error.class, &error.code),
                (FailClass::Retry, &ErrorCode::DiskFull),
                "{error}"
            );
        }
        let other = classify(&DataFusionError::IoError(std::io::Error::other("reset")));
        assert_eq!(other.code, ErrorCode::StoreUnavailable);
        let memory = classify(&DataFusionError::ResourcesExhausted("no memory".to_owned()));
        assert_eq!(memory.code, ErrorCode::OutOfMemory);
    }
}
