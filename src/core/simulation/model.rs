//! Owns what an onlooker knows: who asked for what when, which requests are under way, what was invalidated and reported.
//! It takes nothing from the core. `events` and `fleet_events` write it down; `invariants` checks what must hold against it.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::executor::Process;
use super::plan::{Member, PLACES, Plan};
use super::platform::{Meaning, Serial, TokenId, Which};
use super::sharing::Sharing;
use super::time::{Clocks, Seq};
use crate::core::connection::Unavailable;
use crate::core::error::Kind;

/// A report that follows another one of the same token within this time is known, so that nothing happens.
pub const KNOWN: Duration = Duration::from_secs(4);

/// When Redis has been dead for so long, everybody has noticed.
pub const DEAD: Duration = Duration::from_millis(1_500);
/// Then nothing is kept for longer than this: half a second, and what may be handed out without another look.
pub const MEMORY: Duration = Duration::from_millis(900);

/// Names a call.
pub type CallIndex = usize;

/// What is known of all.
pub struct Model {
    pub processes: Vec<OneProcess>,
    pub calls: Vec<OneCall>,
    pub requests: Vec<OneRequest>,
    /// Calls that have to be settled at the moment in which they are put here.
    pub due: Vec<(Instant, CallIndex)>,
    /// Requests that nobody waits for since then.
    pub forlorn: Vec<(Instant, Process, usize)>,
    /// Clients that are closed, and have no call left since then.
    pub closing: Vec<(Instant, Process)>,
    /// Calls that have asked the platform by then, if Redis is dead all the time.
    pub asking: Vec<(Instant, CallIndex)>,
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
    pub connections: Vec<NetworkConnection>,
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
    pub places: Vec<OnePlace>,
}

/// What one process does about one connection.
#[derive(Default)]
pub struct OnePlace {
    /// Calls that have not been settled.
    pub open: Vec<CallIndex>,
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
    pub fn is_refusal(self) -> bool {
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
                .map(|_| OnePlace {
                    clear_since: Some(0),
                    idle_since: Some(Instant::now()),
                    ..OnePlace::default()
                })
                .collect(),
        });
        self.processes.len() - 1
    }

    pub fn place(&mut self, process: Process, which: Which) -> &mut OnePlace {
        &mut self.processes[process].places[which % PLACES]
    }

    pub fn deadline_is_over(&self, call: CallIndex) -> bool {
        self.calls[call].deadline <= Instant::now()
    }
}

impl OneProcess {
    /// Whether there is no doubt which fetch is whose.
    pub fn is_clear(&self, which: Which) -> bool {
        self.places[which % PLACES].clear_since.is_some()
    }
}

impl OnePlace {
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

/// How a call was taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStart {
    Known,
    Joined,
    Started,
}

/// What a caller is given.
#[derive(Clone, Debug)]
pub enum Given {
    /// The token, and the number of the request that brought it.
    Token(TokenId, Serial),
    Unavailable(Unavailable),
    Failure(Kind),
}

/// A connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetworkConnection {
    pub has_served: bool,
    pub is_frozen: bool,
    pub is_closed: bool,
}
