//! Texts that are too much in one way each: deep, wide, doubling, or making memory from few letters.
//!
//! Every monster is made by code: a reader sees its shape and its size at once.

mod deep;
mod doubling;
mod hungry;
mod related;
mod weird;
mod wide;

use super::monster::Monster;

/// A text `n` times.
fn times(text: &str, n: usize) -> String {
    text.repeat(n)
}

/// `text(0)`, `text(1)`, … between separators.
fn list(n: usize, separator: &str, text: impl Fn(usize) -> String) -> String {
    (0..n).map(text).collect::<Vec<_>>().join(separator)
}

/// Leaves some monsters out in CI.
fn rarely(monsters: &mut [Monster]) {
    for monster in monsters {
        monster.rare = true;
    }
}

/// Every statement of the corpus.
pub fn statements() -> Vec<Monster> {
    let mut all = deep::deep_ones();
    all.extend(wide::wide_ones());
    all.extend(related::relations());
    all.extend(doubling::doubling_ones());
    all.extend(hungry::functions());
    all.extend(weird::weird_ones());
    all
}
