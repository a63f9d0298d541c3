//! A connection after the handshake, both directions (§4).
//!
//! Packets of the peer go into [`Connection::receive`]; media in order and in time comes out of
//! [`Connection::poll_event`]. What is to be sent is written by [`Connection::fill`], which reads media from a
//! [`PacketLog`] that all viewers of a stream share, as runs of equal segments for one segmented send (GSO), small
//! control packets behind them. Until the first packet comes nothing is kept for the receiving half, and the sending
//! half keeps no packets at all.
//!
//! A peer can make it do a bounded amount of work per packet and keep a bounded amount of memory, whatever it sends:
//! answers are state ("an acknowledgement is to be answered"), not queues.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Ack, AckBody, Control, ControlPacket, Crypto, DataPacket, Established, KeyFlag, Packet};

mod acks;
mod buffer;
mod config;
mod log;
mod losses;
mod pacer;
mod rate;
mod receiver;
mod repeats;
mod rtt;
mod sender;
mod stats;
mod tolerance;
mod tsbpd;

pub use config::{Bandwidth, ConnectionConfig};
pub use log::PacketLog;
pub use stats::{ReceiveStats, SendStats, Stats};

use receiver::Receiver;
use rtt::Rtt;
use sender::Sender;

/// What a connection has for its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The next packet's payload, in order and in time.
    Data(Bytes),
    /// So many packets between the last and the next did not come in time.
    Gap {
        /// How many.
        packets: u64,
    },
    /// The peer or the network was too slow: what the log holds from one index to before another was passed over.
    Skipped {
        /// The first that was not sent.
        from: u64,
        /// Where it goes on.
        to: u64,
    },
    /// The connection is over; nothing follows.
    Closed(CloseReason),
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer said so.
    Peer,
    /// The peer was silent for [`ConnectionConfig::peer_idle`].
    Idle,
    /// [`Connection::close`] was called.
    Local,
}

/// What a buffer was filled with: datagrams of the same length one behind the other, of which only the last may be
/// shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Bytes of each datagram but the last.
    pub segment_size: usize,
    /// How many datagrams.
    pub segments: usize,
}

/// One connection, after the handshake and until its end.
#[derive(Debug)]
pub struct Connection {
    config: Arc<ConnectionConfig>,
    established: Established,
    crypto: Option<Crypto>,
    rtt: Rtt,
    sender: Sender,
    receiver: Option<Box<Receiver>>,
    /// The acknowledgement to answer: the last one, as one answer per gather is enough.
    ack_ack: Option<u32>,
    /// What the peer's last key material is answered with.
    key_answer: Option<Bytes>,
    /// How we know that the peer is ready for media.
    opening: Option<Opening>,
    last_heard: Duration,
    last_sent: Duration,
    closed: Option<Closed>,
    unwanted: u64,
}

/// The time before the peer has shown that it is ready. It is asked by acknowledgements of the nothing that we have
/// of it, which every peer answers, so that its answer also measures the round trip.
#[derive(Clone, Copy, Debug)]
struct Opening {
    /// When not to wait any longer.
    until: Duration,
    /// The number of the last question, and when it was sent.
    asked: Option<(u32, Duration)>,
}

/// The number of the first question. Those of true acknowledgements count from 1.
const FIRST_QUESTION: u32 = 1 << 30;

/// How far the end is.
#[derive(Clone, Copy, Debug)]
struct Closed {
    reason: CloseReason,
    /// Whether the peer is still to be told.
    tell: bool,
    /// Whether the user has been told.
    told: bool,
}

/// Bytes that a small control packet takes at most: one that may ride behind media.
const SMALL_CONTROL: usize = 32;

impl Connection {
    /// The connection that a handshake has made at `now`.
    #[must_use]
    pub fn new(now: Duration, mut established: Established, config: Arc<ConnectionConfig>) -> Self {
        let crypto = established.crypto.take();
        let overhead = crypto.as_ref().map_or(0, Crypto::overhead);
        Self {
            rtt: Rtt::default(),
            sender: Sender::new(now, &established, overhead, &config),
            receiver: None,
            ack_ack: None,
            key_answer: None,
            opening: Some(Opening { until: now + config.start_patience, asked: None }),
            last_heard: now,
            last_sent: now,
            closed: None,
            unwanted: 0,
            established,
            crypto,
            config,
        }
    }

    /// Takes in a packet that the peer sent to us: the driver has compared its address and socket id.
    pub fn receive(&mut self, now: Duration, packet: Packet) {
        if self.closed.is_some() {
            return;
        }
        self.last_heard = self.last_heard.max(now);
        self.open(now, &packet);
        match packet {
            Packet::Data(packet) => self.data(now, packet),
            Packet::Control(packet) => self.control(now, packet),
        }
    }

