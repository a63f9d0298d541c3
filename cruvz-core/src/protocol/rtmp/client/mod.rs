//! A connection to a server, to publish one stream or to play one.
//!
//! Bytes from the socket go into [`ClientConnection::receive`];
//! [`poll_event`](ClientConnection::poll_event) says how it goes and what is played;
//! [`poll_transmit`](ClientConnection::poll_transmit) gives bytes for the socket. The first are there at once:
//!
//! ```
//! use cruvz_core::protocol::rtmp::client::{ClientConfig, ClientConnection, Role};
//!
//! let url = "rtmp://example.com/live/cam".parse()?;
//! let mut connection = ClientConnection::new(ClientConfig::default(), url, Role::Publish, 42);
//! assert_eq!(connection.poll_transmit().map(|bytes| bytes.len()), Some(1537));
//! # Ok::<(), cruvz_core::protocol::rtmp::UrlError>(())
//! ```
//!
//! After an error, or once [`is_closing`](ClientConnection::is_closing), write what `poll_transmit` still gives and
//! close the socket.

mod config;
mod status;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use cruvz_media::amf0::{Object, Value};

pub use config::{ClientConfig, Role};

use super::chunk::Message;
use super::command::Command;
use super::link::Link;
use super::liveness::{Liveness, Verdict};
use super::message::{DATA_STATUS, META_DATA, SAMPLE_ACCESS, SET_DATA_FRAME, UserControl, kind};
use super::{ClientHandshake, Error, MediaKind, MediaMessage, Status, Url};

/// The calls whose answers matter, by transaction id.
mod transaction {
    pub(super) const CONNECT: f64 = 1.0;
    pub(super) const RELEASE_STREAM: f64 = 2.0;
    pub(super) const FC_PUBLISH: f64 = 3.0;
    pub(super) const CREATE_STREAM: f64 = 4.0;
    pub(super) const START: f64 = 5.0;
    pub(super) const END: f64 = 6.0;
}

/// Something that happened on a client's connection, in order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// Publishing or playing has started.
    Started {
        /// The message stream that media goes on.
        stream_id: u32,
    },
    /// Audio, video or data of the stream being played.
    Message(MediaMessage),
    /// The server refused before anything started. The connection is over.
    Rejected(Status),
    /// The server ended what had started: the publisher has gone, say. The connection is over.
    Ended(Status),
    /// The server asks to connect anew (E-RTMP v2, "Reconnect Request"). The connection goes on until it is closed.
    ReconnectRequested {
        /// Where to; where it was, if the server does not say.
        tc_url: Option<String>,
        /// Why, for people.
        description: String,
    },
}

enum Phase {
    Handshake(Box<ClientHandshake>),
    /// Waiting for the answer to `connect`.
    Connect,
    /// Waiting for the answer to `createStream`.
    Create,
    /// Waiting for the status that publishing or playing starts.
    Start,
    Started,
    Closing,
}

/// A connection to a server as a state machine. See the [module](self).
pub struct ClientConnection {
    config: ClientConfig,
    url: Url,
    role: Role,
    phase: Phase,
    link: Link,
    stream_id: u32,
    events: VecDeque<ClientEvent>,
    liveness: Liveness,
}

impl ClientConnection {
    /// A client whose socket has just connected to the URL's host and port. `seed` fills the handshake and should
    /// differ between connections.
    pub fn new(config: ClientConfig, url: Url, role: Role, seed: u64) -> Self {
        let mut link = Link::new(&config.limits, config.window_ack_bytes);
        let handshake = ClientHandshake::new(config.handshake, seed, link.out());
        let phase = Phase::Handshake(Box::new(handshake));
        Self {
            config,
            url,
            role,
            phase,
            link,
            stream_id: 0,
            events: VecDeque::new(),
            liveness: Liveness::default(),
        }
    }

