//! The crate `mpeg2ts`, written by others, reads what we write: each PES packet with the times and the bytes of its frame.

use std::collections::HashMap;

use cruvz_media::{
    Codec, Frame, Timestamp, Tracks,
    codec::nal,
    container::mpegts::{Demuxer, Event, Muxer},
};
use mpeg2ts::{
    pes::{PesPacketReader, ReadPesPacket},
    ts::{ReadTsPacket, TsPacketReader, TsPayload},
};

/// The tracks of a fixture, and its frames in decoding order.
fn demux(bytes: &[u8]) -> (Tracks, Vec<Frame>) {
    let mut demuxer = Demuxer::default();
    demuxer.push(bytes);
    demuxer.finish();
    let mut frames = Vec::new();
    while let Some(event) = demuxer.next_event() {
        if let Event::Frame(frame) = event {
            frames.push(frame);
        }
    }
    frames.sort_by_key(|frame| frame.dts);
    (demuxer.tracks().clone(), frames)
}

fn fixtures() -> [(Tracks, Vec<Frame>); 2] {
    [
        demux(include_bytes!("fixtures/mpegts/h264_aac.ts")),
        demux(include_bytes!("fixtures/mpegts/hevc_mp3.ts")),
    ]
}

fn mux(tracks: &Tracks, frames: &[Frame]) -> Vec<u8> {
    let mut muxer = Muxer::default();
    frames.iter().flat_map(|frame| muxer.frame(tracks, frame)).collect()
}

/// A time as it stands in the packet: 200 ms later, in 33 bits.
fn wire(time: Timestamp) -> u64 {
    (time.ticks() + 18_000).rem_euclid(1 << 33) as u64
}

#[test]
fn pes_packets_have_the_times_and_the_bytes_of_their_frames() {
    for (tracks, frames) in fixtures() {
        let stream = mux(&tracks, &frames);
        let mut reader = PesPacketReader::new(TsPacketReader::new(&stream[..]));
        let mut found = HashMap::new();
        while let Some(pes) = reader.read_pes_packet().unwrap() {
            let pts = pes.header.pts.unwrap().as_u64();
            let dts = pes.header.dts.map_or(pts, |dts| dts.as_u64());
            let is_new = found.insert((pes.header.stream_id.is_video(), dts), (pts, pes.data)).is_none();
            assert!(is_new, "two packets at {dts}");
        }
        assert_eq!(found.len(), frames.len());
        for frame in &frames {
            let codec = tracks.by_id(frame.track).unwrap().params.codec;
            let is_video = matches!(codec, Codec::H264 | Codec::H265);
            let (pts, data) = &found[&(is_video, wire(frame.dts))];
            assert_eq!(*pts, wire(frame.pts));
            let payload = match codec {
                Codec::H264 | Codec::H265 => nal::to_annex_b(&frame.payload).unwrap(),
                _ => frame.payload.clone(),
            };
            assert!(data.ends_with(&payload), "at {dts:?}", dts = frame.dts);
        }
    }
}

#[test]
fn tables_and_clocks_say_what_they_should() {
    for (tracks, frames) in fixtures() {
        let stream = mux(&tracks, &frames);
        let mut reader = TsPacketReader::new(&stream[..]);
        let (mut maps, mut clocks) = (0, Vec::new());
        while let Some(packet) = reader.read_ts_packet().unwrap() {
            if let Some(clock) = packet.adaptation_field.as_ref().and_then(|field| field.pcr) {
                assert_eq!(packet.header.pid.as_u16(), 0x100, "the picture has the clock");
                clocks.push(clock.as_u64());
            }
            match packet.payload {
                Some(TsPayload::Pat(pat)) => assert_eq!(pat.table.len(), 1),
                Some(TsPayload::Pmt(pmt)) => {
                    maps += 1;
                    assert_eq!(pmt.pcr_pid.unwrap().as_u16(), 0x100);
                    let pids: Vec<u16> =
                        pmt.es_info.iter().map(|stream| stream.elementary_pid.as_u16()).collect();
                    assert_eq!(pids, [0x100, 0x101]);
                }
                _ => {}
            }
        }
        // 0.4 s with two keyframes: at each of those, and every 100 ms between.
        assert!(maps >= 4, "{maps}");
        let wrap = 300 << 33;
        for pair in clocks.windows(2) {
            let passed = (pair[1] + wrap - pair[0]) % wrap;
            assert!((1..=40 * 27_000).contains(&passed), "{passed} between clock references");
        }
    }
}
