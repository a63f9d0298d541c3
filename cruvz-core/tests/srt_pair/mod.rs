//! Two SRT connections and a bad network between them, on virtual time.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cruvz_core::protocol::srt::{
    CloseReason, Connection, ConnectionConfig, Established, Event, Packet, PacketLog, PeerFlags, Seq,
    SocketId, Stats, Version,
};
use cruvz_testnet::{Conditions, Network, Wire};

pub const MS: Duration = Duration::from_millis(1);
pub const S: Duration = Duration::from_secs(1);

/// Our clock when a run begins.
pub const START: Duration = Duration::from_secs(5_000);

/// The number of the first packet: numbers wrap on the way.
pub const FIRST: u32 = 0x7fff_fff0;

/// The timestamp when a run begins: 10 s before it wraps.
pub const TIMESTAMP: u32 = u32::MAX - 10_000_000;

/// The flags of libsrt's default.
pub const LIBSRT: PeerFlags = PeerFlags { too_late_drop: true, periodic_nak: true, retransmit_flag: true };

/// What the handshake would have agreed on at `START`, as seen from one side.
pub fn established(latency: Duration, peer: u32) -> Established {
    Established {
        local: SocketId(3 - peer),
        peer: SocketId(peer),
        send_seq: Seq::new(FIRST),
        receive_seq: Seq::new(FIRST),
        send_latency: latency,
        receive_latency: latency,
        peer_flags: LIBSRT,
        peer_version: Version(0x0001_0502),
        payload_bytes: 1_456,
        flow_window: 8_192,
        remote: ([127, 0, 0, 1], 9).into(),
        crypto: None,
        started: START - Duration::from_micros(TIMESTAMP.into()),
        peer_clock: (TIMESTAMP, START),
    }
}

/// A log of packets that say their index.
#[derive(Default)]
pub struct Log {
    first: u64,
    packets: VecDeque<(Bytes, Duration)>,
    pub keyframe: u64,
}

/// Bytes of a full packet's payload.
pub const PAYLOAD: usize = 1_316;

/// The payload of the packet at `index`.
pub fn payload(index: u64, len: usize) -> Bytes {
    let mut payload = vec![index as u8; len];
    payload[..8].copy_from_slice(&index.to_be_bytes());
    payload.into()
}

/// The index that a payload says.
pub fn index(payload: &[u8]) -> u64 {
    let (index, rest) = payload.split_first_chunk().unwrap();
    let index = u64::from_be_bytes(*index);
    assert!(*rest == [index as u8; PAYLOAD][..rest.len()], "the payload of {index} is damaged");
    index
}

impl Log {
    pub fn push(&mut self, now: Duration, len: usize) {
        let packet = payload(self.end(), len);
        self.packets.push_back((packet, now));
    }

    /// Forgets what is older than `age`.
    pub fn trim(&mut self, now: Duration, age: Duration) {
        while self.packets.front().is_some_and(|(_, origin)| *origin + age < now) {
            self.packets.pop_front();
            self.first += 1;
        }
    }
}

impl PacketLog for Log {
    fn first(&self) -> u64 {
        self.first
    }

    fn end(&self) -> u64 {
        self.first + self.packets.len() as u64
    }

    fn packet(&self, index: u64) -> Option<(&[u8], Duration)> {
        let (payload, origin) = self.packets.get(usize::try_from(index.checked_sub(self.first)?).ok()?)?;
        Some((payload, *origin))
    }

    fn restart(&self) -> u64 {
        self.keyframe.max(self.first)
    }
}

/// A live encoder: 30 frames a second, a larger one each two seconds.
#[derive(Clone, Copy)]
pub struct Encoder {
    pub packets_per_frame: u64,
    pub packets_per_keyframe: u64,
}

impl Default for Encoder {
    /// About 4 Mbit/s.
    fn default() -> Self {
        Self { packets_per_frame: 12, packets_per_keyframe: 60 }
    }
}

/// One run: who sends what over which network for how long.
#[derive(Clone)]
pub struct Scenario {
    pub forth: Conditions,
    pub back: Conditions,
    pub seed: u64,
    pub latency: Duration,
    pub length: Duration,
    pub encoder: Encoder,
    /// The sender works at this interval only; 0 at once.
    pub tick: Duration,
    pub config: ConnectionConfig,
    /// The receiver's clock runs slower by so many millionths.
    pub drift_ppm: u32,
    pub sees: PeerFlags,
}

