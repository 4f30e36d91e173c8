//! Where a query runs, and why. The decision uses sizes and the request, and is made before anything is cut.
//!
//! ```text
//!  asked for inline ─────────────────────────────────────────────> Inline
//!  asked for fleet  ───────────────────────────────> FleetOnly     (refused if it cannot be cut)
//!  auto ── scan ≤ inline_bytes ──────────────────────────────────> Inline
//!       └─ larger ─────────────────────────────────> FleetFirst    (else Inline, up to inline_most_bytes)
//! ```

use std::fmt;

use serde::{Serialize, Serializer};

pub use dunlin_manifest::records::Route;

use crate::config::RoutingConfig;
use crate::encode::Mangled;
use crate::error::PlanError;
use crate::settings::RouteMode;

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
    /// The plan would change when it is encoded for a worker.
    CannotTravel {
        /// The operator.
        operator: String,
        /// What it would lose.
        difference: String,
    },
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

/// Decides by the requested route and the size of the scan.
pub(crate) fn decide(mode: RouteMode, scan_bytes: u64, routing: &RoutingConfig) -> Decision {
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

    #[test]
    fn the_route_follows_what_was_asked_for_and_then_the_size() {
        let routing = RoutingConfig { inline_bytes: 10, ..RoutingConfig::default() };
        let threshold = 10;
        assert_eq!(
            decide(RouteMode::Inline, 99, &routing),
            Decision::Inline(RouteReason::AskedFor)
        );
        assert_eq!(
            decide(RouteMode::Fleet, 1, &routing),
            Decision::FleetOnly(RouteReason::AskedFor)
        );
        assert_eq!(
            decide(RouteMode::Auto, 10, &routing),
            Decision::Inline(RouteReason::Within { scan_bytes: 10, threshold })
        );
        assert_eq!(
            decide(RouteMode::Auto, 11, &routing),
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
}
