//! Frames to payloads.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    av1, equal,
    nal::{self, Shape},
    vp8, vp9,
};
use crate::{
    Codec, CodecParams, Frame,
    codec::{h264, h265},
};

/// The payload that leaves room in a datagram of 1,280 bytes, the least IPv6 carries, for IP and UDP (48), the header with
/// a few extensions (32) and SRTP's tag (16).
pub const DEFAULT_PAYLOAD_BYTES: usize = 1_180;
/// The smallest limit that is kept to: room for every payload header and some payload.
pub const MIN_PAYLOAD_BYTES: usize = 64;
/// The largest: the lengths in aggregates have 16 bits, and so have those of datagrams.
const MAX_PAYLOAD_BYTES: usize = 65_000;

/// What one packet carries behind its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The bytes, shared: a slice of the frame, or of one buffer for all payloads of the frame.
    pub bytes: Bytes,
    /// The marker of its packet: the last one of a video frame has it.
    pub marker: bool,
    /// Bytes of padding that its packet is to have behind it, so that packets of the frame are equally long. Packets that
    /// are sent again by RFC 4588 have none.
    pub padding: u8,
}

/// Cuts the frames of one track into payloads, once for all who get them.
///
/// The packets of a frame are equally long, padding included, or the last one is shorter, as far as the format allows, so
/// that they can be sent as one run of segments. Parameter sets and sequence headers go before every
/// keyframe that does not bring them. Make a new one when the track's parameters change.
///
/// ```
/// use bytes::Bytes;
/// use cruvz_media::{Codec, Frame, Timestamp, TrackId, codec, rtp::Packetizer};
///
/// let params = codec::parse(Codec::Vp8, Bytes::new())?;
/// let mut packetizer = Packetizer::new(&params, 1_000).expect("VP8 has a payload format");
/// let (pts, payload) = (Timestamp::ZERO, Bytes::from_static(&[0; 1_500]));
/// let frame = Frame { track: TrackId::VIDEO, pts, dts: pts, keyframe: true, payload };
/// let mut payloads = Vec::new();
/// packetizer.packetize(&frame, &mut payloads);
/// assert_eq!(payloads.iter().map(|payload| payload.marker).collect::<Vec<_>>(), [false, true]);
/// # Ok::<(), codec::Error>(())
/// ```
#[derive(Debug)]
pub struct Packetizer {
    format: Format,
    max_payload: usize,
}

/// What a codec's payloads need beside the frame.
#[derive(Debug)]
enum Format {
    /// The OBUs of the configuration record.
    Av1(Bytes),
    /// The parameter sets.
    Nal(Shape, Vec<Bytes>),
    Opus,
    /// The picture id.
    Vp8(u16),
    /// The picture id.
    Vp9(u16),
}

impl Packetizer {
    /// For a track of these parameters and payloads of at most `max_payload` bytes, 64 to 65,000
    /// ([`DEFAULT_PAYLOAD_BYTES`] suits most networks); `None` where the codec has no payload format or its record is broken.
    pub fn new(params: &CodecParams, max_payload: usize) -> Option<Self> {
        let format = match params.codec {
            Codec::Av1 => Format::Av1(params.config.slice(params.config.len().min(av1::RECORD_BYTES)..)),
            Codec::H264 => {
                let record = h264::Record::parse(&params.config).ok()?;
                Format::Nal(Shape::H264, [record.sps, record.pps].concat())
            }
            Codec::H265 => {
                let record = h265::Record::parse(&params.config).ok()?;
                Format::Nal(Shape::H265, [record.vps, record.sps, record.pps].concat())
            }
            Codec::Opus => Format::Opus,
            Codec::Vp8 => Format::Vp8(0),
            Codec::Vp9 => Format::Vp9(0),
            _ => return None,
        };
        Some(Self { format, max_payload: max_payload.clamp(MIN_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES) })
    }

    /// Appends the payloads of `frame`: none where it is empty or its bytes are not what its codec has.
    ///
    /// A packet of Opus is never cut (RFC 7587 §4.2) and may go beyond the limit: one of 20 ms has up to 1,275 bytes. Those of
    /// more than the largest datagram are left out.
    pub fn packetize(&mut self, frame: &Frame, out: &mut Vec<Payload>) {
        let before = out.len();
        let mut writer = Writer { out, buffer: BytesMut::new(), limit: self.max_payload };
        match &mut self.format {
            Format::Av1(headers) => av1::packetize(headers, frame, &mut writer),
            Format::Nal(shape, sets) => nal::packetize(*shape, sets, frame, &mut writer),
            Format::Opus if (1..=MAX_PAYLOAD_BYTES).contains(&frame.payload.len()) => {
                // The marker would begin a talkspurt, which nobody tells us of (RFC 7587 §4.1).
                writer.whole(frame.payload.clone());
                return;
            }
            Format::Opus => {}
            Format::Vp8(picture) => vp8::packetize(picture, frame, &mut writer),
            Format::Vp9(picture) => vp9::packetize(picture, frame, &mut writer),
        }
        let payloads = &mut out[before..];
        equal::pad(payloads);
        if let Some(last) = payloads.last_mut() {
            last.marker = true;
        }
    }
}

/// Where payload formats put the payloads of one frame.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<Payload>,
    /// The payload under way. Those before it share its memory.
    pub(super) buffer: BytesMut,
    /// The most bytes a payload may have.
    pub(super) limit: usize,
}

impl Writer<'_> {
    /// Adds a payload that exists already.
    pub(super) fn whole(&mut self, bytes: Bytes) {
        self.out.push(Payload { bytes, marker: false, padding: 0 });
    }

    /// Ends the payload under way.
    pub(super) fn end(&mut self) {
        let bytes = self.buffer.split().freeze();
        self.whole(bytes);
    }

    /// Cuts `bytes` into equal payloads with a shorter last one, and has `header` put what goes before each: it is told whether
    /// the piece is the first and whether it is the last. It always puts `header_bytes`.
    pub(super) fn pieces(
        &mut self,
        bytes: &[u8],
        header_bytes: usize,
        header: impl Fn(&mut BytesMut, bool, bool),
    ) {
        let size = even(bytes.len(), self.limit - header_bytes);
        self.cut(bytes, size, header_bytes, header);
    }

    /// The same with pieces of `size`.
    pub(super) fn cut(
        &mut self,
        bytes: &[u8],
        size: usize,
        header_bytes: usize,
        header: impl Fn(&mut BytesMut, bool, bool),
    ) {
        let pieces = bytes.len().div_ceil(size);
        self.buffer.reserve(bytes.len() + pieces * header_bytes);
        for (number, piece) in bytes.chunks(size).enumerate() {
            header(&mut self.buffer, number == 0, number + 1 == pieces);
            self.buffer.put_slice(piece);
            self.end();
        }
    }
}

/// The size of the pieces of `bytes` when they are as few as pieces of `most` and as equal as can be.
pub(super) const fn even(bytes: usize, most: usize) -> usize {
    match bytes.div_ceil(most) {
        0 => 1,
        pieces => bytes.div_ceil(pieces),
    }
}
