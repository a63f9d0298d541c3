//! What a bad network does to media over SRT, on virtual time and from seeds. On the way numbers and timestamps wrap.
//!
//! `cargo test -p cruvz-core --test srt_loss -- --nocapture` prints what became of each network.

mod srt_pair;

use std::time::Duration;

use cruvz_core::protocol::srt::{Bandwidth, ConnectionConfig, PeerFlags};
use cruvz_testnet::{Bursts, Conditions, Reordering, Span};
use srt_pair::{Encoder, LIBSRT, MS, Outcome, Pair, S, START, Scenario};

fn network(loss: f64, rtt: Duration) -> Conditions {
    Conditions { delay: rtt / 2, loss, ..Conditions::default() }
}

/// A run, with one line about it.
fn run(name: &str, scenario: Scenario) -> Outcome {
    let (latency, tick) = (scenario.latency, scenario.tick);
    let outcome = Pair::run(scenario);
    let Outcome { made, missing, gaps, most_delay, .. } = outcome;
    println!(
        "{name}, latency {latency:?}, sends each {tick:?}: {missing} of {made} missing in {gaps} gaps, {:.2} % repeated, \
         {} loss reports, delay up to {most_delay:?}",
        outcome.overhead(),
        outcome.receiver.received.naks,
    );
    assert_eq!(outcome.receiver.received.undecrypted + outcome.sender.sent.absurd, 0);
    outcome
}

/// Runs at once and at ticks of 20 ms; all that is missing, and the largest share that was repeated.
fn both(name: &str, conditions: &Conditions, latency: Duration, seconds: u32) -> (u64, f64) {
    let ticks = [Duration::ZERO, 20 * MS];
    let outcomes = ticks.map(|tick| {
        let scenario = Scenario { tick, length: seconds * S, ..Scenario::new(conditions, latency, 1) };
        let outcome = run(name, scenario);
        let late = latency + conditions.delay + 60 * MS;
        assert!(outcome.most_delay <= late, "a packet waited {:?}", outcome.most_delay);
        outcome
    });
    (outcomes[0].missing + outcomes[1].missing, outcomes[0].overhead().max(outcomes[1].overhead()))
}

#[test]
fn a_good_network_loses_and_repeats_nothing() {
    for (rtt, latency) in [(5 * MS, 120 * MS), (100 * MS, 300 * MS), (300 * MS, 1_000 * MS)] {
        assert_eq!(both(&format!("0 %, RTT {rtt:?}"), &network(0.0, rtt), latency, 10), (0, 0.0));
    }
}

#[test]
fn five_percent_each_way_are_mended_in_three_round_trips() {
    let (missing, overhead) = both("5 %, RTT 100 ms", &network(0.05, 100 * MS), 300 * MS, 60);
    assert!(missing <= 6, "{missing} missing in two minutes");
    assert!(overhead <= 7.0, "{overhead} % repeated");
}

#[test]
fn five_percent_each_way_are_mended_in_five_round_trips() {
    let (missing, overhead) = both("5 %, RTT 100 ms", &network(0.05, 100 * MS), 500 * MS, 30);
    assert!(missing <= 1, "{missing} missing in a minute");
    assert!(overhead <= 7.0, "{overhead} % repeated");
}

#[test]
fn a_little_loss_costs_a_little() {
    let (missing, overhead) = both("1 %, RTT 100 ms", &network(0.01, 100 * MS), 300 * MS, 20);
    assert!(missing <= 1 && overhead <= 1.5, "{missing} missing, {overhead} % repeated");
}

#[test]
fn ten_percent_each_way_are_mended_given_time() {
    let (missing, overhead) = both("10 %, RTT 100 ms", &network(0.1, 100 * MS), 500 * MS, 20);
    assert!(missing <= 3 && overhead <= 14.0, "{missing} missing, {overhead} % repeated");
}

