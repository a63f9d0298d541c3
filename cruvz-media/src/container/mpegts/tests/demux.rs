//! Sound streams: every packet that ffprobe reads, at its time.

use super::*;
use crate::{Format, Timescale, TrackId, TrackKind, container::mpegts::section::crc32};

/// Times modulo the 33-bit clock, and whether it is a keyframe, of each frame of `track`.
fn listed(frames: &[Frame], track: TrackId) -> Vec<(i64, i64, bool)> {
    let of_track = frames.iter().filter(|frame| frame.track == track);
    let wire = |ticks: i64| ticks.rem_euclid(1 << 33);
    of_track.map(|frame| (wire(frame.pts.ticks()), wire(frame.dts.ticks()), frame.keyframe)).collect()
}

/// The same of one stream by ffprobe.
fn probed(packets: &str, stream: &str) -> Vec<(i64, i64, bool)> {
    let fields = packets.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let of_stream = fields.filter(|fields| fields[0] == stream);
    let wire = |ticks: &str| ticks.parse::<i64>().unwrap().rem_euclid(1 << 33);
    of_stream.map(|fields| (wire(fields[1]), wire(fields[2]), fields[3] == "K")).collect()
}

#[track_caller]
fn assert_near(ours: &[(i64, i64, bool)], theirs: &[(i64, i64, bool)]) {
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours.2, theirs.2);
        // Where several frames share a PES packet, each rounds by itself.
        assert!((ours.0 - theirs.0).abs() <= 1 && (ours.1 - theirs.1).abs() <= 1, "{ours:?} {theirs:?}");
    }
}

#[test]
fn frames_are_those_that_ffprobe_reads() {
    let second = TrackId(0x201);
    for ((stream, packets), ids) in ALL.into_iter().zip([
        [TrackId::VIDEO, TrackId::AUDIO],
        [TrackId::VIDEO, TrackId::AUDIO],
        [TrackId::VIDEO, TrackId::AUDIO],
        [TrackId::AUDIO, second],
    ]) {
        let (events, counters) = demux(stream);
        let frames = frames(&events);
        assert_near(&listed(&frames, ids[0]), &probed(packets, "0"));
        assert_near(&listed(&frames, ids[1]), &probed(packets, "1"));
        let sound = Counters { packets: counters.packets, ..Counters::default() };
        // The time code before the first packet of the M2TS file is no part of a packet.
        let skipped_bytes = counters.skipped_bytes;
        assert_eq!((counters, skipped_bytes <= 4), (Counters { skipped_bytes, ..sound }, true));
    }
}

#[test]
fn tracks_come_first_and_once_and_say_what_the_headers_say() {
    for ((stream, _), expected) in ALL.into_iter().zip([
        [Codec::H264, Codec::Aac],
        [Codec::H265, Codec::Mp3],
        [Codec::H264, Codec::Ac3],
        [Codec::Opus, Codec::Eac3],
    ]) {
        let (events, _) = demux(stream);
        assert!(matches!(events[0], Event::Tracks(_)));
        assert_eq!(events.iter().filter(|event| matches!(event, Event::Tracks(_))).count(), 1);
        let tracks = tracks(&events);
        assert_eq!(codecs(&tracks), expected);
        assert!(tracks.iter().all(|track| track.timescale == Timescale::MPEG));
        for track in tracks.iter() {
            match &track.params.format {
                Format::Video(video) => assert_eq!((video.width, video.height), (64, 48)),
                Format::Audio(audio) => assert!(matches!(audio.sample_rate_hz, 48_000 | 44_100)),
                Format::Data => panic!("there is no data"),
            }
        }
    }
}

#[test]
fn aac_in_latm_is_read_as_aac_in_adts_is() {
    let (stream, packets) = AAC_LATM;
    let (events, counters) = demux(stream);
    assert_eq!(counters, Counters { packets: counters.packets, ..Counters::default() });
    assert_eq!(codecs(&tracks(&events)), [Codec::Aac]);
    let latm = frames(&events);
    assert_near(&listed(&latm, TrackId::AUDIO), &probed(packets, "0"));
}

#[test]
fn times_go_on_across_the_wrap() {
    let (events, _) = demux(H264_AAC.0);
    let video: Vec<i64> = frames(&events)
        .iter()
        .filter(|frame| frame.track == TrackId::VIDEO)
        .map(|frame| frame.dts.ticks())
        .collect();
    assert!(video[0] < 1 << 33 && video[9] > 1 << 33, "{video:?}");
    assert!(video.windows(2).all(|pair| pair[1] - pair[0] == 3_600), "{video:?}");
}

#[test]
fn payloads_have_the_form_of_frames() {
    let (events, _) = demux(H264_AAC.0);
    let tracks = tracks(&events);
    for frame in frames(&events) {
        let kind = tracks.by_id(frame.track).unwrap().kind();
        if kind == TrackKind::Video {
            let units = crate::codec::nal::nal_units(&frame.payload);
            let kinds: Vec<u8> = units.map(|unit| unit.unwrap()[0] & 0x1F).collect();
            // No delimiter, no parameter set: those are in the record.
            assert!(kinds.iter().all(|kind| matches!(kind, 1 | 5 | 6)), "{kinds:?}");
        } else {
            assert_ne!(frame.payload[..2], [0xFF, 0xF1], "an ADTS header");
        }
    }
}

#[test]
fn the_cut_of_the_bytes_does_not_matter() {
    for (stream, _) in ALL {
        let (whole, counters) = demux(stream);
        for size in [1, 7, 187, 188, 189, 1_316, 4_096] {
            let mut demuxer = Demuxer::default();
            let mut pieces = Vec::new();
            for piece in stream.chunks(size) {
                demuxer.push(piece);
                pieces.extend(events(&mut demuxer));
            }
            demuxer.finish();
            pieces.extend(events(&mut demuxer));
            assert!(pieces == whole && demuxer.counters() == counters, "in pieces of {size}");
        }
    }
}

#[test]
fn packets_with_parity_behind_them_are_found() {
    let with_parity: Vec<u8> =
        H264_AAC.0.chunks(188).flat_map(|packet| [packet, &[0x47; 16]].concat()).collect();
    assert!(demux(&with_parity).0 == demux(H264_AAC.0).0);
}

#[test]
fn the_last_packet_needs_nothing_behind_it() {
    // It carries the end of the last frame: with the time codes taken off, and with them.
    let m2ts = H264_AC3.0;
    let bare: Vec<u8> = m2ts.chunks(192).flat_map(|packet| &packet[4..]).copied().collect();
    assert!(demux(m2ts).0 == demux(&bare).0);
    let count = |stream: &[u8]| demux(stream).1.packets as usize;
    assert_eq!((count(m2ts), count(&bare)), (m2ts.len() / 192, m2ts.len() / 192));
}

#[test]
fn another_program_can_be_chosen() {
    let mut demuxer = Demuxer::default().program(1);
    demuxer.push(H264_AAC.0);
    demuxer.finish();
    assert!(events(&mut demuxer) == demux(H264_AAC.0).0);
    let mut demuxer = Demuxer::default().program(2);
    demuxer.push(H264_AAC.0);
    demuxer.finish();
    assert_eq!(events(&mut demuxer), []);
}

#[test]
fn the_checksum_is_that_of_the_standard() {
    // CRC-32/MPEG-2's usual check value.
    assert_eq!(crc32(b"123456789"), 0x0376_E6E7);
}
