//! Locks and atomics that are std's, and let other threads of a schedule go first wherever they are used. Outside a schedule
//! they do nothing more.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::sync::{LockResult, MutexGuard, PoisonError, TryLockError};

thread_local! {
    /// Whether this thread runs a schedule: all of a schedule's threads run on one.
    static IS_SCHEDULED: Cell<bool> = const { Cell::new(false) };
}

/// Does something within a schedule.
pub fn scheduled<R>(work: impl FnOnce() -> R) -> R {
    IS_SCHEDULED.set(true);
    let done = work();
    IS_SCHEDULED.set(false);
    done
}

/// Lets other threads go first, perhaps.
fn switch() {
    // A schedule that has failed unwinds, and destructors come here.
    if IS_SCHEDULED.get() && !std::thread::panicking() {
        shuttle::thread::yield_now();
    }
}

/// A lock. To wait for it is to let others go first, so that a deadlock has no end and is found by the bound on steps.
#[derive(Debug, Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        if !IS_SCHEDULED.get() {
            return self.0.lock();
        }
        loop {
            switch();
            match self.0.try_lock() {
                Ok(guard) => return Ok(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Err(PoisonError::new(poisoned.into_inner())),
                Err(TryLockError::WouldBlock) => assert!(!std::thread::panicking(), "nobody releases it"),
            }
        }
    }
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug, Default)]
        pub struct $name(std::sync::atomic::$name);

        #[allow(dead_code, reason = "each has what any of them needs")]
        impl $name {
            pub const fn new(value: $value) -> Self {
                Self(std::sync::atomic::$name::new(value))
            }

            pub fn load(&self, order: Ordering) -> $value {
                switch();
                self.0.load(order)
            }

            pub fn store(&self, value: $value, order: Ordering) {
                switch();
                self.0.store(value, order);
            }

            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                switch();
                self.0.swap(value, order)
            }

            pub fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                switch();
                self.0.fetch_update(set, fetch, update)
            }
        }
    };
}

macro_rules! count {
    ($name:ident, $value:ty) => {
        #[allow(dead_code, reason = "each has what any of them needs")]
        impl $name {
            pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                switch();
                self.0.fetch_add(value, order)
            }

            pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                switch();
                self.0.fetch_or(value, order)
            }

            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                switch();
                self.0.fetch_sub(value, order)
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
count!(AtomicU32, u32);
count!(AtomicU64, u64);
