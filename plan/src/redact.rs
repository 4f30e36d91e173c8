//! No secret of the configuration is in a log, an error or a record.
//!
//! Errors of stores may quote what they were asked with. So whoever resolves a secret tells it here, and whoever writes a text
//! that others read, or that stays, asks here.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

/// What is shown in a secret's place.
pub const MASK: &str = "********";
/// Shorter values are no secrets, and to hide them would spoil every other word.
const LEAST: usize = 4;

/// The secrets that this process has resolved.
static KNOWN: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Remembers a secret, also as Rust and JSON quote it.
pub fn know(value: &str) {
    if value.len() < LEAST {
        return;
    }
    let escaped = format!("{value:?}");
    let mut values = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    for value in [value, escaped.get(1..escaped.len() - 1).unwrap_or(value)] {
        if !values.iter().any(|known| known == value) {
            values.push(value.to_owned());
        }
    }
    // The longest first: a secret may be a part of another one.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
}

/// The text without the secrets that this process has resolved.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let values = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let mut redacted = Cow::Borrowed(text);
    for value in values.iter() {
        if redacted.contains(value.as_str()) {
            redacted = Cow::Owned(redacted.replace(value.as_str(), MASK));
        }
    }
    redacted
}

/// The same, and no more than so many characters of it. A secret that is cut is one that nobody finds, so it is masked first.
#[must_use]
pub fn shown(text: &str, most: usize) -> String {
    redact(text).chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_shown_nowhere() {
        know("redact-plan\"ted");
        know("redact-plan\"ted-and-more");
        know("xyz");
        assert_eq!(
            redact("is redact-plan\"ted or redact-plan\\\"ted or redact-plan\"ted-and-more?"),
            "is ******** or ******** or ********?"
        );
        assert_eq!(shown("is redact-plan\"ted", 8), "is *****");
        assert_eq!(redact("xyz"), "xyz", "too short to hide");
        assert_eq!(redact("nothing"), "nothing");
    }
}
