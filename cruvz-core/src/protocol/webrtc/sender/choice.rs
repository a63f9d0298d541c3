//! Which layer of a simulcast a viewer is sent: down at once when its network is full, up with care.
//!
//! That a larger layer would come through shows only when so much is sent. So before it goes up, a viewer is sent again what it
//! has, beside the layer it gets, up to the rate of the next one. It goes up if no queue grows and nothing much is lost. Each try that
//! fails doubles the time until the next.

use std::time::Duration;

use super::Bandwidth;

/// How long a network is left to settle after a change: the queue that there was drains.
const SETTLE: Duration = Duration::from_secs(2);
/// How long a network must be clear before more is tried, at first and at most.
const PATIENCE: Duration = Duration::from_secs(4);
const MAX_PATIENCE: Duration = Duration::from_secs(64);
/// A change upwards that was good for so long was right.
const GOOD: Duration = Duration::from_secs(15);
/// How long a try lasts, and how much of it is half of it only: a network that carries much less is found out gently.
const PROBE: Duration = Duration::from_millis(2_000);
const RAMP: Duration = Duration::from_millis(800);
/// How much more than the larger layer is tried, in percent: pictures differ.
const MARGIN: u64 = 115;
/// The share of what was tried that must have come through, in percent.
const PROVEN: u64 = 85;

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Stay,
    /// The layer of that index is to be sent from its next keyframe on.
    Switch(usize),
}

/// See the module.
#[derive(Debug)]
pub struct Choice {
    /// What happens before this moment is of the time before.
    settles: Duration,
    /// Since when the network is clear.
    clear: Option<Duration>,
    patience: Duration,
    probe: Option<Probe>,
    /// When it went up last.
    went_up: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    ends: Duration,
    /// Beside the media, in bits per second.
    extra_bps: u64,
}

impl Default for Choice {
    fn default() -> Self {
        let settles = Duration::ZERO;
        Self { settles, clear: None, patience: PATIENCE, probe: None, went_up: None }
    }
}

impl Choice {
    /// Looks at the network of a viewer that is sent layer `current` of those with these rates, in bits per second, the smallest first.
    /// `can_probe`: whether it can be sent something twice.
    pub fn look(
        &mut self,
        now: Duration,
        rates: &[u64],
        current: usize,
        network: &Bandwidth,
        can_probe: bool,
    ) -> Step {
        if self.went_up.is_some_and(|at| now.saturating_sub(at) > GOOD) {
            (self.went_up, self.patience) = (None, PATIENCE);
        }
        if network.is_congested() {
            return self.down(now, rates, current, network);
        }
        if now < self.settles || network.estimate_bps().is_none() {
            return Step::Stay;
        }
        let clear = *self.clear.get_or_insert(now);
        let (Some(&rate), Some(&larger)) = (rates.get(current), rates.get(current + 1)) else {
            return Step::Stay;
        };
        match self.probe {
            Some(Probe { ends, .. }) if now < ends => Step::Stay,
            Some(_) => {
                self.probe = None;
                let proven = network.estimate_bps().is_some_and(|bps| bps * 100 >= larger * PROVEN);
                if proven { self.up(now, current) } else { self.failed(now) }
            }
            None if now.saturating_sub(clear) < self.patience => Step::Stay,
            None if can_probe => {
                let extra_bps = (larger * MARGIN / 100).saturating_sub(rate);
                self.probe = Some(Probe { ends: now + PROBE, extra_bps });
                Step::Stay
            }
            None => self.up(now, current),
        }
    }

    /// What is to be sent beside the media now, in bits per second.
    pub fn probe_bps(&self, now: Duration) -> Option<u64> {
        let Probe { ends, extra_bps } = self.probe?;
        Some(if now + PROBE < ends + RAMP { extra_bps / 2 } else { extra_bps })
    }

    /// The layer that was chosen is sent from now on.
    pub fn switched(&mut self, now: Duration) {
        (self.settles, self.clear, self.probe) = (now + SETTLE, None, None);
    }

    fn up(&mut self, now: Duration, current: usize) -> Step {
        self.went_up = Some(now);
        Step::Switch(current + 1)
    }

    /// The network is full.
    fn down(&mut self, now: Duration, rates: &[u64], current: usize, network: &Bandwidth) -> Step {
        self.clear = None;
        if self.probe.take().is_some() {
            return self.failed(now);
        }
        if now < self.settles || current == 0 {
            return Step::Stay;
        }
        if self.went_up.take().is_some() {
            self.patience = (self.patience * 2).min(MAX_PATIENCE);
        }
        let fits = |rate: &u64| network.estimate_bps().is_some_and(|bps| *rate <= bps);
        Step::Switch(rates[..current].iter().rposition(fits).unwrap_or(0))
    }

