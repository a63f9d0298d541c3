//! The media of a publisher (WHIP): RTP and RTCP in, frames and RTCP out, without I/O.
//!
//! Packets that were decrypted come in by [`Receiver::rtp`] and [`Receiver::rtcp`] with the time since the engine's clock
//! began. Each SSRC is bound to a media section, put in order (what is missing is asked for again and waited for as long
//! as a repeat can bring it), made into whole frames, and placed on one clock with the others. Frames come out by
//! [`Receiver::poll_event`]: of sound, and of the largest picture of a simulcast that is alive; besides, those of each of its
//! layers by themselves. What the publisher is to know comes out by [`Receiver::poll_rtcp`]: requests for packets and keyframes, reports, arrival times.
//!
//! A frame of which something is missing, or that builds on one, never comes out: a keyframe is requested instead. What a
//! publisher can make us hold and send is bounded by [`Config`].
//!
//! Sources: RFC 3550 (RTP), 4585 (feedback), 4588 (retransmission), 5104 (FIR), 8843 and 8852 (which packet belongs where),
//! draft-holmer-rmcat-transport-wide-cc-extensions-01, draft-alvestrand-rmcat-remb-03.

mod arrivals;
mod bitrate;
mod buffer;
mod clock;
mod config;
mod feedback;
mod gather;
mod keyframes;
mod layers;
mod line;
mod reception;
mod rtt;
mod source;
mod stats;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use cruvz_media::{Frame, Track, TrackKind, Tracks, rtp::Packet};

use self::{
    arrivals::Arrivals,
    bitrate::Bitrate,
    clock::Sync,
    gather::Gather,
    layers::Layers,
    line::{Line, Place},
    rtt::Rtt,
    source::{Source, Whole},
};
use super::{rtcp, sdp::Media};

pub use config::Config;
pub use stats::Stats;

/// What came of a publisher's packets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The tracks that the frames from here on belong to.
    Tracks(Tracks),
    /// A whole frame that can be decoded after those before it.
    Frame(Frame),
    /// The picture of a simulcast comes from this layer now: its index in [`Receiver::layers`].
    Shown(usize),
    /// What the frames of a layer are from here on.
    LayerTrack(usize, Track),
    /// A whole frame of a layer that can be decoded after those of that layer before it, whether it is shown or not.
    LayerFrame(usize, Frame),
}

/// Receives one publisher's media.
#[derive(Debug)]
pub struct Receiver {
    config: Config,
    lines: Vec<Line>,
    sources: Vec<Source>,
    /// SSRCs that carry what another one sends again: theirs and the other.
    again: Vec<(u32, u32)>,
    layers: Layers,
    sync: Sync,
    rtt: Rtt,
    gather: Gather,
    /// The id of the extension, and when packets with it came; `None` without transport-wide feedback.
    arrivals: Option<(u8, Arrivals)>,
    bitrate: Option<Bitrate>,
    /// Of which SSRC the parameters of each line's track are, and in which version.
    told: Vec<Option<(u32, u64)>>,
    /// The SSRC that our RTCP comes from.
    ssrc: u32,
    reduced_size: bool,
    report_at: Duration,
    frames: Vec<Whole>,
    events: VecDeque<Event>,
    stats: Stats,
}

impl Receiver {
    /// For what was negotiated with a publisher; the first of its sections of sound and of picture are received.
    pub fn new(now: Duration, media: &[Media], config: Config) -> Self {
        let lines = Line::all(media);
        let kinds: Vec<TrackKind> = lines.iter().map(|line| line.kind).collect();
        let transport_cc = lines.iter().find_map(Line::transport_cc);
        let remb = transport_cc.is_none() && lines.iter().any(|line| line.feedback.remb);
        Self {
            sources: Vec::new(),
            again: Vec::new(),
            layers: Layers::default(),
            sync: Sync::default(),
            rtt: Rtt::new(config.initial_rtt),
            gather: Gather::new(kinds),
            arrivals: transport_cc.map(|id| (id, Arrivals::new())),
            bitrate: remb.then(|| Bitrate::new(now, config.max_bitrate_bps)),
            told: vec![None; lines.len()],
            ssrc: our_ssrc(media),
            reduced_size: media.iter().all(|media| media.reduced_size),
            report_at: now.saturating_add(config.report_interval),
            frames: Vec::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
            config,
            lines,
        }
    }

