//! Owns what an onlooker knows: who asked for what when, which requests are under way, what was invalidated and reported.
//! It takes nothing from the core; what must hold is checked against it in `invariants`.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::executor::Process;
use super::plan::{Member, PLACES, Plan};
use super::platform::{Meaning, Serial, TokenId, Which};
use super::sharing::Sharing;
use super::transport::Connection;
use super::world::{Clocks, Seq, State};
use crate::core::error::Kind;

/// A report that follows another one of the same token within this time is known, so that nothing happens.
pub const KNOWN: Duration = Duration::from_secs(4);

/// When Redis has been dead for so long, everybody has noticed.
const DEAD: Duration = Duration::from_millis(1_500);
/// Then nothing is kept for longer than this: half a second, and what may be handed out without another look.
pub const MEMORY: Duration = Duration::from_millis(900);

/// Names a call.
pub type CallId = usize;

/// What is known of all.
pub struct Model {
    pub processes: Vec<OneProcess>,
    pub calls: Vec<OneCall>,
    pub requests: Vec<OneRequest>,
    /// Calls that have to be settled at the moment in which they are put here.
    pub due: Vec<(Instant, CallId)>,
    /// Requests that nobody waits for since then.
    pub forlorn: Vec<(Instant, Process, usize)>,
    /// Clients that are closed, and have no call left since then.
    pub closing: Vec<(Instant, Process)>,
    /// Calls that have asked the platform by then, if Redis is dead all the time.
    pub asking: Vec<(Instant, CallId)>,
    pub sharing: Sharing,
    members: Vec<Member>,
}

/// One process, from the opening of its client to its end.
pub struct OneProcess {
    pub plan: Member,
    pub clocks: Arc<Clocks>,
    pub opened: Instant,
    pub closed: Option<Seq>,
    /// Whether `close` has ended.
    pub has_ended: bool,
    pub has_crashed: bool,
    /// When somebody set its wall clock for the last time.
    pub set: Option<Instant>,
    pub connections: Vec<Connection>,
    /// Requests under way.
    pub under_way: usize,
    /// Connections that broke, were closed or froze.
    pub lost_connections: usize,
    pub stale: u64,
    pub throttled: u64,
    pub successes: u64,
    /// When the platform refused its keys last, unless a call has had a token of a later request since.
    pub keys_refused: Option<Seq>,
    /// When a call had such a token for the first time after a refusal.
    pub keys_accepted: Seq,
    pub places: Vec<Place>,
}

/// What one process does about one connection.
#[derive(Default)]
pub struct Place {
    /// Calls that have not been settled.
    pub open: Vec<CallId>,
    /// Requests under way.
    pub requests: Vec<Serial>,
    /// Fetches in the background.
    pub refreshes: usize,
    /// Calls that were aborted, and are under way for a moment more.
    pub leaving: usize,
    /// The last invalidation of whatever there is.
    pub invalidated: Seq,
    /// Since when there is no doubt which fetch is whose; nothing if there is.
    pub clear_since: Option<Seq>,
    /// Since when nothing is under way.
    pub idle_since: Option<Instant>,
    pub last: Option<Serial>,
    /// The platform said that there is no token.
    pub refused: Option<(Seq, Instant)>,
    pub reports: FxHashMap<TokenId, Report>,
}

/// Reports of one token.
#[derive(Clone, Copy)]
pub struct Report {
    pub first: Seq,
    /// The last of them that may have been news.
    pub news: Duration,
}

/// One call.
pub struct OneCall {
    pub process: Process,
    pub which: Which,
    pub began: Seq,
    pub began_at: Instant,
    pub deadline: Instant,
    /// What it gets was asked for after this.
    pub floor: Seq,
    pub jumps: u64,
    /// Redis was dead when it began, since a while: what is kept is not older than this.
    pub not_before: Option<Instant>,
    /// Whether it began a fetch.
    pub has_started: bool,
    pub is_settled: bool,
}

/// One request.
pub struct OneRequest {
    pub process: Process,
    pub which: Which,
    pub began: Seq,
    pub began_at: Instant,
    pub ended: Option<(Seq, Instant, Ending)>,
    /// Both clocks of the process, and their jumps, when it ended.
    pub wall: f64,
    pub boot: Duration,
    pub jumps: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    Answer(Meaning),
    Broken { is_stale: bool },
    Late,
    Cancelled,
}

