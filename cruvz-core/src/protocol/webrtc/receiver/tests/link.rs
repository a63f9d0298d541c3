//! A publisher at one end of a bad network and a receiver at the other, on virtual time.

use std::collections::{BTreeMap, HashMap};

use cruvz_media::{
    Codec, CodecParams, Format, Frame, Timescale, Timestamp, TrackId, VideoFormat,
    rtp::{Header, Packetizer, Payload, opus_params},
};
use cruvz_testnet::{Conditions, Network, Wire};

use super::super::*;
use crate::protocol::webrtc::{
    rtcp::{SenderInfo, write},
    sdp,
};

pub(super) const MS: Duration = Duration::from_millis(1);
/// The publisher begins long after the engine.
pub(super) const START: Duration = Duration::from_secs(1_000);

pub(super) const VIDEO: u32 = 0x1111_1111;
pub(super) const VIDEO_AGAIN: u32 = 0x2222_2222;
pub(super) const AUDIO: u32 = 0x3333_3333;

/// One RTP stream as its sender knows it.
pub(super) struct Outgoing {
    pub(super) header: Header,
    packetizer: Packetizer,
    again: Option<Header>,
    history: BTreeMap<u16, (Header, Bytes)>,
}

/// A publisher of VP8 and Opus, and everything it was told.
pub(super) struct Publisher {
    pub(super) video: Outgoing,
    pub(super) audio: Outgoing,
    pub(super) wants_keyframe: bool,
    /// Whether requests for keyframes are heeded.
    pub(super) heeds: bool,
    transport_seq: u16,
    frames: u32,
    /// Each frame of the video, by its payload: its number, and whether it is a keyframe.
    pub(super) sent: HashMap<Bytes, (u32, bool)>,
    pub(super) keyframe_requests: u32,
    pub(super) reports: Vec<rtcp::ReportBlock>,
    /// Transport-wide numbers that were reported, and whether they arrived.
    pub(super) feedback: BTreeMap<u16, bool>,
}

fn vp8() -> CodecParams {
    let format = VideoFormat { width: 640, height: 360, ..VideoFormat::default() };
    CodecParams {
        codec: Codec::Vp8,
        config: Bytes::new(),
        format: Format::Video(format),
        rfc6381: "vp08".into(),
    }
}

/// A frame whose first bytes are those of VP8 (RFC 6386 §9.1) and whose others say which it is.
pub(super) fn vp8_frame(number: u32, keyframe: bool, (width, height): (u16, u16)) -> Bytes {
    let mut bytes = vec![if keyframe { 0x10 } else { 0x11 }, 0, 0];
    if keyframe {
        bytes.extend([0x9d, 0x01, 0x2a]);
        bytes.extend(width.to_le_bytes());
        bytes.extend(height.to_le_bytes());
    }
    let length = if keyframe { 20_000 } else { 2_000 + number % 7 * 900 };
    bytes.extend((0..length).map(|at| (at ^ number.wrapping_mul(2_654_435_761) >> (at % 24)) as u8));
    bytes.into()
}

impl Outgoing {
    pub(super) fn new(params: &CodecParams, header: Header, again: Option<Header>) -> Self {
        let packetizer = Packetizer::new(params, 1_100).unwrap();
        Self { header, packetizer, again, history: BTreeMap::new() }
    }

    /// The packets of a frame.
    pub(super) fn packets(&mut self, track: TrackId, keyframe: bool, payload: Bytes) -> Vec<(Header, Bytes)> {
        let at = Timestamp::new(self.header.timestamp.into(), Timescale::MPEG);
        let mut payloads: Vec<Payload> = Vec::new();
        self.packetizer.packetize(&Frame { track, pts: at, dts: at, keyframe, payload }, &mut payloads);
        let mut packets = Vec::new();
        for payload in payloads {
            let header = Header { marker: payload.marker, ..self.header };
            self.header.seq = self.header.seq.wrapping_add(1);
            self.history.insert(header.seq, (header, payload.bytes.clone()));
            packets.push((header, payload.bytes));
        }
        packets
    }

    /// The packet with that number once more (RFC 4588 §4).
    fn repeat(&mut self, seq: u16) -> Option<(Header, Bytes)> {
        let (header, payload) = self.history.get(&seq)?;
        let again = self.again.as_mut()?;
        again.seq = again.seq.wrapping_add(1);
        let payload = [&seq.to_be_bytes()[..], payload].concat().into();
        Some((Header { marker: header.marker, timestamp: header.timestamp, ..*again }, payload))
    }
}

/// A packet's bytes, with a transport-wide number (extension 3 of the offer).
pub(super) fn packet(header: Header, payload: &[u8], transport_seq: u16) -> Bytes {
    let mut bytes = Vec::new();
    header.write(&[(3, &transport_seq.to_be_bytes())], &mut bytes);
    bytes.extend(payload);
    bytes.into()
}