    /// Takes an RTP packet that was decrypted.
    pub fn rtp(&mut self, now: Duration, packet: Bytes) {
        self.stats.bytes += packet.len() as u64;
        let Ok(packet) = Packet::parse(packet) else {
            self.stats.malformed += 1;
            return;
        };
        if let Some((id, arrivals)) = &mut self.arrivals
            && let Some(&[high, low]) = packet.extension(*id)
        {
            arrivals.record(now, u16::from_be_bytes([high, low]), self.config.feedback_interval);
        }
        if let Some(bitrate) = &mut self.bitrate {
            bitrate.received(packet.payload.len());
        }
        let ssrc = packet.header.ssrc;
        if let Some(index) = self.source(ssrc) {
            self.receive(now, index, packet);
        } else if let Some(&(_, original)) = self.again.iter().find(|(again, _)| *again == ssrc) {
            self.receive_again(now, original, packet);
        } else {
            self.bind(now, packet);
        }
    }

    /// Takes a datagram of RTCP that was decrypted.
    pub fn rtcp(&mut self, now: Duration, datagram: &[u8]) {
        for packet in rtcp::packets(datagram) {
            match packet {
                Ok(rtcp::Packet::SenderReport(report)) => {
                    if let Some(index) = self.source(report.ssrc) {
                        let info = report.info;
                        self.sources[index].sender_report(now, info.ntp, info.rtp_timestamp, &mut self.sync);
                    }
                }
                Ok(rtcp::Packet::Goodbye(goodbye)) => {
                    for ssrc in goodbye.ssrcs() {
                        self.forget(ssrc);
                    }
                }
                Ok(_) => {}
                Err(_) => self.stats.malformed += 1,
            }
        }
    }

