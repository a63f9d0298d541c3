//! One SRT connection and the stream that it brings or takes: what callers, pulls and pushes have in common.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    analytics::srt::SrtStats,
    egress::srt::Viewer,
    ingest::mpegts::Feed,
    protocol::srt::{CloseReason, Connection, ConnectionConfig, Control, Established, Event, Packet, Run},
    runtime::{port::Port, udp::Route},
    session::Session,
};

/// The stream of a connection.
pub(crate) enum Media {
    /// The peer brings it.
    In(Box<Feed>),
    /// The peer takes it.
    Out(Box<Viewer>),
}

impl Media {
    pub(crate) fn session(&self) -> &Session {
        match self {
            Self::In(feed) => feed.publisher.session(),
            Self::Out(viewer) => &viewer.session,
        }
    }

    /// Says why the session ends, unless that was said.
    fn because(&mut self, reason: &str) {
        match self {
            Self::In(feed) => feed.publisher.session_mut().because(reason),
            Self::Out(viewer) => viewer.session.because(reason),
        }
    }
}

/// A connection and its stream.
pub(crate) struct Link {
    pub(crate) route: Route,
    connection: Box<Connection>,
    /// How long the peer holds back what it is sent.
    latency: Duration,
    pub(crate) media: Media,
    /// Something came since its last turn.
    touched: bool,
    /// It lacks packets, and every moment counts.
    lacks: bool,
}

/// A link is over, and this is why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Over(pub(crate) String);

impl Link {
    pub(crate) fn new(
        now: Duration,
        config: Arc<ConnectionConfig>,
        route: Route,
        established: Established,
        media: Media,
    ) -> Self {
        let latency = established.send_latency;
        let connection = Box::new(Connection::new(now, established, config));
        Self { route, connection, latency, media, touched: true, lacks: false }
    }

    pub(crate) fn is_viewer(&self) -> bool {
        matches!(self.media, Media::Out(_))
    }

    /// When it wants a turn though nothing comes. Viewers also have theirs at each gathering.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.connection.poll_timeout()
    }

    /// Whether it wants a turn now.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.touched || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Whether its peer lacks packets that it may have at once.
    pub(crate) fn lacks(&self) -> bool {
        self.lacks
    }

    /// Takes a datagram of its peer. What is no packet changes nothing, as if it had been lost, and is said to be none.
    pub(crate) fn take(&mut self, now: Duration, datagram: Bytes) -> bool {
        let Ok(packet) = Packet::parse(datagram) else { return false };
        self.lacks |= matches!(&packet, Packet::Control(control) if matches!(control.body, Control::Nak(_)));
        self.connection.receive(now, packet);
        self.touched = true;
        true
    }

    /// Its turn: what came goes on, what is due is sent.
    ///
    /// # Errors
    /// When it is over; the peer has been told.
    pub(crate) fn serve(&mut self, now: Duration, port: &mut Port) -> Result<(), Over> {
        (self.touched, self.lacks) = (false, false);
        self.connection.handle_timeout(now);
        let over = self.events(now);
        if let Media::In(feed) = &self.media {
            feed.publisher.flush();
        }
        match over {
            Ok(()) if self.send(now, port) => Ok(()),
            Ok(()) => Err(self.end(now, "too slow for this stream".into(), port)),
            Err(over) => Err(self.end(now, over.0, port)),
        }
    }

    /// Looks after what changes rarely.
    ///
    /// # Errors
    /// When it is over; the peer has been told.
    pub(crate) fn care(&mut self, now: Duration, port: &mut Port) -> Result<(), Over> {
        let stats = self.connection.stats();
        let limit = Duration::from_millis(port.context.config.egress.stuck_timeout_ms);
        let is_stuck = stats.sent.waits_since.is_some_and(|since| now.saturating_sub(since) > limit);
        let ended = self.media.session().end_reason().or_else(|| match &self.media {
            Media::Out(_) if is_stuck => Some("took nothing for too long".into()),
            Media::Out(viewer) => viewer.ended(&self.connection, self.latency, now),
            Media::In(_) => None,
        });
        self.media.session().set_srt(match self.media {
            Media::In(_) => SrtStats::received(&stats),
            Media::Out(_) => SrtStats::sent(&stats),
        });
        match ended {
            None => Ok(()),
            Some(reason) => Err(self.end(now, reason.to_string(), port)),
        }
    }

    /// Says goodbye, unless the peer did.
    pub(crate) fn end(&mut self, now: Duration, reason: String, port: &mut Port) -> Over {
        self.media.because(&reason);
        if let Media::In(feed) = &mut self.media {
            // What only the next packet would have ended. If the stream does not take it, it is over already.
            let _ = feed.finish();
            feed.publisher.flush();
        }
        self.connection.close();
        while let Some(run) = self.connection.poll_transmit(now, &mut port.out) {
            port.send_run(self.route, &port.out, run.segment_size);
        }
        Over(reason)
    }

    fn events(&mut self, now: Duration) -> Result<(), Over> {
        while let Some(event) = self.connection.poll_event(now) {
            match (event, &mut self.media) {
                (Event::Data(payload), Media::In(feed)) => {
                    feed.append(&payload).map_err(|error| Over(error.to_string()))?;
                }
                (Event::Closed(reason), _) => return Err(Over(told(reason).into())),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sends what is due. `false` for a viewer that is too slow.
    fn send(&mut self, now: Duration, port: &mut Port) -> bool {
        loop {
            let run: Option<Run> = match &mut self.media {
                Media::In(_) => self.connection.poll_transmit(now, &mut port.out),
                Media::Out(viewer) => viewer.fill(now, &mut self.connection, &mut port.out),
            };
            let Some(run) = run else { break };
            port.send_run(self.route, &port.out, run.segment_size);
        }
        match &mut self.media {
            Media::In(_) => true,
            Media::Out(viewer) => viewer.keeps_up(now, &port.context),
        }
    }
}

/// The reason as sessions say it.
fn told(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Peer => "the peer closed the connection",
        CloseReason::Idle => "the peer says nothing any more",
        _ => "the connection was closed",
    }
}
