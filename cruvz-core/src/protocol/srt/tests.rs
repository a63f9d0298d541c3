//! Listener and caller on a virtual wire.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::*;

mod meeting;
mod refusals;

const MS: Duration = Duration::from_millis(1);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn control(datagram: &Bytes) -> ControlPacket {
    match Packet::parse(datagram.clone()) {
        Ok(Packet::Control(packet)) => packet,
        other => panic!("{other:?}"),
    }
}

fn secret(text: &str) -> Option<Passphrase> {
    Some(Passphrase::new(text).unwrap())
}

fn seeded(seed: u8) -> Random {
    Random::new([seed; 32])
}

fn link(passphrase: Option<Passphrase>) -> LinkConfig {
    LinkConfig { passphrase, ..LinkConfig::default() }
}

/// A caller at a fixed address and a listener, 10 ms apart.
struct Pair {
    listener: Listener,
    caller: Caller,
    from: SocketAddr,
    now: Duration,
}

impl Pair {
    fn new(config: CallerConfig) -> Self {
        let now = Duration::from_secs(100);
        let caller = Caller::new(now, config, address("192.0.2.1:8890"), SocketId(77), seeded(2));
        Self { listener: Listener::new(seeded(1)), caller, from: address("192.0.2.9:4000"), now }
    }

    /// What the caller sends next.
    fn sent(&mut self) -> Bytes {
        self.caller.poll_transmit(self.now).expect("something to send")
    }

    /// Brings a datagram to the listener.
    fn ask(&mut self, datagram: &Bytes) -> Answer {
        self.now += 10 * MS;
        self.listener.receive(self.now, self.from, &control(datagram))
    }

    /// Brings a datagram to the caller.
    fn tell(&mut self, datagram: &Bytes) -> Option<Outcome> {
        self.now += 10 * MS;
        let packet = control(datagram);
        assert_eq!(packet.destination, SocketId(77));
        self.caller.receive(self.now, &packet)
    }

    /// Goes on until the listener has a request.
    fn request(&mut self) -> Box<Request> {
        let induction = self.sent();
        let Answer::Reply(reply) = self.ask(&induction) else { panic!("no cookie") };
        assert!(reply.len() <= induction.len());
        assert!(self.tell(&reply).is_none());
        let conclusion = self.sent();
        match self.ask(&conclusion) {
            Answer::Request(request) => request,
            other => panic!("{other:?}"),
        }
    }

