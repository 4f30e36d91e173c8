//! The settings of a session: those that clients set and read, and those of Dunlin.
//!
//! A setting that would change how values are written is refused, because values are written in one way. One that says what
//! Postgres may do about locks, logs or plans is kept and changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::failure::{Failure, state};
use crate::options::Most;

/// The version of Postgres whose clients are understood.
pub(super) const VERSION: &str = "16.6 (Dunlin)";

/// Settings and their first values. Others are unknown, except names with a dot in them.
const KNOWN: &[(&str, &str)] = &[
    ("application_name", ""),
    ("backslash_quote", "safe_encoding"),
    ("bytea_output", "hex"),
    ("check_function_bodies", "on"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("constraint_exclusion", "partition"),
    ("cursor_tuple_fraction", "0.1"),
    ("datestyle", "ISO, MDY"),
    ("default_table_access_method", "heap"),
    ("default_tablespace", ""),
    ("default_transaction_deferrable", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_with_oids", "off"),
    ("enable_seqscan", "on"),
    ("extra_float_digits", "1"),
    ("geqo", "on"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("jit", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("lc_messages", "C"),
    ("lc_monetary", "C"),
    ("lc_numeric", "C"),
    ("lc_time", "C"),
    ("lock_timeout", "0"),
    ("log_statement", "none"),
    ("max_connections", "1024"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("password_encryption", "scram-sha-256"),
    ("plan_cache_mode", "auto"),
    ("quote_all_identifiers", "off"),
    ("row_security", "on"),
    ("scram_iterations", "4096"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", VERSION),
    ("server_version_num", "160006"),
    ("session_authorization", ""),
    ("session_replication_role", "origin"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("synchronize_seqscans", "on"),
    ("synchronous_commit", "on"),
    ("temp_tablespaces", ""),
    ("timezone", "UTC"),
    ("transaction_deferrable", "off"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
    ("transaction_timeout", "0"),
    ("work_mem", "4MB"),
    ("xmloption", "content"),
    ("dunlin.results_cache", "on"),
    ("dunlin.pool", ""),
    ("dunlin.route", ""),
    ("dunlin.target_partitions", ""),
    ("dunlin.task_bytes", ""),
    ("dunlin.max_bytes_scanned", ""),
    ("dunlin.max_cost_usd", ""),
];

/// Settings that clients are told at the start and at each change, with the names that the protocol gives them.
const REPORTED: &[(&str, &str)] = &[
    ("application_name", "application_name"),
    ("client_encoding", "client_encoding"),
    ("datestyle", "DateStyle"),
    ("default_transaction_read_only", "default_transaction_read_only"),
    ("in_hot_standby", "in_hot_standby"),
    ("integer_datetimes", "integer_datetimes"),
    ("intervalstyle", "IntervalStyle"),
    ("is_superuser", "is_superuser"),
    ("scram_iterations", "scram_iterations"),
    ("server_encoding", "server_encoding"),
    ("server_version", "server_version"),
    ("session_authorization", "session_authorization"),
    ("standard_conforming_strings", "standard_conforming_strings"),
    ("timezone", "TimeZone"),
];

/// Settings that tell what the server is.
const FIXED: &[&str] = &[
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "max_connections",
    "max_identifier_length",
    "max_index_keys",
    "server_encoding",
    "server_version",
    "server_version_num",
    "session_authorization",
];

/// Longest value, in bytes.
const LONGEST: usize = 1_024;
/// Most settings with a dot in their names.
const MOST_OWN: usize = 100;

/// The settings of a session.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    values: BTreeMap<String, String>,
    first: BTreeMap<String, String>,
}

/// What a change of a setting has done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// What clients are told: the setting as the protocol names it, and its value.
    pub(super) report: Option<(&'static str, String)>,
    /// What a user should know.
    pub(super) warning: Option<&'static str>,
}

impl Settings {
    /// The settings of a client's session.
    pub(super) fn new(client: &str) -> Self {
        let mut values: BTreeMap<String, String> =
            KNOWN.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        values.insert("session_authorization".to_owned(), client.to_owned());
        Self { first: values.clone(), values }
    }

    /// The values that RESET gives back are those of now.
    pub(super) fn settle(&mut self) {
        self.first = self.values.clone();
    }

    /// What a client is told at the start.
    pub(super) fn reported(&self) -> impl Iterator<Item = (&'static str, &str)> {
        REPORTED.iter().filter_map(|(name, shown)| Some((*shown, self.get(name)?)))
    }

    /// A setting's value; none if there is no such setting.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// All settings and their values.
    pub(super) fn all(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// Changes a setting; without a value, back to its first one.
    ///
    /// # Errors
    /// A setting that is not known, or a value that it cannot have.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) -> Result<Changed, Failure> {
        let name = name.to_lowercase();
        let known = self.values.contains_key(&name);
        let own = name.contains('.') && !name.starts_with("dunlin.");
        if !known && (!own || self.values.len() >= KNOWN.len() + MOST_OWN) {
            let name: String = name.chars().take(64).collect();
            return Err(Failure::error(
                state::NO_OBJECT,
                format!("unrecognized configuration parameter \"{name}\""),
            ));
        }
        let Some(value) = value else {
            match self.first.get(&name).cloned() {
                Some(first) => self.values.insert(name.clone(), first),
                None => self.values.remove(&name),
            };
            return Ok(Changed { report: self.report(&name), warning: None });
        };
        if FIXED.contains(&name.as_str()) {
            let text = format!("parameter \"{name}\" cannot be changed");
            return Err(Failure::error("55P02", text));
        }
        if value.len() > LONGEST {
            return Err(refused(&name, "a shorter value"));
        }
        let (value, warning) = checked(&name, value)?;
        self.values.insert(name.clone(), value);
        Ok(Changed { report: self.report(&name), warning })
    }

    fn report(&self, name: &str) -> Option<(&'static str, String)> {
        let (_, shown) = REPORTED.iter().find(|(known, _)| *known == name)?;
        Some((*shown, self.get(name)?.to_owned()))
    }

    /// The settings of another moment, and what clients are told of them.
    pub(super) fn restore(&mut self, saved: Self) -> Vec<(&'static str, String)> {
        let before = std::mem::replace(self, saved);
        let changed = REPORTED.iter().filter(|(name, _)| before.get(name) != self.get(name));
        changed.filter_map(|(name, _)| self.report(name)).collect()
    }

    /// How long a statement may take; none: as long as it takes.
    pub(super) fn statement_timeout(&self) -> Option<Duration> {
        let time = self.get("statement_timeout").and_then(duration)?;
        (!time.is_zero()).then_some(time)
    }

    /// Whether notices are sent.
    pub(super) fn shows_notices(&self) -> bool {
        let least = self.get("client_min_messages").unwrap_or_default();
        !matches!(least, "warning" | "error" | "fatal" | "panic")
    }

    /// What the planner is told.
    pub(super) fn planner(&self) -> Map<String, Value> {
        let mut map = Map::new();
        for name in ["route", "pool", "target_partitions", "task_bytes"] {
            let text = self.get(&format!("dunlin.{name}")).unwrap_or_default();
            if !text.is_empty() {
                let number = text.parse::<u64>().ok().filter(|_| name != "pool");
                map.insert(name.to_owned(), number.map_or_else(|| Value::from(text), Value::from));
            }
        }
        map
    }

    /// Whether the answer of an earlier query may be given, where the gateway keeps them.
    pub(super) fn reuses_answers(&self) -> bool {
        self.get("dunlin.results_cache") == Some("on")
    }

    /// The most that a statement may use.
    pub(super) fn most(&self) -> Most {
        let text = |name: &str| self.get(name).unwrap_or_default();
        Most {
            max_bytes_scanned: text("dunlin.max_bytes_scanned").parse().ok(),
            max_cost_usd: text("dunlin.max_cost_usd").parse().ok(),
        }
    }
}

fn refused(name: &str, allowed: &str) -> Failure {
    Failure::error(state::INVALID_VALUE, format!("invalid value for parameter \"{name}\""))
        .hint(format!("It can be {allowed}."))
}

/// The value that a setting gets, and what a user should know.
fn checked(name: &str, value: &str) -> Result<(String, Option<&'static str>), Failure> {
    let lower = value.trim().to_lowercase();
    // What is kept is what was looked at, because it is read again where it is used.
    let only = |allowed: bool, what: &str| {
        if allowed { Ok((lower.clone(), None)) } else { Err(refused(name, what)) }
    };
    match name {
        "client_encoding" => match lower.replace(['-', '_'], "").as_str() {
            "utf8" | "unicode" => Ok(("UTF8".to_owned(), None)),
            _ => Err(refused(name, "UTF8")),
        },
        "datestyle" => match lower.starts_with("iso") {
            true => Ok(("ISO, MDY".to_owned(), None)),
            false => Err(refused(name, "ISO")),
        },
        "intervalstyle" => only(lower == "postgres", "postgres"),
        "bytea_output" => only(lower == "hex", "hex"),
        "standard_conforming_strings" => {
            only(matches!(lower.as_str(), "on" | "true" | "1" | "yes"), "on")
                .map(|(_, none)| ("on".to_owned(), none))
        }
        "timezone" => {
            let is_utc = matches!(lower.as_str(), "utc" | "gmt" | "etc/utc" | "z" | "0" | "zulu");
            let warning = "times with a time zone are shown in UTC, whatever TimeZone is";
            Ok(("UTC".to_owned(), (!is_utc).then_some(warning)))
        }
        "statement_timeout" => only(duration(&lower).is_some(), "a time, for example 30s"),
        "client_min_messages" => only(
            matches!(
                lower.as_str(),
                "debug5"
                    | "debug4"
                    | "debug3"
                    | "debug2"
                    | "debug1"
                    | "log"
                    | "notice"
                    | "warning"
                    | "error"
            ),
            "notice, warning or error",
        ),
        "dunlin.results_cache" => match lower.as_str() {
            "on" | "true" | "1" | "yes" => Ok(("on".to_owned(), None)),
            "off" | "false" | "0" | "no" => Ok(("off".to_owned(), None)),
            _ => Err(refused(name, "on or off")),
        },
        "dunlin.route" => only(
            matches!(lower.as_str(), "" | "auto" | "inline" | "fleet"),
            "auto, inline or fleet",
        ),
        "dunlin.target_partitions" | "dunlin.task_bytes" | "dunlin.max_bytes_scanned" => {
            only(lower.is_empty() || lower.parse::<u64>().is_ok(), "a whole number")
        }
        "dunlin.max_cost_usd" => only(
            lower.is_empty()
                || lower.parse::<f64>().is_ok_and(|most| most > 0.0 && most.is_finite()),
            "a number above 0",
        ),
        _ => Ok((value.to_owned(), None)),
    }
}

/// A time as Postgres writes it: a number of milliseconds, or with a unit.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_would_change_how_values_look_is_refused() {
        let mut settings = Settings::new("ci");
        for (name, value) in [
            ("client_encoding", "LATIN1"),
            ("datestyle", "German"),
            ("intervalstyle", "iso_8601"),
            ("bytea_output", "escape"),
            ("standard_conforming_strings", "off"),
            ("server_version", "9.6"),
            ("no_such_setting", "1"),
            ("dunlin.rute", "fleet"),
            ("dunlin.route", "sideways"),
            ("statement_timeout", "soon"),
        ] {
            assert!(settings.set(name, Some(value)).is_err(), "{name}");
        }
        let changed = settings.set("DateStyle", Some("ISO")).unwrap();
        assert_eq!(changed.report, Some(("DateStyle", "ISO, MDY".to_owned())));
        let changed = settings.set("timezone", Some("Europe/Berlin")).unwrap();
        assert!(changed.warning.is_some() && settings.get("timezone") == Some("UTC"));
    }

    #[test]
    fn a_limit_counts_however_it_is_written() {
        let mut settings = Settings::new("ci");
        settings.set("statement_timeout", Some(" 5MIN ")).unwrap();
        assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(300)));
        settings.set("dunlin.max_bytes_scanned", Some(" 1000")).unwrap();
        settings.set("dunlin.max_cost_usd", Some("1E-2 ")).unwrap();
        let most = settings.most();
        assert_eq!((most.max_bytes_scanned, most.max_cost_usd), (Some(1_000), Some(0.01)));
        settings.set("dunlin.route", Some(" Fleet")).unwrap();
        assert_eq!(settings.planner()["route"], "fleet");
    }

    #[test]
    fn a_setting_goes_back_to_its_first_value() {
        let mut settings = Settings::new("ci");
        settings.set("application_name", Some("psql")).unwrap();
        settings.settle();
        settings.set("application_name", Some("x")).unwrap();
        settings.set("application_name", None).unwrap();
        assert_eq!(settings.get("application_name"), Some("psql"));
        settings.set("my.own", Some("1")).unwrap();
        settings.set("my.own", None).unwrap();
        assert_eq!(settings.get("my.own"), None);
    }

    #[test]
    fn statements_are_told_what_they_may() {
        let mut settings = Settings::new("ci");
        assert_eq!((settings.statement_timeout(), settings.planner()), (None, Map::new()));
        settings.set("statement_timeout", Some("2min")).unwrap();
        settings.set("dunlin.route", Some("fleet")).unwrap();
        settings.set("dunlin.target_partitions", Some("3")).unwrap();
        settings.set("dunlin.max_cost_usd", Some("0.5")).unwrap();
        assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(120)));
        assert_eq!(
            Value::Object(settings.planner()),
            serde_json::json!({"route": "fleet", "target_partitions": 3})
        );
        assert_eq!(settings.most().max_cost_usd, Some(0.5));
    }
}
