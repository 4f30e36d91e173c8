//! Where a range of names is split, by the names of one page of it.
//!
//! ```text
//!  page-00017 … page-01016    differ from the 6th sign on; digits    page-02, page-03, … page-09, page-1, … page-9
//!  0a3f… … 0bc0…              differ from the 2nd; hexadecimal       0c, 0d, 0e, 0f, 1, 2, … f
//! ```
//! These are guesses: names may be of any other form.

use std::collections::BTreeSet;

use object_store::path::Path;

/// Signs before the first one that differs within a page, at which later names may differ.
const SIGNS_BEFORE: usize = 8;
/// Splits at a sign that is no letter or digit of ASCII.
const OTHER_SIGNS: u32 = 16;

/// The names between `last` and `end`, of names in order.
pub(super) fn between(names: &[Path], last: &str, end: Option<&str>) -> Vec<Path> {
    let from = names.partition_point(|name| name.as_ref() <= last);
    let to = end.map_or(names.len(), |end| names.partition_point(|name| name.as_ref() < end));
    names.get(from..to).unwrap_or_default().to_vec()
}

/// Bytes of the names below a folder that are the folder's.
pub(super) fn own(folder: &Path) -> usize {
    folder.as_ref().len() + usize::from(!folder.as_ref().is_empty())
}

/// At most `most` of some names, evenly.
pub(super) fn evenly(names: Vec<Path>, most: usize) -> Vec<Path> {
    let step = names.len().div_ceil(most.max(1)).max(1);
    // The middle of each step: what is before the first one is listed by the range itself.
    names.into_iter().skip(step / 2).step_by(step).collect()
}

/// Names after the last one of a page and before `end` at which others may begin. `names` are in order, and below `folder`.
pub(super) fn guessed(folder: &Path, names: &[&str], end: Option<&str>) -> Vec<Path> {
    let signs = |name: &str| -> Vec<char> { name.chars().collect() };
    let (Some(first), Some(last)) = (names.first(), names.last()) else { return Vec::new() };
    let (start, stop) = (signs(first), signs(last));
    let same = start.iter().zip(&stop).take_while(|(a, b)| a == b).count();
    let Some(&sign) = stop.get(same) else { return Vec::new() };
    let alphabet = Alphabet::of(names, same);
    let own = folder.as_ref().chars().count() + usize::from(!folder.as_ref().is_empty());
    let mut found = BTreeSet::new();
    let mut add = |at: usize, next: char| {
        let name: String = stop[..at].iter().chain([&next]).collect();
        let is_between = name.as_str() > *last && end.is_none_or(|end| name.as_str() < end);
        // What is no path, as one that ends in `/`, is no split.
        let path = Path::parse(&name).ok().filter(|path| path.as_ref() == name);
        found.extend(path.filter(|_| is_between));
    };
    // Where the names of the page differ: as many signs further as the page has.
    let seen: BTreeSet<char> = names.iter().filter_map(|name| name.chars().nth(same)).collect();
    if sign.is_ascii_alphanumeric() {
        alphabet.after(sign).skip(seen.len() - 1).step_by(seen.len()).for_each(|it| add(same, it));
    } else {
        let begin = start.get(same).map_or(0, |sign| u32::from(*sign));
        let step = u32::from(sign).saturating_sub(begin).max(1);
        (1..=OTHER_SIGNS)
            .filter_map(|n| char::from_u32(u32::from(sign).checked_add(step.checked_mul(n)?)?))
            .for_each(|it| add(same, it));
    }
    // Before that: any sign that is greater, in what may be the same number.
    for at in (own.max(same.saturating_sub(SIGNS_BEFORE))..same).rev() {
        let sign = stop[at];
        let goes_on = stop[at..same].iter().all(|sign| alphabet.has(*sign));
        if sign.is_ascii_digit() || goes_on {
            alphabet.after(sign).for_each(|it| add(at, it));
        }
    }
    found.into_iter().collect()
}

/// The signs that numbers of some names are made of, in order.
struct Alphabet(Vec<char>);

impl Alphabet {
    /// The alphabet of the names from sign `at` on, without their endings.
    fn of(names: &[&str], at: usize) -> Self {
        let mut signs = BTreeSet::new();
        for name in names {
            let name = name.rsplit_once('.').map_or(*name, |(name, _)| name);
            signs.extend(name.chars().skip(at).filter(char::is_ascii_alphanumeric));
        }
        let is_hex = signs.iter().all(char::is_ascii_hexdigit);
        let lower = signs.iter().any(char::is_ascii_lowercase);
        let upper = signs.iter().any(char::is_ascii_uppercase);
        let digits = ('0'..='9').filter(|_| signs.iter().any(char::is_ascii_digit));
        let uppers = ('A'..=if is_hex { 'F' } else { 'Z' }).filter(|_| upper);
        let lowers = ('a'..=if is_hex { 'f' } else { 'z' }).filter(|_| lower);
        Self(digits.chain(uppers).chain(lowers).collect())
    }

    fn has(&self, sign: char) -> bool {
        self.0.contains(&sign)
    }

    fn after(&self, sign: char) -> impl Iterator<Item = char> {
        self.0.iter().copied().filter(move |it| *it > sign)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn texts(paths: &[Path]) -> Vec<&str> {
        paths.iter().map(AsRef::as_ref).collect()
    }

    #[test]
    fn numbers_are_split_at_the_digits_that_may_follow() {
        let names: Vec<String> = (1000..2000).map(|n| format!("t/p-{n:05}.csv")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = guessed(&Path::from("t"), &names, None);
        let wanted = ["02", "03", "04", "05", "06", "07", "08", "09"].map(|it| format!("t/p-{it}"));
        let more = ["1", "2", "3", "4", "5", "6", "7", "8", "9"].map(|it| format!("t/p-{it}"));
        assert_eq!(texts(&found), wanted.iter().chain(&more).collect::<Vec<_>>());
        let found = guessed(&Path::from("t"), &names, Some("t/p-05"));
        assert_eq!(texts(&found), ["t/p-02", "t/p-03", "t/p-04"]);
    }

    #[test]
    fn hexadecimal_names_are_split_at_letters_too() {
        let names: Vec<String> = (0..1000_u32).map(|n| format!("{:08x}", n << 16)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // The last one is 03e7…
        let found = guessed(&Path::default(), &names, None);
        assert!(texts(&found).contains(&"0f") && texts(&found).contains(&"f"), "{found:?}");
        assert!(found.iter().all(|it| it.as_ref() > "03e7"), "{found:?}");
    }

    #[test]
    fn names_are_chosen_evenly_and_only_between() {
        let names: Vec<Path> = (10..90).map(|n| Path::from(format!("t/{n}"))).collect();
        let found = between(&names, "t/20/x", Some("t/30"));
        assert_eq!(found, names[11..20]);
        assert_eq!(evenly(found.clone(), 9), found);
        assert_eq!(texts(&evenly(found.clone(), 3)), ["t/22", "t/25", "t/28"]);
        assert_eq!(texts(&evenly(found, 1)), ["t/25"]);
        assert!(between(&names, "t/z", None).is_empty());
    }
}
