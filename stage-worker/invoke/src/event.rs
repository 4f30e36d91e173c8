//! What a call says to a worker function.

use dunlin_manifest::ids::QueryId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The event of a call. All of it is a hint: a function that is called with any other event looks for work, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Queries that are said to have work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queries: Vec<String>,
    /// So many more calls are to be made, with the same queries.
    #[serde(skip_serializing_if = "is_zero")]
    pub calls: u32,
    /// Look after all active queries: write what is due, end what is over, and call functions for tasks that nobody takes.
    #[serde(skip_serializing_if = "is_false")]
    pub sweep: bool,
    /// Tell what this function is, and do nothing else.
    #[serde(skip_serializing_if = "is_false")]
    pub about: bool,
}

impl Event {
    /// An event of any form. What cannot be read is left out.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        let list = value["queries"].as_array().into_iter().flatten();
        Self {
            queries: list.filter_map(|query| query.as_str().map(ToOwned::to_owned)).collect(),
            calls: value["calls"].as_u64().and_then(|calls| u32::try_from(calls).ok()).unwrap_or(0),
            sweep: value["sweep"].as_bool().unwrap_or(false),
            about: value["about"].as_bool().unwrap_or(false),
        }
    }

    /// The queries that it names. What is not an id is left out.
    #[must_use]
    pub fn queries(&self) -> Vec<QueryId> {
        self.queries.iter().filter_map(|query| QueryId::parse(query)).collect()
    }
}

/// What a binary is: what it prints when it is asked with `--about`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// The build, as [`alias`] gives it.
    pub build: String,
    /// The version, for people.
    pub version: String,
}

impl Package {
    /// The package of a build.
    #[must_use]
    pub fn of(build: &str) -> Self {
        Self { build: alias(build), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// The answer to [`Event::about`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its package.
    #[serde(flatten)]
    pub package: Package,
    /// Memory of the function.
    pub memory_mb: u64,
}

/// The name of a build among the aliases of a function.
#[must_use]
pub fn alias(build: &str) -> String {
    format!("b-{}", build.get(..12).unwrap_or(build))
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn any_event_is_a_hint() {
        let query = "01a3185c-5bb8-7392-b4b7-ec3539c5d944";
        let event = Event::of(&json!({ "queries": [query, "no id", 7], "calls": 9, "more": true }));
        assert_eq!(event.queries().iter().map(QueryId::as_str).collect::<Vec<_>>(), [query]);
        assert_eq!((event.calls, event.sweep), (9, false));
        for event in [json!({}), json!(null), json!("x"), json!({ "queries": query, "calls": -1 })]
        {
            assert_eq!(Event::of(&event), Event::default(), "{event}");
        }
        let sent = Event { queries: vec![query.to_owned()], ..Event::default() };
        assert_eq!(serde_json::to_value(&sent).unwrap(), json!({ "queries": [query] }));
        assert_eq!(Event::of(&serde_json::to_value(&sent).unwrap()), sent);
    }

    #[test]
    fn a_build_is_a_valid_alias() {
        assert_eq!(alias("0123456789abcdef"), "b-0123456789ab");
        assert_eq!(alias("short"), "b-short");
    }
}
