//! Owns the plan of a world: its members, the steps of each caller, and the events. All of it is drawn from the seed before the
//! world begins, so that `shrink` can leave parts out.

use fastrand::Rng;

/// Milliseconds of the world's time.
pub type Millis = u64;

/// A connection among those of one pair of keys.
pub type Place = usize;
/// A place is a kind of owner, an id and a slug.
pub const IDS: [&str; 2] = ["a", "b"];
pub const SLUGS: [&str; 2] = ["s", "t"];
pub const KINDS: usize = 3;
/// Places of one pair of keys.
pub const PLACES: usize = KINDS * IDS.len() * SLUGS.len();
/// Pairs of keys.
pub const PAIRS: usize = 2;

/// How much slower a world with slow fetches is.
const SLOWER: u64 = 20;

/// A whole world before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub members: Vec<MemberPlan>,
    pub callers: Vec<Caller>,
    pub nature: Vec<(Millis, Nature)>,
    /// The lifetime of the tokens of a place, where the platform returns one.
    pub lives: Vec<Option<Millis>>,
    /// Whether JSON Web Tokens tell their lifetime themselves, and the platform returns none.
    pub has_jwts: bool,
    /// Connections that a member's outbox holds one by one.
    pub max_pending: usize,
    /// How long some requests take, where fetches may take longer than a generation lives.
    pub slowest: Option<Millis>,
}

/// One process with one client.
#[derive(Clone, Debug)]
pub struct MemberPlan {
    pub pair: usize,
    pub in_fleet: bool,
    pub cache: Option<(Millis, usize)>,
    pub max_concurrency: usize,
    pub max_retries: u32,
    pub timeout: Millis,
    pub attempt_timeout: Millis,
    pub command_timeout: Millis,
}

/// One caller, which takes one step after the other.
#[derive(Clone, Debug)]
pub struct Caller {
    pub member: usize,
    pub steps: Vec<(Millis, Action)>,
}

/// What a caller does.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Ask {
        place: Place,
        fresh: bool,
        timeout: Option<Millis>,
        patience: Option<Millis>,
        habit: Habit,
    },
    Invalidate(Place),
    Webhook {
        id: usize,
        slug: usize,
    },
    /// Reports its last token as rejected once more.
    ComplainLate,
}

/// What a caller does with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Uses it, and asks for another one if the service rejects it.
    Repair,
    /// The same, by `invalidate`.
    InvalidateAndAsk,
    /// Reports it as rejected although it was not.
    Complain,
    Keep,
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub enum Nature {
    /// The token is replaced; the old one is dead at once.
    Rotate(usize),
    State(usize, Status),
    Weather(Weather),
    /// The connection in use does not answer any more.
    Freeze(usize),
    /// The server closes the idle connection.
    CloseIdle(usize),
    /// Somebody sets the wall clock.
    SetWall(usize, i64),
    /// The machine sleeps.
    Sleep(usize, Millis),
    /// The client is closed, and another one is opened.
    Close(usize),
    /// The process is killed, and another one is started.
    Crash(usize),
    Redis(RedisFault),
}

/// What happens to Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisFault {
    Heal,
    /// Refuses every connection.
    Down,
    /// Does not answer any more.
    Frozen,
    Slow,
    /// Answers with an error.
    ReadOnly,
    /// Ends all connections, and refuses new ones for a moment.
    FailOver,
    /// The same, to a replica that has not received the last writes.
    LoseWrites,
    DropConnections,
    DropSubscriptions,
    /// Refuses every subscription, and is well otherwise.
    Deaf,
    LoseData,
    /// Evicts one key.
    Evict,
    /// One member cannot reach it.
    Cut(usize),
}

/// What the platform says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Active,
    Pending,
    Broken,
    NotEnabled,
    NotProvisioned,
}

/// How the platform is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fine,
    /// Some of everything.
    Mixed,
    /// 503 to all.
    Outage,
    /// 429 to all, with or without a `Retry-After`.
    Throttled,
    /// Answers late, some of it too late.
    Slow,
    /// 401 to all.
    WrongKeys,
}

