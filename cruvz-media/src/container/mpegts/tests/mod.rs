//! What the demuxer and the muxer do with real streams, damaged ones and each other's.

mod demux;
mod loss;
mod mux;
mod properties;
mod streams;

use super::*;
use crate::{Codec, Frame, Tracks};

macro_rules! fixture {
    ($name:literal) => {
        (
            include_bytes!(concat!("../../../../tests/fixtures/mpegts/", $name)),
            include_str!(concat!("../../../../tests/fixtures/mpegts/", $name, ".packets")),
        )
    };
}

/// Each a transport stream and what ffprobe reads in it; see `make.sh` beside them.
const H264_AAC: (&[u8], &str) = fixture!("h264_aac.ts");
const HEVC_MP3: (&[u8], &str) = fixture!("hevc_mp3.ts");
const H264_AC3: (&[u8], &str) = fixture!("h264_ac3.m2ts");
const OPUS_EAC3: (&[u8], &str) = fixture!("opus_eac3.ts");
const AAC_LATM: (&[u8], &str) = fixture!("aac_latm.ts");
const ALL: [(&[u8], &str); 4] = [H264_AAC, HEVC_MP3, H264_AC3, OPUS_EAC3];

/// All of `stream` through one demuxer.
fn demux(stream: &[u8]) -> (Vec<Event>, Counters) {
    let mut demuxer = Demuxer::default();
    demuxer.push(stream);
    demuxer.finish();
    (events(&mut demuxer), demuxer.counters())
}

fn events(demuxer: &mut Demuxer) -> Vec<Event> {
    std::iter::from_fn(|| demuxer.next_event()).collect()
}

fn frames(events: &[Event]) -> Vec<Frame> {
    let frame = |event: &Event| match event {
        Event::Frame(frame) => Some(frame.clone()),
        Event::Tracks(_) => None,
    };
    events.iter().filter_map(frame).collect()
}

/// The tracks as last said.
fn tracks(events: &[Event]) -> Tracks {
    let tracks = |event: &Event| match event {
        Event::Tracks(tracks) => Some(tracks.clone()),
        Event::Frame(_) => None,
    };
    events.iter().rev().find_map(tracks).unwrap_or_else(Tracks::empty)
}

fn codecs(tracks: &Tracks) -> Vec<Codec> {
    tracks.iter().map(|track| track.params.codec).collect()
}

/// Frames and tracks through a muxer.
fn mux(tracks: &Tracks, frames: &[Frame]) -> Vec<u8> {
    let mut muxer = Muxer::default();
    frames.iter().flat_map(|frame| muxer.frame(tracks, frame)).collect()
}