    fn failed(&mut self, now: Duration) -> Step {
        self.patience = (self.patience * 2).min(MAX_PATIENCE);
        (self.settles, self.clear) = (now + SETTLE, None);
        Step::Stay
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use cruvz_testnet::{Conditions, Network};

    use super::*;
    use crate::protocol::webrtc::rtcp::{self, write};

    const MS: Duration = Duration::from_millis(1);
    const RATES: [u64; 3] = [150_000, 500_000, 1_700_000];
    /// How long it takes from the choice to the keyframe.
    const KEYFRAME: Duration = Duration::from_millis(250);

    /// A viewer of three layers, and its network.
    struct Viewer {
        choice: Choice,
        bandwidth: Bandwidth,
        network: Network,
        coming: VecDeque<(u64, Duration)>,
        seq: u64,
        told: u64,
        layer: usize,
        next: Option<(usize, Duration)>,
        probed: u64,
        /// When which layer began.
        history: Vec<(u32, usize)>,
    }

    fn link(kbps: u64) -> Conditions {
        let (delay, queue) = (30 * MS, 500 * MS);
        Conditions { delay, rate_bps: Some(kbps * 1_000), queue, loss: 0.005, ..Conditions::default() }
    }

    impl Viewer {
        fn new(kbps: u64) -> Self {
            Self {
                choice: Choice::default(),
                bandwidth: Bandwidth::default(),
                network: Network::new(link(kbps), 9),
                coming: VecDeque::new(),
                seq: 1,
                told: 1,
                layer: 2,
                next: None,
                probed: 0,
                history: Vec::new(),
            }
        }

        fn send(&mut self, now: Duration, mut bytes: u64) {
            while bytes > 0 {
                let datagram = bytes.min(1_200);
                bytes -= datagram;
                self.bandwidth.sent(now, self.seq as u16, datagram as usize);
                let arrivals = self.network.transfer(now, datagram as usize);
                self.coming.extend(arrivals.map(|at| (self.seq, at)));
                self.seq += 1;
            }
        }

        fn run(&mut self, from_s: u32, to_s: u32) {
            for ms in from_s * 1_000..to_s * 1_000 {
                let now = ms * MS;
                if ms % 33 == 0 {
                    let usual = RATES[self.layer] / 8 / 30 * 60 / 64;
                    self.send(now, if ms % 1_980 == 0 { usual * 5 } else { usual });
                }
                if ms % 10 == 0
                    && let Some(bps) = self.choice.probe_bps(now)
                {
                    self.probed += bps / 800;
                    self.send(now, bps / 800);
                }
                if ms % 50 == 0 {
                    self.tell(now);
                }
                if ms % 250 == 0 {
                    let step = self.choice.look(now, &RATES, self.layer, &self.bandwidth, true);
                    if let Step::Switch(layer) = step {
                        self.next.get_or_insert((layer, now + KEYFRAME));
                    }
                }
                if let Some((layer, at)) = self.next
                    && at <= now
                {
                    (self.layer, self.next) = (layer, None);
                    self.choice.switched(now);
                    self.bandwidth.restart();
                    self.history.push((ms, layer));
                }
            }
        }

        fn tell(&mut self, now: Duration) {
            let come = self.coming.iter().take_while(|(_, at)| *at <= now).count();
            let arrivals: Vec<_> = self.coming.drain(..come).collect();
            let mut datagram = Vec::new();
            write::transport_feedback(&mut datagram, (1, 2), 0, self.told, &arrivals);
            for packet in rtcp::packets(&datagram) {
                let Ok(rtcp::Packet::TransportFeedback(feedback)) = packet else { panic!("{packet:?}") };
                self.bandwidth.feedback(now, &feedback);
            }
            self.told = arrivals.last().map_or(self.told, |(seq, _)| seq + 1);
        }
    }

    #[test]
    fn who_has_room_for_the_largest_layer_keeps_it() {
        let mut viewer = Viewer::new(4_000);
        viewer.run(1, 60);
        assert_eq!((viewer.history, viewer.probed), (vec![], 0));
    }

    #[test]
    fn a_network_that_shrinks_costs_two_seconds_and_one_that_grows_is_found_out() {
        let mut viewer = Viewer::new(4_000);
        viewer.run(1, 20);
        viewer.network.change(link(800));
        viewer.run(20, 40);
        let [(at, 1)] = viewer.history[..] else { panic!("{:?}", viewer.history) };
        assert!((20_000..22_500).contains(&at), "{at}");
        viewer.network.change(link(4_000));
        viewer.run(40, 80);
        let [_, (at, 2)] = viewer.history[..] else { panic!("{:?}", viewer.history) };
        assert!((40_000..75_000).contains(&at), "{at}");
    }

    #[test]
    fn each_network_gets_its_layer_and_tries_become_rare() {
        for (kbps, expected) in [(250, 0), (800, 1), (1_400, 1), (2_800, 2)] {
            let mut viewer = Viewer::new(kbps);
            viewer.run(1, 180);
            assert_eq!(viewer.layer, expected, "{kbps}: {:?}", viewer.history);
            assert!(viewer.history.len() <= 4, "{kbps}: {:?}", viewer.history);
            // Of the first three minutes five seconds of the largest layer at most are sent for nothing, and 5 % of what is watched.
            assert!(
                viewer.probed * 8 < RATES[expected] * 180 / 20 + 5 * RATES[2],
                "{kbps}: {}",
                viewer.probed
            );
        }
    }

    #[test]
    fn who_cannot_be_sent_anything_twice_goes_up_on_trial() {
        let mut choice = Choice::default();
        let mut network = Bandwidth::default();
        let (rates, mut layer, mut ups) = ([100, 1_000], 0, Vec::new());
        for s in 1..200 {
            let now = Duration::from_secs(s);
            network.remb(if layer == 1 { 500 } else { 2_000 }, rates[layer]);
            if let Step::Switch(next) = choice.look(now, &rates, layer, &network, false) {
                layer = next;
                choice.switched(now);
                if layer == 1 {
                    ups.push(s);
                }
            }
        }
        assert!((3..=6).contains(&ups.len()), "{ups:?}");
        let pauses: Vec<u64> = ups.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses.is_sorted() && pauses.last() > Some(&30), "{ups:?}");
    }
}
