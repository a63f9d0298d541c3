//! SRT handshakes, given to a listener and to a caller at each stage: replies are no longer than what they answer,
//! a wrong cookie gets none, and what is accepted says so in a form that is read again.
#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cruvz_core::protocol::srt::{
    Answer, Caller, CallerConfig, Control, ControlPacket, Handshake, Ignored, LinkConfig, Listener, Packet,
    Passphrase, Random, SocketId, Stage,
};
use libfuzzer_sys::fuzz_target;

const NOW: Duration = Duration::from_secs(100);
const ID: SocketId = SocketId(7);

fn packet(body: &[u8]) -> ControlPacket {
    let body = Control::Handshake(Bytes::copy_from_slice(body));
    ControlPacket { timestamp_us: 1, destination: SocketId::LISTENER, body }
}

fn handshake(datagram: Bytes) -> Handshake {
    let Ok(Packet::Control(ControlPacket { body: Control::Handshake(body), .. })) = Packet::parse(datagram)
    else {
        panic!("no handshake")
    };
    Handshake::parse(body).expect("what we write, we read")
}

fn link(secret: bool) -> LinkConfig {
    let passphrase = secret.then(|| Passphrase::new("correct horse").expect("long enough"));
    LinkConfig { passphrase, ..LinkConfig::default() }
}

/// Asks a listener: first with the cookie as it stands, then with the right one.
fn listen(body: &[u8], secret: bool, from: SocketAddr) {
    let mut listener = Listener::new(Random::new([1; 32]));
    if let Answer::Request(_) | Answer::Refused { .. } = listener.receive(NOW, from, &packet(body)) {
        panic!("a cookie was guessed")
    }
    let Some((head, rest)) = body.split_first_chunk::<48>() else { return };
    let mut head = *head;
    // An induction, for its cookie; then a conclusion that has it.
    head[20..24].copy_from_slice(&[0, 0, 0, 1]);
    let Answer::Reply(reply) = listener.receive(NOW, from, &packet(&head)) else { panic!("no cookie") };
    assert_eq!(reply.len(), 16 + 48);
    head[20..24].copy_from_slice(&[0xff; 4]);
    head[28..32].copy_from_slice(&handshake(reply).cookie.0.to_be_bytes());
    let conclusion = packet(&[&head[..], rest].concat());
    match listener.receive(NOW, from, &conclusion) {
        Answer::Request(request) => {
            let _ = request.stream_id();
            let Ok((established, reply)) = request.accept(NOW, ID, &link(secret)) else {
                assert!(request.crypto().is_some() || secret);
                return;
            };
            assert_eq!(established.crypto.is_some(), secret);
            assert_eq!((established.local, handshake(reply.to_bytes()).socket_id), (ID, ID));
        }
        Answer::Refused { reply, reason } => {
            assert!(reply.len() == 16 + 48 && handshake(reply).stage == Stage::Reject(reason));
        }
        Answer::Ignored(why) => assert!(!matches!(why, Ignored::Cookie)),
        other => panic!("{other:?}"),
    }
}

/// Answers a caller: at once, and again once it has a cookie.
fn call(body: &[u8], from: SocketAddr) {
    for with_cookie in [false, true] {
        let mut caller = Caller::new(NOW, CallerConfig::default(), from, ID, Random::new([2; 32]));
        let induction = caller.poll_transmit(NOW).expect("an induction");
        if with_cookie {
            let Ok(Packet::Control(asked)) = Packet::parse(induction) else { panic!("no handshake") };
            let Answer::Reply(reply) = Listener::new(Random::new([1; 32])).receive(NOW, from, &asked) else {
                panic!("no cookie")
            };
            let Ok(Packet::Control(reply)) = Packet::parse(reply) else { panic!("no handshake") };
            assert!(caller.receive(NOW, &reply).is_none());
        }
        let over = caller.receive(NOW, &packet(body)).is_some();
        assert_eq!(over, caller.poll_timeout().is_none());
    }
}

fuzz_target!(|data: &[u8]| {
    let [how, body @ ..] = data else { return };
    let from: SocketAddr = "192.0.2.1:4000".parse().expect("an address");
    if let Ok(handshake) = Handshake::parse(Bytes::copy_from_slice(body)) {
        let written = handshake.to_bytes();
        let again = Handshake::parse(written.clone()).expect("what we write, we read");
        assert_eq!(again.extensions, handshake.extensions);
        assert_eq!(again.to_bytes(), written);
    }
    match how % 4 {
        0 => call(body, from),
        // A wrong passphrase costs a millisecond, so it is tried less often.
        1 => listen(body, true, from),
        _ => listen(body, false, from),
    }
});
