//! Damaged streams: what is damaged is dropped whole and counted, and the rest is as it was.

use super::*;
use crate::{TrackId, container::mpegts::psi};

const VIDEO_PID: u16 = 0x100;

fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1F, packet[2]])
}

/// `H264_AAC` as packets.
fn packets() -> Vec<Vec<u8>> {
    H264_AAC.0.chunks(PACKET_BYTES).map(<[u8]>::to_vec).collect()
}

/// Where the packets of the picture stand.
fn video_packets() -> Vec<usize> {
    let packets = packets();
    (0..packets.len()).filter(|&at| pid(&packets[at]) == VIDEO_PID).collect()
}

#[test]
fn each_lost_packet_costs_the_access_units_it_touches_and_no_other() {
    let (whole, _) = demux(H264_AAC.0);
    let whole = frames(&whole);
    // From behind the first keyframe, without which nothing is known, to before the last packet, whose loss cannot show.
    for lost in 12..packets().len() - 2 {
        let mut packets = packets();
        let is_media = pid(&packets[lost]) >= 0x100;
        packets.remove(lost);
        let (events, counters) = demux(&packets.concat());
        let left = frames(&events);
        assert!(left.iter().all(|frame| whole.contains(frame)), "a frame of its own after losing {lost}");
        let missing = whole.len() - left.len();
        // Several AAC frames share a PES packet here; one that lost its end may take the next with it.
        assert!(missing <= 20, "{missing} frames are missing after losing {lost}");
        if is_media && missing > 0 && counters.continuity_errors > 0 {
            assert_eq!(counters.continuity_errors, 1);
            assert!(counters.damaged_pes <= 1, "{counters:?}");
        }
    }
}

#[test]
fn a_packet_that_comes_twice_counts_once() {
    let twice: Vec<u8> = packets().iter().flat_map(|packet| [&packet[..], packet].concat()).collect();
    let (events, counters) = demux(&twice);
    assert!(events == demux(H264_AAC.0).0);
    assert_eq!((counters.continuity_errors, counters.damaged_pes), (0, 0));
    assert!(counters.duplicates > 20);
}

#[test]
fn garbage_between_packets_is_passed_over() {
    let mut packets = packets();
    let at = packets.len() / 2;
    packets[at].extend_from_slice(&[1, 0x47, 2, 3, 0x47]);
    let (events, counters) = demux(&packets.concat());
    assert!(events == demux(H264_AAC.0).0);
    assert_eq!((counters.resyncs, counters.skipped_bytes), (1, 5));
}

#[test]
fn a_stream_joined_in_its_midst_begins_with_what_is_whole() {
    let (whole, _) = demux(H264_AAC.0);
    for start in [1, 100, 188 * 3 + 50] {
        let (events, counters) = demux(&H264_AAC.0[start..]);
        assert!(counters.skipped_bytes > 0 && counters.resyncs == 0);
        assert!(frames(&events).iter().all(|frame| frames(&whole).contains(frame)));
    }
}

#[test]
fn packets_marked_as_damaged_are_lost() {
    let mut packets = packets();
    let at = video_packets()[5];
    packets[at][1] |= 0x80;
    let (_, counters) = demux(&packets.concat());
    assert_eq!((counters.damaged_packets, counters.continuity_errors, counters.damaged_pes), (1, 1, 1));
}

#[test]
fn scrambled_packets_are_passed_over() {
    let mut packets = packets();
    for packet in packets.iter_mut().filter(|packet| pid(packet) == VIDEO_PID) {
        packet[3] |= 0x80;
    }
    let (events, counters) = demux(&packets.concat());
    assert_eq!(counters.scrambled as usize, video_packets().len());
    assert_eq!(counters.continuity_errors, 0);
    assert_eq!(codecs(&tracks(&events)), [Codec::Aac], "the sound is given out in the end");
}

