//! Owns what lies in Redis, and the scripts that change it, each in one step. Knows names, sealed bytes and tags, and
//! nothing of tokens.
//!
//! A connection has up to four keys: its entry, the lock of whoever fetches it, its generation, which changes with each
//! invalidation, and the tags of the tokens that were rejected a moment ago. The fleet has one more, the epoch, which changes when everything is
//! invalidated: each entry begins with the epoch that it was fetched in, and is none in any other. Epoch and generation
//! together are the fencing token of a fetch. All keys of a fleet are in one hash slot, so that a cluster needs no more than
//! the right node.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};

use self::lua::{EPOCH, INVALIDATE, INVALIDATE_ALL, OUTDATE, PUT, RELEASE, RENEW, TAGS, TAKE};
use super::breaker::Breaker;
use super::crypto::{Name, Tag};
use super::redis::RedisUnavailable;

pub mod lua;

/// A lock lasts so long unless its holder renews it: a holder that was killed keeps the others waiting for this long.
pub const LOCK_LIFE: Duration = Duration::from_secs(2);
/// The holder renews it so often.
pub const LOCK_RENEWAL: Duration = Duration::from_millis(500);
/// A generation is kept for so long; whoever has fetched for longer than that does not write.
pub const GENERATION_LIFE: Duration = Duration::from_secs(60);
/// A rejected token is not written for so long. Then the platform has no other one, and the service meant something else.
const REJECTION_LIFE: Duration = Duration::from_secs(5);
/// How long those who wait may see that a holder failed.
const FAILURE_LIFE: Duration = Duration::from_secs(1);
/// The epoch lasts at least as long as a fetch may write, and as long as any entry that was written in it: an entry of an
/// epoch that is gone is never read again. So nothing in Redis outlives its use.
const EPOCH_LIFE: Duration = GENERATION_LIFE;

/// 16 random bytes that nobody has used before.
pub type Nonce = [u8; 16];
/// Names one holder of a lock.
pub type LockId = Nonce;
/// Epoch and generation, as they were when a fetch began.
pub type FencingToken = Vec<u8>;

/// What there is of a connection.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// An entry, and how long Redis will keep it.
    Entry(Vec<u8>, Duration),
    /// Nothing, and the lock is the caller's now.
    Locked(FencingToken),
    /// Nothing, and this holder is fetching it.
    Held(LockId, FencingToken),
    /// Nothing, since the holder that the caller waited for has failed.
    Failed(FencingToken),
}

/// How a holder gives the lock back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Whoever waits may take the lock.
    GaveUp,
    /// Whoever waits need not wait for others again.
    Failed,
}

/// What was fetched, for others to read.
#[derive(Debug)]
pub struct Write<'a> {
    pub lock: &'a LockId,
    pub fencing_token: &'a FencingToken,
    pub sealed: &'a [u8],
    pub life: Duration,
    /// For those who wait.
    pub fetched: &'a [u8],
    /// For those who have kept something older; empty if it is not older.
    pub invalidated: &'a [u8],
}

