//! Owns how the onlooker's model changes with each command that Redis runs, and with each message.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::executor::Process;
use super::invariants::TOLD;
use super::model::Model;
use super::names::{NAMES, describe};
use super::plan::{PAIRS, PLACES};
use super::platform::{TokenId, Which};
use super::redis::Mode;
use super::sharing::{CALM, Invalidation, SharedReport};
use super::time::Seq;
use super::world::WorldState;
use crate::core::fleet::scripts::replica::{Effects, Told, read_only};

/// An invalidation is in a healthy Redis within this time.
const SOON: Duration = Duration::from_millis(300);
/// A process that is woken reads again within this time.
const WAKING: Duration = Duration::from_millis(12);
/// Bytes of an event and its sender, before the names of a message.
const HEAD: usize = 17;

impl WorldState {
    /// A member of a fleet invalidates a connection. A closed one publishes nothing.
    pub fn shares_invalidation(&mut self, process: Process, which: Which, seq: Seq) {
        if self.model.processes[process].closed.is_some() {
            return;
        }
        let was_calm = self.redis.was_calm_for(CALM);
        let invalidation =
            Invalidation { process, seq, at: Instant::now(), was_calm, told: None, is_lost: false };
        self.model.sharing.invalidations[which].push(invalidation);
    }

    /// A member of a fleet reports a token for the first time.
    pub fn shares_rejection(&mut self, process: Process, which: Which, token: TokenId, seq: Seq) {
        if self.model.processes[process].closed.is_some() {
            return;
        }
        let rejection = self.model.sharing.rejections.entry((which, token)).or_default();
        if rejection.reports.is_empty() {
            rejection.first = seq;
        }
        rejection.reports.push(SharedReport { process, seq, told: None });
    }

    /// Redis loses its last writes. An entry from before an invalidation or a report that it has lost may be read again, until
    /// it expires.
    pub fn loses_writes(&mut self) {
        let Some(since) = self.redis.lose_writes() else { return };
        self.time.note(|| format!("Redis loses the writes of the last {:?}", since.elapsed()));
        let is_lost = |told: Option<Instant>| told.is_some_and(|told| told >= since);
        let Model { processes, sharing, calls, .. } = &mut self.model;
        let invalidations = sharing.invalidations.iter_mut().flatten();
        invalidations.filter(|one| is_lost(one.told)).for_each(|one| one.is_lost = true);
        for ((which, token), rejection) in &mut sharing.rejections {
            if is_lost(rejection.told()) {
                rejection.first = 0;
            }
            for lost in rejection.reports.iter().filter(|report| is_lost(report.told)) {
                let reports = &mut processes[lost.process].places[which % PLACES].reports;
                reports.entry(*token).and_modify(|report| report.first = 0);
            }
        }
        for (process, one) in processes.iter_mut().enumerate().filter(|(_, one)| one.plan.in_fleet) {
            for (place, known) in one.places.iter_mut().enumerate() {
                known.invalidated = sharing.last_of(process, one.plan.pair * PLACES + place);
            }
        }
        // A fresh call reads no entry.
        for call in calls.iter_mut().filter(|call| !call.is_settled && call.floor < call.began) {
            let known = &processes[call.process].places[call.which % PLACES];
            call.floor = call.floor.min(known.invalidated.max(sharing.floor(call.which)));
        }
    }

    /// A command has invalidated what a process had added to its outbox by then.
    pub fn told(&mut self, process: Process, told: Told, until: Seq) {
        let now = Instant::now();
        let is_calm = self.redis.was_calm_for(CALM);
        let Self { model, time, .. } = self;
        let place = |name| NAMES.get(&name).map_or(0..0, |which: &Which| *which..which + 1);
        let (all, is_whatever) = match told {
            Told::Connection(name) => (place(name), true),
            Told::Rejections(name) => (place(name), false),
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
                let is_its = |report: &&mut SharedReport| report.process == process && report.seq < until;
                if *of == which {
                    rejection.reports.iter_mut().filter(is_its).for_each(|report| {
                        report.told.get_or_insert(now);
                    });
                }
            }
        }
    }

    /// A process receives a message, or has just subscribed.
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

    /// A process has read the lock: it holds it, or another process does.
    fn sees_lock(&mut self, process: Process, command: &[Vec<u8>], parts: &[Value]) {
        let Some(which) = NAMES.get(&command[3]) else { return };
        match parts {
            [Value::BulkString(word), ..] if word == b"locked" => {
                self.redis.holders.insert(command[7].clone(), process);
            }
            [Value::BulkString(word), _, Value::BulkString(holder)] if word == b"held" => {
                if let Some(holder) = self.redis.holders.get(holder) {
                    self.check_holder(*holder, *which);
                }
            }
            _ => {}
        }
    }

    /// A process that has found the lock held waits for its holder, unless its fetch has gone on meanwhile.
    fn awaits_holder(&mut self, process: Process, which: Which, sent: Seq, value: &Value) {
        let awaiting = &mut self.model.sharing.awaiting;
        awaiting.remove(&(process, which));
        let is_held = matches!(value, Value::Array(parts) if parts[0] == Value::BulkString(b"held".to_vec()));
        let has_gone_on = self
            .model
            .requests
            .iter()
            .rev()
            .any(|request| (request.process, request.which) == (process, which) && request.began > sent);
        if is_held && !has_gone_on {
            awaiting.insert((process, which), None);
        }
    }

    fn note_command(&mut self, process: Process, command: &[Vec<u8>], value: &Value, effects: &Effects) {
        self.time.note(|| {
            let did = [
                effects.written.as_ref().map(|_| "written".to_owned()),
                (!effects.published.is_empty()).then(|| format!("{} messages", effects.published.len())),
                match value {
                    Value::Array(parts) => match &parts[0] {
                        Value::BulkString(word) => Some(String::from_utf8_lossy(word).into_owned()),
                        _ => None,
                    },
                    _ => None,
                },
            ];
            let did: Vec<_> = did.into_iter().flatten().collect();
            format!("Redis: {} for process {process}: {}", describe(command), did.join(", "))
        });
    }

    /// Redis runs a command of a process.
    pub fn execute(&mut self, process: Process, sent: Seq, command: &[Vec<u8>]) -> Value {
        let seq = self.happens();
        if self.redis.mode == Mode::ReadOnly && command[0] == b"EVAL" {
            return read_only();
        }
        if command[0] == b"EVAL" {
            self.redis.writes();
        }
        let mut effects = Effects::default();
        let value = self.redis.store.run(command, &mut effects);
        self.note_command(process, command, &value, &effects);
        if let Value::Array(parts) = &value {
            self.sees_lock(process, command, parts);
        }
        if let Some(which) = command.get(3).and_then(|key| NAMES.get(key)) {
            self.awaits_holder(process, *which, sent, &value);
        }
        for told in effects.told {
            if matches!(told, Told::All) {
                self.redis.written.clear();
            }
            self.told(process, told, sent);
        }
        if let Some(which) = effects.written.and_then(|key| NAMES.get(&key)) {
            self.redis.written.insert(*which, (seq, Instant::now()));
        }
        for (channel, message) in effects.published {
            self.redis.publish(&channel, &message);
        }
        value
    }
}
