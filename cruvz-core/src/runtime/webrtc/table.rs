//! The sessions of an engine, as HTTP names them and as the first datagram of their peer does.
//!
//! A session is made by a request and waits here for its media connection. The shard that gets the first valid connectivity check
//! takes it along; what comes to other shards later is passed on to that one. One whose client is to answer our own offer first is
//! listed from that offer on, and known to no datagram before the answer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    guest::{Guest, Over, Seated},
    mail::Mailbox,
    negotiation::etag,
};
use crate::{
    Action, StreamName,
    protocol::webrtc::{
        Credentials,
        sdp::{CounterOffer, Negotiated},
    },
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
    /// What was agreed on, once it is.
    negotiated: OnceLock<Negotiated>,
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
    /// Our side of ICE.
    pub(super) local: Credentials,
}

/// Our offer to a player whose own could not be answered, and what it gets once it answers this one.
pub(super) struct Offered {
    pub(super) counter: CounterOffer,
    pub(super) seated: Seated,
}

/// Where a session is.
enum Place {
    /// Here, until its client answers our offer.
    Offered(Box<Offered>),
    /// Here, until its peer shows up.
    Waiting(Box<Guest>),
    /// At a shard.
    At(Mailbox),
    /// It is over.
    Gone,
}

/// What waits here for a session's peer.
pub(super) enum Waiting {
    Offered(Box<Offered>),
    Guest(Box<Guest>),
}

impl Table {
    pub(super) fn new(max_pending: usize, timeout: Duration) -> Self {
        let (next_number, listed) = (AtomicU64::new(1), Mutex::default());
        Self { max_pending: max_pending.max(1), timeout, next_number, listed }
    }

    /// Lists a session that was agreed on and waits for its media connection. The oldest that waits makes room, and is returned.
    pub(super) fn insert(
        &self,
        now: Duration,
        new: NewEntry,
        negotiated: Negotiated,
        guest: impl FnOnce(&Arc<Entry>) -> Guest,
    ) -> Option<Waiting> {
        let entry = self.entry(now, new);
        entry.agree(negotiated);
        let guest = Waiting::Guest(Box::new(guest(&entry)));
        self.list(&entry, guest)
    }

    /// Lists a session whose client is to answer our offer. The oldest that waits makes room, and is returned.
    pub(super) fn offer(&self, now: Duration, new: NewEntry, offered: Offered) -> Option<Waiting> {
        let entry = self.entry(now, new);
        self.list(&entry, Waiting::Offered(Box::new(offered)))
    }

    fn entry(&self, now: Duration, new: NewEntry) -> Arc<Entry> {
        let NewEntry { id, stream, action, key, session, local } = new;
        Arc::new(Entry {
            number: self.next_number.fetch_add(1, Relaxed),
            id,
            stream,
            action,
            key,
            session,
            ice: Mutex::new((vec![local], String::new())),
            negotiated: OnceLock::new(),
            said_goodbye: AtomicBool::new(false),
            made: now,
            place: Mutex::new(Place::Gone),
        })
    }

    fn list(&self, entry: &Arc<Entry>, waiting: Waiting) -> Option<Waiting> {
        let mut listed = self.listed.lock();
        if listed.closed {
            return None;
        }
        let full = listed.pending.len() >= self.max_pending;
        let oldest =
            if full { listed.pending.first_key_value().map(|(_, oldest)| Arc::clone(oldest)) } else { None };
        let evicted = oldest.and_then(|oldest| listed.evict(&oldest));
        if matches!(waiting, Waiting::Guest(_)) {
            listed.know(entry);
        }
        *entry.place.lock() = waiting.into();
        listed.by_id.insert(entry.id.clone(), Arc::clone(entry));
        listed.pending.insert(entry.number, Arc::clone(entry));
        evicted
    }

