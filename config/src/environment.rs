//! The environment of a process: it sets keys, and has secrets.

use std::collections::BTreeMap;
use std::fmt;

/// What the names of variables begin with that set keys: `DUNLIN__SECTION__KEY`.
pub const PREFIX: &str = "DUNLIN__";

/// Environment variables. They may hold secrets, so that their values are not shown.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} variables", self.0.len())
    }
}

impl Environment {
    /// The variables of this process that are texts.
    #[must_use]
    pub fn of_process() -> Self {
        let texts = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self(texts.collect())
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The variables that set keys.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter().filter(|(name, _)| name.starts_with(PREFIX));
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same without the variables that set keys.
    pub(crate) fn without_settings(mut self) -> Self {
        self.0.retain(|name, _| !name.starts_with(PREFIX));
        self
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(pairs: T) -> Self {
        let pairs = pairs.into_iter();
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}
