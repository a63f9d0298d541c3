//! Endless media over HTTP: FLV, FLV in WebSocket messages, and MPEG-TS, each made once per stream.
//!
//! The HTTP framework reads the request and hands the socket over ([`LiveViewer::serve`]), after which a fan-out shard writes to
//! it directly: the body of an HTTP framework costs three times as much. Where there is no plain socket to hand over
//! (TLS, HTTP/2), [`LiveViewer::next`] gives the body piece by piece.

use std::{collections::VecDeque, fmt, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use cruvz_media::Tracks;
use tokio::net::TcpStream;

use super::{
    cursor::Cursor,
    fanout::{Peer, Viewer},
    flv, mpegts,
    websocket::{self, ClientFrames},
};
use crate::{
    AccessRequest, Action, Error, Protocol, Result, StreamName,
    hub::wire::{WireFormat, WireLog},
    runtime::{context::Context, socket},
    session::OpenSession,
};

/// What the bytes of a live stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LiveFormat {
    /// An FLV file without end.
    Flv,
    /// The same, each tag a WebSocket message.
    FlvWebSocket,
    /// An MPEG transport stream.
    Ts,
}

impl LiveFormat {
    /// The media type of the body.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Flv | Self::FlvWebSocket => "video/x-flv",
            Self::Ts => "video/mp2t",
        }
    }

    /// The protocol of its sessions.
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Flv => Protocol::HttpFlv,
            Self::FlvWebSocket => Protocol::WsFlv,
            Self::Ts => Protocol::HttpTs,
        }
    }

    fn wire(self) -> WireFormat {
        match self {
            Self::Flv => flv::FLV,
            Self::FlvWebSocket => flv::WS_FLV,
            Self::Ts => mpegts::TS,
        }
    }

    /// What the body begins with.
    fn head(self, tracks: &Tracks) -> Bytes {
        match self {
            Self::Flv => flv::head(tracks),
            Self::FlvWebSocket => websocket::binary_message(&flv::head(tracks)),
            Self::Ts => Bytes::new(),
        }
    }

    fn peer(self) -> Box<dyn Peer> {
        match self {
            Self::Flv | Self::Ts => Box::new(SilentPeer),
            Self::FlvWebSocket => Box::<WebSocketPeer>::default(),
        }
    }
}

/// A request for a stream.
#[derive(Clone, Debug)]
pub struct LiveRequest {
    /// The stream.
    pub stream: StreamName,
    /// The query of the URL, where the key is.
    pub query: String,
    /// Where the viewer is.
    pub remote: SocketAddr,
    /// What to send.
    pub format: LiveFormat,
}

/// Endless media out of an engine: see [`crate::Engine::live`].
#[derive(Clone)]
pub struct Live {
    context: Context,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

impl Live {
    pub(crate) fn new(context: Context) -> Self {
        Self { context }
    }

    /// Authorises a viewer and waits for the stream, as long as [`crate::EngineConfig::subscribe_timeout_ms`] says.
    ///
    /// # Errors
    /// `Unauthorized`, `Forbidden`, `NotFound` when nobody publishes, `Unavailable`, `LimitExceeded`.
    pub async fn open(&self, request: LiveRequest) -> Result<LiveViewer> {
        let LiveRequest { stream: name, query, remote, format } = request;
        let access = AccessRequest::new(Action::Play, name.clone(), format.protocol(), remote, &query);
        let mut session = self.context.gate.admit(access).await?;
        let timeout = Duration::from_millis(self.context.config.subscribe_timeout_ms);
        let stream = match self.context.hub.playable(&name, timeout).await {
            Ok(stream) => stream,
            Err(error) => {
                self.context.gate.refused_session(&mut session, &error);
                return Err(error);
            }
        };
        let view = stream.view(format.wire().carries);
        let (log, head) = (view.wire(format.wire())?, format.head(&view.tracks()));
        let context = self.context.clone();
        Ok(LiveViewer { context, format, log, head, session: Some(session), cursor: None })
    }
}

/// A viewer that was let in and is to be sent its stream, one way or the other.
pub struct LiveViewer {
    context: Context,
    format: LiveFormat,
    log: Arc<WireLog>,
    head: Bytes,
    session: Option<OpenSession>,
    cursor: Option<Cursor>,
}

impl fmt::Debug for LiveViewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveViewer").field("session", &self.session).finish_non_exhaustive()
    }
}

impl LiveViewer {
    /// What it is to be sent.
    pub const fn format(&self) -> LiveFormat {
        self.format
    }

    /// Takes `socket` over and serves the stream on it, after `http_head` (status line and headers).
    ///
    /// # Errors
    /// `Io` when the socket is broken.
    pub fn serve(mut self, socket: TcpStream, http_head: Bytes) -> Result<()> {
        let Some(session) = self.session.take() else {
            return Err(Error::new(crate::ErrorKind::Closed, "its body was read already"));
        };
        socket::tune(&socket, self.context.config.egress.send_buffer_bytes)?;
        let head = [&http_head[..], &self.head[..]].concat().into();
        let peer = self.format.peer();
        self.context.fanout.serve(&self.log, Viewer { socket, head, peer, session });
        Ok(())
    }

    /// The next piece of the body (of the WebSocket byte stream, if it is one); `None` at its end.
    ///
    /// # Cancel safety
    /// No bytes are lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(session) = self.session.take() {
            let (log, head) = (Arc::clone(&self.log), self.head.clone());
            self.cursor = Some(Cursor::new(&self.context, log, head, session));
        }
        self.cursor.as_mut()?.next().await
    }
}

/// Says nothing after its request; what it sends is passed over.
struct SilentPeer;

impl Peer for SilentPeer {
    fn receive(&mut self, _: &[u8], _: &mut VecDeque<Bytes>) -> std::result::Result<(), String> {
        Ok(())
    }

    fn farewell(&mut self, _: &str) -> Bytes {
        Bytes::new()
    }
}

#[derive(Default)]
struct WebSocketPeer(ClientFrames);

impl Peer for WebSocketPeer {
    fn receive(&mut self, bytes: &[u8], out: &mut VecDeque<Bytes>) -> std::result::Result<(), String> {
        self.0.receive(bytes, out)
    }

    fn farewell(&mut self, reason: &str) -> Bytes {
        websocket::close_frame(reason)
    }
}
