//! Streams made by hand: what real muxers do seldom, and what they should not do.

use bytes::{BufMut, Bytes, BytesMut};

use super::*;
use crate::{
    CodecParams, TrackId,
    codec::{self, aac::AudioSpecificConfig, nal},
    container::mpegts::{
        pes::timestamp_bytes,
        psi::{self, PAT_PID, StreamInfo, stream_type},
        write::{Adaptation, Continuity, put_payload, put_section},
    },
};

const PMT_PID: u16 = 0x20;
const PID: u16 = 0x30;

/// Writes a transport stream of one program, whose stream is on [`PID`].
#[derive(Default)]
struct Sender {
    continuity: Continuity,
    out: BytesMut,
    version: u8,
}

impl Sender {
    fn new(stream_type: u8, descriptors: &'static [u8]) -> Self {
        let mut sender = Self::default();
        sender.map(&[StreamInfo { stream_type, pid: PID, descriptors: descriptors.into() }]);
        sender
    }

    fn map(&mut self, streams: &[StreamInfo]) {
        let pmt = psi::pmt(7, self.version, PID, streams).unwrap();
        self.version += 1;
        for (pid, section) in [(PAT_PID, psi::pat(7, PMT_PID)), (PMT_PID, pmt)] {
            put_section(pid, &section, Adaptation::default(), &mut self.continuity, &mut self.out);
        }
    }

    /// A PES packet with a known length; `flags` as in the first byte of its header.
    fn pes(&mut self, flags: u8, pts: Option<u64>, payload: &[u8], adaptation: Adaptation) {
        let mut pes = BytesMut::from(&[0, 0, 1, 0xE0, 0, 0, flags][..]);
        match pts {
            Some(pts) => {
                pes.put_slice(&[0x80, 5]);
                pes.put_slice(&timestamp_bytes(2, pts));
            }
            None => pes.put_slice(&[0, 0]),
        }
        pes.put_slice(payload);
        let length = u16::try_from(pes.len() - 6).unwrap();
        pes[4..6].copy_from_slice(&length.to_be_bytes());
        put_payload(PID, &pes, adaptation, &mut self.continuity, &mut self.out);
    }

    fn send(&mut self, pts: Option<u64>, payload: &[u8]) {
        self.pes(0x80, pts, payload, Adaptation::default());
    }

    fn demux(&self) -> (Vec<Event>, Counters) {
        demux(&self.out)
    }
}

fn times(events: &[Event]) -> Vec<i64> {
    frames(events).iter().map(|frame| frame.pts.ticks()).collect()
}

/// `count` ADTS frames of 48 kHz, all different.
fn adts(count: u8) -> Vec<u8> {
    let config = AudioSpecificConfig::parse(&[0x11, 0x90]).unwrap();
    let frame = |n: u8| [&config.adts_header(100).unwrap()[..], &[n; 100]].concat();
    (0..count).flat_map(frame).collect()
}

/// Fixtures' frames of one codec.
fn of_codec(fixture: &[u8], codec: Codec) -> (CodecParams, Vec<Frame>) {
    let (events, _) = demux(fixture);
    let tracks = tracks(&events);
    let track = tracks.iter().find(|track| track.params.codec == codec).unwrap();
    let frames = frames(&events).into_iter().filter(|frame| frame.track == track.id);
    (track.params.clone(), frames.collect())
}

/// The parameter sets of a record as a byte stream, and a slice that is no IDR picture.
fn sets(params: &CodecParams) -> Vec<u8> {
    let record = codec::h264::Record::parse(&params.config).unwrap();
    record.sps.iter().chain(&record.pps).flat_map(|set| [&[0, 0, 1][..], set].concat()).collect()
}

#[test]
fn audio_frames_that_packets_cut_anywhere_have_their_own_times() {
    let stream = adts(40);
    let mut sender = Sender::new(stream_type::AAC_ADTS, b"");
    // In pieces of 250 bytes; each has the time of the first frame that begins in it.
    for (at, piece) in stream.chunks(250).enumerate() {
        let first = (at * 250).div_ceil(107) as u64;
        sender.send(Some(first * 1_920), piece);
    }
    let (events, counters) = sender.demux();
    assert_eq!(times(&events), (0..40).map(|n| n * 1_920).collect::<Vec<_>>());
    assert!(frames(&events).iter().zip(0..).all(|(frame, n)| frame.payload[..] == [n; 100]));
    assert_eq!(counters.malformed + counters.untimed, 0);
}

