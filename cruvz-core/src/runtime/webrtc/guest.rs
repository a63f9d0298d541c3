//! One session: its transport, and the media that goes over it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::BytesMut;

use super::{mail::Way, table::Entry};
use crate::{
    Publisher,
    egress::{layers::Layers, rtp::RtpRing, webrtc::Viewer},
    ingest::webrtc::Feed,
    protocol::webrtc::{CloseReason, Credentials, Incoming, Path, Transport, TransportState, receiver},
    runtime::{port::Port, timers::Place},
    session::OpenSession,
};

/// Ways to one peer that are remembered. A peer has one per pair of interfaces, and uses one.
const MAX_WAYS: usize = 16;
/// Of those, how many are named to say how far a peer came.
const MAX_NAMED: usize = 2;

/// A peer and what it brings or takes.
pub(super) struct Guest {
    pub(super) entry: Arc<Entry>,
    transport: Transport,
    /// How datagrams get to the paths that the peer has proved, the newest last.
    ways: Vec<(Path, Way)>,
    media: Media,
    /// It has something to do, and nothing has been done since.
    touched: bool,
    deadline: Option<Duration>,
    /// Its place among those who wait for a time.
    pub(super) place: Place,
    /// When it began, or media last came of a publisher.
    heard: Duration,
}

/// The media of a session.
pub(super) enum Media {
    /// Agreed on; it begins with the connection.
    Agreed(Box<Agreed>),
    /// The peer brings it.
    In(Box<Feed>),
    /// The peer takes it.
    Out(Box<Viewer>),
    /// There was some.
    Over,
}

/// What was agreed on.
pub(super) enum Agreed {
    Publish { publisher: Publisher, config: receiver::Config },
    Play(Seated),
}

/// What a viewer gets.
pub(super) struct Seated {
    pub(super) ring: Arc<RtpRing>,
    /// Of a simulcast: its choice among the layers.
    pub(super) layers: Option<Layers>,
    pub(super) session: OpenSession,
    pub(super) cname: String,
    pub(super) random: [u8; 16],
}

/// A session is over, and this is why.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) reason: Arc<str>,
    /// Whether the peer wanted it so.
    pub(super) goodbye: bool,
}

impl Over {
    /// The session was told to end.
    pub(super) fn told(entry: &Entry) -> Self {
        let reason = entry.session.end_reason().unwrap_or_else(|| "connection closed".into());
        Self { reason, goodbye: entry.said_goodbye.load(Relaxed) }
    }

    /// The server stops.
    pub(super) fn shutdown() -> Self {
        Self::because("server is shutting down")
    }

    pub(super) fn because(reason: impl Into<Arc<str>>) -> Self {
        Self { reason: reason.into(), goodbye: false }
    }
}

impl Guest {
    pub(super) fn new(now: Duration, entry: &Arc<Entry>, transport: Transport, agreed: Agreed) -> Self {
        Self {
            entry: Arc::clone(entry),
            transport,
            ways: Vec::new(),
            media: Media::Agreed(Box::new(agreed)),
            touched: true,
            deadline: None,
            place: Place::default(),
            heard: now,
        }
    }

    pub(super) fn is_viewer(&self) -> bool {
        matches!(self.media, Media::Out(_))
    }

    /// Whether it wants a turn now.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.touched || self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Its stream has something for it.
    pub(super) fn touch(&mut self) {
        self.touched = true;
    }

    /// Before which streams it sits, if that has changed since its last turn.
    pub(super) fn take_seats(&mut self) -> Option<Vec<Arc<RtpRing>>> {
        match &mut self.media {
            Media::Out(viewer) => viewer.take_rings(),
            _ => None,
        }
    }

    /// When it wants a turn though nothing comes.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// The paths it is known by.
    pub(super) fn paths(&self) -> impl Iterator<Item = Path> {
        self.ways.iter().map(|(path, _)| *path)
    }

