//! Several encodings of one picture, told apart by their names alone.

use cruvz_media::{Codec, CodecParams, Format, TrackId, VideoFormat, rtp::Header};

use super::link::*;
use super::*;
use crate::protocol::webrtc::sdp;

const RIDS: [&str; 2] = ["q", "f"];

/// A publisher of two layers that announces no SSRC, as browsers do.
struct Layered {
    now: Duration,
    receiver: Receiver,
    layers: [Outgoing; 2],
    frame: u32,
    out: Out,
    /// Layers that were asked for keyframes since they were last looked at.
    asked: Vec<u32>,
}

fn media_with_layers() -> Vec<Media> {
    let mut video = media().remove(1);
    video.sources.clear();
    video.layers = RIDS.map(str::to_owned).to_vec();
    video.extensions =
        sdp::Extensions { rid: Some(4), repaired_rid: Some(5), transport_cc: None, ..video.extensions };
    vec![video]
}

/// The layers have the SSRCs 10 and 11, and 20 and 21 for repeats.
fn outgoing(layer: u32) -> Outgoing {
    let format = VideoFormat { width: 640, height: 360, ..VideoFormat::default() };
    let vp8 = CodecParams {
        codec: Codec::Vp8,
        config: Bytes::new(),
        format: Format::Video(format),
        rfc6381: String::new(),
    };
    let header =
        Header { payload_type: 96, ssrc: 10 + layer, timestamp: layer * 1_000_000, ..Header::default() };
    Outgoing::new(&vp8, header, None)
}

fn named(header: Header, rid: (u8, &str), payload: &[u8]) -> Bytes {
    let mut bytes = Vec::new();
    header.write(&[(1, b"1"), (rid.0, rid.1.as_bytes())], &mut bytes);
    bytes.extend(payload);
    bytes.into()
}

impl Layered {
    fn new() -> Self {
        let receiver = Receiver::new(START, &media_with_layers(), Config::default());
        let layers = [outgoing(0), outgoing(1)];
        Self { now: START, receiver, layers, frame: 0, out: Out::default(), asked: Vec::new() }
    }

    /// Sends the next picture in some layers, as a keyframe in those that were asked for one; which layers were shown, by
    /// width.
    fn picture(&mut self, alive: [bool; 2]) {
        for layer in 0..2 {
            let outgoing = &mut self.layers[layer];
            outgoing.header.timestamp += 3_000;
            let ssrc = outgoing.header.ssrc;
            if !alive[layer] {
                continue;
            }
            let keyframe = self.frame == 0 || self.asked.contains(&ssrc);
            self.asked.retain(|&asked| asked != ssrc);
            let width = [160, 640][layer];
            let payload = vp8_frame(self.frame, keyframe, (width, width / 2));
            for (header, payload) in outgoing.packets(TrackId::VIDEO, keyframe, payload) {
                self.receiver.rtp(self.now, named(header, (4, RIDS[layer]), &payload));
            }
        }
        self.frame += 1;
        self.now += 33 * MS;
        self.receiver.handle_timeout(self.now);
        while let Some(datagram) = self.receiver.poll_rtcp(self.now) {
            for packet in rtcp::packets(&datagram) {
                if let rtcp::Packet::Pli(pli) = packet.unwrap() {
                    self.asked.push(pli.media);
                }
            }
        }
        self.out.take(&mut self.receiver);
    }

    fn widths(&self) -> Vec<u32> {
        self.out.tracks.iter().map(|tracks| tracks[0].params.video().unwrap().width).collect()
    }
}

#[test]
fn the_largest_layer_is_the_stream() {
    let mut layered = Layered::new();
    (0..90).for_each(|_| layered.picture([true, true]));
    assert_eq!(layered.receiver.sources.len(), 2);
    assert_eq!(layered.widths(), [160_u32, 640]);
    // One frame of the small layer came first.
    assert_eq!(layered.out.video.len(), 91);
    assert_eq!(layered.receiver.stats().other_layers, 89);
}