#[test]
fn audio_without_times_goes_on_from_the_last() {
    let mut sender = Sender::new(stream_type::AAC_ADTS, b"");
    sender.send(None, &adts(1));
    sender.send(Some(9_000), &adts(2));
    sender.send(None, &adts(2));
    let (events, counters) = sender.demux();
    assert_eq!(times(&events), [9_000, 10_920, 12_840, 14_760]);
    assert_eq!(counters.untimed, 1, "the first");
}

#[test]
fn garbage_between_audio_frames_is_passed_over() {
    let mut sender = Sender::new(stream_type::AAC_ADTS, b"");
    sender.send(Some(0), &[&adts(2)[..], b"\xff garbage", &adts(1)[..]].concat());
    sender.send(Some(90_000), &adts(1));
    let (events, counters) = sender.demux();
    assert_eq!(times(&events), [0, 1_920, 90_000], "what follows the garbage has no time");
    assert_eq!((counters.malformed, counters.untimed), (1, 1));
}

#[test]
fn a_new_configuration_replaces_the_track_in_line() {
    let other = AudioSpecificConfig::parse(&[0x12, 0x08]).unwrap();
    let mono = [&other.adts_header(50).unwrap()[..], &[1; 50]].concat();
    let mut sender = Sender::new(stream_type::AAC_ADTS, b"");
    sender.send(Some(0), &[&adts(2)[..], &mono].concat());
    let (events, _) = sender.demux();
    let shape: Vec<_> = events.iter().map(|event| matches!(event, Event::Tracks(_))).collect();
    assert_eq!(shape, [true, false, false, true, false]);
    assert_eq!(tracks(&events)[0].params.audio().unwrap().channels, 1);
}

#[test]
fn ac3_is_known_by_its_dvb_descriptor() {
    let (params, before) = of_codec(H264_AC3.0, Codec::Ac3);
    // AC-3_descriptor: no flags. The same by registration.
    for descriptors in [&b"\x6a\x01\0"[..], b"\x05\x04AC-3"] {
        let mut sender = Sender::new(stream_type::PRIVATE_PES, descriptors);
        for frame in &before {
            sender.send(Some(frame.pts.ticks() as u64), &frame.payload);
        }
        let (events, _) = sender.demux();
        assert_eq!(tracks(&events)[0].params, params);
        assert!(frames(&events) == before.iter().map(audio).collect::<Vec<_>>());
    }
}

fn audio(frame: &Frame) -> Frame {
    Frame { track: TrackId::AUDIO, ..frame.clone() }
}

#[test]
fn substreams_of_eac3_stay_with_their_access_unit() {
    let (_, before) = of_codec(OPUS_EAC3.0, Codec::Eac3);
    let mut dependent = before[0].payload.to_vec();
    dependent[2] |= 0x40; // strmtyp 1
    let unit = [&before[0].payload[..], &dependent].concat();
    let mut sender = Sender::new(stream_type::EAC3, b"");
    sender.send(Some(0), &[&unit[..], &unit].concat());
    let (events, _) = sender.demux();
    assert_eq!(times(&events), [0, 2_880]);
    assert!(frames(&events).iter().all(|frame| frame.payload == unit));
}

#[test]
fn mpeg_audio_of_layer_two_is_no_track_and_nobody_waits_for_it() {
    let mut sender = Sender::new(stream_type::MPEG1_AUDIO, b"");
    let info = |pid, stream_type| StreamInfo { stream_type, pid, descriptors: Bytes::new() };
    sender.map(&[info(PID, stream_type::AAC_ADTS), info(PID + 1, stream_type::MPEG2_AUDIO)]);
    sender.send(Some(0), &adts(3));
    // Layer II, 48 kHz.
    let pes = [&[0, 0, 1, 0xC0, 0, 0, 0x80, 0x80, 5][..], &timestamp_bytes(2, 0), &[0xFF, 0xFD, 0x94, 0x04]];
    put_payload(PID + 1, &pes.concat(), Adaptation::default(), &mut sender.continuity, &mut sender.out);
    let beyond = [0, 0, 1, 0xC0, 0, 0];
    put_payload(PID + 1, &beyond, Adaptation::default(), &mut sender.continuity, &mut sender.out);
    let mut demuxer = Demuxer::default();
    demuxer.push(&sender.out);
    let events = events(&mut demuxer);
    assert_eq!(codecs(&tracks(&events)), [Codec::Aac]);
    assert_eq!((times(&events).len(), demuxer.counters().unsupported_streams), (3, 1));
}

