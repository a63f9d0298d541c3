//! What the muxer writes, read by our own demuxer, and the rules of a transport stream.

use std::collections::HashMap;

use bytes::Bytes;

use super::*;
use crate::{
    CodecParams, Timescale, Timestamp, Track, TrackId, TrackKind, codec, container::mpegts::packet::Packet,
};

/// The packets of a stream, taken apart.
fn packets(stream: &[u8]) -> Vec<Packet<'_>> {
    assert_eq!(stream.len() % PACKET_BYTES, 0, "packets are whole");
    let (packets, _) = stream.as_chunks();
    packets.iter().map(|packet| Packet::parse(packet).unwrap()).collect()
}

/// Clock references in the adaptation fields of `stream`, in 27 MHz, and where they stand.
fn clocks(stream: &[u8]) -> Vec<i64> {
    let has_clock = |packet: &&[u8]| packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x10 != 0;
    let read = |packet: &[u8]| {
        let bits = packet[6..12].iter().fold(0_i64, |bits, byte| bits << 8 | i64::from(*byte));
        (bits >> 15) * 300 + (bits & 0x1FF)
    };
    stream.chunks(PACKET_BYTES).filter(has_clock).map(read).collect()
}

/// `frames` with all times moved by `ticks` of 90 kHz.
fn moved(frames: &[Frame], ticks: i64) -> Vec<Frame> {
    let moved = |time: Timestamp| time.saturating_add_ticks(ticks);
    let moved = |frame: &Frame| Frame { pts: moved(frame.pts), dts: moved(frame.dts), ..frame.clone() };
    frames.iter().map(moved).collect()
}

/// `frames` in the order of their decoding times, which leads to one clock.
fn sorted(mut frames: Vec<Frame>) -> Vec<Frame> {
    frames.sort_by_key(|frame| frame.dts);
    frames
}

fn audio_tracks(config: &'static [u8]) -> Tracks {
    let params = codec::parse(Codec::Aac, Bytes::from_static(config)).unwrap();
    Tracks::new(vec![Track { id: TrackId::AUDIO, timescale: Timescale::MPEG, params }])
}

fn audio_frame(ticks: i64) -> Frame {
    let at = Timestamp::new(ticks, Timescale::MPEG);
    Frame { track: TrackId::AUDIO, pts: at, dts: at, keyframe: true, payload: Bytes::from_static(&[7; 300]) }
}

#[test]
fn what_is_written_is_read_again() {
    for (stream, _) in ALL {
        let (events, _) = demux(stream);
        let tracks_before = tracks(&events);
        let before = sorted(frames(&events));
        let (events, counters) = demux(&mux(&tracks_before, &before));
        assert_eq!(tracks(&events), tracks_before);
        // The delay of the clock references, 200 ms; and the wrap, of which a new reader knows nothing.
        let after = sorted(frames(&events));
        let shift = after[0].dts.ticks() - before[0].dts.ticks();
        assert!((shift - 18_000).rem_euclid(1 << 33) == 0, "{shift}");
        assert_eq!(after, moved(&before, shift));
        assert_eq!(counters, Counters { packets: counters.packets, ..Counters::default() });
    }
}

#[test]
fn a_viewer_can_start_at_each_keyframe() {
    let (events, _) = demux(H264_AAC.0);
    let (tracks_before, frames_before) = (tracks(&events), sorted(frames(&events)));
    let mut muxer = Muxer::default();
    let mut starts = 0;
    let units: Vec<Bytes> = frames_before.iter().map(|frame| muxer.frame(&tracks_before, frame)).collect();
    for (at, frame) in frames_before.iter().enumerate() {
        if frame.track != TrackId::VIDEO || !frame.keyframe {
            continue;
        }
        starts += 1;
        assert_eq!(packets(&units[at])[..2].iter().map(|packet| packet.pid).collect::<Vec<_>>(), [0, 0x1000]);
        assert!(packets(&units[at]).iter().any(|packet| packet.random_access));
        let (events, counters) = demux(&units[at..].concat());
        assert_eq!(frames(&events).len(), frames_before.len() - at);
        assert_eq!(tracks(&events), tracks_before);
        assert_eq!(counters.continuity_errors, 0);
    }
    assert_eq!(starts, 2);
}

