//! Senders in front of a player that opens, counts, and asks for what it lacks, over a network that loses.

mod layers;
mod player;

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use cruvz_media::{Codec, TrackKind};
use cruvz_testnet::{Conditions, Network, Wire};
use proptest::prelude::*;

use self::player::Player;
use super::*;
use crate::protocol::webrtc::{
    rtcp::SenderInfo,
    srtp::{KeyingMaterial, Profile},
};

const MS: Duration = Duration::from_millis(1);
const VIDEO: LaneConfig = LaneConfig {
    kind: TrackKind::Video,
    codec: Codec::H264,
    payload_type: 102,
    clock_rate: 90_000,
    ssrc: 0x1111,
    rtx: Some(Rtx { payload_type: 103, ssrc: 0x2222 }),
    nack: true,
    transport_cc: None,
};
const AUDIO: LaneConfig = LaneConfig {
    kind: TrackKind::Audio,
    codec: Codec::Opus,
    payload_type: 111,
    clock_rate: 48_000,
    ssrc: 0x3333,
    rtx: None,
    nack: true,
    transport_cc: None,
};

/// A row of packets of which the older ones may be gone.
#[derive(Default)]
struct Row {
    first: u64,
    packets: Vec<MediaPacket>,
    frames: u64,
}

impl TrackLog for Row {
    fn first(&self) -> u64 {
        self.first
    }

    fn end(&self) -> u64 {
        self.first + self.packets.len() as u64
    }

    fn packet(&self, index: u64) -> Option<&MediaPacket> {
        self.packets.get(usize::try_from(index.checked_sub(self.first)?).unwrap())
    }

    fn newest_start(&self) -> Option<u64> {
        let at = self.packets.iter().rposition(|packet| packet.start)?;
        Some(self.first + at as u64)
    }
}

#[derive(Default)]
struct Stream {
    video: Row,
    audio: Row,
    /// Of the last packet of each picture.
    padding: u8,
}

impl StreamLog for Stream {
    type Track = Row;

    fn track(&self, kind: TrackKind) -> &Row {
        if kind == TrackKind::Video { &self.video } else { &self.audio }
    }

    fn clock(&self) -> Option<MediaClock> {
        Some(MediaClock { media_offset_us: 500_000, origin_unix_us: 1_700_000_000_000_000 })
    }
}

impl Stream {
    /// A frame of packets as long as `bytes` says.
    fn push(&mut self, kind: TrackKind, now: Duration, keyframe: bool, lengths: &[usize]) {
        let (row, codec, rate) = match kind {
            TrackKind::Video => (&mut self.video, Codec::H264, 90_000),
            _ => (&mut self.audio, Codec::Opus, 48_000),
        };
        let time_us = now.as_micros() as i64 + 500_000;
        for (at, bytes) in lengths.iter().enumerate() {
            let marker = kind == TrackKind::Video && at + 1 == lengths.len();
            let payload = row.end().to_be_bytes().iter().copied().cycle().take(*bytes).collect::<Vec<_>>();
            row.packets.push(MediaPacket {
                payload: Bytes::from(payload),
                padding: if marker { self.padding } else { 0 },
                codec,
                marker,
                start: keyframe && at == 0,
                timestamp: (time_us * rate / 1_000_000) as u32,
                time_us,
                frame: row.frames,
                origin: now,
            });
        }
        row.frames += 1;
    }

    /// The next millisecond of a stream of 30 pictures per second, a keyframe each second, and 50 packets of sound.
    fn advance(&mut self, now: Duration) {
        let ms = now.as_millis();
        if ms.is_multiple_of(33) {
            let keyframe = (ms / 33).is_multiple_of(30);
            let lengths: &[usize] = if keyframe { &[1_100; 40] } else { &[1_100, 1_100, 1_100, 400] };
            self.push(TrackKind::Video, now, keyframe, lengths);
        }
        if ms % 20 == 7 {
            self.push(TrackKind::Audio, now, false, &[160]);
        }
    }
}

