//! Connections that have no session yet. Their number is bounded, and whoever has waited longest makes room: peers that
//! connect and say nothing cannot keep out one that knows what it wants.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::{
    Protocol,
    session::gate::{Gate, Refusal},
};

/// The connections of one listener that have no session.
pub(crate) struct Lobby {
    gate: Arc<Gate>,
    protocol: Protocol,
    max: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// By arrival.
    connections: BTreeMap<u64, Arc<Connection>>,
    last_place: u64,
    closed: bool,
}

struct Connection {
    remote: SocketAddr,
    /// Set a moment after it entered, when its task has been spawned.
    task: OnceLock<AbortHandle>,
}

/// Held by a connection as long as it has no session.
pub(crate) struct Pending {
    lobby: Arc<Lobby>,
    connection: Arc<Connection>,
    place: Option<u64>,
}

impl Lobby {
    pub(crate) fn new(gate: Arc<Gate>, protocol: Protocol, max: usize) -> Arc<Self> {
        Arc::new(Self { gate, protocol, max: max.max(1), waiting: Mutex::default() })
    }

    /// Lets a connection in. Tell [`Pending::task`] who serves it.
    pub(crate) fn enter(self: &Arc<Self>, remote: SocketAddr) -> Pending {
        let connection = Arc::new(Connection { remote, task: OnceLock::new() });
        let mut pending = Pending { lobby: Arc::clone(self), connection, place: None };
        pending.enter();
        pending
    }

    /// Cuts everybody who waits, and lets nobody in any more.
    pub(crate) fn close(&self) {
        let connections = {
            let mut waiting = self.waiting.lock();
            waiting.closed = true;
            std::mem::take(&mut waiting.connections)
        };
        connections.values().for_each(|connection| connection.abort());
    }
}

impl Connection {
    fn abort(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Pending {
    /// What serves the connection, to be ended when it has to make room.
    pub(crate) fn task(&self) -> impl FnOnce(AbortHandle) + use<> {
        let connection = Arc::clone(&self.connection);
        move |task| {
            // It is set once, here.
            let _ = connection.task.set(task);
        }
    }

    /// The connection has a session now.
    pub(crate) fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            self.lobby.waiting.lock().connections.remove(&place);
        }
    }

    /// Keeps the place, or takes a new one as [`Self::enter`] does.
    pub(crate) fn stay(&mut self) -> bool {
        self.place.is_some() || self.enter()
    }

    /// The connection has no session any more and goes on, as the newest of those that wait; whoever has waited longest
    /// makes room. `false` when the engine has stopped.
    pub(crate) fn enter(&mut self) -> bool {
        self.leave();
        let oldest = {
            let mut waiting = self.lobby.waiting.lock();
            if waiting.closed {
                return false;
            }
            let full = waiting.connections.len() >= self.lobby.max;
            let oldest = if full { waiting.connections.pop_first() } else { None };
            waiting.last_place += 1;
            let place = waiting.last_place;
            waiting.connections.insert(place, Arc::clone(&self.connection));
            self.place = Some(place);
            oldest
        };
        if let Some((_, oldest)) = oldest {
            oldest.abort();
            let (protocol, max) = (self.lobby.protocol, self.lobby.max);
            self.lobby.gate.refused(Refusal {
                protocol,
                remote: Some(oldest.remote),
                stream: None,
                reason: "connection_limit",
                detail: format!("more than {max} connections without a session; this one waited longest"),
            });
        }
        true
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.leave();
    }
}
