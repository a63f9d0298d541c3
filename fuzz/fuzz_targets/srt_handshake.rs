//! SRT handshakes, given to a listener and to a caller at each stage: replies are no longer than what they answer,
//! a wrong cookie gets none, and what is accepted says so in a form that is read again. And key material on a
//! connection: nobody without the secret changes a key.
#![no_main]

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cruvz_core::protocol::srt::{
    Answer, Caller, CallerConfig, Control, ControlPacket, Crypto, DataHeader, Handshake, Ignored, LinkConfig,
    Listener, Outcome, Packet, Passphrase, Random, SocketId, Stage,
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

/// A secret that another input does not share: what libFuzzer sees compared in one run, it tries in the next.
fn seed(body: &[u8]) -> [u8; 32] {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    let mut seed = [1; 32];
    seed[..8].copy_from_slice(&hasher.finish().to_be_bytes());
    seed
}

/// Asks a listener: first with the cookie as it stands, then with the right one.
fn listen(body: &[u8], secret: bool, from: SocketAddr) {
    let mut listener = Listener::new(Random::new(seed(body)));
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

/// Both ends of an encrypted connection; making one for each input would take far longer than the rest.
fn ends() -> (Crypto, Crypto) {
    let from: SocketAddr = "192.0.2.1:4000".parse().expect("an address");
    let config = CallerConfig { link: link(true), ..CallerConfig::default() };
    let mut listener = Listener::new(Random::new([1; 32]));
    let mut caller = Caller::new(NOW, config, from, ID, Random::new([2; 32]));
    loop {
        let asked = caller.poll_transmit(NOW).expect("an induction, then a conclusion");
        let Ok(Packet::Control(asked)) = Packet::parse(asked) else { panic!("no handshake") };
        let (ours, reply) = match listener.receive(NOW, from, &asked) {
            Answer::Reply(reply) => (None, reply),
            Answer::Request(request) => {
                let (ours, reply) = request.accept(NOW, ID, &link(true)).expect("the same passphrase");
                (ours.crypto, reply.to_bytes())
            }
            other => panic!("{other:?}"),
        };
        let Ok(Packet::Control(reply)) = Packet::parse(reply) else { panic!("no handshake") };
        if let Some(Outcome::Established(theirs)) = caller.receive(NOW, &reply) {
            return (ours.expect("keys"), theirs.crypto.expect("keys"));
        }
    }
}

thread_local! {
    static ENDS: RefCell<(Crypto, Crypto)> = RefCell::new(ends());
}

/// Gives `body` as key material to one end, and sees that it still reads the other.
fn renew(body: &[u8]) {
    ENDS.with_borrow_mut(|(ours, theirs)| {
        let body = Bytes::copy_from_slice(body);
        let answer = ours.receive_request(&body);
        assert!(answer.len() == 4 || answer == body && body.len() == 56);
        ours.receive_response(&body);
        let _ = ours.open(&DataHeader::default(), body);
        let mut datagram = Vec::new();
        theirs.seal(DataHeader { retransmitted: true, ..DataHeader::default() }, b"text", &mut datagram);
        let Ok(Packet::Data(packet)) = Packet::parse(datagram.into()) else { panic!("no data packet") };
        assert_eq!(ours.open(&packet.header, packet.payload).expect("the same keys"), b"text"[..]);
    });
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
        // A wrong passphrase costs a millisecond.
        1 => listen(body, true, from),
        2 => listen(body, false, from),
        _ => renew(body),
    }
});