#[test]
fn an_announced_discontinuity_is_no_error() {
    let mut packets = packets();
    // The packet before one that begins a frame and so has room for a flag; the flag is set there.
    let begins =
        |packet: &&Vec<u8>| pid(packet) == VIDEO_PID && packet[1] & 0x40 != 0 && packet[3] & 0x20 != 0;
    let marked = packets.iter().rposition(|packet| begins(&packet) && packet[4] > 0).unwrap();
    packets[marked][5] |= 0x80;
    let lost = video_packets().into_iter().rfind(|&at| at < marked).unwrap();
    packets.remove(lost);
    let (_, counters) = demux(&packets.concat());
    assert_eq!((counters.continuity_errors, counters.damaged_pes), (0, 1));
}

#[test]
fn a_table_whose_checksum_is_wrong_is_not_believed() {
    let mut packets = packets();
    for packet in packets.iter_mut().filter(|packet| pid(packet) == psi::PAT_PID) {
        packet[10] ^= 1;
    }
    let (events, counters) = demux(&packets.concat());
    assert_eq!(events, []);
    assert!(counters.bad_sections > 0);
}

#[test]
fn a_frame_beyond_the_limit_is_dropped_and_the_next_is_not() {
    let (whole, _) = demux(H264_AAC.0);
    let largest = frames(&whole).iter().map(|frame| frame.payload.len()).max().unwrap();
    let keyframes = |frames: &[Frame]| frames.iter().filter(|frame| frame.keyframe).count();
    let limits = Limits { pes_bytes: largest - 100, ..Limits::default() };
    let mut demuxer = Demuxer::new(limits);
    demuxer.push(H264_AAC.0);
    demuxer.finish();
    let left = frames(&events(&mut demuxer));
    assert!(demuxer.counters().oversized_pes > 0);
    assert!(keyframes(&left) < keyframes(&frames(&whole)));
    assert!(left.iter().any(|frame| frame.track == TrackId::AUDIO));
}

#[test]
fn a_track_that_never_comes_is_waited_for_no_longer_than_the_limit() {
    let without_video: Vec<u8> =
        packets().into_iter().filter(|packet| pid(packet) != VIDEO_PID).flatten().collect();
    let first = |hold_ms| {
        let mut demuxer = Demuxer::new(Limits { hold_ms, ..Limits::default() });
        demuxer.push(&without_video);
        events(&mut demuxer)
    };
    assert_eq!(first(2_000), [], "held still");
    let events = first(100);
    assert_eq!(codecs(&tracks(&events)), [Codec::Aac]);
    assert!(!frames(&events).is_empty());
}

#[test]
fn the_streams_beyond_the_limit_are_passed_over() {
    let mut demuxer = Demuxer::new(Limits { streams: 1, ..Limits::default() });
    demuxer.push(H264_AAC.0);
    demuxer.finish();
    assert_eq!(codecs(&tracks(&events(&mut demuxer))), [Codec::H264]);
    assert_eq!(demuxer.counters().unsupported_streams, 1);
}

#[test]
fn a_new_program_map_replaces_the_tracks() {
    let (first, _) = demux(H264_AAC.0);
    let (events, counters) = demux(&[H264_AAC.0, OPUS_EAC3.0].concat());
    let sets: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Tracks(tracks) => Some(codecs(tracks)),
            Event::Frame(_) => None,
        })
        .collect();
    assert_eq!(sets, [[Codec::H264, Codec::Aac], [Codec::Opus, Codec::Eac3]]);
    let opus_eac3 = frames(&demux(OPUS_EAC3.0).0).len();
    assert!(frames(&events).len() >= frames(&first).len() + opus_eac3 - 1, "{counters:?}");
}

#[test]
fn no_frame_keeps_the_memory_of_what_came_with_it() {
    for (stream, _) in ALL.into_iter().chain([AAC_LATM]) {
        let frames = frames(&demux(stream).0);
        assert!(!frames.is_empty());
        assert!(frames.iter().all(|frame| frame.payload.is_unique()));
    }
}