impl Publisher {
    pub(super) fn new() -> Self {
        let video = Header {
            payload_type: 96,
            seq: 65_500,
            timestamp: 4_294_000_000,
            ssrc: VIDEO,
            ..Header::default()
        };
        let again = Header { payload_type: 97, seq: 7, ssrc: VIDEO_AGAIN, ..Header::default() };
        let audio =
            Header { payload_type: 111, seq: 65_000, timestamp: 77, ssrc: AUDIO, ..Header::default() };
        Self {
            video: Outgoing::new(&vp8(), video, Some(again)),
            audio: Outgoing::new(&opus_params(2).unwrap(), audio, None),
            wants_keyframe: true,
            heeds: true,
            transport_seq: 65_000,
            frames: 0,
            sent: HashMap::new(),
            keyframe_requests: 0,
            reports: Vec::new(),
            feedback: BTreeMap::new(),
        }
    }

    fn seal(&mut self, packets: Vec<(Header, Bytes)>) -> Vec<Bytes> {
        let seal = |(header, payload): (Header, Bytes)| {
            self.transport_seq = self.transport_seq.wrapping_add(1);
            packet(header, &payload, self.transport_seq)
        };
        packets.into_iter().map(seal).collect()
    }

    /// The next picture, 33 ms after the last.
    pub(super) fn picture(&mut self) -> Vec<Bytes> {
        let keyframe = std::mem::take(&mut self.wants_keyframe);
        let payload = vp8_frame(self.frames, keyframe, (640, 360));
        self.sent.insert(payload.clone(), (self.frames, keyframe));
        self.frames += 1;
        self.video.header.timestamp = self.video.header.timestamp.wrapping_add(2_970);
        let packets = self.video.packets(TrackId::VIDEO, keyframe, payload);
        self.seal(packets)
    }

    /// The next 20 ms of sound.
    pub(super) fn sound(&mut self) -> Vec<Bytes> {
        self.audio.header.timestamp = self.audio.header.timestamp.wrapping_add(960);
        let seq = self.audio.header.seq;
        let payload = [&[0xfc][..], &seq.to_be_bytes()].concat().into();
        let packets = self.audio.packets(TrackId::AUDIO, true, payload);
        self.seal(packets)
    }

    /// Says which moment the last picture is of.
    pub(super) fn sender_report(&self, now: Duration) -> Bytes {
        let mut out = Vec::new();
        for header in [self.video.header, self.audio.header] {
            let info =
                SenderInfo { ntp: rtcp::ntp(now), rtp_timestamp: header.timestamp, packets: 0, octets: 0 };
            write::sender_report(&mut out, header.ssrc, &info, &[]);
        }
        out.into()
    }

    /// Heeds what it is told, with the packets to be sent again.
    pub(super) fn rtcp(&mut self, datagram: &[u8]) -> Vec<Bytes> {
        let mut again = Vec::new();
        for packet in rtcp::packets(datagram) {
            match packet.unwrap() {
                rtcp::Packet::Nack(nack) => {
                    assert_eq!(nack.media, VIDEO, "only what can be repeated is asked for");
                    again.extend(nack.lost().filter_map(|seq| self.video.repeat(seq)));
                }
                rtcp::Packet::Pli(pli) => {
                    assert_eq!(pli.media, VIDEO);
                    self.keyframe_requests += 1;
                    self.wants_keyframe |= self.heeds;
                }
                rtcp::Packet::ReceiverReport(report) => self.reports.extend(report.reports()),
                rtcp::Packet::TransportFeedback(feedback) => {
                    for (seq, arrival) in feedback.statuses() {
                        let came = arrival.is_some();
                        let before = self.feedback.insert(seq, came);
                        assert!(before.is_none_or(|before| before == came), "{seq}");
                    }
                }
                _ => {}
            }
        }
        self.seal(again)
    }
}

/// What came out of a receiver.
#[derive(Default)]
pub(super) struct Out {
    pub(super) tracks: Vec<Tracks>,
    pub(super) video: Vec<Frame>,
    pub(super) audio: Vec<Frame>,
    /// Which layers were shown, one after the other.
    pub(super) shown: Vec<usize>,
    /// The frames of each layer, behind the width that its pictures had last.
    pub(super) layers: [(u32, Vec<Frame>); 2],
}

impl Out {
    pub(super) fn take(&mut self, receiver: &mut Receiver) {
        while let Some(event) = receiver.poll_event() {
            match event {
                Event::Tracks(tracks) => self.tracks.push(tracks),
                Event::Frame(frame) if frame.track == TrackId::VIDEO => self.video.push(frame),
                Event::Frame(frame) => self.audio.push(frame),
                Event::Shown(layer) => self.shown.push(layer),
                Event::LayerTrack(layer, track) => self.layers[layer].0 = track.params.video().unwrap().width,
                Event::LayerFrame(layer, frame) => self.layers[layer].1.push(frame),
            }
        }
    }
}

