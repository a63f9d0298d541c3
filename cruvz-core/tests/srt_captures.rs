//! What libsrt said to libsrt, read by us and answered by our listener.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cruvz_core::protocol::srt::{
    Answer, Cipher, Control, ControlPacket, DataPacket, Established, Extension, Flags, Handshake, KeyLength,
    LinkConfig, Listener, Packet, Passphrase, Random, Reject, Request, SocketId, Stage, Version,
};
use proptest::prelude::*;
use proptest::sample::Index;

const FFMPEG5_PLAIN: &str = include_str!("fixtures/srt/ffmpeg5_plain.txt");
const FFMPEG5_AES256: &str = include_str!("fixtures/srt/ffmpeg5_aes256.txt");
const FFMPEG9_AES128: &str = include_str!("fixtures/srt/ffmpeg9_aes128.txt");
const FFMPEG9_FILE: &str = include_str!("fixtures/srt/ffmpeg9_file.txt");
const FILTER: &str = include_str!("fixtures/srt/srt15_filter.txt");
const ALL: [&str; 5] = [FFMPEG5_PLAIN, FFMPEG5_AES256, FFMPEG9_AES128, FFMPEG9_FILE, FILTER];

/// The datagrams of one side, `>` or `<`.
fn said(capture: &str, side: char) -> Vec<Bytes> {
    let lines = capture.lines().filter_map(|line| line.strip_prefix(side));
    lines.map(|line| unhex(line.trim())).collect()
}

