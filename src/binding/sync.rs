//! The lock of the queue. In tests it is that of the model checker.

#[cfg(test)]
pub use loom::sync::{Mutex, MutexGuard};
#[cfg(not(test))]
pub use std::sync::{Mutex, MutexGuard};
