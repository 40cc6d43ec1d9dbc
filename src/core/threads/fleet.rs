//! What the threads of several members of a fleet do at once. Time stands still: whoever waits for another member is woken by
//! a message, or never.

use std::sync::Arc;

use shuttle::future::{block_on, spawn};
use shuttle::thread;

use crate::core::threads::explore::explore;
use crate::core::threads::redis::Redis;
use crate::core::threads::rig::Rig;
use crate::core::threads::source::{Source, number_of};

/// Whose tokens the members ask for first.
const OTHERS: [&str; 2] = ["one", "another"];

/// Two members that hear each other.
struct Pair {
    source: Arc<Source>,
    redis: Arc<Redis>,
    members: [Arc<Rig>; 2],
}

impl Pair {
    /// With a cache each, or with what is in Redis alone.
    fn new(is_cached: bool) -> Self {
        let (source, redis) = (Arc::new(Source::default()), Arc::default());
        let members = [0, 1].map(|_| Rig::member(is_cached, &source, &redis));
        let pair = Self { source, redis, members };
        // The first fetch has a member subscribe. Not of one connection: whoever waits without a subscription hears nothing.
        pair.members.iter().zip(OTHERS).for_each(|(member, owner)| drop(member.token_of(owner)));
        pair.until_written(0);
        while pair.redis.subscribers() < 2 {
            thread::yield_now();
        }
        pair
    }

    /// A thread of each member.
    fn each<R: Send + 'static>(&self, work: impl Fn(&Rig) -> R + Clone + Send + 'static) -> [R; 2] {
        let started = self.members.each_ref().map(|member| {
            let (member, work) = (Arc::clone(member), work.clone());
            thread::spawn(move || work(&member))
        });
        started.map(|thread| thread.join().unwrap())
    }

    /// Until so many connections have an entry in Redis, besides those of the first fetches.
    fn until_written(&self, entries: usize) {
        while self.redis.entries() < OTHERS.len() + entries {
            thread::yield_now();
        }
    }

    fn check_end(&self) {
        while self.redis.locks() > 0 {
            thread::yield_now();
        }
        self.members.iter().for_each(|member| member.check_end());
    }
}

#[test]
fn members_share_one_request_and_whoever_waits_is_woken() {
    explore(|| {
        let pair = Pair::new(false);
        let before = pair.source.requests();
        assert_eq!(pair.each(|member| member.token(None)), ["token-0", "token-0"]);
        assert_eq!(pair.source.requests(), before + 1);
        pair.check_end();
    });
}

#[test]
fn whoever_waits_goes_on_when_the_member_that_fetches_gives_up() {
    explore(|| {
        let pair = Pair::new(false);
        let call = pair.members[0].call();
        let handle = call.cancel_handle();
        let task = spawn(call.run());
        let waiting = {
            let member = Arc::clone(&pair.members[1]);
            thread::spawn(move || member.token(None))
        };
        handle.cancel();
        task.abort();
        assert_eq!(waiting.join().unwrap(), "token-0");
        drop(block_on(task));
        pair.check_end();
    });
}

/// By whichever member.
#[test]
fn nothing_is_read_from_redis_that_was_invalidated_before_the_call_began() {
    explore(|| {
        let pair = Pair::new(false);
        let [here, there] = &pair.members;
        let caller = {
            let there = Arc::clone(there);
            thread::spawn(move || drop(there.token(None)))
        };
        let withdrawn = pair.source.withdraw();
        let told = here.invalidation("u", None);
        assert!(number_of(&here.token(None)) > withdrawn, "before Redis was told");
        told.into_iter().for_each(block_on);
        caller.join().unwrap();
        assert!(number_of(&there.token(None)) > withdrawn);
        pair.check_end();
    });
}

#[test]
fn a_member_hears_what_another_one_invalidates() {
    explore(|| {
        let pair = Pair::new(true);
        let [here, there] = &pair.members;
        let caller = {
            let there = Arc::clone(there);
            thread::spawn(move || drop(there.token(None)))
        };
        let withdrawn = pair.source.withdraw();
        here.invalidation("u", None).into_iter().for_each(block_on);
        caller.join().unwrap();
        while number_of(&there.token(None)) <= withdrawn {
            thread::yield_now();
        }
        pair.check_end();
    });
}

/// So that `close` may follow them.
#[test]
fn redis_was_told_of_all_invalidations_once_their_futures_have_ended() {
    explore(|| {
        let pair = Pair::new(false);
        let here = &pair.members[0];
        let owners = ["u", "v"];
        owners.iter().for_each(|owner| drop(here.token_of(owner)));
        pair.until_written(2);
        let told = owners.map(|owner| {
            let here = Arc::clone(here);
            thread::spawn(move || here.invalidation(owner, None).into_iter().for_each(block_on))
        });
        told.into_iter().for_each(|told| told.join().unwrap());
        assert_eq!(pair.redis.entries(), OTHERS.len());
        pair.check_end();
    });
}

/// One of the two is about no more than a token that was rejected.
#[test]
fn an_invalidation_that_comes_while_redis_is_told_of_another_one_is_not_lost() {
    explore(|| {
        let pair = Pair::new(false);
        let [here, there] = &pair.members;
        here.token(None);
        pair.until_written(1);
        let rejection = {
            let here = Arc::clone(here);
            // Not waited for: it sweeps too, when time goes on.
            thread::spawn(move || {
                here.invalidation("u", Some("older")).into_iter().for_each(|it| drop(spawn(it)))
            })
        };
        let withdrawn = pair.source.withdraw();
        here.invalidation("u", None).into_iter().for_each(|told| drop(spawn(told)));
        assert!(number_of(&here.token(None)) > withdrawn);
        assert!(number_of(&there.token(None)) > withdrawn);
        rejection.join().unwrap();
        pair.check_end();
    });
}

/// By the same member.
#[test]
fn nothing_from_redis_is_cached_that_was_invalidated_meanwhile() {
    explore(|| {
        let pair = Pair::new(true);
        let [here, there] = &pair.members;
        there.token(None);
        pair.until_written(1);
        let caller = {
            let here = Arc::clone(here);
            thread::spawn(move || drop(here.token(None)))
        };
        let withdrawn = pair.source.withdraw();
        let told = here.invalidation("u", None);
        caller.join().unwrap();
        assert!(number_of(&here.token(None)) > withdrawn);
        told.into_iter().for_each(block_on);
        pair.check_end();
    });
}

#[test]
fn all_members_that_were_refused_with_one_token_get_another_one() {
    explore(|| {
        let pair = Pair::new(true);
        pair.each(|member| drop(member.token(None)));
        pair.source.withdraw();
        let tokens = pair.each(|member| member.token(Some("token-0")));
        assert_eq!(tokens, ["token-1", "token-1"]);
        pair.check_end();
    });
}