#[test]
fn short_and_long_ways_are_mended_alike() {
    for (rtt, latency) in [(5 * MS, 120 * MS), (300 * MS, 1_000 * MS)] {
        let (missing, overhead) = both(&format!("5 %, RTT {rtt:?}"), &network(0.05, rtt), latency, 20);
        assert!(missing <= 3 && overhead <= 7.0, "{missing} missing, {overhead} % repeated");
    }
}

#[test]
fn bursts_of_50_ms_are_mended() {
    let bursts = Some(Bursts { good: Span::Mean(1_000 * MS), bad: Span::Fixed(50 * MS), loss: 1.0 });
    let conditions = Conditions { bursts, ..network(0.0, 100 * MS) };
    let (missing, overhead) = both("bursts of 50 ms, RTT 100 ms", &conditions, 300 * MS, 20);
    assert!(missing <= 3 && overhead <= 15.0, "{missing} missing, {overhead} % repeated");
}

#[test]
fn reordering_of_30_ms_is_not_taken_for_loss() {
    let reordering = Some(Reordering { share: 0.02, by: 30 * MS });
    let conditions = Conditions { reordering, ..network(0.0, 100 * MS) };
    let (missing, overhead) = both("2 % late by 30 ms, RTT 100 ms", &conditions, 300 * MS, 20);
    assert!(missing == 0 && overhead <= 0.1, "{missing} missing, {overhead} % repeated");
}

#[test]
fn jitter_duplicates_and_loss_together_are_mended() {
    let conditions = Conditions { jitter: 30 * MS, duplication: 0.05, ..network(0.05, 100 * MS) };
    let (missing, overhead) = both("5 %, 5 % twice, jitter of 30 ms", &conditions, 500 * MS, 20);
    assert!(missing <= 3 && overhead <= 9.0, "{missing} missing, {overhead} % repeated");
}

#[test]
fn a_receiver_whose_clock_is_slow_keeps_its_delay() {
    let encoder = Encoder { packets_per_frame: 1, packets_per_keyframe: 4 };
    let scenario = Scenario::new(&network(0.01, 40 * MS), 120 * MS, 1);
    let scenario = Scenario { length: 600 * S, drift_ppm: 300, encoder, tick: Duration::ZERO, ..scenario };
    let outcome = run("1 %, clocks 300 ppm apart, 10 minutes", scenario);
    // They are 180 ms apart at the end, more than the whole latency.
    let delays = outcome.least_delay..outcome.most_delay;
    assert!(delays.start >= 115 * MS && delays.end <= 200 * MS, "{delays:?}");
    assert!(outcome.missing <= 1, "{} missing", outcome.missing);
    assert!((-190_000..-150_000).contains(&outcome.receiver.received.drift_us), "{:?}", outcome.receiver);
}

#[test]
fn a_peer_that_does_not_repeat_its_reports_is_served_by_timeouts() {
    let sees = PeerFlags { periodic_nak: false, ..LIBSRT };
    let scenario = Scenario { sees, ..Scenario::new(&network(0.05, 100 * MS), 500 * MS, 1) };
    let outcome = run("5 %, no periodic reports", scenario);
    assert!(outcome.missing <= 1 && outcome.overhead() <= 12.0, "{outcome:?}");
}

#[test]
fn a_link_that_is_too_slow_costs_jumps_to_keyframes_and_no_gaps() {
    // 4 Mbit/s into 3, with room for half a second in the network; the sender keeps to the link's rate.
    let rate = Conditions { rate_bps: Some(3_100_000), queue: 500 * MS, ..network(0.0, 40 * MS) };
    let config = ConnectionConfig { bandwidth: Bandwidth::Max(375_000), ..ConnectionConfig::default() };
    let scenario = Scenario { config, length: 30 * S, ..Scenario::new(&rate, 300 * MS, 1) };
    let outcome = run("3 Mbit/s for a stream of 4", Scenario { back: network(0.0, 40 * MS), ..scenario });
    assert!(outcome.skipped > 500, "{outcome:?}");
    assert_eq!(outcome.sender.sent.skipped, outcome.skipped);
    assert_eq!((outcome.gaps, outcome.receiver.received.dropped), (0, 0), "{outcome:?}");
    assert!(outcome.delivered + outcome.skipped >= outcome.made - 600, "{outcome:?}");
    assert!(outcome.most_delay < 5 * S, "{:?}", outcome.most_delay);
}