    /// Takes bytes from the server, all of them.
    ///
    /// # Errors
    /// What breaks the protocol or a limit. The connection must then be closed.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.liveness.hear();
        let result = self.process(bytes);
        if result.is_err() {
            self.phase = Phase::Closing;
        }
        result
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Bytes for the server: whole messages, in order. Media serialised elsewhere, with
    /// [`ClientConfig::chunk_size`] and the stream id of [`ClientEvent::Started`], may go between two pieces.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.link.take_out()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do at the earliest, counted from the start
    /// of the connection. A later call does no harm.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            Phase::Closing => None,
            Phase::Started => Some(self.liveness.next_look(self.config.ping_after, self.config.idle_timeout)),
            _ => Some(self.config.start_timeout),
        }
    }

    /// Tells the time, counted from the start of the connection. Silence is judged only here, so call it at least
    /// every few seconds.
    ///
    /// # Errors
    /// [`Error::Timeout`] where the server has not done in time what the connection waits for.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), Error> {
        let verdict = self.liveness.judge(now, self.config.ping_after, self.config.idle_timeout);
        let late = match self.phase {
            Phase::Closing => return Ok(()),
            Phase::Started => (verdict == Verdict::Dead).then_some("sign of life"),
            _ => (now >= self.config.start_timeout).then_some("start of the stream"),
        };
        if let Some(what) = late {
            self.phase = Phase::Closing;
            return Err(Error::Timeout(what));
        }
        if verdict == Verdict::Ping && matches!(self.phase, Phase::Started) {
            self.link.send_user_control(UserControl::PingRequest(now.as_millis() as u32));
        }
        Ok(())
    }

    /// Whether the connection is to be closed once everything from [`poll_transmit`](Self::poll_transmit) is sent.
    pub const fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing)
    }

    /// Bytes received after the handshake.
    pub const fn received_bytes(&self) -> u64 {
        self.link.received_bytes()
    }

    /// Publishes one message; its payload is `parts` one after the other. `onMetaData` gets the `@setDataFrame`
    /// before it that servers want. It waits for [`poll_transmit`](Self::poll_transmit), so do not send faster
    /// than the socket takes.
    ///
    /// # Errors
    /// [`Error::NotStarted`] before [`ClientEvent::Started`], for a player and once closing;
    /// [`Error::MessageTooLong`] beyond 16 MiB - 1.
    pub fn send(&mut self, kind: MediaKind, timestamp_ms: u32, parts: &[&[u8]]) -> Result<(), Error> {
        if !matches!((&self.phase, self.role), (Phase::Started, Role::Publish)) {
            return Err(Error::NotStarted);
        }
        let header = kind.header(timestamp_ms, self.stream_id);
        let is_metadata = parts.first().is_some_and(|first| first.starts_with(META_DATA));
        if kind == MediaKind::Data && is_metadata {
            let parts: Vec<&[u8]> = [SET_DATA_FRAME].into_iter().chain(parts.iter().copied()).collect();
            return self.link.send_media(&header, &parts);
        }
        self.link.send_media(&header, parts)
    }

    /// Ends the stream politely: says so to the server, as far as things had come, and closes.
    pub fn close(&mut self) {
        if matches!(self.phase, Phase::Start | Phase::Started) {
            let name = Value::from(self.url.name());
            if self.role == Role::Publish {
                self.call(0, "FCUnpublish", transaction::END, vec![Value::Null, name]);
            }
            let stream_id = Value::from(self.stream_id);
            self.call(0, "deleteStream", 0.0, vec![Value::Null, stream_id]);
        }
        self.phase = Phase::Closing;
    }

    fn process(&mut self, mut input: &[u8]) -> Result<(), Error> {
        if let Phase::Handshake(handshake) = &mut self.phase {
            handshake.receive(&mut input, self.link.out())?;
            if !handshake.is_done() {
                return Ok(());
            }
            self.connect();
        }
        while !self.is_closing()
            && let Some(message) = self.link.read(&mut input)?
        {
            self.on_message(message)?;
        }
        Ok(())
    }

    fn call(&mut self, stream_id: u32, name: &str, transaction_id: f64, values: Vec<Value>) {
        self.link.send_command(stream_id, &Command::new(name, transaction_id, values));
    }

    fn connect(&mut self) {
        self.phase = Phase::Connect;
        let mut object = Object::new()
            .with("app", self.url.app())
            .with("flashVer", self.config.flash_ver.as_str())
            .with("tcUrl", self.url.tc_url())
            .with("fpad", false)
            .with("capabilities", 239.0)
            // All codecs of FLV, as Flash Player says.
            .with("audioCodecs", 3575.0)
            .with("videoCodecs", 252.0)
            .with("videoFunction", 1.0)
            .with("objectEncoding", 0.0);
        if self.role == Role::Publish {
            object.set("type", "nonprivate");
        }
        self.config.capabilities.add_to(&mut object);
        self.call(0, "connect", transaction::CONNECT, vec![Value::Object(object)]);
    }

    fn on_message(&mut self, message: Message) -> Result<(), Error> {
        if Command::is_in(&message) {
            let command = Command::parse(&message)?;
            return self.on_command(&command);
        }
        if message.header.kind == kind::USER_CONTROL {
            self.on_user_control(UserControl::parse(&message.payload)?);
            return Ok(());
        }
        if self.role == Role::Play
            && let Some(media) = MediaMessage::from_message(message)
            && ![SAMPLE_ACCESS, DATA_STATUS].iter().any(|head| media.payload.starts_with(head))
        {
            // Some servers send media without saying that playing starts.
            if matches!(self.phase, Phase::Start) && media.kind != MediaKind::Data {
                self.start();
            }
            self.events.push_back(ClientEvent::Message(media));
        }
        Ok(())
    }

    /// The server has connected us: create the stream.
    fn create_stream(&mut self) {
        self.phase = Phase::Create;
        self.link.send_window(self.config.window_ack_bytes);
        self.link.set_out_chunk_size(self.config.chunk_size);
        if self.role == Role::Publish {
            let name = || vec![Value::Null, self.url.name().into()];
            let (release, publish) = (name(), name());
            self.call(0, "releaseStream", transaction::RELEASE_STREAM, release);
            self.call(0, "FCPublish", transaction::FC_PUBLISH, publish);
        }
        self.call(0, "createStream", transaction::CREATE_STREAM, vec![Value::Null]);
    }

    /// The server has created the stream: publish or play on it.
    fn request(&mut self, stream_id: u32) {
        self.phase = Phase::Start;
        self.stream_id = stream_id;
        // What is played may be large; what a server says to a publisher is not.
        self.link.reader().set_authorized(&self.config.limits, self.role == Role::Play);
        let name = Value::from(self.url.name());
        match self.role {
            Role::Publish => {
                self.call(
                    stream_id,
                    "publish",
                    transaction::START,
                    vec![Value::Null, name, Value::from("live")],
                );
            }
            Role::Play => {
                // -2: the live stream of that name or else the recorded one (§7.2.2.1).
                let values = vec![Value::Null, name, Value::from(-2.0)];
                self.call(stream_id, "play", transaction::START, values);
                self.link.send_user_control(UserControl::SetBufferLength(stream_id, self.config.buffer_ms));
            }
        }
    }

    fn start(&mut self) {
        self.phase = Phase::Started;
        self.events.push_back(ClientEvent::Started { stream_id: self.stream_id });
    }
}
