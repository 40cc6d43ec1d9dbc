//! Decides which thread of a schedule goes on. Some defects need one thread to go far while another one stands still, others
//! need threads that change all the time: so each schedule has a bias of its own towards the thread that runs.

use std::time::Instant;

use fastrand::Rng;
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// Of a hundred steps, so many on average are followed by one of the same thread, besides those by chance.
const BIASES: [u8; 4] = [0, 50, 80, 95];

/// As random as shuttle's own, but for the bias.
#[derive(Debug)]
pub struct BiasedScheduler {
    schedules_left: usize,
    until: Option<Instant>,
    bias: u8,
    rng: Rng,
}

impl BiasedScheduler {
    /// For so many schedules, which are new ones each time, or until then.
    pub fn new(schedules: usize, until: Option<Instant>) -> Self {
        Self { schedules_left: schedules, until, bias: 0, rng: Rng::new() }
    }
}

impl Scheduler for BiasedScheduler {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return None;
        }
        self.schedules_left = self.schedules_left.checked_sub(1)?;
        self.bias = BIASES[self.rng.usize(..BIASES.len())];
        Some(Schedule::new(self.rng.u64(..)))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, _: bool) -> Option<TaskId> {
        let current = current.filter(|current| runnable.iter().any(|task| task.id() == *current));
        match current {
            Some(current) if self.rng.u8(..100) < self.bias => Some(current),
            _ => Some(runnable[self.rng.usize(..runnable.len())].id()),
        }
    }

    fn next_u64(&mut self) -> u64 {
        self.rng.u64(..)
    }
}
