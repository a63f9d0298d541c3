//! FFmpeg receives what we send: the frames of every fixture go in packets of ours to an FFmpeg that was given their
//! description (SDP), and it must take the same frames out of them, bit by bit.
//!
//! Needs `ffmpeg` (5.1 or later), and for AV1 an FFmpeg that receives it (8 or later): the one named by the environment variable
//! `FFMPEG9`, or else that of the Python package `imageio-ffmpeg`.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test, as it should")]

use std::{
    fmt::Write as _,
    io::ErrorKind,
    net::UdpSocket,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use cruvz_media::{
    Codec, CodecParams, Frame, Timestamp, TrackId,
    codec::{h264, h265, nal},
    rtp::{Depacketizer, Event, Header, Limits, Packet, Packetizer, clock_rate},
};

/// How long FFmpeg may take to listen. Far more than it needs, as the machine may be busy.
const PATIENCE: u32 = 3_000;

/// The frames and the parameters of a fixture, which is packets of another program.
fn frames(name: &str, codec: Codec) -> (CodecParams, Vec<Frame>) {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests/fixtures/rtp", &format!("{name}.rtp")].iter().collect();
    let bytes = std::fs::read(path).unwrap();
    let (mut rest, mut events) = (&bytes[..], Vec::new());
    let mut depacketizer = Depacketizer::new(codec, Limits::default()).unwrap();
    while let [high, low, after @ ..] = rest {
        let (packet, after) = after.split_at(u16::from_be_bytes([*high, *low]).into());
        let packet = Packet::parse(Bytes::copy_from_slice(packet)).unwrap();
        depacketizer.push(&packet, false, &mut events);
        rest = after;
    }
    let (mut params, mut frames) = (None, Vec::new());
    for event in events {
        match event {
            Event::Params(found) => params = Some(found),
            Event::Frame { timestamp, keyframe, payload } => {
                let pts = Timestamp::new(timestamp.into(), clock_rate(codec).unwrap());
                frames.push(Frame { track: TrackId::VIDEO, pts, dts: pts, keyframe, payload });
            }
            _ => {}
        }
    }
    (params.unwrap(), frames)
}

/// What FFmpeg should print of `frame`: its size and Adler-32 as a byte stream or, of AV1, with a temporal delimiter.
fn expected(params: &CodecParams, frame: &Frame) -> String {
    let sets = match params.codec {
        _ if !frame.keyframe => Vec::new(),
        Codec::H264 => {
            h264::Record::parse(&params.config).map(|record| [record.sps, record.pps].concat()).unwrap()
        }
        Codec::H265 => {
            let record = h265::Record::parse(&params.config).unwrap();
            [record.vps, record.sps, record.pps].concat()
        }
        _ => Vec::new(),
    };
    let mut bytes = Vec::new();
    sets.iter().for_each(|set| bytes.extend_from_slice(&[&[0, 0, 0, 1], &set[..]].concat()));
    match params.codec {
        Codec::H264 | Codec::H265 => bytes.extend_from_slice(&nal::to_annex_b(&frame.payload).unwrap()),
        Codec::Av1 => bytes.extend_from_slice(&[&[0x12, 0], &frame.payload[..]].concat()),
        _ => bytes.extend_from_slice(&frame.payload),
    }
    // As FFmpeg's framecrc has it: from 0, not from 1.
    let step = |(a, b): (u32, u32), byte: &u8| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    };
    let (a, b) = bytes.iter().fold((0, 0), step);
    format!("{} 0x{:08x}", bytes.len(), b << 16 | a)
}

/// The datagrams of `frames`.
fn datagrams(params: &CodecParams, frames: &[Frame], limit: usize) -> Vec<Vec<u8>> {
    let mut packetizer = Packetizer::new(params, limit).unwrap();
    let mut datagrams = Vec::new();
    for frame in frames {
        let mut payloads = Vec::new();
        packetizer.packetize(frame, &mut payloads);
        for payload in payloads {
            let seq = (datagrams.len() as u16).wrapping_add(65_530);
            let timestamp = frame.pts.ticks() as u32;
            let header = Header { marker: payload.marker, payload_type: 96, seq, timestamp, ssrc: 7 };
            let mut datagram = Vec::new();
            header.write(&[(1, &[0x85])], &mut datagram);
            datagram.extend_from_slice(&payload.bytes);
            datagrams.push(datagram);
        }
    }
    datagrams
}

