//! Tests of the channel, with subscriptions that do as a script says.

use std::collections::VecDeque;
use std::sync::Mutex;

use futures_util::future::{BoxFuture, pending, ready};
use futures_util::{FutureExt, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use super::*;
use crate::core::clock::Now;
use crate::core::fleet::dial::{Commands, Dial};
use crate::core::fleet::failure::Stage;
use crate::core::fleet::settings::{Address, RedisOptions};
use crate::core::fleet::tasks::{Tasks, TasksOwner};
use crate::core::spawn::on_runtime;
use crate::core::tokens::validity::Version;

const OWN: Sender = [1; 16];
const OTHER: Sender = [2; 16];
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3);

/// What comes of an attempt to subscribe.
enum Attempt {
    Refused,
    /// A subscription that ends after this time, and has as many heartbeats.
    Ends(Duration, usize),
    /// A subscription that lasts and receives these, and has as many heartbeats.
    Lasts(UnboundedReceiver<Vec<u8>>, usize),
}

/// The subscriptions of a script, and when each was asked for. There is none after them.
#[derive(Clone, Default)]
struct ScriptedRedis {
    script: Arc<Mutex<VecDeque<Attempt>>>,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Dial for ScriptedRedis {
    fn connect<'a>(
        &'a self,
        _: Option<Address>,
        _: &'a Stage,
    ) -> BoxFuture<'a, Result<Arc<dyn Commands>, RedisFailure>> {
        pending().boxed()
    }

    fn subscribe<'a>(
        &'a self,
        _: Option<Address>,
        _: &'a str,
        _: &'a Stage,
    ) -> BoxFuture<'a, Result<Subscription, RedisFailure>> {
        self.asked.lock().unwrap().push(Instant::now());
        let (messages, mut heartbeats) = match self.script.lock().unwrap().pop_front() {
            Some(Attempt::Refused) => return ready(Err(RedisFailure::lasting("NOPERM"))).boxed(),
            Some(Attempt::Ends(time, heartbeats)) => {
                (stream::once(sleep(time)).filter_map(|()| ready(None)).boxed(), heartbeats)
            }
            Some(Attempt::Lasts(queue, heartbeats)) => {
                let next = |mut queue: UnboundedReceiver<_>| async { Some((queue.recv().await?, queue)) };
                (stream::unfold(queue, next).boxed(), heartbeats)
            }
            None => return pending().boxed(),
        };
        let ping = move || match heartbeats.checked_sub(1) {
            Some(left) => {
                heartbeats = left;
                ready(Ok(())).boxed()
            }
            None => pending().boxed(),
        };
        ready(Ok(Subscription { messages, ping: Box::new(ping) })).boxed()
    }
}

/// A member that listens.
struct ChannelRig {
    channel: Arc<Channel>,
    redis: ScriptedRedis,
    start: Instant,
    _owner: TasksOwner,
}

impl ChannelRig {
    fn new(jitter: fn() -> f64, script: impl IntoIterator<Item = Attempt>) -> Self {
        let redis = ScriptedRedis::default();
        redis.script.lock().unwrap().extend(script);
        let (owner, tasks) = Tasks::new(on_runtime);
        let settings = RedisOptions::at("redis://r.test").check().unwrap();
        let client = RedisClient::new(Box::new(redis.clone()), tasks, &settings, Duration::from_secs(60));
        let start = Instant::now();
        let channel = Arc::new(Channel {
            redis: Arc::new(client),
            name: "channel".to_owned(),
            sender: OWN,
            validity: Arc::new(Validity::shared()),
            stats: Arc::default(),
            waiters: no_waiters(),
            heartbeat_timeout: HEARTBEAT_TIMEOUT,
            clock: Clock::new(move || Now { wall: 0.0, boot: boot(start) }),
            jitter,
        });
        Handle::current().spawn(Arc::clone(&channel).listen());
        Self { channel, redis, start, _owner: owner }
    }

    /// When each subscription was asked for, in milliseconds.
    fn asked(&self) -> Vec<u64> {
        let asked = self.redis.asked.lock().unwrap();
        asked.iter().map(|at| (*at - self.start).as_millis() as u64).collect()
    }

    fn last_error(&self) -> Option<String> {
        self.channel.stats.last_error().map(|error| error.reason.into_owned())
    }

    fn is_current(&self, version: Version) -> bool {
        self.channel.validity.is_current(version)
    }