#[test]
fn a_broken_network_is_survived() {
    let mut pair = Pair::new(Scenario::new(&network(0.0, 40 * MS), 120 * MS, 1));
    pair.run_until(START + 5 * S);
    let dead = Conditions { loss: 1.0, ..Conditions::default() };
    pair.forth.network.change(dead.clone());
    pair.back.network.change(dead);
    pair.run_until(START + 8 * S);
    let before = pair.outcome();
    pair.forth.network.change(network(0.0, 40 * MS));
    pair.back.network.change(network(0.0, 40 * MS));
    pair.run_until(START + 20 * S);
    let after = pair.outcome();
    assert_eq!(pair.closed, []);
    assert!(after.delivered - before.delivered >= 4_500, "{before:?}, then {after:?}");
    assert!(after.gaps <= 2, "{after:?}");
}

#[test]
fn a_peer_that_is_ready_late_loses_nothing() {
    for tick in [Duration::ZERO, 20 * MS] {
        let scenario = Scenario { tick, ..Scenario::new(&network(0.0, 40 * MS), 120 * MS, 1) };
        let mut pair = Pair::new(scenario);
        pair.forth.network.change(Conditions { loss: 1.0, ..Conditions::default() });
        pair.run_until(START + 300 * MS);
        assert_eq!(pair.outcome().sender.sent.packets, 0);
        pair.forth.network.change(network(0.0, 40 * MS));
        pair.run_until(START + 3 * S);
        let outcome = pair.outcome();
        assert_eq!((outcome.gaps, outcome.sender.sent.retransmitted), (0, 0), "{outcome:?}");
        assert_eq!(outcome.sender.rtt, 40 * MS);
        assert!(outcome.delivered > 1_000, "{outcome:?}");
    }
}

#[test]
fn a_viewer_that_begins_in_the_past_gets_it_quickly_but_not_at_once() {
    let mut pair = Pair::new(Scenario::new(&network(0.0, 40 * MS), 120 * MS, 1));
    // For half a second nobody answers; then it is too long to wait.
    pair.back.network.change(Conditions { loss: 1.0, ..Conditions::default() });
    pair.run_until(START + 490 * MS);
    pair.back.network.change(network(0.0, 40 * MS));
    for _ in 0..50 {
        let before = pair.outcome().forth;
        pair.run_until(pair.now + 20 * MS);
        let burst = pair.outcome().forth - before;
        assert!(burst <= 80, "{burst} datagrams in 20 ms");
    }
    let outcome = pair.outcome();
    assert_eq!((outcome.gaps, outcome.sender.sent.retransmitted), (0, 0), "{outcome:?}");
    // What was sent late is stamped so, and delivered as late; the last of it is in time again.
    assert!(outcome.made - outcome.sender.sent.packets <= 24, "{outcome:?}");
}

#[test]
fn a_bandwidth_that_follows_the_input_takes_no_time_from_mending() {
    let bandwidth = Bandwidth::Input { bytes_per_second: None, overhead_percent: 25 };
    let config = ConnectionConfig { bandwidth, ..ConnectionConfig::default() };
    let scenario = Scenario { config, ..Scenario::new(&network(0.05, 100 * MS), 300 * MS, 1) };
    let outcome = run("5 %, RTT 100 ms, paced", scenario);
    assert!(outcome.missing <= 3 && outcome.overhead() <= 7.0, "{outcome:?}");
}