impl Scenario {
    /// The same network both ways, for 20 s.
    pub fn new(conditions: &Conditions, latency: Duration, seed: u64) -> Self {
        Self {
            forth: conditions.clone(),
            back: conditions.clone(),
            seed,
            latency,
            length: 20 * S,
            encoder: Encoder::default(),
            tick: 20 * MS,
            config: ConnectionConfig::default(),
            drift_ppm: 0,
            sees: LIBSRT,
        }
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub made: u64,
    pub delivered: u64,
    /// Packets that were not delivered, and how many times some were missing.
    pub missing: u64,
    pub gaps: u64,
    /// Packets that the sender passed over.
    pub skipped: u64,
    pub sender: Stats,
    pub receiver: Stats,
    /// From making a packet to delivering it, after the first second.
    pub least_delay: Duration,
    pub most_delay: Duration,
    /// Datagrams each way.
    pub forth: u64,
    pub back: u64,
}

impl Outcome {
    /// Repeated packets as a share of the new ones, in percent.
    pub fn overhead(&self) -> f64 {
        100.0 * self.sender.sent.retransmitted as f64 / self.sender.sent.packets as f64
    }
}

/// Both ends and the wires.
pub struct Pair {
    pub now: Duration,
    pub sender: Connection,
    pub receiver: Connection,
    pub forth: Wire<Bytes>,
    pub back: Wire<Bytes>,
    pub log: Log,
    pub scenario: Scenario,
    pub outcome: Outcome,
    next_frame: Duration,
    frames: u64,
    next_tick: Duration,
    next_index: u64,
    /// When each packet was made.
    origins: Vec<Duration>,
    pub closed: Vec<CloseReason>,
    buffer: Vec<u8>,
}

impl Pair {
    pub fn new(scenario: Scenario) -> Self {
        let mut to_receiver = established(scenario.latency, 2);
        to_receiver.peer_flags = scenario.sees;
        // The sender's handshake packet took its way.
        let mut to_sender = established(scenario.latency, 1);
        to_sender.peer_clock = (TIMESTAMP, START + scenario.forth.delay);
        Self::between(to_receiver, to_sender, scenario)
    }

    /// With what a handshake has agreed on, for the side that sends media and for the other.
    pub fn between(to_receiver: Established, to_sender: Established, scenario: Scenario) -> Self {
        let config = Arc::new(scenario.config.clone());
        Self {
            now: START,
            sender: Connection::new(START, to_receiver, config.clone()),
            receiver: Connection::new(START, to_sender, config),
            forth: Wire::new(Network::new(scenario.forth.clone(), scenario.seed)),
            back: Wire::new(Network::new(scenario.back.clone(), scenario.seed + 1_000)),
            log: Log::default(),
            outcome: Outcome { least_delay: Duration::MAX, ..Outcome::default() },
            next_frame: START,
            frames: 0,
            next_tick: START,
            next_index: 0,
            origins: Vec::new(),
            closed: Vec::new(),
            buffer: Vec::new(),
            scenario,
        }
    }

    /// Runs the whole scenario and some time behind it, so that the last packets arrive.
    pub fn run(scenario: Scenario) -> Outcome {
        let (length, latency) = (scenario.length, scenario.latency);
        let mut pair = Self::new(scenario);
        pair.run_until(START + length);
        pair.next_frame = Duration::MAX;
        pair.run_until(START + length + latency + S);
        pair.outcome()
    }

    pub fn outcome(&self) -> Outcome {
        Outcome {
            missing: self.outcome.made - self.outcome.delivered,
            sender: self.sender.stats(),
            receiver: self.receiver.stats(),
            ..self.outcome
        }
    }

    /// Runs until `end`.
    pub fn run_until(&mut self, end: Duration) {
        while self.now < end {
            self.make_frames();
            self.work_at_sender();
            self.work_at_receiver();
            let next = self.next_event().min(end);
            // What stays due although it was looked at must not stop the time.
            self.now = if next > self.now { next } else { self.now + Duration::from_micros(50) };
        }
    }

