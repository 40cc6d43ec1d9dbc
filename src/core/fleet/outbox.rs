//! Invalidations of this process that Redis does not know of yet. Each is kept until it does, or until nothing that it
//! is about can be left there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::crypto::{Name, Tag};

/// Connections that are remembered. Beyond that nothing in Redis is trusted until all of it is over.
const MAX_ORDERS: usize = 10_000;

/// What is to be dropped: one token, or whatever there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Token(Tag),
    Any,
}

/// The orders that are open.
#[derive(Debug)]
pub struct Orders {
    longest_life: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_number: u64,
    open: HashMap<Name, Open>,
    trust_nothing_until: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    number: u64,
    order: Order,
    until: Instant,
    /// Held by whoever carries the order out.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// An order to carry out.
#[derive(Debug)]
pub struct Task {
    pub order: Order,
    number: u64,
    pub turn: Arc<tokio::sync::Mutex<()>>,
}

impl Orders {
    /// None yet. Nothing in Redis outlasts the longest life.
    pub fn new(longest_life: Duration) -> Self {
        Self { longest_life, state: Mutex::default() }
    }

    /// Takes an order. Two different ones make one for whatever there is.
    pub fn add(&self, name: Name, order: Order) {
        let mut state = self.state();
        let now = Instant::now();
        let until = now + self.longest_life;
        state.last_number += 1;
        let number = state.last_number;
        if let Some(open) = state.open.get_mut(&name) {
            open.order = if open.order == order { order } else { Order::Any };
            (open.number, open.until) = (number, until);
            return;
        }
        if state.open.len() >= MAX_ORDERS {
            state.open.retain(|_, open| open.until > now);
        }
        if state.open.len() >= MAX_ORDERS {
            state.trust_nothing_until = Some(until);
        } else {
            state.open.insert(name, Open { number, order, until, turn: Arc::default() });
        }
    }

    /// What is to be done before anything about the connection may be read.
    pub fn open(&self, name: &Name) -> Option<Task> {
        let mut state = self.state();
        let open = state.open.get(name)?;
        if open.until <= Instant::now() {
            state.open.remove(name);
            return None;
        }
        Some(Task { order: open.order, number: open.number, turn: Arc::clone(&open.turn) })
    }

    /// The order was carried out. One that came meanwhile stays.
    pub fn close(&self, name: &Name, task: &Task) {
        let mut state = self.state();
        if state.open.get(name).is_some_and(|open| open.number == task.number) {
            state.open.remove(name);
        }
    }

    /// The connections with an order.
    pub fn names(&self) -> Vec<Name> {
        self.state().open.keys().copied().collect()
    }

    /// Whether too many orders came to know what in Redis is good.
    pub fn trusts_nothing(&self) -> bool {
        let mut state = self.state();
        state.trust_nothing_until.take_if(|until| *until <= Instant::now());
        state.trust_nothing_until.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::core::fleet::crypto::Keys;
    use crate::core::tokens::key::{Key, OwnerKind};

    const LIFE: Duration = Duration::from_secs(60);

    fn name(id: usize) -> Name {
        Keys::derive(b"secret", "pk")
            .unwrap()
            .name("p", &Key::new(OwnerKind::User, &id.to_string(), "s").unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_stays_until_it_was_carried_out_or_is_pointless() {
        let orders = Orders::new(LIFE);
        orders.add(name(1), Order::Token([1; 16]));
        let task = orders.open(&name(1)).unwrap();
        assert_eq!(task.order, Order::Token([1; 16]));
        orders.add(name(1), Order::Token([1; 16]));
        orders.close(&name(1), &task);
        let task = orders.open(&name(1)).expect("the one that came meanwhile");
        orders.close(&name(1), &task);
        assert!(orders.open(&name(1)).is_none());
        orders.add(name(1), Order::Any);
        advance(LIFE).await;
        assert!(orders.open(&name(1)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn two_tokens_of_one_connection_make_it_any() {
        let orders = Orders::new(LIFE);
        for tag in [[1; 16], [1; 16], [2; 16]] {
            orders.add(name(1), Order::Token(tag));
        }
        assert_eq!(orders.open(&name(1)).unwrap().order, Order::Any);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_make_everything_suspect_for_a_life() {
        let orders = Orders::new(LIFE);
        for id in 0..=MAX_ORDERS {
            assert!(!orders.trusts_nothing());
            orders.add(name(id), Order::Any);
        }
        assert_eq!(orders.names().len(), MAX_ORDERS);
        assert!(orders.trusts_nothing());
        advance(LIFE).await;
        assert!(!orders.trusts_nothing());
    }
}
