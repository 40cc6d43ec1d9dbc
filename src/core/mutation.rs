//! Defects that the tests put in on purpose, to show that the simulator finds them. None is in any other build: there the
//! question costs nothing.

/// What to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "what the scripts do wrong, the simulated Redis does"))]
pub enum Mutation {
    /// A fetch that was superseded is kept all the same.
    SupersededIsKept,
    /// An invalidation leaves what is under way to be joined.
    NothingSuperseded,
    /// A fresh call joins a request that began earlier.
    FreshJoins,
    /// Users, groups and contexts have one name in Redis.
    KindsShareNames,
    /// The wall clock alone says when a token is over.
    WallClockOnly,
    /// What the platform refuses stays in the cache.
    RefusalEvictsNothing,
    /// A request does not hold its permit.
    PermitNotHeld,
    /// A permit is counted and never given back.
    CountLeaks,
    /// When the last caller leaves, the request goes on.
    NotCancelled,
    /// A fetch ends with the time of its first caller.
    FirstCallersTime,
    /// Retries cost nothing.
    NoQuota,
    /// Retries have no number.
    EndlessRetries,
    /// What is in memory stays when nothing is heard of the others.
    SilenceIsConsent,
    /// What was missed before a subscription is not thought of.
    MissedMessages,
    /// Those who wait for another member are not woken.
    ForgottenWakeUp,
    /// The lock is not given back.
    LockKept,
    /// Redis is read before it was told of an invalidation.
    ReadBeforeTold,
    /// What Redis could not be told of is forgotten.
    OutboxForgets,
    /// The fencing token is not looked at.
    NoFencing,
    /// A connection without a token is kept.
    UnavailableIsKept,
    /// When one caller leaves, all others are taken for gone.
    LeavingIsForAll,
    /// P2: too many invalidations are lost.
    OverflowForgets,
    /// P3: each report of a rejected token is news.
    EveryReportIsNews,
    /// P4: a late request leaves whichever pool is in use.
    AnyPoolIsLeft,
    /// P5: a long `Retry-After` is waited for until the call is over.
    RetryAfterIsWaitedFor,
    /// P6: `close` waits for fetches in the background.
    CloseWaits,
    /// P8: a caller waits for the write to Redis.
    WriteIsWaitedFor,
    /// Found: what replaced a token stays in its place after it was rejected too.
    RejectedReplacement,
    /// Found: a fetch that began before its token was rejected puts it in the place of others.
    RejectedMeanwhile,
    /// Found: a fetch is joined that began before a token was rejected, if another one was kept at that time.
    RejectedIsJoined,
    /// Found: a caller that leaves takes the command with it that others wait for.
    FlushIsAborted,
    /// Found: Redis does not note a rejected token where it has another one.
    LateRejectionForgotten,
}

#[cfg(test)]
impl Mutation {
    /// Each of them.
    pub const ALL: [Self; 32] = [
        Self::SupersededIsKept,
        Self::NothingSuperseded,
        Self::FreshJoins,
        Self::KindsShareNames,
        Self::WallClockOnly,
        Self::RefusalEvictsNothing,
        Self::PermitNotHeld,
        Self::CountLeaks,
        Self::NotCancelled,
        Self::FirstCallersTime,
        Self::NoQuota,
        Self::EndlessRetries,
        Self::SilenceIsConsent,
        Self::MissedMessages,
        Self::ForgottenWakeUp,
        Self::LockKept,
        Self::ReadBeforeTold,
        Self::OutboxForgets,
        Self::NoFencing,
        Self::UnavailableIsKept,
        Self::LeavingIsForAll,
        Self::OverflowForgets,
        Self::EveryReportIsNews,
        Self::AnyPoolIsLeft,
        Self::RetryAfterIsWaitedFor,
        Self::CloseWaits,
        Self::WriteIsWaitedFor,
        Self::RejectedReplacement,
        Self::RejectedMeanwhile,
        Self::RejectedIsJoined,
        Self::FlushIsAborted,
        Self::LateRejectionForgotten,
    ];
}

/// Whether this is broken.
#[cfg(not(test))]
#[inline(always)]
pub const fn is(_: Mutation) -> bool {
    false
}

#[cfg(test)]
pub use self::switch::{is, set};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        static BROKEN: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Whether this is broken, on this thread.
    pub fn is(mutation: Mutation) -> bool {
        BROKEN.get() == Some(mutation)
    }

    /// Breaks one thing, or nothing.
    pub fn set(mutation: Option<Mutation>) {
        BROKEN.set(mutation);
    }
}