    /// Remembers how to reach a path of the peer. Returns the one that was forgotten for it.
    pub(super) fn know(&mut self, path: Path, way: Way) -> Option<Path> {
        if let Some(known) = self.ways.iter_mut().find(|(known, _)| *known == path) {
            known.1 = way;
            return None;
        }
        self.ways.push((path, way));
        let used = self.transport.path();
        let oldest =
            (self.ways.len() > MAX_WAYS).then(|| self.ways.iter().position(|(path, _)| Some(*path) != used));
        oldest.flatten().map(|oldest| self.ways.remove(oldest).0)
    }

    /// New credentials for ICE on both sides.
    pub(super) fn restart(&mut self, local: Credentials, remote_ufrag: String) {
        self.transport.restart(local, remote_ufrag);
    }

    /// Takes a datagram that came on `path`. `seat`: has a viewer sit down before its stream.
    ///
    /// # Errors
    /// When the stream is over for this publisher.
    pub(super) fn take(
        &mut self,
        now: Duration,
        path: Path,
        datagram: BytesMut,
        seat: impl FnOnce(&Arc<RtpRing>),
    ) -> Result<(), Over> {
        self.touched = true;
        let incoming = self.transport.receive(now, path, datagram);
        // What comes right behind the handshake is media already.
        if self.transport.is_connected() {
            self.begin(now, seat);
        }
        match (incoming, &mut self.media) {
            (Some(Incoming::Rtp { packet, .. }), Media::In(feed)) => {
                self.heard = now;
                feed.rtp(now, packet).map_err(|error| Over::because(error.to_string()))
            }
            (Some(Incoming::Rtcp(compound)), Media::In(feed)) => {
                feed.rtcp(now, &compound);
                Ok(())
            }
            (Some(Incoming::Rtcp(compound)), Media::Out(viewer)) => {
                viewer.rtcp(now, &compound);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Begins the media, now that it can flow.
    fn begin(&mut self, now: Duration, seat: impl FnOnce(&Arc<RtpRing>)) {
        let Some(negotiated) = self.entry.negotiated() else { return };
        let agreed = match std::mem::replace(&mut self.media, Media::Over) {
            Media::Agreed(agreed) => agreed,
            begun => {
                self.media = begun;
                return;
            }
        };
        self.heard = now;
        self.media = match *agreed {
            Agreed::Publish { publisher, config } => {
                Media::In(Box::new(Feed::new(now, publisher, &negotiated.media, config)))
            }
            Agreed::Play(Seated { ring, layers, session, cname, random }) => {
                seat(&ring);
                let viewer = Viewer::new(ring, session, negotiated, &cname, random);
                let viewer = match layers {
                    Some(layers) => viewer.choosing(layers),
                    None => viewer,
                };
                Media::Out(Box::new(viewer))
            }
        };
    }

    /// Its turn: what came goes on, what is due is sent.
    ///
    /// # Errors
    /// When it is over; the peer is still to be told.
    pub(super) fn serve(&mut self, now: Duration, port: &mut Port) -> Result<(), Over> {
        self.touched = false;
        self.transport.handle_timeout(now);
        self.send_transport(port);
        if let TransportState::Closed(reason) = self.transport.state() {
            let words =
                if *reason == CloseReason::SetupTimeout { self.half_way() } else { reason.to_string() };
            return Err(Over { goodbye: *reason == CloseReason::Peer, reason: words.into() });
        }
        let media = match &mut self.media {
            Media::In(feed) => {
                let took = feed.handle_timeout(now);
                while let Some(compound) = feed.poll_rtcp(now) {
                    let Some(outbound) = self.transport.outbound() else { break };
                    port.out.clear();
                    outbound.seal_rtcp(&compound, &mut port.out);
                    send(&self.ways, self.transport.path(), port, port.out.len());
                }
                feed.flush();
                took.map_err(|error| Over::because(error.to_string()))?;
                feed.poll_timeout()
            }
            Media::Out(viewer) => {
                while let Some(outbound) = self.transport.outbound()
                    && let Some(run) = viewer.fill(now, outbound, &mut port.out)
                {
                    send(&self.ways, self.transport.path(), port, run.segment_size);
                }
                if !viewer.keeps_up(now, &port.context) {
                    return Err(Over::because("too slow for this stream"));
                }
                viewer.poll_timeout()
            }
            Media::Agreed(_) | Media::Over => None,
        };
        self.deadline = media.into_iter().chain(self.transport.poll_timeout()).min();
        Ok(())
    }

    /// How far a peer came that showed up and was not connected in time.
    fn half_way(&self) -> String {
        let from: Vec<_> = self.paths().map(|path| path.to_string()).take(MAX_NAMED).collect();
        format!(
            "its media connection was not made in time: it came from {}, and did not finish the DTLS handshake",
            from.join(" and ")
        )
    }

    /// Sends what the transport itself has to say.
    fn send_transport(&mut self, port: &mut Port) {
        while let Some((path, datagram)) = self.transport.poll_transmit() {
            port.out.clear();
            port.out.extend_from_slice(&datagram);
            send(&self.ways, Some(path), port, datagram.len());
        }
    }

    /// Looks after what changes rarely.
    ///
    /// # Errors
    /// When it is over; the peer is still to be told.
    pub(super) fn care(&mut self, now: Duration, port: &Port) -> Result<(), Over> {
        if self.entry.session.end_reason().is_some() {
            return Err(Over::told(&self.entry));
        }
        let config = &port.context.config.webrtc;
        let silent_ms = u64::try_from(now.saturating_sub(self.heard).as_millis()).unwrap_or(u64::MAX);
        let used = self.transport.path();
        let way = self.ways.iter().find(|(path, _)| Some(*path) == used);
        if let Some((_, Way::Tcp(outbox))) = way
            && outbox.is_closed()
        {
            return Err(Over::because("the peer closed its connection"));
        }
        let reason: Arc<str> = match &mut self.media {
            Media::Agreed(_) if silent_ms > config.connect_timeout_ms => self.half_way().into(),
            Media::In(_) if silent_ms > config.stall_timeout_ms => "the peer sends nothing any more".into(),
            Media::In(feed) => {
                feed.tell_stats();
                return Ok(());
            }
            Media::Out(viewer) => {
                self.entry.session.set_webrtc(viewer.stats());
                match viewer.ended(now) {
                    Some(reason) => reason,
                    None => return Ok(()),
                }
            }
            Media::Agreed(_) | Media::Over => return Ok(()),
        };
        Err(Over::because(reason))
    }

    /// Says goodbye.
    pub(super) fn end(mut self, over: Over, port: &mut Port) {
        if let (Media::Out(viewer), Some(outbound)) = (&mut self.media, self.transport.outbound()) {
            viewer.goodbye(outbound, &mut port.out);
            send(&self.ways, self.transport.path(), port, port.out.len());
        }
        self.transport.close();
        self.send_transport(port);
        self.leave(over);
    }

    /// Is over, with nobody to tell.
    pub(super) fn leave(self, over: Over) {
        let Over { reason, goodbye } = over;
        let mut publisher = match self.media {
            Media::In(mut feed) => {
                feed.flush();
                feed.publisher
            }
            Media::Out(mut viewer) => {
                viewer.session.because(reason);
                return;
            }
            Media::Agreed(agreed) => match *agreed {
                Agreed::Publish { publisher, .. } => publisher,
                Agreed::Play(Seated { mut session, .. }) => {
                    session.because(reason);
                    return;
                }
            },
            Media::Over => return,
        };
        if goodbye {
            publisher.finish(&reason);
        } else {
            publisher.session_mut().because(reason);
        }
    }
}

/// Sends what is in the port's buffer, in datagrams of `segment` bytes.
fn send(ways: &[(Path, Way)], path: Option<Path>, port: &Port, segment: usize) {
    let way = ways.iter().find(|(known, _)| Some(*known) == path).map(|(_, way)| way);
    match way {
        Some(Way::Udp(route)) => port.send_run(*route, &port.out, segment),
        Some(Way::Tcp(outbox)) => port.lost(outbox.send(&port.out, segment)),
        None => {}
    }
}
