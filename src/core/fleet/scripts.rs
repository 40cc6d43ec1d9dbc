//! Owns what lies in Redis, and the scripts that change it, each in one step. Knows names, sealed bytes and tags, and
//! nothing of tokens.
//!
//! A connection has up to three keys: its entry, the lock of whoever fetches it, and its generation, the fencing token,
//! which says what was invalidated last. All keys of a fleet are in one hash slot, so that a cluster needs no more than the right node.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};

use super::breaker::Breaker;
use super::crypto::{Name, Tag};
use super::redis::Unavailable;

/// A lock lasts so long unless its holder renews it: a holder that was killed keeps the others waiting for this long.
pub const LOCK_LIFE: Duration = Duration::from_secs(2);
/// The holder renews it so often.
pub const LOCK_RENEWAL: Duration = Duration::from_millis(500);
/// A generation is kept for so long; whoever has fetched for longer than that does not write.
pub const GENERATION_LIFE: Duration = Duration::from_secs(60);
/// How long those who wait may see that a holder failed.
const FAILURE_LIFE: Duration = Duration::from_secs(1);

/// Names one holder of a lock.
pub type LockId = [u8; 16];
/// What was invalidated last: the tag of a token, or none, and something random. Empty if nothing was.
pub type Generation = Vec<u8>;

/// What there is of a connection.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// An entry, and how long Redis will keep it.
    Entry(Vec<u8>, Duration),
    /// Nothing, and the lock is the caller's now.
    Locked(Generation),
    /// Nothing, and this holder is fetching it.
    Held(LockId, Generation),
    /// Nothing, since the holder that the caller waited for has failed.
    Failed(Generation),
}

/// How a holder gives the lock back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Whoever waits may take the lock.
    GaveUp,
    /// Whoever waits need not wait for others again.
    Failed,
}

/// Entry, lock, generation. A lock is a mark and the holder's id: `0`, or `1` when somebody waits; `F` when the holder
/// failed. What comes first is asked for first, and the lock is taken in the same step.
const TAKE: &str = "
local entry = redis.call('GET', KEYS[1])
if entry and entry ~= ARGV[3] then return {'entry', entry, redis.call('PTTL', KEYS[1])} end
local generation = redis.call('GET', KEYS[3]) or ''
local lock = redis.call('GET', KEYS[2])
if lock then
  local mark, holder = string.sub(lock, 1, 1), string.sub(lock, 2)
  if mark == 'F' then
    if holder == ARGV[4] then return {'failed', generation} end
  elseif holder ~= ARGV[1] then
    if mark == '0' then redis.call('SETRANGE', KEYS[2], 0, '1') end
    return {'held', generation, holder}
  end
end
redis.call('SET', KEYS[2], '0' .. ARGV[1], 'PX', ARGV[2])
return {'locked', generation}";

const RENEW: &str = "
local lock = redis.call('GET', KEYS[2])
if lock and string.sub(lock, 2) == ARGV[1] then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
return 0";

/// Writes an entry if nothing was invalidated since its generation was read, and if its token is not what was invalidated.
const PUT: &str = "
local generation = redis.call('GET', KEYS[3]) or ''
local kept = 0
if generation == ARGV[2] and string.sub(generation, 1, 16) ~= string.sub(ARGV[3], 1, 16) then
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
  kept = 1
end
local lock = redis.call('GET', KEYS[2])
if lock and string.sub(lock, 2) == ARGV[1] then
  redis.call('DEL', KEYS[2])
  if string.sub(lock, 1, 1) == '1' then redis.call('PUBLISH', ARGV[5], ARGV[6]) end
end
return kept";

const RELEASE: &str = "
local lock = redis.call('GET', KEYS[2])
if lock and string.sub(lock, 2) == ARGV[1] then
  local waited = string.sub(lock, 1, 1) == '1'
  if waited and ARGV[2] ~= '0' then
    redis.call('SET', KEYS[2], 'F' .. ARGV[1], 'PX', ARGV[2])
  else
    redis.call('DEL', KEYS[2])
  end
  if waited then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
end
return 0";

/// Drops the entry and the lock, and begins a generation. With the tag of a token, nothing happens if another one is kept
/// by now, or if that one was invalidated last.
const INVALIDATE: &str = "
local tag = string.sub(ARGV[1], 1, 16)
if ARGV[3] == '1' then
  local entry = redis.call('GET', KEYS[1])
  if entry then
    if string.sub(entry, 1, 16) ~= tag then return 0 end
  else
    local generation = redis.call('GET', KEYS[3])
    if generation and string.sub(generation, 1, 16) == tag then return 0 end
  end
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1";

/// Drops nothing, and lets nobody write who began before.
const OUTDATE: &str = "
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
return 0";

/// The fleet's keys and its channel.
#[derive(Debug)]
pub struct Scripts {
    breaker: Arc<Breaker>,
    prefix: String,
    pub channel: String,
}

impl Scripts {
    /// The keys of a namespace. The braces are what a cluster takes the hash slot from.
    pub fn new(breaker: Arc<Breaker>, key_prefix: &str, namespace: &str) -> Self {
        let prefix = format!("{key_prefix}{{{namespace}}}:");
        Self { breaker, channel: format!("{prefix}channel"), prefix }
    }

