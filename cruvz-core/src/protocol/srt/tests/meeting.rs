//! Two sides of a rendezvous on a wire that loses packets.

use super::*;

/// Lets two sides meet on a wire with 10 ms each way that loses the packets whose bit is set in `lost`, the second
/// side `later` than the first.
fn meet(configs: [CallerConfig; 2], later: Duration, lost: u32, seeds: [u8; 2]) -> [Outcome; 2] {
    let start = Duration::from_secs(100);
    let place = ["192.0.2.1:4000", "192.0.2.2:4000"].map(address);
    let [first, second] = configs;
    let mut sides = [
        Rendezvous::new(start, first, place[1], SocketId(1), seeded(seeds[0])),
        Rendezvous::new(start + later, second, place[0], SocketId(2), seeded(seeds[1])),
    ];
    let mut outcomes = [None, None];
    let mut wire: Vec<(Duration, usize, Bytes)> = Vec::new();
    let mut sent = 0;
    for ms in 0..4_000 {
        let now = start + ms * MS;
        let (due, rest): (Vec<_>, Vec<_>) = wire.into_iter().partition(|(time, ..)| *time <= now);
        wire = rest;
        for (_, to, datagram) in due {
            let packet = control(&datagram);
            assert!(
                packet.destination == SocketId::LISTENER || packet.destination == SocketId(to as u32 + 1)
            );
            if to == 0 || now >= start + later {
                outcomes[to] = outcomes[to].take().or_else(|| sides[to].receive(now, &packet));
            }
        }
        for at in 0..2 {
            if at == 1 && now < start + later {
                continue;
            }
            outcomes[at] = outcomes[at].take().or_else(|| sides[at].handle_timeout(now));
            while let Some(datagram) = sides[at].poll_transmit(now) {
                sent += 1;
                if sent > 32 || lost >> (sent - 1) & 1 == 0 {
                    wire.push((now + 10 * MS, 1 - at, datagram));
                }
            }
            // What a connection sends now and then.
            if let Some(Outcome::Established(established)) = &outcomes[at]
                && ms % 1_000 == 0
            {
                let (destination, body) = (established.peer, Control::KeepAlive);
                wire.push((now, 1 - at, ControlPacket { timestamp_us: 0, destination, body }.to_bytes()));
            }
        }
    }
    assert!(sent < 60, "{sent} packets");
    outcomes.map(|outcome| outcome.expect("an outcome"))
}

fn with(passphrase: Option<Passphrase>) -> CallerConfig {
    let link = LinkConfig { receive_latency: 300 * MS, ..link(passphrase) };
    CallerConfig { link, connect_timeout: Duration::from_secs(3), ..CallerConfig::default() }
}

fn connected(outcomes: [Outcome; 2]) -> [Established; 2] {
    outcomes.map(|outcome| match outcome {
        Outcome::Established(established) => *established,
        other => panic!("{other:?}"),
    })
}

#[test]
fn two_sides_meet_whatever_is_lost() {
    for later in [Duration::ZERO, 5 * MS, 10 * MS, 400 * MS] {
        for seeds in [[3, 4], [4, 3]] {
            for lost in (0..128).chain([0x1fff, 0x1555, 0x0aaa]) {
                let [one, other] = connected(meet([with(None), with(None)], later, lost, seeds));
                assert_eq!((one.local, one.peer), (other.peer, other.local));
                assert_eq!((one.send_seq, one.receive_seq), (other.receive_seq, other.send_seq));
                assert_ne!(one.send_seq, one.receive_seq);
                assert_eq!((one.send_latency, one.receive_latency), (300 * MS, 300 * MS));
                assert_eq!((other.send_latency, other.receive_latency), (300 * MS, 300 * MS));
            }
        }
    }
}

#[test]
fn what_they_carry_is_encrypted() {
    for seeds in [[3, 4], [4, 3]] {
        let configs = [with(secret("correct horse")), with(secret("correct horse"))];
        let [one, other] = connected(meet(configs, Duration::ZERO, 0, seeds));
        let (mut one, mut other) = (one.crypto.unwrap(), other.crypto.unwrap());
        carry(&mut one, &mut other);
        carry(&mut other, &mut one);
    }
}

#[test]
fn sides_that_cannot_agree_part() {
    let cases = [
        ([secret("correct horse"), secret("battery staple")], Reject::BADSECRET),
        ([secret("correct horse"), None], Reject::UNSECURE),
        ([None, secret("correct horse")], Reject::UNSECURE),
    ];
    for (secrets, reason) in cases {
        for seeds in [[3, 4], [4, 3]] {
            for outcome in meet(secrets.clone().map(with), Duration::ZERO, 0, seeds) {
                assert!(matches!(outcome, Outcome::Rejected(why) if why == reason), "{outcome:?}");
            }
        }
    }
    for outcome in meet([with(None), with(None)], Duration::ZERO, 0, [3, 3]) {
        assert!(matches!(outcome, Outcome::Rejected(Reject::RDVCOOKIE)), "{outcome:?}");
    }
}

#[test]
fn who_meets_nobody_gives_up() {
    let outcomes = meet([with(None), with(None)], Duration::ZERO, u32::MAX, [3, 4]);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Rejected(Reject::TIMEOUT))));
}

#[test]
fn a_peer_of_old_is_told_so() {
    let mut side =
        Rendezvous::new(Duration::ZERO, with(None), address("192.0.2.2:4000"), SocketId(1), seeded(1));
    let wave =
        Handshake { stage: Stage::WaveAHand, ..Handshake::induction(Seq::new(1), 1_500, 8_192, SocketId(2)) };
    let body = Control::Handshake(wave.to_bytes());
    let packet = ControlPacket { timestamp_us: 0, destination: SocketId::LISTENER, body };
    let outcome = side.receive(Duration::ZERO, &packet);
    assert!(matches!(outcome, Some(Outcome::Rejected(Reject::VERSION))), "{outcome:?}");
    let Control::Handshake(body) = control(&side.poll_transmit(Duration::ZERO).unwrap()).body else {
        panic!()
    };
    assert_eq!(Handshake::parse(body).unwrap().stage, Stage::Reject(Reject::VERSION));
    assert!(side.poll_timeout().is_none() && side.receive(Duration::ZERO, &packet).is_none());
}