/// A sender and its player, and the network between them.
struct Pair {
    stream: Stream,
    sender: Sender,
    srtp: Outbound,
    player: Player,
    down: Wire<Vec<u8>>,
    up: Wire<Vec<u8>>,
    /// What was sent lately, by source and sequence number.
    sent: HashMap<[u8; 6], Vec<u8>>,
}

fn conditions(loss: f64) -> Conditions {
    Conditions { delay: 20 * MS, jitter: 5 * MS, loss, ..Conditions::default() }
}

fn config(video: LaneConfig, audio: LaneConfig) -> SenderConfig {
    SenderConfig { video: Some(video), audio: Some(audio), cname: "cruvz".into() }
}

impl Pair {
    fn new(config: SenderConfig, loss: f64, random: [u8; 16]) -> Self {
        let keys = KeyingMaterial::new(Profile::AeadAes128Gcm, &[7; 56]).unwrap();
        Self {
            stream: Stream::default(),
            sender: Sender::new(config, random),
            srtp: Outbound::new(&keys.server),
            player: Player::new(keys.server),
            down: Wire::new(Network::new(conditions(loss), 1)),
            up: Wire::new(Network::new(conditions(loss), 2)),
            sent: HashMap::new(),
        }
    }

    /// Sends what is due; the lengths of the datagrams of each run.
    fn flush(&mut self, now: Duration) -> Vec<Vec<usize>> {
        let (mut out, mut runs) = (Vec::new(), Vec::new());
        if !self.sender.has_begun() && self.stream.video.newest_start().is_some() {
            self.sender.begin(&self.stream);
        }
        while let Some(run) = self.sender.fill(now, &self.stream, &mut self.srtp, &mut out) {
            let datagrams: Vec<_> = out.chunks(run.segment_size).collect();
            assert_eq!(datagrams.len(), run.segments);
            assert!(run.segments <= 64 && out.len() <= 65_507);
            for datagram in &datagrams {
                self.assert_sealed_once(datagram);
                self.down.send(now, datagram.len(), datagram.to_vec());
            }
            runs.push(datagrams.iter().map(|datagram| datagram.len()).collect());
        }
        runs
    }

    /// One millisecond of the stream passes.
    fn step(&mut self, now: Duration) {
        self.stream.advance(now);
        self.exchange(now);
    }

    /// What is due is sent both ways.
    fn exchange(&mut self, now: Duration) {
        self.flush(now);
        while let Some(datagram) = self.down.receive(now) {
            self.player.receive(now, &datagram);
        }
        for compound in self.player.feedback(now) {
            self.up.send(now, compound.len(), compound);
        }
        while let Some(compound) = self.up.receive(now) {
            self.sender.receive(now, &self.stream, &compound);
        }
    }

    fn run(&mut self, from_ms: u32, to_ms: u32) {
        (from_ms..to_ms).for_each(|ms| self.step(ms * MS));
    }

    /// The same number twice with other bytes would show the key.
    fn assert_sealed_once(&mut self, datagram: &[u8]) {
        if self.sent.len() > 30_000 {
            self.sent.clear();
        }
        if !(192..224).contains(&datagram[1]) {
            let mut key = [0; 6];
            key[..4].copy_from_slice(&datagram[8..12]);
            key[4..].copy_from_slice(&datagram[2..4]);
            let before = self.sent.insert(key, datagram.to_vec());
            assert!(before.is_none_or(|before| before == datagram), "number {key:?} was used twice");
        }
    }

