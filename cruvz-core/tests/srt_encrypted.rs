//! Media over a bad network, encrypted with keys that a real handshake agreed on and that are renewed on the way.
#![allow(clippy::unwrap_used, reason = "a test")]

mod srt_pair;

use std::time::Duration;

use bytes::Bytes;
use cruvz_core::protocol::srt::{
    Answer, Caller, CallerConfig, Cipher, ControlPacket, CryptoChoice, Established, KeyLength, KeyRefresh,
    LinkConfig, Listener, Outcome, Packet, Passphrase, Random, SocketId,
};
use cruvz_testnet::{Conditions, Reordering};
use srt_pair::{Encoder, MS, Pair, S, START, Scenario};

fn control(datagram: &Bytes) -> ControlPacket {
    match Packet::parse(datagram.clone()) {
        Ok(Packet::Control(packet)) => packet,
        other => panic!("{other:?}"),
    }
}

/// What caller and listener agree on, in this order.
fn handshake(crypto: CryptoChoice, link: &LinkConfig) -> (Established, Established) {
    let config = CallerConfig { link: link.clone(), crypto, ..CallerConfig::default() };
    let (remote, from) = (([192, 0, 2, 1], 8890).into(), ([192, 0, 2, 2], 4000).into());
    let mut caller = Caller::new(START, config, remote, SocketId(1), Random::new([1; 32]));
    let mut listener = Listener::new(Random::new([2; 32]));
    let induction = caller.poll_transmit(START).unwrap();
    let Answer::Reply(reply) = listener.receive(START, from, &control(&induction)) else {
        panic!("no cookie")
    };
    assert!(caller.receive(START, &control(&reply)).is_none());
    let conclusion = caller.poll_transmit(START).unwrap();
    let Answer::Request(request) = listener.receive(START, from, &control(&conclusion)) else {
        panic!("no request")
    };
    let (accepted, reply) = request.accept(START, SocketId(2), link).unwrap();
    match caller.receive(START, &reply) {
        Some(Outcome::Established(established)) => (*established, accepted),
        other => panic!("{other:?}"),
    }
}

/// A publisher or a player, with a new key each 150 packets.
fn run(crypto: CryptoChoice, caller_sends: bool) {
    let conditions = Conditions {
        delay: 20 * MS,
        loss: 0.05,
        duplication: 0.01,
        reordering: Some(Reordering { share: 0.02, by: 10 * MS }),
        ..Conditions::default()
    };
    let latency = 300 * MS;
    let link = LinkConfig {
        passphrase: Some(Passphrase::new("correct horse").unwrap()),
        receive_latency: latency,
        key_refresh: KeyRefresh { packets: 150, announce_packets: 50 },
        ..LinkConfig::default()
    };
    let (caller, listener) = handshake(crypto, &link);
    let (sender, receiver) = if caller_sends { (caller, listener) } else { (listener, caller) };
    let encoder = Encoder { packets_per_frame: 4, packets_per_keyframe: 10 };
    let scenario = Scenario { encoder, ..Scenario::new(&conditions, latency, 1) };
    let mut pair = Pair::between(sender, receiver, scenario);
    pair.run_until(START + 6 * S);
    let outcome = pair.outcome();
    // The last 300 ms still wait.
    assert!(outcome.made > 700 && outcome.missing < 60 && outcome.gaps == 0, "{crypto:?}: {outcome:?}");
    assert_eq!(outcome.receiver.received.undecrypted, 0, "{crypto:?}");
    assert!(outcome.overhead() < 8.0, "{crypto:?}: {outcome:?}");
    assert!(outcome.most_delay < latency + Duration::from_millis(80), "{crypto:?}: {outcome:?}");
}

#[test]
fn counter_mode_survives_loss_and_new_keys() {
    run(CryptoChoice { cipher: Cipher::Ctr, length: KeyLength::Aes128 }, true);
    run(CryptoChoice { cipher: Cipher::Ctr, length: KeyLength::Aes256 }, false);
}

#[test]
fn gcm_survives_loss_and_new_keys() {
    run(CryptoChoice { cipher: Cipher::Gcm, length: KeyLength::Aes128 }, true);
}
