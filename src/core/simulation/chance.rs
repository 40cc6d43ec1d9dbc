//! Owns chance: every number that is drawn while a world runs comes from its seed.

use std::cell::RefCell;

use fastrand::Rng;

thread_local! {
    static CHANCE: RefCell<Rng> = const { RefCell::new(Rng::with_seed(0)) };
}

/// Starts the numbers of a seed on this thread.
pub fn begin(seed: u64) {
    CHANCE.with_borrow_mut(|chance| *chance = Rng::with_seed(seed));
}

/// A number below the bound.
pub fn below(bound: usize) -> usize {
    CHANCE.with_borrow_mut(|chance| chance.usize(..bound.max(1)))
}

/// A number from one to another, both included.
pub fn between(least: u64, most: u64) -> u64 {
    CHANCE.with_borrow_mut(|chance| chance.u64(least..=most))
}

/// Returns `true` so many times in a hundred.
pub fn percent(often: usize) -> bool {
    below(100) < often
}

/// The core's jitter.
pub fn jitter() -> f64 {
    CHANCE.with_borrow_mut(Rng::f64)
}
