//! What a [`Sender`] sends next.

use std::time::Duration;

use cruvz_media::TrackKind;

use super::{
    Bandwidth, LaneConfig, MediaPacket, Run, Sender, StreamLog, TrackLog, lane::Lane, probe::Probe, report,
    run::RunWriter,
};
use crate::protocol::webrtc::srtp::Outbound;

/// How often the viewer is told of the clock, and how long that waits for a datagram to go behind.
const REPORT_EVERY: Duration = Duration::from_secs(1);
const REPORT_WAITS: Duration = Duration::from_millis(200);
/// How long sound waits for the next picture, so that both go out at once: 20 ms.
pub const SOUND_WAITS: Duration = Duration::from_millis(20);
/// A viewer that is more than this behind goes on at a newer keyframe, if there is one.
const MAX_LAG: Duration = Duration::from_secs(1);
/// Bytes that may be sent again at most; each packet earns half its length.
const MAX_CREDIT: usize = 256 << 10;
/// The RTP header without extensions (RFC 3550 §5.1).
const HEADER_BYTES: usize = 12;
/// The extension of one element of two bytes (RFC 8285 §4.2).
const EXTENSION_BYTES: usize = 8;
/// The number of the packet that one on another source repeats (RFC 4588 §4).
const ORIGINAL_BYTES: usize = 2;
/// What padding consists of, apart from its last byte.
const ZEROS: [u8; 254] = [0; 254];

/// The numbers by which the viewer tells of packets, whatever their track.
#[derive(Debug)]
pub(super) struct Numbers {
    next: u16,
    /// What is found out by them.
    pub(super) bandwidth: Option<Box<Bandwidth>>,
}

impl Numbers {
    pub(super) fn new(first: u16) -> Self {
        Self { next: first, bandwidth: None }
    }

    /// A packet of `bytes` was sent under the next number.
    fn sent(&mut self, now: Duration, bytes: usize) {
        if let Some(bandwidth) = &mut self.bandwidth {
            bandwidth.sent(now, self.next, bytes);
        }
        self.next = self.next.wrapping_add(1);
    }
}

/// What the header of a packet says beside the packet.
#[derive(Clone, Copy)]
struct Head<'a> {
    config: &'a LaneConfig,
    number: u64,
    /// What is added to its timestamp.
    shift: u32,
}

/// A run that is being written.
struct Wire<'a> {
    now: Duration,
    srtp: &'a mut Outbound,
    run: RunWriter<'a>,
}

impl Sender {
    /// Fills `out` with the next run of sealed datagrams that are due: what is sent again first, then pictures, then
    /// sound; `None` when that is all for now.
    pub fn fill<L: StreamLog>(
        &mut self,
        now: Duration,
        log: &L,
        srtp: &mut Outbound,
        out: &mut Vec<u8>,
    ) -> Option<Run> {
        self.catch_up(now, log);
        let mut wire = Wire { now, srtp, run: RunWriter::new(out) };
        // Each appends what fits behind what is there already.
        self.repeat(log, &mut wire);
        self.send_video(now, log.track(TrackKind::Video), &mut wire);
        self.send_audio(now, log.track(TrackKind::Audio), &mut wire);
        self.send_report(now, log, &mut wire);
        self.send_probe(log.track(TrackKind::Video), &mut wire);
        let run = wire.run.finish();
        (self.deadline, self.sound_at) = (self.next_look(log), self.next_sound(log));
        run
    }

    /// Jumps to the newest keyframe if its place is gone, or too far behind.
    fn catch_up<L: StreamLog>(&mut self, now: Duration, log: &L) {
        let audio = log.track(TrackKind::Audio);
        if let Some(lane) = &mut self.audio
            && lane.is_late(now, audio, MAX_LAG)
        {
            if self.video.is_none() {
                self.stats.skips += 1;
                self.skipped = Some(lane.frames_to(audio.end().saturating_sub(1), audio));
            }
            lane.go(audio.end());
        }
        let video = log.track(TrackKind::Video);
        let Some((lane, start)) = self.video.as_mut().zip(video.newest_start()) else { return };
        match lane.position() {
            // Pictures that came after the sound.
            None => lane.go(start),
            Some(position) if start > position && lane.is_late(now, video, MAX_LAG) => {
                self.stats.skips += 1;
                self.skipped = Some(lane.frames_to(start, video));
                lane.go(start);
            }
            Some(_) => {}
        }
    }

