//! Owns chance: whatever is drawn while a world runs comes from its seed, one number after the other.

use std::cell::RefCell;

use fastrand::Rng;

thread_local! {
    static CHANCE: RefCell<Rng> = const { RefCell::new(Rng::with_seed(0)) };
}

/// Begins the numbers of a seed, on this thread.
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

/// Whether something happens that happens so often among a hundred.
pub fn percent(often: usize) -> bool {
    below(100) < often
}

/// What the core draws its jitter from.
pub fn jitter() -> f64 {
    CHANCE.with_borrow_mut(Rng::f64)
}