    fn make_frames(&mut self) {
        while self.next_frame <= self.now {
            let keyframe = self.frames.is_multiple_of(60);
            let encoder = self.scenario.encoder;
            let packets = if keyframe { encoder.packets_per_keyframe } else { encoder.packets_per_frame };
            if keyframe {
                self.log.keyframe = self.log.end();
            }
            (0..packets).for_each(|_| self.log.push(self.now, PAYLOAD));
            self.origins.extend((0..packets).map(|_| self.now));
            self.outcome.made += packets;
            self.frames += 1;
            self.next_frame = START + Duration::from_micros(self.frames * 1_000_000 / 30);
            self.log.trim(self.now, 10 * S);
        }
    }

    fn work_at_sender(&mut self) {
        if self.now < self.next_tick {
            return;
        }
        while let Some(datagram) = self.back.receive(self.now) {
            self.sender.receive(self.now, Packet::parse(datagram).unwrap());
        }
        self.sender.handle_timeout(self.now);
        while let Some(event) = self.sender.poll_event(self.now) {
            match event {
                Event::Skipped { from, to } => self.outcome.skipped += to - from,
                Event::Closed(reason) => self.closed.push(reason),
                Event::Data(_) | Event::Gap { .. } => unreachable!("it receives nothing"),
            }
        }
        while let Some(run) = self.sender.fill(self.now, &self.log, &mut self.buffer) {
            assert_eq!(self.buffer.chunks(run.segment_size).len(), run.segments);
            for datagram in self.buffer.chunks(run.segment_size) {
                self.outcome.forth += 1;
                self.forth.send(self.now, datagram.len(), Bytes::copy_from_slice(datagram));
            }
        }
        if !self.scenario.tick.is_zero() {
            self.next_tick = self.now + self.scenario.tick;
        }
    }

    fn work_at_receiver(&mut self) {
        let now = self.receiver_clock(self.now);
        while let Some(datagram) = self.forth.receive(self.now) {
            self.receiver.receive(now, Packet::parse(datagram).unwrap());
        }
        self.receiver.handle_timeout(now);
        while let Some(event) = self.receiver.poll_event(now) {
            match event {
                Event::Data(payload) => self.deliver(index(&payload)),
                Event::Gap { .. } => self.outcome.gaps += 1,
                Event::Skipped { .. } => unreachable!("it sends nothing"),
                Event::Closed(reason) => self.closed.push(reason),
            }
        }
        while let Some(run) = self.receiver.poll_transmit(now, &mut self.buffer) {
            assert_eq!(run.segments, 1);
            self.outcome.back += 1;
            self.back.send(self.now, self.buffer.len(), Bytes::copy_from_slice(&self.buffer));
        }
    }

    fn deliver(&mut self, index: u64) {
        assert!(index >= self.next_index, "{index} comes again or too late");
        self.next_index = index + 1;
        self.outcome.delivered += 1;
        let made = self.origins[index as usize];
        // Before, the sender waited for the receiver.
        if made >= START + S {
            let delay = self.now - made;
            self.outcome.least_delay = self.outcome.least_delay.min(delay);
            self.outcome.most_delay = self.outcome.most_delay.max(delay);
        }
    }

    fn next_event(&self) -> Duration {
        let sender = if self.scenario.tick.is_zero() {
            let timeout = self.sender.poll_timeout();
            timeout.into_iter().chain(self.back.next_arrival()).min().unwrap_or(Duration::MAX)
        } else {
            self.next_tick
        };
        let receiver = self.receiver.poll_timeout().map(|at| self.true_time(at));
        [Some(sender), receiver, self.forth.next_arrival(), Some(self.next_frame)]
            .into_iter()
            .flatten()
            .min()
            .unwrap()
    }

    /// What the receiver's clock says at `now`.
    fn receiver_clock(&self, now: Duration) -> Duration {
        START + (now - START).mul_f64(1.0 - f64::from(self.scenario.drift_ppm) / 1e6)
    }

    /// When the receiver's clock says `at`.
    fn true_time(&self, at: Duration) -> Duration {
        START + at.saturating_sub(START).div_f64(1.0 - f64::from(self.scenario.drift_ppm) / 1e6)
    }
}
