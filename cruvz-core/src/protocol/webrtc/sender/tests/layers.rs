//! A viewer that goes on with another layer, and one whose network is tried.

use super::*;

const LAYERED: LaneConfig = LaneConfig { transport_cc: Some(3), ..VIDEO };

/// Puts the packets of another log in the place of the stream's, and has the sender go on there.
fn switch(pair: &mut Pair, other: &mut Row) {
    std::mem::swap(&mut pair.stream.video, other);
    let start = pair.stream.video.newest_start().unwrap();
    pair.sender.switch(&pair.stream.video, start);
}

#[test]
fn another_layer_goes_on_in_the_same_row_of_numbers_and_of_times() {
    for rtx in [VIDEO.rtx, None] {
        let mut pair = Pair::new(config(LaneConfig { rtx, ..LAYERED }, AUDIO), 0.03, [0x5a; 16]);
        let mut small = Stream::default();
        small.video.first = 1_000_000;
        // A keyframe comes each 990 ms: at 2,980 its moment has been sent, at 5,000 it has not for a while.
        for (from, to) in [(0, 2_980), (2_980, 5_000), (5_000, 8_000)] {
            for ms in from..to {
                small.advance(ms * MS);
                pair.step(ms * MS);
            }
            let first = pair.stream.video.first;
            switch(&mut pair, &mut small.video);
            assert_ne!(pair.stream.video.first, first);
        }
        pair.down.network.change(conditions(0.0));
        pair.up.network.change(conditions(0.0));
        (8_000..8_500).for_each(|ms| pair.step(ms * MS));
        let heard: Vec<_> = pair.player.heard(VIDEO.ssrc).collect();
        // What was lost right before a change is not there any more; a keyframe follows.
        let gaps = heard.windows(2).filter(|pair| pair[1].number != pair[0].number + 1).count();
        assert!(gaps <= 6, "{gaps} gaps");
        assert!(heard.last().unwrap().number - heard[0].number + 1 - (heard.len() as u64) < 10);
        for pair in heard.windows(2) {
            let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed();
            let begins = pair[0].marker;
            assert!(if begins { step > 0 } else { step >= 0 }, "{step} at {}", pair[1].number);
        }
        assert_eq!(pair.sender.stats().skips, 0);
    }
}

#[test]
fn a_network_is_tried_with_what_the_viewer_has() {
    let mut pair = Pair::new(config(LAYERED, AUDIO), 0.0, [0x5a; 16]);
    pair.run(0, 1_000);
    assert_eq!(pair.player.rtx_packets, 0);
    pair.sender.probe(1_000 * MS, Some(800_000));
    for ms in 1_000..2_000 {
        pair.step(ms * MS);
        assert!(pair.sender.poll_timeout().is_none_or(|at| at > ms * MS), "a timer that does not end");
    }
    let tried = pair.player.rtx_packets;
    assert!((80..=130).contains(&tried), "{tried} packets of up to 1,100 bytes");
    pair.sender.probe(2_000 * MS, None);
    pair.run(2_050, 3_000);
    assert!(pair.player.rtx_packets - tried < 5);
    pair.assert_whole(0, 0);

    // Who has no source for repeats cannot be sent anything twice.
    let mut pair = Pair::new(config(LaneConfig { rtx: None, ..LAYERED }, AUDIO), 0.0, [0; 16]);
    assert!(!pair.sender.can_probe());
    pair.sender.probe(Duration::ZERO, Some(800_000));
    pair.run(0, 1_000);
    pair.assert_whole(0, 0);
}
