//! The sending half of a WebRTC session: a viewer's place in packets that all viewers of a stream share.
//!
//! A [`Sender`] keeps no packet and makes none: payloads, markers and timestamps come from a [`StreamLog`]; it adds the
//! header (payload type, source, number) and has it sealed. Numbers are arithmetic: an index of the log, and what the
//! viewer began with. So a request for a lost packet (RFC 4585 §6.2.1) leads back to an index, and a jump to a keyframe
//! leaves no gap in the numbers.
//!
//! Packets are sent again on a source of their own (RFC 4588) where that was agreed on; else byte for byte as they were,
//! for two packets sealed under one number would show the key (RFC 7714 §8.3). Feedback of the viewer makes a bounded
//! amount of work, whatever it says.
//!
//! Of a simulcast a viewer may be sent another layer from a keyframe on ([`Sender::switch`]); what its network carries is found out
//! by what it tells of arrivals ([`Bandwidth`]), and which layer that is by [`Choice`].
//!
//! Sources: RFC 3550, 3711, 4585, 4588, 5104, `draft-holmer-rmcat-transport-wide-cc-extensions-01`.

mod bandwidth;
mod choice;
mod flow;
mod lane;
mod log;
mod pacer;
mod probe;
mod report;
mod run;
mod stats;
#[cfg(test)]
mod tests;

use std::time::Duration;

use cruvz_media::TrackKind;

use self::{flow::Numbers, lane::Lane, pacer::Pacer, probe::Probe, report::Reception};
use super::{
    rtcp::{self, Packet, ReportBlock, write},
    sdp::Negotiated,
    srtp::Outbound,
};

pub use self::{
    bandwidth::Bandwidth,
    choice::{Choice, Step},
    flow::SOUND_WAITS,
    lane::{LaneConfig, Rtx},
    log::{MediaClock, MediaPacket, StreamLog, TrackLog},
    run::Run,
    stats::SenderStats,
};

/// Bytes that may be sent again at first.
const FIRST_CREDIT: usize = 64 << 10;

/// What was agreed on with a viewer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderConfig {
    /// The video, if it gets any.
    pub video: Option<LaneConfig>,
    /// The audio, if it gets any.
    pub audio: Option<LaneConfig>,
    /// By which the viewer knows that both belong together (RFC 3550 §6.5.1).
    pub cname: String,
}

impl SenderConfig {
    /// As an answer says it.
    pub fn new(negotiated: &Negotiated, cname: &str) -> Self {
        let lane = |kind| negotiated.media.iter().filter(move |media| media.codec.kind() == kind);
        let of = |kind| lane(kind).find_map(LaneConfig::of);
        Self { video: of(TrackKind::Video), audio: of(TrackKind::Audio), cname: cname.into() }
    }
}

impl LaneConfig {
    fn of(media: &super::sdp::Media) -> Option<Self> {
        let send = media.sending?;
        let rtx = media.rtx.zip(send.rtx_ssrc).map(|(payload_type, ssrc)| Rtx { payload_type, ssrc });
        Some(Self {
            kind: media.codec.kind(),
            codec: media.codec,
            payload_type: media.payload_type,
            clock_rate: media.clock_rate,
            ssrc: send.ssrc,
            rtx,
            nack: media.feedback.nack,
            transport_cc: media.extensions.transport_cc.filter(|_| media.feedback.transport_cc),
        })
    }

    /// The extension that numbers packets, unless they are to be sent again as they were: their numbers would be others.
    fn extension(&self) -> Option<u8> {
        self.transport_cc.filter(|_| self.rtx.is_some() || !self.nack)
    }
}

