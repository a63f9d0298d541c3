//! Taking in MPEG-TS that somebody sends in bare datagrams.

use std::{io, net::SocketAddr, sync::Arc};

use cruvz_media::{
    Tracks,
    container::mpegts::{Demuxer, Limits, PACKET_BYTES},
};

use crate::{
    Error, ErrorKind, Protocol, Role,
    ingest::mpegts::Feed,
    protocol::udp::Url,
    runtime::{
        remote::{Job, RemoteState},
        udp::{Datagram, Inbox, UdpSocket},
    },
};

/// Runs of datagrams read at once.
const RUNS: usize = 8;
/// What each packet of a transport stream begins with.
const SYNC_BYTE: u8 = 0x47;

/// Listens, and publishes what one source after another sends. Datagrams of others than the current one are passed over, so
/// that nobody can mix into it; it has lost its place when it says nothing for a while.
pub(crate) async fn attempt(job: Arc<Job<Url>>) -> Result<(), Error> {
    let socket = listen(&job.url).map_err(|error| {
        Error::new(ErrorKind::Io, format!("cannot listen on {}", job.url)).with_source(error)
    })?;
    let mut inbox = Inbox::new(RUNS);
    loop {
        let source = first(&socket, &mut inbox, &job.url).await?;
        let context = &job.context;
        let session = context.gate.sessions.open(&job.stream, Protocol::Udp, Role::Pull, Some(source))?;
        let publisher = context.hub.publish(Tracks::empty(), session)?;
        let mut feed = Feed::with(publisher, demuxer(&job.url));
        job.set(RemoteState::Running);
        let ended = receive(&socket, &mut inbox, source, &job, &mut feed).await;
        let last = feed.finish();
        let reason =
            ended.as_ref().map_or_else(ToString::to_string, |()| "nothing comes any more".to_owned());
        feed.publisher.session_mut().because(reason);
        ended.and(last)?;
        drop(feed);
        job.set(RemoteState::Connecting);
    }
}

fn listen(url: &Url) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(url.bind())?;
    url.group().map_or(Ok(()), |group| socket.join(group))?;
    Ok(socket)
}

fn demuxer(url: &Url) -> Demuxer {
    let demuxer = Demuxer::new(Limits::default());
    match url.program() {
        Some(program) => demuxer.program(program),
        None => demuxer,
    }
}

/// Waits for a datagram of a transport stream, which stays in `inbox`, and says whose it is.
async fn first(socket: &UdpSocket, inbox: &mut Inbox, url: &Url) -> Result<SocketAddr, Error> {
    let is_wanted = |datagram: &Datagram<'_>| {
        url.is_from(datagram.from.ip())
            && datagram.bytes.len() >= PACKET_BYTES
            && datagram.bytes[0] == SYNC_BYTE
    };
    loop {
        socket.readable().await?;
        if socket.receive(inbox)?
            && let Some(datagram) = inbox.datagrams().find(is_wanted)
        {
            return Ok(datagram.from);
        }
    }
}

/// Takes in what `source` sends, beginning with what is in `inbox`, until it says nothing for a while.
async fn receive(
    socket: &UdpSocket,
    inbox: &mut Inbox,
    source: SocketAddr,
    job: &Job<Url>,
    feed: &mut Feed,
) -> Result<(), Error> {
    let session = Arc::clone(feed.publisher.session());
    let clock = job.context.clock;
    let mut until = clock.now() + job.url.timeout();
    loop {
        for datagram in inbox.datagrams().filter(|datagram| datagram.from == source) {
            feed.append(datagram.bytes)?;
            until = clock.now() + job.url.timeout();
        }
        feed.publisher.flush();
        tokio::select! {
            readable = socket.readable() => readable?,
            () = tokio::time::sleep_until(clock.instant(until)) => return Ok(()),
            reason = session.wait_end() => return Err(Error::new(ErrorKind::Closed, &*reason)),
        }
        socket.receive(inbox)?;
    }
}
