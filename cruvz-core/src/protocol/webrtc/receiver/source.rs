//! One SSRC of media: packets in, frames out.

use std::time::Duration;

use bytes::Bytes;
use cruvz_media::{
    CodecParams, Timestamp, TrackKind,
    rtp::{self, Depacketizer, Packet},
};

use super::{
    Config,
    buffer::{Buffer, Counts, Inserted, Missing},
    clock::{Clock, Sync},
    keyframes::Keyframes,
    line::{Line, Place},
    reception::Reception,
    rtt::Rtt,
};
use crate::protocol::webrtc::rtcp::ReportBlock;

/// A source that is silent for so long is not asked for keyframes: it has no picture to send.
const SILENCE: Duration = Duration::from_secs(2);

/// The receiver's side of one SSRC.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) ssrc: u32,
    /// The media section it belongs to, as an index, and the layer.
    pub(super) line: usize,
    pub(super) rid: Option<String>,
    /// Which of the layers of its simulcast it is.
    pub(super) layer: Option<usize>,
    pub(super) kind: TrackKind,
    pub(super) keyframes: Keyframes,
    pub(super) params: Option<CodecParams>,
    /// Grows with each change of `params`.
    pub(super) version: u64,
    /// Which version those who follow its layer know.
    pub(super) told: u64,
    pub(super) last_packet: Duration,
    /// Whether what is lost can be asked for.
    nack: bool,
    buffer: Buffer,
    reception: Option<Reception>,
    rate_hz: u32,
    depacketizer: Depacketizer,
    clock: Clock,
    /// Whether packets were given up since the last one that carried something.
    gap: bool,
}

/// A frame without its track.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) at: Timestamp,
    pub(super) keyframe: bool,
    pub(super) payload: Bytes,
}

impl Source {
    /// Of `place` on `line`; `None` for a codec that has no payload format.
    pub(super) fn new(now: Duration, ssrc: u32, place: Place, line: &Line, config: &Config) -> Option<Self> {
        let layer = place.rid.as_ref().and_then(|rid| line.layers().iter().position(|layer| layer == rid));
        Some(Self {
            ssrc,
            line: place.line,
            rid: place.rid,
            layer,
            kind: line.kind,
            keyframes: Keyframes::new(now),
            params: None,
            version: 0,
            told: 0,
            last_packet: now,
            nack: line.nack,
            buffer: Buffer::default(),
            reception: None,
            rate_hz: line.rate.hz(),
            depacketizer: line.depacketizer(config)?,
            clock: Clock::new(line.kind, line.rate),
            gap: false,
        })
    }

    pub(super) fn waiting(&self) -> usize {
        self.buffer.waiting()
    }

    pub(super) fn counts(&self) -> Counts {
        self.buffer.counts()
    }

    pub(super) fn depacketized(&self) -> rtp::Counters {
        self.depacketizer.counters()
    }

    pub(super) fn jitter(&self) -> Duration {
        self.reception.as_ref().map_or(Duration::ZERO, Reception::jitter)
    }

    /// Takes a packet under its own number.
    pub(super) fn receive(&mut self, now: Duration, packet: Packet, config: &Config) {
        self.last_packet = now;
        let timestamp = packet.header.timestamp;
        let inserted = self.buffer.insert(now, packet, config);
        self.count(now, inserted, timestamp);
    }

    /// Takes a packet that was sent again. The time from the request to it is a round trip.
    pub(super) fn receive_again(&mut self, now: Duration, packet: Packet, rtt: &mut Rtt) -> bool {
        let timestamp = packet.header.timestamp;
        let inserted = self.buffer.insert_again(packet);
        match inserted {
            Inserted::Missing(Missing { asked: Some(asked), tries: 1, .. }) => {
                rtt.sample(now.saturating_sub(asked))
            }
            Inserted::Missing(Missing { asked: Some(_), .. }) => rtt.doubt(),
            _ => {}
        }
        self.count(now, inserted, timestamp);
        matches!(inserted, Inserted::Missing(_))
    }

