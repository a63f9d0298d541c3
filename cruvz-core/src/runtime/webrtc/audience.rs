//! Who is sent the same stream by one shard: they have their turns together, when the stream has something for them.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    egress::rtp::{RtpRing, Told},
    hub::listener::Listener,
};

/// The audiences of a shard.
#[derive(Default)]
pub(super) struct Audiences {
    /// Rung when a stream has more.
    bell: Arc<Notify>,
    all: Vec<Audience>,
}

/// The viewers of one stream.
struct Audience {
    ring: Weak<RtpRing>,
    bell: Arc<Bell>,
    /// How often the bell had been rung when it was last looked at.
    rung: u64,
    told: Told,
    /// When they have their turn, if nothing comes before.
    due: Option<Duration>,
    seats: Vec<u64>,
}

/// Tells a shard that a stream has more.
struct Bell {
    shard: Arc<Notify>,
    rung: AtomicU64,
}

impl Listener for Bell {
    fn changed(&self) {
        self.rung.fetch_add(1, Relaxed);
        self.shard.notify_one();
    }
}

impl Audiences {
    /// What is rung when a stream has more.
    pub(super) fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.bell)
    }

    /// A viewer of `ring` takes its seat.
    pub(super) fn seat(&mut self, ring: &Arc<RtpRing>, number: u64) {
        let is_of = |known: &Audience| std::ptr::eq(known.ring.as_ptr(), Arc::as_ptr(ring));
        let at = self.all.iter().position(is_of).unwrap_or_else(|| {
            self.all.push(Audience::new(ring, &self.bell));
            self.all.len() - 1
        });
        self.all[at].seats.push(number);
    }

    /// A viewer has gone.
    pub(super) fn leave(&mut self, number: u64) {
        for audience in &mut self.all {
            if let Some(at) = audience.seats.iter().position(|seat| *seat == number) {
                audience.seats.swap_remove(at);
            }
        }
    }

    /// Forgets streams that nobody is sent any more.
    pub(super) fn tidy(&mut self) {
        self.all.retain(|audience| audience.ring.strong_count() > 0);
    }

    /// When there is something to do though no bell rings.
    pub(super) fn next(&self) -> Option<Duration> {
        self.all.iter().filter_map(|audience| audience.due).min()
    }

    /// Calls those whose stream has something for them now.
    pub(super) fn due(&mut self, now: Duration, mut call: impl FnMut(u64)) {
        for audience in &mut self.all {
            if audience.is_due(now) {
                audience.seats.iter().copied().for_each(&mut call);
            }
        }
    }
}

impl Audience {
    fn new(ring: &Arc<RtpRing>, shard: &Arc<Notify>) -> Self {
        let bell = Arc::new(Bell { shard: Arc::clone(shard), rung: AtomicU64::new(0) });
        let listener: Weak<Bell> = Arc::downgrade(&bell);
        ring.listen(listener);
        let ring = Arc::downgrade(ring);
        Self { ring, bell, rung: 0, told: Told::default(), due: None, seats: Vec::new() }
    }

    fn is_due(&mut self, now: Duration) -> bool {
        let rung = self.bell.rung.load(Relaxed);
        let has_more = rung != std::mem::replace(&mut self.rung, rung);
        if !has_more && self.due.is_none_or(|due| due > now) {
            return false;
        }
        self.due = None;
        let Some(ring) = self.ring.upgrade() else { return false };
        let mut next = || ring.due(now, &mut self.told);
        self.due = next();
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            // What is left is sound that has not waited for long enough.
            self.due = next();
        }
        is_due
    }
}
