//! What one track gets from one tag, whatever form the tag has.

use bytes::Bytes;

use super::Error;
use crate::Codec;

/// One track's part of a tag.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Packet {
    /// The track's number on the wire; 0 outside multitrack.
    pub(super) number: u8,
    pub(super) codec: Codec,
    /// Nanoseconds to add to the tag's time, 0 to 16,777,215 (E-RTMP v2 TimestampOffsetNano; real ones < 1,000,000).
    pub(super) nanos: u32,
    pub(super) content: Content,
}

/// What a [`Packet`] is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// The decoder configuration record.
    Config(Bytes),
    /// The AV1 video descriptor of MPEG-TS, in place of a configuration record.
    TsDescriptor(Bytes),
    /// How many channels there are, where the codec does not say (E-RTMP v2 MultichannelConfig).
    Channels(u8),
    /// A coded frame.
    Frame { keyframe: bool, composition_ms: i32, payload: Bytes },
    /// AMF0 pairs of name and value about the pictures to come, such as `colorInfo`.
    Metadata(Bytes),
    /// The sequence is over.
    End,
}

/// Takes the first `count` bytes off `body`.
pub(super) fn take(body: &mut Bytes, count: usize, field: &'static str) -> Result<Bytes, Error> {
    if body.len() < count {
        return Err(Error::Truncated(field));
    }
    Ok(body.split_to(count))
}

/// Takes `N` bytes off the front of `body`.
pub(super) fn take_array<const N: usize>(body: &mut Bytes, field: &'static str) -> Result<[u8; N], Error> {
    let array = *body.first_chunk().ok_or(Error::Truncated(field))?;
    let _ = body.split_to(N);
    Ok(array)
}

/// The signed 24-bit number of `bytes`, as composition times have it.
pub(super) const fn signed_24([a, b, c]: [u8; 3]) -> i32 {
    // Shifted down again as a signed number, the sign fills the top byte.
    i32::from_be_bytes([a, b, c, 0]) >> 8
}
