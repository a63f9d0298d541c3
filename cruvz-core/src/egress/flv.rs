//! HTTP-FLV and WebSocket-FLV: an endless FLV file, made once per stream.
//!
//! The HTTP framework reads the request and hands the socket over ([`FlvViewer::serve`]), after which a fan-out shard writes to
//! it directly: the body of an HTTP framework costs three times as much. Where there is no plain socket to hand over
//! (TLS, HTTP/2), [`FlvViewer::next`] gives the body piece by piece.

use std::{collections::VecDeque, fmt, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use cruvz_media::{TrackKind, container::flv};
use tokio::net::TcpStream;

use super::{
    cursor::Cursor,
    fanout::{Peer, Viewer},
    tags::{TagEncoder, WriteTag},
    websocket::{self, ClientFrames},
};
use crate::{
    AccessRequest, Action, Error, Protocol, Result, StreamName,
    hub::wire::{WireEncoder, WireFormat, WireLog},
    runtime::{context::Context, socket},
    session::OpenSession,
};

const FLV: WireFormat = WireFormat { name: "flv", encoder: || encoder(put_tag) };
const WS_FLV: WireFormat = WireFormat { name: "ws_flv", encoder: || encoder(put_ws_tag) };

fn encoder(write: WriteTag) -> Box<dyn WireEncoder> {
    Box::new(TagEncoder::new(write, flv::MuxOptions::default()))
}

fn put_tag(tag: &flv::Tag, out: &mut BytesMut) {
    flv::file::put_tag(tag.kind, tag.timestamp_ms, &tag.header, &tag.payload, out);
}

fn put_ws_tag(tag: &flv::Tag, out: &mut BytesMut) {
    websocket::put_binary_header(flv::file::tag_len(tag.body_len()), out);
    put_tag(tag, out);
}

/// A request for a stream as FLV.
#[derive(Clone, Debug)]
pub struct FlvRequest {
    /// The stream.
    pub stream: StreamName,
    /// The query of the URL, where the key is.
    pub query: String,
    /// Where the viewer is.
    pub remote: SocketAddr,
    /// Whether each tag is a WebSocket message.
    pub websocket: bool,
}

/// FLV out of an engine: see [`crate::Engine::flv`].
#[derive(Clone)]
pub struct Flv {
    context: Context,
}

impl fmt::Debug for Flv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flv")
    }
}

impl Flv {
    pub(crate) fn new(context: Context) -> Self {
        Self { context }
    }

    /// Authorises a viewer and waits for the stream, as long as [`crate::EngineConfig::subscribe_timeout_ms`] says.
    ///
    /// # Errors
    /// `Unauthorized`, `Forbidden`, `NotFound` when nobody publishes, `Unavailable`, `LimitExceeded`.
    pub async fn open(&self, request: FlvRequest) -> Result<FlvViewer> {
        let protocol = if request.websocket { Protocol::WsFlv } else { Protocol::HttpFlv };
        let FlvRequest { stream: name, query, remote, websocket } = request;
        let access = AccessRequest::new(Action::Play, name.clone(), protocol, remote, &query);
        let mut session = self.context.gate.admit(access).await?;
        let timeout = Duration::from_millis(self.context.config.subscribe_timeout_ms);
        let stream = match self.context.hub.playable(&name, timeout).await {
            Ok(stream) => stream,
            Err(error) => {
                self.context.gate.refused_session(&mut session, &error);
                return Err(error);
            }
        };
        let log = stream.wire(if websocket { WS_FLV } else { FLV })?;
        let tracks = stream.tracks();
        let has = |kind| tracks.first(kind).is_some();
        let mut head = BytesMut::new();
        flv::file::put_header(has(TrackKind::Audio), has(TrackKind::Video), &mut head);
        if websocket {
            let mut message = BytesMut::new();
            websocket::put_binary_header(head.len(), &mut message);
            message.extend_from_slice(&head);
            head = message;
        }
        Ok(FlvViewer {
            context: self.context.clone(),
            websocket,
            log,
            head: head.freeze(),
            session: Some(session),
            cursor: None,
        })
    }
}

/// A viewer that was let in and is to be sent its stream, one way or the other.
pub struct FlvViewer {
    context: Context,
    websocket: bool,
    log: Arc<WireLog>,
    head: Bytes,
    session: Option<OpenSession>,
    cursor: Option<Cursor>,
}

impl fmt::Debug for FlvViewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlvViewer").field("session", &self.session).finish_non_exhaustive()
    }
}

impl FlvViewer {
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
        let peer: Box<dyn Peer> =
            if self.websocket { Box::<WsFlvPeer>::default() } else { Box::new(HttpFlvPeer) };
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
struct HttpFlvPeer;

impl Peer for HttpFlvPeer {
    fn receive(&mut self, _: &[u8], _: &mut VecDeque<Bytes>) -> std::result::Result<(), String> {
        Ok(())
    }

    fn farewell(&mut self, _: &str) -> Bytes {
        Bytes::new()
    }
}

#[derive(Default)]
struct WsFlvPeer(ClientFrames);

impl Peer for WsFlvPeer {
    fn receive(&mut self, bytes: &[u8], out: &mut VecDeque<Bytes>) -> std::result::Result<(), String> {
        self.0.receive(bytes, out)
    }

    fn farewell(&mut self, reason: &str) -> Bytes {
        websocket::close_frame(reason)
    }
}
