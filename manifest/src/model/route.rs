//! Where a query runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a query runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// In the gateway that it was submitted to.
    Inline,
    /// On the fleet of workers.
    Fleet,
}

impl Route {
    /// `inline` or `fleet`, as records and answers have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Fleet => "fleet",
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_route_is_written_as_its_text_and_read_again() {
        for route in [Route::Inline, Route::Fleet] {
            let json = serde_json::to_string(&route).unwrap();
            assert_eq!(json, format!("\"{route}\""));
            assert_eq!(serde_json::from_str::<Route>(&json).unwrap(), route);
        }
    }
}
