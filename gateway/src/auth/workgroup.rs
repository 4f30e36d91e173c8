//! Groups of clients: what they may read, and what they may use together.

use std::sync::Arc;
use std::time::Duration;

use dunlin_manifest::ids::QueryId;
use dunlin_plan::config::{MOST_NAME, is_name};
use dunlin_planner::Grants;
use dunlin_planner::gateway_config::WorkgroupConfig;

use crate::options::Most;

/// Most queries that run or wait at a time. More are a typing error.
const MANY: usize = 1 << 16;
/// Longest wait: a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A group of clients, with what it may read and use.
///
/// Two groups are equal if they have the same name: a reload may change what a group may use, and it stays the same group.
#[derive(Clone, Debug)]
pub struct Workgroup {
    /// Its name, which is also a part of keys of the state.
    pub name: Arc<str>,
    /// The tables that it may name.
    pub tables: Grants,
    /// The most that one of its queries may use.
    pub most: Most,
    /// The longest time of one of its queries.
    pub ttl: Option<Duration>,
    /// The pool whose workers run its queries of the fleet.
    pub pool: Option<String>,
    /// Queries of the fleet that run at a time.
    pub running: Option<usize>,
    /// Queries that wait at a gateway.
    pub queued: usize,
    /// The longest wait.
    pub wait: Duration,
    /// What its queries of one day may use together.
    pub day: Daily,
}

/// What the queries of one day (UTC) may use together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Daily {
    /// Bytes read from tables.
    pub bytes: Option<u64>,
    /// Dollars.
    pub cost_usd: Option<f64>,
}

impl Daily {
    /// Whether there is no limit.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl PartialEq for Workgroup {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Workgroup {}

/// A workgroup that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkgroupError {
    /// A name that cannot be a part of a key.
    #[error(
        "[[gateway.workgroups]] {0:?}: a name has 1 to {MOST_NAME} lower-case letters, digits, - and _, and is no UUID"
    )]
    Name(String),
    /// Two groups with one name.
    #[error("[[gateway.workgroups]] {0:?} stands twice")]
    Twice(String),
    /// A limit that nobody could keep, or that is none.
    #[error("[[gateway.workgroups]] {group:?}: {key} must be {expected}")]
    Limit {
        /// The group.
        group: String,
        /// The key of the configuration.
        key: &'static str,
        /// What it may be.
        expected: String,
    },
    /// A key names a group that is not there.
    #[error("key {key:?}: there is no [[gateway.workgroups]] entry {group:?}")]
    Unknown {
        /// The name of the key.
        key: String,
        /// The group.
        group: String,
    },
}

impl Workgroup {
    /// The groups of a configuration.
    ///
    /// # Errors
    /// See [`WorkgroupError`].
    pub fn all(configs: &[WorkgroupConfig]) -> Result<Vec<Arc<Self>>, WorkgroupError> {
        let mut groups: Vec<Arc<Self>> = Vec::with_capacity(configs.len());
        for config in configs {
            if groups.iter().any(|group| *group.name == *config.name) {
                return Err(WorkgroupError::Twice(config.name.clone()));
            }
            groups.push(Arc::new(Self::of(config)?));
        }
        Ok(groups)
    }

    fn of(config: &WorkgroupConfig) -> Result<Self, WorkgroupError> {
        let name = &config.name;
        // What its queries write lies below its name, where the id of a query may stand, too.
        if !is_name(name) || QueryId::parse(name).is_some() {
            return Err(WorkgroupError::Name(name.chars().take(MOST_NAME).collect()));
        }
        let limit =
            |key, expected: String| WorkgroupError::Limit { group: name.clone(), key, expected };
        let between = |key, value: usize, least: usize| match value {
            value if (least..=MANY).contains(&value) => Ok(value),
            _ => Err(limit(key, format!("between {least} and {MANY}"))),
        };
        let time = |key, millis: u64| match Duration::from_millis(millis) {
            time if !time.is_zero() && time <= LONGEST => Ok(time),
            _ => Err(limit(key, format!("between 1 and {}", LONGEST.as_millis()))),
        };
        let dollars = |key, dollars: Option<f64>| match dollars {
            Some(dollars) if !(dollars.is_finite() && dollars >= 0.0) => {
                Err(limit(key, "a number that is not negative".to_owned()))
            }
            dollars => Ok(dollars),
        };
        let running = config.max_running.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        Ok(Self {
            name: name.as_str().into(),
            tables: config.tables.as_deref().map_or_else(Grants::all, Grants::of),
            most: Most {
                max_bytes_scanned: config.max_bytes_scanned,
                max_cost_usd: dollars("max_cost_usd", config.max_cost_usd)?,
            },
            ttl: config.ttl_ms.map(|ttl| time("ttl_ms", ttl)).transpose()?,
            pool: config.pool.clone(),
            running: running.map(|most| between("max_running", most, 1)).transpose()?,
            queued: between("max_queued", config.max_queued, 0)?,
            wait: time("queue_ms", config.queue_ms)?,
            day: Daily {
                bytes: config.bytes_per_day,
                cost_usd: dollars("cost_per_day_usd", config.cost_per_day_usd)?,
            },
        })
    }

    /// The group of this name, for the key of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(groups: &[Arc<Self>], name: &str, key: &str) -> Result<Arc<Self>, WorkgroupError> {
        let found = groups.iter().find(|group| *group.name == *name);
        found
            .cloned()
            .ok_or_else(|| WorkgroupError::Unknown { key: key.to_owned(), group: name.to_owned() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(configs: &Value) -> Result<Vec<Arc<Workgroup>>, WorkgroupError> {
        let configs: Vec<WorkgroupConfig> = serde_json::from_value(configs.clone()).unwrap();
        Workgroup::all(&configs)
    }

    #[test]
    fn a_group_with_nothing_but_a_name_may_do_everything() {
        let groups = read(&json!([{ "name": "bi" }])).unwrap();
        let group = &groups[0];
        assert!(group.tables.are_all() && group.day.is_none());
        assert_eq!((group.running, group.ttl), (None, None));
        assert_eq!((group.queued, group.wait), (100, Duration::from_secs(30)));
        assert_eq!(group.most, Most::default());
    }

    #[test]
    fn mistakes_are_named() {
        for (configs, says) in [
            (json!([{ "name": "" }]), "a name has"),
            (json!([{ "name": "a/b" }]), "a name has"),
            (json!([{ "name": "BI" }]), "a name has"),
            (json!([{ "name": "0193e3a0-7b1c-7000-8000-000000000000" }]), "is no UUID"),
            (json!([{ "name": "a", "max_running": 0 }]), "max_running must be between 1"),
            (json!([{ "name": "a", "queue_ms": 0 }]), "queue_ms must be between 1"),
            (json!([{ "name": "a", "ttl_ms": 999_999_999_999_u64 }]), "ttl_ms"),
            (json!([{ "name": "a", "max_cost_usd": -1.0 }]), "max_cost_usd"),
            (json!([{ "name": "a", "cost_per_day_usd": -0.1 }]), "cost_per_day_usd"),
            (json!([{ "name": "a" }, { "name": "a" }]), "stands twice"),
        ] {
            let error = read(&configs).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_key_of_no_group_is_named_with_it() {
        let groups = read(&json!([{ "name": "bi" }])).unwrap();
        assert_eq!(&*Workgroup::named(&groups, "bi", "ci").unwrap().name, "bi");
        let error = Workgroup::named(&groups, "b1", "ci").unwrap_err().to_string();
        assert!(error.contains("\"ci\"") && error.contains("\"b1\""), "{error}");
    }
}
