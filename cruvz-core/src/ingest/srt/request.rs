//! Whether a caller is let in: asked of the authorizer and of the hub, away from the shard that it called.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use cruvz_media::{Tracks, container::mpegts::Limits};
use tokio::task::{Id, JoinSet};

use super::refused;
use crate::{
    AccessRequest, Action, Error, ErrorKind, Protocol, Publisher, StreamName,
    egress::{mpegts, srt::Viewer},
    ingest::{
        lobby::{Lobby, Pending},
        mpegts::Feed,
    },
    protocol::srt::{ControlPacket, Crypto, Established, Reject, Request, SocketId, StreamId, StreamMode},
    runtime::{context::Context, random::random, srt::link::Media, udp::Route},
    session::OpenSession,
};

/// How long a player waits for its stream at most: libsrt gives a handshake three seconds.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// The way in to a listener.
pub(super) struct Door {
    context: Context,
    lobby: Arc<Lobby>,
}

/// The answer to a caller.
pub(super) struct Decided {
    pub(super) route: Route,
    /// The end of the handshake that refuses, if it does.
    pub(super) outcome: Result<Admitted, Bytes>,
}

/// A caller that is let in.
pub(super) struct Admitted {
    pub(super) established: Established,
    /// The end of the handshake.
    pub(super) reply: ControlPacket,
    pub(super) media: Media,
}

impl Door {
    pub(super) fn new(context: &Context, lobby: &Arc<Lobby>) -> Self {
        Self { context: context.clone(), lobby: Arc::clone(lobby) }
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.lobby.close();
    }

    /// Has `request` decided, as one of `deciding`.
    ///
    /// # Errors
    /// The refusal, where it needs no thought.
    pub(super) fn knock(
        &self,
        now: Duration,
        route: Route,
        request: Request,
        deciding: &mut JoinSet<Decided>,
    ) -> Result<Id, Bytes> {
        let context = &self.context;
        if !context.gate.pace.admits(route.to.ip(), now) {
            let per_s = context.config.addresses.connections_per_s;
            refused(context, route.to, "address_pace", format!("more than {per_s} connections per second"));
            return Err(request.reject(Reject::OVERLOAD));
        }
        let mut pending = self.lobby.enter(route.to);
        let served_by = pending.task();
        let context = context.clone();
        let runtime = context.runtime.clone();
        let decide = async move {
            let outcome = decide(&context, route.to, &request, &mut pending).await;
            let outcome = outcome.map_err(|reject| request.reject(reject));
            Decided { route, outcome }
        };
        let task = deciding.spawn_on(decide, &runtime);
        let id = task.id();
        served_by(task);
        Ok(id)
    }
}

async fn decide(
    context: &Context,
    remote: SocketAddr,
    request: &Request,
    pending: &mut Pending,
) -> Result<Admitted, Reject> {
    let wish = Wish::of(request).map_err(|(reject, detail)| {
        refused(context, remote, "bad_name", detail);
        reject
    })?;
    let Wish { action, name, params } = wish;
    let access = AccessRequest::with_params(action, name.clone(), Protocol::Srt, remote, params);
    let mut session = context.gate.admit(access).await.map_err(|error| code(&error))?;
    // An audience that waits for its stream is no reason to turn others away, the publisher least of all.
    pending.leave();
    match action {
        Action::Publish => {
            // Whoever has the wrong passphrase must not disturb the stream: so that comes first.
            let (established, reply) = agree(context, remote, request, &mut session)?;
            let publisher = publish(context, remote, &name, session).map_err(|error| code(&error))?;
            let feed = Feed::new(publisher, Limits::default());
            Ok(Admitted { established, reply, media: Media::In(Box::new(feed)) })
        }
        Action::Play => {
            let viewer = play(context, &name, session).await;
            let mut viewer = viewer.map_err(|error| code(&error))?;
            let (established, reply) = agree(context, remote, request, &mut viewer.session)?;
            fits(context, remote, &established, &mut viewer.session)?;
            Ok(Admitted { established, reply, media: Media::Out(Box::new(viewer)) })
        }
    }
}

