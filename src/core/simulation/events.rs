//! Owns how the onlooker's model changes with each step of callers and requests.

use std::time::Duration;

use tokio::time::Instant;

use super::executor::Process;
use super::model::{
    CallIndex, DEAD, Ending, Given, KNOWN, MEMORY, Model, NetworkConnection, OneCall, OneRequest, Report,
};
use super::plan::PLACES;
use super::platform::{Meaning, Serial, TokenId, Which};
use super::world::WorldState;
use crate::core::error::Kind;

impl WorldState {
    /// A request begins.
    pub fn requested(&mut self, process: Process, which: Which) -> Serial {
        let began = self.happens();
        let serial = self.model.requests.len();
        self.time.note(|| format!("process {process} sends request {serial} for {which}"));
        self.check_request(process, which, began);
        let request = OneRequest {
            process,
            which,
            began,
            began_at: Instant::now(),
            ended: None,
            wall: 0.0,
            boot: Duration::ZERO,
            jumps: 0,
        };
        self.model.requests.push(request);
        self.model.processes[process].under_way += 1;
        self.model.sharing.awaiting.remove(&(process, which));
        let place = self.model.place(process, which);
        place.requests.push(serial);
        place.idle_since = None;
        serial
    }

    /// A request has ended.
    pub fn ended(&mut self, serial: Serial, ending: Ending) {
        let seq = self.happens();
        let start = self.time.start();
        let Self { model, time, .. } = self;
        let OneRequest { process, which, began, .. } = model.requests[serial];
        time.note(|| format!("request {serial} of process {process} for {which} ends: {ending:?}"));
        let one = &mut model.processes[process];
        let now = one.clocks.now(start);
        one.under_way -= 1;
        match ending {
            Ending::Answer(Meaning::Token(_) | Meaning::Unavailable(_)) => one.successes += 1,
            Ending::Answer(Meaning::Failure(kind, _)) => {
                one.throttled += u64::from(kind == Kind::RateLimited);
                if matches!(kind, Kind::InvalidApiKey | Kind::Forbidden) {
                    one.keys_refused = Some(seq);
                }
            }
            Ending::Broken { is_stale } => {
                one.lost_connections += 1;
                one.stale += u64::from(is_stale);
            }
            Ending::Late | Ending::Cancelled => {}
        }
        let jumps = one.clocks.jumps();
        let request = &mut model.requests[serial];
        request.ended = Some((seq, Instant::now(), ending));
        (request.wall, request.boot, request.jumps) = (now.wall, now.boot, jumps);
        self.check_ending(serial, ending);
        let place = self.model.place(process, which);
        let is_current = place.clear_since.is_some_and(|since| began > since);
        if ending.is_refusal() && is_current {
            place.refused = Some((seq, Instant::now()));
        }
        place.requests.retain(|other| *other != serial);
        if ending != Ending::Cancelled {
            place.last = Some(serial);
        }
        place.settle_down(seq);
    }

    /// A connection is opened.
    pub fn connected(&mut self, process: Process) -> usize {
        let one = &mut self.model.processes[process];
        one.connections.push(NetworkConnection::default());
        let number = one.connections.len() - 1;
        self.time.note(|| format!("process {process} opens connection {number}"));
        self.check_connections(process);
        number
    }

    /// A call is about to begin.
    pub fn begins(
        &mut self,
        process: Process,
        which: Which,
        timeout: Duration,
        fresh: bool,
        rejected: Option<TokenId>,
    ) -> CallIndex {
        if let Some(token) = rejected {
            self.reported(process, which, token);
        }
        let began = self.happens();
        let call = self.model.calls.len();
        self.time.note(|| {
            let fresh = if fresh { " afresh" } else { "" };
            let other = rejected.map(|token| format!(", other than token {token}")).unwrap_or_default();
            format!("call {call}: process {process} asks for {which}{fresh}{other}")
        });
        let one = &self.model.processes[process];
        let (jumps, in_fleet) = (one.clocks.jumps(), one.plan.in_fleet);
        let now = Instant::now();
        // The facade serves a leased token for a moment longer if the wall clock is set back by a moment.
        let is_sure = in_fleet && one.set.is_none_or(|set| set.elapsed() > MEMORY);
        let has_been_dead = self.redis.dead_for().is_some_and(|time| time >= DEAD);
        let not_before = (is_sure && has_been_dead).then(|| now - MEMORY);
        let shared = if is_sure { self.model.sharing.floor(which) } else { 0 };
        let place = self.model.place(process, which);
        let floor = if fresh { began } else { place.invalidated.max(shared) };
        if fresh {
            place.supersede(began);
        }
        place.open.push(call);
        place.idle_since = None;
        self.model.calls.push(OneCall {
            process,
            which,
            began,
            began_at: now,
            deadline: now + timeout,
            floor,
            jumps,
            not_before,
            has_started: false,
            is_settled: false,
        });
        call
    }

