//! Owns what must always hold. Each invariant is checked when it could be broken, against what the onlooker knows.

use std::time::Duration;

use tokio::time::Instant;

use super::executor::Process;
use super::model::{CallIndex, CallStart, Ending, Given, JOINABLE, OneProcess, OneRequest};
use super::plan::PLACES;
use super::platform::{Meaning, Serial, TokenId, Which};
use super::sharing::CALM;
use super::time::Seq;
use super::world::WorldState;
use crate::core::error::Kind;

pub const IDENTITY: &str = "no caller gets a token of another connection";
pub const INVALIDATED: &str = "what begins after an invalidation gets nothing from before it";
pub const REPORTED: &str = "what begins after a report gets the rejected token from no answer before it";
pub const ENDED: &str = "no token is handed out after its end by either clock";
pub const AGED: &str = "no token is served for longer than ttlMs after the platform gave it, whoever kept it";
pub const IN_TIME: &str = "every call settles within its limit";
pub const EXPLAINED: &str = "every outcome is what the platform said to that call";
pub const REFUSED: &str = "what the platform refuses is not handed out from memory";
pub const WOKEN: &str = "whoever waits for another member is woken by it";
pub const AT_ONCE: &str = "a call ends as soon as its outcome is known";
pub const SHARED: &str = "identical calls share one request";
pub const KNOWN: &str = "what is known is not asked for again";
pub const ONE_REPAIR: &str = "one request for all who were refused with one token";
pub const ATTEMPTS: &str = "attempts are bounded";
pub const PERMITS: &str = "no more than maxConcurrency requests at once";
pub const CONNECTIONS: &str = "a slow platform is met with few connections";
pub const QUOTA: &str = "a failing platform is spared";
pub const UNTOUCHED: &str = "one caller's leaving changes nothing for another";
pub const FORLORN: &str = "what nobody waits for is cancelled";
pub const CLOSING: &str = "close waits for calls alone";
pub const PROMISED: &str =
    "a second after Redis was told of an invalidation, no member hands out what is from before it";
pub const HALF_SECOND: &str = "without a Redis, a token is kept for half a second";
pub const ASKING: &str = "a dead Redis costs a call no more than one command's limit";
pub const USED: &str = "a healthy Redis is used";
pub const TOLD: &str = "a healthy Redis is told of an invalidation at once";
pub const HOLDER: &str = "a lock is held by whoever fetches";
pub const LOST: &str = "no invalidation is lost";
pub const NOTHING_LEFT: &str = "nothing is left behind";

/// The longest pause between two attempts: a longer `Retry-After` ends the fetch.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// An idle holder releases its lock within this time.
const GIVEN_BACK: Duration = Duration::from_millis(100);

/// How long a process may serve the connection that a request brought.
fn life(request: &OneRequest, expires_at: Option<f64>, ttl: Duration) -> Duration {
    let Some(end) = expires_at else { return ttl };
    let left = Duration::try_from_secs_f64((end - request.wall) / 1e3).unwrap_or_default();
    ttl.min(left - Duration::from_secs(60).min(left / 5))
}

impl OneProcess {
    pub fn ttl(&self) -> Option<Duration> {
        self.plan.cache.map(|(ttl, _)| Duration::from_millis(ttl))
    }

    pub fn is_alone(&self) -> bool {
        !self.plan.in_fleet
    }
}

impl WorldState {
    pub fn check_request(&mut self, process: Process, which: Which, _: Seq) {
        let Self { model, time, redis, .. } = self;
        let one = &model.processes[process];
        if one.under_way >= one.plan.max_concurrency {
            time.violate(PERMITS, || format!("process {process}, for {which}"));
        }
        let Some(ttl) = one.ttl().filter(|_| one.plan.in_fleet && redis.was_calm_for(CALM)) else { return };
        let place = &one.places[which % PLACES];
        let Some((written, at)) = redis.written.get(&which).copied() else { return };
        let first = place.open.iter().map(|call| &model.calls[*call]).min_by_key(|call| call.began);
        let first = first.filter(|call| call.has_started).map(|call| call.began);
        let is_clear = place.clear_since.is_some_and(|since| since < written) && place.refreshes == 0;
        let have_jumped = model.processes.iter().any(|one| one.clocks.jumps() > 0);
        let is_there = redis.left(which) > Duration::from_millis(100) && at.elapsed() < ttl / 2;
        let are_keys_good =
            one.keys_refused.is_none() && first.is_some_and(|first| first > one.keys_accepted);
        if is_clear && is_there && !have_jumped && are_keys_good && first.is_some_and(|first| first > written)
        {
            time.violate(USED, || format!("process {process} asks for {which}"));
        }
    }

