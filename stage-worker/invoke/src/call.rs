//! One call of a function, with the AWS SDK.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is put into the function's queue.
    Event,
    /// Its answer is waited for.
    Answer,
    /// It is only looked whether the call would be allowed.
    DryRun,
}

/// A way to call functions.
#[async_trait]
pub trait Call: Send + Sync + Debug {
    /// Calls `function`, at `qualifier` if there is one. Returns its answer, which is empty unless it was waited for.
    async fn call(
        &self,
        function: &str,
        qualifier: Option<&str>,
        kind: Kind,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, CallError>;

    /// How many calls the account may have under way at once in this region, over all its functions; `None` if this
    /// process cannot know it, because it may not ask or gets no answer.
    async fn account_limit(&self) -> Option<u32>;
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no such function, or it has no such alias.
    #[error("the function {0} does not exist")]
    Missing(String),
    /// The role or user of this process may not call it.
    #[error("this process may not call the function {0}")]
    Denied(String),
    /// The credentials are wrong, expired, or not there.
    #[error(
        "the credentials of this process cannot be used to call the function {function}: {message}"
    )]
    Credentials {
        /// The function.
        function: String,
        /// What the service or the SDK says.
        message: String,
    },
    /// All calls that it may take are under way, or it may take none.
    #[error("the function {0} takes no more calls")]
    Throttled(String),
    /// The function has failed.
    #[error("the function {function} failed: {message}")]
    Failed {
        /// The function.
        function: String,
        /// Its error.
        message: String,
    },
    /// The service did not answer, or with an error of its own.
    #[error("the function {function} could not be called: {message}")]
    Unavailable {
        /// The function.
        function: String,
        /// What the SDK says.
        message: String,
    },
}

impl CallError {
    /// True if the same call may succeed later without any change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Throttled(_) | Self::Unavailable { .. })
    }
}

/// Longest time of a call that is put into a queue, with its retries.
const QUEUEING: Duration = Duration::from_secs(10);
/// Longest time of one try.
const TRY: Duration = Duration::from_secs(4);
/// Longest time of a call whose answer is waited for. It may start an environment.
const ANSWER: Duration = Duration::from_secs(30);

/// Calls through the AWS SDK. Credentials, region and endpoint come from the environment or the role, as with every tool
/// of AWS, unless they are given.
#[derive(Clone, Debug)]
pub struct Sdk {
    client: Client,
}

impl Sdk {
    /// Reads the environment. Credentials are asked for with the first call.
    pub async fn new(region: Option<&str>, endpoint: Option<&str>) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(QUEUEING)
            .operation_attempt_timeout(TRY)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts);
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(endpoint) = endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        Self { client: Client::new(&loader.load().await) }
    }
}

#[async_trait]
impl Call for Sdk {
    async fn call(
        &self,
        function: &str,
        qualifier: Option<&str>,
        kind: Kind,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        let request = self
            .client
            .invoke()
            .function_name(function)
            .set_qualifier(qualifier.map(ToOwned::to_owned))
            .invocation_type(match kind {
                Kind::Event => InvocationType::Event,
                Kind::Answer => InvocationType::RequestResponse,
                Kind::DryRun => InvocationType::DryRun,
            })
            .payload(Blob::new(payload));
        let longer = aws_sdk_lambda::config::Config::builder().timeout_config(
            TimeoutConfig::builder()
                .operation_timeout(ANSWER)
                .operation_attempt_timeout(ANSWER)
                .build(),
        );
        let sent = match kind {
            Kind::Answer => request.customize().config_override(longer).send().await,
            Kind::Event | Kind::DryRun => request.send().await,
        };
        let name = || match qualifier {
            Some(qualifier) => format!("{function}:{qualifier}"),
            None => function.to_owned(),
        };
        let answer = sent.map_err(|error| classify(name(), &error))?;
        let body = answer.payload.map(Blob::into_inner).unwrap_or_default();
        if answer.function_error.is_some() {
            let message = String::from_utf8_lossy(&body).into_owned();
            return Err(CallError::Failed { function: name(), message });
        }
        Ok(body)
    }

    async fn account_limit(&self) -> Option<u32> {
        match self.client.get_account_settings().send().await {
            Ok(settings) => u32::try_from(settings.account_limit?.concurrent_executions).ok(),
            Err(error) => {
                let error = aws_sdk_lambda::error::DisplayErrorContext(&error);
                tracing::debug!(%error, "the account's limit of calls is not known");
                None
            }
        }
    }
}

fn classify(function: String, error: &SdkError<InvokeError>) -> CallError {
    let message = aws_sdk_lambda::error::DisplayErrorContext(error).to_string();
    if matches!(error, SdkError::ConstructionFailure(_)) {
        // Nothing was sent: there are no credentials, or no region.
        return CallError::Credentials { function, message };
    }
    let Some(service) = error.as_service_error() else {
        return match message.contains("credentials") {
            true => CallError::Credentials { function, message },
            false => CallError::Unavailable { function, message },
        };
    };
    match service.meta().code().unwrap_or_default() {
        "ResourceNotFoundException" => CallError::Missing(function),
        "AccessDeniedException" => CallError::Denied(function),
        "TooManyRequestsException" => CallError::Throttled(function),
        "UnrecognizedClientException"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "InvalidClientTokenId" => CallError::Credentials { function, message },
        _ => CallError::Unavailable { function, message },
    }
}