    /// What came of the packets so far, until there is none.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] and [`Self::poll_rtcp`] are to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let sources = self.sources.iter().filter_map(|source| source.timeout(&self.rtt, &self.config));
        let death = self.layers.dies_at(self.config.patience);
        let arrivals = self.arrivals.as_ref().and_then(|(_, arrivals)| arrivals.due());
        sources.chain(death).chain(arrivals).chain(self.gather.timeout()).chain([self.report_at]).min()
    }

    /// Does what time alone brings about.
    pub fn handle_timeout(&mut self, now: Duration) {
        for index in 0..self.sources.len() {
            self.drain(now, index);
        }
        self.gather.handle_timeout(now, &mut self.events);
        if self.layers.take_death(now, self.config.patience) {
            self.request_keyframe();
        }
    }

    /// The layers of a simulcast by their names; empty where there is only one picture.
    pub fn layers(&self) -> &[String] {
        let video = self.lines.iter().find(|line| line.kind == TrackKind::Video);
        video.map_or(&[], |line| line.layers())
    }

    /// A viewer needs a keyframe: the publisher is asked for one as soon as the least interval allows.
    pub fn request_keyframe(&mut self) {
        for source in self.sources.iter_mut().filter(|source| source.kind == TrackKind::Video) {
            source.keyframes.request();
        }
    }

    /// A viewer of one layer needs a keyframe of that.
    pub fn request_layer_keyframe(&mut self, layer: usize) {
        for source in self.sources.iter_mut().filter(|source| source.layer == Some(layer)) {
            source.keyframes.request();
        }
    }

    /// The round trip as another part of the connection measured it, until a repeated packet tells.
    pub fn set_rtt(&mut self, rtt: Duration) {
        if self.rtt.measured().is_none() {
            self.rtt = Rtt::new(rtt);
        }
    }

    /// What came and what was done about it.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        for source in &self.sources {
            stats.add(source);
            stats.waiting += source.waiting();
            stats.jitter = stats.jitter.max(source.jitter());
        }
        stats.rtt = self.rtt.measured();
        stats
    }

    fn source(&self, ssrc: u32) -> Option<usize> {
        self.sources.iter().position(|source| source.ssrc == ssrc)
    }

    /// A packet of an SSRC that is not known.
    fn bind(&mut self, now: Duration, packet: Packet) {
        let ssrc = packet.header.ssrc;
        let Some(place) = Line::place(&self.lines, &packet) else {
            self.stats.foreign += 1;
            return;
        };
        match place.again {
            Some(original) => {
                let original =
                    original.or_else(|| self.occupant(&place).map(|index| self.sources[index].ssrc));
                let Some(original) = original.filter(|_| self.again.len() < self.config.max_sources) else {
                    self.stats.foreign += 1;
                    return;
                };
                self.again.push((ssrc, original));
                self.receive_again(now, original, packet);
            }
            None => match self.admit(now, ssrc, place) {
                Some(index) => self.receive(now, index, packet),
                None => self.stats.foreign += 1,
            },
        }
    }

    /// A source for `ssrc`, unless another one has its place and is alive, or there are too many.
    fn admit(&mut self, now: Duration, ssrc: u32, place: Place) -> Option<usize> {
        if let Some(index) = self.occupant(&place) {
            let last = self.sources[index].last_packet;
            if now.saturating_sub(last) < self.config.patience {
                return None;
            }
            self.forget(self.sources[index].ssrc);
        }
        if self.sources.len() >= self.config.max_sources {
            return None;
        }
        let line = self.lines.get(place.line)?;
        self.sources.push(Source::new(now, ssrc, place, line, &self.config)?);
        Some(self.sources.len() - 1)
    }

    /// The source that has this place.
    fn occupant(&self, place: &Place) -> Option<usize> {
        self.sources.iter().position(|source| source.line == place.line && source.rid == place.rid)
    }

    fn forget(&mut self, ssrc: u32) {
        if let Some(index) = self.source(ssrc) {
            let source = self.sources.remove(index);
            self.stats.add(&source);
        }
        self.again.retain(|&(again, original)| again != ssrc && original != ssrc);
    }

    fn receive(&mut self, now: Duration, index: usize, packet: Packet) {
        let source = &mut self.sources[index];
        if packet.header.payload_type != self.lines[source.line].payload_type() {
            self.stats.foreign += 1;
            return;
        }
        self.stats.packets += 1;
        source.receive(now, packet, &self.config);
        self.drain(now, index);
    }

    /// A packet that was sent again (RFC 4588 §4): its old number stands before its payload.
    fn receive_again(&mut self, now: Duration, original: u32, mut packet: Packet) {
        self.stats.retransmissions += 1;
        let Some(index) = self.source(original) else { return };
        // Padding that probes the network repeats nothing.
        if packet.payload.len() < 2 {
            return;
        }
        let number = packet.payload.split_to(2);
        packet.header.seq = u16::from_be_bytes([number[0], number[1]]);
        packet.header.ssrc = original;
        packet.header.payload_type = self.lines[self.sources[index].line].payload_type();
        if self.sources[index].receive_again(now, packet, &mut self.rtt) {
            self.drain(now, index);
        }
    }

    /// Passes on the frames that a source has.
    fn drain(&mut self, now: Duration, index: usize) {
        let mut frames = std::mem::take(&mut self.frames);
        self.sources[index].drain(now, &self.rtt, &self.config, &mut self.sync, &mut frames);
        for frame in frames.drain(..) {
            self.pass(now, index, frame);
        }
        self.frames = frames;
    }

    fn pass(&mut self, now: Duration, index: usize, whole: Whole) {
        let Whole { at, keyframe, payload } = whole;
        let track = self.lines[self.sources[index].line].track;
        let frame = Frame { track, pts: at, dts: at, keyframe, payload };
        self.pass_layer(index, &frame);
        let source = &self.sources[index];
        if source.kind == TrackKind::Video {
            let pixels = source.params.as_ref().and_then(|params| params.video());
            let pixels = pixels.map_or(0, |video| u64::from(video.width) * u64::from(video.height));
            let before = self.layers.shown();
            if !self.layers.admit(now, source.ssrc, pixels, keyframe, self.config.patience) {
                self.stats.other_layers += 1;
                return;
            }
            if let Some(layer) = source.layer.filter(|_| before != Some(source.ssrc)) {
                self.events.push_back(Event::Shown(layer));
            }
        }
        self.stats.frames += 1;
        self.tell_params(index);
        self.gather.frame(now, frame, &self.config, &mut self.events);
    }

    /// Tells of a frame of a layer by itself.
    fn pass_layer(&mut self, index: usize, frame: &Frame) {
        let source = &mut self.sources[index];
        let Some((layer, params)) = source.layer.zip(source.params.as_ref()) else { return };
        if source.told != source.version {
            source.told = source.version;
            let line = &self.lines[source.line];
            let track = Track { id: line.track, timescale: line.rate, params: params.clone() };
            self.events.push_back(Event::LayerTrack(layer, track));
        }
        self.events.push_back(Event::LayerFrame(layer, frame.clone()));
    }

    /// Says what the next frame of a source is, if it is another than the last frame of its track was.
    fn tell_params(&mut self, index: usize) {
        let source = &self.sources[index];
        let (line, version) = (&self.lines[source.line], Some((source.ssrc, source.version)));
        if let Some(params) = source.params.as_ref().filter(|_| self.told[source.line] != version) {
            self.told[source.line] = version;
            let track = Track { id: line.track, timescale: line.rate, params: params.clone() };
            self.gather.track(track, &mut self.events);
        }
    }
}

/// An SSRC for our reports that the publisher did not announce: we send no media, so any will do.
fn our_ssrc(media: &[Media]) -> u32 {
    let theirs = |ssrc: u32| media.iter().flat_map(|media| &media.sources).any(|source| source.ssrc == ssrc);
    (1..).find(|&ssrc| !theirs(ssrc)).unwrap_or(1)
}
