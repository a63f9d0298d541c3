//! As much of FLV as it takes to know where frames are: ffmpeg sends it over TCP (`-f flv tcp://…`).

use std::io::{self, Read};

/// Bytes of the file's header and the length behind it, of a tag's header, and of the length behind each tag.
const FILE_HEADER: usize = 9 + 4;
const TAG_HEADER: usize = 11;
const BEHIND: usize = 4;
/// Bytes before the frame: of H.264 those of its codec, of Opus those of its name (Enhanced RTMP).
const FRAME_HEADER: usize = 5;
/// More is no picture of ours.
const MAX_BYTES: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Picture,
    Sound,
}

pub struct Reader<R>(R);

impl<R: Read> Reader<R> {
    pub fn new(mut from: R) -> io::Result<Self> {
        from.read_exact(&mut [0; FILE_HEADER])?;
        Ok(Self(from))
    }

    /// Reads the next frame into `frame`. Headers of codecs and metadata are passed over.
    pub fn next(&mut self, frame: &mut Vec<u8>) -> io::Result<Kind> {
        loop {
            let mut head = [0; TAG_HEADER];
            self.0.read_exact(&mut head)?;
            let bytes = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
            if bytes > MAX_BYTES {
                return Err(io::Error::other(format!("a tag of {bytes} bytes")));
            }
            frame.resize(bytes + BEHIND, 0);
            self.0.read_exact(frame)?;
            frame.truncate(bytes);
            let kind = match (head[0], &frame[..]) {
                (9, [_, 1, ..]) => Kind::Picture,
                // Coded frames of a codec with a name.
                (8, [0x91, ..]) => Kind::Sound,
                _ => continue,
            };
            frame.drain(..FRAME_HEADER.min(bytes));
            return Ok(kind);
        }
    }
}