    /// The entry, unless it is the one that is known to be of no use; or the lock; or what there is instead.
    pub async fn take(
        &self,
        name: &Name,
        lock: &LockId,
        useless: &[u8],
        awaited: Option<&LockId>,
    ) -> Result<Found, Unavailable> {
        let mut command = self.script(TAKE, name);
        command.arg(lock).arg(millis(LOCK_LIFE)).arg(useless).arg(awaited.map_or(&[][..], |id| id));
        read_found(self.breaker.ask(&command).await?).ok_or(Unavailable)
    }

    /// Keeps the lock for a while longer.
    pub async fn renew(&self, name: &Name, lock: &LockId) -> Result<(), Unavailable> {
        let mut command = self.script(RENEW, name);
        command.arg(lock).arg(millis(LOCK_LIFE));
        self.breaker.ask(&command).await.map(drop)
    }

    /// Writes an entry and gives the lock back. `false` if the entry was outdated before it came.
    pub async fn put(
        &self,
        name: &Name,
        lock: &LockId,
        generation: &Generation,
        sealed: &[u8],
        life: Duration,
        message: &[u8],
    ) -> Result<bool, Unavailable> {
        let mut command = self.script(PUT, name);
        command.arg(lock).arg(generation.as_slice()).arg(sealed).arg(millis(life).max(1));
        command.arg(self.channel.as_str()).arg(message);
        Ok(self.breaker.ask(&command).await? == Value::Int(1))
    }

    /// Gives the lock back without an entry.
    pub async fn release(
        &self,
        name: &Name,
        lock: &LockId,
        how: Release,
        message: &[u8],
    ) -> Result<(), Unavailable> {
        let failure = match how {
            Release::GaveUp => 0,
            Release::Failed => millis(FAILURE_LIFE),
        };
        let mut command = self.script(RELEASE, name);
        command.arg(lock).arg(failure).arg(self.channel.as_str()).arg(message);
        self.breaker.ask(&command).await.map(drop)
    }

    /// Drops the entry, and with it what is being fetched; only the token of the generation's tag if so asked.
    pub async fn invalidate(
        &self,
        name: &Name,
        generation: &Generation,
        by_tag: bool,
        message: &[u8],
    ) -> Result<(), Unavailable> {
        let mut command = self.script(INVALIDATE, name);
        command.arg(generation.as_slice()).arg(millis(GENERATION_LIFE)).arg(u8::from(by_tag));
        command.arg(self.channel.as_str()).arg(message);
        self.breaker.ask(&command).await.map(drop)
    }

    /// Begins a generation: whoever fetches now does not write.
    pub async fn outdate(&self, name: &Name, generation: &Generation) -> Result<(), Unavailable> {
        let mut command = self.script(OUTDATE, name);
        command.arg(generation.as_slice()).arg(millis(GENERATION_LIFE));
        self.breaker.ask(&command).await.map(drop)
    }

    /// Tells the fleet.
    pub async fn publish(&self, message: &[u8]) -> Result<(), Unavailable> {
        let mut command = redis::cmd("PUBLISH");
        command.arg(self.channel.as_str()).arg(message);
        self.breaker.ask(&command).await.map(drop)
    }

    fn script(&self, text: &str, name: &Name) -> Cmd {
        let entry = format!("{}{}", self.prefix, name.text());
        let mut command = redis::cmd("EVAL");
        command.arg(text).arg(3).arg(&entry).arg(format!("{entry}:lock")).arg(format!("{entry}:generation"));
        command
    }
}

/// A generation of which a tag is told.
pub fn generation(tag: &Tag, random: &[u8; 16]) -> Generation {
    [&tag[..], random].concat()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn read_found(answer: Value) -> Option<Found> {
    let Value::Array(parts) = answer else { return None };
    let mut parts = parts.into_iter();
    let (Value::BulkString(what), Value::BulkString(bytes)) = (parts.next()?, parts.next()?) else {
        return None;
    };
    match (what.as_slice(), parts.next()) {
        (b"entry", Some(Value::Int(left))) => {
            Some(Found::Entry(bytes, Duration::from_millis(u64::try_from(left).unwrap_or(0))))
        }
        (b"locked", None) => Some(Found::Locked(bytes)),
        (b"held", Some(Value::BulkString(holder))) => Some(Found::Held(holder.try_into().ok()?, bytes)),
        (b"failed", None) => Some(Found::Failed(bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &[u8]) -> Value {
        Value::BulkString(text.to_vec())
    }

    #[test]
    fn answers_are_read_and_what_is_none_is_not() {
        let entry = Value::Array(vec![bulk(b"entry"), bulk(b"sealed"), Value::Int(70)]);
        assert_eq!(read_found(entry), Some(Found::Entry(b"sealed".to_vec(), Duration::from_millis(70))));
        let endless = Value::Array(vec![bulk(b"entry"), bulk(b"sealed"), Value::Int(-1)]);
        assert_eq!(read_found(endless), Some(Found::Entry(b"sealed".to_vec(), Duration::ZERO)));
        let held = Value::Array(vec![bulk(b"held"), bulk(b"g"), bulk(&[7; 16])]);
        assert_eq!(read_found(held), Some(Found::Held([7; 16], b"g".to_vec())));
        for strange in [
            Value::Nil,
            Value::Okay,
            Value::Array(vec![]),
            Value::Array(vec![bulk(b"entry")]),
            Value::Array(vec![bulk(b"entry"), Value::Nil, Value::Int(1)]),
            Value::Array(vec![bulk(b"held"), bulk(b""), bulk(b"short")]),
            Value::Array(vec![bulk(b"locked"), bulk(b""), bulk(b"")]),
        ] {
            assert_eq!(read_found(strange), None);
        }
    }
}
