//! What a bad network takes, repeats bring back; what they do not bring back is never shown.

use cruvz_testnet::{Conditions, Reordering};

use super::link::*;
use super::*;

fn bad(loss: f64) -> Conditions {
    Conditions { delay: 50 * MS, jitter: 20 * MS, loss, ..Conditions::default() }
}

/// Runs 20 s of stream over `conditions` and checks that nothing broken came out.
fn run(conditions: &Conditions, config: Config) -> Link {
    let mut link = Link::new(conditions, 7, config);
    link.run(20_000);
    link.assert_decodable();
    link
}

#[test]
fn a_perfect_network_brings_every_frame_without_asking_for_anything() {
    let link = run(&Conditions { delay: 20 * MS, ..Conditions::default() }, Config::default());
    let stats = link.receiver.stats();
    assert_eq!((stats.lost, stats.nacks, stats.dropped_frames, stats.belated), (0, 0, 0, 0), "{stats:?}");
    assert_eq!(link.out.video.len(), link.publisher.sent.len());
    assert_eq!(link.out.audio.len(), 1_000);
    assert_eq!(link.out.tracks.len(), 1);
    assert_eq!(link.out.tracks[0].len(), 2);
    // A keyframe every two seconds, and each asked for.
    let requests = link.publisher.keyframe_requests;
    // A few more after the end of it.
    assert!((9..=12).contains(&requests), "{requests}");
    assert_eq!(link.out.video.iter().filter(|frame| frame.keyframe).count(), 10);
}

#[test]
fn losses_of_2_and_5_percent_are_repaired() {
    for (loss, least_shown) in [(0.02, 0.999), (0.05, 0.99)] {
        let link = run(&bad(loss), Config::default());
        let stats = link.receiver.stats();
        let (sent, shown) = (link.publisher.sent.len(), link.out.video.len());
        println!("loss {loss}: {shown} of {sent} pictures; {stats:?}");
        assert!(stats.lost > 50, "{stats:?}");
        assert!(shown as f64 >= sent as f64 * least_shown, "{shown} of {sent} pictures: {stats:?}");
        assert_eq!(stats.lost, stats.recovered + stats.given_up);
        let round_trip = stats.rtt.expect("repeats tell the round trip");
        assert!((100 * MS..160 * MS).contains(&round_trip), "{round_trip:?}");
    }
}

#[test]
fn sound_that_is_lost_leaves_a_gap_of_its_length() {
    let link = run(&bad(0.05), Config::default());
    let lost = 1_000 - link.out.audio.len();
    assert!((20..100).contains(&lost), "{lost} packets of sound");
    let mut gaps = 0;
    for pair in link.out.audio.windows(2) {
        let step = pair[1].dts.ticks() - pair[0].dts.ticks();
        // Lip sync may give way by 5 in a thousand.
        gaps += (step + 480) / 960 - 1;
        assert!((step - (step + 480) / 960 * 960).abs() <= 5, "{step}");
    }
    assert!(gaps as usize <= lost, "{gaps} of {lost}");
}

#[test]
fn packets_that_overtake_each_other_and_come_twice_do_no_harm() {
    let reordering = Some(Reordering { share: 0.05, by: 15 * MS });
    let conditions =
        Conditions { delay: 30 * MS, jitter: 5 * MS, reordering, duplication: 0.1, ..Conditions::default() };
    let link = run(&conditions, Config::default());
    let stats = link.receiver.stats();
    assert_eq!(link.out.video.len(), link.publisher.sent.len(), "{stats:?}");
    assert_eq!(link.out.audio.len(), 1_000);
    assert_eq!((stats.given_up, stats.dropped_frames), (0, 0), "{stats:?}");
}

#[test]
fn what_cannot_be_repaired_is_waited_for_no_longer_than_configured_and_a_keyframe_is_asked_for() {
    let mut link = Link::new(&Conditions { delay: 10 * MS, ..Conditions::default() }, 1, Config::default());
    link.run(1_000);
    // From here on nothing that was lost is repeated.
    link.down.network.change(Conditions { loss: 1.0, ..Conditions::default() });
    link.up.network.change(Conditions { delay: 10 * MS, loss: 0.3, ..Conditions::default() });
    link.run(2_000);
    let stats = link.receiver.stats();
    assert!(stats.given_up > 0 && stats.dropped_frames > 0, "{stats:?}");
    assert_eq!(stats.lost, stats.recovered + stats.given_up);
    link.assert_decodable();
    // As soon as the network heals, so does the picture.
    for wire in [&mut link.up.network, &mut link.down.network] {
        wire.change(Conditions { delay: 10 * MS, ..Conditions::default() });
    }
    let before = link.out.video.len();
    link.run(3_000);
    assert!(link.out.video.len() - before > 60, "{:?}", link.receiver.stats());
    link.assert_decodable();
}

#[test]
fn the_publisher_learns_what_arrives() {
    let link = run(&bad(0.05), Config::default());
    let (came, lost): (Vec<bool>, Vec<bool>) = link.publisher.feedback.values().partition(|came| **came);
    let share = lost.len() as f64 / (came.len() + lost.len()) as f64;
    assert!((0.03..0.08).contains(&share), "{share}");
    let reports = &link.publisher.reports;
    // One of each of two sources per second, but for those that were lost.
    assert!((35..=44).contains(&reports.len()), "{}", reports.len());
    let last = reports.iter().rfind(|report| report.ssrc == AUDIO).unwrap();
    assert!((20..100).contains(&last.cumulative_lost), "{last:?}");
    assert!(last.last_sr != 0 && last.delay_since_last_sr < 3 << 16, "{last:?}");
    // 20 ms of jitter, drawn evenly, is 5 to 7 ms of mean deviation: 240 to 340 ticks.
    assert!((150..450).contains(&last.jitter), "{last:?}");
}

#[test]
fn sound_and_picture_of_one_moment_come_out_with_the_same_time() {
    let link = run(&bad(0.0), Config::default());
    // Both began at the same moment: picture n is of 33 n ms, packet n of sound of 20 n ms.
    let (seen, heard) = (link.out.video.last().unwrap(), link.out.audio.last().unwrap());
    let (_, number) = (seen, link.publisher.sent[&seen.payload].0);
    let apart = (seen.pts.as_millis() - i64::from(number) * 33) - (heard.pts.as_millis() - 999 * 20);
    assert!(apart.abs() <= 14, "{apart} ms apart");
    // And with the time of the engine.
    let late = link.now.as_millis() as i64 - 1_500 - heard.pts.as_millis();
    assert!((-150..100).contains(&late), "{late}");
}
