//! Which tables a client may name. The others do not exist for it: they are not read, listed, or offered in errors.

use std::sync::Arc;

/// The tables that a client may name. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Patterns of names; none: every table, and files that statements name.
    patterns: Option<Arc<[String]>>,
}

impl Grants {
    /// All tables.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// The tables whose names fit one of these patterns, in which `*` stands for any characters.
    #[must_use]
    pub fn of(patterns: &[String]) -> Self {
        let patterns = patterns.iter().map(|pattern| pattern.to_lowercase());
        Self { patterns: Some(patterns.collect()) }
    }

    /// Whether every table may be named.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.patterns.is_none()
    }

    /// The patterns; none if every table may be named.
    #[must_use]
    pub fn patterns(&self) -> Option<&[String]> {
        self.patterns.as_deref()
    }

    /// Whether the table of this name, in lower case, may be named.
    #[must_use]
    pub fn allow(&self, table: &str) -> bool {
        let Some(patterns) = &self.patterns else { return true };
        patterns.iter().any(|pattern| fits(pattern.as_bytes(), table.as_bytes()))
    }
}

/// Whether a name fits a pattern. The time is at most the product of both lengths, whatever they are.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut of) = (0, 0);
    // The latest `*`, and the first byte after what it stands for.
    let mut star: Option<(usize, usize)> = None;
    while of < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(byte) if *byte == name[of] => (at, of) = (at + 1, of + 1),
            _ => match star {
                Some((place, until)) => {
                    star = Some((place, until + 1));
                    (at, of) = (place + 1, until + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_nothing_else_is_special() {
        for (pattern, fitting, others) in [
            ("orders", &["orders"][..], &["order", "orders2", "", "xorders"][..]),
            ("sales_*", &["sales_", "sales_2026"], &["sales", "xsales_1"]),
            ("*_public", &["a_public", "_public", "a_public_public"], &["public", "a_public_"]),
            ("a*b*c", &["abc", "axxbyyc", "abbcc"], &["ab", "acb", "abcx"]),
            ("*", &["", "anything"], &[]),
            ("a?", &["a?"], &["ab"]),
        ] {
            let grants = Grants::of(&[pattern.to_owned()]);
            for name in fitting {
                assert!(grants.allow(name), "{pattern} {name}");
            }
            for name in others {
                assert!(!grants.allow(name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn patterns_are_of_any_case_and_no_pattern_allows_nothing() {
        assert!(Grants::of(&["Orders".to_owned()]).allow("orders"));
        assert!(!Grants::of(&[]).allow("orders") && !Grants::of(&[]).are_all());
        assert!(Grants::all().allow("orders") && Grants::all().are_all());
    }

    #[test]
    fn many_stars_cost_little() {
        let pattern = "*a".repeat(200);
        assert!(!Grants::of(&[pattern]).allow(&"a".repeat(199)));
    }
}
