//! Owns what Redis stores, and the scripts that change it, each in one step. Knows names, sealed bytes and tags, and nothing of
//! tokens.
//!
//! A connection has up to four keys: its entry, the lock of the member that fetches it, its generation, which changes with each
//! invalidation, and the tags of the tokens that were rejected a moment ago. The fleet has one more, the epoch, which changes
//! when everything is invalidated: each entry begins with the epoch of its fetch, and counts in no other. Epoch and generation
//! together are the fencing token of a fetch. All keys of a fleet are in one hash slot, so in a cluster one node has them all.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};

use self::lua::{EPOCH, INVALIDATE, INVALIDATE_ALL, OUTDATE, PUT, RELEASE, RENEW, TAGS, TAKE};
use super::breaker::Breaker;
use super::crypto::{Name, Tag};
use super::message::{Event, Message, Sender};
use super::redis_client::RedisUnavailable;

pub mod lua;
#[cfg(test)]
pub mod replica;

/// A lock expires after this unless its holder renews it, so the others wait no longer for a holder that was killed.
pub const LOCK_LIFE: Duration = Duration::from_secs(2);
/// Between two renewals.
pub const LOCK_RENEWAL: Duration = Duration::from_millis(500);
/// How long a generation is stored after a fetch began. A fetch that takes longer does not write.
const GENERATION_LIFE: Duration = Duration::from_secs(60);
/// How long a rejected token is not written. If the platform still returns it after that, the service meant something else.
const REJECTION_LIFE: Duration = Duration::from_secs(5);
/// How long waiting members can see that a holder failed.
const FAILURE_LIFE: Duration = Duration::from_secs(1);
/// The epoch lasts at least as long as a fetch may write, and as long as each entry that was written in it: an entry of an
/// earlier epoch is never read.
const EPOCH_LIFE: Duration = GENERATION_LIFE;

pub type Nonce = [u8; 16];
/// One holder of a lock.
pub type LockId = Nonce;
/// The epoch and the generation when a fetch began, and the tags of the tokens that were rejected by then.
pub type FencingToken = Vec<u8>;

/// What Redis has of a connection.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// An entry, and the time until it expires.
    Entry(Vec<u8>, Duration),
    /// No entry; the caller has acquired the lock.
    Locked(FencingToken),
    /// No entry; this holder of the lock is fetching.
    Held(LockId, FencingToken),
    /// No entry; the holder that the caller waited for has failed.
    Failed(FencingToken),
}

/// The fleet's keys and its channel.
pub struct Scripts {
    pub breaker: Arc<Breaker>,
    prefix: String,
    pub channel: String,
    /// This member.
    sender: Sender,
}

impl Scripts {
    /// The keys of a namespace. A cluster computes the hash slot from the text in braces.
    pub fn new(breaker: Arc<Breaker>, key_prefix: &str, namespace: &str, sender: Sender) -> Self {
        let prefix = format!("{key_prefix}{{{namespace}}}:");
        Self { breaker, channel: format!("{prefix}channel"), prefix, sender }
    }

    /// Reads the entry, unless it is the one that the caller cannot use, or acquires the lock in the same step. `awaited` is
    /// the holder that the caller has waited for.
    pub async fn take(
        &self,
        name: &Name,
        lock: &LockId,
        unusable: &[u8],
        awaited: Option<&LockId>,
    ) -> Result<Found, RedisUnavailable> {
        let mut command = self.script_about(&[EPOCH, TAKE], name);
        command.arg(lock).arg(millis(LOCK_LIFE)).arg(unusable).arg(awaited.map_or(&[][..], |id| id));
        command.arg(millis(EPOCH_LIFE)).arg(millis(GENERATION_LIFE));
        self.breaker.ask(&command, read_found).await
    }

    /// Renews the lock, if the caller holds it.
    pub async fn renew(&self, name: &Name, lock: &LockId) -> Result<(), RedisUnavailable> {
        let mut command = self.script_about(&[RENEW], name);
        command.arg(lock).arg(millis(LOCK_LIFE));
        self.breaker.ask(&command, read_done).await
    }

    /// Writes an entry, if its fencing token is current and its token was not rejected, and releases the lock. A fresh entry
    /// outdates what other members have in memory.
    pub async fn put(
        &self,
        name: &Name,
        lock: &LockId,
        fencing_token: &FencingToken,
        (sealed, life): (&[u8], Duration),
        is_fresh: bool,
    ) -> Result<(), RedisUnavailable> {
        let fetched = self.message(Event::Fetched, &[*name]);
        let invalidated = if is_fresh { self.message(Event::Invalidated, &[*name]) } else { Vec::new() };
        let mut command = self.script_about(&[TAGS, PUT], name);
        command.arg(lock).arg(fencing_token.as_slice()).arg(sealed).arg(millis(life).max(1));
        command.arg(&self.channel).arg(fetched).arg(invalidated).arg(millis(EPOCH_LIFE.max(life)));
        self.breaker.ask(&command, read_done).await
    }

