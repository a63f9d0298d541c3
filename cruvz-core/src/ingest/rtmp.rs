//! RTMP connections: a thin driver around the state machine, for publishers and for players until they play.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use cruvz_media::Tracks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    time::Interval,
};
use tokio_rustls::TlsAcceptor;

use super::{
    flv::Feed,
    lobby::Pending,
    rounds::RoundSocket,
    tcp::{self, Transport},
};
use crate::{
    AccessRequest, Action, Error, ErrorKind, Protocol, Publisher, StreamName,
    egress::{
        cursor::Cursor,
        fanout::{Peer, Viewer},
        rtmp::{RtmpPeer, format, transmit},
    },
    protocol::rtmp::{
        Params, ServerConnection, code,
        server::{Event, PlayRequest, PublishRequest, ServerConfig},
    },
    runtime::context::Context,
    session::gate::Refusal,
};

/// What one read takes at most: several messages of a usual stream.
const READ_BYTES: usize = 16 << 10;
/// How often the state machine is told the time.
const TICK: Duration = Duration::from_secs(1);
/// How long a peer may take to read our answers.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long, and for how many bytes, a peer that was told to go is listened to while it reads why.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 1 << 20;

/// Serves RTMP, or RTMPS with an `acceptor`, until the engine stops.
pub(crate) async fn serve(
    context: Context,
    listener: TcpListener,
    config: Arc<ServerConfig>,
    acceptor: Option<TlsAcceptor>,
) {
    let protocol = if acceptor.is_some() { Protocol::Rtmps } else { Protocol::Rtmp };
    let connection = |socket: TcpStream, remote: SocketAddr, pending: Pending| {
        let (context, config, acceptor) = (context.clone(), Arc::clone(&config), acceptor.clone());
        async move {
            let peer = Remote { context, protocol, remote };
            match acceptor {
                None => {
                    let socket = RoundSocket::new(socket, peer.context.clock);
                    peer.serve(socket, config, pending).await;
                }
                Some(acceptor) => match tcp::accept_tls(&acceptor, socket).await {
                    Ok(stream) => peer.serve(stream, config, pending).await,
                    Err(error) => peer.refused(None, "tls", &error),
                },
            }
        }
    };
    tcp::serve(context.clone(), protocol, listener, connection).await;
}

