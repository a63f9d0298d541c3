//! The test stream: 2.16 Mbit/s, 77 messages per second, and no encoder.
//!
//! H.264 1280x720 at 30 fps with a keyframe every second, AAC at 48 kHz. The headers are real ones (x264, main profile),
//! so servers see codecs, keyframes and a resolution; the rest of each picture is filler that no decoder would like.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use cruvz_core::protocol::rtmp::{MediaKind, chunk::write_message, message::kind};

use crate::stamp::{STAMP_BYTES, Stamp};

const FPS: u32 = 30;
const AUDIO_HZ: u32 = 48_000;
/// Samples in an AAC frame.
const AUDIO_SAMPLES: u32 = 1024;
const AUDIO_BYTES: usize = 341;
const KEYFRAME_BYTES: usize = 45_000;
const PICTURE_BYTES: usize = 7_200;
/// What a viewer of the stream gets per second, in bytes: 2.16 Mbit/s without containers.
pub(crate) const BYTES_PER_S: usize = KEYFRAME_BYTES
    + (FPS as usize - 1) * PICTURE_BYTES
    + AUDIO_BYTES * AUDIO_HZ as usize / AUDIO_SAMPLES as usize;

/// `ffmpeg -f lavfi -i testsrc2=s=1280x720:r=30 -c:v libx264 -profile:v main -bf 0 -g 30`: the avcC.
const AVC_RECORD: &[u8] =
    b"\x01\x4d\x40\x1f\xff\xe1\x00\x19\x67\x4d\x40\x1f\xd9\x00\x50\x05\xbb\x01\x10\x00\x00\x03\x00\x10\
    \x00\x00\x03\x03\xc0\xf1\x83\x24\x80\x01\x00\x05\x68\xeb\xc3\xcb\x20";
/// AAC-LC, 48 kHz, stereo.
const AUDIO_CONFIG: &[u8] = &[0x11, 0x90];
/// A slice's NAL header, and `first_mb_in_slice` 0 with `slice_type` I or P as Exp-Golomb codes.
const KEY_SLICE: &[u8] = &[0x65, 0x88];
const SLICE: &[u8] = &[0x41, 0x9a];
/// No two zeros in a row, so nothing needs escaping.
const FILLER: u8 = 0x5b;

/// A stream's clock work: which message comes next, and when.
pub(crate) struct Synthetic {
    start: Duration,
    pictures: u32,
    sounds: u32,
    filler: Vec<u8>,
}

/// Audio or video for a server, as the body of an RTMP message or FLV tag.
pub(crate) struct Outgoing<'a> {
    pub(crate) kind: MediaKind,
    pub(crate) timestamp_ms: u32,
    pub(crate) body: &'a [u8],
}

impl Synthetic {
    /// A stream whose first message is due at `start`.
    pub(crate) fn new(start: Duration) -> Self {
        let filler = (0..KEYFRAME_BYTES).map(|n| FILLER ^ (n % 31) as u8).collect();
        Self { start, pictures: 0, sounds: 0, filler }
    }

    /// The sequence headers of both codecs.
    pub(crate) fn headers() -> [(MediaKind, Vec<u8>); 2] {
        let video = [&[0x17, 0, 0, 0, 0], AVC_RECORD].concat();
        let audio = [&[0xaf, 0], AUDIO_CONFIG].concat();
        [(MediaKind::Video, video), (MediaKind::Audio, audio)]
    }

    fn picture_time(&self) -> Duration {
        Duration::from_secs(1) * self.pictures / FPS
    }

    fn sound_time(&self) -> Duration {
        Duration::from_secs(1) * self.sounds * AUDIO_SAMPLES / AUDIO_HZ
    }

    /// When the next message is to be sent.
    pub(crate) fn due(&self) -> Duration {
        self.start + self.picture_time().min(self.sound_time())
    }

    /// Makes the next message in `body`, stamped with the wall clock `unix_us`.
    pub(crate) fn next<'a>(&mut self, unix_us: i64, body: &'a mut Vec<u8>) -> Outgoing<'a> {
        body.clear();
        let (kind, time) = if self.picture_time() <= self.sound_time() {
            (MediaKind::Video, self.put_picture(unix_us, body))
        } else {
            (MediaKind::Audio, self.put_sound(body))
        };
        Outgoing { kind, timestamp_ms: time.as_millis() as u32, body }
    }

    fn put_sound(&mut self, body: &mut Vec<u8>) -> Duration {
        let time = self.sound_time();
        body.extend_from_slice(&[0xaf, 1]);
        body.extend_from_slice(&self.filler[..AUDIO_BYTES]);
        self.sounds += 1;
        time
    }

    fn put_picture(&mut self, unix_us: i64, body: &mut Vec<u8>) -> Duration {
        let (time, number) = (self.picture_time(), self.pictures);
        let keyframe = number.is_multiple_of(FPS);
        let (first, slice, bytes) =
            if keyframe { (0x17, KEY_SLICE, KEYFRAME_BYTES) } else { (0x27, SLICE, PICTURE_BYTES) };
        let sei = Stamp { sent_unix_us: unix_us, number, bytes: bytes as u32 }.nal();
        debug_assert!(sei.len() >= STAMP_BYTES);
        body.extend_from_slice(&[first, 1, 0, 0, 0]);
        body.put_u32(sei.len() as u32);
        body.extend_from_slice(&sei);
        let rest = bytes - 4 - sei.len() - 4;
        let tail = Stamp::tail(number);
        body.put_u32(rest as u32);
        body.extend_from_slice(slice);
        body.extend_from_slice(&self.filler[..rest - slice.len() - tail.len()]);
        body.extend_from_slice(&tail);
        self.pictures += 1;
        time
    }
}

/// How messages stand on a wire that has no handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// RTMP chunks of up to 64 KiB, as a server sends them after the commands.
    Chunks,
    /// An HTTP response with an FLV body.
    Flv,
}

const CHUNK_SIZE: u32 = 65_536;

impl Wire {
    /// What every viewer gets first.
    pub(crate) fn prologue(self) -> BytesMut {
        let mut out = BytesMut::new();
        match self {
            Self::Chunks => {
                out.put_slice(&[2, 0, 0, 0, 0, 0, 4, kind::SET_CHUNK_SIZE, 0, 0, 0, 0]);
                out.put_u32(CHUNK_SIZE);
            }
            Self::Flv => {
                out.put_slice(b"HTTP/1.1 200 OK\r\ncontent-type: video/x-flv\r\nconnection: close\r\n\r\n");
                out.put_slice(b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
            }
        }
        for (kind, body) in Synthetic::headers() {
            self.put(&mut out, &Outgoing { kind, timestamp_ms: 0, body: &body });
        }
        out
    }

    /// Appends one message.
    pub(crate) fn put(self, out: &mut BytesMut, message: &Outgoing<'_>) {
        let Outgoing { kind, timestamp_ms, body } = *message;
        match self {
            Self::Chunks => {
                write_message(out, &kind.header(timestamp_ms, 1), &[body], CHUNK_SIZE)
                    .expect("our messages are short");
            }
            Self::Flv => {
                out.put_u8(kind.header(0, 0).kind);
                out.put_uint(body.len() as u64, 3);
                out.put_uint(u64::from(timestamp_ms & 0x00ff_ffff), 3);
                out.put_u8((timestamp_ms >> 24) as u8);
                out.put_uint(0, 3);
                out.put_slice(body);
                out.put_u32(body.len() as u32 + 11);
            }
        }
    }
}
