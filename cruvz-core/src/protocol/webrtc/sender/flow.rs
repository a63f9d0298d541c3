//! What a [`Sender`] sends next.

use std::time::Duration;

use cruvz_media::TrackKind;

use super::{LaneConfig, MediaPacket, Run, Sender, StreamLog, TrackLog, lane::Lane, report, run::RunWriter};
use crate::protocol::webrtc::srtp::Outbound;

/// How often the viewer is told of the clock, and how long that waits for a datagram to go behind.
const REPORT_EVERY: Duration = Duration::from_secs(1);
const REPORT_WAITS: Duration = Duration::from_millis(200);
/// How long audio waits for the next picture, so that both go out at once.
const AUDIO_WAITS: Duration = Duration::from_millis(20);
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

/// A run that is being written.
struct Wire<'a> {
    srtp: &'a mut Outbound,
    run: RunWriter<'a>,
    /// Room for the header of one packet.
    header: Vec<u8>,
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
        let mut wire = Wire { srtp, run: RunWriter::new(out), header: Vec::new() };
        // Each appends what fits behind what is there already.
        self.repeat(log, &mut wire);
        self.send_video(now, log.track(TrackKind::Video), &mut wire);
        self.send_audio(now, log.track(TrackKind::Audio), &mut wire);
        self.send_report(now, log, &mut wire);
        let run = wire.run.finish();
        self.deadline = self.next_look(log);
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
                let extra = if config.rtx.is_some() { ORIGINAL_BYTES } else { 0 };
                let bytes = wire.bytes(&config, packet) + extra;
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
                match config.rtx {
                    Some(rtx) => {
                        let number_again = lane.take_rtx_number();
                        let again = LaneConfig { payload_type: rtx.payload_type, ssrc: rtx.ssrc, ..config };
                        let payload = [&(number as u16).to_be_bytes()[..], &packet.payload].concat();
                        wire.write(&again, number_again, packet, &payload, &mut self.transport_seq)
                    }
                    // Without a number for feedback, so nothing differs from the first time.
                    None => wire.write(&config, number, packet, &packet.payload, &mut self.transport_seq),
                };
            }
        }
    }

    /// Pictures: those that are new, and older ones as fast as a viewer may catch up.
    fn send_video(&mut self, now: Duration, track: &impl TrackLog, wire: &mut Wire<'_>) {
        let Some(lane) = &mut self.video else { return };
        while let Some(packet) = lane.upcoming(track) {
            if !wire.run.fits(wire.bytes(&lane.config, packet)) || !self.pacer.take(now, packet.origin) {
                break;
            }
            let number = lane.number();
            let bytes = wire.write(&lane.config, number, packet, &packet.payload, &mut self.transport_seq);
            self.credit = (self.credit + bytes / 2).min(MAX_CREDIT);
            self.stats.packets += 1;
            self.stats.frames += u64::from(lane.sent(packet));
            self.video_at = Some(now);
        }
    }

    /// Sound: behind pictures that went out just now, or when it has waited for long enough.
    fn send_audio(&mut self, now: Duration, track: &impl TrackLog, wire: &mut Wire<'_>) {
        let waits = if self.video.is_some() { AUDIO_WAITS } else { Duration::ZERO };
        let Some(lane) = &mut self.audio else { return };
        if self.video_at != Some(now) && lane.waits(now, track).is_none_or(|waited| waited < waits) {
            return;
        }
        while let Some(packet) = lane.upcoming(track) {
            if !wire.run.fits(wire.bytes(&lane.config, packet)) {
                break;
            }
            let number = lane.number();
            let bytes = wire.write(&lane.config, number, packet, &packet.payload, &mut self.transport_seq);
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

    /// When there is something to do although nothing new came.
    fn next_look<L: StreamLog>(&self, log: &L) -> Option<Duration> {
        let upcoming = |lane: &Option<Lane>, kind| {
            let position = lane.as_ref()?.position()?;
            Some(log.track(kind).packet(position)?.origin)
        };
        let audio = upcoming(&self.audio, TrackKind::Audio).map(|origin| origin + AUDIO_WAITS);
        // Pictures that were not sent had to wait for their turn.
        let video = upcoming(&self.video, TrackKind::Video).map(|_| self.pacer.next());
        let report = self.has_begun().then_some(self.next_report + REPORT_WAITS);
        audio.into_iter().chain(video).chain(report).min()
    }
}

impl Wire<'_> {
    /// The length of a packet when it is sealed.
    fn bytes(&self, config: &LaneConfig, packet: &MediaPacket) -> usize {
        let extension = if config.extension().is_some() { EXTENSION_BYTES } else { 0 };
        HEADER_BYTES + extension + packet.payload.len() + self.srtp.overhead()
    }

    /// Appends a sealed packet (RFC 3550 §5.1, RFC 8285 §4.2); its length.
    fn write(
        &mut self,
        config: &LaneConfig,
        number: u64,
        packet: &MediaPacket,
        payload: &[u8],
        transport_seq: &mut u16,
    ) -> usize {
        let extension = config.extension();
        let header = &mut self.header;
        header.clear();
        header.push(0x80 | u8::from(extension.is_some()) << 4);
        header.push(u8::from(packet.marker) << 7 | config.payload_type & 0x7f);
        header.extend_from_slice(&(number as u16).to_be_bytes());
        header.extend_from_slice(&packet.timestamp.to_be_bytes());
        header.extend_from_slice(&config.ssrc.to_be_bytes());
        if let Some(id) = extension {
            let [high, low] = transport_seq.to_be_bytes();
            // The profile of one-byte headers, one word, and in it one element of two bytes and padding.
            header.extend_from_slice(&[0xbe, 0xde, 0, 1, id << 4 | 1, high, low, 0]);
            *transport_seq = transport_seq.wrapping_add(1);
        }
        let (srtp, header) = (&*self.srtp, &self.header);
        self.run.push(|out| srtp.seal_rtp(number, header, payload, out))
    }
}
