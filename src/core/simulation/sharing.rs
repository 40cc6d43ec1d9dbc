//! Owns what an onlooker knows of a fleet: what was invalidated by whom, when Redis was told, and who has heard of it.

use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::executor::Process;
use super::invariants::{LOST, TOLD};
use super::plan::{PAIRS, PLACES};
use super::platform::{TokenId, Which};
use super::redis::{NAMES, Told};
use super::world::{Seq, State};

/// All members are to know of an invalidation after this.
pub const PROMISE: Duration = Duration::from_secs(1);
/// A healthy Redis is told of one within this time.
const SOON: Duration = Duration::from_millis(300);
/// After so long, nobody leaves a Redis alone any more that is well.
pub const CALM: Duration = Duration::from_secs(14);
/// Whoever is woken looks again within this time.
const WAKING: Duration = Duration::from_millis(12);
/// Bytes of an event and its sender, before the names of a message.
const HEAD: usize = 17;

/// What was invalidated in the fleets.
pub struct Sharing {
    invalidations: Vec<Vec<Invalidation>>,
    rejections: FxHashMap<(Which, TokenId), Rejection>,
    /// Who found a lock held and looks again later; and once it was told that the holder is done, until when.
    pub awaiting: FxHashMap<(Process, Which), Option<Instant>>,
}

struct Invalidation {
    process: Process,
    seq: Seq,
    at: Instant,
    was_calm: bool,
    told: Option<Instant>,
}

/// A token that was rejected in a fleet.
#[derive(Default)]
struct Rejection {
    first: Seq,
    reporters: Vec<(Process, Seq)>,
    told: Option<Instant>,
}

impl Sharing {
    pub fn new() -> Self {
        Self {
            invalidations: (0..PLACES * PAIRS).map(|_| Vec::new()).collect(),
            rejections: FxHashMap::default(),
            awaiting: FxHashMap::default(),
        }
    }

    /// What a member gets that begins now was asked for after this.
    pub fn floor(&self, which: Which) -> Seq {
        let is_due = |one: &&Invalidation| one.told.is_some_and(|told| told.elapsed() >= PROMISE);
        self.invalidations[which].iter().filter(is_due).map(|one| one.seq).max().unwrap_or(0)
    }

    /// Since when all members know that a token was rejected, if it was before a call began.
    pub fn rejected(&self, which: Which, token: TokenId, began: Instant) -> Option<Seq> {
        let rejection = self.rejections.get(&(which, token))?;
        (rejection.told? + PROMISE <= began).then_some(rejection.first)
    }
}

impl State {
    /// A member of a fleet invalidates a connection. One that is closed tells nobody.
    pub fn shares_invalidation(&mut self, process: Process, which: Which, seq: Seq) {
        if self.model.processes[process].closed.is_some() {
            return;
        }
        let was_calm = self.redis.was_calm_for(CALM);
        let invalidation = Invalidation { process, seq, at: Instant::now(), was_calm, told: None };
        self.model.sharing.invalidations[which].push(invalidation);
    }

    /// A member of a fleet reports a token for the first time.
    pub fn shares_rejection(&mut self, process: Process, which: Which, token: TokenId, seq: Seq) {
        if self.model.processes[process].closed.is_some() {
            return;
        }
        let rejection = self.model.sharing.rejections.entry((which, token)).or_default();
        if rejection.reporters.is_empty() {
            rejection.first = seq;
        }
        rejection.reporters.push((process, seq));
    }

    /// Redis was told by a process of what had happened until then.
    pub fn told(&mut self, process: Process, told: Told, until: Seq) {
        let now = Instant::now();
        let is_calm = self.redis.was_calm_for(CALM);
        let Self { model, time, .. } = self;
        let (all, is_whatever) = match told {
            Told::Connection(which) => (which..which + 1, true),
            Told::Rejections(which) => (which..which + 1, false),
            Told::All => (0..PLACES * PAIRS, true),
        };
        for which in all {
            for one in &mut model.sharing.invalidations[which] {
                if is_whatever && one.process == process && one.seq < until && one.told.is_none() {
                    one.told = Some(now);
                    if one.was_calm && is_calm && now - one.at > SOON {
                        time.violate(TOLD, || format!("invalidation {} of {which}", one.seq));
                    }
                }
            }
            for ((of, _), rejection) in &mut model.sharing.rejections {
                let is_its = |(of, seq): &(Process, Seq)| *of == process && *seq < until;
                if *of == which && rejection.reporters.iter().any(is_its) {
                    rejection.told.get_or_insert(now);
                }
            }
        }
    }

    /// A process hears a message, or that nothing was missed from now on.
    pub fn heard(&mut self, process: Process, message: Option<&[u8]>) {
        let seq = self.happens();
        let places = &mut self.model.processes[process].places;
        match message {
            Some(message) if message[0] == b'i' => {
                let names = message[HEAD..].chunks(32).filter_map(|name| NAMES.get(name));
                for which in names {
                    self.time.note(|| format!("process {process} hears that {which} was invalidated"));
                    places[which % PLACES].supersede(seq);
                }
            }
            Some(message) if message[0] == b'f' => {
                let due = Instant::now() + WAKING;
                for which in message[HEAD..].chunks(32).filter_map(|name| NAMES.get(name)) {
                    if let Some(waits) = self.model.sharing.awaiting.get_mut(&(process, *which)) {
                        waits.get_or_insert(due);
                    }
                }
            }
            _ => {
                self.time.note(|| format!("process {process} hears that all was invalidated"));
                places.iter_mut().for_each(|place| place.supersede(seq));
            }
        }
    }

    /// Redis has been well for long: everything has been told.
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