/// A viewer's side of a stream: see the module.
#[derive(Debug)]
pub struct Sender {
    video: Option<Lane>,
    audio: Option<Lane>,
    cname: String,
    pacer: Pacer,
    /// Bytes that may be sent again.
    credit: usize,
    /// The numbers of packets of all tracks, for the viewer's feedback.
    numbers: Numbers,
    /// What is sent beside the media.
    probe: Option<Probe>,
    /// What it is sent, in bits per second, where somebody said.
    rate_bps: u64,
    /// When the viewer is next told of the clock.
    next_report: Duration,
    /// When the last picture was sent: audio goes with it.
    video_at: Option<Duration>,
    /// When to look again, though nothing comes.
    deadline: Option<Duration>,
    /// The same for sound that waits for a picture.
    sound_at: Option<Duration>,
    wants_keyframe: bool,
    /// Frames in its last jump, which nobody was told of yet.
    skipped: Option<u64>,
    stats: SenderStats,
}

impl Sender {
    /// `random`: what numbers begin with.
    pub fn new(config: SenderConfig, random: [u8; 16]) -> Self {
        let word = |at: usize| u16::from_be_bytes([random[at], random[at + 1]]);
        Self {
            video: config.video.map(|lane| Lane::new(lane, [word(0), word(2)])),
            audio: config.audio.map(|lane| Lane::new(lane, [word(4), word(6)])),
            cname: config.cname,
            pacer: Pacer::default(),
            credit: FIRST_CREDIT,
            numbers: Numbers::new(word(8)),
            probe: None,
            rate_bps: 0,
            next_report: Duration::ZERO,
            video_at: None,
            deadline: None,
            sound_at: None,
            wants_keyframe: false,
            skipped: None,
            stats: SenderStats::default(),
        }
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.lanes().any(|lane| lane.position().is_some())
    }

    /// Begins: with the newest keyframe, and with sound as it is now. Older sound would make the player wait until it
    /// has played it, and the picture with it.
    pub fn begin<L: StreamLog>(&mut self, log: &L) {
        let start = log.track(TrackKind::Video).newest_start();
        if let (Some(lane), Some(start)) = (&mut self.video, start) {
            lane.go(start);
        }
        if let Some(lane) = &mut self.audio {
            let audio = log.track(TrackKind::Audio);
            lane.go(audio.end().saturating_sub(1).max(audio.first()));
        }
    }