    /// Makes a guest of a session whose client answered our offer. It waits for its media connection from then on, but no longer than
    /// if it had waited for that since the offer. Whether there was an offer to be answered (still).
    pub(super) fn answer(
        &self,
        entry: &Arc<Entry>,
        negotiated: Negotiated,
        guest: impl FnOnce(Credentials, &Negotiated, Offered) -> Guest,
    ) -> bool {
        let Some(local) = entry.ice.lock().0.last().cloned() else { return false };
        let mut listed = self.listed.lock();
        let mut place = entry.place.lock();
        match std::mem::replace(&mut *place, Place::Gone) {
            Place::Offered(offered) => *place = Place::Waiting(Box::new(guest(local, &negotiated, *offered))),
            elsewhere => {
                *place = elsewhere;
                return false;
            }
        }
        drop(place);
        entry.agree(negotiated);
        listed.know(entry);
        true
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

    /// Takes a session off the list. What waited for its peer comes back.
    pub(super) fn remove(&self, entry: &Entry) -> Option<Waiting> {
        self.listed.lock().forget(entry);
        let waiting = entry.take_waiting();
        *entry.place.lock() = Place::Gone;
        waiting
    }

    /// Takes those off the list whose media connection has not come in time, or that were told to end, and returns them.
    pub(super) fn expire(&self, now: Duration) -> Vec<Waiting> {
        let mut listed = self.listed.lock();
        let over = |entry: &Entry| {
            now.saturating_sub(entry.made) > self.timeout || entry.session.end_reason().is_some()
        };
        let gone: Vec<_> = listed.pending.values().filter(|entry| over(entry)).cloned().collect();
        gone.iter().filter_map(|entry| listed.evict(entry)).collect()
    }

    /// Takes all off the list, and lists none any more.
    pub(super) fn close(&self) -> Vec<Waiting> {
        let mut listed = self.listed.lock();
        listed.closed = true;
        let waiting: Vec<_> = listed.pending.values().cloned().collect();
        waiting.iter().filter_map(|entry| listed.evict(entry)).collect()
    }

    /// Whether any session waits for its media connection.
    pub(super) fn is_awaiting(&self) -> bool {
        !self.listed.lock().pending.is_empty()
    }
}

impl Listed {
    /// From here on datagrams find their way to it.
    fn know(&mut self, entry: &Arc<Entry>) {
        for credentials in &entry.ice.lock().0 {
            self.by_ufrag.insert(credentials.ufrag.clone(), Arc::clone(entry));
        }
    }

    fn forget(&mut self, entry: &Entry) {
        self.by_id.remove(&entry.id);
        for credentials in &entry.ice.lock().0 {
            self.by_ufrag.remove(&credentials.ufrag);
        }
        self.pending.remove(&entry.number);
    }

    /// Takes one that waits off the list and gives back what did; leaves one alone that a shard claimed meanwhile.
    fn evict(&mut self, entry: &Entry) -> Option<Waiting> {
        self.pending.remove(&entry.number);
        let waiting = entry.take_waiting()?;
        self.forget(entry);
        Some(waiting)
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
            Place::Offered(_) | Place::Gone => Err(None),
        }
    }

    /// What was agreed on, once it is.
    pub(super) fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.get()
    }

    /// Our offer, while it is to be answered.
    pub(super) fn counter_offer(&self) -> Option<CounterOffer> {
        match &*self.place.lock() {
            Place::Offered(offered) => Some(offered.counter.clone()),
            _ => None,
        }
    }

    fn agree(&self, negotiated: Negotiated) {
        self.ice.lock().1.clone_from(&negotiated.remote.ufrag);
        // It is agreed on once: who answers a second time finds no offer.
        let _ = self.negotiated.set(negotiated);
    }

    /// Takes what waits for its peer, if it still does; it is nowhere then.
    fn take_waiting(&self) -> Option<Waiting> {
        let mut place = self.place.lock();
        match std::mem::replace(&mut *place, Place::Gone) {
            Place::Waiting(guest) => Some(Waiting::Guest(guest)),
            Place::Offered(offered) => Some(Waiting::Offered(offered)),
            elsewhere => {
                *place = elsewhere;
                None
            }
        }
    }
}

impl Waiting {
    /// The session that it is of.
    pub(super) fn session(&self) -> &Arc<Session> {
        match self {
            Self::Offered(offered) => &offered.seated.session,
            Self::Guest(guest) => &guest.entry.session,
        }
    }

    /// Whether it is our offer that was not answered.
    pub(super) fn is_offer(&self) -> bool {
        matches!(self, Self::Offered(_))
    }

    /// Is over, with nobody to tell.
    pub(super) fn leave(self, over: Over) {
        match self {
            Self::Offered(mut offered) => offered.seated.session.because(over.reason),
            Self::Guest(guest) => guest.leave(over),
        }
    }
}

impl From<Waiting> for Place {
    fn from(waiting: Waiting) -> Self {
        match waiting {
            Waiting::Offered(offered) => Self::Offered(offered),
            Waiting::Guest(guest) => Self::Waiting(guest),
        }
    }
}
