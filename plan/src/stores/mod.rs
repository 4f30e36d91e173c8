//! Opens the object stores for the locations in the configuration.
//!
//! One registry is built for each process and is used for table scans, the exchange and the state. So the writer and
//! the reader of an object always use the same store.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::object_store::ObjectStoreRegistry;
use dunlin_manifest::env::Env;
use dunlin_manifest::hedge::{HedgedStore, Hedger};
use dunlin_manifest::meter::{Meter, MeteredStore};
use dunlin_manifest::model::vouch::RootKey;
use dunlin_manifest::pinned::{InputWatch, PinnedStore};
use dunlin_manifest::records::Pin;
use dunlin_manifest::store::ObjectControlStore;
use object_store::memory::InMemory;
use object_store::signer::Signer;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use url::Url;

use self::bounded::BoundedStore;
use crate::StoreError;
use crate::config::{RootSecret, StateConfig, StoreParams};
use crate::location::{Location, address};

pub(crate) use self::only_new::OnlyNew;
pub use self::outside::{Inside, check_outside};

mod bounded;
mod only_new;
mod open;
mod outside;

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
    /// What vouches for queries.
    root_key: RootKey,
    /// How fast the stores across a network answer.
    hedgers: Arc<BTreeMap<String, Arc<Hedger>>>,
    /// Who makes links to objects of a store.
    signers: Arc<BTreeMap<String, Arc<dyn Signer>>>,
    /// The clock that tells when an answer is late. Without one, none is.
    hedging: Option<Env>,
    /// Opens stores that no table of the configuration names, if statements may name files.
    on_demand: Option<OnDemand>,
}

/// Stores that were opened because a statement named a file in them.
#[derive(Clone, Debug)]
struct OnDemand {
    io: tokio::runtime::Handle,
    opened: Arc<Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>>,
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
        let state = place_of_state(own)?;
        let apart = state_config.control.as_ref().map(|control| Reach {
            owner: "[state.control]",
            location: &control.location,
            params: &control.params,
        });
        let control = apart.map(place_of_state).transpose()?;
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
            let key = location.address();
            if let Some((known, first)) = chosen.get(&key) {
                if location.is_remote() && *known != params {
                    return Err(StoreError::Invalid(format!(
                        "{first} and {owner} reach {key} with different parameters; a bucket can be reached in one way only"
                    )));
                }
                continue;
            }
            let (store, signer) = open::open(&location, params, io)?;
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
        Ok(Self {
            stores,
            state,
            control,
            root_key: state_config.root_secret.as_ref().map(RootSecret::key).unwrap_or_default(),
            hedgers,
            signers: Arc::new(signers),
            hedging: None,
            on_demand: None,
        })
    }

    /// The same stores, and every other store that a statement names. Such a store is reached with what the process's
    /// environment says.
    #[must_use]
    pub fn and_others(self, io: &tokio::runtime::Handle) -> Self {
        Self { on_demand: Some(OnDemand { io: io.clone(), opened: Arc::default() }), ..self }
    }

    /// The same stores with another one at this address, as a simulation has it.
    #[must_use]
    pub fn with(self, address: &str, store: Arc<dyn ObjectStore>) -> Self {
        let mut stores = self.stores.as_ref().clone();
        stores.insert(address.to_owned(), store);
        Self { stores: Arc::new(stores), ..self }
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
            let store = self.get(&place.address());
            (store.unwrap_or_else(|| Arc::new(InMemory::new())), place.path.clone())
        };
        let (store, prefix) = at(self.control_location());
        // A directory bucket of S3 Express lists in no order.
        let place = self.control_location();
        let in_directory = place.store.host_str().is_some_and(|host| host.ends_with("--x-s3"));
        let sorted = place.is_remote() && !in_directory;
        let control = ObjectControlStore::new(store, prefix, env)
            .sorted(sorted)
            .with_root_key(self.root_key.clone());
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
        self.stores.get(store).cloned().or_else(|| self.on_demand(store))
    }

    fn on_demand(&self, address: &str) -> Option<Arc<dyn ObjectStore>> {
        let OnDemand { io, opened } = self.on_demand.as_ref()?;
        if let Some(store) = opened.lock().get(address) {
            return Some(Arc::clone(store));
        }
        let location = Location::parse(address).ok()?;
        let (store, _) = open::open_named(&location, io)
            .inspect_err(
                |error| tracing::warn!(%error, "a store that a statement names cannot be opened"),
            )
            .ok()?;
        Some(Arc::clone(opened.lock().entry(address.to_owned()).or_insert(store)))
    }

    /// Who makes links to objects of the state, if its store can.
    #[must_use]
    pub fn signer(&self) -> Option<Arc<dyn Signer>> {
        self.signers.get(&self.state.address()).cloned()
    }

    /// All bytes of an object.
    ///
    /// # Errors
    /// The store's.
    pub async fn read(&self, at: &Location) -> object_store::Result<bytes::Bytes> {
        let store = self.get(&at.address()).unwrap_or_else(|| Arc::new(InMemory::new()));
        store.get(&at.path).await?.bytes().await
    }

    /// A registry for planning: every store without restrictions. Those across a network answer in time, or fail.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        let others = self.on_demand.is_some().then(|| self.clone());
        let bounded = |(address, store): (&String, &Arc<dyn ObjectStore>)| {
            let is_near = ["file:", "memory:"].iter().any(|scheme| address.starts_with(scheme));
            let store = Arc::clone(store);
            let store = if is_near { store } else { Arc::new(BoundedStore::new(store)) };
            (address.clone(), store)
        };
        Arc::new(Registry { stores: self.stores.iter().map(bounded).collect(), others })
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
        let named = pins.iter().filter_map(|pin| Some((pin.store.clone(), self.get(&pin.store)?)));
        let known = self.stores.iter().map(|(key, store)| (key.clone(), Arc::clone(store)));
        for (key, store) in known.chain(named) {
            if stores.contains_key(&key) {
                continue;
            }
            let here: Vec<&Pin> = pins.iter().filter(|pin| pin.store == key).collect();
            let counted = self.view(store, Some(meter));
            stores.insert(key, Arc::new(PinnedStore::new(counted, here, watch.clone())));
        }
        Arc::new(Registry { stores, others: None })
    }
}

/// A fixed set of stores. A plan cannot name any other store, unless statements may name files.
#[derive(Debug)]
pub struct Registry {
    stores: BTreeMap<String, Arc<dyn ObjectStore>>,
    others: Option<Stores>,
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
        let known = self.stores.get(&key).cloned();
        let other = || {
            let store = self.others.as_ref()?.get(&key)?;
            Some(Arc::new(BoundedStore::new(store)) as Arc<dyn ObjectStore>)
        };
        known.or_else(other).ok_or_else(|| {
            DataFusionError::Execution(format!("no table of the configuration lies in {key}"))
        })
    }
}

/// The place of records or data, which must be a folder that can be written.
fn place_of_state(reach: Reach<'_>) -> Result<Location, StoreError> {
    let location = Location::parse(reach.location)?;
    let wrong = |what: &str| Err(StoreError::Invalid(format!("{}: {what}", reach.owner)));
    if location.pattern.is_some() {
        return wrong("its location is a pattern; name one folder");
    }
    match location.store.scheme() {
        "http" | "https" => wrong("a web server cannot hold it; use a folder, s3, gs or az"),
        _ => Ok(location),
    }
}
