//! Owns a Redis for tests: its keys, by tokio's clock, and the scripts of the fleet, run as Redis would.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Value, parse_redis_value};
use tokio::time::Instant;

use super::lua;

/// The scripts, by their texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetScript {
    Take,
    Renew,
    Put,
    Release,
    Invalidate,
    InvalidateAll,
    Outdate,
}

static SCRIPTS: LazyLock<Vec<(String, FleetScript)>> = LazyLock::new(|| {
    [
        (vec![lua::EPOCH, lua::TAKE], FleetScript::Take),
        (vec![lua::RENEW], FleetScript::Renew),
        (vec![lua::TAGS, lua::PUT], FleetScript::Put),
        (vec![lua::RELEASE], FleetScript::Release),
        (vec![lua::TAGS, lua::INVALIDATE], FleetScript::Invalidate),
        (vec![lua::INVALIDATE_ALL], FleetScript::InvalidateAll),
        (vec![lua::EPOCH, lua::OUTDATE], FleetScript::Outdate),
    ]
    .map(|(parts, script)| (parts.concat(), script))
    .into()
});

/// The keys.
#[derive(Clone, Default)]
pub struct Store(BTreeMap<Vec<u8>, (Vec<u8>, Instant)>);

/// One command, as it came.
pub type Command = Vec<Vec<u8>>;

/// What a command did besides its answer.
#[derive(Default)]
pub struct Effects {
    /// Messages to the channel.
    pub published: Vec<(Vec<u8>, Vec<u8>)>,
    /// What was invalidated.
    pub told: Vec<Told>,
    /// The key of the entry that was written.
    pub written: Option<Vec<u8>>,
}

/// What a command invalidates.
pub enum Told {
    All,
    /// The connection of this name.
    Connection(Vec<u8>),
    /// Some of its tokens alone.
    Rejections(Vec<u8>),
}

/// The arguments of a command.
pub fn parse(command: &Cmd) -> Command {
    let simple = |arg| match arg {
        redis::Arg::Simple(bytes) => Some(<[u8]>::to_vec(bytes)),
        _ => None,
    };
    command.args_iter().filter_map(simple).collect()
}

impl Store {
    fn get(&mut self, key: &[u8]) -> Option<&[u8]> {
        let now = Instant::now();
        if self.0.get(key).is_some_and(|(_, end)| *end <= now) {
            self.0.remove(key);
        }
        self.0.get(key).map(|(value, _)| value.as_slice())
    }

    fn set(&mut self, key: &[u8], value: Vec<u8>, life: Duration) {
        self.0.insert(key.to_vec(), (value, Instant::now() + life));
    }

    fn expire(&mut self, key: &[u8], life: Duration) {
        if let Entry::Occupied(mut entry) = self.0.entry(key.to_vec()) {
            entry.get_mut().1 = Instant::now() + life;
        }
    }

    /// As `PEXPIRE … GT`: never makes a life shorter.
    fn prolong(&mut self, key: &[u8], life: Duration) {
        if self.left(key) < life {
            self.expire(key, life);
        }
    }

