//! Where a query runs, and why. The decision uses sizes and the request, and is made before anything is cut.
//!
//! ```text
//!  asked for inline ─────────────────────────────────────────────> Inline
//!  asked for fleet  ───────────────────────────────> FleetOnly     (refused if it cannot be cut)
//!  auto ── scan ≤ inline_bytes ──────────────────────────────────> Inline
//!       └─ larger ─────────────────────────────────> FleetFirst    (else Inline, up to inline_most_bytes)
//!
//!  on the fleet: asked for a pool, or the pool of the client's workgroup ──> its workers
//!                scan ≥ from_bytes, or rows ≥ from_rows of a pool        ──> its workers (the last such pool)
//!                otherwise                                               ──> workers that are in no pool
//! ```

use std::fmt;

use serde::{Serialize, Serializer};

pub use dunlin_manifest::records::Route;

use crate::config::RoutingConfig;
use crate::encode::Mangled;
use crate::error::PlanError;
use crate::settings::{QuerySettings, RouteMode};

/// Why a query runs where it runs. Its text is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteReason {
    /// The request or the configuration sets the route.
    AskedFor,
    /// The estimated scan is small enough for the gateway.
    Within {
        /// Estimated bytes of the scan.
        scan_bytes: u64,
        /// `[routing] inline_bytes`.
        threshold: u64,
    },
    /// The estimated scan is too large for the gateway.
    Over {
        /// Estimated bytes of the scan.
        scan_bytes: u64,
        /// `[routing] inline_bytes`.
        threshold: u64,
    },
    /// The fleet has pools, and one of them runs it.
    InPool {
        /// Why it is on the fleet.
        fleet: Box<RouteReason>,
        /// The pool.
        pool: String,
        /// Why this one.
        why: PoolReason,
    },
    /// The plan would change when it is encoded for a worker.
    CannotTravel {
        /// The operator.
        operator: String,
        /// What it would lose.
        difference: String,
    },
}

/// Why a query runs in a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolReason {
    /// The request names it.
    AskedFor,
    /// It is the pool of the client's workgroup.
    OfGroup,
    /// The estimated scan reaches the pool's bytes.
    Bytes {
        /// Estimated bytes of the scan.
        scan_bytes: u64,
        /// Its `from_bytes`.
        from_bytes: u64,
    },
    /// The tables reach the pool's rows.
    Rows {
        /// Rows of the scanned files.
        rows: u64,
        /// Its `from_rows`.
        from_rows: u64,
    },
}

impl fmt::Display for PoolReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AskedFor => f.write_str("asked for"),
            Self::OfGroup => f.write_str("the workgroup's"),
            Self::Bytes { scan_bytes, from_bytes } => {
                write!(
                    f,
                    "the estimated scan of {scan_bytes} bytes reaches from_bytes = {from_bytes}"
                )
            }
            Self::Rows { rows, from_rows } => {
                write!(f, "the {rows} rows of the scanned files reach from_rows = {from_rows}")
            }
        }
    }
}

impl RouteReason {
    /// The pool that runs the query, if one does.
    #[must_use]
    pub fn pool(&self) -> Option<&str> {
        match self {
            Self::InPool { pool, .. } => Some(pool),
            _ => None,
        }
    }
}

impl fmt::Display for RouteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AskedFor => f.write_str("asked for"),
            Self::Within { scan_bytes, threshold } => write!(
                f,
                "the estimated scan of {scan_bytes} bytes is within the inline threshold of {threshold}"
            ),
            Self::Over { scan_bytes, threshold } => write!(
                f,
                "the estimated scan of {scan_bytes} bytes is over the inline threshold of {threshold}"
            ),
            Self::InPool { fleet, pool, why } => write!(f, "{fleet}; pool {pool}: {why}"),
            Self::CannotTravel { operator, difference } => {
                write!(f, "{operator} cannot travel: {difference}")
            }
        }
    }
}

impl Serialize for RouteReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Run it in the gateway.
    Inline(RouteReason),
    /// Run it on the fleet; if it cannot be encoded, see [`instead_of_fleet`].
    FleetFirst(RouteReason),
    /// Run it on the fleet, or refuse it.
    FleetOnly(RouteReason),
}

/// How large a query is, before anything is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) scan_bytes: u64,
    /// Rows of the scanned files, if a pool is chosen by them.
    pub(crate) rows: u64,
}