    /// Checks that the player has all of the stream from these indices on, but for what is on its way.
    fn assert_whole(&self, video: u64, audio: u64) {
        for (ssrc, row, from, on_the_way) in
            [(VIDEO.ssrc, &self.stream.video, video, 40), (AUDIO.ssrc, &self.stream.audio, audio, 3)]
        {
            let numbers: Vec<u64> = self.player.heard(ssrc).map(|heard| heard.number).collect();
            assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "a gap in {numbers:?}");
            let sent = &row.packets[usize::try_from(from - row.first).unwrap()..];
            assert!(numbers.len() + on_the_way >= sent.len(), "{} of {}", numbers.len(), sent.len());
            for (heard, sent) in self.player.heard(ssrc).zip(sent) {
                assert_eq!(heard.payload, sent.payload);
                assert_eq!((heard.marker, heard.timestamp), (sent.marker, sent.timestamp));
            }
        }
    }
}

#[test]
fn everything_arrives_though_one_in_twenty_is_lost() {
    for rtx in [VIDEO.rtx, None] {
        let video = LaneConfig { rtx, transport_cc: Some(3), ..VIDEO };
        let audio = LaneConfig { transport_cc: Some(3), ..AUDIO };
        let mut pair = Pair::new(config(video, audio), 0.05, [0x5a; 16]);
        pair.stream.padding = 9;
        pair.run(0, 10_000);
        pair.down.network.change(conditions(0.0));
        pair.up.network.change(conditions(0.0));
        pair.run(10_000, 10_500);
        pair.assert_whole(0, 0);
        let (stats, lost) = (pair.sender.stats(), pair.down.network.tally().lost);
        assert_eq!(stats.packets, pair.stream.video.end() + pair.stream.audio.end());
        assert!(lost > 50 && stats.retransmitted > lost / 2, "{lost} lost, {stats:?}");
        assert_eq!(stats.refused, 0, "{stats:?}");
        assert_eq!(pair.player.rtx_packets > 0, rtx.is_some());
        // Where packets are sent again as they were, none has a number of its own for feedback.
        assert_eq!(pair.player.transport.is_empty(), rtx.is_none());
    }
}

#[test]
fn who_joins_late_in_a_long_stream_can_open_all_of_it() {
    let mut pair = Pair::new(config(VIDEO, AUDIO), 0.0, [0xff; 16]);
    (pair.stream.video.first, pair.stream.audio.first) = (3 << 16, 70_000);
    (0..900).for_each(|ms| pair.stream.advance(ms * MS));
    let audio = pair.stream.audio.end() - 1;
    pair.run(900, 3_000);
    pair.assert_whole(3 << 16, audio);
    assert!(pair.player.heard(VIDEO.ssrc).next().unwrap().number < 1 << 15);
}

#[test]
fn numbers_wrap_and_lost_packets_are_found_on_both_sides_of_it() {
    let mut pair = Pair::new(config(VIDEO, AUDIO), 0.05, [0x7f; 16]);
    // From 32,639 on: half a minute of pictures of many small packets.
    for ms in 0..26_000 {
        let now = ms * MS;
        if ms % 20 == 0 {
            pair.stream.push(TrackKind::Video, now, ms == 0, &[20; 30]);
        }
        pair.exchange(now);
    }
    let last = pair.player.heard(VIDEO.ssrc).last().unwrap().number;
    assert!(last > 1 << 16, "{last}");
    pair.down.network.change(conditions(0.0));
    pair.up.network.change(conditions(0.0));
    (26_000..26_300).for_each(|ms| pair.exchange(ms * MS));
    let numbers: Vec<u64> = pair.player.heard(VIDEO.ssrc).map(|heard| heard.number).collect();
    assert!(numbers.is_sorted_by(|a, b| a + 1 == *b));
    assert_eq!(pair.sender.stats().refused, 0);
}