    /// The peer is ready when it sends anything that is not of the handshake.
    fn open(&mut self, now: Duration, packet: &Packet) {
        let body = match packet {
            Packet::Control(packet) => Some(&packet.body),
            Packet::Data(_) => None,
        };
        if matches!(body, Some(Control::Handshake(_))) {
            return;
        }
        let asked = self.opening.take().and_then(|opening| opening.asked);
        if let (Some((asked, at)), Some(Control::AckAck { number })) = (asked, body)
            && asked == *number
        {
            self.rtt.sample(now.saturating_sub(at));
        }
    }

    fn data(&mut self, now: Duration, packet: DataPacket) {
        if !self.config.receive {
            self.unwanted += 1;
            return;
        }
        let receiver =
            self.receiver.get_or_insert_with(|| Box::new(Receiver::new(&self.established, &self.config)));
        let crypto = self.crypto.as_ref();
        receiver.data(now, packet, &self.config, |packet| open(crypto, packet));
    }

    fn control(&mut self, now: Duration, packet: ControlPacket) {
        match packet.body {
            Control::Ack(ack) => {
                let known = self.sender.ack(now, &ack, &mut self.rtt);
                if known && ack.body != AckBody::Light {
                    self.ack_ack = Some(ack.number);
                }
            }
            Control::AckAck { number } => {
                let receiver = self.receiver.as_mut();
                let rtt = receiver.and_then(|receiver| receiver.ack_ack(now, number, packet.timestamp_us));
                if let Some(rtt) = rtt {
                    self.rtt.sample(rtt);
                }
            }
            Control::Nak(ranges) => self.sender.nak(&ranges, &self.config),
            Control::DropRequest { range, .. } => {
                if let Some(receiver) = &mut self.receiver {
                    receiver.drop_request(range);
                }
            }
            Control::KeyMaterialRequest(body) => {
                self.key_answer = self.crypto.as_mut().map(|crypto| crypto.receive_request(&body));
            }
            Control::KeyMaterialResponse(body) => {
                if let Some(crypto) = &mut self.crypto {
                    crypto.receive_response(&body);
                }
            }
            Control::Shutdown => self.end(CloseReason::Peer, false),
            // A repeated handshake is the driver's to answer; the rest says nothing that live mode acts on.
            Control::Handshake(_)
            | Control::KeepAlive
            | Control::CongestionWarning
            | Control::PeerError { .. }
            | Control::Unknown { .. } => {}
        }
    }

    /// What there is for the user at `now`. What had come before the end is delivered before
    /// [`Event::Closed`], at once.
    pub fn poll_event(&mut self, now: Duration) -> Option<Event> {
        let reason = self.closed.map(|closed| closed.reason);
        if let Some(receiver) = &mut self.receiver
            && reason != Some(CloseReason::Local)
            && let Some(event) = receiver.deliver(now, reason.is_some())
        {
            return Some(event);
        }
        if let Some((from, to)) = self.sender.skipped() {
            return Some(Event::Skipped { from, to });
        }
        let closed = self.closed.as_mut().filter(|closed| !closed.told)?;
        closed.told = true;
        Some(Event::Closed(closed.reason))
    }

    /// Writes into `out`, which is cleared, what is to be sent next to the peer: media from `log`, or a control
    /// packet. `None` when nothing is. Call it until then whenever the log has grown, a packet was received, or
    /// [`poll_timeout`](Self::poll_timeout) has come; a driver of many viewers does so once per gather.
    pub fn fill<L: PacketLog + ?Sized>(&mut self, now: Duration, log: &L, out: &mut Vec<u8>) -> Option<Run> {
        out.clear();
        let has_media = self.closed.is_none() && log.first() < log.end();
        if has_media && self.write_question(now, out) {
            self.last_sent = now;
            return Some(Run { segment_size: out.len(), segments: 1 });
        }
        let ready = has_media && self.opening.is_none_or(|opening| now >= opening.until);
        let media = ready.then(|| self.write_media(now, log, out)).flatten();
        if let Some(mut run) = media {
            let even = out.len() == run.segments * run.segment_size;
            if even && run.segment_size > SMALL_CONTROL && run.segments < self.config.run_segments {
                run.segments += usize::from(self.write_small_control(now, out));
            }
            self.last_sent = now;
            return Some(run);
        }
        self.write_control(now, out).then(|| {
            self.last_sent = now;
            Run { segment_size: out.len(), segments: 1 }
        })
    }

    /// Like [`fill`](Self::fill) for a connection that sends no media.
    pub fn poll_transmit(&mut self, now: Duration, out: &mut Vec<u8>) -> Option<Run> {
        self.fill(now, &(), out)
    }

    /// Asks whether the peer is ready, if it is time to.
    fn write_question(&mut self, now: Duration, out: &mut Vec<u8>) -> bool {
        let Some(opening) = self.opening.as_mut().filter(|opening| now < opening.until) else { return false };
        let number = match opening.asked {
            Some((_, at)) if now < at + self.config.gather => return false,
            Some((number, _)) => number + 1,
            None => FIRST_QUESTION,
        };
        opening.asked = Some((number, now));
        let body = AckBody::Small {
            rtt: self.rtt.smoothed(),
            rtt_variance: self.rtt.variance(),
            available_packets: self.config.receive_packets.try_into().unwrap_or(u32::MAX),
        };
        let next = self.established.receive_seq;
        self.write(now, Some(Control::Ack(Ack { number, next, body })), out)
    }

