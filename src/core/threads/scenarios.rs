//! What several threads do with one client at once, and what must hold whoever goes first.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use shuttle::future::{block_on, spawn};
use shuttle::thread;

use crate::core::client::{Begun, CallRequest};
use crate::core::sync::Ordering;
use crate::core::threads::explore::explore;
use crate::core::threads::rig::{Rig, settle};
use crate::core::threads::source::number_of;
use crate::core::tokens::key::OwnerKind;

/// A search box where the latest request wins, on two threads.
#[test]
fn a_call_that_is_cancelled_and_made_again_at_once_settles() {
    explore(|| {
        let rig = Rig::new(false, false);
        let searches = [0, 1].map(|_| {
            let rig = Arc::clone(&rig);
            thread::spawn(move || {
                let restart = |_| {
                    let call = rig.call();
                    let handle = call.cancel_handle();
                    let task = spawn(call.run());
                    handle.cancel();
                    task.abort();
                    task
                };
                let aborted = [0, 1].map(restart);
                let token = number_of(&rig.token(None));
                aborted.into_iter().for_each(|task| drop(block_on(task)));
                token
            })
        });
        for search in searches {
            assert_eq!(search.join().unwrap(), 0);
        }
        rig.check_end();
    });
}

#[test]
fn a_caller_that_joins_while_the_last_one_leaves_gets_its_token() {
    explore(|| {
        let rig = Rig::new(false, false);
        let first = rig.call();
        let handle = first.cancel_handle();
        let task = spawn(first.run());
        let joining = {
            let rig = Arc::clone(&rig);
            thread::spawn(move || rig.token(None))
        };
        handle.cancel();
        task.abort();
        assert_eq!(joining.join().unwrap(), "token-0");
        drop(block_on(task));
        assert!(rig.source.requests() <= 2);
        rig.check_end();
    });
}

#[test]
fn identical_calls_share_one_request() {
    explore(|| {
        let rig = Rig::new(true, false);
        let callers = [0, 1, 2].map(|_| {
            let rig = Arc::clone(&rig);
            thread::spawn(move || rig.token(None))
        });
        for caller in callers {
            assert_eq!(caller.join().unwrap(), "token-0");
        }
        assert_eq!(rig.source.most_in_flight(), 1);
        rig.check_end();
    });
}

/// By `invalidate`, or by another member of the fleet.
#[test]
fn nothing_is_served_that_was_invalidated_before_the_call_began() {
    for is_elsewhere in [false, true] {
        explore(move || {
            let rig = Rig::new(true, is_elsewhere);
            let callers = [0, 1].map(|_| {
                let rig = Arc::clone(&rig);
                thread::spawn(move || drop((rig.token(None), rig.token(None))))
            });
            let withdrawn = rig.source.withdraw();
            if is_elsewhere {
                rig.source.invalidate_elsewhere();
            } else {
                rig.invalidate(None);
            }
            assert!(number_of(&rig.token(None)) > withdrawn);
            callers.into_iter().for_each(|caller| caller.join().unwrap());
            assert!(number_of(&rig.token(None)) > withdrawn);
            rig.check_end();
        });
    }
}

#[test]
fn all_who_were_refused_with_one_token_get_another_one() {
    explore(|| {
        let rig = Rig::new(true, false);
        let first = rig.token(None);
        rig.source.withdraw();
        let callers = [0, 1, 2].map(|_| {
            let (rig, first) = (Arc::clone(&rig), first.clone());
            thread::spawn(move || {
                rig.invalidate(Some(&first));
                rig.token(Some(&first))
            })
        });
        let fresh = match rig.begin(true, None) {
            Begun::Call(call) => block_on(call.run()),
            Begun::Known(_) => panic!("not fresh"),
        };
        assert!(fresh.result.is_ok());
        for caller in callers {
            assert_eq!(caller.join().unwrap(), "token-1");
        }
        assert_eq!(rig.token(None), "token-1");
        rig.check_end();
    });
}

