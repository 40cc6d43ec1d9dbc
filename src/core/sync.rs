//! The locks and atomics of what several threads share. In tests they are those of `scheduled`.

#[cfg(test)]
pub mod scheduled;

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
