//! One client's connection, seen from the server.
//!
//! Bytes from the socket go into [`ServerConnection::receive`]; [`poll_event`](ServerConnection::poll_event) says
//! what the peer wants and sends; [`poll_transmit`](ServerConnection::poll_transmit) gives bytes for the socket.
//! The driver owns the socket, the clock and every decision:
//!
//! ```
//! use std::sync::Arc;
//! use cruvz_core::protocol::rtmp::{Error, server::{Event, ServerConfig, ServerConnection}};
//!
//! fn step(connection: &mut ServerConnection, bytes: &[u8], mut send: impl FnMut(&[u8])) -> Result<(), Error> {
//!     connection.receive(bytes)?;
//!     while let Some(event) = connection.poll_event() {
//!         match event {
//!             Event::ConnectRequested(_) => connection.accept_connect()?,
//!             Event::PublishRequested(request) if request.name == "cam" => connection.accept_publish()?,
//!             Event::PublishRequested(_) => {
//!                 connection.reject_publish("NetStream.Publish.BadName", "try another name")?;
//!             }
//!             Event::PlayRequested(_) => connection.accept_play()?,
//!             _ => {}
//!         }
//!     }
//!     while let Some(bytes) = connection.poll_transmit() {
//!         send(&bytes);
//!     }
//!     Ok(())
//! }
//!
//! let mut connection = ServerConnection::new(Arc::new(ServerConfig::default()), 42);
//! assert!(step(&mut connection, b"GET / HTTP/1.1", |_| {}).is_err());
//! ```
//!
//! - Each piece from `poll_transmit` is whole messages. A driver may write media that was serialised elsewhere
//!   (by [`write_message`](super::chunk::write_message) with [`ServerConfig::chunk_size`]) between two pieces, once
//!   playing is accepted and all pieces up to then are written.
//! - While a request waits for its decision, what the peer sends is kept, up to
//!   [`Limits::unauthorized_buffered_bytes`](super::Limits::unauthorized_buffered_bytes); better not to read.
//! - After an error, or once [`is_closing`](ServerConnection::is_closing), write what `poll_transmit` still gives
//!   and close the socket.

mod call;
mod config;
mod event;
mod play;
mod publish;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cruvz_media::amf0::{Object, Value};

pub use config::ServerConfig;
pub use event::{Event, PlayRequest, PublishMode, PublishRequest};

use super::Params;
use super::chunk::Message;
use super::command::{Command, code, status_object};
use super::link::Link;
use super::liveness::{Liveness, Verdict};
use super::message::{MediaMessage, UserControl};
use super::{Error, ServerHandshake};

/// How far the connection has come.
enum Phase {
    Handshake(Box<ServerHandshake>),
    /// The first command must be `connect`.
    Connect,
    Connected,
    /// Nothing more is read.
    Closing,
}

/// What the driver has been asked and has not decided.
#[derive(Clone, Copy, PartialEq)]
enum Pending {
    Connect { transaction_id: f64 },
    Publish { stream_id: u32 },
    Play { stream_id: u32, reset: bool },
}

/// What a message stream is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Idle,
    Publish,
    Play,
}

/// One message stream.
struct Stream {
    id: u32,
    used_for: Use,
}

/// What was agreed at `connect` and is needed later.
struct Connected {
    app: Box<str>,
    params: Params,
    caps_ex: u32,
}

/// One client's connection as a state machine. See the [module](self).
pub struct ServerConnection {
    config: Arc<ServerConfig>,
    phase: Phase,
    link: Link,
    connected: Option<Box<Connected>>,
    streams: Vec<Stream>,
    events: VecDeque<Event>,
    pending: Option<Pending>,
    /// Bytes that came while a decision was pending.
    held: Vec<u8>,
    liveness: Liveness,
    /// Since when it is up to the peer to ask to publish or play. The first time counts from the start; `None` while
    /// it has what it asked for, and until the next look at the clock after.
    idle_since: Option<Duration>,
    /// Whether anything was granted to it.
    granted: bool,
    rejected_commands: u32,
}

impl ServerConnection {
    /// A connection that was just accepted. `seed` fills the handshake and should differ between connections.
    pub fn new(config: Arc<ServerConfig>, seed: u64) -> Self {
        let link = Link::new(&config.limits, config.window_ack_bytes);
        Self {
            config,
            phase: Phase::Handshake(Box::new(ServerHandshake::new(seed))),
            link,
            connected: None,
            streams: Vec::new(),
            events: VecDeque::new(),
            pending: None,
            held: Vec::new(),
            liveness: Liveness::default(),
            idle_since: Some(Duration::ZERO),
            granted: false,
            rejected_commands: 0,
        }
    }