    pub fn check_connections(&mut self, process: Process) {
        let Self { model, time, .. } = self;
        let one = &model.processes[process];
        let limits = one.opened.elapsed().as_millis() / u128::from(one.plan.attempt_timeout);
        let allowed = 2 + limits as usize + one.lost_connections + one.stale as usize;
        if one.connections.len() > allowed {
            time.violate(CONNECTIONS, || {
                format!("process {process} opened {} and not {allowed}", one.connections.len())
            });
        }
    }

    pub fn check_ending(&mut self, serial: Serial, ending: Ending) {
        let Self { model, time, .. } = self;
        let OneRequest { process, which, began, .. } = model.requests[serial];
        let place = &model.processes[process].places[which % PLACES];
        if place.clear_since.is_none_or(|since| began <= since) {
            return;
        }
        let is_final = match ending {
            Ending::Answer(Meaning::Failure(Kind::Server, None)) => false,
            Ending::Answer(Meaning::Failure(Kind::Server | Kind::RateLimited, after)) => {
                after.is_some_and(|seconds| seconds > 10)
            }
            Ending::Answer(_) => true,
            Ending::Broken { .. } | Ending::Late | Ending::Cancelled => false,
        };
        let now = Instant::now();
        let open = place.open.iter().copied();
        if is_final {
            model.due.extend(open.map(|call| (now, call)));
        } else if ending == Ending::Cancelled && !model.processes[process].has_crashed {
            let waiting = open.into_iter().find(|call| !model.deadline_is_over(*call));
            if let Some(call) = waiting {
                time.violate(UNTOUCHED, || format!("request {serial}, which call {call} waits for"));
            }
        }
    }

    /// A call has begun.
    pub fn check_begun(&mut self, call: CallIndex, fresh: bool, rejected: Option<TokenId>, begun: CallStart) {
        let start = self.time.start();
        let Self { model, time, platform, redis } = self;
        model.calls[call].has_started = begun == CallStart::Started;
        let one_call = &model.calls[call];
        let (process, which) = (one_call.process, one_call.which);
        let one = &model.processes[process];
        let in_fleet = one.plan.in_fleet;
        time.note(|| format!("call {call} is {begun:?}"));
        if begun == CallStart::Started {
            // An earlier fetch waited, not this one.
            model.sharing.awaiting.remove(&(process, which));
            // A member that may be without a subscription joins no call to a fetch that began long before.
            let boot = one.clocks.now(start).boot;
            let is_in_touch = redis.was_in_touch_for(CALM) && one.clocks.jumps() == 0;
            let place = &mut model.processes[process].places[which % PLACES];
            let before = place.fetch_began.replace(boot);
            if in_fleet && !is_in_touch && before.is_some_and(|before| boot - before >= JOINABLE) {
                place.supersede(time.next());
            }
        }
        let one = &model.processes[process];
        let place = &one.places[which % PLACES];
        if begun == CallStart::Started && in_fleet && redis.dead_since.is_some() {
            model.asking.push((Instant::now() + Duration::from_millis(one.plan.command_timeout + 5), call));
        }
        let Some(since) = place.clear_since.filter(|_| !fresh && begun != CallStart::Known) else { return };
        let under_way = place.requests.iter().find(|serial| model.requests[**serial].began > since);
        if let Some(serial) = under_way.filter(|_| begun == CallStart::Started) {
            time.violate(SHARED, || format!("call {call} beside request {serial}"));
        }
        let Some(serial) = place.last.filter(|_| one.is_alone()) else { return };
        let last = &model.requests[serial];
        let Some((_, _, Ending::Answer(Meaning::Token(token)))) = last.ended else { return };
        if last.began <= since || place.reports.contains_key(&token) || last.jumps != one.clocks.jumps() {
            return;
        }
        let age = one.clocks.now(start).boot - last.boot;
        let expires_at = platform.tokens[token].expires_at;
        let is_within = |ttl: Duration| age < life(last, expires_at, ttl).mul_f64(0.7);
        let has_room = one.plan.cache.is_some_and(|(_, entries)| entries > PLACES);
        if has_room && rejected.is_none() && one.ttl().is_some_and(is_within) {
            time.violate(KNOWN, || format!("call {call}, after request {serial}"));
        }
        if rejected.is_some_and(|rejected| rejected != token) && is_within(Duration::from_secs(5)) {
            time.violate(ONE_REPAIR, || format!("call {call}, after request {serial}"));
        }
    }