#[test]
fn who_falls_behind_goes_on_at_the_newest_keyframe_and_misses_no_number() {
    let mut pair = Pair::new(config(VIDEO, AUDIO), 0.0, [3; 16]);
    pair.run(0, 500);
    // For three seconds nothing can be sent; two keyframes come, and the log forgets the past.
    (500..3_500).for_each(|ms| pair.stream.advance(ms * MS));
    let start = pair.stream.video.newest_start().unwrap();
    let gone = usize::try_from(start).unwrap() - 20;
    pair.stream.video.packets.drain(..gone);
    pair.stream.video.first += gone as u64;
    pair.run(3_500, 4_500);
    let numbers: Vec<u64> = pair.player.heard(VIDEO.ssrc).map(|heard| heard.number).collect();
    assert!(numbers.is_sorted_by(|a, b| a + 1 == *b));
    let heard = pair.player.heard(VIDEO.ssrc).map(|heard| heard.timestamp).collect::<Vec<_>>();
    assert!(heard.contains(&pair.stream.video.packet(start).unwrap().timestamp));
    let stats = pair.sender.stats();
    assert_eq!(stats.skips, 1, "{stats:?}");
    let missed = pair.sender.take_skipped().unwrap();
    assert!((70..90).contains(&missed), "{missed}");
    assert_eq!(pair.sender.take_skipped(), None);
    // What was sent before the jump is no longer at its place.
    let first = numbers[0] as u16;
    let mut nack = Vec::new();
    write::nack(&mut nack, 1, VIDEO.ssrc, &[first]);
    pair.sender.receive(4_500 * MS, &pair.stream, &nack);
    assert_eq!(pair.sender.stats().refused, 1);
}

#[test]
fn a_run_is_a_picture_and_sound_goes_with_it_or_after_a_while() {
    let mut pair = Pair::new(config(VIDEO, AUDIO), 0.0, [0; 16]);
    pair.stream.push(TrackKind::Video, Duration::ZERO, true, &[1_000, 1_000, 300]);
    let header = 12 + 16;
    assert_eq!(pair.flush(Duration::ZERO)[0], [1_000 + header, 1_000 + header, 300 + header]);
    pair.stream.push(TrackKind::Audio, 5 * MS, false, &[160]);
    assert_eq!(pair.flush(5 * MS), [[0; 0]; 0]);
    assert_eq!(pair.sender.poll_timeout(), Some(25 * MS));
    assert!(pair.sender.poll_own_timeout() > Some(25 * MS));
    assert_eq!(pair.flush(25 * MS), [[160 + header, 108]], "and behind it the first report");
    pair.stream.push(TrackKind::Audio, 26 * MS, false, &[150]);
    pair.stream.push(TrackKind::Video, 33 * MS, false, &[900]);
    assert_eq!(pair.flush(33 * MS), [[900 + header, 150 + header]], "the short one behind the long one");
    pair.stream.padding = 3;
    pair.stream.push(TrackKind::Audio, 65 * MS, false, &[140]);
    pair.stream.push(TrackKind::Video, 66 * MS, false, &[1_000, 997]);
    assert_eq!(pair.flush(66 * MS), [[1_000 + header, 1_000 + header, 140 + header]], "behind a padded one");
    pair.stream.push(TrackKind::Audio, 70 * MS, false, &[140]);
    pair.stream.push(TrackKind::Audio, 89 * MS, false, &[150]);
    assert_eq!(pair.flush(90 * MS), [[140 + header]], "the other has not waited");
}

#[test]
fn an_old_group_of_pictures_is_sent_faster_than_it_was_made_but_not_at_once() {
    let mut pair = Pair::new(config(VIDEO, AUDIO), 0.0, [0; 16]);
    for ms in (0..4_000).step_by(20) {
        pair.stream.push(TrackKind::Video, ms * MS, ms == 0, &[1_000; 5]);
    }
    let packets = |runs: Vec<Vec<usize>>| runs.iter().flatten().filter(|bytes| **bytes > 500).count();
    // What is fresh is not held back, but it comes behind what is old.
    assert_eq!(packets(pair.flush(4_000 * MS)), 64);
    assert_eq!(packets(pair.flush(4_005 * MS)), 0);
    assert_eq!(pair.sender.poll_timeout(), Some(4_015 * MS));
    let after: usize = (1..40).map(|turn| packets(pair.flush((4_000 + 20 * turn) * MS))).sum();
    assert_eq!(after, 1_000 - 64);
}