    /// A call has its outcome, and the requests that were sent for it.
    pub fn settled(&mut self, call: CallIndex, given: &Given, attempts: u32, rejected: Option<TokenId>) {
        self.time.note(|| format!("call {call} gets {given:?} after {attempts} requests"));
        self.check_settled(call, given, attempts, rejected);
        if let Given::Token(_, serial) = given {
            self.keys_accepted(call, *serial);
        }
        self.leave(call);
    }

    fn keys_accepted(&mut self, call: CallIndex, serial: Serial) {
        let seq = self.time.next();
        let Model { calls, processes, requests, .. } = &mut self.model;
        let (process, request) = (calls[call].process, requests.get(serial));
        let Some(request) = request.filter(|request| request.process == process) else { return };
        let one = &mut processes[process];
        if one.keys_refused.take_if(|refused| request.began > *refused).is_some() {
            one.keys_accepted = seq;
        }
    }

    /// A call has ended for its caller, whatever the outcome.
    pub fn leave(&mut self, call: CallIndex) {
        let seq = self.happens();
        let OneCall { process, which, is_settled, .. } = &mut self.model.calls[call];
        let (process, which, was_settled) = (*process, *which, std::mem::replace(is_settled, true));
        if was_settled {
            self.time.violate("a call is settled once", || format!("call {call}"));
        }
        let Model { processes, due, .. } = &mut self.model;
        let place = &mut processes[process].places[which % PLACES];
        place.open.retain(|other| *other != call);
        // No call joins a fetch whose waiters have all left, even before it has ended. A call that is due waits for none.
        let waits = |call: &CallIndex| !due.iter().any(|(_, other)| other == call);
        if place.leaving > 0 && !place.open.iter().any(waits) {
            place.supersede(seq);
        }
        place.settle_down(seq);
        self.forget_if_forlorn(process, which);
        self.ends_if_idle(process);
    }

    /// A caller aborts its call. Returns `false` if the call has ended.
    pub fn aborts(&mut self, call: CallIndex) -> bool {
        let OneCall { process, which, is_settled, .. } = self.model.calls[call];
        if is_settled || self.model.processes[process].has_crashed {
            return false;
        }
        self.time.note(|| format!("call {call} is aborted"));
        self.model.place(process, which).leaving += 1;
        self.leave(call);
        true
    }

    /// An aborted call has ended.
    pub fn aborted(&mut self, call: CallIndex) {
        let seq = self.happens();
        let OneCall { process, which, .. } = self.model.calls[call];
        let place = self.model.place(process, which);
        place.leaving -= 1;
        place.settle_down(seq);
    }

    /// A client is about to be closed.
    pub fn closes(&mut self, process: Process) {
        let seq = self.happens();
        self.time.note(|| format!("process {process} closes its client"));
        self.model.processes[process].closed = Some(seq);
        self.ends_if_idle(process);
    }

    fn ends_if_idle(&mut self, process: Process) {
        let one = &self.model.processes[process];
        if one.closed.is_some() && one.places.iter().all(|place| place.open.is_empty()) {
            self.model.closing.push((Instant::now(), process));
        }
    }

    /// A fetch in the background begins.
    pub fn refresh_begins(&mut self, process: Process, which: Which) {
        let boot = self.model.processes[process].clocks.now(self.time.start()).boot;
        let place = self.model.place(process, which);
        place.refreshes += 1;
        place.fetch_began = Some(boot);
        place.idle_since = None;
    }

    /// A fetch in the background has ended.
    pub fn refresh_ends(&mut self, process: Process, which: Which) {
        let seq = self.happens();
        let place = self.model.place(process, which);
        place.refreshes -= 1;
        place.settle_down(seq);
        self.forget_if_forlorn(process, which);
    }

    fn forget_if_forlorn(&mut self, process: Process, which: Which) {
        let place = self.model.place(process, which);
        if place.open.is_empty() && place.refreshes == 0 && !place.requests.is_empty() {
            self.model.forlorn.push((Instant::now(), process, which));
        }
    }

    /// A connection is about to be invalidated.
    pub fn invalidated(&mut self, process: Process, which: Which) {
        let seq = self.happens();
        self.time.note(|| format!("process {process} invalidates {which}"));
        let place = self.model.place(process, which);
        place.invalidated = seq;
        place.supersede(seq);
        if self.model.processes[process].plan.in_fleet {
            self.shares_invalidation(process, which, seq);
        }
    }

    /// A token is about to be reported as rejected.
    pub fn reported(&mut self, process: Process, which: Which, token: TokenId) {
        let seq = self.happens();
        self.time.note(|| format!("process {process} reports token {token} of {which}"));
        let start = self.time.start();
        let now = self.model.processes[process].clocks.now(start).boot;
        let place = self.model.place(process, which);
        let report = place.reports.entry(token).or_insert(Report { first: seq, first_at: now });
        let is_first = report.first == seq;
        // A later report may find the first one forgotten, and be noted anew.
        if is_first || now - report.first_at > KNOWN || place.reports.len() > 10 {
            place.supersede(seq);
        }
        if is_first && self.model.processes[process].plan.in_fleet {
            self.shares_rejection(process, which, token, seq);
        }
    }
}
