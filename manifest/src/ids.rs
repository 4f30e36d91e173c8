//! Query ids.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::env::Env;

/// A query's id: a UUIDv7 in its usual lower-case text, so that ids sort by time of submission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueryId(String);

impl QueryId {
    /// A fresh id from the environment's clock and entropy (RFC 9562, section 5.7).
    #[must_use]
    pub fn new(env: &Env) -> Self {
        let mut bytes = [0u8; 16];
        env.entropy.fill(&mut bytes);
        bytes[..6].copy_from_slice(&env.clock.wall_ms().to_be_bytes()[2..]);
        bytes[6] = (bytes[6] & 0x0f) | 0x70;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        ))
    }

    /// The id that `text` is, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let shaped = text.len() == 36
            && text.bytes().enumerate().all(|(index, byte)| match index {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            });
        shaped.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_fresh_id_parses_and_two_differ() {
        let env = Env::system();
        let (one, two) = (QueryId::new(&env), QueryId::new(&env));
        assert_ne!(one, two);
        assert_eq!(QueryId::parse(one.as_str()), Some(one.clone()));
        assert_eq!(&one.as_str()[14..15], "7");
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in ["", "x", "0190-", "0190A000-0000-7000-8000-000000000000", "../../etc/passwd"] {
            assert_eq!(QueryId::parse(text), None, "{text}");
        }
    }
}