    /// What is left of a key's life.
    pub fn left(&self, key: &[u8]) -> Duration {
        self.0.get(key).map_or(Duration::ZERO, |(_, end)| end.saturating_duration_since(Instant::now()))
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Evicts a key, which is picked among so many.
    pub fn evict(&mut self, pick: impl FnOnce(usize) -> usize) -> Option<String> {
        let count = self.0.len();
        let key = self.0.keys().nth(pick(count))?.clone();
        self.0.remove(&key);
        Some(String::from_utf8_lossy(&key).into_owned())
    }

    /// Entries of connections.
    pub fn entries(&self) -> usize {
        let is_entry = |key: &&Vec<u8>| {
            key.iter().filter(|byte| **byte == b':').count() == 2 && !key.ends_with(b"epoch")
        };
        self.0.keys().filter(is_entry).count()
    }

    /// Locks that are held.
    pub fn locks(&self) -> usize {
        let now = Instant::now();
        let is_held = |key: &[u8], value: &[u8], end: &Instant| {
            key.ends_with(b":lock") && value.first() != Some(&b'F') && *end > now
        };
        self.0.iter().filter(|(key, (value, end))| is_held(key, value, end)).count()
    }

    /// The epoch; begins one if there is none.
    fn epoch(&mut self, key: &[u8], random: &[u8], life: Duration) -> Vec<u8> {
        match self.get(key) {
            Some(epoch) if epoch.len() == 16 => epoch.to_vec(),
            _ => {
                self.set(key, random.to_vec(), life);
                random.to_vec()
            }
        }
    }

    /// Runs a command.
    pub fn run(&mut self, command: &[Vec<u8>], effects: &mut Effects) -> Value {
        if command[0] == b"PING" {
            return Value::SimpleString("PONG".to_owned());
        }
        let script = script_of(command);
        let count: usize = number(&command[2]) as usize;
        let (keys, args) = command[3..].split_at(count);
        match script.expect("a script of the fleet") {
            FleetScript::Take => self.take(keys, args),
            FleetScript::Renew => {
                if self.is_holder(&keys[1], &args[0]) {
                    self.expire(&keys[1], millis(&args[1]));
                }
                Value::Int(0)
            }
            FleetScript::Put => self.put(keys, args, effects),
            FleetScript::Release => self.release(keys, args, effects),
            FleetScript::Invalidate => self.invalidate(keys, args, effects),
            FleetScript::InvalidateAll => {
                self.set(&keys[0], args[0].clone(), millis(&args[1]));
                effects.told.push(Told::All);
                effects.published.push((args[2].clone(), args[3].clone()));
                Value::Int(0)
            }
            FleetScript::Outdate => {
                self.set(&keys[2], args[0].clone(), millis(&args[1]));
                let epoch = self.epoch(&keys[4], &args[0], millis(&args[2]));
                let rejected = self.get(&keys[3]).unwrap_or_default();
                Value::BulkString([&epoch, &args[0], rejected].concat())
            }
        }
    }

    fn is_holder(&mut self, key: &[u8], lock: &[u8]) -> bool {
        self.get(key).is_some_and(|held| &held[1..] == lock)
    }

    fn take(&mut self, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Value {
        let bulk = |bytes: &[u8]| Value::BulkString(bytes.to_vec());
        let epoch = self.epoch(&keys[4], &args[0], millis(&args[4]));
        if let Some(entry) = self.get(&keys[0])
            && entry.starts_with(&epoch)
            && entry[16..] != args[2]
        {
            let sealed = bulk(&entry[16..]);
            let left = self.left(&keys[0]).as_millis() as i64;
            return Value::Array(vec![bulk(b"entry"), sealed, Value::Int(left)]);
        }
        let generation = self.get(&keys[2]).filter(|generation| generation.len() == 16);
        let generation = generation.unwrap_or(&args[0]).to_vec();
        self.set(&keys[2], generation.clone(), millis(&args[5]));
        let rejected = self.get(&keys[3]).unwrap_or_default();
        let token = [&epoch, &generation, rejected].concat();
        let is_set_by_member = self.left(&keys[1]) <= millis(&args[1]);
        if let Some(lock) = self.get(&keys[1]).map(<[u8]>::to_vec).filter(|_| is_set_by_member) {
            let (mark, holder) = lock.split_at(1);
            if mark == b"F" {
                if holder == args[3] {
                    return Value::Array(vec![bulk(b"failed"), bulk(&token)]);
                }
            } else if holder != args[0] {
                if mark == b"0"
                    && let Some((value, _)) = self.0.get_mut(&keys[1])
                {
                    value[0] = b'1';
                }
                return Value::Array(vec![bulk(b"held"), bulk(&token), bulk(holder)]);
            }
        }
        self.set(&keys[1], [b"0", &args[0][..]].concat(), millis(&args[1]));
        self.prolong(&keys[4], millis(&args[4]));
        Value::Array(vec![bulk(b"locked"), bulk(&token)])
    }

    fn put(&mut self, keys: &[Vec<u8>], args: &[Vec<u8>], effects: &mut Effects) -> Value {
        let epoch = self.get(&keys[4]).unwrap_or_default().to_vec();
        let generation = self.get(&keys[2]).unwrap_or_default();
        let is_current = [&epoch, generation].concat() == args[1][..32];
        let rejected = [&args[1][32..], self.get(&keys[3]).unwrap_or_default()].concat();
        if is_current && !has(&rejected, &args[2][..16]) {
            self.set(&keys[0], [&epoch[..], &args[2]].concat(), millis(&args[3]));
            self.prolong(&keys[4], millis(&args[7]));
            effects.written = Some(keys[0].clone());
            if !args[6].is_empty() {
                effects.published.push((args[4].clone(), args[6].clone()));
            }
        }
        if self.is_holder(&keys[1], &args[0]) {
            let lock = self.0.remove(&keys[1]);
            if lock.is_some_and(|(lock, _)| lock[0] == b'1') {
                effects.published.push((args[4].clone(), args[5].clone()));
            }
        }
        Value::Int(0)
    }

    fn release(&mut self, keys: &[Vec<u8>], args: &[Vec<u8>], effects: &mut Effects) -> Value {
        if self.is_holder(&keys[1], &args[0]) {
            let is_awaited = self.get(&keys[1]).is_some_and(|lock| lock[0] == b'1');
            if is_awaited && args[1] != b"0" {
                self.set(&keys[1], [b"F", &args[0][..]].concat(), millis(&args[1]));
            } else {
                self.0.remove(&keys[1]);
            }
            if is_awaited {
                effects.published.push((args[2].clone(), args[3].clone()));
            }
        }
        Value::Int(0)
    }

    fn invalidate(&mut self, keys: &[Vec<u8>], args: &[Vec<u8>], effects: &mut Effects) -> Value {
        let mut invalidated = Vec::new();
        for (keys, what) in keys.chunks(4).zip(args[5..].chunks(2)) {
            let (rejected, name) = (&what[0], &what[1]);
            let of = if rejected.is_empty() { Told::Connection } else { Told::Rejections };
            effects.told.push(of(name.clone()));
            let known = self.get(&keys[3]).unwrap_or_default().to_vec();
            let kept = self.get(&keys[0]);
            let has_rejected = kept.is_some_and(|kept| has(rejected, &kept[16..32]));
            let is_known = !rejected.is_empty() && rejected.chunks(16).all(|tag| has(&known, tag));
            let is_late = kept.is_some() && !rejected.is_empty() && !has_rejected;
            if !has_rejected && is_known {
                continue;
            }
            if !rejected.is_empty() || keys[..3].iter().any(|key| self.get(key).is_some()) {
                if !is_late {
                    self.0.remove(&keys[0]);
                    self.0.remove(&keys[1]);
                }
                self.set(&keys[2], args[0].clone(), millis(&args[1]));
            }
            if !rejected.is_empty() {
                let mut tags = [&rejected[..], &known].concat();
                tags.truncate(128);
                self.set(&keys[3], tags, millis(&args[4]));
            }
            invalidated.extend(name);
        }
        if !invalidated.is_empty() {
            effects.published.push((args[2].clone(), [args[3].clone(), invalidated].concat()));
        }
        Value::Int(0)
    }
}

/// The script that a command runs.
pub fn script_of(command: &[Vec<u8>]) -> Option<FleetScript> {
    let text = command.get(1)?;
    SCRIPTS.iter().find(|(known, _)| known.as_bytes() == text).map(|(_, script)| *script)
}

fn has(tags: &[u8], tag: &[u8]) -> bool {
    tags.chunks(16).any(|known| known == tag)
}

fn number(text: &[u8]) -> u64 {
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("a number")
}

fn millis(text: &[u8]) -> Duration {
    Duration::from_millis(number(text))
}

/// The reply of a replica to a write.
pub fn read_only() -> Value {
    parse_redis_value(b"-READONLY You can't write against a read only replica.\r\n").expect("an error")
}