#[test]
fn a_viewer_that_jumps_sees_no_continuity_error() {
    let (events, _) = demux(H264_AAC.0);
    let (tracks, frames_before) = (tracks(&events), sorted(frames(&events)));
    let mut muxer = Muxer::default();
    let mut seen = Vec::new();
    for (at, frame) in frames_before.iter().enumerate() {
        let unit = muxer.frame(&tracks, frame);
        // Frames 4 to 14 are missed.
        if at == 15 {
            seen.extend_from_slice(&muxer.rejoin());
        }
        if !(4..15).contains(&at) {
            seen.extend_from_slice(&unit);
        }
    }
    let (events, counters) = demux(&seen);
    assert_eq!((counters.continuity_errors, counters.damaged_pes), (0, 0));
    assert_eq!(frames(&events).len(), frames_before.len() - 11);
}

#[test]
fn continuity_counters_go_on_when_the_tracks_change() {
    let (first, _) = demux(H264_AAC.0);
    let (second, _) = demux(HEVC_MP3.0);
    let mut muxer = Muxer::default();
    let mut stream = Vec::new();
    for events in [&first, &second, &first] {
        let tracks = tracks(events);
        stream.extend(sorted(frames(events)).iter().flat_map(|frame| muxer.frame(&tracks, frame)));
    }
    let mut last = HashMap::new();
    for packet in packets(&stream).iter().filter(|packet| !packet.payload.is_empty()) {
        let before = last.insert(packet.pid, packet.continuity);
        assert!(before.is_none_or(|before| (before + 1) & 15 == packet.continuity), "{packet:?}");
    }
    let (events, counters) = demux(&stream);
    let tracks_of = |event: &Event| match event {
        Event::Tracks(tracks) => Some(codecs(tracks)),
        Event::Frame(_) => None,
    };
    let codecs: Vec<_> = events.iter().filter_map(tracks_of).collect();
    assert_eq!(codecs, [[Codec::H264, Codec::Aac], [Codec::H265, Codec::Mp3], [Codec::H264, Codec::Aac]]);
    assert_eq!(counters.bad_sections + counters.damaged_pes + counters.malformed, 0);
}

#[test]
fn clock_references_are_at_most_40_ms_apart() {
    let tracks = audio_tracks(&[0x11, 0x90]);
    // 21.3, 40, 41.7, 100, 900 ms.
    for step in [1_920, 3_600, 3_750, 9_000, 81_000] {
        let mut muxer = Muxer::default();
        let stream: Vec<u8> = (0..50).flat_map(|n| muxer.frame(&tracks, &audio_frame(n * step))).collect();
        let clocks = clocks(&stream);
        assert_eq!(clocks[0], 0);
        assert_eq!(*clocks.last().unwrap(), 49 * step * 300);
        let longest = clocks.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest <= 40 * 27_000, "{longest} for steps of {step}");
        assert!(clocks.windows(2).all(|pair| pair[0] < pair[1]), "the clock goes forward");
    }
}

#[test]
fn a_long_pause_is_announced_and_not_filled() {
    let tracks = audio_tracks(&[0x11, 0x90]);
    let mut muxer = Muxer::default();
    muxer.frame(&tracks, &audio_frame(0));
    let unit = muxer.frame(&tracks, &audio_frame(90_000 * 3_600));
    assert!(unit.len() <= 5 * PACKET_BYTES);
    assert!(packets(&unit).iter().any(|packet| packet.pid == 0x100 && packet.discontinuity));
}

#[test]
fn sound_keeps_the_clock_going_when_the_picture_stops() {
    let (events, _) = demux(H264_AAC.0);
    let tracks = tracks(&events);
    let keyframe = frames(&events).into_iter().find(|frame| frame.track == TrackId::VIDEO).unwrap();
    let keyframe = &moved(std::slice::from_ref(&keyframe), -keyframe.dts.ticks())[0];
    let mut muxer = Muxer::default();
    let mut stream = muxer.frame(&tracks, keyframe).to_vec();
    for n in 0..100 {
        stream.extend_from_slice(&muxer.frame(&tracks, &audio_frame(n * 1_920)));
    }
    let clocks = clocks(&stream);
    assert!(clocks.windows(2).all(|pair| (1..=40 * 27_000).contains(&(pair[1] - pair[0]))));
    // As far as the sound, less what the picture may lag behind.
    let end = (99 * 1_920 - 18_000) * 300;
    assert!((end - clocks.last().unwrap()) <= 40 * 27_000);
}

