//! Who calls how many functions.
//!
//! One process makes at most [`BRANCHES`] calls. If more functions are needed, each that is called makes a share of the
//! other calls before it looks for tasks. So 1,000 functions start after two rounds of calls, and no process makes more
//! than a hundred.

/// The most calls that one process makes for one piece of news.
pub const BRANCHES: u32 = 100;

/// The calls that a process makes so that `count` functions are called in all. Each number tells how many more calls that
/// function is to make.
#[must_use]
pub fn split(count: u32) -> Vec<u32> {
    let own = count.min(BRANCHES);
    let rest = count - own;
    (0..own).map(|index| rest / own + u32::from(index < rest % own)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All calls of a tree, and the rounds that they take.
    fn whole(count: u32) -> (u32, u32) {
        let calls = split(count);
        let below: Vec<(u32, u32)> = calls.iter().map(|more| whole(*more)).collect();
        let rounds = below.iter().map(|(_, rounds)| rounds).max().map_or(0, |most| most + 1);
        (calls.len() as u32 + below.iter().map(|(calls, _)| calls).sum::<u32>(), rounds)
    }

    #[test]
    fn a_tree_calls_exactly_as_many_functions_in_few_rounds() {
        assert_eq!(split(3), [0, 0, 0]);
        assert_eq!(split(101).iter().sum::<u32>(), 1);
        for (count, rounds) in
            [(0, 0), (1, 1), (100, 1), (101, 2), (1_000, 2), (10_100, 2), (10_101, 3)]
        {
            assert_eq!(whole(count), (count, rounds), "{count}");
            assert!(split(count).len() <= BRANCHES as usize);
        }
    }
}