/// Who is at the other end.
#[derive(Clone)]
struct Remote {
    context: Context,
    protocol: Protocol,
    remote: SocketAddr,
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum Over {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Protocol(#[from] crate::protocol::rtmp::Error),
    #[error("peer closed the connection")]
    Closed,
    #[error("{0}")]
    Ended(Arc<str>),
}

impl Remote {
    async fn serve<T: Transport>(self, stream: T, config: Arc<ServerConfig>, pending: Pending) {
        let rtmp = Box::new(ServerConnection::new(config, rand_seed(&self)));
        let connection = Connection {
            peer: self.clone(),
            stream,
            rtmp,
            started: self.context.clock.now(),
            // One timer for the life of the connection: arming one per read costs more than the read.
            tick: tokio::time::interval(TICK),
            pending,
        };
        match connection.run().await {
            Ok(()) | Err(Over::Closed | Over::Io(_) | Over::Ended(_)) => {}
            Err(Over::Protocol(error)) => {
                let late = matches!(error, crate::protocol::rtmp::Error::Timeout(_));
                self.refused(None, if late { "timeout" } else { "protocol" }, &error);
            }
        }
    }

    fn refused(&self, stream: Option<&StreamName>, reason: &'static str, detail: &dyn std::fmt::Display) {
        let (protocol, remote, detail) = (self.protocol, Some(self.remote), detail.to_string());
        self.context.gate.refused(Refusal { protocol, remote, stream, reason, detail });
    }

    fn access(&self, action: Action, stream: &StreamName, params: &Params) -> AccessRequest {
        let params = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        AccessRequest::with_params(action, stream.clone(), self.protocol, self.remote, params)
    }
}

/// Handshake filler; it protects nothing.
fn rand_seed(peer: &Remote) -> u64 {
    let now = peer.context.clock.now().as_nanos() as u64;
    now.rotate_left(32) ^ u64::from(peer.remote.port())
}

struct Connection<T> {
    peer: Remote,
    stream: T,
    rtmp: Box<ServerConnection>,
    started: Duration,
    tick: Interval,
    pending: Pending,
}

/// Takes what has come. The buffer is on the stack: connections that read one after the other share it, and with it
/// what the processor's cache holds of it.
fn poll_receive(
    stream: &mut impl Transport,
    rtmp: &mut ServerConnection,
    cx: &mut TaskContext<'_>,
) -> Poll<Result<(), Over>> {
    let mut bytes = [MaybeUninit::uninit(); READ_BYTES];
    let mut read = ReadBuf::uninit(&mut bytes);
    ready!(Pin::new(stream).poll_read(cx, &mut read))?;
    Poll::Ready(match read.filled() {
        [] => Err(Over::Closed),
        bytes => Ok(rtmp.receive(bytes)?),
    })
}

/// What the driver does next.
enum Step {
    Publish(Box<PublishRequest>),
    Play(Box<PlayRequest>),
}

impl<T: Transport> Connection<T> {
    async fn run(mut self) -> Result<(), Over> {
        loop {
            let served = match self.negotiate().await {
                Ok(Step::Publish(request)) => self.publish(*request).await,
                Ok(Step::Play(request)) => match self.play(*request).await? {
                    Some(refused) => {
                        self = refused;
                        Ok(())
                    }
                    None => return Ok(()),
                },
                Err(over) => Err(over),
            };
            if let Err(over) = served {
                return Err(self.close(over).await);
            }
            if !self.pending.enter() {
                return Err(Over::Closed);
            }
        }
    }

    /// Says what there is left to say. A socket that is closed with bytes unread resets the connection, and the peer
    /// might lose our last words: so it is listened to until it has closed its side.
    async fn close(&mut self, over: Over) -> Over {
        let silent = matches!(over, Over::Protocol(crate::protocol::rtmp::Error::Timeout(_)));
        if matches!(over, Over::Io(_) | Over::Closed)
            || !self.pending.stay()
            || self.send().await.is_err()
            || silent
        {
            return over;
        }
        let listen = async {
            self.stream.shutdown().await?;
            tokio::io::copy(&mut (&mut self.stream).take(LINGER_BYTES), &mut tokio::io::sink()).await
        };
        // Whether it has read them makes no difference now.
        let _ = tokio::time::timeout(LINGER, listen).await;
        over
    }

    /// Answers the peer until it asks to publish or play.
    async fn negotiate(&mut self) -> Result<Step, Over> {
        loop {
            while let Some(event) = self.rtmp.poll_event() {
                match event {
                    Event::ConnectRequested(request) => {
                        tracing::debug!(remote = %self.peer.remote, ?request, "RTMP connect");
                        self.rtmp.accept_connect()?;
                    }
                    Event::PublishRequested(request) => return Ok(Step::Publish(request)),
                    Event::PlayRequested(request) => return Ok(Step::Play(request)),
                    _ => {}
                }
            }
            self.exchange().await?;
        }
    }

    /// Sends what there is to say and takes what the peer says, or tells the state machine the time.
    async fn exchange(&mut self) -> Result<(), Over> {
        self.send().await?;
        if self.rtmp.is_closing() {
            return Err(Over::Closed);
        }
        tokio::select! {
            received = poll_fn(|cx| poll_receive(&mut self.stream, &mut self.rtmp, cx)) => received,
            _ = self.tick.tick() => Ok(self.tell_time()?),
        }
    }

    fn tell_time(&mut self) -> Result<(), crate::protocol::rtmp::Error> {
        self.rtmp.handle_timeout(self.peer.context.clock.now().saturating_sub(self.started))
    }

    async fn send(&mut self) -> Result<(), Over> {
        let bytes = transmit(&mut self.rtmp);
        if bytes.is_empty() {
            return Ok(());
        }
        let written = tokio::time::timeout(WRITE_TIMEOUT, self.stream.write_all(&bytes)).await;
        written.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "peer does not read"))??;
        self.stream.flush().await?;
        Ok(())
    }