#[test]
fn close_waits_for_the_calls_in_flight_and_refuses_later_ones() {
    explore(|| {
        let rig = Rig::new(true, false);
        let caller = {
            let rig = Arc::clone(&rig);
            thread::spawn(move || {
                let request = CallRequest {
                    kind: OwnerKind::User,
                    id: "u",
                    slug: "s",
                    timeout: None,
                    fresh: false,
                    rejected: None,
                };
                match rig.client.begin(request) {
                    Ok(Begun::Call(call)) => assert!(block_on(call.run()).result.is_ok()),
                    Ok(Begun::Known(_)) => panic!("nothing is cached"),
                    Err(error) => assert_eq!(error.kind.code(), "ERR_XKIT_CLOSED"),
                }
            })
        };
        if let Some(ended) = rig.client.close() {
            block_on(ended);
        }
        rig.check_end();
        assert!(rig.client.close().is_none());
        caller.join().unwrap();
    });
}

/// The facade serves a token by itself while `discards` stands still, if it read that before the call.
#[test]
fn a_lease_ends_with_an_invalidation() {
    for is_elsewhere in [false, true] {
        explore(move || {
            let rig = Rig::new(true, is_elsewhere);
            rig.token(None);
            let discards = Arc::clone(rig.client.discards());
            let facade = {
                let rig = Arc::clone(&rig);
                thread::spawn(move || {
                    let read = discards.load(Ordering::Acquire);
                    matches!(rig.begin(false, None), Begun::Known(_)).then_some(read)
                })
            };
            if is_elsewhere {
                rig.source.invalidate_elsewhere();
            } else {
                rig.invalidate(None);
            }
            let now = rig.client.discards().load(Ordering::Acquire);
            let lease = facade.join().unwrap();
            assert_ne!(lease, Some(now), "a lease outlives the invalidation");
            rig.check_end();
        });
    }
}

/// All leases of a client end together when the first of them does: then the count changes, and each is renewed by the next
/// call.
#[test]
fn a_lease_that_is_renewed_serves_nothing_that_was_invalidated_before() {
    for is_elsewhere in [false, true] {
        explore(move || {
            let rig = Rig::new(true, is_elsewhere);
            rig.token(None);
            let least = Arc::new(AtomicUsize::new(0));
            let facade = {
                let (rig, least) = (Arc::clone(&rig), Arc::clone(&least));
                thread::spawn(move || {
                    let discards = rig.client.discards();
                    let mut lease = None;
                    for round in 0..4 {
                        let least = least.load(Ordering::Acquire);
                        thread::yield_now();
                        let read = discards.load(Ordering::Acquire);
                        let served = match lease {
                            Some((at, token)) if at == read => token,
                            _ => {
                                let begun = rig.begin(false, None);
                                let is_known = matches!(begun, Begun::Known(_));
                                let token = number_of(&settle(begun));
                                lease = is_known.then_some((read, token));
                                token
                            }
                        };
                        assert!(served >= least, "served after its invalidation");
                        if round == 1 {
                            discards.fetch_add(1, Ordering::AcqRel);
                        }
                    }
                })
            };
            let withdrawn = rig.source.withdraw();
            if is_elsewhere {
                rig.source.invalidate_elsewhere();
            } else {
                rig.invalidate(None);
            }
            least.store(withdrawn + 1, Ordering::Release);
            facade.join().unwrap();
            rig.check_end();
        });
    }
}

/// The subscription is lost and found again, and then something is invalidated.
#[test]
fn what_is_invalidated_after_a_lost_subscription_is_not_served() {
    explore(|| {
        let rig = Rig::new(true, true);
        let callers = [0, 1].map(|_| {
            let rig = Arc::clone(&rig);
            thread::spawn(move || drop((rig.token(None), rig.token(None))))
        });
        rig.source.resubscribe();
        // Long enough for a fetch that saw some of that.
        (0..20).for_each(|_| thread::yield_now());
        let withdrawn = rig.source.withdraw();
        rig.source.invalidate_elsewhere();
        assert!(number_of(&rig.token(None)) > withdrawn);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert!(number_of(&rig.token(None)) > withdrawn);
        rig.check_end();
    });
}
