//! An engine under hostile SRT peers over real sockets: a publisher and a viewer beside them, on the same socket, lose nothing.
//!
//! `CRUVZ_SRT_INDUCTIONS` (2,000), `CRUVZ_SRT_FLOOD_PER_S` (10,000) and `CRUVZ_SRT_FLOOD_S` (1) make it larger;
//! `CRUVZ_SRT_CORPUS` names a folder whose files are said as datagrams, too.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that measures time")]

mod live;
mod srt_bystanders;

use std::{
    collections::BTreeSet,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes};
use cruvz_core::{
    AccessRequest, Engine, Protocol, Role,
    protocol::srt::{
        Ack, AckBody, Control, ControlPacket, DataHeader, DataPacket, Handshake, LinkConfig, Packet, Reject,
        Seq, SeqRange, SocketId, Stage,
    },
};
use live::{next_refusal, refusals, until};
use srt_bystanders::{Bystanders, Peer, Tap, alive_tasks, answers, control, socket};

const FIXTURES: [&str; 5] = [
    include_str!("fixtures/srt/ffmpeg5_plain.txt"),
    include_str!("fixtures/srt/ffmpeg5_aes256.txt"),
    include_str!("fixtures/srt/ffmpeg9_aes128.txt"),
    include_str!("fixtures/srt/ffmpeg9_file.txt"),
    include_str!("fixtures/srt/srt15_filter.txt"),
];
/// Datagrams between two pauses: less than the smallest socket buffer holds.
const BATCH: usize = 32;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// What libsrt said, either side.
fn captured() -> Vec<Vec<u8>> {
    let lines = FIXTURES.iter().flat_map(|capture| capture.lines());
    lines.filter_map(|line| line.strip_prefix(['>', '<'])).map(|line| unhex(line.trim())).collect()
}

fn header(words: [u32; 4], body: &[u8]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).chain(body.iter().copied()).collect()
}

/// Every kind of control packet with bodies too short, too long and full of nonsense; datagrams that are no packets; and what
/// libsrt said, whole and with each byte wrong in turn. Single ones of these have ended other listeners.
fn kills() -> Vec<Vec<u8>> {
    let mut kills: Vec<Vec<u8>> = (0..16).map(|len| vec![0xff; len]).collect();
    for kind in (0..12).chain([0x7ffe, 0x7fff]) {
        for subtype in 0..9 {
            for len in [0, 3, 4, 8, 47, 48, 64, 1_400] {
                for fill in [0, 0xff] {
                    let first = 1 << 31 | kind << 16 | subtype;
                    kills.push(header([first, u32::MAX, 0, 0], &vec![fill; len]));
                }
            }
        }
    }
    for message in [0, 3 << 27, u32::MAX] {
        kills.push(header([0x7fff_ffff, message, u32::MAX, 0], &[]));
        kills.push(header([0, message, 0, 0], &[0x47; 60_000]));
    }
    for datagram in captured() {
        for at in (0..datagram.len().min(160)).step_by(7) {
            let mut damaged = datagram.clone();
            damaged[at] ^= 0x81;
            kills.push(damaged);
        }
        kills.push(datagram);
    }
    if let Ok(folder) = std::env::var("CRUVZ_SRT_CORPUS") {
        let files =
            std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
        kills.extend(files.filter(|file| file.len() <= 65_000));
    }
    kills
}

/// The same datagram for another socket.
fn to(id: u32, datagram: &[u8]) -> Vec<u8> {
    let mut datagram = datagram.to_vec();
    if let Some(words) = datagram.get_mut(12..16) {
        words.copy_from_slice(&id.to_be_bytes());
    }
    datagram
}

