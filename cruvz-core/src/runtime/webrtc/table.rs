//! The sessions of an engine, as HTTP names them and as the first datagram of their peer does.
//!
//! A session is made by a request and waits here for its media connection. The shard that gets the first valid connectivity check
//! takes it along; what comes to other shards later is passed on to that one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{guest::Guest, mail::Mailbox, negotiation::etag};
use crate::{
    Action, StreamName,
    protocol::webrtc::{Credentials, sdp::Negotiated},
    session::{Session, access::StreamKey},
};

/// ICE sessions by whose names datagrams still find their way: the newest, and those that it replaces.
const MAX_ICE_SESSIONS: usize = 4;

/// Every session of an engine.
pub(super) struct Table {
    max_pending: usize,
    timeout: Duration,
    next_number: AtomicU64,
    listed: Mutex<Listed>,
}

#[derive(Default)]
struct Listed {
    by_id: HashMap<String, Arc<Entry>>,
    by_ufrag: HashMap<String, Arc<Entry>>,
    /// Those whose media connection is not there yet, by number and so by age.
    pending: BTreeMap<u64, Arc<Entry>>,
    closed: bool,
}

/// A session as it is listed.
pub(super) struct Entry {
    pub(super) number: u64,
    /// What its URL ends in.
    pub(super) id: String,
    pub(super) stream: StreamName,
    pub(super) action: Action,
    /// What its offer presented.
    pub(super) key: Option<StreamKey>,
    pub(super) session: Arc<Session>,
    pub(super) negotiated: Arc<Negotiated>,
    /// Whether its client said goodbye over HTTP.
    pub(super) said_goodbye: AtomicBool,
    made: Duration,
    /// Our side of its ICE sessions, the newest last, and the name of the peer's.
    ice: Mutex<(Vec<Credentials>, String)>,
    place: Mutex<Place>,
}

/// What a new entry is made of.
pub(super) struct NewEntry {
    pub(super) id: String,
    pub(super) stream: StreamName,
    pub(super) action: Action,
    pub(super) key: Option<StreamKey>,
    pub(super) session: Arc<Session>,
    pub(super) negotiated: Arc<Negotiated>,
    /// Our side of ICE.
    pub(super) local: Credentials,
}

/// Where a session is.
pub(super) enum Place {
    /// Here, until its peer shows up.
    Waiting(Box<Guest>),
    /// At a shard.
    At(Mailbox),
    /// It is over.
    Gone,
}

impl Table {
    pub(super) fn new(max_pending: usize, timeout: Duration) -> Self {
        let (next_number, listed) = (AtomicU64::new(1), Mutex::default());
        Self { max_pending: max_pending.max(1), timeout, next_number, listed }
    }

    /// Lists a session that waits for its media connection. The oldest that waits makes room, and is returned.
    pub(super) fn insert(
        &self,
        now: Duration,
        new: NewEntry,
        guest: impl FnOnce(&Arc<Entry>) -> Guest,
    ) -> Option<Box<Guest>> {
        let NewEntry { id, stream, action, key, session, negotiated, local } = new;
        let ufrag = local.ufrag.clone();
        let entry = Arc::new(Entry {
            number: self.next_number.fetch_add(1, Relaxed),
            id,
            stream,
            action,
            key,
            session,
            ice: Mutex::new((vec![local], negotiated.remote.ufrag.clone())),
            negotiated,
            said_goodbye: AtomicBool::new(false),
            made: now,
            place: Mutex::new(Place::Gone),
        });
        let guest = Box::new(guest(&entry));
        let mut listed = self.listed.lock();
        if listed.closed {
            return None;
        }
        *entry.place.lock() = Place::Waiting(guest);
        let full = listed.pending.len() >= self.max_pending;
        let oldest =
            if full { listed.pending.first_key_value().map(|(_, oldest)| Arc::clone(oldest)) } else { None };
        let evicted = oldest.and_then(|oldest| listed.evict(&oldest));
        listed.by_id.insert(entry.id.clone(), Arc::clone(&entry));
        listed.by_ufrag.insert(ufrag, Arc::clone(&entry));
        listed.pending.insert(entry.number, entry);
        evicted
    }