fn description(codec: Codec, port: u16) -> String {
    let (media, map, parameters) = match codec {
        Codec::Av1 => ("video", "AV1/90000", None),
        Codec::H264 => ("video", "H264/90000", Some("packetization-mode=1")),
        Codec::H265 => ("video", "H265/90000", None),
        Codec::Vp8 => ("video", "VP8/90000", None),
        Codec::Vp9 => ("video", "VP9/90000", None),
        _ => ("audio", "opus/48000/2", None),
    };
    let mut sdp = format!(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm={media} {port} RTP/AVP 96\na=rtpmap:96 {map}\n"
    );
    if let Some(parameters) = parameters {
        writeln!(sdp, "a=fmtp:96 {parameters}").unwrap();
    }
    sdp
}

/// A port that is free, as is the one after it, which FFmpeg takes for RTCP.
fn free_port() -> u16 {
    loop {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() & !1;
        if [port, port + 1].iter().all(|port| UdpSocket::bind(("127.0.0.1", *port)).is_ok()) {
            return port;
        }
    }
}

/// A socket that is connected to `port` once somebody listens there: until then the system says that it refuses.
fn connect(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    for _ in 0..PATIENCE {
        // No RTP packet, and no receiver takes it for one.
        let sent = socket.send(&[0]);
        let heard = socket.recv(&mut [0; 64]);
        let refused = |result: std::io::Result<usize>| {
            result.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        };
        if !refused(sent) && !refused(heard) {
            return socket;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    panic!("nobody listens on port {port}")
}

/// Size and checksum of the frames that `ffmpeg` receives.
fn received(ffmpeg: &str, codec: Codec, name: &str, datagrams: &[Vec<u8>]) -> Vec<String> {
    let port = free_port();
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}_{port}.sdp"));
    std::fs::write(&path, description(codec, port)).unwrap();
    let mut command = Command::new(ffmpeg);
    command.args(["-nostdin", "-v", "error", "-protocol_whitelist", "file,udp,rtp"]);
    // It ends when nothing came for as many seconds.
    command.args(["-listen_timeout", "2", "-i"]).arg(&path);
    // Frames of VP9 are not told to be keyframes.
    command
        .args(["-c", "copy", "-copyinkf", "-f", "framecrc", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let socket = connect(port);
    for datagram in datagrams {
        socket.send(datagram).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let fields = |line: &str| line.split(',').map(|field| field.trim().to_owned()).collect::<Vec<_>>();
    let lines = printed.lines().filter(|line| !line.starts_with('#')).map(fields);
    lines.map(|fields| format!("{} {}", fields[4], fields[5])).collect()
}

fn modern_ffmpeg() -> String {
    std::env::var("FFMPEG9").unwrap_or_else(|_| {
        let print = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe(), end='')";
        let output = Command::new("python3").args(["-c", print]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    })
}

/// Each codec in a thread of its own: most of the time FFmpeg waits for more.
fn assert_received(ffmpeg: &str, codecs: &[(&str, Codec)]) {
    std::thread::scope(|scope| {
        for &(name, codec) in codecs {
            scope.spawn(move || {
                let (params, frames) = frames(name, codec);
                let expected: Vec<_> = frames.iter().map(|frame| expected(&params, frame)).collect();
                for limit in [64, 1_180] {
                    let datagrams = datagrams(&params, &frames, limit);
                    let found = received(ffmpeg, codec, name, &datagrams);
                    assert_eq!(found, expected, "{name} in payloads of {limit}");
                }
            });
        }
    });
}

#[test]
fn ffmpeg_takes_the_same_frames_out_of_our_packets() {
    // H.265 is for the modern one: the parser of the old moves a zero from the front of a frame to the end of that before.
    let codecs = [("h264", Codec::H264), ("vp8", Codec::Vp8), ("vp9", Codec::Vp9), ("opus", Codec::Opus)];
    assert_received("ffmpeg", &codecs);
}

#[test]
fn a_modern_ffmpeg_takes_the_same_frames_out_of_our_packets() {
    let codecs = [("h264", Codec::H264), ("h265", Codec::H265), ("vp8", Codec::Vp8), ("vp9", Codec::Vp9)];
    assert_received(&modern_ffmpeg(), &[&codecs[..], &[("av1", Codec::Av1)]].concat());
}
