//! Whether the functions of a configuration can be used: asked when a gateway starts, so that a mistake is told then and not
//! by queries that wait.

use crate::call::{CallError, Kind};
use crate::event::{About, Event, alias};
use crate::functions::Functions;

/// Why functions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no such function.
    #[error(
        "the function {0} does not exist in this account and region: create it (terraform apply), correct its name in [functions], or set the region; if it exists without this alias, it has another build than this gateway, and qualify = false calls it without one"
    )]
    Missing(String),
    /// It may not be called.
    #[error(
        "this gateway may not call the function {0}: its role or user needs lambda:InvokeFunction on it"
    )]
    Denied(String),
    /// The credentials cannot be used.
    #[error(
        "the functions cannot be called, because the credentials cannot be used: {0}; give the gateway a role, or new credentials in its environment"
    )]
    Credentials(String),
    /// It is of another build.
    #[error(
        "the function {function} is build {found}, and this gateway is build {wanted}: deploy the package of the same build (scripts/lambda-zip) to both"
    )]
    OtherBuild {
        /// The function.
        function: String,
        /// Its build.
        found: String,
        /// The gateway's build.
        wanted: String,
    },
    /// It does not start, or is no worker.
    #[error(
        "the function {function} does not answer as a worker does: {message}; look at its log, and at its configuration"
    )]
    NoWorker {
        /// The function.
        function: String,
        /// What it said.
        message: String,
    },
    /// It has another memory than the configuration says.
    #[error(
        "the function {function} has {found} MB, and [functions] says {wanted} MB: correct memory_mb of its class"
    )]
    OtherMemory {
        /// The function.
        function: String,
        /// Its memory.
        found: u64,
        /// The memory in the configuration.
        wanted: u64,
    },
}

/// Looks at every function, asks one of each class what it is, and asks for the account's limit. Returns what should be
/// known but keeps nobody from working: functions that take no calls at present, a service that does not answer, or an
/// account that may run fewer functions than the configuration.
///
/// # Errors
/// What must be corrected first.
pub async fn check(functions: &Functions, build: &str) -> Result<Vec<String>, CheckError> {
    let mut notes = Vec::new();
    let qualifier = functions.qualifier(build);
    for class in functions.classes() {
        for (index, name) in class.names.iter().enumerate() {
            let call = |kind, event: &Event| {
                let payload = serde_json::to_vec(event).unwrap_or_default();
                functions.caller().call(name, qualifier.as_deref(), kind, payload)
            };
            let about = Event { about: true, ..Event::default() };
            if let Err(error) = call(Kind::DryRun, &about).await {
                notes.push(sentence(error)?);
                continue;
            }
            // Copies have the same package.
            if index > 0 {
                continue;
            }
            match call(Kind::Answer, &about).await {
                Ok(body) => is_right(name, &body, class.memory_mb, build)?,
                Err(error) => notes.push(sentence(error)?),
            }
        }
    }
    let limit = functions.caller().account_limit().await;
    notes.extend(limit.and_then(|limit| below(functions.most(), limit)));
    Ok(notes)
}

/// What is said of an account that may run fewer functions at once than the configuration.
fn below(most: u32, limit: u32) -> Option<String> {
    (limit < most).then(|| {
        format!(
            "this account may run {limit} functions at once in this region, and [functions] most_calls is {most}: queries with more tasks take longer, and other functions of the account share this limit. Ask for more in Service Quotas (AWS Lambda, Concurrent executions; a new account has 10), or lower most_calls"
        )
    })
}

fn is_right(name: &str, body: &[u8], memory_mb: u64, build: &str) -> Result<(), CheckError> {
    let function = name.to_owned();
    let about: About = serde_json::from_slice(body).map_err(|_| CheckError::NoWorker {
        function: function.clone(),
        message: String::from_utf8_lossy(body).chars().take(200).collect(),
    })?;
    let wanted = alias(build);
    if about.package.build != wanted {
        return Err(CheckError::OtherBuild { function, found: about.package.build, wanted });
    }
    if about.memory_mb != memory_mb {
        let found = about.memory_mb;
        return Err(CheckError::OtherMemory { function, found, wanted: memory_mb });
    }
    Ok(())
}

/// An error that must be corrected, or what should be known.
fn sentence(error: CallError) -> Result<String, CheckError> {
    match error {
        CallError::Missing(function) => Err(CheckError::Missing(function)),
        CallError::Denied(function) => Err(CheckError::Denied(function)),
        CallError::Credentials { message, .. } => Err(CheckError::Credentials(message)),
        CallError::Failed { function, message } => Err(CheckError::NoWorker { function, message }),
        CallError::Throttled(function) => Ok(format!(
            "the function {function} takes no calls now: its reserved concurrency may be 0, or the account's is used up (a new account may run 10 functions at once: ask for more in Service Quotas, AWS Lambda, Concurrent executions); queries wait until it takes some"
        )),
        CallError::Unavailable { .. } => Ok(error.to_string()),
    }
}
