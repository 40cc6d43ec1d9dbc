//! Owns what an onlooker knows: the calls, the requests in flight, the invalidations and the reports, each with its time. It
//! takes nothing from the core. `events` and `fleet_events` update it; `invariants` checks the core against it.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::executor::Process;
use super::plan::{MemberPlan, PLACES, Plan};
use super::platform::{Meaning, Serial, TokenId, Which};
use super::sharing::Sharing;
use super::time::{Clocks, Seq};
use crate::core::connection::Unavailable;
use crate::core::error::Kind;

/// A second report of the same token within this time of the first changes nothing.
pub const KNOWN: Duration = Duration::from_secs(4);

/// Every member has noticed a Redis that has been dead for so long.
pub const DEAD: Duration = Duration::from_millis(1_500);
/// How long such a member serves a token from memory: half a second, and the life of a lease.
pub const MEMORY: Duration = Duration::from_millis(900);
/// How long calls of a member without a subscription join a fetch.
pub const JOINABLE: Duration = Duration::from_millis(500);

/// Names a call.
pub type CallIndex = usize;

/// What the onlooker knows.
pub struct Model {
    pub processes: Vec<OneProcess>,
    pub calls: Vec<OneCall>,
    pub requests: Vec<OneRequest>,
    /// Calls that must settle in the moment in which they are added here.
    pub due: Vec<(Instant, CallIndex)>,
    /// Requests without a waiter, and since when.
    pub forlorn: Vec<(Instant, Process, usize)>,
    /// Closed clients without a call, and since when.
    pub closing: Vec<(Instant, Process)>,
    /// Calls that must have asked the platform by this time if Redis stays dead.
    pub asking: Vec<(Instant, CallIndex)>,
    pub sharing: Sharing,
    members: Vec<MemberPlan>,
}

/// One process, from the opening of its client to its end.
pub struct OneProcess {
    pub plan: MemberPlan,
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
    /// When the platform last refused its keys, unless a later request brought a call a token.
    pub keys_refused: Option<Seq>,
    /// When such a token first came after a refusal.
    pub keys_accepted: Seq,
    pub places: Vec<OnePlace>,
}

/// What one process does about one connection.
#[derive(Default)]
pub struct OnePlace {
    /// Calls that have not settled.
    pub open: Vec<CallIndex>,
    /// Requests under way.
    pub requests: Vec<Serial>,
    /// Fetches in the background.
    pub refreshes: usize,
    /// When the last fetch began, by the clock of the process that never stops.
    pub fetch_began: Option<Duration>,
    /// Aborted calls that have not ended.
    pub leaving: usize,
    /// The last invalidation of the whole connection.
    pub invalidated: Seq,
    /// Since when the onlooker can tell which fetch a call waits for; `None` while it cannot.
    pub clear_since: Option<Seq>,
    /// Since when nothing is in flight.
    pub idle_since: Option<Instant>,
    pub last: Option<Serial>,
    /// When the platform said that there is no token.
    pub refused: Option<(Seq, Instant)>,
    pub reports: FxHashMap<TokenId, Report>,
}

/// Reports of one token.
#[derive(Clone, Copy)]
pub struct Report {
    pub first: Seq,
    /// When that was.
    pub first_at: Duration,
}

/// One call.
pub struct OneCall {
    pub process: Process,
    pub which: Which,
    pub began: Seq,
    pub began_at: Instant,
    pub deadline: Instant,
    /// Its token comes from a request after this.
    pub floor: Seq,
    pub jumps: u64,
    /// Redis had been dead for a while when it began: a token from memory is not older than this.
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
    /// The clocks of the process when it ended, and how often they had jumped.
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
                matches!(kind, Kind::InvalidApiKey | Kind::Forbidden)
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
    /// Whether the onlooker can tell which fetch a call waits for.
    pub fn is_clear(&self, which: Which) -> bool {
        self.places[which % PLACES].clear_since.is_some()
    }
}

impl OnePlace {
    /// Whether nothing is in flight.
    pub fn is_quiet(&self) -> bool {
        self.open.is_empty() && self.requests.is_empty() && self.refreshes == 0 && self.leaving == 0
    }

    /// Fetches from before now may be superseded.
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

/// How a call began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStart {
    Known,
    Joined,
    Started,
}

/// What a call ends with.
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