/// Decides by what the request asks for and the size of the scan.
///
/// # Errors
/// The request asks for a pool that it cannot have.
pub(crate) fn decide(
    settings: &QuerySettings,
    size: Size,
    routing: &RoutingConfig,
) -> Result<Decision, PlanError> {
    let asked = asked_pool(settings, routing)?;
    let mode = match (settings.route, asked) {
        (Some(RouteMode::Inline), Some(pool)) => {
            return Err(PlanError::Setting(format!(
                "settings.pool is {pool:?} and settings.route is inline: a pool runs queries of the fleet"
            )));
        }
        (_, Some(_)) => RouteMode::Fleet,
        (route, None) => route.unwrap_or(routing.mode),
    };
    let placed = |reason| match pool(settings, size, routing) {
        Some((pool, why)) => RouteReason::InPool { fleet: Box::new(reason), pool, why },
        None => reason,
    };
    Ok(match by_size(mode, size.scan_bytes, routing) {
        Decision::FleetFirst(reason) => Decision::FleetFirst(placed(reason)),
        Decision::FleetOnly(reason) => Decision::FleetOnly(placed(reason)),
        Decision::Inline(reason) => Decision::Inline(reason),
    })
}

/// The pool that a request names, if it may.
fn asked_pool<'a>(
    settings: &'a QuerySettings,
    routing: &RoutingConfig,
) -> Result<Option<&'a str>, PlanError> {
    let Some(asked) = settings.pool.as_deref() else { return Ok(None) };
    if let Some(group) = settings.group_pool.as_deref().filter(|group| *group != asked) {
        return Err(PlanError::Setting(format!(
            "settings.pool is {asked:?}, and the queries of this key's workgroup run in the pool {group:?}"
        )));
    }
    if routing.pools.iter().any(|pool| pool.name == asked) {
        return Ok(Some(asked));
    }
    let names: Vec<&str> = routing.pools.iter().map(|pool| pool.name.as_str()).collect();
    let known = match names.is_empty() {
        true => "no [[routing.pools]]".to_owned(),
        false => names.join(", "),
    };
    Err(PlanError::Setting(format!("settings.pool: there is no pool {asked:?}; there is {known}")))
}

/// The pool whose workers run a query of the fleet.
fn pool(
    settings: &QuerySettings,
    size: Size,
    routing: &RoutingConfig,
) -> Option<(String, PoolReason)> {
    let named = |name: &Option<String>, why: PoolReason| Some((name.clone()?, why));
    let Size { scan_bytes, rows } = size;
    named(&settings.pool, PoolReason::AskedFor)
        .or_else(|| named(&settings.group_pool, PoolReason::OfGroup))
        .or_else(|| {
            routing.pools.iter().rev().find_map(|pool| {
                let by_bytes = pool.from_bytes.filter(|from| scan_bytes >= *from);
                let by_rows = pool.from_rows.filter(|from| rows >= *from);
                let why = by_bytes
                    .map(|from_bytes| PoolReason::Bytes { scan_bytes, from_bytes })
                    .or(by_rows.map(|from_rows| PoolReason::Rows { rows, from_rows }))?;
                Some((pool.name.clone(), why))
            })
        })
}

fn by_size(mode: RouteMode, scan_bytes: u64, routing: &RoutingConfig) -> Decision {
    let threshold = routing.inline_bytes;
    match mode {
        RouteMode::Inline => Decision::Inline(RouteReason::AskedFor),
        RouteMode::Fleet => Decision::FleetOnly(RouteReason::AskedFor),
        RouteMode::Auto if scan_bytes <= threshold => {
            Decision::Inline(RouteReason::Within { scan_bytes, threshold })
        }
        RouteMode::Auto => Decision::FleetFirst(RouteReason::Over { scan_bytes, threshold }),
    }
}

