//! The name that was probably meant, for errors.

/// How many letters must be changed, added, left out or swapped with their neighbour to make one word of another.
#[must_use]
pub fn distance(one: &str, other: &str) -> usize {
    strsim::damerau_levenshtein(one, other)
}

/// The name that was probably meant: at most a third of its letters differ.
#[must_use]
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let near = known.iter().min_by_key(|other| distance(&name, other))?;
    let most = name.chars().count().max(near.chars().count()).div_ceil(3);
    (distance(&name, near) <= most).then_some(*near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_is_near() {
        let known = ["ttl_ms", "lease_ms", "heartbeat_ms"];
        assert_eq!(nearest("tll_ms", &known), Some("ttl_ms"));
        assert_eq!(nearest("TTL_MS", &known), Some("ttl_ms"));
        assert_eq!(nearest("surprise", &known), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