    /// Serves a publisher until it stops; the connection may go on after.
    async fn publish(&mut self, request: PublishRequest) -> Result<(), Over> {
        let publisher = match self.admit_publisher(&request).await {
            Ok(publisher) => publisher,
            Err(error) => {
                let code = match error.kind() {
                    ErrorKind::Unauthorized | ErrorKind::Forbidden => code::PUBLISH_DENIED,
                    _ => code::PUBLISH_BAD_NAME,
                };
                self.rtmp.reject_publish(code, &error.to_string())?;
                return Err(Over::Ended("refused".into()));
            }
        };
        self.rtmp.accept_publish()?;
        self.pending.leave();
        let mut feed = Feed::new(publisher);
        match self.receive_media(&mut feed).await {
            Ok(()) => {
                feed.publisher.finish("publisher stopped");
                Ok(())
            }
            Err(over) => {
                if let Over::Ended(reason) = &over {
                    self.rtmp.end(code::UNPUBLISH_SUCCESS, reason);
                    // Before the session is closed, which is all that a shutdown waits for.
                    let _ = self.send().await;
                }
                feed.publisher.session_mut().because(over.to_string());
                Err(over)
            }
        }
    }

    async fn admit_publisher(&self, request: &PublishRequest) -> Result<Publisher, Error> {
        let peer = &self.peer;
        let name = StreamName::new(&request.app, &request.name)
            .inspect_err(|error| peer.refused(None, "bad_name", error))?;
        let session = peer.context.gate.admit(peer.access(Action::Publish, &name, &request.params)).await?;
        let published = peer.context.hub.publish(Tracks::empty(), session);
        published.inspect_err(|error| peer.refused(Some(&name), error.kind().name(), error))
    }

    /// Reads media until the peer unpublishes.
    async fn receive_media(&mut self, feed: &mut Feed) -> Result<(), Over> {
        let session = Arc::clone(feed.publisher.session());
        let ended = session.wait_end();
        tokio::pin!(ended);
        let mut asked_to_go = false;
        loop {
            while let Some(event) = self.rtmp.poll_event() {
                match event {
                    Event::Message(message) => {
                        feed.append(message).map_err(|error| Over::Ended(error.to_string().into()))?
                    }
                    Event::PublishStopped { .. } => return Ok(()),
                    Event::PublishRequested(_) => {
                        self.rtmp.reject_publish(code::PUBLISH_DENIED, "one stream per connection")?;
                    }
                    Event::PlayRequested(_) => {
                        self.rtmp.reject_play(code::PLAY_FAILED, "this connection publishes")?
                    }
                    _ => {}
                }
            }
            feed.publisher.flush();
            self.stream.rest(!feed.publisher.stream().is_watched());
            if self.peer.context.gate.is_draining() && !std::mem::replace(&mut asked_to_go, true) {
                self.rtmp.request_reconnect(None, "the server is shutting down");
            }
            tokio::select! {
                biased;
                reason = &mut ended => return Err(Over::Ended(reason)),
                done = self.exchange() => done?,
            }
        }
    }

    /// Serves a player; gives the connection back where it was refused.
    async fn play(mut self, request: PlayRequest) -> Result<Option<Self>, Over> {
        let (log, session) = match self.admit_player(&request).await {
            Ok(admitted) => admitted,
            Err(Failed::Over(over)) => return Err(self.close(over).await),
            Err(Failed::Refused(error)) => {
                let code = match error.kind() {
                    ErrorKind::NotFound | ErrorKind::Closed | ErrorKind::InvalidArgument => {
                        code::PLAY_STREAM_NOT_FOUND
                    }
                    _ => code::PLAY_FAILED,
                };
                return match self.rtmp.reject_play(code, &error.to_string()) {
                    Ok(()) => Ok(Some(self)),
                    Err(error) => Err(self.close(error.into()).await),
                };
            }
        };
        if let Err(error) = self.rtmp.accept_play() {
            return Err(self.close(error.into()).await);
        }
        let head = transmit(&mut self.rtmp);
        let (context, stream, rtmp) = (self.peer.context, self.stream, self.rtmp);
        match stream.into_socket() {
            Ok(socket) => {
                let peer = Box::new(RtmpPeer(rtmp));
                context.fanout.serve(&log, Viewer { socket, head, peer, session });
            }
            Err(stream) => {
                let cursor = Cursor::new(&context, log, head, session);
                let stuck = Duration::from_millis(context.config.egress.stuck_timeout_ms);
                write_all(stream, cursor, RtmpPeer(rtmp), stuck).await;
            }
        }
        Ok(None)
    }