    /// When [`Self::fill`] may have something although the log has nothing new.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadline.into_iter().chain(self.sound_at).min()
    }

    /// The same without sound that waits for a picture, for drivers that serve all viewers of a stream when its sound has
    /// waited for [`SOUND_WAITS`].
    pub fn poll_own_timeout(&self) -> Option<Duration> {
        self.deadline
    }

    /// Takes RTCP of the viewer, opened.
    pub fn receive<L: StreamLog>(&mut self, now: Duration, log: &L, compound: &[u8]) {
        for packet in rtcp::packets(compound).map_while(Result::ok) {
            match packet {
                Packet::ReceiverReport(report) => {
                    report.reports().for_each(|block| self.report_block(now, log, &block));
                }
                Packet::SenderReport(report) => {
                    report.reports().for_each(|block| self.report_block(now, log, &block));
                }
                Packet::Nack(nack) => {
                    let Some(lane) = self.lane_of(nack.media) else { continue };
                    let (mut wanted, mut refused) = (0, 0);
                    for seq in nack.lost() {
                        wanted += 1;
                        refused += u64::from(!lane.wanted(seq));
                    }
                    self.stats.nacked += wanted;
                    self.stats.refused += refused;
                }
                Packet::Pli(pli) => self.keyframe_wanted(pli.media),
                Packet::Fir(fir) => fir.requests().for_each(|(ssrc, _)| self.keyframe_wanted(ssrc)),
                Packet::Remb(remb) => {
                    self.stats.estimate_bps = Some(remb.bitrate_bps);
                    if let Some(bandwidth) = &mut self.numbers.bandwidth {
                        bandwidth.remb(remb.bitrate_bps, self.rate_bps);
                    }
                }
                Packet::TransportFeedback(feedback) => {
                    if let Some(bandwidth) = &mut self.numbers.bandwidth {
                        bandwidth.feedback(now, &feedback);
                        self.stats.estimate_bps = bandwidth.estimate_bps();
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether the viewer asked for a keyframe since this was last asked.
    ///
    /// One that lags behind a keyframe goes there, and needs no other.
    pub fn take_keyframe_request<L: StreamLog>(&mut self, log: &L) -> bool {
        let Some(lane) = self.video.as_mut().filter(|_| std::mem::take(&mut self.wants_keyframe)) else {
            return false;
        };
        let video = log.track(TrackKind::Video);
        match (lane.position(), video.newest_start()) {
            (Some(position), Some(start)) if start > position => {
                lane.go(start);
                false
            }
            _ => true,
        }
    }

    /// Frames that were passed over on the way to where it is, if it jumped; told once.
    pub fn take_skipped(&mut self) -> Option<u64> {
        self.skipped.take()
    }

    /// The codec that the stream has now in the place of one that was agreed on, if there is one.
    pub fn foreign(&self) -> Option<cruvz_media::Codec> {
        self.lanes().find_map(|lane| lane.foreign)
    }

    /// Whether everything that there is was sent.
    pub fn is_done<L: StreamLog>(&self, log: &L) -> bool {
        self.lanes().all(|lane| lane.position().is_none_or(|next| next >= log.track(lane.config.kind).end()))
    }

    /// Fills `out` with the datagram that says goodbye to the viewer.
    pub fn goodbye(&self, srtp: &mut Outbound, out: &mut Vec<u8>) {
        out.clear();
        let ssrcs: Vec<u32> = self.lanes().map(|lane| lane.config.ssrc).collect();
        let [ssrc, ..] = ssrcs[..] else { return };
        let mut compound = Vec::new();
        write::receiver_report(&mut compound, ssrc, &[]);
        write::cname(&mut compound, ssrc, &self.cname);
        write::goodbye(&mut compound, &ssrcs);
        srtp.seal_rtcp(&compound, out);
    }

    /// What it has done, and what the viewer tells.
    pub fn stats(&self) -> SenderStats {
        let receptions = self.lanes().filter_map(|lane| lane.reception);
        let mut stats = self.stats;
        for Reception { fraction_lost, lost, jitter } in receptions {
            stats.fraction_lost = stats.fraction_lost.max(fraction_lost);
            stats.lost += u64::try_from(lost).unwrap_or(0);
            stats.jitter = stats.jitter.max(jitter);
        }
        stats
    }

    fn lanes(&self) -> impl Iterator<Item = &Lane> + Clone {
        self.video.iter().chain(&self.audio)
    }

    fn lane_of(&mut self, ssrc: u32) -> Option<&mut Lane> {
        self.video.iter_mut().chain(&mut self.audio).find(|lane| lane.config.ssrc == ssrc)
    }

    fn keyframe_wanted(&mut self, ssrc: u32) {
        if self.video.as_ref().is_some_and(|lane| lane.config.ssrc == ssrc) {
            self.stats.keyframe_requests += 1;
            self.wants_keyframe = true;
        }
    }

    fn report_block<L: StreamLog>(&mut self, now: Duration, log: &L, block: &ReportBlock) {
        let Some(lane) = self.lane_of(block.ssrc) else { return };
        lane.reception = Some(Reception::of(block, lane.config.clock_rate));
        let is_video = lane.config.kind == TrackKind::Video;
        if let Some(bandwidth) = self.numbers.bandwidth.as_mut().filter(|_| is_video) {
            bandwidth.lost(block.fraction_lost, self.rate_bps);
        }
        let trip = log.clock().and_then(|clock| report::round_trip(block, &clock, now));
        if let Some(trip) = trip {
            self.stats.rtt = Some(self.stats.rtt.map_or(trip, |rtt| (rtt * 7 + trip) / 8));
        }
    }
}