async fn breathe(said: usize) {
    if said % BATCH == BATCH - 1 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_datagram_from_anywhere_to_anybody_hurts_others() {
    let bystanders = Bystanders::new(|_| {}).await;
    let (victim, _push) = bystanders.victim().await;
    let (addr, stranger) = (bystanders.addr(), socket("127.0.0.5:0"));
    let ids = [bystanders.publisher.id(), bystanders.viewer.id()];
    let mut said = 0;
    for kill in kills() {
        for id in [None, Some(0), Some(0x1234_5678), Some(ids[0]), Some(ids[1]), Some(victim.id())] {
            let datagram = id.map_or_else(|| kill.clone(), |id| to(id, &kill));
            stranger.send_to(&datagram, addr).unwrap();
            // From the addresses of those who are connected, but not with the id that each was given.
            let others = |own: u32| id.is_none_or(|id| id != own);
            if others(bystanders.publisher.id()) && id.is_some() {
                bystanders.publisher.say(&datagram).await;
            }
            victim.say(&datagram).await;
            said += 1;
            breathe(said).await;
        }
    }
    println!("{said} datagrams, each from three addresses");
    drop(answers(&stranger));
    bystanders.judge().await;
    let counted = |reason| refusals(&bystanders.server, Protocol::Srt, reason);
    let (strays, malformed) = (counted("stray_datagram"), counted("malformed_packet"));
    println!("{strays} strays, {malformed} malformed");
    assert!(
        strays > 1_000 && malformed > 10,
        "{strays} strays and {malformed} malformed packets are counted"
    );
    let newcomer = Peer::connect(addr, "read:live/copy").await;
    assert!(newcomer.is_ok(), "a new caller is let in");
}

/// An induction as libsrt sends it.
fn induction(id: u32) -> Vec<u8> {
    let mut body = Vec::new();
    [4, 2, 7, 1_500, 8_192, 1, id, 0, 0, 0, 0, 0].iter().for_each(|word: &u32| body.put_u32(*word));
    header([1 << 31, 0, 0, 0], &body)
}

fn handshake(datagram: &[u8]) -> (SocketId, Handshake) {
    match Packet::parse(Bytes::copy_from_slice(datagram)).unwrap() {
        Packet::Control(ControlPacket { destination, body: Control::Handshake(body), .. }) => {
            (destination, Handshake::parse(body).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

/// A conclusion with `cookie`, and `extensions` as they are.
fn conclusion(id: u32, cookie: u32, version: u32, extensions: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let words = [version, 5, 7, 1_500, 8_192, u32::MAX, id, cookie, 0, 0, 0, 0];
    words.iter().for_each(|word: &u32| body.put_u32(*word));
    body.put_slice(extensions);
    header([1 << 31, 0, 0, 0], &body)
}

/// What the server says to `datagram` of the caller `id`, which is said again until there is an answer, as callers do.
fn reply_to(id: u32, datagram: &[u8], socket: &UdpSocket, server: SocketAddr) -> Vec<u8> {
    let mut buffer = [0; 2_000];
    for _ in 0..50 {
        socket.send_to(datagram, server).unwrap();
        // A port may have been another's, to whom the server still speaks.
        while let Ok(len) = socket.recv(&mut buffer) {
            if Packet::destination(&buffer[..len]) == Some(SocketId(id)) {
                return buffer[..len].to_vec();
            }
        }
    }
    panic!("no answer")
}

/// The cookie that `socket` is given, and the whole reply.
fn cookie(socket: &UdpSocket, server: SocketAddr) -> (u32, Vec<u8>) {
    let reply = reply_to(9, &induction(9), socket, server);
    (handshake(&reply).1.cookie.0, reply)
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// A socket of the `nth` of 16 million addresses.
fn somewhere(nth: u64) -> UdpSocket {
    let [.., a, b, c] = (nth + 257).to_be_bytes();
    UdpSocket::bind((std::net::Ipv4Addr::new(127, a, b, c), 0)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_for_a_cookie_leaves_no_trace_and_gets_no_more_than_it_sent() {
    let bystanders = Bystanders::measured(|_| {}).await;
    let server = bystanders.addr();
    let inductions = setting("CRUVZ_SRT_INDUCTIONS", 2_000);
    let ask = move |range: std::ops::Range<u64>| {
        let (mut sent, mut came, mut replies) = (0, 0, 0);
        let mut buffer = [0; 2_000];
        for nth in range {
            let (socket, question) = (somewhere(nth), induction(nth as u32 | 1));
            sent += socket.send_to(&question, server).unwrap();
            // Each 16th waits, so that what the server is asked stays in step with what it does.
            if nth % 16 == 0 {
                socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
                while let Ok(len) = socket.recv(&mut buffer) {
                    (came, replies) = (came + len, replies + 1);
                    assert!(len <= question.len(), "{len} bytes for {}", question.len());
                    socket.set_nonblocking(true).unwrap();
                }
            }
        }
        (sent, came, replies)
    };
    // The first ones make what is kept for good.
    tokio::task::spawn_blocking(move || ask(0..1_000)).await.unwrap();
    let (before, tasks) = (resident_bytes(), alive_tasks());
    let (sent, came, replies) =
        tokio::task::spawn_blocking(move || ask(1_000..1_000 + inductions)).await.unwrap();
    let growth = resident_bytes().saturating_sub(before);
    println!(
        "{inductions} inductions of {sent} bytes, {replies} replies looked at of {came} bytes, {growth} bytes kept"
    );
    assert!(replies >= inductions / 16 * 9 / 10, "{replies}");
    assert!(came as u64 * inductions <= sent as u64 * replies, "more went out than came in");
    assert!(growth <= 1 << 20, "{growth} bytes");
    assert_eq!(bystanders.server.sessions().len(), 2);
    assert!(alive_tasks() <= tasks);
    bystanders.judge().await;
}

/// A hello of SRT 1.5.2 with the usual flags, and a stream id.
fn wish(stream_id: &str) -> Vec<u8> {
    let mut out = vec![0, 1, 0, 3, 0, 1, 5, 2, 0, 0, 0, 0x3f, 0, 120, 0, 120];
    out.put_u16(5);
    out.put_u16(stream_id.len().div_ceil(4) as u16);
    for chunk in stream_id.as_bytes().chunks(4) {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        word.reverse();
        out.put_slice(&word);
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_cookie_of_its_own_address_opens_the_door() {
    let bystanders = Bystanders::new(|_| {}).await;
    let server = bystanders.addr();
    tokio::task::spawn_blocking(move || {
        let (thief, owner) = (socket("127.0.0.6:0"), socket("127.0.0.7:0"));
        let (stolen, reply) = cookie(&owner, server);
        assert!(reply.len() <= induction(9).len());
        let guesses = (0..2_000_u32).map(|nth| nth.wrapping_mul(0x9e37_79b9));
        for (said, guess) in guesses.chain([stolen, stolen ^ 1, 0, u32::MAX]).enumerate() {
            thief.send_to(&conclusion(9, guess, 5, &wish("publish:live/stolen")), server).unwrap();
            if said % BATCH == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(answers(&thief), Vec::<Vec<u8>>::new(), "who cannot be reached is told nothing");
        // The same with its own, which is let in, so that silence above was about the cookie.
        let reply = reply_to(9, &conclusion(9, stolen, 5, &wish("publish:live/owned")), &owner, server);
        assert_eq!(handshake(&reply).1.stage, Stage::Conclusion);
    })
    .await
    .unwrap();
    until(|| bystanders.server.sessions().len() == 3).await;
    // Every guess is counted, but for those that the sockets lost, and all of them but the owner's were wrong.
    let wrong = refusals(&bystanders.server, Protocol::Srt, "wrong_cookie");
    assert!((1_000..=2_004).contains(&wrong), "{wrong} of 2,004");
    bystanders.judge().await;
}

/// Blocks of every type with lengths that lie, and what is missing or doubled.
fn odd_extensions() -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new(), vec![0; 3], vec![0xff; 600]];
    for kind in 0..=255_u16 {
        for (words, len) in [(0, 0), (1, 4), (3, 12), (0xffff, 4), (2, 4), (130, 520)] {
            let mut block = wish("#!::r=live/copy,m=request");
            block.put_u16(kind);
            block.put_u16(words);
            block.put_bytes(0x21, len);
            all.push(block);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_conclusions_are_answered_shortly_and_tell_nobody_who_else_is_there() {
    let bystanders = Bystanders::new(|config| config.srt.peer_timeout_ms = 2_000).await;
    let (server, tasks) = (bystanders.addr(), alive_tasks());
    let secrets = [bystanders.publisher.id(), bystanders.viewer.id()];
    tokio::task::spawn_blocking(move || {
        for (nth, extensions) in odd_extensions().iter().enumerate().step_by(5) {
            // An address of its own for each, as the server goes on speaking to those whom it let in.
            let (socket, id) = (somewhere(nth as u64), 77 + nth as u32);
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let (cookie, _) = cookie(&socket, server);
            let version = if nth % 10 == 0 { 4 } else { 5 };
            let question = conclusion(id, cookie, version, extensions);
            let reply = reply_to(id, &question, &socket, server);
            let (_, answer) = handshake(&reply);
            assert!(!secrets.contains(&answer.socket_id.0));
            match answer.stage {
                // Without an id of ours: it is told its own again.
                Stage::Reject(_) => {
                    assert_eq!((answer.socket_id, reply.len() <= question.len()), (SocketId(id), true))
                }
                Stage::Conclusion => assert_ne!(answer.socket_id, SocketId(id)),
                stage => panic!("{stage:?}"),
            }
        }
    })
    .await
    .unwrap();
    assert!(refusals(&bystanders.server, Protocol::Srt, "handshake") > 100);
    bystanders.judge().await;
    bystanders.alone(tasks).await;
}

/// What ends a stream or damages it when it is believed.
fn injections(id: SocketId) -> Vec<Packet> {
    let seq = |nth: u32| Seq::new(nth.wrapping_mul(0x0800_0000));
    let body =
        AckBody::Small { rtt: Duration::from_secs(9), rtt_variance: Duration::ZERO, available_packets: 0 };
    let mut all = Vec::new();
    for nth in 0..32 {
        let (first, last) = (seq(nth), seq(nth) + (1 << 29));
        let header = DataHeader { seq: first, destination: id, ..DataHeader::default() };
        all.push(Packet::Data(DataPacket { header, payload: vec![0x47; 1_316].into() }));
        all.push(control(id, Control::Ack(Ack { number: nth, next: first, body })));
        all.push(control(id, Control::Nak(vec![SeqRange::new(first, last).unwrap()])));
        all.push(control(
            id,
            Control::DropRequest { message: 0, range: SeqRange::new(first, last).unwrap() },
        ));
    }
    all.push(control(id, Control::KeyMaterialRequest(vec![0x12; 56].into())));
    all.push(control(id, Control::Handshake(vec![0xff; 48].into())));
    all.push(control(id, Control::PeerError { code: 4_000 }));
    all.push(control(id, Control::Shutdown));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_knows_an_id_but_has_not_the_address_and_the_other_way_round_is_not_believed() {
    let bystanders = Bystanders::new(|_| {}).await;
    let (server, stranger) = (bystanders.addr(), socket("127.0.0.1:0"));
    let Bystanders { publisher, viewer, .. } = &bystanders;
    let say_all = async |id: u32, tap: Option<&Tap>| {
        for (said, packet) in injections(SocketId(id)).iter().enumerate() {
            match tap {
                Some(tap) => tap.say(&packet.to_bytes()).await,
                None => drop(stranger.send_to(&packet.to_bytes(), server).unwrap()),
            }
            breathe(said).await;
        }
    };
    for tap in [publisher, viewer] {
        say_all(tap.id(), None).await;
        say_all(tap.id() ^ 1, Some(tap)).await;
        say_all(0, Some(tap)).await;
    }
    say_all(publisher.id(), Some(viewer)).await;
    say_all(viewer.id(), Some(publisher)).await;
    bystanders.judge().await;
    assert_eq!(answers(&stranger), Vec::<Vec<u8>>::new(), "a stranger is told nothing");
    assert!(refusals(&bystanders.server, Protocol::Srt, "stray_datagram") > 50, "it is counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_that_wants_everything_again_gets_at_most_twice_as_much() {
    let bystanders = Bystanders::new(|_| {}).await;
    let peer = Peer::connect(bystanders.addr(), "read:live/copy").await.unwrap();
    let (unique, total) = tokio::task::spawn_blocking(move || {
        let (began, mut buffer) = (Instant::now(), vec![0; 2_000]);
        let (mut seen, mut total) = (BTreeSet::new(), 0);
        peer.socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        while began.elapsed() < Duration::from_secs(3) {
            if let Ok(len) = peer.socket.recv(&mut buffer)
                && let Ok(Packet::Data(packet)) = Packet::parse(Bytes::copy_from_slice(&buffer[..len]))
            {
                total += 1;
                seen.insert(packet.header.seq.value());
            }
            if let (Some(first), Some(last)) = (seen.first(), seen.last()) {
                let range = SeqRange::new(Seq::new(*first), Seq::new(*last)).unwrap();
                peer.control(Control::Nak(vec![range; 368]));
            }
            // And it sends what nobody wants of a player.
            peer.say(&injections(peer.established.peer)[0]);
        }
        (seen.len(), total)
    })
    .await
    .unwrap();
    println!("{unique} packets, sent {total} times in all");
    assert!(unique > 20 && total > unique, "{unique} packets, {total} in all");
    assert!(total <= 2 * unique + 512, "{unique} packets, {total} in all");
    bystanders.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_that_acknowledges_nothing_gets_what_it_has_room_for_and_leaves_nothing_behind() {
    let bystanders = Bystanders::new(|config| config.srt.peer_timeout_ms = 2_000).await;
    let tasks = alive_tasks();
    let link = LinkConfig { flow_window: 16, ..LinkConfig::default() };
    let peer = Peer::with(bystanders.addr(), "read:live/copy", link).await.unwrap();
    let packets = tokio::task::spawn_blocking(move || {
        let (began, mut buffer, mut packets) = (Instant::now(), vec![0; 2_000], 0);
        while began.elapsed() < Duration::from_secs(3) {
            if let Ok(len) = peer.socket.recv(&mut buffer) {
                packets += usize::from(buffer[0] >> 7 == 0 && len > 16);
            }
            peer.control(Control::KeepAlive);
        }
        packets
    })
    .await
    .unwrap();
    assert_eq!(packets, 16);
    bystanders.judge().await;
    bystanders.alone(tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_that_keeps_alive_and_acknowledges_nothing_is_ended() {
    let bystanders = Bystanders::new(|config| config.egress.stuck_timeout_ms = 1_000).await;
    let peer = Peer::connect(bystanders.addr(), "read:live/copy").await.unwrap();
    let goodbye = tokio::task::spawn_blocking(move || {
        let (began, mut buffer) = (Instant::now(), vec![0; 2_000]);
        peer.socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        while began.elapsed() < Duration::from_secs(20) {
            peer.control(Control::KeepAlive);
            if let Ok(len) = peer.socket.recv(&mut buffer)
                && let Ok(Packet::Control(packet)) = Packet::parse(Bytes::copy_from_slice(&buffer[..len]))
                && packet.body == Control::Shutdown
            {
                return true;
            }
        }
        false
    });
    assert!(goodbye.await.unwrap(), "it is still being served");
    bystanders.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_of_holes_and_impossible_times_costs_a_bounded_memory_and_nobody_else_anything() {
    let bystanders = Bystanders::measured(|config| config.srt.peer_timeout_ms = 2_000).await;
    let (before, tasks) = (resident_bytes(), alive_tasks());
    let link = LinkConfig { send_latency: Duration::from_secs(60), ..LinkConfig::default() };
    let peer = Peer::with(bystanders.addr(), "publish:live/evil", link).await.unwrap();
    tokio::task::spawn_blocking(move || {
        let start = peer.established.send_seq;
        for nth in 0..20_000_u32 {
            // Every second packet of the window, then jumps to anywhere; times of the future and of the past.
            let seq =
                if nth % 3 < 2 { start + 2 * (nth % 4_096) } else { start + nth.wrapping_mul(0x9e37_79b9) };
            let timestamp_us = nth.wrapping_mul(0x6789_abcd);
            let header =
                DataHeader { seq, timestamp_us, destination: peer.established.peer, ..DataHeader::default() };
            peer.say(&Packet::Data(DataPacket { header, payload: vec![nth as u8; 1_316].into() }));
            if (nth as usize).is_multiple_of(BATCH) {
                std::thread::sleep(Duration::from_millis(2));
                drop(answers(&peer.socket));
            }
        }
    })
    .await
    .unwrap();
    let growth = resident_bytes().saturating_sub(before);
    println!("{growth} bytes more");
    assert!(growth <= 32 << 20, "{growth} bytes");
    bystanders.judge().await;
    bystanders.alone(tasks).await;
}

/// Garbage of all sorts at a steady rate; how many datagrams the system took.
fn flood(server: SocketAddr, ids: [u32; 2], per_s: u64, length: Duration) -> u64 {
    let sockets: Vec<UdpSocket> = (0..8).map(|_| socket("127.0.0.1:0")).collect();
    let garbage = [vec![0x55; 1_300], induction(5), to(ids[0], &[0; 1_332]), to(ids[1], &[0xff; 40])];
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < length {
        let due = (began.elapsed().as_secs_f64() * per_s as f64) as u64;
        while sent < due {
            let socket = &sockets[sent as usize % sockets.len()];
            sent += u64::from(socket.send_to(&garbage[sent as usize / 8 % garbage.len()], server).is_ok());
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    sent
}

/// With `viewers` idle ones beside: beyond 16 the socket is read in rounds.
async fn endure_flood(viewers: usize) {
    let bystanders = Bystanders::new(|_| {}).await;
    let addr = bystanders.addr();
    let mut idle = Vec::new();
    for _ in 0..viewers {
        idle.push(Peer::connect(addr, "read:live/copy").await.unwrap());
    }
    let ids = [bystanders.publisher.id(), bystanders.viewer.id()];
    let (per_s, seconds) = (setting("CRUVZ_SRT_FLOOD_PER_S", 10_000), setting("CRUVZ_SRT_FLOOD_S", 1));
    let length = Duration::from_secs(seconds);
    let sent = tokio::task::spawn_blocking(move || flood(addr, ids, per_s, length)).await.unwrap();
    let sessions = bystanders.server.sessions();
    let publisher = sessions.iter().find(|session| session.role == Role::Publish).unwrap().srt.unwrap();
    println!(
        "{sent} datagrams in {length:?}; of {} packets {} were repeated",
        publisher.packets, publisher.lost_packets
    );
    bystanders.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_on_its_socket_costs_a_publisher_nothing() {
    endure_flood(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_on_a_socket_with_many_viewers_costs_a_publisher_nothing() {
    endure_flood(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_what_an_address_may_have_are_refused_counted_and_told() {
    let mut config = cruvz_core::EngineConfig::default();
    config.addresses.limit_loopback = true;
    config.addresses.max_sessions = 3;
    config.addresses.connection_burst = 8;
    config.addresses.connections_per_s = 1;
    config.srt.peer_timeout_ms = 1_000;
    let tasks = alive_tasks();
    let engine = Engine::builder().config(config).srt("127.0.0.1:0").start().await.unwrap();
    let resting = alive_tasks();
    let (addr, mut events) = (engine.local_addr(Protocol::Srt).unwrap(), engine.events());
    let mut peers = Vec::new();
    for nth in 0..3 {
        peers.push(Peer::connect(addr, &format!("publish:live/n{nth}")).await.unwrap());
    }
    assert_eq!(Peer::connect(addr, "publish:live/more").await.err(), Some(Reject::OVERLOAD));
    assert_eq!(next_refusal(&mut events).await.0, "address_limit");
    let refused = async || Peer::connect(addr, "publish:live/more").await.err().unwrap();
    while refusals(&engine, Protocol::Srt, "address_pace") == 0 {
        assert_eq!(refused().await, Reject::OVERLOAD);
    }
    while next_refusal(&mut events).await.0 != "address_pace" {}
    // All of them vanish without a word.
    drop(peers);
    until(|| engine.sessions().is_empty()).await;
    until(|| alive_tasks() <= resting).await;
    engine.shutdown().await;
    until(|| alive_tasks() <= tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_wait_for_a_slow_authorizer_make_room_for_each_other_and_are_gone_in_time() {
    let decide = |request: AccessRequest| async move {
        if request.stream.name() == "slow" {
            std::future::pending::<()>().await;
        }
        request.allow()
    };
    let change = |config: &mut cruvz_core::EngineConfig| {
        config.max_pending_connections = 8;
        config.authorize_timeout_ms = 1_000;
    };
    let bystanders = Bystanders::authorized(change, decide).await;
    let (server, tasks) = (bystanders.addr(), alive_tasks());
    let mut events = bystanders.server.events();
    tokio::task::spawn_blocking(move || {
        for _ in 0..40 {
            let socket = socket("127.0.0.9:0");
            let (cookie, _) = cookie(&socket, server);
            socket.send_to(&conclusion(5, cookie, 5, &wish("publish:live/slow")), server).unwrap();
        }
    })
    .await
    .unwrap();
    until(|| refusals(&bystanders.server, Protocol::Srt, "connection_limit") == 32).await;
    assert_eq!(next_refusal(&mut events).await.0, "connection_limit");
    // Somebody else is let in meanwhile.
    assert!(Peer::connect(server, "read:live/copy").await.is_ok());
    until(|| refusals(&bystanders.server, Protocol::Srt, "authorizer_timeout") > 0).await;
    bystanders.judge().await;
    bystanders.alone(tasks).await;
}