#[test]
fn pictures_of_an_open_gop_are_keyframes_where_the_sender_says_so() {
    let (params, frames_before) = of_codec(H264_AAC.0, Codec::H264);
    let inter = frames_before.iter().find(|frame| !frame.keyframe).unwrap();
    let slice = nal::to_annex_b(&inter.payload).unwrap();
    let with_sets = [&sets(&params)[..], &slice].concat();
    let mut sender = Sender::new(stream_type::H264, b"");
    let random_access = Adaptation { random_access: true, ..Adaptation::default() };
    sender.pes(0x80, Some(0), &with_sets, random_access);
    sender.pes(0x80, Some(3_600), &with_sets, Adaptation::default());
    sender.pes(0x80, Some(7_200), &slice, random_access);
    let (events, _) = sender.demux();
    let keyframes: Vec<bool> = frames(&events).iter().map(|frame| frame.keyframe).collect();
    assert_eq!(keyframes, [true, false, false]);
    assert!(frames(&events).iter().all(|frame| frame.payload == inter.payload), "the sets are in the record");
}

#[test]
fn pictures_without_sets_or_times_are_counted_and_dropped() {
    let (params, frames_before) = of_codec(H264_AAC.0, Codec::H264);
    let slice = nal::to_annex_b(&frames_before[0].payload).unwrap();
    let mut sender = Sender::new(stream_type::H264, b"");
    sender.send(Some(0), &slice);
    sender.send(Some(3_600), &sets(&params));
    sender.send(None, &slice);
    sender.send(Some(7_200), b"no start code");
    sender.send(Some(10_800), &slice);
    let (events, counters) = sender.demux();
    assert_eq!(times(&events), [10_800]);
    assert_eq!((counters.unconfigured, counters.untimed, counters.malformed), (1, 1, 1));
}

#[test]
fn packets_that_lie_about_their_header_are_dropped() {
    let mut sender = Sender::new(stream_type::METADATA_PES, b"");
    // Scrambled; no '10'; a header that goes beyond the packet; no start code; shorter than it says.
    sender.pes(0x90, Some(0), b"scrambled", Adaptation::default());
    sender.pes(0x00, Some(0), b"MPEG-1", Adaptation::default());
    for broken in
        [&b"\0\0\x01\xbd\0\x03\x80\x80\xff"[..], b"\0\0\x02\xbd\0\x03\x80\0\0", b"\0\0\x01\xbd\0\x40\x80\0\0"]
    {
        put_payload(PID, broken, Adaptation::default(), &mut sender.continuity, &mut sender.out);
    }
    sender.send(Some(9), b"sound");
    // Without a time: that of what came last. Without a header: whole.
    sender.send(None, b"untimed");
    put_payload(
        PID,
        b"\0\0\x01\xbf\0\x04bare",
        Adaptation::default(),
        &mut sender.continuity,
        &mut sender.out,
    );
    let (events, counters) = sender.demux();
    let got: Vec<_> = frames(&events).into_iter().map(|frame| (frame.pts.ticks(), frame.payload)).collect();
    assert_eq!(got, [(9, "sound".into()), (9, "untimed".into()), (9, "bare".into())]);
    assert_eq!((counters.scrambled, counters.damaged_pes), (1, 4));
}

#[test]
fn streams_that_stay_in_the_map_go_on_and_new_ones_are_added() {
    let mut sender = Sender::new(stream_type::AAC_ADTS, b"");
    sender.send(Some(0), &adts(2)[..150]);
    let info = |pid, stream_type| StreamInfo { stream_type, pid, descriptors: Bytes::new() };
    sender.map(&[info(PID, stream_type::AAC_ADTS), info(PID + 1, stream_type::METADATA_PES)]);
    sender.send(None, &adts(2)[150..]);
    let (events, counters) = sender.demux();
    assert_eq!(times(&events), [0, 1_920], "the frame across the change is whole");
    assert_eq!(codecs(&tracks(&events)), [Codec::Aac, Codec::TsData]);
    assert_eq!(counters.malformed, 0);
}

#[test]
fn a_program_map_may_take_several_packets() {
    let descriptors = [&[0x05, 200][..], &[b'x'; 200]].concat();
    let data = Tracks::new(
        (0..4)
            .map(|n| crate::Track {
                id: TrackId(0x400 + n),
                timescale: crate::Timescale::MPEG,
                params: CodecParams::ts_data([&[0x06][..], &descriptors].concat().into()),
            })
            .collect(),
    );
    let at = crate::Timestamp::new(0, crate::Timescale::MPEG);
    let payload = Bytes::from_static(b"data");
    let frame = Frame { track: TrackId(0x400), pts: at, dts: at, keyframe: true, payload };
    let mut muxer = Muxer::default();
    muxer.frame(&data, &frame);
    let unit = muxer.frame(&data, &frame);
    let (events, counters) = demux(&[&muxer.rejoin()[..], &unit].concat());
    assert_eq!(tracks(&events), data);
    assert_eq!((frames(&events).len(), counters.continuity_errors, counters.bad_sections), (1, 0, 0));
}