#[test]
fn sound_and_pictures_are_told_of_one_clock_and_the_round_trip_is_measured() {
    let mut pair = Pair::new(config(VIDEO, AUDIO), 0.0, [0; 16]);
    pair.run(0, 5_000);
    let reports = &pair.player.reports;
    assert!((8..=12).contains(&reports.len()), "{}", reports.len());
    let of = |ssrc| reports.iter().filter(move |(_, of, _)| *of == ssrc).map(|(_, _, info)| *info);
    for (video, audio) in of(VIDEO.ssrc).zip(of(AUDIO.ssrc)) {
        assert_eq!(video.ntp, audio.ntp);
        let seconds = |info: SenderInfo, rate: f64| f64::from(info.rtp_timestamp) / rate;
        assert!((seconds(video, 90_000.0) - seconds(audio, 48_000.0)).abs() < 0.001);
    }
    // A frame of 2 s by the engine's clock has 2.5 s of media time, and is reported so.
    let (_, _, info) = reports.last().unwrap();
    let unix = (info.ntp >> 32) as f64 + (info.ntp as u32) as f64 / 4_294_967_296.0 - 2_208_988_800.0;
    let media = f64::from(info.rtp_timestamp) / 48_000.0;
    assert!((unix - 1_700_000_000.0 + 0.5 - media).abs() < 0.001, "{unix} {media}");
    assert!(of(VIDEO.ssrc).next_back().unwrap().packets > 500);
    let stats = pair.sender.stats();
    let rtt = stats.rtt.unwrap();
    assert!((40 * MS..55 * MS).contains(&rtt), "{rtt:?}");
    assert_eq!((stats.fraction_lost, stats.lost, stats.jitter), (13, 42, Duration::from_micros(1_875)));
}

#[test]
fn what_a_viewer_asks_for_makes_a_bounded_amount_of_work() {
    let mut pair = Pair::new(config(VIDEO, AUDIO), 0.0, [0; 16]);
    pair.run(0, 2_000);
    let mut everything = Vec::new();
    for from in (0..65_535_u16).step_by(256) {
        let seqs: Vec<u16> = (from..=from.saturating_add(255)).collect();
        write::nack(&mut everything, 1, VIDEO.ssrc, &seqs);
    }
    let mut sent = 0;
    for turn in 0..100 {
        pair.sender.receive((2_000 + turn) * MS, &pair.stream, &everything);
        sent += pair.flush((2_000 + turn) * MS).iter().flatten().sum::<usize>();
    }
    let stats = pair.sender.stats();
    assert!(sent < 300 << 10, "{sent} bytes");
    assert_eq!(stats.nacked, 100 * 65_535 + 100);
    assert!(stats.refused > stats.nacked - 300, "{stats:?}");
}

#[test]
fn a_keyframe_that_a_viewer_asks_for_is_the_one_ahead_of_it_or_one_to_be_made() {
    let mut pair = Pair::new(config(VIDEO, AUDIO), 0.0, [0; 16]);
    pair.run(0, 500);
    let ask = |pair: &mut Pair, write: fn(&mut Vec<u8>)| {
        let mut compound = Vec::new();
        write(&mut compound);
        pair.sender.receive(500 * MS, &pair.stream, &compound);
        pair.sender.take_keyframe_request(&pair.stream)
    };
    assert!(ask(&mut pair, |out| write::pli(out, 1, VIDEO.ssrc)));
    assert!(ask(&mut pair, |out| write::fir(out, 1, VIDEO.ssrc, 7)));
    assert!(!ask(&mut pair, |out| write::pli(out, 1, AUDIO.ssrc)));
    assert!(!pair.sender.take_keyframe_request(&pair.stream));
    pair.stream.push(TrackKind::Video, 510 * MS, false, &[100]);
    pair.stream.push(TrackKind::Video, 520 * MS, true, &[200]);
    assert!(!ask(&mut pair, |out| write::pli(out, 1, VIDEO.ssrc)));
    let runs = pair.flush(520 * MS);
    assert!(runs[0].starts_with(&[200 + 28]), "{runs:?}");
    assert_eq!(pair.sender.stats().keyframe_requests, 3);
}