/// Why the gateway runs a query that cannot be encoded.
///
/// # Errors
/// The scan is larger than the gateway may run.
pub(crate) fn instead_of_fleet(
    mangled: Mangled,
    scan_bytes: u64,
    routing: &RoutingConfig,
) -> Result<RouteReason, PlanError> {
    let most = routing.inline_most_bytes;
    let Mangled { operator, difference } = mangled;
    let reason = RouteReason::CannotTravel { operator: operator.clone(), difference };
    if scan_bytes > most {
        return Err(PlanError::Unsupported {
            operator,
            reason: format!(
                "{reason}; and the estimated scan of {scan_bytes} bytes is more than the gateway may run itself ([routing] inline_most_bytes = {most})"
            ),
        });
    }
    Ok(reason)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::PoolConfig;

    #[test]
    fn the_route_follows_what_was_asked_for_and_then_the_size() {
        let routing = RoutingConfig { inline_bytes: 10, ..RoutingConfig::default() };
        let threshold = 10;
        assert_eq!(
            by_size(RouteMode::Inline, 99, &routing),
            Decision::Inline(RouteReason::AskedFor)
        );
        assert_eq!(
            by_size(RouteMode::Fleet, 1, &routing),
            Decision::FleetOnly(RouteReason::AskedFor)
        );
        assert_eq!(
            by_size(RouteMode::Auto, 10, &routing),
            Decision::Inline(RouteReason::Within { scan_bytes: 10, threshold })
        );
        assert_eq!(
            by_size(RouteMode::Auto, 11, &routing),
            Decision::FleetFirst(RouteReason::Over { scan_bytes: 11, threshold })
        );
    }

    #[test]
    fn a_query_that_cannot_travel_runs_in_the_gateway_up_to_a_size() {
        let routing = RoutingConfig { inline_most_bytes: 10, ..RoutingConfig::default() };
        let mangled =
            || Mangled { operator: "FooExec".to_owned(), difference: "no form".to_owned() };
        let reason = instead_of_fleet(mangled(), 10, &routing).unwrap();
        assert_eq!(reason.to_string(), "FooExec cannot travel: no form");
        let refused = instead_of_fleet(mangled(), 11, &routing).unwrap_err();
        assert!(refused.to_string().contains("inline_most_bytes = 10"), "{refused}");
    }

    #[test]
    fn a_query_of_the_fleet_has_the_pool_that_is_asked_for_or_that_its_size_reaches() {
        let pools: Vec<PoolConfig> = serde_json::from_value(serde_json::json!([
            { "name": "middle", "from_bytes": 100, "from_rows": 1_000 },
            { "name": "big", "from_bytes": 10_000 },
            { "name": "night" },
        ]))
        .unwrap();
        let routing = RoutingConfig { inline_bytes: 10, pools, ..RoutingConfig::default() };
        let settings = |pool: Option<&str>, group: Option<&str>| QuerySettings {
            pool: pool.map(ToOwned::to_owned),
            group_pool: group.map(ToOwned::to_owned),
            ..QuerySettings::default()
        };
        let reason = |settings: &QuerySettings, scan_bytes, rows| match decide(
            settings,
            Size { scan_bytes, rows },
            &routing,
        )? {
            Decision::Inline(reason)
            | Decision::FleetFirst(reason)
            | Decision::FleetOnly(reason) => Ok::<_, PlanError>(reason),
        };
        for (asked, group, bytes, rows, expected) in [
            (None, None, 5, 5_000, None),
            (None, None, 50, 999, None),
            (None, None, 50, 1_000, Some("middle")),
            (None, None, 100, 0, Some("middle")),
            (None, None, 10_000, 5_000, Some("big")),
            (Some("night"), None, 1, 0, Some("night")),
            (None, Some("night"), 10_000, 0, Some("night")),
            (None, Some("night"), 1, 0, None),
            (Some("night"), Some("night"), 1, 0, Some("night")),
        ] {
            let found = reason(&settings(asked, group), bytes, rows).unwrap();
            assert_eq!(found.pool(), expected, "{asked:?} {group:?} {bytes} {rows}: {found}");
        }
        let told = reason(&settings(None, None), 100, 0).unwrap().to_string();
        assert!(
            told.ends_with(
                "; pool middle: the estimated scan of 100 bytes reaches from_bytes = 100"
            )
        );
        let inline =
            QuerySettings { route: Some(RouteMode::Inline), ..settings(Some("big"), None) };
        for (settings, says) in [
            (settings(Some("huge"), None), "there is middle, big, night"),
            (settings(Some("big"), Some("night")), "workgroup run in the pool \"night\""),
            (inline, "settings.route is inline"),
        ] {
            let error = reason(&settings, 1, 1).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