    fn write_media<L: PacketLog + ?Sized>(
        &mut self,
        now: Duration,
        log: &L,
        out: &mut Vec<u8>,
    ) -> Option<Run> {
        let Self { config, crypto, rtt, sender, .. } = self;
        sender.fill(now, log, rtt, config, |header, payload| match crypto {
            Some(crypto) => crypto.seal(header, payload, out),
            None => {
                out.extend_from_slice(&header.encode());
                out.extend_from_slice(payload);
            }
        })
    }

    fn write_small_control(&mut self, now: Duration, out: &mut Vec<u8>) -> bool {
        let answer = self.ack_ack.take().map(|number| Control::AckAck { number });
        let body = answer.or_else(|| self.sender.drop_request());
        self.write(now, body, out)
    }

    fn write_control(&mut self, now: Duration, out: &mut Vec<u8>) -> bool {
        if let Some(closed) = &mut self.closed {
            let tell = std::mem::take(&mut closed.tell);
            return self.write(now, tell.then_some(Control::Shutdown), out);
        }
        if self.write_small_control(now, out) {
            return true;
        }
        let keep_alive = now >= self.last_sent + self.config.keep_alive;
        let body = self
            .key_material(now)
            .or_else(|| self.receiver.as_mut().and_then(|receiver| receiver.transmit(now, &self.rtt)))
            .or_else(|| keep_alive.then_some(Control::KeepAlive));
        self.write(now, body, out)
    }

    fn key_material(&mut self, now: Duration) -> Option<Control> {
        if let Some(answer) = self.key_answer.take() {
            return Some(Control::KeyMaterialResponse(answer));
        }
        let request = self.crypto.as_mut()?.poll_key_material(now, self.rtt.smoothed());
        request.map(Control::KeyMaterialRequest)
    }

    fn write(&self, now: Duration, body: Option<Control>, out: &mut Vec<u8>) -> bool {
        let Some(body) = body else { return false };
        // 32 bits that wrap.
        let timestamp_us = now.saturating_sub(self.established.started).as_micros() as u32;
        ControlPacket { timestamp_us, destination: self.established.peer, body }.write(out);
        true
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), [`poll_event`](Self::poll_event) and
    /// [`fill`](Self::fill) at the latest, if nothing else happens. It may be in the past. `None` once closed and
    /// the peer told.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if let Some(closed) = &self.closed {
            return (closed.tell || !closed.told).then_some(Duration::ZERO);
        }
        let answer = (self.ack_ack.is_some() || self.key_answer.is_some()).then_some(Duration::ZERO);
        let idle = self.last_heard + self.config.peer_idle;
        let keep_alive = self.last_sent + self.config.keep_alive;
        let asked = self.opening.and_then(|opening| opening.asked);
        let question = asked.map(|(_, at)| at + self.config.gather);
        let sending = self.sender.next_timeout(&self.rtt);
        let receiving = self.receiver.as_ref().and_then(|receiver| receiver.next_timeout(&self.rtt));
        [answer, question, sending, receiving].into_iter().flatten().chain([idle, keep_alive]).min()
    }

    /// Does what time demands; what is to be sent or delivered for it comes out of [`fill`](Self::fill) and
    /// [`poll_event`](Self::poll_event).
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.closed.is_some() {
            return;
        }
        if now >= self.last_heard + self.config.peer_idle {
            self.end(CloseReason::Idle, true);
        }
        self.sender.handle_timeout(now, &self.rtt);
    }

    /// Ends the connection. The peer is told by the next [`fill`](Self::fill); what was not yet delivered is gone.
    pub fn close(&mut self) {
        self.end(CloseReason::Local, true);
    }

    fn end(&mut self, reason: CloseReason, tell: bool) {
        self.closed.get_or_insert(Closed { reason, tell, told: false });
    }

    /// Whether the connection is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// What the handshake agreed on.
    #[must_use]
    pub fn established(&self) -> &Established {
        &self.established
    }

    /// The log's index of the packet that is sent next for the first time; `None` before media begins.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        self.sender.index()
    }

    /// What was seen and done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let received = self.receiver.as_ref().map_or_else(ReceiveStats::default, |receiver| receiver.stats());
        Stats {
            rtt: self.rtt.smoothed(),
            rtt_variance: self.rtt.variance(),
            sent: self.sender.stats(),
            received: ReceiveStats { unwanted: self.unwanted, ..received },
        }
    }
}

/// The payload in the clear; `None` if it cannot be had, or is not encrypted as agreed.
fn open(crypto: Option<&Crypto>, packet: DataPacket) -> Option<Bytes> {
    match crypto {
        Some(crypto) => crypto.open(&packet.header, packet.payload).ok(),
        None => (packet.header.key == KeyFlag::None).then_some(packet.payload),
    }
}