    /// Whether what was cached long ago may be served.
    fn is_connected(&self) -> bool {
        let validity = &self.channel.validity;
        validity.may_serve(validity.version(0, Duration::ZERO), boot(self.start))
    }
}

fn boot(start: Instant) -> Duration {
    Duration::from_secs(100) + start.elapsed()
}

fn send(queue: &UnboundedSender<Vec<u8>>, event: Event, sender: Sender, names: &[Name]) {
    queue.send(Message { event, sender, names: names.to_vec() }.bytes()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_member_discards_what_the_others_invalidate_and_wakes_who_waits_for_them() {
    let (queue, messages) = unbounded_channel();
    let rig = ChannelRig::new(|| 0.0, [Attempt::Lasts(messages, usize::MAX)]);
    let names = [7, 8, 9].map(|byte| Name::parse(&[byte; 32]).unwrap());
    let [known, other, _] = names;
    let version = |name: Name| rig.channel.validity.version(name.prefix(), boot(rig.start));
    let versions = || [known, other].map(version);
    let before = versions();
    // All messages have been read when the last one is.
    let until_read = async |name| {
        let read = rig.channel.notified(&name);
        send(&queue, Event::Fetched, OTHER, &[name]);
        timeout(Duration::from_secs(60), read).await.expect("the message is read");
    };
    until_read(known).await;
    assert_eq!(before.map(|version| rig.is_current(version)), [false, false], "before the subscription");
    for (event, sender, about, current) in [
        (Event::Fetched, OTHER, &[known][..], [true, true]),
        (Event::Invalidated, OWN, &[known], [true, true]),
        (Event::Invalidated, OTHER, &[known], [false, true]),
        (Event::Invalidated, OTHER, &[known, other], [false, false]),
        (Event::AllInvalidated, OWN, &[], [true, true]),
        (Event::AllInvalidated, OTHER, &[], [false, false]),
    ] {
        let before = versions();
        send(&queue, event, sender, about);
        queue.send(b"what no member says".to_vec()).unwrap();
        let mut elsewhere = pin!(rig.channel.notified(&names[1]));
        until_read(names[2]).await;
        assert_eq!(before.map(|version| rig.is_current(version)), current, "{event:?}");
        let is_woken = futures_util::poll!(&mut elsewhere).is_ready();
        assert_eq!(is_woken, about.contains(&other), "{event:?}");
    }
    assert_eq!(rig.asked(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_lasts_as_long_as_its_heartbeats_and_is_replaced_after_them() {
    let (_queue, messages) = unbounded_channel();
    let rig = ChannelRig::new(|| 1.0, [Attempt::Lasts(messages, 8)]);
    sleep(Duration::from_millis(2_500)).await;
    let version = rig.channel.validity.version(7, boot(rig.start));
    assert!(rig.is_connected(), "the last heartbeat was asked for at 2,000 ms");
    sleep(Duration::from_millis(500)).await;
    assert!(!rig.is_connected() && rig.is_current(version));
    assert_eq!(rig.asked(), [0]);
    sleep(HEARTBEAT_TIMEOUT).await;
    assert_eq!(rig.asked(), [0, 2_250 + 3_000 + 50]);
}

#[tokio::test(start_paused = true)]
async fn attempts_to_subscribe_are_ever_further_apart_until_a_subscription_has_a_heartbeat() {
    let millis = Duration::from_millis;
    let (too_short, long_enough) = (240, 260);
    let script = || {
        let ends = [too_short, long_enough].map(|lasts| Attempt::Ends(millis(lasts), usize::MAX));
        (0..8).map(|_| Attempt::Refused).chain(ends).chain([Attempt::Refused])
    };
    let rigs = [ChannelRig::new(|| 1.0, script()), ChannelRig::new(|| 0.0, script())];
    sleep(millis(11_300)).await;
    assert_eq!(rigs[0].last_error().as_deref(), Some("NOPERM"));
    sleep(millis(100)).await;
    assert_eq!(rigs[0].last_error(), None, "as soon as there is a subscription");
    sleep(millis(10_000)).await;
    let pauses = [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 50, 100];
    for (rig, part) in rigs.iter().zip([1, 2]) {
        let mut pauses = pauses.map(|pause| pause / part);
        pauses[8] += too_short;
        pauses[9] += long_enough;
        let asked = rig.asked();
        assert_eq!(asked[0], 0);
        assert_eq!(asked.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>(), pauses);
    }
}