    /// Takes bytes from the peer, all of them.
    ///
    /// # Errors
    /// What breaks the protocol or a limit. The connection must then be closed; answers that explain it may
    /// still be in [`poll_transmit`](Self::poll_transmit).
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.liveness.hear();
        if self.pending.is_some() {
            return self.hold(bytes);
        }
        let result = self.process(bytes);
        self.give_up_on(result)
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() && !self.is_publishing() {
            // A player is silent for hours: it keeps no empty queue.
            self.events = VecDeque::new();
        }
        event
    }

    /// Bytes for the peer: whole messages, in order.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.link.take_out()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do at the earliest, counted from the start
    /// of the connection. A later call does no harm.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let config = &self.config;
        match self.phase {
            Phase::Closing => None,
            Phase::Handshake(_) | Phase::Connect if self.pending.is_none() => Some(config.handshake_timeout),
            _ if self.awaits_request() => {
                let since = self.idle_since.unwrap_or_else(|| self.liveness.heard_at());
                Some(since.saturating_add(config.request_timeout))
            }
            _ => Some(self.liveness.next_look(config.ping_after, config.idle_timeout)),
        }
    }

    /// Tells the time, counted from the start of the connection: a silent peer is pinged and in the end given up.
    /// Silence is judged only here, so call it at least every few seconds.
    ///
    /// # Errors
    /// [`Error::Timeout`] where the peer has not done in time what the connection waits for.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), Error> {
        let awaits_request = self.awaits_request();
        let idle_since = if awaits_request { *self.idle_since.get_or_insert(now) } else { now };
        let config = &self.config;
        let verdict = self.liveness.judge(now, config.ping_after, config.idle_timeout);
        match self.phase {
            Phase::Closing => return Ok(()),
            Phase::Handshake(_) | Phase::Connect
                if self.pending.is_none() && now >= config.handshake_timeout =>
            {
                return self.time_out("handshake");
            }
            _ if awaits_request && now.saturating_sub(idle_since) >= config.request_timeout => {
                return self.time_out("publish or play request");
            }
            _ => {}
        }
        match verdict {
            Verdict::Dead => self.time_out("sign of life"),
            Verdict::Ping if matches!(self.phase, Phase::Connected) => {
                self.link.send_user_control(UserControl::PingRequest(now.as_millis() as u32));
                Ok(())
            }
            Verdict::Ping | Verdict::Fine => Ok(()),
        }
    }

    /// Whether the connection is to be closed once everything from [`poll_transmit`](Self::poll_transmit) is sent.
    pub const fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing)
    }

    /// Whether a request waits for its decision; until then it is better not to read from the peer.
    pub const fn awaits_decision(&self) -> bool {
        self.pending.is_some()
    }

    /// Bytes received after the handshake.
    pub const fn received_bytes(&self) -> u64 {
        self.link.received_bytes()
    }

    /// How many commands were refused because they are unknown, malformed or out of place.
    pub const fn rejected_commands(&self) -> u32 {
        self.rejected_commands
    }

    /// Accepts the `connect` that waits for a decision; does nothing where none does.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), for what came in the meantime.
    pub fn accept_connect(&mut self) -> Result<(), Error> {
        let Some(Pending::Connect { transaction_id }) = self.pending else { return Ok(()) };
        self.phase = Phase::Connected;
        self.link.send_window(self.config.window_ack_bytes);
        self.link.send_peer_bandwidth(self.config.window_ack_bytes);
        self.link.set_out_chunk_size(self.config.chunk_size);
        let mut properties = Object::new()
            .with("fmsVer", self.config.server_version.as_str())
            .with("capabilities", 31.0)
            .with("mode", 1.0);
        let mut status =
            status_object(code::CONNECT_SUCCESS, "Connection succeeded.").with("objectEncoding", 0.0);
        // Enhanced RTMP v2 lets peers look in either object.
        self.config.capabilities.add_to(&mut properties);
        self.config.capabilities.add_to(&mut status);
        let values = vec![Value::Object(properties), Value::Object(status)];
        self.link.send_answer("_result", transaction_id, values);
        self.resume()
    }

    /// Refuses the `connect` that waits for a decision, with a code such as
    /// [`code::CONNECT_REJECTED`], and closes.
    pub fn reject_connect(&mut self, code: &str, description: &str) {
        let Some(Pending::Connect { transaction_id }) = self.pending else { return };
        let status = status_object(code, description).with("level", "error");
        self.link.send_answer("_error", transaction_id, vec![Value::Null, status.into()]);
        self.close();
    }

    /// Ends what the peer publishes and plays, says why, and closes.
    ///
    /// A code that begins with `NetConnection.` is told to the connection, any other to each stream in use:
    /// [`code::PLAY_UNPUBLISH_NOTIFY`], [`code::PUBLISH_BAD_NAME`] and so on. Players are told the end of the stream.
    pub fn end(&mut self, code: &str, description: &str) {
        if self.is_closing() {
            return;
        }
        if code.starts_with("NetConnection.") {
            self.send_status(0, code, description);
        }
        for Stream { id, used_for } in mem::take(&mut self.streams) {
            if used_for == Use::Idle {
                continue;
            }
            if !code.starts_with("NetConnection.") {
                self.send_status(id, code, description);
            }
            if used_for == Use::Play {
                self.link.send_user_control(UserControl::StreamEof(id));
            }
        }
        self.close();
    }

    /// Asks the peer to connect anew, to `tc_url` or where it was (E-RTMP v2, "Reconnect Request"). The
    /// connection goes on until the peer leaves it. Whether the peer said that it understands this.
    pub fn request_reconnect(&mut self, tc_url: Option<&str>, description: &str) -> bool {
        let understands = self
            .connected
            .as_ref()
            .is_some_and(|connected| connected.caps_ex & super::caps_ex::RECONNECT != 0);
        if understands && matches!(self.phase, Phase::Connected) {
            let mut status = status_object(code::CONNECT_RECONNECT_REQUEST, description);
            if let Some(tc_url) = tc_url {
                status.set("tcUrl", tc_url);
            }
            self.send_status_object(0, status);
        }
        understands
    }

    /// Sends a status on a message stream, such as [`code::PLAY_PUBLISH_NOTIFY`] to a player that waits.
    pub fn send_status(&mut self, stream_id: u32, code: &str, description: &str) {
        self.send_status_object(stream_id, status_object(code, description));
    }

    /// Tells that the peer's side is gone: events for what it published and played follow.
    pub fn peer_closed(&mut self) {
        for stream in mem::take(&mut self.streams) {
            self.stop(&stream);
        }
        self.close();
    }

    fn send_status_object(&mut self, stream_id: u32, status: Object) {
        let values = vec![Value::Null, status.into()];
        self.link.send_command(stream_id, &Command::new("onStatus", 0.0, values));
    }

    fn close(&mut self) {
        self.phase = Phase::Closing;
        self.pending = None;
        self.held = Vec::new();
    }

    fn time_out(&mut self, what: &'static str) -> Result<(), Error> {
        self.give_up_on(Err(Error::Timeout(what)))
    }

    fn awaits_request(&self) -> bool {
        let uses_none = || self.streams.iter().all(|stream| stream.used_for == Use::Idle);
        matches!(self.phase, Phase::Connected) && self.pending.is_none() && uses_none()
    }

    fn is_publishing(&self) -> bool {
        self.streams.iter().any(|stream| stream.used_for == Use::Publish)
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let limit = self.config.limits.unauthorized_buffered_bytes;
        if self.held.len() + bytes.len() > limit {
            return self.give_up_on(Err(Error::TooMuchBeforeDecision(limit)));
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Goes on with what was held back for a decision.
    fn resume(&mut self) -> Result<(), Error> {
        self.pending = None;
        let held = mem::take(&mut self.held);
        let result = self.process(&held);
        self.give_up_on(result)
    }

    /// Closes on an error, after telling the peer where it can understand.
    fn give_up_on(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        if let Err(error) = &result {
            if matches!(self.phase, Phase::Connected) {
                let status = status_object(code::CONNECT_CLOSED, &error.to_string()).with("level", "error");
                self.send_status_object(0, status);
            }
            self.close();
        }
        result
    }

    fn process(&mut self, mut input: &[u8]) -> Result<(), Error> {
        if let Phase::Handshake(handshake) = &mut self.phase {
            handshake.receive(&mut input, self.link.out())?;
            if !handshake.is_done() {
                return Ok(());
            }
            self.phase = Phase::Connect;
        }
        while !self.is_closing()
            && let Some(message) = self.link.read(&mut input)?
        {
            self.on_message(message)?;
            if self.pending.is_some() {
                return self.hold(input);
            }
        }
        Ok(())
    }

    fn on_message(&mut self, message: Message) -> Result<(), Error> {
        if Command::is_in(&message) {
            return self.on_command(&message);
        }
        // Shared objects and unknown kinds are none of ours. Media counts only on a stream that may publish.
        if let Some(media) = MediaMessage::from_message(message)
            && self.use_of(media.stream_id) == Some(Use::Publish)
        {
            self.events.push_back(Event::Message(media));
        }
        Ok(())
    }

    fn use_of(&self, stream_id: u32) -> Option<Use> {
        self.streams.iter().find(|stream| stream.id == stream_id).map(|stream| stream.used_for)
    }

    fn set_use(&mut self, stream_id: u32, used_for: Use) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == stream_id) {
            stream.used_for = used_for;
        }
        let publishing = self.is_publishing();
        self.link.reader().set_authorized(&self.config.limits, publishing);
    }

    /// Tells the driver that a stream's use has ended.
    fn stop(&mut self, stream: &Stream) {
        let stream_id = stream.id;
        match stream.used_for {
            Use::Idle => {}
            Use::Publish => self.events.push_back(Event::PublishStopped { stream_id }),
            Use::Play => self.events.push_back(Event::PlayStopped { stream_id }),
        }
    }
}