impl Plan {
    /// The world of a seed. One seed in eight has slow fetches, and one in four a Redis that loses writes.
    pub fn of(seed: u64) -> Self {
        let mut plan = Self::drawn(seed);
        let mut rng = Rng::with_seed(!seed);
        if matches!(seed % 16, 4 | 12) {
            plan.slow_down(&mut rng);
        }
        if matches!(seed % 16, 5 | 6 | 12 | 14) {
            plan.lose_writes(&mut rng);
        }
        plan
    }

    /// Everything takes longer, and some requests longer than a generation lives.
    fn slow_down(&mut self, rng: &mut Rng) {
        self.slowest = Some(100_000);
        for member in &mut self.members {
            member.timeout = [30_000, 150_000][rng.usize(..2)];
            member.attempt_timeout = [20_000, 70_000, 150_000][rng.usize(..3)];
        }
        self.nature.iter_mut().for_each(|(at, _)| *at *= SLOWER);
        let steps = self.callers.iter_mut().flat_map(|caller| &mut caller.steps);
        steps.filter(|(pause, _)| *pause > 100).for_each(|(pause, _)| *pause *= SLOWER);
    }

    /// Redis fails over to a replica that has not received its last writes.
    fn lose_writes(&mut self, rng: &mut Rng) {
        let length = self.nature.last().map_or(1, |(at, _)| *at);
        for _ in 0..rng.usize(1..=4) {
            self.nature.push((rng.u64(..=length), Nature::Redis(RedisFault::LoseWrites)));
        }
        self.nature.sort_by_key(|(at, _)| *at);
    }

    pub fn loses_writes(&self) -> bool {
        self.nature.iter().any(|(_, what)| matches!(what, Nature::Redis(RedisFault::LoseWrites)))
    }

    fn drawn(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let has_redis = rng.u8(..4) > 0;
        let members: Vec<_> = (0..rng.usize(3..=4)).map(|_| MemberPlan::draw(&mut rng, has_redis)).collect();
        // Few places, so that calls meet.
        let places: Vec<_> = (0..rng.usize(1..=4)).map(|_| rng.usize(..PLACES)).collect();
        let length = rng.u64(3_000..=9_000);
        let has_weather = rng.bool();
        let has_clocks = rng.u8(..3) == 0;
        let has_redis_faults = has_redis && rng.bool();
        let callers =
            (0..rng.usize(20..=24)).map(|_| Caller::draw(&mut rng, members.len(), &places, length)).collect();
        let mut nature: Vec<_> = (0..rng.usize(40..=60))
            .filter_map(|_| {
                let what =
                    Nature::draw(&mut rng, &members, &places, [has_weather, has_clocks, has_redis_faults])?;
                Some((rng.u64(..length), what))
            })
            .collect();
        nature.sort_by_key(|(at, _)| *at);
        let lives =
            (0..PLACES * PAIRS).map(|_| (rng.u8(..3) == 0).then(|| rng.u64(2_000..=400_000))).collect();
        let max_pending = if rng.u8(..4) == 0 { 3 } else { 30_000 };
        let has_jwts = rng.u8(..3) == 0;
        Self { seed, members, callers, nature, lives, has_jwts, max_pending, slowest: None }
    }

    /// The number of steps and events.
    pub fn events(&self) -> usize {
        self.nature.len() + self.callers.iter().map(|caller| caller.steps.len()).sum::<usize>()
    }
}