    /// The session of that URL.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Entry>> {
        self.listed.lock().by_id.get(id).cloned()
    }

    /// The session whose side of ICE here is called `ufrag`.
    pub(super) fn of_ufrag(&self, ufrag: &str) -> Option<Arc<Entry>> {
        self.listed.lock().by_ufrag.get(ufrag).cloned()
    }

    /// Lets `mailbox`'s shard have a session that waits: the guest, if it is the first to ask.
    pub(super) fn claim(&self, entry: &Entry, mailbox: &Mailbox) -> Option<Box<Guest>> {
        let mut place = entry.place.lock();
        match std::mem::replace(&mut *place, Place::At(mailbox.clone())) {
            Place::Waiting(guest) => {
                drop(place);
                self.listed.lock().pending.remove(&entry.number);
                Some(guest)
            }
            elsewhere => {
                *place = elsewhere;
                None
            }
        }
    }

    /// Lists a new side of ICE for a session. Datagrams of the one before are still known as its.
    pub(super) fn restart(&self, entry: &Arc<Entry>, local: Credentials, remote: &str) {
        let mut listed = self.listed.lock();
        let (ice, remote_ufrag) = &mut *entry.ice.lock();
        *remote_ufrag = remote.to_owned();
        listed.by_ufrag.insert(local.ufrag.clone(), Arc::clone(entry));
        ice.push(local);
        if ice.len() > MAX_ICE_SESSIONS {
            listed.by_ufrag.remove(&ice.remove(0).ufrag);
        }
    }

    /// Takes a session off the list. Its guest comes back if it still waited.
    pub(super) fn remove(&self, entry: &Entry) -> Option<Box<Guest>> {
        self.listed.lock().forget(entry);
        let guest = entry.take_waiting();
        *entry.place.lock() = Place::Gone;
        guest
    }

    /// Takes those off the list whose media connection has not come in time, or that were told to end, and returns them.
    pub(super) fn expire(&self, now: Duration) -> Vec<Guest> {
        let mut listed = self.listed.lock();
        let over = |entry: &Entry| {
            now.saturating_sub(entry.made) > self.timeout || entry.session.end_reason().is_some()
        };
        let gone: Vec<_> = listed.pending.values().filter(|entry| over(entry)).cloned().collect();
        gone.iter().filter_map(|entry| listed.evict(entry).map(|guest| *guest)).collect()
    }

    /// Takes all off the list, and lists none any more.
    pub(super) fn close(&self) -> Vec<Guest> {
        let mut listed = self.listed.lock();
        listed.closed = true;
        let waiting: Vec<_> = listed.pending.values().cloned().collect();
        waiting.iter().filter_map(|entry| listed.evict(entry).map(|guest| *guest)).collect()
    }

    /// Whether any session waits for its media connection.
    pub(super) fn is_awaiting(&self) -> bool {
        !self.listed.lock().pending.is_empty()
    }
}

impl Listed {
    fn forget(&mut self, entry: &Entry) {
        self.by_id.remove(&entry.id);
        for credentials in &entry.ice.lock().0 {
            self.by_ufrag.remove(&credentials.ufrag);
        }
        self.pending.remove(&entry.number);
    }

    /// Takes one that waits off the list and gives its guest back; leaves one alone that a shard claimed meanwhile.
    fn evict(&mut self, entry: &Entry) -> Option<Box<Guest>> {
        self.pending.remove(&entry.number);
        let guest = entry.take_waiting()?;
        self.forget(entry);
        Some(guest)
    }
}

impl Entry {
    /// The entity tag of its ICE session: a new one with each.
    pub(super) fn etag(&self) -> String {
        self.ice.lock().0.last().map(etag).unwrap_or_default()
    }

    /// What the peer calls its side of ICE.
    pub(super) fn remote_ufrag(&self) -> String {
        self.ice.lock().1.clone()
    }

    /// The password that checks for `ufrag` are made with.
    pub(super) fn password(&self, ufrag: &str) -> Option<String> {
        self.ice
            .lock()
            .0
            .iter()
            .find(|credentials| credentials.ufrag == ufrag)
            .map(|credentials| credentials.pwd.clone())
    }

    /// Does something to its guest while that waits, or says where it is.
    pub(super) fn at<T>(&self, waiting: impl FnOnce(&mut Guest) -> T) -> Result<T, Option<Mailbox>> {
        match &mut *self.place.lock() {
            Place::Waiting(guest) => Ok(waiting(guest)),
            Place::At(mailbox) => Err(Some(mailbox.clone())),
            Place::Gone => Err(None),
        }
    }

    /// Takes its guest, if that still waits; it is nowhere then.
    fn take_waiting(&self) -> Option<Box<Guest>> {
        let mut place = self.place.lock();
        match std::mem::replace(&mut *place, Place::Gone) {
            Place::Waiting(guest) => Some(guest),
            elsewhere => {
                *place = elsewhere;
                None
            }
        }
    }
}
