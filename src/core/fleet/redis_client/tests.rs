//! Tests of the connection for commands, with a Redis that does as a script says.

use std::collections::VecDeque;

use futures_util::future::{join, pending};
use tokio::time::sleep;

use super::*;
use crate::core::fleet::settings::RedisOptions;
use crate::core::fleet::tasks::TasksOwner;
use crate::core::spawn::on_runtime;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// What a command may take, and the grace.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(50 + 2);

type Answer = (Duration, Result<(), RedisFailure>);

/// How long it takes to open a connection, and how that and the commands over it end. The commands after them get OK at once.
#[derive(Clone)]
struct Script {
    opening: Answer,
    commands: VecDeque<Answer>,
}

/// The connections of a script, and where each was opened to.
#[derive(Clone, Default)]
struct ScriptedRedis {
    scripts: Arc<Mutex<VecDeque<Script>>>,
    dialled: Arc<Mutex<Vec<Option<Address>>>>,
}

struct ScriptedConnection(Mutex<VecDeque<Answer>>);

impl Dial for ScriptedRedis {
    fn connect<'a>(
        &'a self,
        moved: Option<Address>,
        stage: &'a Stage,
    ) -> BoxFuture<'a, Result<Arc<dyn Commands>, RedisFailure>> {
        async move {
            self.dialled.lock().unwrap().push(moved);
            stage.set("the login");
            let Script { opening: (time, opened), commands } =
                self.scripts.lock().unwrap().pop_front().unwrap();
            sleep(time).await;
            opened.map(|()| Arc::new(ScriptedConnection(Mutex::new(commands))) as Arc<dyn Commands>)
        }
        .boxed()
    }

    fn subscribe<'a>(
        &'a self,
        moved: Option<Address>,
        _: &'a str,
        stage: &'a Stage,
    ) -> BoxFuture<'a, Result<Subscription, RedisFailure>> {
        self.dialled.lock().unwrap().push(moved);
        stage.set("the subscription");
        pending().boxed()
    }
}

impl Commands for ScriptedConnection {
    fn send<'a>(&'a self, _: &'a Cmd) -> BoxFuture<'a, Result<Value, RedisFailure>> {
        async move {
            let answer = self.0.lock().unwrap().pop_front();
            let (time, answered) = answer.unwrap_or((Duration::ZERO, Ok(())));
            sleep(time).await;
            answered.map(|()| Value::Okay)
        }
        .boxed()
    }
}

struct ClientRig {
    client: Arc<RedisClient>,
    redis: ScriptedRedis,
    _owner: TasksOwner,
}

impl ClientRig {
    fn new(url: &str, scripts: impl IntoIterator<Item = Script>) -> Self {
        let redis = ScriptedRedis::default();
        redis.scripts.lock().unwrap().extend(scripts);
        let (owner, tasks) = Tasks::new(on_runtime);
        let settings = RedisOptions::at(url).check().unwrap();
        let client = RedisClient::new(Box::new(redis.clone()), tasks, &settings, CONNECT_TIMEOUT);
        Self { client: Arc::new(client), redis, _owner: owner }
    }

    async fn ask(&self) -> Result<Value, RedisFailure> {
        self.client.ask(&redis::cmd("GET")).await
    }

    /// The ports of the members of the cluster that connections were opened to; 0 for one that none has named.
    fn dialled(&self) -> Vec<u16> {
        let dialled = self.redis.dialled.lock().unwrap();
        dialled.iter().map(|moved| moved.as_ref().map_or(0, |node| node.port)).collect()
    }
}

/// A connection that opens at once, and whose commands are answered at once.
fn answers(answers: impl IntoIterator<Item = Result<(), RedisFailure>>) -> Script {
    let commands = answers.into_iter().map(|answer| (Duration::ZERO, answer)).collect();
    Script { opening: (Duration::ZERO, Ok(())), commands }
}

/// A connection that takes a while to open.
fn opens(time: Duration, opened: Result<(), RedisFailure>) -> Script {
    Script { opening: (time, opened), ..answers([]) }
}

fn lost() -> RedisFailure {
    RedisFailure { is_lost: true, ..RedisFailure::passing("lost") }
}

fn moved(port: u16) -> RedisFailure {
    let node = Address { host: "10.0.0.1".to_owned(), port };
    RedisFailure { moved: Some(node), ..RedisFailure::lasting("MOVED") }
}

