//! Owns what must hold for a token that a call ends with.

use std::time::Duration;

use super::invariants::{AGED, ENDED, HALF_SECOND, IDENTITY, INVALIDATED, PROMISED, REFUSED, REPORTED};
use super::model::{CallIndex, Ending};
use super::plan::PLACES;
use super::platform::{Meaning, Serial, TokenId};
use super::world::WorldState;

/// A token from Redis takes this long to arrive, at most.
const READ: Duration = Duration::from_millis(100);

impl WorldState {
    /// A call ends with a token, which this request brought.
    pub fn check_token(
        &mut self,
        call: CallIndex,
        token: TokenId,
        serial: Serial,
        rejected: Option<TokenId>,
    ) {
        let Self { model, time, .. } = self;
        let one_call = &model.calls[call];
        let Some(request) = model.requests.get(serial) else {
            time.violate(IDENTITY, || format!("call {call} gets what no request brought"));
            return;
        };
        let brought = match request.ended {
            Some((seq, _, Ending::Answer(Meaning::Token(brought)))) if brought == token => Some(seq),
            _ => None,
        };
        let (Some(ended), true) = (brought, request.which == one_call.which) else {
            time.violate(IDENTITY, || format!("call {call} gets token {token} of request {serial}"));
            return;
        };
        let is_from_memory = ended < one_call.began;
        let have_clocks_jumped = model.processes[one_call.process].clocks.jumps() != one_call.jumps;
        self.check_superseded(call, token, serial);
        self.check_half_second(call, serial);
        if is_from_memory && !have_clocks_jumped {
            self.check_age(call, token, serial, rejected);
        }
    }

    /// The token is from no request before an invalidation or a report that the process knew of.
    fn check_superseded(&mut self, call: CallIndex, token: TokenId, serial: Serial) {
        let Self { model, time, .. } = self;
        let (one_call, request) = (&model.calls[call], &model.requests[serial]);
        let one = &model.processes[one_call.process];
        let place = &one.places[one_call.which % PLACES];
        if request.began <= one_call.floor {
            let is_its_own = request.began <= place.invalidated && place.invalidated < one_call.began;
            time.violate(if is_its_own { INVALIDATED } else { PROMISED }, || {
                format!("call {call} gets the answer to request {serial}")
            });
        }
        let report = place.reports.get(&token).map(|report| report.first);
        if report.is_some_and(|report| report < one_call.began && request.began <= report) {
            time.violate(REPORTED, || format!("call {call} gets token {token} of request {serial}"));
        }
        if one.plan.in_fleet
            && let Some(first) = model.sharing.rejected(one_call.which, token, one_call.began_at)
            && request.began <= first
        {
            time.violate(PROMISED, || format!("call {call} gets token {token} of request {serial}"));
        }
    }

    /// A member of a fleet whose Redis is dead serves no token that it asked for long ago.
    fn check_half_second(&mut self, call: CallIndex, serial: Serial) {
        let Self { model, time, redis, .. } = self;
        let (one_call, request) = (&model.calls[call], &model.requests[serial]);
        let is_dead = redis.dead_since.is_some_and(|since| since <= one_call.began_at);
        if is_dead && one_call.not_before.is_some_and(|limit| request.began_at < limit) {
            time.violate(HALF_SECOND, || format!("call {call} gets the answer to request {serial}"));
        }
    }

    /// A token from memory has not expired, and the platform has not withdrawn it.
    fn check_age(&mut self, call: CallIndex, token: TokenId, serial: Serial, rejected: Option<TokenId>) {
        let start = self.time.start();
        let Self { model, time, platform, .. } = self;
        let (one_call, request) = (&model.calls[call], &model.requests[serial]);
        let one = &model.processes[one_call.process];
        let now = one.clocks.now(start);
        if platform.tokens[token].expires_at.is_some_and(|end| now.wall >= end) {
            time.violate(ENDED, || format!("call {call} gets token {token}, which has expired"));
        }
        let have_jumped = model.processes.iter().any(|one| one.clocks.jumps() > 0);
        let age = request.ended.map_or(Duration::ZERO, |(_, at, _)| one_call.began_at - at);
        if rejected.is_none() && !have_jumped && one.ttl().is_some_and(|ttl| age > ttl + READ) {
            time.violate(AGED, || format!("call {call} gets token {token}, which is {age:?} old"));
        }
        if !one.is_alone() {
            return;
        }
        // The facade may still hold a lease.
        let lease = Duration::from_millis(900);
        let ended = request.ended.map(|(seq, ..)| seq);
        let refused = one.places[one_call.which % PLACES].refused;
        let was_refused =
            refused.is_some_and(|(seq, at)| Some(seq) > ended && at + lease < one_call.began_at);
        if rejected.is_none() && was_refused {
            time.violate(REFUSED, || format!("call {call} gets the answer to request {serial}"));
        }
        let memory = rejected.map(|_| Duration::from_secs(5));
        let most = one.ttl().max(memory).unwrap_or_default();
        let (wall, boot) = (now.wall - request.wall, now.boot - request.boot);
        if boot >= most || wall >= most.as_secs_f64() * 1e3 {
            time.violate(ENDED, || format!("call {call} gets what is kept of request {serial}"));
        }
    }
}
