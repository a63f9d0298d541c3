//! Transport streams: the same events in pieces as in one, frames of known tracks only, and a muxer behind it whose
//! packets are in order whatever the frames are.
#![no_main]

use cruvz_fuzz::pieces;
use cruvz_media::{
    Tracks,
    container::mpegts::{Counters, Demuxer, Event, Muxer, PACKET_BYTES},
};
use libfuzzer_sys::fuzz_target;

fn read(data: &[u8], cut: u8) -> (Vec<Event>, Counters) {
    let mut demuxer = Demuxer::default();
    let mut events = Vec::new();
    for piece in pieces(data, cut) {
        demuxer.push(piece);
        events.extend(std::iter::from_fn(|| demuxer.next_event()));
    }
    demuxer.finish();
    events.extend(std::iter::from_fn(|| demuxer.next_event()));
    (events, demuxer.counters())
}

fuzz_target!(|data: &[u8]| {
    let [cut, data @ ..] = data else { return };
    let (events, counters) = read(data, 0);
    assert_eq!((&events, counters), (&read(data, *cut).0, counters));
    let (mut tracks, mut muxer, mut written) = (Tracks::empty(), Muxer::default(), Vec::new());
    for event in events {
        match event {
            Event::Tracks(next) => tracks = next,
            Event::Frame(frame) => {
                assert!(tracks.by_id(frame.track).is_some());
                written.extend_from_slice(&muxer.frame(&tracks, &frame));
            }
            _ => {}
        }
    }
    assert_eq!(written.len() % PACKET_BYTES, 0);
    let (_, counters) = read(&written, 0);
    assert_eq!(counters.continuity_errors + counters.damaged_packets + counters.bad_sections, 0);
});
