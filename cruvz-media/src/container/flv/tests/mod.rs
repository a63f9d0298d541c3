//! What the demuxer and the muxer do, each by itself and one after the other.

mod demux;
mod enhanced;
mod fixtures;
mod mux;
mod properties;

use bytes::Bytes;

use super::*;
use crate::{Frame, Timestamp, Tracks};

/// The AVCDecoderConfigurationRecord of a 64x48 picture, made by x264.
const AVCC: &[u8] =
    b"\x01\x64\x00\x09\xff\xe1\x00\x18\x67\x64\x00\x09\xac\xd9\x44\x7b\x01\x10\x00\x00\x03\x00\x10\
    \x00\x00\x03\x03\x20\xf1\x22\x59\x60\x01\x00\x05\x68\xeb\xec\xb2\x2c\xfd\xf8\xf8\x00";

/// The AudioSpecificConfig of AAC-LC at 48 kHz in stereo.
const AAC_48K: &[u8] = b"\x11\x90";

/// OpusHead for one channel (RFC 7845 §5.1).
const OPUS_HEAD: &[u8] = b"OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00";

fn body(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}

fn avc_config() -> Bytes {
    body(&[b"\x17\0\0\0\0", AVCC])
}

fn aac_config() -> Bytes {
    body(&[b"\xaf\0", AAC_48K])
}

/// Feeds one tag and takes what came of it.
fn feed(demuxer: &mut Demuxer, kind: TagKind, at_ms: i64, body: Bytes) -> Result<Vec<Event>, Error> {
    let result = demuxer.tag(kind, at_ms, body);
    let events = std::iter::from_fn(|| demuxer.next_event()).collect();
    result.map(|()| events)
}

fn video(demuxer: &mut Demuxer, at_ms: i64, body: Bytes) -> Vec<Event> {
    feed(demuxer, TagKind::Video, at_ms, body).unwrap()
}

fn audio(demuxer: &mut Demuxer, at_ms: i64, body: Bytes) -> Vec<Event> {
    feed(demuxer, TagKind::Audio, at_ms, body).unwrap()
}

/// A demuxer that knows an H.264 and an AAC track.
fn configured() -> Demuxer {
    let mut demuxer = Demuxer::default();
    video(&mut demuxer, 0, avc_config());
    audio(&mut demuxer, 0, aac_config());
    demuxer
}

fn frame(track: TrackId, dts_ms: i64, pts_ms: i64, keyframe: bool, payload: &'static [u8]) -> Frame {
    Frame {
        track,
        pts: Timestamp::from_millis(pts_ms),
        dts: Timestamp::from_millis(dts_ms),
        keyframe,
        payload: Bytes::from_static(payload),
    }
}

/// The frames among `events`.
fn frames(events: Vec<Event>) -> Vec<Frame> {
    let frame = |event| if let Event::Frame(frame) = event { Some(frame) } else { None };
    events.into_iter().filter_map(frame).collect()
}

/// The last tracks among `events`.
fn tracks(events: &[Event]) -> Option<&Tracks> {
    events.iter().rev().find_map(|event| if let Event::Tracks(tracks) = event { Some(tracks) } else { None })
}