    /// Packets that the viewer lacks.
    fn repeat<L: StreamLog>(&mut self, log: &L, wire: &mut Wire<'_>) {
        for lane in self.video.iter_mut().chain(&mut self.audio) {
            let (config, track) = (lane.config, log.track(lane.config.kind));
            while let Some((packet, number)) = lane.repeat(track, &mut self.stats.refused) {
                let bytes = wire.bytes(&config, packet, config.rtx.is_some());
                if !wire.run.fits(bytes) {
                    return;
                }
                lane.repeated();
                if self.credit < bytes {
                    self.stats.refused += 1;
                    continue;
                }
                self.credit -= bytes;
                self.stats.retransmitted += 1;
                if config.rtx.is_some() {
                    wire.write_again(lane, number, packet, &mut self.numbers);
                } else {
                    // Without a number for feedback, so nothing differs from the first time.
                    let head = Head { config: &config, number, shift: lane.shift() };
                    wire.write(head, packet, (None, &mut self.numbers));
                }
            }
        }
    }

    /// Packets that the viewer has, as many as [`Self::probe`] wants.
    fn send_probe(&mut self, track: &impl TrackLog, wire: &mut Wire<'_>) {
        let (Some(lane), Some(probe)) = (&mut self.video, &mut self.probe) else { return };
        while let Some(back) = probe.next(wire.now) {
            let index = lane.sent_before(back).or_else(|| lane.sent_before(1));
            let Some((index, packet)) = index.and_then(|index| Some((index, track.packet(index)?))) else {
                probe.pass(wire.now);
                return;
            };
            let bytes = wire.bytes(&lane.config, packet, true);
            if !wire.run.fits(bytes) {
                return;
            }
            let number = lane.number_of(index);
            wire.write_again(lane, number, packet, &mut self.numbers);
            probe.sent(bytes);
        }
    }

    /// Pictures: those that are new, and older ones as fast as a viewer may catch up.
    fn send_video(&mut self, now: Duration, track: &impl TrackLog, wire: &mut Wire<'_>) {
        let Some(lane) = &mut self.video else { return };
        while let Some(packet) = lane.upcoming(track) {
            if !wire.run.fits(wire.bytes(&lane.config, packet, false)) || !self.pacer.take(now, packet.origin)
            {
                break;
            }
            let number = lane.number();
            let head = Head { config: &lane.config, number, shift: lane.shift() };
            let bytes = wire.write(head, packet, (None, &mut self.numbers));
            self.credit = (self.credit + bytes / 2).min(MAX_CREDIT);
            self.stats.packets += 1;
            self.stats.frames += u64::from(lane.sent(packet));
            self.video_at = Some(now);
        }
    }

    /// Sound: behind pictures that went out just now, or what has waited for long enough.
    fn send_audio(&mut self, now: Duration, track: &impl TrackLog, wire: &mut Wire<'_>) {
        let rides = self.video.is_none() || self.video_at == Some(now);
        let Some(lane) = &mut self.audio else { return };
        while let Some(packet) = lane.upcoming(track) {
            let may = rides || now >= packet.origin + SOUND_WAITS;
            if !may || !wire.run.fits(wire.bytes(&lane.config, packet, false)) {
                break;
            }
            let number = lane.number();
            let head = Head { config: &lane.config, number, shift: lane.shift() };
            let bytes = wire.write(head, packet, (None, &mut self.numbers));
            self.credit = (self.credit + bytes / 2).min(MAX_CREDIT);
            self.stats.packets += 1;
            self.stats.frames += u64::from(lane.sent(packet));
        }
    }

    /// Tells of the clock: behind other datagrams if there are any in time.
    fn send_report<L: StreamLog>(&mut self, now: Duration, log: &L, wire: &mut Wire<'_>) {
        let alone = wire.run.is_empty();
        let due = if alone { self.next_report + REPORT_WAITS } else { self.next_report };
        let Some(clock) = log.clock().filter(|_| now >= due) else { return };
        let lanes = self.video.iter().chain(&self.audio).filter(|lane| lane.position().is_some());
        if lanes.clone().all(|lane| lane.packets == 0) {
            return;
        }
        let mut compound = Vec::new();
        report::write_sender_reports(&mut compound, lanes, &clock, now, &self.cname);
        if wire.run.fits(compound.len() + wire.srtp.rtcp_overhead()) {
            wire.run.push(|out| wire.srtp.seal_rtcp(&compound, out));
            self.next_report = now + REPORT_EVERY;
        }
    }

    /// Begins to find out what the viewer's network carries, if that was not begun; what was found out so far.
    pub fn measure(&mut self) -> &mut Bandwidth {
        self.numbers.bandwidth.get_or_insert_default()
    }

    /// From here on it is sent so many bits per second.
    pub fn sends(&mut self, rate_bps: u64) {
        self.rate_bps = rate_bps;
    }

    /// Whether the viewer can be sent what it has, to see what its network carries: on the source for repeats.
    pub fn can_probe(&self) -> bool {
        let lane = self.video.as_ref();
        lane.is_some_and(|lane| lane.config.rtx.is_some() && lane.config.transport_cc.is_some())
    }

    /// From here on so many bits per second of what the viewer has are sent beside the media.
    pub fn probe(&mut self, now: Duration, bps: Option<u64>) {
        if self.probe.as_ref().map(Probe::bps) != bps {
            self.probe = bps.filter(|_| self.can_probe()).map(|bps| Probe::new(now, bps));
        }
    }

