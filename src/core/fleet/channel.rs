//! Listens to the fleet's channel for as long as the client is open, on a connection of its own.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::select;
use redis::aio::{PubSub, PubSubSink};
use tokio::time::{sleep, timeout};

use super::Member;
use super::news::News;

/// Redis is asked for a heartbeat so often; whoever listens notices a lost connection by that.
const PING_INTERVAL: Duration = Duration::from_millis(250);
/// Between attempts at a lost channel: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Listens, and starts over when the channel is lost.
pub async fn listen(member: Arc<Member>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let asked = member.clock.now().boot;
        if let Ok(channel) = member.link.subscribe(&member.store.channel).await {
            // Before now, something may have been missed.
            member.validity.invalidate_all();
            member.validity.heartbeat(asked);
            if follow(&member, channel).await {
                pause = FIRST_PAUSE;
            }
            member.validity.silence();
        }
        sleep(pause.mul_f64(0.5 + (member.jitter)() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Until the channel is lost. `true` if it was any good.
async fn follow(member: &Member, channel: PubSub) -> bool {
    let (sink, mut messages) = channel.split();
    let mut was_good = false;
    {
        // First the messages, then the sign of life that came after them.
        let read = pin!(async {
            while let Some(message) = messages.next().await {
                member.take_note(News::parse(message.get_payload_bytes()));
            }
        });
        let ping = pin!(ping(member, sink, &mut was_good));
        select(read, ping).await;
    }
    was_good
}

async fn ping(member: &Member, mut sink: PubSubSink, was_good: &mut bool) {
    loop {
        sleep(PING_INTERVAL).await;
        let asked = member.clock.now().boot;
        let answer = timeout(member.connect_timeout, sink.ping::<redis::Value>()).await;
        if !matches!(answer, Ok(Ok(_))) {
            return;
        }
        member.validity.heartbeat(asked);
        *was_good = true;
    }
}