/// Concludes the handshake; refuses whoever cannot or will not decrypt.
fn agree(
    context: &Context,
    remote: SocketAddr,
    request: &Request,
    session: &mut OpenSession,
) -> Result<(Established, ControlPacket), Reject> {
    let id = random().map_err(|_| Reject::SYSTEM)?;
    // Zero is the listener's own; a socket of ours is any other number.
    let id = SocketId(u32::from_ne_bytes(id).max(1));
    request.accept(context.clock.now(), id, &context.srt.link).inspect_err(|reject| {
        refused(context, remote, "handshake", reject.to_string());
        session.because(format!("refused: {reject}"));
    })
}

/// Refuses a player whose packets, as it said, have no room for those of all others.
fn fits(
    context: &Context,
    remote: SocketAddr,
    established: &Established,
    session: &mut OpenSession,
) -> Result<(), Reject> {
    let room =
        established.payload_bytes.saturating_sub(established.crypto.as_ref().map_or(0, Crypto::overhead));
    let needed = context.srt.rings.payload_bytes();
    if room >= needed {
        return Ok(());
    }
    let reason = format!("packets of {room} bytes at most, and the stream has {needed}");
    refused(context, remote, "handshake", reason.clone());
    session.because(format!("refused: {reason}"));
    Err(Reject::UNACCEPTABLE)
}

fn publish(
    context: &Context,
    remote: SocketAddr,
    name: &StreamName,
    session: OpenSession,
) -> Result<Publisher, Error> {
    context.hub.publish(Tracks::empty(), session).inspect_err(|error| {
        let refusal = crate::session::gate::Refusal {
            protocol: Protocol::Srt,
            remote: Some(remote),
            stream: Some(name),
            reason: error.kind().name(),
            detail: error.to_string(),
        };
        context.gate.refused(refusal);
    })
}

/// Waits for the stream as long as a handshake may take.
async fn play(context: &Context, name: &StreamName, mut session: OpenSession) -> Result<Viewer, Error> {
    let timeout = Duration::from_millis(context.config.subscribe_timeout_ms).min(PATIENCE);
    let told_to_end = Arc::clone(&session);
    let stream = tokio::select! {
        stream = context.hub.playable(name, timeout) => stream,
        reason = told_to_end.wait_end() => Err(Error::new(ErrorKind::Closed, &*reason)),
    };
    match stream.and_then(|stream| stream.wire(mpegts::TS)) {
        Ok(log) => Ok(Viewer::new(context.srt.rings.of(&log), session)),
        Err(error) => {
            context.gate.refused_session(&mut session, &error);
            Err(error)
        }
    }
}

/// What a caller wants.
struct Wish {
    action: Action,
    name: StreamName,
    params: crate::session::access::Params,
}

impl Wish {
    fn of(request: &Request) -> Result<Self, (Reject, String)> {
        let bad = |detail: String| (Reject::BAD_REQUEST, detail);
        let text = request.stream_id().unwrap_or_default();
        let id = StreamId::parse(text).map_err(|error| (error.reject(), error.to_string()))?;
        let action = match id.mode() {
            StreamMode::Publish => Action::Publish,
            StreamMode::Request => Action::Play,
            _ => return Err((Reject::BAD_MODE, "want m=publish or m=request".into())),
        };
        let name = id.resource().parse::<StreamName>().map_err(|error| bad(error.to_string()))?;
        let params = id.params().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { action, name, params })
    }
}

/// How SRT says `error`.
fn code(error: &Error) -> Reject {
    match error.kind() {
        ErrorKind::InvalidArgument | ErrorKind::Malformed => Reject::BAD_REQUEST,
        ErrorKind::Unauthorized => Reject::UNAUTHORIZED,
        ErrorKind::Forbidden => Reject::FORBIDDEN,
        ErrorKind::NotFound | ErrorKind::Closed => Reject::NOTFOUND,
        ErrorKind::AlreadyExists => Reject::CONFLICT,
        ErrorKind::LimitExceeded => Reject::OVERLOAD,
        ErrorKind::Unavailable => Reject::DOWN,
        ErrorKind::Unsupported => Reject::NOTSUP_MEDIA,
        _ => Reject::ISE,
    }
}
