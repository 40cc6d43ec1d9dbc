//! Owns what must have happened by now: whenever something happens, what was due before that is checked.
//! So is what must be done and gone at the end.

use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use super::executor::Process;
use super::invariants::{ASKING, AT_ONCE, CLOSING, FORLORN, LOST, NOTHING_LEFT, QUOTA, WOKEN};
use super::model::CallIndex;
use super::plan::PLACES;
use super::platform::Which;
use super::sharing::Invalidation;
use super::time::Seq;
use super::world::WorldState;

/// A reply that was on its way when Redis died arrives within this time.
const ON_THE_WAY: Duration = Duration::from_millis(60);

impl WorldState {
    /// Something happens: what was due before now has happened.
    pub fn happens(&mut self) -> Seq {
        let now = Instant::now();
        let is_over = |due: Option<&Instant>| due.is_some_and(|due| *due < now);
        if is_over(self.model.due.first().map(|(at, _)| at)) {
            self.check_settled_by_now();
        }
        if is_over(self.model.forlorn.first().map(|(at, ..)| at)) {
            self.check_cancelled_by_now();
        }
        if is_over(self.model.closing.first().map(|(at, _)| at)) {
            self.check_closed_by_now();
        }
        self.check_woken_by_now(now);
        if is_over(self.model.asking.first().map(|(at, _)| at)) {
            self.check_asked_by_now(now);
        }
        self.time.next()
    }

    fn check_settled_by_now(&mut self) {
        let Self { model, time, .. } = self;
        for (_, call) in model.due.drain(..) {
            let one = &model.calls[call];
            if !one.is_settled && !model.processes[one.process].has_crashed {
                time.violate(AT_ONCE, || format!("call {call}"));
            }
        }
    }

    fn check_cancelled_by_now(&mut self) {
        let Self { model, time, .. } = self;
        for (_, process, which) in mem::take(&mut model.forlorn) {
            let place = model.place(process, which);
            let is_forlorn = place.open.is_empty() && place.refreshes == 0 && !place.requests.is_empty();
            if is_forlorn && !model.processes[process].has_crashed {
                time.violate(FORLORN, || format!("a request of process {process} for {which}"));
            }
        }
    }

    fn check_closed_by_now(&mut self) {
        let Self { model, time, .. } = self;
        for (_, process) in mem::take(&mut model.closing) {
            let one = &model.processes[process];
            if !one.has_ended && !one.has_crashed {
                time.violate(CLOSING, || format!("process {process}"));
            }
        }
    }

    fn check_woken_by_now(&mut self, now: Instant) {
        let Self { model, time, redis, .. } = self;
        let is_overdue = |due: &Option<Instant>| due.is_some_and(|due| due < now);
        if !model.sharing.awaiting.values().any(is_overdue) {
            return;
        }
        let is_calm = redis.was_calm_for(Duration::from_secs(1));
        let overdue = model.sharing.awaiting.iter().filter(|(_, due)| is_overdue(due));
        let overdue: Vec<(Process, Which)> = overdue.map(|(of, _)| *of).collect();
        for (process, which) in overdue {
            model.sharing.awaiting.remove(&(process, which));
            let one = &model.processes[process];
            let place = &one.places[which % PLACES];
            let has_permit = one.under_way < one.plan.max_concurrency;
            let has_asked = !place.requests.is_empty();
            let waits = !place.open.is_empty() && has_permit && !has_asked && one.is_clear(which);
            if waits && is_calm && !one.has_crashed {
                time.violate(WOKEN, || format!("process {process}, for {which}"));
            }
        }
    }

    fn check_asked_by_now(&mut self, now: Instant) {
        let Self { model, time, redis, .. } = self;
        let is_due = |(at, _): &(Instant, CallIndex)| *at < now;
        let due: Vec<_> = model.asking.extract_if(.., |asking| is_due(asking)).collect();
        for (_, call) in due {
            let one = &model.calls[call];
            let process = &model.processes[one.process];
            let has_asked = model.requests.iter().rev().any(|request| {
                (request.process, request.which) == (one.process, one.which) && request.began > one.began
            });
            let is_dead = redis.dead_since.is_some_and(|since| since + ON_THE_WAY <= one.began_at);
            let has_permit = process.under_way < process.plan.max_concurrency;
            if is_dead && has_permit && !has_asked && !one.is_settled && !process.has_crashed {
                time.violate(ASKING, || format!("call {call}"));
            }
        }
    }

    /// All clients are closed, and Redis has been well for long.
    pub fn check_locks(&mut self) {
        let locks = self.redis.store.locks();
        if locks > 0 {
            self.time.violate(NOTHING_LEFT, || format!("{locks} locks in Redis"));
        }
    }

    /// A process has been closed: checks its counters and what is left of it.
    pub fn check_end(&mut self, process: Process, retries: u64, counts: [u64; 2], tasks: usize) {
        let Self { model, time, .. } = self;
        let one = &model.processes[process];
        let cost = if one.throttled == 0 { 14 } else { 5 };
        let allowed = (500 + 14 * one.successes) / cost + one.stale;
        if retries > allowed {
            time.violate(QUOTA, || format!("process {process}: {retries} retries and not {allowed}"));
        }
        if counts != [0, 0] || one.under_way > 0 || tasks > 0 {
            time.violate(NOTHING_LEFT, || {
                format!("process {process}: counters {counts:?}, {} requests, {tasks} tasks", one.under_way)
            });
        }
    }

    /// Redis has been well for long: it must have every invalidation.
    pub fn check_told(&mut self) {
        let Self { model, time, .. } = self;
        for (which, all) in model.sharing.invalidations.iter().enumerate() {
            let is_lost = |one: &&Invalidation| {
                let process = &model.processes[one.process];
                one.told.is_none() && !process.has_crashed && process.closed.is_none()
            };
            if let Some(one) = all.iter().find(is_lost) {
                time.violate(LOST, || format!("invalidation {} of {which}", one.seq));
            }
        }
    }
}
