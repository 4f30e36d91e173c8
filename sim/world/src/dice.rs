//! Numbers from a seed.

use dunlin_sim::clock::mixed;

/// A source of numbers that looks random and repeats with its seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Another seed for each purpose gives other numbers.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self(mixed(seed ^ mixed(purpose)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number in `0..bound`; 0 if there is none.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True in so many of ten thousand cases.
    pub(crate) fn is(&mut self, of_ten_thousand: u64) -> bool {
        self.below(10_000) < of_ten_thousand
    }

    /// A number in `from..=to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// One of so many, if there is any.
    pub(crate) fn choice(&mut self, of: usize) -> Option<usize> {
        (of > 0).then(|| usize::try_from(self.below(of as u64)).unwrap())
    }
}
