//! Opens the object stores for the locations in the configuration.
//!
//! One registry is built for each process and is used for table scans, the exchange and the state. So the writer and
//! the reader of an object always use the same store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::object_store::ObjectStoreRegistry;
use dunlin_manifest::env::Env;
use dunlin_manifest::hedge::{HedgedStore, Hedger};
use dunlin_manifest::meter::{Meter, MeteredStore};
use dunlin_manifest::pinned::{InputWatch, PinnedStore};
use dunlin_manifest::records::Pin;
use dunlin_manifest::store::ObjectControlStore;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::client::SpawnedReqwestConnector;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::signer::Signer;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};
use url::Url;

use crate::StoreError;
use crate::config::{StateConfig, StoreParams};
use crate::location::{Location, address};
use crate::renewing::{Client, RenewingStore};

/// A location that a process reads, and how to reach it.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// The user of the location, for messages: the table's name.
    pub owner: &'a str,
    /// As [`Location::parse`] reads it.
    pub location: &'a str,
    /// How to reach its store.
    pub params: &'a StoreParams,
}

/// The stores of a process, opened once.
#[derive(Clone, Debug)]
pub struct Stores {
    stores: Arc<BTreeMap<String, Arc<dyn ObjectStore>>>,
    /// Location of the state.
    pub state: Location,
    /// Location of the records, if it is another one.
    control: Option<Location>,
    /// How fast the stores across a network answer.
    hedgers: Arc<BTreeMap<String, Arc<Hedger>>>,
    /// Who makes links to objects of a store.
    signers: Arc<BTreeMap<String, Arc<dyn Signer>>>,
    /// The clock that tells when an answer is late. Without one, none is.
    hedging: Option<Env>,
}

impl Stores {
    /// Opens the state's store and those of the tables.
    ///
    /// `io` is the runtime for network I/O. It is separate from DataFusion's compute.
    ///
    /// # Errors
    /// A location or parameter that cannot be used, or two parameter sets for one bucket.
    pub fn open<'a>(
        state_config: &'a StateConfig,
        tables: impl IntoIterator<Item = Reach<'a>>,
        io: &tokio::runtime::Handle,
    ) -> Result<Self, StoreError> {
        let own = Reach {
            owner: "[state]",
            location: &state_config.location,
            params: &state_config.params,
        };
        let state = Location::parse(own.location)?;
        let apart = state_config.control.as_ref().map(|control| Reach {
            owner: "[state.control]",
            location: &control.location,
            params: &control.params,
        });
        let control = apart.map(|reach| Location::parse(reach.location)).transpose()?;
        let mut chosen: BTreeMap<String, (&StoreParams, &str)> = BTreeMap::new();
        let mut stores: BTreeMap<String, Arc<dyn ObjectStore>> = BTreeMap::new();
        let mut hedgers = BTreeMap::new();
        let mut signers = BTreeMap::new();
        // All locations are read before any store is opened, so that a mistake leaves nothing half done.
        let wanted = std::iter::once(own)
            .chain(apart)
            .chain(tables)
            .map(|reach| Ok((Location::parse(reach.location)?, reach.params, reach.owner)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        for (location, params, owner) in wanted {
            let key = location.store.to_string();
            if let Some((known, first)) = chosen.get(&key) {
                if location.is_remote() && *known != params {
                    return Err(StoreError::Invalid(format!(
                        "{first} and {owner} reach {key} with different parameters; a bucket can be reached in one way only"
                    )));
                }
                continue;
            }
            let (store, signer) = open(&location, params, io)?;
            stores.insert(key.clone(), store);
            signers.extend(signer.map(|signer| (key.clone(), signer)));
            if location.is_remote() && params.hedge.unwrap_or(true) {
                hedgers.insert(key.clone(), Arc::new(Hedger::new()));
            }
            chosen.insert(key, (params, owner));
        }
        for place in [Some(&state), control.as_ref()].into_iter().flatten() {
            if place.store.scheme() == "file" {
                let folder = format!("/{}", place.path);
                if let Err(source) = std::fs::create_dir_all(&folder) {
                    return Err(StoreError::Folder { folder, source });
                }
            }
        }
        let (stores, hedgers) = (Arc::new(stores), Arc::new(hedgers));
        Ok(Self { stores, state, control, hedgers, signers: Arc::new(signers), hedging: None })
    }

    /// The same stores. Their views send a request once more when its answer is late by this clock.
    #[must_use]
    pub fn hedged(self, env: Env) -> Self {
        Self { hedging: Some(env), ..self }
    }

    /// A view of one of these stores: it counts requests, if there is a meter, and sends late ones once more.
    #[must_use]
    pub fn view(
        &self,
        store: Arc<dyn ObjectStore>,
        meter: Option<&Arc<Meter>>,
    ) -> Arc<dyn ObjectStore> {
        let address = self.stores.iter().find(|(_, known)| Arc::ptr_eq(known, &store));
        let hedger = address.and_then(|(address, _)| self.hedgers.get(address));
        let counted: Arc<dyn ObjectStore> = match meter {
            Some(meter) => Arc::new(MeteredStore::new(store, Arc::clone(meter))),
            None => store,
        };
        let (Some(hedger), Some(env)) = (hedger, &self.hedging) else { return counted };
        let hedged = HedgedStore::new(counted, Arc::clone(hedger), env.clone());
        match meter {
            Some(meter) => Arc::new(hedged.counted_in(Arc::clone(meter))),
            None => Arc::new(hedged),
        }
    }

    /// Where the records are.
    #[must_use]
    pub fn control_location(&self) -> &Location {
        self.control.as_ref().unwrap_or(&self.state)
    }

    /// The records and the data of all queries.
    #[must_use]
    pub fn control(&self, env: Env) -> ObjectControlStore {
        let at = |place: &Location| {
            let store = self.get(place.store.as_str());
            (store.unwrap_or_else(|| Arc::new(InMemory::new())), place.path.clone())
        };
        let (store, prefix) = at(self.control_location());
        let control = ObjectControlStore::new(store, prefix, env);
        match &self.control {
            Some(_) => {
                let (store, prefix) = at(&self.state);
                control.with_data(store, prefix)
            }
            None => control,
        }
    }

    /// The store at an address such as `s3://bucket`.
    #[must_use]
    pub fn get(&self, store: &str) -> Option<Arc<dyn ObjectStore>> {
        self.stores.get(store).cloned()
    }

    /// Who makes links to objects of the state, if its store can.
    #[must_use]
    pub fn signer(&self) -> Option<Arc<dyn Signer>> {
        self.signers.get(&self.state.store.to_string()).cloned()
    }

    /// All bytes of an object.
    ///
    /// # Errors
    /// The store's.
    pub async fn read(&self, at: &Location) -> object_store::Result<bytes::Bytes> {
        let store = self.get(at.store.as_str()).unwrap_or_else(|| Arc::new(InMemory::new()));
        store.get(&at.path).await?.bytes().await
    }

    /// A registry for planning: every store without restrictions.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::new(Registry { stores: (*self.stores).clone() })
    }

    /// A registry for running one query. Only pinned files can be read, and only in their pinned version. Reads are
    /// counted, and `watch` records inputs that changed.
    #[must_use]
    pub fn pinned_registry(
        &self,
        pins: &[Pin],
        meter: &Arc<Meter>,
        watch: &InputWatch,
    ) -> Arc<Registry> {
        let mut stores: BTreeMap<String, Arc<dyn ObjectStore>> = BTreeMap::new();
        for (key, store) in self.stores.iter() {
            let here: Vec<&Pin> = pins.iter().filter(|pin| pin.store == *key).collect();
            let counted = self.view(Arc::clone(store), Some(meter));
            stores.insert(key.clone(), Arc::new(PinnedStore::new(counted, here, watch.clone())));
        }
        Arc::new(Registry { stores })
    }
}