    /// Goes on until both sides are connected: the listener's end and the caller's.
    fn connect(&mut self, config: &LinkConfig) -> (Established, Established) {
        let request = self.request();
        let (established, reply) = request.accept(self.now, SocketId(5), config).unwrap();
        match self.tell(&reply.to_bytes()) {
            Some(Outcome::Established(other)) => (established, *other),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn both_sides_come_to_the_same_terms() {
    let wishes = LinkConfig {
        receive_latency: 300 * MS,
        send_latency: 50 * MS,
        mtu: 1_400,
        flow_window: 1_000,
        ..LinkConfig::default()
    };
    let config =
        CallerConfig { link: wishes, stream_id: Some("publish:live/cam".into()), ..CallerConfig::default() };
    let mut pair = Pair::new(config.clone());
    let start = pair.now;
    assert_eq!(pair.request().stream_id(), Some("publish:live/cam"));
    let mut pair = Pair::new(config);
    let (ours, theirs) = pair.connect(&link(None));
    assert_eq!((ours.local, ours.peer), (SocketId(5), SocketId(77)));
    assert_eq!((theirs.local, theirs.peer), (SocketId(77), SocketId(5)));
    assert_eq!((ours.remote, theirs.remote), (pair.from, address("192.0.2.1:8890")));
    assert_eq!((ours.send_seq, ours.receive_seq), (theirs.receive_seq, theirs.send_seq));
    assert_eq!((ours.receive_latency, ours.send_latency), (120 * MS, 300 * MS));
    assert_eq!((theirs.receive_latency, theirs.send_latency), (300 * MS, 120 * MS));
    assert_eq!((ours.payload_bytes, theirs.payload_bytes), (1_356, 1_356));
    assert_eq!((ours.flow_window, theirs.flow_window), (1_000, 8_192));
    assert_eq!((ours.peer_version, theirs.peer_flags), (Version::OURS, Flags::OURS.into()));
    assert!(ours.crypto.is_none() && theirs.crypto.is_none());
    // The conclusion left 20 ms after the start and took 10 ms; the answer left when the listener's clock began.
    assert_eq!((ours.peer_clock, ours.started), ((20_000, start + 30 * MS), start + 30 * MS));
    assert_eq!((theirs.peer_clock, theirs.started), ((0, start + 40 * MS), start));
}

#[test]
fn a_connection_is_encrypted_with_keys_of_each_length_and_cipher() {
    for cipher in [Cipher::Ctr, Cipher::Gcm] {
        for length in [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256] {
            let crypto = CryptoChoice { cipher, length };
            let config =
                CallerConfig { link: link(secret("correct horse")), crypto, ..CallerConfig::default() };
            let (ours, theirs) = Pair::new(config).connect(&link(secret("correct horse")));
            let (mut ours, mut theirs) = (ours.crypto.unwrap(), theirs.crypto.unwrap());
            assert_eq!((ours.choice(), theirs.choice()), (crypto, crypto));
            carry(&mut ours, &mut theirs);
            carry(&mut theirs, &mut ours);
        }
    }
}

/// Sends packets from one side to the other and checks that they arrive as they were, and only those.
fn carry(from: &mut Crypto, to: &mut Crypto) {
    for seq in [0, 1, 0x7fff_ffff] {
        let header = DataHeader { seq: Seq::new(seq), timestamp_us: 9, ..DataHeader::default() };
        let clear: Vec<u8> = (0..1_316).map(|n| (n % 251) as u8).collect();
        let mut datagram = Vec::new();
        from.seal(header, &clear, &mut datagram);
        assert_eq!(datagram.len(), 16 + 1_316 + from.overhead());
        let Ok(Packet::Data(packet)) = Packet::parse(datagram.into()) else { panic!("no data packet") };
        assert_ne!(packet.payload[..1_316], clear[..]);
        let again = DataHeader { retransmitted: true, ..packet.header };
        assert_eq!(to.open(&again, packet.payload.clone()).unwrap(), clear);
        let plain = DataHeader { key: KeyFlag::None, ..packet.header };
        assert_eq!(to.open(&plain, packet.payload), Err(OpenError::Plain(seq)));
    }
}

#[test]
fn each_packet_is_sent_again_until_it_is_answered() {
    let mut pair = Pair::new(CallerConfig::default());
    let induction = pair.sent();
    assert_eq!(pair.caller.poll_transmit(pair.now), None);
    assert_eq!(pair.caller.poll_timeout(), Some(pair.now + 250 * MS));
    pair.now += 250 * MS;
    let again = control(&pair.sent());
    assert_eq!((again.timestamp_us, &again.body), (250_000, &control(&induction).body));
    let Answer::Reply(reply) = pair.ask(&induction) else { panic!("no cookie") };
    pair.tell(&reply);
    let conclusion = pair.sent();
    // A late copy of the cookie changes nothing.
    assert!(pair.tell(&reply).is_none());
    assert_eq!(pair.caller.poll_transmit(pair.now), None);
    pair.now += 250 * MS;
    assert_eq!(control(&pair.sent()).body, control(&conclusion).body);
    // Both copies reach the listener, which keeps nothing; they name the same caller.
    for _ in 0..2 {
        let Answer::Request(request) = pair.ask(&conclusion) else { panic!("no request") };
        assert_eq!((request.remote(), request.peer_id()), (pair.from, SocketId(77)));
    }
}

#[test]
fn a_caller_gives_up_in_the_end() {
    let mut pair = Pair::new(CallerConfig::default());
    let mut sent = 0;
    while let Some(time) = pair.caller.poll_timeout() {
        pair.now = time;
        match pair.caller.handle_timeout(time) {
            None => sent += usize::from(pair.caller.poll_transmit(time).is_some()),
            Some(Outcome::Rejected(reason)) => assert_eq!(reason, Reject::TIMEOUT),
            Some(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((sent, pair.now), (12, Duration::from_secs(103)));
    assert!(pair.caller.poll_transmit(pair.now).is_none() && pair.caller.handle_timeout(pair.now).is_none());
}

#[test]
fn a_cookie_is_good_for_its_address_and_time_only() {
    let mut pair = Pair::new(CallerConfig::default());
    let induction = pair.sent();
    let Answer::Reply(reply) = pair.ask(&induction) else { panic!("no cookie") };
    pair.tell(&reply);
    let conclusion = control(&pair.sent());
    let elsewhere = ["192.0.2.9:4001", "192.0.2.10:4000", "[2001:db8::9]:4000"];
    for from in elsewhere.map(address) {
        let answer = pair.listener.receive(pair.now, from, &conclusion);
        assert!(matches!(answer, Answer::Ignored(Ignored::Cookie)), "{answer:?}");
    }
    let good_from = ["192.0.2.9:4000", "[::ffff:192.0.2.9]:4000"];
    for from in good_from.map(address) {
        let answer = pair.listener.receive(pair.now + 29_000 * MS, from, &conclusion);
        assert!(matches!(answer, Answer::Request(_)), "{answer:?}");
    }
    let late = pair.listener.receive(pair.now + 60_000 * MS, pair.from, &conclusion);
    assert!(matches!(late, Answer::Ignored(Ignored::Cookie)), "{late:?}");
    let other = Listener::new(seeded(9)).receive(pair.now, pair.from, &conclusion);
    assert!(matches!(other, Answer::Ignored(Ignored::Cookie)), "{other:?}");
}

#[test]
fn a_caller_takes_its_listeners_word_for_why() {
    let mut pair = Pair::new(CallerConfig::default());
    let request = pair.request();
    let reply = request.reject(Reject::CONFLICT);
    assert_eq!(reply.len(), 64);
    let outcome = pair.tell(&reply);
    assert!(matches!(outcome, Some(Outcome::Rejected(Reject::CONFLICT))), "{outcome:?}");
    assert!(pair.tell(&reply).is_none() && pair.caller.poll_timeout().is_none());
}