#[test]
fn each_layer_comes_by_itself_as_well_and_is_asked_for_keyframes_by_itself() {
    let mut layered = Layered::new();
    (0..30).for_each(|_| layered.picture([true, true]));
    assert_eq!(layered.receiver.layers(), RIDS);
    assert_eq!(layered.out.shown, [0, 1]);
    for ((width, frames), expected) in layered.out.layers.iter().zip([160, 640]) {
        assert_eq!((*width, frames.len()), (expected, 30));
        assert!(frames[0].keyframe && !frames[1].keyframe);
    }
    layered.receiver.request_layer_keyframe(0);
    (0..20).for_each(|_| layered.picture([true, true]));
    let keyframes = |layer: usize| layered.out.layers[layer].1.iter().filter(|frame| frame.keyframe).count();
    assert_eq!([keyframes(0), keyframes(1)], [2, 1]);
}

#[test]
fn one_layer_alone_is_no_simulcast() {
    let mut media = media_with_layers();
    media[0].layers.truncate(1);
    let mut layered = Layered::new();
    layered.receiver = Receiver::new(START, &media, Config::default());
    (0..10).for_each(|_| layered.picture([true, false]));
    assert_eq!(layered.out.video.len(), 10);
    assert!(layered.receiver.layers().is_empty() && layered.out.shown.is_empty());
    assert!(layered.out.layers.iter().all(|(_, frames)| frames.is_empty()));
}

#[test]
fn a_layer_that_its_publisher_switches_off_is_replaced_and_comes_back() {
    let mut layered = Layered::new();
    (0..30).for_each(|_| layered.picture([true, true]));
    (0..90).for_each(|_| layered.picture([true, false]));
    assert_eq!(layered.widths(), [160_u32, 640, 160]);
    (0..90).for_each(|_| layered.picture([true, true]));
    assert_eq!(layered.widths(), [160_u32, 640, 160, 640]);
    let longest =
        layered.out.video.windows(2).map(|pair| pair[1].pts.as_millis() - pair[0].pts.as_millis()).max();
    assert!(longest.unwrap() < 1_500, "{longest:?}");
}

#[test]
fn repeats_find_their_layer_by_its_name() {
    let mut layered = Layered::new();
    (0..10).for_each(|_| layered.picture([true, true]));
    // A picture of the large layer loses its second packet, which is then repeated on an SSRC of its own.
    let outgoing = &mut layered.layers[1];
    outgoing.header.timestamp += 3_000;
    let packets = outgoing.packets(TrackId::VIDEO, false, vp8_frame(10, false, (640, 320)));
    assert!(packets.len() >= 2);
    let before = layered.out.video.len();
    for (at, (header, payload)) in packets.iter().enumerate() {
        if at != 1 {
            layered.receiver.rtp(layered.now, named(*header, (4, "f"), payload));
        }
    }
    layered.layers[1].header.timestamp += 3_000;
    let next = layered.layers[1].packets(TrackId::VIDEO, false, vp8_frame(11, false, (640, 320)));
    for (header, payload) in next {
        layered.receiver.rtp(layered.now, named(header, (4, "f"), &payload));
    }
    layered.out.take(&mut layered.receiver);
    assert_eq!(layered.out.video.len(), before);
    let (lost, payload) = &packets[1];
    let again = Header { payload_type: 97, ssrc: 21, seq: 900, ..*lost };
    let payload = [&lost.seq.to_be_bytes()[..], payload].concat();
    layered.receiver.rtp(layered.now, named(again, (5, "x"), &payload));
    assert_eq!(layered.receiver.stats().foreign, 1, "nobody has that name");
    layered.receiver.rtp(layered.now, named(again, (5, "f"), &payload));
    layered.out.take(&mut layered.receiver);
    assert_eq!(layered.out.video.len(), before + 2);
}

#[test]
fn a_packet_without_the_name_of_its_layer_is_not_guessed_about() {
    let mut layered = Layered::new();
    let header = Header { payload_type: 96, ssrc: 77, ..Header::default() };
    layered.receiver.rtp(START, packet(header, b"whose?", 1));
    assert_eq!(layered.receiver.stats().foreign, 1);
    // Once its SSRC is known, it needs no name.
    layered.picture([true, true]);
    layered.receiver.rtp(START, packet(Header { ssrc: 10, ..layered.layers[0].header }, b"known", 2));
    assert_eq!(layered.receiver.stats().foreign, 1);
}