#[tokio::test(start_paused = true)]
async fn a_command_is_repeated_where_another_connection_may_carry_it_and_over_three_at_most() {
    let busy = || RedisFailure::passing("BUSY");
    let [single, cluster] = ["redis://r.test", "redis-cluster://r.test"];
    let refuses = |failure| opens(Duration::ZERO, Err(failure));
    let over =
        |failures: Vec<RedisFailure>| failures.into_iter().map(|failure| answers([Err(failure)])).collect();
    let cases: Vec<(_, _, Vec<Script>, _, &[u16])> = vec![
        ("idle", single, over(vec![lost()]), None, &[0, 0]),
        ("lost twice", single, over(vec![lost(), lost()]), None, &[0, 0, 0]),
        ("lost thrice", single, over(vec![lost(), lost(), lost()]), Some("lost"), &[0, 0, 0]),
        ("one command's", single, over(vec![busy()]), Some("BUSY"), &[0]),
        ("sent elsewhere by no cluster", single, over(vec![moved(7)]), Some("MOVED"), &[0]),
        ("sent elsewhere", cluster, over(vec![moved(7)]), None, &[0, 7]),
        ("sent on", cluster, over(vec![moved(7), moved(8)]), None, &[0, 7, 8]),
        ("sent on and on", cluster, over(vec![moved(7), moved(8), moved(7)]), Some("MOVED"), &[0, 7, 8]),
        ("lost elsewhere", cluster, over(vec![moved(7), lost()]), None, &[0, 7, 0]),
        ("refused", single, vec![refuses(lost())], Some("lost"), &[0]),
        ("refused by a member", cluster, vec![refuses(moved(7))], Some("MOVED"), &[0]),
    ];
    for (case, url, scripts, reason, dialled) in cases {
        let rig = ClientRig::new(url, scripts.into_iter().chain([answers([])]));
        let failure = rig.ask().await.err();
        assert_eq!(failure.as_ref().map(|failure| failure.reason.as_ref()), reason, "{case}");
        assert_eq!(rig.dialled(), dialled, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_until_its_first_failure() {
    let busy = RedisFailure::passing("BUSY");
    let rig = ClientRig::new("redis://r.test", [answers([Ok(()), Ok(()), Err(busy.clone())]), answers([])]);
    for expected in [Ok(Value::Okay), Ok(Value::Okay), Err(busy), Ok(Value::Okay)] {
        assert_eq!(rig.ask().await, expected);
    }
    assert_eq!(rig.dialled(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_named_is_asked_from_then_on_and_subscribed_to() {
    let rig = ClientRig::new("redis-cluster://r.test", [answers([Err(moved(7))]), answers([])]);
    for _ in 0..2 {
        rig.ask().await.unwrap();
    }
    let start = Instant::now();
    let subscribed = rig.client.subscribe("channel").await;
    assert_eq!(subscribed.err(), Some(RedisFailure::timed_out("the subscription")));
    assert_eq!((rig.dialled(), start.elapsed()), (vec![0, 7, 7], CONNECT_TIMEOUT));
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_costs_its_connection() {
    let millis = Duration::from_millis;
    let commands = [(millis(49), Ok(())), (millis(60), Ok(()))].into();
    let rig = ClientRig::new("redis://r.test", [Script { commands, ..answers([]) }, answers([])]);
    rig.ask().await.unwrap();
    let start = Instant::now();
    assert_eq!(rig.ask().await, Err(RedisFailure::timed_out("a command")));
    assert_eq!(start.elapsed(), COMMAND_TIMEOUT);
    rig.ask().await.unwrap();
    assert_eq!(rig.dialled(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_opens_slowly_is_awaited_by_later_commands() {
    let slow = Duration::from_millis(200);
    let rig = ClientRig::new("redis://r.test", [opens(slow, Ok(()))]);
    let start = Instant::now();
    assert!(!rig.client.is_connecting());
    for number in 1..=2 {
        assert_eq!(rig.ask().await, Err(RedisFailure::timed_out("the login")));
        assert_eq!(start.elapsed(), number * COMMAND_TIMEOUT);
        assert!(rig.client.is_connecting());
    }
    rig.client.probe().await.unwrap();
    assert_eq!(start.elapsed(), slow);
    assert!(!rig.client.is_connecting());
    rig.ask().await.unwrap();
    assert_eq!(rig.dialled(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_opens_is_given_up_when_its_limit_has_passed() {
    let rig = ClientRig::new("redis://r.test", [opens(Duration::MAX, Ok(())), answers([])]);
    let start = Instant::now();
    assert_eq!(rig.client.probe().await, Err(RedisFailure::timed_out("the login")));
    assert_eq!(start.elapsed(), CONNECT_TIMEOUT);
    rig.client.probe().await.unwrap();
    assert_eq!(rig.dialled(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_fails_late_leaves_the_connection_alone_that_took_its_connection_s_place() {
    let late = Duration::from_millis(30);
    let commands = [(late / 2, Err(lost())), (late, Err(RedisFailure::passing("BUSY")))].into();
    let rig = ClientRig::new("redis://r.test", [Script { commands, ..answers([]) }, answers([])]);
    let (lost, busy) = join(rig.ask(), rig.ask()).await;
    assert!(lost.is_ok() && busy.is_err(), "{lost:?}, {busy:?}");
    rig.ask().await.unwrap();
    assert_eq!(rig.dialled(), [0, 0]);
}
