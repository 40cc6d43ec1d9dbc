//! The locks and atomics of what several threads share. In tests they are those of `scheduled`.

#[cfg(test)]
pub mod scheduled;

use std::sync::PoisonError;

pub use std::sync::MutexGuard;
/// A counter that JavaScript reads too, hence the standard library's in tests as well.
pub use std::sync::atomic::AtomicU32 as SharedCounter;
pub use std::sync::atomic::Ordering;
#[cfg(not(test))]
pub use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU32, AtomicU64},
};

#[cfg(test)]
pub use self::scheduled::{AtomicBool, AtomicU32, AtomicU64, Mutex};

/// Locks, also after a panic of another thread that held the lock: what our locks guard is whole at all times.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