    fn count(&mut self, now: Duration, inserted: Inserted, timestamp: u32) {
        let (Inserted::Newest(seq) | Inserted::Restart(seq)) = inserted else {
            if let (Inserted::Missing(_), Some(reception)) = (inserted, &mut self.reception) {
                reception.received();
            }
            return;
        };
        let reception = self.reception.get_or_insert_with(|| Reception::new(self.rate_hz, seq));
        if matches!(inserted, Inserted::Restart(_)) {
            reception.restart(seq);
        }
        reception.received();
        reception.newest(now, seq, timestamp);
    }

    /// Hands what is in order to `frames`, and gives up what was waited for too long.
    pub(super) fn drain(
        &mut self,
        now: Duration,
        rtt: &Rtt,
        config: &Config,
        sync: &mut Sync,
        frames: &mut Vec<Whole>,
    ) {
        let (wait, mut events) = (self.wait(rtt, config), Vec::new());
        while let Some(next) = self.buffer.pop(now, wait) {
            self.gap |= next.after_gap;
            if next.after_gap {
                self.keyframes.lost();
            }
            // Padding that probes the network has a number of its own, and nothing else.
            if next.packet.payload.is_empty() {
                continue;
            }
            self.depacketizer.push(&next.packet, std::mem::take(&mut self.gap), &mut events);
            for event in events.drain(..) {
                self.take(now, event, sync, frames);
            }
        }
        if self.kind == TrackKind::Video && self.depacketizer.needs_keyframe() {
            self.keyframes.need();
        }
    }

    fn take(&mut self, now: Duration, event: rtp::Event, sync: &mut Sync, frames: &mut Vec<Whole>) {
        match event {
            rtp::Event::Params(params) => {
                self.version += 1;
                self.params = Some(params);
            }
            rtp::Event::Frame { timestamp, keyframe, payload } => {
                if keyframe && self.kind == TrackKind::Video {
                    self.keyframes.came(now);
                }
                let at = self.clock.place(now, timestamp, sync);
                frames.push(Whole { at, keyframe, payload });
            }
            _ => {}
        }
    }

    /// A sender report says that RTP time `rtp` is `ntp`.
    pub(super) fn sender_report(&mut self, now: Duration, ntp: u64, rtp: u32, sync: &mut Sync) {
        if let Some(reception) = &mut self.reception {
            reception.sender_report(now, ntp);
        }
        // Zero says that the sender has no idea of the time (RFC 3550 §6.4.1).
        if ntp != 0 {
            self.clock.report(ntp, rtp, sync);
        }
    }

    /// What a receiver report says of it.
    pub(super) fn report(&mut self, now: Duration) -> Option<ReportBlock> {
        Some(self.reception.as_mut()?.report(now, self.ssrc))
    }

    /// Adds what is to be asked for again, up to `limit`.
    pub(super) fn nacks(
        &mut self,
        now: Duration,
        rtt: &Rtt,
        config: &Config,
        limit: usize,
        out: &mut Vec<u16>,
    ) {
        if self.nack {
            self.buffer.nacks(now, rtt.repeat(), config, limit, out);
        }
    }

    /// Whether a keyframe is to be asked for now; it is taken for asked for.
    pub(super) fn take_keyframe_request(&mut self, now: Duration, config: &Config) -> bool {
        self.keyframe_due(config).is_some() && self.keyframes.take(now, config)
    }

    /// When something is to be done.
    pub(super) fn timeout(&self, rtt: &Rtt, config: &Config) -> Option<Duration> {
        let nacks = self.buffer.nacks_at(rtt.repeat(), config).filter(|_| self.nack);
        let gives_up = self.buffer.gives_up_at(self.wait(rtt, config));
        [nacks, self.keyframe_due(config), gives_up].into_iter().flatten().min()
    }

    /// When a keyframe is to be asked for, unless the source has fallen silent by then.
    fn keyframe_due(&self, config: &Config) -> Option<Duration> {
        let silent_at = self.last_packet.saturating_add(SILENCE);
        self.keyframes.due(config).filter(|&due| self.kind == TrackKind::Video && due < silent_at)
    }

    fn wait(&self, rtt: &Rtt, config: &Config) -> Duration {
        if self.nack { rtt.wait(config.max_wait) } else { config.reorder_wait }
    }
}
