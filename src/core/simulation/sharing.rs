//! Owns what an onlooker knows of a fleet: what was invalidated by whom, when Redis was told, and who waits for whom.

use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::executor::Process;
use super::plan::{PAIRS, PLACES};
use super::platform::{TokenId, Which};
use super::time::Seq;

/// Every member knows of an invalidation after this.
pub const PROMISE: Duration = Duration::from_secs(1);
/// No member bypasses a Redis that has been well for so long.
pub const CALM: Duration = Duration::from_secs(14);

/// What was invalidated in the fleets.
pub struct Sharing {
    pub invalidations: Vec<Vec<Invalidation>>,
    pub rejections: FxHashMap<(Which, TokenId), SharedRejection>,
    /// Processes that found a lock held and read again later; with the time by which they do, once the holder has published
    /// its end.
    pub awaiting: FxHashMap<(Process, Which), Option<Instant>>,
}

pub struct Invalidation {
    pub process: Process,
    pub seq: Seq,
    pub at: Instant,
    pub was_calm: bool,
    pub told: Option<Instant>,
    /// Whether Redis was told of it, and has lost that.
    pub is_lost: bool,
}

/// A token that was rejected in a fleet.
#[derive(Default)]
pub struct SharedRejection {
    pub first: Seq,
    pub reports: Vec<SharedReport>,
}

/// The first report of a process.
pub struct SharedReport {
    pub process: Process,
    pub seq: Seq,
    pub told: Option<Instant>,
}

impl Sharing {
    pub fn new() -> Self {
        Self {
            invalidations: (0..PLACES * PAIRS).map(|_| Vec::new()).collect(),
            rejections: FxHashMap::default(),
            awaiting: FxHashMap::default(),
        }
    }

    /// A call that begins now gets a token from a request after this.
    pub fn floor(&self, which: Which) -> Seq {
        let is_told = |one: &&Invalidation| one.told.is_some_and(|told| told.elapsed() >= PROMISE);
        let is_due = |one: &&Invalidation| is_told(one) && !one.is_lost;
        self.invalidations[which].iter().filter(is_due).map(|one| one.seq).max().unwrap_or(0)
    }

    /// When a token was first rejected, if all members knew of that before a call began.
    pub fn rejected(&self, which: Which, token: TokenId, began: Instant) -> Option<Seq> {
        let rejection = self.rejections.get(&(which, token))?;
        (rejection.told()? + PROMISE <= began).then_some(rejection.first)
    }

    /// The last invalidation of a connection by a process that Redis has not lost.
    pub fn last_of(&self, process: Process, which: Which) -> Seq {
        let is_its = |one: &&Invalidation| one.process == process && !one.is_lost;
        self.invalidations[which].iter().filter(is_its).map(|one| one.seq).max().unwrap_or(0)
    }
}

impl SharedRejection {
    /// When Redis was first told.
    pub fn told(&self) -> Option<Instant> {
        self.reports.iter().filter_map(|report| report.told).min()
    }
}