#[test]
fn packets_of_all_tracks_are_numbered_in_one_row_for_feedback() {
    let rtx = Some(Rtx { payload_type: 112, ssrc: 0x4444 });
    let (video, audio) =
        (LaneConfig { transport_cc: Some(3), ..VIDEO }, LaneConfig { transport_cc: Some(3), rtx, ..AUDIO });
    let mut pair = Pair::new(config(video, audio), 0.0, [0xff; 16]);
    pair.run(0, 1_000);
    assert!(pair.player.transport.len() > 150);
    let in_row = |pair: &[u16]| pair[1] == pair[0].wrapping_add(1);
    assert!(pair.player.transport.windows(2).all(in_row));
    assert_eq!(pair.player.transport[0], 0xffff, "and it wraps");
}

#[test]
fn another_codec_than_agreed_is_not_sent_but_told() {
    let mut pair = Pair::new(config(VIDEO, AUDIO), 0.0, [0; 16]);
    pair.run(0, 500);
    assert_eq!((pair.sender.foreign(), pair.sender.is_done(&pair.stream)), (None, true));
    pair.stream.push(TrackKind::Video, 510 * MS, true, &[100]);
    pair.stream.video.packets.last_mut().unwrap().codec = Codec::Av1;
    let before = pair.sender.stats().packets;
    pair.flush(540 * MS);
    assert_eq!(pair.sender.foreign(), Some(Codec::Av1));
    assert!(!pair.sender.is_done(&pair.stream) && pair.sender.stats().packets <= before + 2);
}

#[test]
fn pictures_that_come_after_the_sound_are_sent_and_a_goodbye_names_both() {
    let mut pair = Pair::new(config(VIDEO, AUDIO), 0.0, [0; 16]);
    pair.stream.push(TrackKind::Audio, Duration::ZERO, false, &[100]);
    pair.sender.begin(&pair.stream);
    pair.exchange(20 * MS);
    pair.stream.push(TrackKind::Video, 30 * MS, true, &[1_000]);
    (30..60).for_each(|ms| pair.exchange(ms * MS));
    assert_eq!((pair.player.heard(VIDEO.ssrc).count(), pair.player.heard(AUDIO.ssrc).count()), (1, 1));
    let mut out = vec![1];
    pair.sender.goodbye(&mut pair.srtp, &mut out);
    pair.player.receive(60 * MS, &out);
    assert_eq!(pair.player.goodbyes, [VIDEO.ssrc, AUDIO.ssrc]);
    Sender::new(SenderConfig::default(), [0; 16]).goodbye(&mut pair.srtp, &mut out);
    assert!(out.is_empty());
}

proptest! {
    #[test]
    fn whatever_a_viewer_says_runs_stay_sound(
        said in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
        nacks in prop::collection::vec(any::<u16>(), 0..50),
    ) {
        let mut pair = Pair::new(config(VIDEO, AUDIO), 0.1, [9; 16]);
        pair.run(0, 100);
        let mut sorted = nacks;
        sorted.sort_unstable();
        sorted.dedup();
        let mut compound = Vec::new();
        write::nack(&mut compound, 1, VIDEO.ssrc, &sorted);
        for bytes in said.iter().chain([&compound]) {
            pair.sender.receive(100 * MS, &pair.stream, bytes);
            pair.flush(100 * MS);
        }
        pair.run(101, 200);
    }
}
