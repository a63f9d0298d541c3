//! The measuring itself: what the publisher makes, the readers see whole, and what is missing or damaged shows.

use std::time::Duration;

use bytes::BytesMut;
use cruvz_core::{
    protocol::rtmp::{Limits, chunk::ChunkReader, message::kind},
    runtime::clock::Clock,
};

use crate::{
    flv::FlvReader,
    hls::HlsPlayer,
    meter::{Incoming, Meter, Seen, Sight},
    stamp::{Stamp, StampFinder},
    synthetic::{BYTES_PER_S, Outgoing, Synthetic, Wire},
};

/// Two seconds of the stream on `wire`, without the pictures in `missing`.
fn recording(wire: Wire, missing: &[u32]) -> BytesMut {
    let mut stream = Synthetic::new(Duration::ZERO);
    let (mut out, mut body, mut picture) = (wire.prologue(), Vec::new(), 0);
    while stream.due() < Duration::from_secs(2) {
        let message = stream.next(1_000, &mut body);
        let is_picture = message.kind.header(0, 0).kind == kind::VIDEO;
        if !is_picture || !missing.contains(&picture) {
            wire.put(&mut out, &message);
        }
        picture += u32::from(is_picture);
    }
    out
}

fn open_meter() -> (Meter, Sight) {
    let mut meter = Meter::new(Clock::start());
    meter.open = true;
    (meter, Sight::new(Duration::ZERO))
}

fn watch_flv(bytes: &[u8], piece: usize) -> Seen {
    let (mut meter, mut sight) = open_meter();
    let mut reader = FlvReader::new();
    for piece in bytes.chunks(piece) {
        reader.receive(piece, |tag| meter.video(&mut sight, Duration::ZERO, tag)).unwrap();
    }
    meter.summary()
}

#[test]
fn the_stream_has_its_bit_rate_and_77_messages_a_second() {
    let mut stream = Synthetic::new(Duration::ZERO);
    let (mut bytes, mut messages, mut body) = (0, 0, Vec::new());
    while stream.due() < Duration::from_secs(8) {
        bytes += stream.next(0, &mut body).body.len();
        messages += 1;
    }
    assert_eq!(messages, 8 * 30 + 8 * 48_000 / 1024);
    let per_s = bytes / 8;
    assert!(per_s.abs_diff(BYTES_PER_S) < 1_000, "{per_s}");
    assert!((per_s * 8).abs_diff(2_160_000) < 40_000, "{per_s}");
}

#[test]
fn an_flv_viewer_sees_every_picture_whatever_the_pieces() {
    let bytes = recording(Wire::Flv, &[]);
    for piece in [1, 7, 1000, bytes.len()] {
        let seen = watch_flv(&bytes, piece);
        assert_eq!((seen.pictures, seen.lost, seen.damaged), (60, 0, 0), "pieces of {piece}");
    }
}

#[test]
fn a_missing_and_a_damaged_picture_show() {
    let mut bytes = recording(Wire::Flv, &[10, 11]);
    let (_, stamp_end) = StampFinder::new().find(&bytes).unwrap();
    // Beyond the first picture's stamp and within the picture: only its end tells.
    let tail = stamp_end + 44_000 + memchr::memmem::find(&bytes[stamp_end + 44_000..], b"00000000").unwrap();
    bytes[tail] = b'1';
    let seen = watch_flv(&bytes, 4096);
    assert_eq!((seen.pictures, seen.lost, seen.damaged), (58, 2, 1));
}

#[test]
fn an_rtmp_viewer_sees_every_picture() {
    let bytes = recording(Wire::Chunks, &[]);
    let (limits, (mut meter, mut sight)) = (Limits::default(), open_meter());
    let mut reader = ChunkReader::new(&limits);
    reader.set_authorized(&limits, true);
    for mut piece in bytes.chunks(999) {
        while let Some(message) = reader.read(&mut piece).unwrap() {
            let (head, tail) = (&message.payload[..], message.payload.last_chunk());
            if message.header.kind == kind::VIDEO {
                let tail = tail.copied().unwrap();
                meter.video(&mut sight, Duration::ZERO, &Incoming { head, tail, bytes: head.len() });
            }
        }
    }
    let seen = meter.summary();
    assert_eq!((seen.pictures, seen.lost, seen.damaged), (60, 0, 0));
}

fn response(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

#[test]
fn an_hls_player_follows_the_playlists_and_sees_stamps_across_reads() {
    let (mut meter, mut sight) = open_meter();
    let mut player = HlsPlayer::new("host", "/hls/live/cam/index.m3u8");
    let mut segment = vec![0; 100];
    for number in 0..3 {
        segment.extend_from_slice(&Stamp { sent_unix_us: 0, number, bytes: 1 }.nal());
        segment.extend_from_slice(&[0; 57]);
    }
    let media = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"init.mp4\"\n\
                 #EXTINF:2,\n7.m4s\n#EXTINF:2,\n8.m4s?x=1\n";
    let script: [(&str, &[u8]); 4] = [
        ("/hls/live/cam/index.m3u8", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvideo/main.m3u8\n"),
        ("/hls/live/cam/video/main.m3u8", media.as_bytes()),
        ("/hls/live/cam/video/init.mp4", b"init"),
        ("/hls/live/cam/video/8.m4s?x=1", &segment),
    ];
    for (path, body) in script {
        let request = String::from_utf8(player.take_out().to_vec()).unwrap();
        assert!(request.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{request}");
        for piece in response(body).chunks(13) {
            player.receive(piece, Duration::from_secs(5), &mut sight, &mut meter).unwrap();
        }
    }
    assert_eq!(player.reload_at, Some(Duration::from_secs(7)));
    let seen = meter.summary();
    assert_eq!((seen.pictures, seen.lost), (3, 0));
}

#[test]
fn outgoing_headers_come_before_pictures() {
    let [(_, video), (_, audio)] = Synthetic::headers();
    assert_eq!((video[1], audio[1]), (0, 0));
    let mut out = BytesMut::new();
    Wire::Flv.put(
        &mut out,
        &Outgoing { kind: Synthetic::headers()[0].0, timestamp_ms: 0x0102_0304, body: &video },
    );
    assert_eq!(&out[4..8], [2, 3, 4, 1]);
}