#[test]
fn tables_come_every_100_ms_where_there_is_no_keyframe() {
    let tracks = audio_tracks(&[0x11, 0x90]);
    let mut muxer = Muxer::default();
    let with_tables: Vec<i64> =
        (0..500).filter(|n| packets(&muxer.frame(&tracks, &audio_frame(n * 1_920)))[0].pid == 0).collect();
    assert!(with_tables.windows(2).all(|pair| pair[1] - pair[0] == 5), "each fifth frame of 21 ms");
}

#[test]
fn a_viewer_of_sound_alone_begins_with_the_tables() {
    let tracks = audio_tracks(&[0x11, 0x90]);
    let mut muxer = Muxer::default();
    for n in 0..22 {
        muxer.frame(&tracks, &audio_frame(n * 1_920));
    }
    let unit = muxer.frame(&tracks, &audio_frame(22 * 1_920));
    assert_eq!(packets(&unit)[0].pid, 0x100, "no tables in it");
    let (events, counters) = demux(&[&muxer.rejoin()[..], &unit[..]].concat());
    assert_eq!((frames(&events).len(), counters.continuity_errors), (1, 0));
}

#[test]
fn data_is_carried_on() {
    let id3 = CodecParams::ts_data(Bytes::from_static(b"\x15\x26\x0d\xff\xffID3 \xffID3 \x00\x0f"));
    let cue = CodecParams::ts_data(Bytes::from_static(b"\x86"));
    let track = |id, params| Track { id: TrackId(id), timescale: Timescale::MPEG, params };
    let (video, _) = demux(H264_AAC.0);
    let video_tracks = tracks(&video);
    let keyframe = frames(&video).into_iter().find(|frame| frame.track == TrackId::VIDEO).unwrap();
    let all = Tracks::new(vec![
        video_tracks.first(TrackKind::Video).unwrap().clone(),
        track(0x400, id3),
        track(0x401, cue),
    ]);
    // A splice_null command, and a tag.
    let section = b"\xfc\x30\x11\0\0\0\0\0\0\0\xff\xff\xff\0\0\0\x4f\x25\x33\x96";
    let data = |id, payload: &'static [u8]| Frame {
        track: TrackId(id),
        payload: Bytes::from_static(payload),
        pts: keyframe.dts,
        ..keyframe.clone()
    };
    let before = [keyframe.clone(), data(0x400, b"ID3\x04\0\0\0\0\0\0"), data(0x401, section)];
    let (events, counters) = demux(&mux(&all, &before));
    assert_eq!(tracks(&events), all);
    let payloads = |frames: &[Frame]| -> Vec<_> {
        let mut all: Vec<_> = frames.iter().map(|frame| (frame.track, frame.payload.clone())).collect();
        all.sort_by_key(|(track, _)| *track);
        all
    };
    assert_eq!(payloads(&frames(&events)), payloads(&before));
    assert_eq!(counters.bad_sections, 0);
}

#[test]
fn what_the_format_has_no_room_for_is_left_out() {
    let params = |codec, config: &'static [u8]| codec::parse(codec, Bytes::from_static(config)).unwrap();
    let odd_rate = codec::aac::AudioSpecificConfig {
        sample_rate_hz: 44_000,
        ..codec::aac::AudioSpecificConfig::parse(&[0x11, 0x90]).unwrap()
    };
    // Neither codec has a place; low delay and 44,000 Hz have none in ADTS.
    for params in [
        params(Codec::Vp8, b""),
        params(Codec::ScriptData, b""),
        params(Codec::Aac, &[0xF8, 0xE6, 0x20, 0]),
        codec::parse(Codec::Aac, odd_rate.to_bytes().unwrap()).unwrap(),
    ] {
        assert!(!carries(&params), "{params:?}");
        let track = Track { id: TrackId::AUDIO, timescale: Timescale::MPEG, params };
        assert_eq!(Muxer::default().frame(&Tracks::new(vec![track]), &audio_frame(0)), Bytes::new());
    }
    assert!(carries(&audio_tracks(&[0x11, 0x90])[0].params));
}