    async fn admit_player(&mut self, request: &PlayRequest) -> Result<Admitted, Failed> {
        let peer = self.peer.clone();
        let name = StreamName::new(&request.app, &request.name)
            .inspect_err(|error| peer.refused(None, "bad_name", error))?;
        let gate = &peer.context.gate;
        let mut session = gate.admit(peer.access(Action::Play, &name, &request.params)).await?;
        // An audience that waits for its stream is no reason to turn others away, the publisher least of all.
        self.pending.leave();
        let timeout = Duration::from_millis(peer.context.config.subscribe_timeout_ms);
        let told_to_end = Arc::clone(&session);
        // The peer may leave while it waits for a publisher, or be told to.
        let stream = tokio::select! {
            stream = peer.context.hub.playable(&name, timeout) => stream,
            over = self.until_over() => return Err(Failed::Over(over)),
            reason = told_to_end.wait_end() => Err(Error::new(ErrorKind::Closed, &*reason)),
        };
        let log = stream.and_then(|stream| {
            let unusual = || format!("message stream {} cannot play", request.stream_id);
            let format = format(request.stream_id);
            stream.wire(format.ok_or_else(|| Error::new(ErrorKind::Unsupported, unusual()))?)
        });
        match log {
            Ok(log) => Ok((log, session)),
            Err(error) => {
                gate.refused_session(&mut session, &error);
                Err(Failed::Refused(error))
            }
        }
    }

    /// Keeps what the peer says for later; returns when it has left.
    async fn until_over(&mut self) -> Over {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer).await {
                Ok(0) => return Over::Closed,
                Ok(n) => {
                    if let Err(error) = self.rtmp.receive(&buffer[..n]) {
                        return error.into();
                    }
                }
                Err(error) => return error.into(),
            }
        }
    }
}

type Admitted = (Arc<crate::hub::wire::WireLog>, crate::session::OpenSession);

enum Failed {
    Refused(Error),
    Over(Over),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Serves a player over TLS, where a shard cannot write.
async fn write_all<T: Transport>(stream: T, mut cursor: Cursor, mut peer: RtmpPeer, stuck: Duration) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut buffer = [0; 1024];
    let mut answers = std::collections::VecDeque::new();
    loop {
        let piece = tokio::select! {
            piece = cursor.next() => piece,
            read = reader.read(&mut buffer) => {
                let said = match read {
                    Ok(0) => Err("viewer left".to_owned()),
                    Ok(n) => peer.receive(&buffer[..n], &mut answers),
                    Err(error) => Err(error.to_string()),
                };
                if let Err(reason) = said {
                    cursor.session.because(reason);
                    return;
                }
                Some(answers.drain(..).flatten().collect())
            }
        };
        let last = piece.is_none();
        let piece: Bytes = piece.unwrap_or_else(|| {
            let reason = cursor.session.outcome().unwrap_or_else(|| "stream ended".into());
            peer.farewell(&reason)
        });
        let write = async {
            writer.write_all(&piece).await?;
            writer.flush().await?;
            if last { writer.shutdown().await } else { Ok(()) }
        };
        match tokio::time::timeout(stuck, write).await {
            Ok(Ok(())) if !last => {}
            Ok(Ok(())) => return,
            Ok(Err(error)) => return cursor.session.because(error.to_string()),
            Err(_) => return cursor.session.because("took nothing for too long"),
        }
    }
}
