//! In whatever order packets come, and however often, the frames are the same.

use proptest::prelude::*;

use super::link::*;
use super::*;

/// The packets of some pictures, the first of them a keyframe.
fn pictures(count: u32) -> Vec<Bytes> {
    let mut publisher = Publisher::new();
    (0..count).flat_map(|_| publisher.picture()).collect()
}

fn received(packets: impl IntoIterator<Item = Bytes>) -> (Vec<Frame>, Stats) {
    let mut receiver = Receiver::new(START, &media()[1..], Config::default());
    let mut out = Out::default();
    for packet in packets {
        receiver.rtp(START, packet);
        out.take(&mut receiver);
    }
    (out.video, receiver.stats())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_and_duplication_give_the_same_frames(
        seeds in prop::collection::vec((0usize..60, 0usize..60, any::<bool>()), 200),
    ) {
        let packets = pictures(30);
        let (expected, _) = received(packets.clone());
        prop_assert_eq!(expected.len(), 30);
        // The first packet begins the sequence; the others are moved by up to 60 places.
        let mut moved: Vec<(usize, Bytes)> = vec![(0, packets[0].clone())];
        for (at, packet) in packets.iter().enumerate().skip(1) {
            let (by, again, twice) = seeds[at % seeds.len()];
            moved.push((at + by, packet.clone()));
            if twice {
                moved.push((at + again, packet.clone()));
            }
        }
        moved[1..].sort_by_key(|&(place, _)| place);
        let copies = moved.len() - packets.len();
        let (frames, stats) = received(moved.into_iter().map(|(_, packet)| packet));
        prop_assert_eq!(frames, expected);
        prop_assert_eq!((stats.belated, stats.given_up), (copies as u64, 0));
        prop_assert_eq!(stats.lost, stats.recovered);
    }
}