impl Ending {
    /// Whether the platform itself says that there is no token.
    fn is_refusal(self) -> bool {
        match self {
            Self::Answer(Meaning::Unavailable(_)) => true,
            Self::Answer(Meaning::Failure(kind, _)) => {
                matches!(kind, Kind::InvalidApiKey | Kind::Forbidden | Kind::Http)
            }
            _ => false,
        }
    }
}

impl Model {
    pub fn new(plan: &Plan) -> Self {
        Self {
            processes: Vec::new(),
            calls: Vec::new(),
            requests: Vec::new(),
            due: Vec::new(),
            forlorn: Vec::new(),
            closing: Vec::new(),
            asking: Vec::new(),
            sharing: Sharing::new(),
            members: plan.members.clone(),
        }
    }

    /// A process has begun.
    pub fn open(&mut self, slot: usize, clocks: Arc<Clocks>) -> Process {
        self.processes.push(OneProcess {
            plan: self.members[slot].clone(),
            clocks,
            opened: Instant::now(),
            closed: None,
            has_ended: false,
            has_crashed: false,
            set: None,
            connections: Vec::new(),
            under_way: 0,
            lost_connections: 0,
            stale: 0,
            throttled: 0,
            successes: 0,
            keys_refused: None,
            keys_accepted: 0,
            places: (0..PLACES)
                .map(|_| Place { clear_since: Some(0), idle_since: Some(Instant::now()), ..Place::default() })
                .collect(),
        });
        self.processes.len() - 1
    }

    pub fn place(&mut self, process: Process, which: Which) -> &mut Place {
        &mut self.processes[process].places[which % PLACES]
    }

    pub fn deadline_is_over(&self, call: CallId) -> bool {
        self.calls[call].deadline <= Instant::now()
    }
}

impl Place {
    /// Whether nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.open.is_empty() && self.requests.is_empty() && self.refreshes == 0 && self.leaving == 0
    }

    /// What was fetched before, or is under way, may be of no use from now on.
    pub fn supersede(&mut self, now: Seq) {
        self.clear_since = self.is_quiet().then_some(now);
    }

    /// Something has ended.
    pub fn settle_down(&mut self, now: Seq) {
        if self.is_quiet() {
            self.idle_since.get_or_insert_with(Instant::now);
        }
        if self.clear_since.is_none() && self.is_quiet() {
            self.clear_since = Some(now);
        }
    }
}

impl State {
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
        one.connections.push(Connection::default());
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
    ) -> CallId {
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
        // What the facade hands out by itself, it hands out for a moment longer if the wall clock is set back by a moment.
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

    /// A call has ended for its caller, whatever the outcome.
    pub fn leave(&mut self, call: CallId) {
        let seq = self.happens();
        let OneCall { process, which, is_settled, .. } = &mut self.model.calls[call];
        let (process, which, was_settled) = (*process, *which, std::mem::replace(is_settled, true));
        if was_settled {
            self.time.violate("a call is settled once", || format!("call {call}"));
        }
        let place = self.model.place(process, which);
        place.open.retain(|other| *other != call);
        // What is still under way for a moment, though nobody waits for it any more, is joined by nobody.
        if place.open.is_empty() && place.leaving > 0 {
            place.supersede(seq);
        }
        place.settle_down(seq);
        self.forget_if_forlorn(process, which);
        self.ends_if_idle(process);
    }

    /// A caller aborts its call. `false` if that has ended, by itself or with its process.
    pub fn aborts(&mut self, call: CallId) -> bool {
        let OneCall { process, which, is_settled, .. } = self.model.calls[call];
        if is_settled || self.model.processes[process].has_crashed {
            return false;
        }
        self.time.note(|| format!("call {call} is aborted"));
        self.model.place(process, which).leaving += 1;
        self.leave(call);
        true
    }

    /// Nothing is left of a call that was aborted.
    pub fn aborted(&mut self, call: CallId) {
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
        let place = self.model.place(process, which);
        place.refreshes += 1;
        place.idle_since = None;
    }

    /// A fetch in the background is over.
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

    /// Whatever there is of a connection is about to be invalidated.
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
        let report = place.reports.entry(token).or_insert(Report { first: seq, news: now });
        let is_news = report.first == seq || now - report.news > KNOWN;
        if is_news {
            report.news = now;
        }
        let is_first = report.first == seq;
        if is_news || place.reports.len() > 10 {
            place.supersede(seq);
        }
        if is_first && self.model.processes[process].plan.in_fleet {
            self.shares_rejection(process, which, token, seq);
        }
    }
}