    /// The media time of the last picture that was sent, in microseconds.
    pub fn picture_time_us(&self) -> Option<i64> {
        self.video.as_ref()?.time_us
    }

    /// From here on pictures come from `track`, another log of the same clock, from index `start` on, where a viewer can begin. Numbers
    /// stay without a gap; what was sent before can no longer be repeated.
    pub fn switch(&mut self, track: &impl TrackLog, start: u64) {
        if let Some(lane) = &mut self.video {
            lane.switch(track, start);
        }
        if let Some(bandwidth) = &mut self.numbers.bandwidth {
            bandwidth.restart();
        }
    }

    /// When there is something to do although nothing new came.
    fn next_look<L: StreamLog>(&self, log: &L) -> Option<Duration> {
        // Pictures that were not sent had to wait for their turn.
        let video = upcoming(&self.video, log).map(|_| self.pacer.next());
        let report = self.has_begun().then_some(self.next_report + REPORT_WAITS);
        let probe = self.probe.as_ref().map(Probe::due);
        video.into_iter().chain(report).chain(probe).min()
    }

    /// When sound has waited for long enough.
    fn next_sound<L: StreamLog>(&self, log: &L) -> Option<Duration> {
        Some(upcoming(&self.audio, log)?.origin + SOUND_WAITS)
    }
}

fn upcoming<'a, L: StreamLog>(lane: &Option<Lane>, log: &'a L) -> Option<&'a MediaPacket> {
    let lane = lane.as_ref()?;
    log.track(lane.config.kind).packet(lane.position()?)
}

impl Wire<'_> {
    /// The length of a packet when it is sealed, sent for the first time or again on another source.
    fn bytes(&self, config: &LaneConfig, packet: &MediaPacket, again: bool) -> usize {
        let extension = if config.extension().is_some() { EXTENSION_BYTES } else { 0 };
        let extra = if again { ORIGINAL_BYTES } else { packet.padding.into() };
        HEADER_BYTES + extension + packet.payload.len() + extra + self.srtp.overhead()
    }

    /// Appends a sealed packet (RFC 3550 §5.1, RFC 8285 §4.2); its length. `original`: the number that it had, if it is sent
    /// again on another source: without padding then (RFC 4588 §4).
    fn write(
        &mut self,
        head: Head<'_>,
        packet: &MediaPacket,
        (original, numbers): (Option<u16>, &mut Numbers),
    ) -> usize {
        let Head { config, number, shift } = head;
        let extension = config.extension();
        let padding = if original.is_some() { 0 } else { packet.padding };
        let timestamp = packet.timestamp.wrapping_add(shift);
        let mut header = [0; HEADER_BYTES + EXTENSION_BYTES];
        header[0] = 0x80 | u8::from(padding > 0) << 5 | u8::from(extension.is_some()) << 4;
        header[1] = u8::from(packet.marker) << 7 | config.payload_type & 0x7f;
        header[2..4].copy_from_slice(&(number as u16).to_be_bytes());
        header[4..8].copy_from_slice(&timestamp.to_be_bytes());
        header[8..HEADER_BYTES].copy_from_slice(&config.ssrc.to_be_bytes());
        let mut header_bytes = HEADER_BYTES;
        if let Some(id) = extension {
            let [high, low] = numbers.next.to_be_bytes();
            // The profile of one-byte headers, one word, and in it one element of two bytes and padding.
            header[HEADER_BYTES..].copy_from_slice(&[0xbe, 0xde, 0, 1, id << 4 | 1, high, low, 0]);
            header_bytes += EXTENSION_BYTES;
        }
        let original = original.map(u16::to_be_bytes);
        let before = original.as_ref().map_or(&[][..], |number| number);
        let behind = [padding];
        let (zeros, count): (&[u8], &[u8]) = match padding {
            0 => (&[], &[]),
            _ => (&ZEROS[..usize::from(padding) - 1], &behind),
        };
        let (srtp, header) = (&*self.srtp, &header[..header_bytes]);
        let pieces = [before, &packet.payload, zeros, count];
        let bytes = self.run.push(|out| srtp.seal_rtp(number, header, &pieces, out));
        if extension.is_some() {
            numbers.sent(self.now, bytes);
        }
        bytes
    }

    /// Appends a packet that was sent under `number`, on the source for those that are sent again (RFC 4588 §4).
    fn write_again(&mut self, lane: &mut Lane, number: u64, packet: &MediaPacket, numbers: &mut Numbers) {
        let Some(rtx) = lane.config.rtx else { return };
        let config = LaneConfig { payload_type: rtx.payload_type, ssrc: rtx.ssrc, ..lane.config };
        let head = Head { config: &config, number: lane.take_rtx_number(), shift: lane.shift() };
        self.write(head, packet, (Some(number as u16), numbers));
    }
}