    /// Releases the lock without an entry, even where Redis is bypassed. After a failed fetch, those who wait for it need not
    /// wait again; otherwise one of them may acquire the lock.
    pub async fn release(&self, name: &Name, lock: &LockId, has_failed: bool) {
        let failure = if has_failed { millis(FAILURE_LIFE) } else { 0 };
        let mut command = self.script_about(&[RELEASE], name);
        command.arg(lock).arg(failure).arg(&self.channel).arg(self.message(Event::Fetched, &[*name]));
        self.breaker.send_even_if_open(&command).await;
    }

    /// Invalidates connections: each one whole, or only the tokens with these tags. The script appends the names of those
    /// that it has changed to its message.
    pub async fn invalidate<'a>(
        &self,
        connections: impl ExactSizeIterator<Item = (&'a Name, &'a [Tag])>,
        random: &Nonce,
    ) -> Result<(), RedisUnavailable> {
        let message = self.message(Event::Invalidated, &[]);
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
    pub async fn invalidate_all(&self, random: &Nonce) -> Result<(), RedisUnavailable> {
        let message = self.message(Event::AllInvalidated, &[]);
        let mut command = script(&[INVALIDATE_ALL], &[self.epoch()]);
        command.arg(random).arg(millis(EPOCH_LIFE)).arg(&self.channel).arg(message);
        self.breaker.ask(&command, read_done).await
    }

    /// Begins a generation, so that no fetch that is in flight writes, and returns the fencing token of a new fetch.
    pub async fn outdate(&self, name: &Name, random: &Nonce) -> Result<FencingToken, RedisUnavailable> {
        let mut command = self.script_about(&[EPOCH, OUTDATE], name);
        command.arg(random).arg(millis(GENERATION_LIFE)).arg(millis(EPOCH_LIFE));
        self.breaker.ask(&command, read_token).await
    }

    fn message(&self, event: Event, names: &[Name]) -> Vec<u8> {
        Message { event, sender: self.sender, names: names.to_vec() }.bytes()
    }

    fn script_about(&self, text: &[&str], name: &Name) -> Cmd {
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
    use std::collections::HashSet;

    use super::*;
    use crate::core::fleet::rig::{MemberOptions, TestRedis, fetch, key};
    use crate::core::source::{Purpose, TokenSource};

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
        assert_eq!(read_token(bulk(b"g")), Some(b"g".to_vec()));
        assert_eq!(read_token(Value::Nil), None);
        assert_eq!([Value::Int(0), Value::Int(1), Value::Okay].map(read_done), [Some(()), None, None]);
    }

    /// So that a user of Redis needs no permission for others, and a cluster has all in one slot.
    #[tokio::test(start_paused = true)]
    async fn all_keys_and_the_channel_begin_with_the_prefix_and_one_namespace_in_braces() {
        let redis = TestRedis::new();
        let fleet = MemberOptions { max_pending: 2, ..MemberOptions::new(&Arc::default()) }.join(&redis);
        for owner in ["u", "v"] {
            for purpose in [Purpose::Missing, Purpose::Fresh] {
                fetch(&fleet, owner, purpose, LOCK_LIFE).await.unwrap();
            }
        }
        for owners in [&["u", "v"][..], &["u", "v", "w"]] {
            let owners: Vec<_> = owners.iter().copied().map(key).collect();
            fleet.invalidate(&owners, None).unwrap().await;
        }
        redis.settles().await;
        let sent = redis.takes();
        let commands: HashSet<_> = sent.iter().map(|sent| sent.what).collect();
        assert_eq!(commands, HashSet::from(["take", "put", "outdate", "invalidate", "invalidate all"]));
        let namespace = fleet.member.keys.namespace();
        let prefix = format!("xkit:{{{namespace}}}:");
        let keys: HashSet<_> = sent.iter().flat_map(|sent| &sent.keys).collect();
        assert!(keys.iter().all(|key| key.starts_with(&prefix)), "{keys:?}");
        let parts = ["", ":lock", ":generation", ":rejected"];
        let names = ["u", "v"].map(|owner| fleet.name(&key(owner)).text());
        let expected = names.iter().flat_map(|name| parts.map(|part| format!("{prefix}{name}{part}")));
        let expected: HashSet<_> = expected.chain([format!("{prefix}epoch")]).collect();
        assert_eq!(keys, expected.iter().collect());
        let channel = format!("{prefix}channel").into_bytes();
        let publishing =
            sent.iter().filter(|sent| matches!(sent.what, "put" | "invalidate" | "invalidate all"));
        assert!(publishing.clone().all(|sent| sent.args.contains(&channel)));
        assert_eq!(publishing.count(), 6);
    }
}