/// The fleet's keys and its channel.
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
    ) -> Result<Found, RedisUnavailable> {
        let mut command = self.of_one(&[EPOCH, TAKE], name);
        command.arg(lock).arg(millis(LOCK_LIFE)).arg(useless).arg(awaited.map_or(&[][..], |id| id));
        command.arg(millis(EPOCH_LIFE)).arg(millis(GENERATION_LIFE));
        self.breaker.ask(&command, read_found).await
    }

    /// Keeps the lock for a while longer.
    pub async fn renew(&self, name: &Name, lock: &LockId) -> Result<(), RedisUnavailable> {
        let mut command = self.of_one(&[RENEW], name);
        command.arg(lock).arg(millis(LOCK_LIFE));
        self.breaker.ask(&command, read_done).await
    }

    /// Writes an entry, unless it was outdated before it came, and gives the lock back.
    pub async fn put(&self, name: &Name, write: &Write<'_>) -> Result<(), RedisUnavailable> {
        let Write { lock, fencing_token, sealed, life, fetched, invalidated } = write;
        let mut command = self.of_one(&[TAGS, PUT], name);
        command.arg(lock).arg(fencing_token.as_slice()).arg(sealed).arg(millis(*life).max(1));
        command.arg(&self.channel).arg(fetched).arg(invalidated).arg(millis(EPOCH_LIFE.max(*life)));
        self.breaker.ask(&command, read_done).await
    }

    /// Gives the lock back without an entry, even where Redis is left alone.
    pub async fn release(
        &self,
        name: &Name,
        lock: &LockId,
        how: Release,
        message: &[u8],
    ) -> Result<(), RedisUnavailable> {
        let failure = match how {
            Release::GaveUp => 0,
            Release::Failed => millis(FAILURE_LIFE),
        };
        let mut command = self.of_one(&[RELEASE], name);
        command.arg(lock).arg(failure).arg(&self.channel).arg(message);
        self.breaker.ask_even_if_open(&command).await
    }

    /// Invalidates connections: what there is of each, or only the tokens of the tags. The message is completed by the names
    /// of those that something happened to.
    pub async fn invalidate<'a>(
        &self,
        connections: impl ExactSizeIterator<Item = (&'a Name, &'a [Tag])>,
        random: &Nonce,
        message: &[u8],
    ) -> Result<(), RedisUnavailable> {
        let mut keys = Vec::with_capacity(4 * connections.len());
        let mut what = Vec::with_capacity(connections.len());
        for (name, rejected) in connections {
            keys.extend(self.keys(name));
            what.push((rejected.concat(), name.bytes()));
        }
        let mut command = script(&[TAGS, INVALIDATE], &keys);
        command.arg(random).arg(millis(GENERATION_LIFE)).arg(&self.channel).arg(message);
        command.arg(millis(REJECTION_LIFE));
        for (rejected, name) in &what {
            command.arg(rejected.as_slice()).arg(*name);
        }
        self.breaker.ask(&command, read_done).await
    }

    /// Invalidates whatever was fetched until now.
    pub async fn invalidate_all(&self, random: &Nonce, message: &[u8]) -> Result<(), RedisUnavailable> {
        let mut command = script(&[INVALIDATE_ALL], &[self.epoch()]);
        command.arg(random).arg(millis(EPOCH_LIFE)).arg(&self.channel).arg(message);
        self.breaker.ask(&command, read_done).await
    }

    /// Begins a generation: whoever fetches now does not write. The fencing token of whoever begins after that.
    pub async fn outdate(&self, name: &Name, random: &Nonce) -> Result<FencingToken, RedisUnavailable> {
        let mut command = self.of_one(&[EPOCH, OUTDATE], name);
        command.arg(random).arg(millis(GENERATION_LIFE)).arg(millis(EPOCH_LIFE));
        self.breaker.ask(&command, read_token).await
    }

    fn of_one(&self, text: &[&str], name: &Name) -> Cmd {
        let keys: Vec<_> = self.keys(name).into_iter().chain(iter::once(self.epoch())).collect();
        script(text, &keys)
    }

    fn keys(&self, name: &Name) -> [String; 4] {
        let entry = format!("{}{}", self.prefix, name.text());
        let [lock, generation, rejected] =
            ["lock", "generation", "rejected"].map(|part| format!("{entry}:{part}"));
        [entry, lock, generation, rejected]
    }

    fn epoch(&self) -> String {
        format!("{}epoch", self.prefix)
    }
}

fn script(text: &[&str], keys: &[String]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(text.concat()).arg(keys.len()).arg(keys);
    command
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn read_done(answer: Value) -> Option<()> {
    (answer == Value::Int(0)).then_some(())
}

fn read_token(answer: Value) -> Option<FencingToken> {
    match answer {
        Value::BulkString(token) => Some(token),
        _ => None,
    }
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
