//! What a server's connection tells its driver.

use crate::protocol::rtmp::{ConnectRequest, MediaKind, MediaMessage, Params};

/// Something that happened on a connection, in order.
///
/// After one of the three requests nothing more comes until it is decided.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The peer connects to an application: decide with
    /// [`accept_connect`](super::ServerConnection::accept_connect) or
    /// [`reject_connect`](super::ServerConnection::reject_connect).
    ConnectRequested(Box<ConnectRequest>),
    /// The peer wants to publish: decide with [`accept_publish`](super::ServerConnection::accept_publish) or
    /// [`reject_publish`](super::ServerConnection::reject_publish).
    PublishRequested(Box<PublishRequest>),
    /// The peer wants to play: decide with [`accept_play`](super::ServerConnection::accept_play) or
    /// [`reject_play`](super::ServerConnection::reject_play).
    PlayRequested(Box<PlayRequest>),
    /// Audio, video or data of a stream that the peer publishes.
    Message(MediaMessage),
    /// The peer has ended a publication that was accepted.
    PublishStopped {
        /// The message stream.
        stream_id: u32,
    },
    /// The peer has ended playing that was accepted.
    PlayStopped {
        /// The message stream.
        stream_id: u32,
    },
    /// A player pauses or goes on. It has been answered; sending less is up to the driver.
    Paused {
        /// The message stream.
        stream_id: u32,
        /// Whether it pauses.
        paused: bool,
    },
    /// A player wants, or no longer wants, audio or video (`receiveAudio`, `receiveVideo`).
    Wanted {
        /// The message stream.
        stream_id: u32,
        /// Audio or video.
        kind: MediaKind,
        /// Whether it is wanted.
        wanted: bool,
    },
}

/// What kind of publication is asked for. A live server may take them all for live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PublishMode {
    /// Live only. Also what an unknown or missing mode means.
    #[default]
    Live,
    /// To be recorded in a new file.
    Record,
    /// To be added to a recording.
    Append,
}

/// A `publish` command.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishRequest {
    /// The message stream that media will come on.
    pub stream_id: u32,
    /// The application, as in [`ConnectRequest::app`].
    pub app: String,
    /// The name, without query and outer slashes. Never empty.
    pub name: String,
    /// The queries of the name and then of the application: `key?token=…`. May hold secrets.
    pub params: Params,
    /// What kind of publication.
    pub mode: PublishMode,
}

/// A `play` command.
#[derive(Clone, Debug, PartialEq)]
pub struct PlayRequest {
    /// The message stream that media must go out on; 1 for nearly every player.
    pub stream_id: u32,
    /// The application, as in [`ConnectRequest::app`].
    pub app: String,
    /// The name, without query and outer slashes. Never empty.
    pub name: String,
    /// The queries of the name and then of the application.
    pub params: Params,
    /// Where to start, in seconds: -2 live or else recorded (the default), -1 live only, from 0 on recorded.
    pub start_s: f64,
    /// How much to play, in seconds; -1 all of it (the default).
    pub duration_s: f64,
}
