//! What a listener and a caller refuse, and with which code.

use super::*;
use crate::protocol::srt::handshake::HANDSHAKE_LEN;

/// A caller's conclusion with a good cookie, as bytes, after `change` has been at its extensions.
fn answer_to(change: impl FnOnce(&mut Handshake)) -> Answer {
    let mut pair = Pair::new(CallerConfig::default());
    let induction = pair.sent();
    let Answer::Reply(reply) = pair.ask(&induction) else { panic!("no cookie") };
    pair.tell(&reply);
    let conclusion = control(&pair.sent());
    let Control::Handshake(body) = &conclusion.body else { panic!("no handshake") };
    let mut handshake = Handshake::parse(body.clone()).unwrap();
    change(&mut handshake);
    let body = Control::Handshake(handshake.to_bytes());
    pair.ask(&ControlPacket { body, ..conclusion }.to_bytes())
}

fn refusal_of(change: impl FnOnce(&mut Handshake)) -> Reject {
    match answer_to(change) {
        Answer::Refused { reply, reason } => {
            let Control::Handshake(body) = control(&reply).body else { panic!("no handshake") };
            let said = Handshake::parse(body).unwrap();
            assert_eq!((said.stage, reply.len()), (Stage::Reject(reason), 16 + HANDSHAKE_LEN));
            assert_eq!((said.socket_id, control(&reply).destination), (SocketId(77), SocketId(77)));
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_supported_is_refused_with_its_code() {
    let with = |extension: Extension| refusal_of(|handshake| handshake.extensions.push(extension));
    assert_eq!(with(Extension::Congestion("file".into())), Reject::CONGESTION);
    assert_eq!(with(Extension::Filter("fec,cols:10".into())), Reject::FILTER);
    assert_eq!(with(Extension::Group(Bytes::from_static(&[0; 8]))), Reject::GROUP);
    let stream_api = refusal_of(|handshake| match &mut handshake.extensions[0] {
        Extension::HelloRequest(hello) => hello.flags = Flags(hello.flags.0 | Flags::STREAM.0),
        other => panic!("{other:?}"),
    });
    assert_eq!(stream_api, Reject::MESSAGEAPI);
    let live = answer_to(|handshake| handshake.extensions.push(Extension::Congestion("live".into())));
    assert!(matches!(live, Answer::Request(_)), "{live:?}");
}

#[test]
fn what_makes_no_sense_is_rogue() {
    assert_eq!(refusal_of(|handshake| handshake.extensions.clear()), Reject::ROGUE);
    assert_eq!(refusal_of(|handshake| handshake.mtu = 31), Reject::ROGUE);
    assert_eq!(refusal_of(|handshake| handshake.flow_window = 1), Reject::ROGUE);
    assert_eq!(refusal_of(|handshake| handshake.version = 0), Reject::ROGUE);
    let twice = |handshake: &mut Handshake| handshake.extensions.push(handshake.extensions[0].clone());
    assert_eq!(refusal_of(twice), Reject::ROGUE);
    let old = |handshake: &mut Handshake| match &mut handshake.extensions[0] {
        Extension::HelloRequest(hello) => hello.version = Version(0x0001_0200),
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal_of(old), Reject::ROGUE);
    let answer = Extension::KeyMaterialResponse(Bytes::from_static(&[0; 4]));
    assert_eq!(refusal_of(|handshake| handshake.extensions.push(answer)), Reject::ROGUE);
}

#[test]
fn callers_of_old_are_told_so() {
    assert_eq!(refusal_of(|handshake| handshake.version = 4), Reject::VERSION);
    assert_eq!(refusal_of(|handshake| handshake.version = 6), Reject::VERSION);
}

#[test]
fn every_type_of_extension_with_every_length_gets_an_answer() {
    for kind in 0..=255u16 {
        for (declared, carried) in [(0, 0), (1, 4), (3, 12), (2, 4), (0xffff, 8), (200, 800), (8, 32)] {
            let mut pair = Pair::new(CallerConfig::default());
            let induction = pair.sent();
            let Answer::Reply(reply) = pair.ask(&induction) else { panic!("no cookie") };
            pair.tell(&reply);
            let mut datagram = pair.sent().to_vec();
            datagram.extend(kind.to_be_bytes());
            datagram.extend(u16::to_be_bytes(declared));
            datagram.extend(vec![b'a'; carried]);
            let lies = usize::from(declared) * 4 != carried;
            match pair.ask(&datagram.into()) {
                Answer::Refused { reply, reason } => assert!(reply.len() == 64 && reason.code() < 18),
                Answer::Request(_) => assert!(!lies, "type {kind} with {declared} words in {carried} bytes"),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn encryption_takes_the_same_passphrase_on_both_sides() {
    let (one, other) = ("correct horse", "battery staple");
    let cases = [
        (Some(one), Some(other), Reject::BADSECRET),
        (Some(one), None, Reject::UNSECURE),
        (None, Some(one), Reject::UNSECURE),
    ];
    for (theirs, ours, reason) in cases {
        let config = CallerConfig { link: link(theirs.and_then(secret)), ..CallerConfig::default() };
        let request = Pair::new(config).request();
        assert_eq!(request.crypto().is_some(), theirs.is_some());
        let refused = request.accept(Duration::ZERO, SocketId(5), &link(ours.and_then(secret)));
        assert_eq!(refused.unwrap_err(), reason);
    }
}

#[test]
fn gcm_wants_a_version_that_does_it_well() {
    let crypto = CryptoChoice { cipher: Cipher::Gcm, length: KeyLength::Aes256 };
    let config = CallerConfig { link: link(secret("correct horse")), crypto, ..CallerConfig::default() };
    let mut pair = Pair::new(config);
    let induction = pair.sent();
    let Answer::Reply(reply) = pair.ask(&induction) else { panic!("no cookie") };
    pair.tell(&reply);
    let mut datagram = pair.sent().to_vec();
    assert_eq!(datagram[71], 4);
    datagram[71] = 3;
    let answer = pair.ask(&datagram.into());
    assert!(matches!(answer, Answer::Refused { reason: Reject::CRYPTO, .. }), "{answer:?}");
}

#[test]
fn key_material_that_cannot_be_read_is_a_wrong_secret() {
    let with =
        |body: Bytes| refusal_of(|handshake| handshake.extensions.push(Extension::KeyMaterialRequest(body)));
    for length in [0, 4, 16, 32, 120, 1_000] {
        assert_eq!(with(vec![0; length].into()), Reject::BADSECRET);
    }
}

#[test]
fn what_is_not_for_a_listener_is_passed_over() {
    let mut listener = Listener::new(seeded(1));
    let mut ask = |body| {
        let packet = ControlPacket { timestamp_us: 0, destination: SocketId::LISTENER, body };
        listener.receive(Duration::ZERO, address("192.0.2.9:4000"), &packet)
    };
    assert!(matches!(ask(Control::Shutdown), Answer::Ignored(Ignored::NotHandshake)));
    let short = Control::Handshake(Bytes::from_static(&[0; 47]));
    assert!(matches!(ask(short), Answer::Ignored(Ignored::Malformed(HandshakeError::TooShort(47)))));
    for stage in [Stage::WaveAHand, Stage::Agreement, Stage::Reject(Reject::PEER), Stage::Unknown(7)] {
        let handshake = Handshake { stage, ..Handshake::induction(Seq::new(1), 1_500, 8_192, SocketId(1)) };
        match ask(Control::Handshake(handshake.to_bytes())) {
            Answer::Ignored(Ignored::Stage(same)) => assert_eq!(same, stage),
            other => panic!("{other:?}"),
        }
    }
}

/// What a caller makes of a listener's answer after `change` has been at it, and what it then still sends.
fn outcome_of(config: CallerConfig, change: impl FnOnce(&mut Handshake)) -> (Outcome, Option<Bytes>) {
    let ours = link(config.link.passphrase.clone());
    let mut pair = Pair::new(config);
    let request = pair.request();
    let (_, reply) = request.accept(pair.now, SocketId(5), &ours).unwrap();
    let Control::Handshake(body) = &reply.body else { panic!("no handshake") };
    let mut handshake = Handshake::parse(body.clone()).unwrap();
    change(&mut handshake);
    let body = Control::Handshake(handshake.to_bytes());
    let outcome = pair.tell(&ControlPacket { body, ..reply }.to_bytes()).expect("an outcome");
    (outcome, pair.caller.poll_transmit(pair.now))
}

#[test]
fn a_caller_leaves_a_listener_whose_answer_will_not_do() {
    let refused = |passphrase: Option<&str>, change: fn(&mut Handshake)| {
        let config = CallerConfig { link: link(passphrase.and_then(secret)), ..CallerConfig::default() };
        let (outcome, farewell) = outcome_of(config, change);
        let farewell = control(&farewell.expect("a farewell"));
        assert_eq!((farewell.destination, farewell.body), (SocketId(5), Control::Shutdown));
        match outcome {
            Outcome::Rejected(reason) => reason,
            other => panic!("{other:?}"),
        }
    };
    let key_answer = |state: u8| Extension::KeyMaterialResponse(vec![state, 0, 0, 0].into());
    assert_eq!(refused(None, |answer| answer.extensions.clear()), Reject::ROGUE);
    assert_eq!(refused(None, |answer| answer.version = 4), Reject::VERSION);
    assert_eq!(refused(None, |answer| answer.mtu = 0), Reject::ROGUE);
    assert_eq!(
        refused(None, |answer| answer.extensions.push(Extension::Filter("fec".into()))),
        Reject::FILTER
    );
    assert_eq!(refused(None, |answer| answer.extensions.push(Extension::Group(Bytes::new()))), Reject::GROUP);
    let file = |answer: &mut Handshake| answer.extensions.push(Extension::Congestion("file".into()));
    assert_eq!(refused(None, file), Reject::CONGESTION);
    let unasked = |answer: &mut Handshake| {
        answer.extensions.push(Extension::KeyMaterialResponse(Bytes::from_static(&[0; 4])));
    };
    assert_eq!(refused(None, unasked), Reject::UNSECURE);
    assert_eq!(refused(Some("correct horse"), |answer| answer.extensions.truncate(1)), Reject::UNSECURE);
    assert_eq!(key_answer(4), Extension::KeyMaterialResponse(Bytes::from_static(&[4, 0, 0, 0])));
    let wrong = |answer: &mut Handshake| {
        answer.extensions[1] = Extension::KeyMaterialResponse(Bytes::from_static(&[4, 0, 0, 0]));
    };
    assert_eq!(refused(Some("correct horse"), wrong), Reject::BADSECRET);
    let none = |answer: &mut Handshake| {
        answer.extensions[1] = Extension::KeyMaterialResponse(Bytes::from_static(&[3, 0, 0, 0]));
    };
    assert_eq!(refused(Some("correct horse"), none), Reject::UNSECURE);
}

#[test]
fn a_caller_leaves_a_listener_of_old() {
    let mut pair = Pair::new(CallerConfig::default());
    let induction = control(&pair.sent());
    let answer = ControlPacket { destination: SocketId(77), ..induction };
    let outcome = pair.tell(&answer.to_bytes());
    assert!(matches!(outcome, Some(Outcome::Rejected(Reject::VERSION))), "{outcome:?}");
}

#[test]
fn a_request_keeps_nothing_of_a_datagram_that_was_padded() {
    let mut pair = Pair::new(CallerConfig { link: link(secret("correct horse")), ..CallerConfig::default() });
    let induction = pair.sent();
    let Answer::Reply(reply) = pair.ask(&induction) else { panic!("no cookie") };
    pair.tell(&reply);
    let mut conclusion = control(&pair.sent());
    let Control::Handshake(body) = &conclusion.body else { panic!("no handshake") };
    // An unknown block that fills the datagram.
    let padded: Bytes = [body, &[0, 99, 0x3a, 0x98][..], &[0; 60_000]].concat().into();
    conclusion.body = Control::Handshake(padded.clone());
    let answer = pair.listener.receive(pair.now, pair.from, &conclusion);
    drop(conclusion);
    assert!(matches!(answer, Answer::Request(_)), "{answer:?}");
    assert!(padded.is_unique());
}
