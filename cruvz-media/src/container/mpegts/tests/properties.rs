//! What holds for any bytes.

use proptest::prelude::*;

use super::*;

/// A real stream with some of its bytes changed, its packets dropped, repeated or swapped.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..40);
    (0..ALL.len(), damage).prop_map(|(stream, damage)| {
        let mut stream = ALL[stream].0.to_vec();
        for (place, kind, value) in damage {
            let at = place.index(stream.len());
            let packet = at / PACKET_BYTES * PACKET_BYTES;
            match kind {
                0 => stream[at] = value,
                1 => stream[packet + usize::from(value % 16)] ^= value | 1,
                2 if stream.len() > 2 * PACKET_BYTES => {
                    stream.drain(packet..(packet + PACKET_BYTES).min(stream.len()));
                }
                _ => stream.extend_from_within(packet..(packet + PACKET_BYTES).min(stream.len())),
            }
        }
        stream
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        demux(&bytes);
    }

    #[test]
    fn any_packets_are_survived(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 187), 0..40)) {
        let stream: Vec<u8> = packets.iter().flat_map(|packet| [&[0x47][..], packet].concat()).collect();
        demux(&stream);
    }

    #[test]
    fn damage_is_survived_and_frames_belong_to_tracks(stream in damaged()) {
        let (events, _) = demux(&stream);
        let mut tracks = Tracks::empty();
        for event in &events {
            match event {
                Event::Tracks(next) => tracks = next.clone(),
                Event::Frame(frame) => prop_assert!(tracks.by_id(frame.track).is_some()),
            }
        }
        // And the muxer writes whole packets of whatever came of it, without an error of its own making.
        let written = mux(&tracks, &frames(&events));
        let (_, counters) = demux(&written);
        prop_assert_eq!(counters.continuity_errors + counters.damaged_packets + counters.bad_sections, 0);
    }

    #[test]
    fn the_cut_of_damaged_bytes_does_not_matter(stream in damaged(), size in 1..2_000_usize) {
        let (whole, counters) = demux(&stream);
        let mut demuxer = Demuxer::default();
        stream.chunks(size).for_each(|piece| demuxer.push(piece));
        demuxer.finish();
        prop_assert!(events(&mut demuxer) == whole);
        prop_assert_eq!(demuxer.counters(), counters);
    }
}