/// A fixed set of stores. A plan cannot name any other store.
#[derive(Debug)]
pub struct Registry {
    stores: BTreeMap<String, Arc<dyn ObjectStore>>,
}

impl ObjectStoreRegistry for Registry {
    fn register_store(
        &self,
        _url: &Url,
        _store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> DfResult<Arc<dyn ObjectStore>> {
        let key = address(url);
        self.stores.get(&key).cloned().ok_or_else(|| {
            DataFusionError::Execution(format!("no table of the configuration lies in {key}"))
        })
    }
}

type Opened = (Arc<dyn ObjectStore>, Option<Arc<dyn Signer>>);

fn open(
    location: &Location,
    params: &StoreParams,
    io: &tokio::runtime::Handle,
) -> Result<Opened, StoreError> {
    match location.store.scheme() {
        "file" => Ok((Arc::new(LocalFileSystem::new()), None)),
        "memory" => Ok((Arc::new(InMemory::new()), None)),
        _ => {
            let (at, params, io) = (location.clone(), params.clone(), io.clone());
            let address = location.store.as_str();
            let store = RenewingStore::open(address, move || open_s3(&at, &params, &io))?;
            Ok((Arc::new(store.clone()), Some(Arc::new(store))))
        }
    }
}

fn open_s3(
    location: &Location,
    params: &StoreParams,
    io: &tokio::runtime::Handle,
) -> Result<Client, StoreError> {
    let timeout = match params.client_timeout.as_deref() {
        Some(text) => parse_duration(text)?,
        // The default of object_store. It limits one request, and so the upload of one part.
        None => Duration::from_secs(30),
    };
    let mut builder = AmazonS3Builder::from_env()
        .with_url(location.store.as_str())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(RetryConfig { retry_timeout: Duration::from_secs(60), ..Default::default() })
        .with_http_connector(SpawnedReqwestConnector::new(io.clone()));
    let mut options = ClientOptions::new().with_timeout(timeout);
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
    let is_fixed = builder.get_config_value(&AmazonS3ConfigKey::AccessKeyId).is_some();
    let opened = builder.build();
    let store =
        opened.map_err(|source| StoreError::Open { store: location.store.to_string(), source })?;
    Ok(Client { store, is_fixed })
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