/// The two ends, and the network between them.
pub(super) struct Link {
    pub(super) now: Duration,
    pub(super) publisher: Publisher,
    pub(super) receiver: Receiver,
    pub(super) out: Out,
    pub(super) up: Wire<(bool, Bytes)>,
    pub(super) down: Wire<Bytes>,
}

/// What a browser and we agree upon: sound in section 0, pictures with repeats in section 1.
pub(super) fn media() -> Vec<Media> {
    let extensions = sdp::Extensions { mid: Some(1), transport_cc: Some(3), ..sdp::Extensions::default() };
    let feedback = sdp::Feedback { transport_cc: true, ..sdp::Feedback::default() };
    let audio = Media {
        line: 0,
        mid: Some("0".into()),
        codec: Codec::Opus,
        payload_type: 111,
        rtx: None,
        clock_rate: 48_000,
        feedback,
        extensions,
        reduced_size: true,
        sources: vec![sdp::Source { ssrc: AUDIO, rtx: None }],
        layers: Vec::new(),
        sending: None,
    };
    let video = Media {
        line: 1,
        mid: Some("1".into()),
        codec: Codec::Vp8,
        payload_type: 96,
        rtx: Some(97),
        clock_rate: 90_000,
        feedback: sdp::Feedback { nack: true, pli: true, fir: true, ..feedback },
        sources: vec![sdp::Source { ssrc: VIDEO, rtx: Some(VIDEO_AGAIN) }],
        ..audio.clone()
    };
    vec![audio, video]
}

impl Link {
    pub(super) fn new(conditions: &Conditions, seed: u64, config: Config) -> Self {
        let wire = |seed| Network::new(conditions.clone(), seed);
        Self {
            now: START,
            publisher: Publisher::new(),
            receiver: Receiver::new(START, &media(), config),
            out: Out::default(),
            up: Wire::new(wire(seed)),
            down: Wire::new(wire(seed ^ 0xdead_beef)),
        }
    }

    /// Publishes for `millis` and lets the rest arrive.
    pub(super) fn run(&mut self, millis: u64) {
        for at in 0..millis + 1_500 {
            if at < millis {
                self.publish(at);
            }
            self.deliver();
            self.now += MS;
        }
    }

    fn publish(&mut self, at: u64) {
        let mut sent = Vec::new();
        if at.is_multiple_of(33) {
            sent.extend(self.publisher.picture());
        }
        if at.is_multiple_of(20) {
            sent.extend(self.publisher.sound());
        }
        for packet in sent {
            self.up.send(self.now, packet.len(), (true, packet));
        }
        if at.is_multiple_of(660) {
            let report = self.publisher.sender_report(self.now);
            self.up.send(self.now, report.len(), (false, report));
        }
    }

    fn deliver(&mut self) {
        let mut came = false;
        while let Some((is_rtp, datagram)) = self.up.receive(self.now) {
            came = true;
            if is_rtp {
                self.receiver.rtp(self.now, datagram);
            } else {
                self.receiver.rtcp(self.now, &datagram);
            }
        }
        if self.receiver.poll_timeout().is_some_and(|at| at <= self.now) {
            came = true;
            self.receiver.handle_timeout(self.now);
        }
        while let Some(datagram) = self.receiver.poll_rtcp(self.now).filter(|_| came) {
            assert!(datagram.len() <= 1_200, "{} bytes of RTCP", datagram.len());
            self.down.send(self.now, datagram.len(), datagram.into());
        }
        assert!(self.receiver.poll_timeout().is_none_or(|at| at > self.now), "a timer that nothing resets");
        self.out.take(&mut self.receiver);
        while let Some(datagram) = self.down.receive(self.now) {
            for packet in self.publisher.rtcp(&datagram) {
                self.up.send(self.now, packet.len(), (true, packet));
            }
        }
    }

    /// Every picture that came out is one that was sent, and follows the one before it or is a keyframe.
    pub(super) fn assert_decodable(&self) {
        let mut next = None;
        for frame in &self.out.video {
            let &(number, keyframe) = self.publisher.sent.get(&frame.payload).expect("a broken frame");
            assert_eq!(frame.keyframe, keyframe);
            assert!(keyframe || next == Some(number), "picture {number} where {next:?} is next");
            next = Some(number + 1);
        }
        for frames in [&self.out.video, &self.out.audio] {
            for pair in frames.windows(2) {
                assert!(pair[0].dts.ticks() < pair[1].dts.ticks(), "time goes forward");
            }
        }
    }
}
