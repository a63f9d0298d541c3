//! All streams of an engine, by name.

use std::{
    collections::HashMap, num::NonZeroUsize, sync::Arc, thread::available_parallelism, time::Duration,
};

use cruvz_media::Tracks;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{name::StreamName, publisher::Publisher, stream::LiveStream, subscriber::Subscriber};
use crate::{
    Error, ErrorKind, Role,
    analytics::event::EventSink,
    config::{EgressConfig, HubConfig},
    runtime::clock::Clock,
    session::OpenSession,
};

/// What every stream needs of its engine.
#[derive(Debug)]
pub(crate) struct HubContext {
    pub(crate) clock: Clock,
    pub(crate) config: HubConfig,
    pub(crate) egress: EgressConfig,
    pub(crate) events: EventSink,
    pub(crate) runtime: Handle,
    pub(crate) video_places: Places,
    streams: Mutex<HashMap<StreamName, LiveStream>>,
}

impl HubContext {
    /// Takes `stream` off the list, unless another of its name stands there.
    pub(super) fn forget(&self, stream: &LiveStream) {
        self.forget_if(stream, |_| true);
    }

    pub(super) fn forget_if(&self, stream: &LiveStream, condition: impl FnOnce(&LiveStream) -> bool) {
        let mut streams = self.streams.lock();
        if streams.get(stream.name()).is_some_and(|listed| listed.same(stream)) && condition(stream) {
            streams.remove(stream.name());
        }
    }
}

/// How many streams may have their video made at once: it is the work that a machine can run out of.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    count: usize,
}

/// One of them, taken.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(count: usize) -> Self {
        let count = count.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(count)), count }
    }

    /// As many as are configured, or as this machine has cores for.
    fn of(egress: &EgressConfig) -> Self {
        match egress.max_video_transcodes {
            0 => Self::new(2 * available_parallelism().map_or(1, NonZeroUsize::get)),
            count => Self::new(count),
        }
    }

    /// One that is free.
    ///
    /// # Errors
    /// In words, if there is none.
    pub(crate) fn take(&self) -> Result<Place, String> {
        let permit = Arc::clone(&self.free).try_acquire_owned();
        let full = |_| format!("transcoding video of {} streams is allowed, and done", self.count);
        permit.map(|permit| Place { _permit: permit }).map_err(full)
    }
}

/// Somebody's interest in a stream, which keeps it on the list.
#[derive(Debug)]
pub(super) struct Interest(pub(super) LiveStream);

impl Interest {
    /// To be made only while the list is locked, or the stream could leave it meanwhile, unless it was published already: then it
    /// stays until it ends.
    pub(super) fn new(stream: &LiveStream) -> Self {
        stream.add_interest();
        Self(stream.clone())
    }

    async fn playable(&self, timeout: Duration) -> Result<(), Error> {
        let name = self.0.name();
        match tokio::time::timeout(timeout, self.0.wait_playable()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::new(ErrorKind::Closed, format!("{name} ended"))),
            Err(_) if self.0.is_published() => {
                let reason =
                    format!("{name} has a publisher, but nothing came that a viewer could start from");
                Err(Error::new(ErrorKind::NotFound, reason))
            }
            Err(_) => Err(Error::new(ErrorKind::NotFound, format!("nobody publishes {name}"))),
        }
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.0.remove_interest();
    }
}

/// The streams of an engine.
#[derive(Clone, Debug)]
pub(crate) struct Hub(Arc<HubContext>);

impl Hub {
    pub(crate) fn new(
        clock: Clock,
        config: HubConfig,
        egress: EgressConfig,
        events: EventSink,
        runtime: Handle,
    ) -> Self {
        let (video_places, streams) = (Places::of(&egress), Mutex::default());
        Self(Arc::new(HubContext { clock, config, egress, events, runtime, video_places, streams }))
    }

    /// The streams of that engine.
    pub(super) fn of(context: Arc<HubContext>) -> Self {
        Self(context)
    }

    /// Every stream, by name.
    pub(crate) fn list(&self) -> Vec<LiveStream> {
        let mut streams: Vec<_> = self.0.streams.lock().values().cloned().collect();
        streams.sort_by(|a, b| a.name().cmp(b.name()));
        streams
    }

    pub(crate) fn get(&self, name: &StreamName) -> Option<LiveStream> {
        self.0.streams.lock().get(name).cloned()
    }

    /// The stream of that name, made if there is none, and kept on the list as long as the interest lasts.
    ///
    /// A publisher is not kept out by names that viewers wait for.
    pub(super) fn interest(&self, name: &StreamName, role: Role) -> Result<Interest, Error> {
        let mut streams = self.0.streams.lock();
        // One that has ended is about to leave the list.
        if let Some(stream) = streams.get(name).filter(|stream| !stream.has_ended()) {
            return Ok(Interest::new(stream));
        }
        let limit = self.0.config.max_streams;
        let full = match role {
            Role::Publish if streams.len() >= limit => {
                streams.values().filter(|stream| !stream.is_awaited()).count() >= limit
            }
            _ => streams.len() >= limit,
        };
        if full {
            return Err(Error::new(ErrorKind::LimitExceeded, format!("all {limit} streams are in use")));
        }
        let stream = LiveStream::awaited(name.clone(), Arc::clone(&self.0));
        streams.insert(name.clone(), stream.clone());
        Ok(Interest::new(&stream))
    }

    /// Lets a publisher in.
    pub(crate) fn publish(&self, tracks: Tracks, session: OpenSession) -> Result<Publisher, Error> {
        let interest = self.interest(&session.stream, Role::Publish)?;
        Publisher::attach(interest.0.clone(), tracks, session)
    }

    /// The stream `name`, as soon as it can be played.
    ///
    /// # Errors
    /// As [`Self::subscribe`].
    pub(crate) async fn playable(&self, name: &StreamName, timeout: Duration) -> Result<LiveStream, Error> {
        let interest = self.interest(name, Role::Play)?;
        interest.playable(timeout).await?;
        Ok(interest.0.clone())
    }

    /// A cursor on `name`, as soon as the stream can be played.
    ///
    /// # Errors
    /// `NotFound` when nobody published within `timeout`; `LimitExceeded` when there are too many streams.
    pub(crate) async fn subscribe(
        &self,
        name: &StreamName,
        timeout: Duration,
        session: Option<OpenSession>,
    ) -> Result<Subscriber, Error> {
        let interest = self.interest(name, Role::Play)?;
        interest.playable(timeout).await?;
        let egress = &self.0.egress;
        Ok(Subscriber::new(interest, egress.max_lag_us(), egress.overflow, session, self.0.events.clone()))
    }

    pub(crate) fn end_all(&self, reason: &str) {
        for stream in self.list() {
            stream.end(reason);
        }
    }
}
