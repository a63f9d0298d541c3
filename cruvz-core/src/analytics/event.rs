//! What happens in an engine, as it happens.

use std::net::SocketAddr;

use serde::Serialize;
use tokio::sync::broadcast;

use crate::{Protocol, Role, SessionId, SessionInfo, StreamName};

/// Something that happened. Serialises to an object with a `type`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// You were too slow: this many events are lost to you.
    Lagged {
        /// How many.
        missed: u64,
    },
    /// A publisher holds the stream; nothing can be played yet.
    PublisherConnected {
        /// The stream.
        stream: StreamName,
        /// The publisher's session.
        session: Option<SessionId>,
    },
    /// The publisher is gone; viewers wait for it to come back.
    PublisherLost {
        /// The stream.
        stream: StreamName,
        /// How long they wait, in milliseconds.
        grace_ms: u64,
    },
    /// A publisher came back, or the backup took over, on the same timeline.
    PublisherReturned {
        /// The stream.
        stream: StreamName,
        /// The publisher's session.
        session: Option<SessionId>,
    },
    /// The stream reorders pictures (B-frames), and WebRTC players show pictures as they come: for them it is encoded again, or they
    /// get only those pictures that need no reordering. An encoder without B-frames (`bframes=0`, `tune=zerolatency`) spares
    /// the one, and makes a smoother picture than the other. Told once while a stream has such players.
    PicturesReordered {
        /// The stream.
        stream: StreamName,
        /// Whether it is encoded again.
        transcoded: bool,
    },
    /// A recording cannot be written now. It goes on by itself as soon as it can; live is not touched.
    RecordingFailed {
        /// The stream.
        stream: StreamName,
        /// The recording.
        recording: String,
        /// `disk_full`, `io`, `too_long` or `internal`.
        reason: &'static str,
        /// The same in words.
        detail: String,
    },
    /// Something that was live, or would have been, is missing in a recording: the publisher was away, or nothing could be written for so long
    /// that it is gone.
    RecordingGap {
        /// The stream.
        stream: StreamName,
        /// The recording.
        recording: String,
        /// How long, in milliseconds by the wall clock.
        missing_ms: u64,
    },
    /// A recording that could not be written goes on.
    RecordingResumed {
        /// The stream.
        stream: StreamName,
        /// The recording.
        recording: String,
    },
    /// A stream is being recorded.
    RecordingStarted {
        /// The stream.
        stream: StreamName,
        /// The recording.
        recording: String,
    },
    /// A recording has ended, and is whole.
    RecordingStopped {
        /// The stream.
        stream: StreamName,
        /// The recording.
        recording: String,
        /// Why, in words.
        reason: String,
    },
    /// A peer was turned away.
    Refused {
        /// How it was connected.
        protocol: Protocol,
        /// Where from.
        remote: Option<SocketAddr>,
        /// What it asked for, as far as it came.
        stream: Option<StreamName>,
        /// A short stable name of the reason, as used in metrics.
        reason: &'static str,
        /// The same in words.
        detail: String,
    },
    /// A restream target, a pull or a file that is being played changed its state.
    RemoteState {
        /// The stream.
        stream: StreamName,
        /// `push`, `pull`, or `publish` of a file.
        role: Role,
        /// The other end without secrets, or the path of the file.
        target: String,
        /// `connecting`, `running`, `waiting` or `stopped`.
        state: &'static str,
        /// Why, where there is a reason.
        detail: String,
    },
    /// A session ended.
    SessionEnded {
        /// Its last figures.
        #[serde(flatten)]
        info: Box<SessionInfo>,
        /// Why it ended.
        reason: String,
    },
    /// A session began.
    SessionOpened {
        /// Its name.
        session: SessionId,
        /// The stream it uses.
        stream: StreamName,
        /// How it is connected.
        protocol: Protocol,
        /// What it does.
        role: Role,
        /// Where its peer is.
        remote: Option<SocketAddr>,
    },
    /// A stream ended for good; its viewers were told.
    StreamEnded {
        /// The stream.
        stream: StreamName,
        /// Why.
        reason: String,
    },
    /// A stream has its first frame to start from: it can be played now.
    StreamPlayable {
        /// The stream.
        stream: StreamName,
    },
    /// The source's clock jumped, or its tracks ran apart, and the timeline was mended.
    TimelineMended {
        /// The stream.
        stream: StreamName,
        /// What was done.
        detail: String,
    },
    /// The viewers of some protocol do not get a track: it cannot carry the codec, and nothing it can carry is made of it.
    TrackUnplayable {
        /// The stream.
        stream: StreamName,
        /// The track's id.
        track: u32,
        /// The name of its codec.
        codec: &'static str,
        /// Who does not get it: see [`crate::LeftOut::by`].
        by: &'static str,
        /// Why, in words.
        reason: String,
    },
    /// The stream's tracks or their parameters changed.
    TracksChanged {
        /// The stream.
        stream: StreamName,
    },
    /// A viewer was too slow and jumped ahead to a keyframe.
    ViewerSkipped {
        /// The stream.
        stream: StreamName,
        /// The viewer's session.
        session: SessionId,
        /// Frames it did not get.
        dropped_frames: u64,
    },
}

/// Where events are made.
#[derive(Clone, Debug)]
pub(crate) struct EventSink(broadcast::Sender<Event>);

impl EventSink {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(broadcast::channel(capacity.max(1)).0)
    }

    pub(crate) fn send(&self, event: Event) {
        // An error means that nobody listens.
        let _ = self.0.send(event);
    }

    pub(crate) fn subscribe(&self) -> Events {
        Events(self.0.subscribe())
    }
}

/// A bounded feed of [`Event`]s from the moment it was made.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    /// The next event, or `None` once the engine is gone. Being too slow is an event too: [`Event::Lagged`].
    ///
    /// # Cancel safety
    /// No event is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Lagged { missed }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
