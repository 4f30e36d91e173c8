//! Opening one store.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{HttpConnector, SpawnedReqwestConnector};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::http::{HttpBuilder, HttpStore};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::signer::Signer;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::StoreError;
use crate::config::StoreParams;
use crate::location::Location;
use crate::renewing::{Client, RenewingStore};
use crate::stores::only_new::Conditional;
use crate::stores::outside::{Inside, Outside, check_outside};

/// A store, and who makes links to its objects.
type Opened = (Arc<dyn ObjectStore>, Option<Arc<dyn Signer>>);

pub(super) fn open(
    location: &Location,
    params: &StoreParams,
    io: &tokio::runtime::Handle,
) -> Result<Opened, StoreError> {
    match location.store.scheme() {
        "file" => Ok((Arc::new(LocalFileSystem::new()), None)),
        "memory" => Ok((Arc::new(InMemory::new()), None)),
        "gs" => Ok((Arc::new(open_gs(location, params, io)?), None)),
        "az" => Ok((Arc::new(open_az(location, params, io)?), None)),
        "http" | "https" => {
            let connector = SpawnedReqwestConnector::new(io.clone());
            Ok((Arc::new(open_web(location, params, connector)?), None))
        }
        _ => {
            let (at, params, io) = (location.clone(), params.clone(), io.clone());
            let address = location.store.as_str();
            let store = RenewingStore::open(address, move || open_s3(&at, &params, &io))?;
            Ok((Arc::new(store.clone()), Some(Arc::new(store))))
        }
    }
}

/// A store that a statement names, reached with what the environment says. Of web servers, only those that anybody could
/// reach.
pub(super) fn open_named(
    location: &Location,
    io: &tokio::runtime::Handle,
) -> Result<Opened, StoreError> {
    let params = StoreParams::default();
    if !matches!(location.store.scheme(), "http" | "https") {
        return open(location, &params, io);
    }
    let inside = |error: Inside| StoreError::Invalid(error.to_string());
    check_outside(&location.store).map_err(inside)?;
    Ok((Arc::new(open_web(location, &params, Outside(io.clone()))?), None))
}

fn open_s3(
    location: &Location,
    params: &StoreParams,
    io: &tokio::runtime::Handle,
) -> Result<Client, StoreError> {
    let mut builder = AmazonS3Builder::from_env()
        .with_url(location.store.as_str())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retries())
        .with_http_connector(Conditional(io.clone()));
    let mut options = client_options(params)?;
    // Whoever sets an endpoint in the environment, as for every tool of AWS, says there whether it is encrypted.
    let from_env = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
    let from_env = from_env.into_iter().find_map(|name| std::env::var(name).ok());
    let plain = from_env.filter(|_| params.s3_endpoint.is_none());
    let plain = plain.is_some_and(|endpoint| endpoint.starts_with("http://"));
    if params.allow_http.unwrap_or(plain) {
        options = options.with_allow_http(true);
    }
    builder = builder.with_client_options(options);
    if let Some(endpoint) = &params.s3_endpoint {
        builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
    }
    builder = builder.with_region(
        params
            .s3_region
            .clone()
            .or_else(|| std::env::var("AWS_REGION").ok())
            .or_else(|| std::env::var("AWS_DEFAULT_REGION").ok())
            .unwrap_or_else(|| "us-east-1".to_owned()),
    );
    match params.s3_auth.as_deref() {
        Some("iam_role") => {}
        None | Some("key") => {
            if let (Some(key), Some(secret)) = (&params.s3_key, &params.s3_secret) {
                builder = builder.with_access_key_id(key).with_secret_access_key(secret);
            } else if params.s3_auth.is_some() || params.s3_key.is_some() {
                return Err(StoreError::Invalid(
                    "s3_auth = \"key\" needs both s3_key and s3_secret".to_owned(),
                ));
            }
            if let Some(token) = &params.s3_session_token {
                builder = builder.with_token(token);
            }
        }
        Some(other) => {
            return Err(StoreError::Invalid(format!(
                "s3_auth {other:?} is not known; use key or iam_role"
            )));
        }
    }
    if let Some(key) = params.options.keys().next() {
        return Err(StoreError::Invalid(format!(
            "{}: options has {key:?}; options are for gs and az, and s3 has keys of its own",
            location.address()
        )));
    }
    let is_fixed = builder.get_config_value(&AmazonS3ConfigKey::AccessKeyId).is_some();
    let store = opened(location, builder.build())?;
    Ok(Client { store, is_fixed })
}

fn open_gs(
    location: &Location,
    params: &StoreParams,
    io: &tokio::runtime::Handle,
) -> Result<GoogleCloudStorage, StoreError> {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_url(location.address())
        .with_retry(retries())
        .with_client_options(any_client_options(params)?)
        .with_http_connector(SpawnedReqwestConnector::new(io.clone()));
    for (key, value) in &params.options {
        let known = key.parse().map_err(|_| unknown_option(location, key))?;
        builder = builder.with_config(known, value);
    }
    opened(location, builder.build())
}

fn open_az(
    location: &Location,
    params: &StoreParams,
    io: &tokio::runtime::Handle,
) -> Result<MicrosoftAzure, StoreError> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_url(location.address())
        .with_retry(retries())
        .with_client_options(any_client_options(params)?)
        .with_http_connector(SpawnedReqwestConnector::new(io.clone()));
    for (key, value) in &params.options {
        let known = key.parse().map_err(|_| unknown_option(location, key))?;
        builder = builder.with_config(known, value);
    }
    opened(location, builder.build())
}

fn open_web(
    location: &Location,
    params: &StoreParams,
    connector: impl HttpConnector,
) -> Result<HttpStore, StoreError> {
    let plain = location.store.scheme() == "http";
    if plain && params.allow_http != Some(true) {
        return Err(StoreError::Invalid(format!(
            "{} is not encrypted; use https, or set allow_http = true",
            location.address()
        )));
    }
    let builder = HttpBuilder::new()
        .with_url(location.address())
        .with_retry(retries())
        .with_client_options(any_client_options(params)?)
        .with_http_connector(connector);
    opened(location, builder.build())
}

fn opened<T>(location: &Location, store: object_store::Result<T>) -> Result<T, StoreError> {
    store.map_err(|source| StoreError::Open { store: location.address(), source })
}

fn unknown_option(location: &Location, key: &str) -> StoreError {
    StoreError::Invalid(format!("{}: options has {key:?}, which is not known", location.address()))
}

fn retries() -> RetryConfig {
    RetryConfig { retry_timeout: Duration::from_secs(60), ..Default::default() }
}

fn client_options(params: &StoreParams) -> Result<ClientOptions, StoreError> {
    let timeout = match params.client_timeout.as_deref() {
        Some(text) => parse_duration(text)?,
        // The default of object_store. It limits one request, and so the upload of one part.
        None => Duration::from_secs(30),
    };
    Ok(ClientOptions::new().with_timeout(timeout))
}

fn any_client_options(params: &StoreParams) -> Result<ClientOptions, StoreError> {
    Ok(client_options(params)?.with_allow_http(params.allow_http.unwrap_or(false)))
}

/// Reads `30s`, `500ms` or `2m`.
fn parse_duration(text: &str) -> Result<Duration, StoreError> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let parsed = number.parse::<u64>().ok().and_then(|number| match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" | "" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        _ => None,
    });
    parsed.ok_or_else(|| {
        StoreError::Invalid(format!("{text:?} is not a duration; write 500ms, 30s or 2m"))
    })
}