fn unhex(text: &str) -> Bytes {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn control(datagram: &Bytes) -> ControlPacket {
    match Packet::parse(datagram.clone()).unwrap() {
        Packet::Control(packet) => packet,
        Packet::Data(packet) => panic!("data packet {:?}", packet.header),
    }
}

fn handshake(datagram: &Bytes) -> Handshake {
    match control(datagram).body {
        Control::Handshake(body) => Handshake::parse(body).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Takes a captured caller through our listener, with our cookie in place of the one it got.
fn ask(capture: &str) -> Answer {
    let from: SocketAddr = "127.0.0.1:4000".parse().unwrap();
    let mut listener = Listener::new(Random::new([1; 32]));
    let sent = said(capture, '>');
    let Answer::Reply(reply) = listener.receive(Duration::ZERO, from, &control(&sent[0])) else {
        panic!("no cookie")
    };
    let theirs = handshake(&said(capture, '<')[0]);
    let ours = handshake(&reply);
    assert_eq!(Handshake { cookie: theirs.cookie, key_length: theirs.key_length, ..ours.clone() }, theirs);
    let conclusion = Handshake { cookie: ours.cookie, ..handshake(&sent[1]) };
    let body = Control::Handshake(conclusion.to_bytes());
    listener.receive(Duration::ZERO, from, &ControlPacket { body, ..control(&sent[1]) })
}

fn request(capture: &str) -> Box<Request> {
    match ask(capture) {
        Answer::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

fn accept(capture: &str, passphrase: &str) -> Result<(Established, ControlPacket), Reject> {
    let passphrase = (!passphrase.is_empty()).then(|| Passphrase::new(passphrase).unwrap());
    let config = LinkConfig { passphrase, ..LinkConfig::default() };
    request(capture).accept(Duration::ZERO, SocketId(5), &config)
}

fn media(capture: &str) -> Vec<DataPacket> {
    let packets = said(capture, '>').into_iter().map(|datagram| Packet::parse(datagram).unwrap());
    packets.filter_map(|packet| if let Packet::Data(data) = packet { Some(data) } else { None }).collect()
}

#[test]
fn what_libsrt_writes_we_write_the_same() {
    for datagram in ALL.iter().flat_map(|capture| [said(capture, '>'), said(capture, '<')].concat()) {
        let packet = Packet::parse(datagram.clone()).unwrap();
        assert_eq!(packet.to_bytes(), datagram);
        let Packet::Control(ControlPacket { body: Control::Handshake(body), .. }) = packet else { continue };
        assert_eq!(Handshake::parse(body.clone()).unwrap().to_bytes(), body);
    }
}

#[test]
fn a_plain_caller_is_understood_and_answered_as_libsrt_does() {
    let request = request(FFMPEG5_PLAIN);
    assert_eq!((request.stream_id(), request.crypto()), (Some("publish:live/cam"), None));
    assert_eq!(request.hello().version, Version(0x0001_0501));
    assert_eq!(request.hello().receive_latency, Duration::from_millis(200));
    let (established, reply) = accept(FFMPEG5_PLAIN, "").unwrap();
    assert!(established.crypto.is_none() && established.peer_flags.periodic_nak);
    assert_eq!(established.receive_seq, media(FFMPEG5_PLAIN)[0].header.seq);
    let theirs = handshake(&said(FFMPEG5_PLAIN, '<')[1]);
    let mut ours = handshake(&reply.to_bytes());
    let (Extension::HelloResponse(said), Extension::HelloResponse(libsrt)) =
        (ours.extensions[0].clone(), theirs.extensions[0].clone())
    else {
        panic!("no answer")
    };
    assert_eq!((said.receive_latency, said.send_latency), (libsrt.receive_latency, libsrt.send_latency));
    assert_eq!(said.flags, Flags(libsrt.flags.0 & !Flags::FILTER.0));
    (ours.socket_id, ours.cookie) = (theirs.socket_id, theirs.cookie);
    ours.extensions.clone_from(&theirs.extensions);
    assert_eq!(ours, theirs);
}

#[test]
fn encrypted_media_of_libsrt_is_read() {
    for (capture, length) in [(FFMPEG9_AES128, KeyLength::Aes128), (FFMPEG5_AES256, KeyLength::Aes256)] {
        let wish = request(capture).crypto().unwrap();
        assert_eq!((wish.cipher, wish.length), (Cipher::Ctr, length));
        let (established, reply) = accept(capture, "correct-horse").unwrap();
        let crypto = established.crypto.unwrap();
        let packets = media(capture);
        assert!(packets.len() > 2);
        for DataPacket { header, payload } in packets {
            let clear = crypto.open(&header, payload).unwrap();
            assert_eq!((clear.len(), clear[0]), (188, 0x47), "packet {}", header.seq);
        }
        let (ours, theirs) = (handshake(&reply.to_bytes()), handshake(&said(capture, '<')[1]));
        assert_eq!(ours.extensions[1], theirs.extensions[1]);
        assert_eq!(accept(capture, "battery-staple").unwrap_err(), Reject::BADSECRET);
        assert_eq!(accept(capture, "").unwrap_err(), Reject::UNSECURE);
    }
    assert_eq!(accept(FFMPEG5_PLAIN, "correct-horse").unwrap_err(), Reject::UNSECURE);
}

#[test]
fn a_caller_in_file_mode_gets_the_code_that_libsrt_gives() {
    let Answer::Refused { reason, reply } = ask(FFMPEG9_FILE) else { panic!("not refused") };
    assert_eq!(reason, Reject::MESSAGEAPI);
    let libsrt = handshake(&said(FFMPEG9_FILE, '<')[1]);
    assert_eq!((libsrt.stage, handshake(&reply).stage), (Stage::Reject(reason), Stage::Reject(reason)));
}

#[test]
fn a_caller_with_a_packet_filter_is_refused() {
    assert!(matches!(ask(FILTER), Answer::Refused { reason: Reject::FILTER, .. }));
    let libsrt = handshake(&said(FILTER, '<')[1]);
    assert!(libsrt.extensions.iter().any(|extension| matches!(extension, Extension::Filter(_))));
}

/// One way to damage a datagram.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    /// Sixteen bits, where a length may stand.
    Length(Index, u16),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, value)| Damage::Set(at, value)),
        (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, new)| Damage::Insert(at, new)),
        (any::<Index>(), prop_oneof![0u16..40, Just(0xffff)])
            .prop_map(|(at, value)| Damage::Length(at, value)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Bytes {
    for damage in damages {
        let place = |at: &Index| at.index(bytes.len() + 1).min(bytes.len());
        match damage {
            Damage::Cut(at) => bytes.truncate(place(at)),
            Damage::Insert(at, new) => drop(bytes.splice(place(at)..place(at), new.iter().copied())),
            Damage::Set(at, value) => {
                let at = place(at);
                bytes[at..].iter_mut().take(1).for_each(|byte| *byte = *value);
            }
            Damage::Flip(at, bit) => {
                let at = place(at);
                bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << bit);
            }
            Damage::Length(at, value) => {
                let at = place(at) / 2 * 2;
                bytes[at..].iter_mut().zip(value.to_be_bytes()).for_each(|(byte, new)| *byte = new);
            }
        }
    }
    bytes.into()
}

proptest! {
    #[test]
    fn damaged_datagrams_are_read_or_refused(
        which in any::<Index>(),
        damages in prop::collection::vec(damage(), 1..5),
    ) {
        let all: Vec<Bytes> = ALL.iter().flat_map(|text| [said(text, '>'), said(text, '<')].concat()).collect();
        let datagram = damaged(all[which.index(all.len())].to_vec(), &damages);
        let Ok(packet) = Packet::parse(datagram) else { return Ok(()) };
        prop_assert_eq!(Packet::parse(packet.to_bytes()), Ok(packet));
    }

    #[test]
    fn damaged_conclusions_get_an_answer(
        which in any::<Index>(),
        damages in prop::collection::vec(damage(), 1..5),
    ) {
        let from: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let mut listener = Listener::new(Random::new([1; 32]));
        let sent = said(ALL[which.index(ALL.len())], '>');
        let Answer::Reply(reply) = listener.receive(Duration::ZERO, from, &control(&sent[0])) else {
            panic!("no cookie")
        };
        let packet = control(&sent[1]);
        let Control::Handshake(body) = packet.body else { panic!("no handshake") };
        // What is behind the head is damaged; the head is one with a good cookie.
        let mut damaged = damaged(body[48..].to_vec(), &damages).to_vec();
        let head = Handshake { cookie: handshake(&reply).cookie, extensions: Vec::new(), ..handshake(&sent[1]) };
        damaged.splice(..0, head.to_bytes());
        let body = Control::Handshake(damaged.into());
        match listener.receive(Duration::ZERO, from, &ControlPacket { body, ..packet }) {
            Answer::Request(request) => prop_assert_eq!(request.peer_id(), head.socket_id),
            Answer::Refused { reply, reason } => {
                prop_assert_eq!((reply.len(), handshake(&reply).stage), (64, Stage::Reject(reason)));
            }
            other => panic!("{other:?}"),
        }
    }
}