    /// A call has ended.
    pub fn check_settled(
        &mut self,
        call: CallIndex,
        given: &Given,
        attempts: u32,
        rejected: Option<TokenId>,
    ) {
        let Self { model, time, .. } = self;
        let one_call = &model.calls[call];
        let one = &model.processes[one_call.process];
        if Instant::now() > one_call.deadline + Duration::from_millis(1) {
            time.violate(IN_TIME, || format!("call {call}"));
        }
        if attempts > (1 + one.plan.max_retries).max(2) {
            time.violate(ATTEMPTS, || format!("call {call}: {attempts}"));
        }
        match given {
            Given::Token(token, serial) => self.check_token(call, *token, *serial, rejected),
            Given::Unavailable(reason) => {
                self.check_explained(call, |ending| ending == Ending::Answer(Meaning::Unavailable(*reason)))
            }
            Given::Failure(Kind::Timeout) if model.deadline_is_over(call) => {}
            Given::Failure(Kind::Closed) => {
                if one.closed.is_none_or(|closed| closed > one_call.began) {
                    time.violate(EXPLAINED, || format!("call {call} is refused by an open client"));
                }
            }
            Given::Failure(kind) => self.check_explained(call, |ending| match ending {
                Ending::Answer(Meaning::Failure(of, _)) => of == *kind,
                Ending::Broken { .. } => *kind == Kind::Connect,
                Ending::Late => *kind == Kind::Timeout,
                _ => false,
            }),
        }
    }

    /// The outcome of a call came in this moment, in an answer that it waited for. A call that joined a fetch between two
    /// attempts may end at once with an earlier answer, if its limit passes in that pause.
    fn check_explained(&mut self, call: CallIndex, is_it: impl Fn(Ending) -> bool) {
        let Self { model, time, .. } = self;
        let one = &model.calls[call];
        let now = Instant::now();
        let of_it = |request: &&OneRequest| (request.process, request.which) == (one.process, one.which);
        let may_be_paused = !one.has_started && one.began_at == now;
        let is_explained = model.requests.iter().rev().filter(of_it).any(|request| {
            request.ended.is_some_and(|(seq, at, ending)| {
                let was_paused = may_be_paused && now - at <= LONGEST_PAUSE;
                is_it(ending) && ((seq > one.began && at == now) || was_paused)
            })
        });
        if !is_explained {
            time.violate(EXPLAINED, || format!("call {call}"));
        }
    }

    /// Another process waits for a lock of this holder.
    pub fn check_holder(&mut self, holder: Process, which: Which) {
        let Self { model, time, redis, .. } = self;
        let one = &model.processes[holder];
        let is_idle = one.places[which % PLACES].idle_since.is_some_and(|since| since.elapsed() > GIVEN_BACK);
        if is_idle && !one.has_crashed && redis.was_calm_for(CALM) {
            time.violate(HOLDER, || format!("process {holder} does nothing for {which}"));
        }
    }
}
