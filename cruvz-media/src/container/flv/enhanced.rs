//! What the extended audio and video headers of Enhanced RTMP v2 have in common: ModEx, multitrack, FourCC.

use bytes::Bytes;

use super::{
    CodecId, Error, FourCc,
    packet::{take, take_array},
};
use crate::{Codec, TrackKind};

/// The packet type that extends the header, of both audio and video.
const MOD_EX: u8 = 7;
/// The only ModEx type there is: nanoseconds to add to the time.
const TIMESTAMP_OFFSET_NANO: u8 = 0;

const ONE_TRACK: u8 = 0;
const MANY_TRACKS: u8 = 1;
const MANY_TRACKS_MANY_CODECS: u8 = 2;

/// Parts in one message: a track id has 8 bits and each track needs one part.
const MAX_PARTS: usize = 256;

/// Takes the ModEx extensions off the front of `body`; `packet_type` becomes the one after them. Unknown extensions
/// are passed over by their size. Returns the nanosecond offset.
pub(super) fn take_mod_ex(packet_type: &mut u8, body: &mut Bytes) -> Result<u32, Error> {
    const FIELD: &str = "ModEx";
    let mut nanos = 0;
    while *packet_type == MOD_EX {
        let [size] = take_array(body, FIELD)?;
        let mut size = usize::from(size) + 1;
        if size == 256 {
            size = usize::from(u16::from_be_bytes(take_array(body, FIELD)?)) + 1;
        }
        let data = take(body, size, FIELD)?;
        let [types] = take_array(body, FIELD)?;
        *packet_type = types & 0x0f;
        if types >> 4 == TIMESTAMP_OFFSET_NANO {
            let &[a, b, c] = data.first_chunk().ok_or(Error::Truncated("nanosecond offset"))?;
            nanos = u32::from_be_bytes([0, a, b, c]);
        }
    }
    Ok(nanos)
}

/// One track's share of a message, after its headers.
#[derive(Debug)]
pub(super) struct Part {
    /// The track's number; 0 outside multitrack.
    pub(super) number: u8,
    pub(super) codec: Codec,
    /// The packet type, which all parts of a message share.
    pub(super) packet_type: u8,
    pub(super) body: Bytes,
}

/// The parts of an extended message, after its first byte and ModEx.
#[derive(Debug)]
pub(super) struct Parts {
    kind: TrackKind,
    packet_type: u8,
    /// The type of multitrack, or `None` for a message with one part and no track id.
    multitrack: Option<u8>,
    /// The FourCC that all parts share, unless each has its own.
    fourcc: Option<FourCc>,
    rest: Bytes,
    left: usize,
}

impl Parts {
    /// Reads what comes before the first part. `multitrack_type` is the packet type that announces multitrack.
    pub(super) fn new(
        kind: TrackKind,
        mut packet_type: u8,
        multitrack_type: u8,
        mut body: Bytes,
    ) -> Result<Self, Error> {
        let mut multitrack = None;
        if packet_type == multitrack_type {
            let [types] = take_array(&mut body, "multitrack type")?;
            packet_type = types & 0x0f;
            multitrack = Some(types >> 4);
            if types >> 4 > MANY_TRACKS_MANY_CODECS || packet_type == multitrack_type || packet_type == MOD_EX
            {
                return Err(Error::Multitrack(types));
            }
        }
        let fourcc = match multitrack {
            Some(MANY_TRACKS_MANY_CODECS) => None,
            _ => Some(take_fourcc(&mut body)?),
        };
        let left = match multitrack {
            None | Some(ONE_TRACK) => 1,
            Some(_) => MAX_PARTS,
        };
        Ok(Self { kind, packet_type, multitrack, fourcc, rest: body, left })
    }

    fn part(&mut self) -> Result<Part, Error> {
        let fourcc = match self.fourcc {
            Some(fourcc) => fourcc,
            None => take_fourcc(&mut self.rest)?,
        };
        let number = match self.multitrack {
            None => 0,
            Some(_) => u8::from_be_bytes(take_array(&mut self.rest, "track id")?),
        };
        let body = match self.multitrack {
            None | Some(ONE_TRACK) => std::mem::take(&mut self.rest),
            Some(_) => {
                let [a, b, c] = take_array(&mut self.rest, "track size")?;
                let size = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                take(&mut self.rest, size, "track")?
            }
        };
        let codec = fourcc.codec_of(self.kind).ok_or(Error::UnsupportedCodec(CodecId::FourCc(fourcc)))?;
        Ok(Part { number, codec, packet_type: self.packet_type, body })
    }
}

/// The parts in order. A part of an unsupported codec is an error in its place, and the parts after it follow;
/// what cannot be read ends the message.
impl Iterator for Parts {
    type Item = Result<Part, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let many = matches!(self.multitrack, Some(MANY_TRACKS | MANY_TRACKS_MANY_CODECS));
        if many && self.rest.is_empty() {
            return None;
        }
        if self.left == 0 {
            let over = many.then_some(Err(Error::Parts(MAX_PARTS)));
            self.rest.clear();
            return over;
        }
        self.left -= 1;
        let part = self.part();
        if matches!(part, Err(Error::Truncated(_))) {
            self.rest.clear();
        }
        Some(part)
    }
}

fn take_fourcc(body: &mut Bytes) -> Result<FourCc, Error> {
    take_array(body, "FourCC").map(FourCc)
}

/// Appends the header of a one-track multitrack message after its first byte to `header`.
pub(super) const fn one_track(packet_type: u8, FourCc([a, b, c, d]): FourCc, number: u8) -> [u8; 6] {
    [ONE_TRACK << 4 | packet_type, a, b, c, d, number]
}
