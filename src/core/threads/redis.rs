//! The Redis of a fleet under schedules: the simulator's keys and scripts, behind connections that take a while.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending};
use futures_util::stream::{StreamExt, unfold};
use redis::{Cmd, Value};
use shuttle::future::yield_now;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::core::fleet::dial::{Commands, Dial, Subscription};
use crate::core::fleet::failure::{RedisFailure, Stage};
use crate::core::fleet::scripts::replica::{Effects, Store, parse};
use crate::core::fleet::settings::Address;

/// What lies in it, and who listens.
#[derive(Default)]
pub struct Redis(Mutex<State>);

#[derive(Default)]
struct State {
    store: Store,
    subscribers: Vec<UnboundedSender<Vec<u8>>>,
}

impl Redis {
    /// Members that hear what the others invalidate.
    pub fn subscribers(&self) -> usize {
        self.with(|state| state.subscribers.len())
    }

    /// Connections that have an entry.
    pub fn entries(&self) -> usize {
        self.with(|state| state.store.entries())
    }

    /// Locks that are held.
    pub fn locks(&self) -> usize {
        self.with(|state| state.store.locks())
    }

    fn run(&self, command: &Cmd) -> Value {
        self.with(|state| {
            let mut effects = Effects::default();
            let value = state.store.run(&parse(command), &mut effects);
            for (_, message) in effects.published {
                state.subscribers.retain(|subscriber| subscriber.send(message.clone()).is_ok());
            }
            value
        })
    }

    /// No other thread goes on meanwhile.
    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The way of one member to it.
pub struct Link(pub Arc<Redis>);

impl Dial for Link {
    fn connect<'a>(
        &'a self,
        _: Option<Address>,
        _: &'a Stage,
    ) -> BoxFuture<'a, Result<Arc<dyn Commands>, RedisFailure>> {
        async move {
            yield_now().await;
            Ok(Arc::new(Self(Arc::clone(&self.0))) as Arc<dyn Commands>)
        }
        .boxed()
    }

    fn subscribe<'a>(
        &'a self,
        _: Option<Address>,
        _: &'a str,
        _: &'a Stage,
    ) -> BoxFuture<'a, Result<Subscription, RedisFailure>> {
        async move {
            yield_now().await;
            let (subscriber, queue) = unbounded_channel();
            self.0.with(|state| state.subscribers.push(subscriber));
            yield_now().await;
            // Time stands still, so that no heartbeat is due.
            let messages = unfold(queue, |mut queue| async move { Some((queue.recv().await?, queue)) });
            Ok(Subscription { messages: messages.boxed(), ping: Box::new(|| pending().boxed()) })
        }
        .boxed()
    }
}

impl Commands for Link {
    fn send<'a>(&'a self, command: &'a Cmd) -> BoxFuture<'a, Result<Value, RedisFailure>> {
        async move {
            yield_now().await;
            let answer = self.0.run(command);
            yield_now().await;
            Ok(answer.extract_error()?)
        }
        .boxed()
    }
}