impl MemberPlan {
    fn draw(rng: &mut Rng, has_redis: bool) -> Self {
        let in_fleet = has_redis && rng.u8(..8) > 0;
        let ttl = [800, 3_000, 10_000, 60_000][rng.usize(..4)];
        let max_entries = if rng.u8(..6) == 0 { rng.usize(1..=3) } else { 1_000 };
        Self {
            pair: usize::from(rng.u8(..6) == 0),
            in_fleet,
            cache: (in_fleet || rng.u8(..4) > 0).then_some((ttl, max_entries)),
            max_concurrency: if rng.u8(..4) == 0 { rng.usize(1..=3) } else { 100 },
            max_retries: rng.u32(0..=2),
            timeout: [1_500, 5_000, 20_000][rng.usize(..3)],
            attempt_timeout: [700, 2_000, 8_000][rng.usize(..3)],
            command_timeout: 50,
        }
    }
}

impl Caller {
    fn draw(rng: &mut Rng, members: usize, places: &[Place], length: Millis) -> Self {
        let count = rng.usize(9..=12);
        let steps = (0..count)
            .map(|_| {
                // In bursts, with waits between them.
                let pause = match rng.u8(..4) {
                    0 => 0,
                    1 => rng.u64(..20),
                    2 => rng.u64(..500),
                    _ => rng.u64(..2 * length / count as u64),
                };
                (pause, Action::draw(rng, places))
            })
            .collect();
        Self { member: rng.usize(..members), steps }
    }
}

impl Action {
    fn draw(rng: &mut Rng, places: &[Place]) -> Self {
        let place = places[rng.usize(..places.len())];
        match rng.u8(..20) {
            0 => Self::Invalidate(place),
            1 => Self::Webhook { id: place / SLUGS.len() % IDS.len(), slug: place % SLUGS.len() },
            2 => Self::ComplainLate,
            _ => Self::Ask {
                place,
                fresh: rng.u8(..16) == 0,
                timeout: (rng.u8(..6) == 0).then(|| rng.u64(1..=2_000)),
                patience: (rng.u8(..6) == 0).then(|| rng.u64(..=1_000)),
                habit: [Habit::Repair, Habit::Repair, Habit::InvalidateAndAsk, Habit::Complain, Habit::Keep]
                    [rng.usize(..5)],
            },
        }
    }
}

impl Nature {
    fn draw(
        rng: &mut Rng,
        members: &[MemberPlan],
        places: &[Place],
        [has_weather, has_clocks, has_redis_faults]: [bool; 3],
    ) -> Option<Self> {
        use Weather::{Fine, Mixed, Outage, Slow, Throttled, WrongKeys};
        let member = rng.usize(..members.len());
        let which = places[rng.usize(..places.len())] + PLACES * usize::from(rng.u8(..6) == 0);
        let status = [
            Status::Active,
            Status::Active,
            Status::Pending,
            Status::Broken,
            Status::NotEnabled,
            Status::NotProvisioned,
        ];
        Some(match rng.u8(..20) {
            0..=4 => Self::Rotate(which),
            5 => Self::State(which, status[rng.usize(..status.len())]),
            6 | 7 if has_weather => {
                Self::Weather([Fine, Fine, Mixed, Outage, Throttled, Slow, WrongKeys][rng.usize(..7)])
            }
            8 => Self::Freeze(member),
            9 => Self::CloseIdle(member),
            10 if has_clocks => Self::SetWall(member, rng.i64(-120_000..=120_000)),
            11 if has_clocks => Self::Sleep(member, rng.u64(..=90_000)),
            12 if rng.bool() => Self::Close(member),
            12 => Self::Crash(member),
            13..=17 if has_redis_faults => Self::Redis(RedisFault::draw(rng, member)),
            _ => return None,
        })
    }
}

impl RedisFault {
    fn draw(rng: &mut Rng, member: usize) -> Self {
        match rng.u8(..16) {
            0 => Self::Down,
            1 => Self::Frozen,
            2 => Self::Slow,
            3 => Self::ReadOnly,
            4 => Self::FailOver,
            5 => Self::DropConnections,
            6 => Self::DropSubscriptions,
            7 => Self::Deaf,
            8 => Self::LoseData,
            9 | 10 => Self::Evict,
            11 => Self::Cut(member),
            _ => Self::Heal,
        }
    }
}
