//! FLV tag bodies, legacy and Enhanced RTMP: bodies to frames, frames to bodies, and those to the same frames.
#![no_main]

use bytes::Bytes;
use cruvz_fuzz::records;
use cruvz_media::{
    Frame, Tracks,
    container::flv::{Demuxer, Event, MuxOptions, Muxer, TagKind},
};
use libfuzzer_sys::fuzz_target;

/// Writes the frame as a tag and reads that: what we make, we take.
fn round_trip(tracks: &Tracks, frame: &Frame) {
    let muxer = Muxer::new(tracks, MuxOptions { multitrack: true, ..MuxOptions::default() });
    let Some(tag) = muxer.frame(frame) else { return };
    let mut demuxer = Demuxer::default();
    for tag in muxer.headers(None, frame.dts).into_iter().chain([tag]) {
        demuxer.tag(tag.kind, i64::from(tag.timestamp_ms), tag.to_body()).expect("what we write, we read");
    }
    while demuxer.next_event().is_some() {}
}

fuzz_target!(|data: &[u8]| {
    let mut demuxer = Demuxer::default();
    let mut tracks = Tracks::empty();
    for (number, (kind, body)) in records(data).enumerate() {
        let kind = TagKind::from_type(kind).unwrap_or(TagKind::Video);
        // A body that is refused is no reason not to read the next.
        let _ = demuxer.tag(kind, number as i64 * 20, Bytes::copy_from_slice(body));
        while let Some(event) = demuxer.next_event() {
            match event {
                Event::Tracks(now) => tracks = now,
                Event::Frame(frame) => {
                    assert!(tracks.by_id(frame.track).is_some() && !frame.payload.is_empty());
                    round_trip(&tracks, &frame);
                }
                _ => {}
            }
        }
    }
});
