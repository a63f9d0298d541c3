//! Opus in PES packets: access units behind control headers (ETSI TS 103 491 is the descriptor's home; the header is the
//! one of "Opus in MPEG-TS", as FFmpeg and OBS write it).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    Counters,
    elementary::{Access, Output, REGISTRATION, Unit, UnitClock},
    psi::StreamInfo,
};
use crate::{Codec, CodecParams, codec};

/// extension_descriptor (ETSI EN 300 468 §6.2.16), and the tag under it that Opus took.
const EXTENSION: u8 = 0x7F;
const OPUS_EXTENSION: u8 = 0x80;
/// control_header_prefix, in the upper 11 bits.
const PREFIX: u16 = 0x3FF << 5;
const PREFIX_MASK: u16 = 0xFFE0;
const START_TRIM: u16 = 1 << 4;
const END_TRIM: u16 = 1 << 3;
const EXTENDED: u16 = 1 << 2;

/// Streams, coupled streams and channel order by channel count, as in mapping family 1 (RFC 7845 §5.1.1.2).
const MAPPINGS: [&[u8]; 9] = [
    &[],
    &[1, 0, 0],
    &[1, 1, 0, 1],
    &[2, 1, 0, 2, 1],
    &[2, 2, 0, 1, 2, 3],
    &[3, 2, 0, 4, 1, 2, 3],
    &[4, 2, 0, 4, 1, 2, 3, 5],
    &[4, 3, 0, 4, 1, 2, 3, 5, 6],
    &[5, 3, 0, 6, 1, 2, 3, 4, 5, 7],
];

/// Takes the control headers off.
#[derive(Debug)]
pub(super) struct Parser {
    params: CodecParams,
    clock: UnitClock,
}

impl Parser {
    /// For a stream whose descriptors tell how many channels it has; `None` where they do not or it is an odd number of
    /// them.
    pub(super) fn of(info: &StreamInfo) -> Option<Self> {
        let mut contents = info.descriptors().filter(|(tag, _)| *tag == EXTENSION);
        let code = contents.find_map(|(_, content)| match *content {
            [OPUS_EXTENSION, code, ..] => Some(code),
            _ => None,
        })?;
        let params = codec::parse(Codec::Opus, head(code)?).ok()?;
        Some(Self { params, clock: UnitClock::default() })
    }

    pub(super) const fn params(&self) -> &CodecParams {
        &self.params
    }

    pub(super) fn lose(&mut self) {
        self.clock.forget();
    }

    pub(super) fn push(&mut self, access: &Access, counters: &mut Counters, out: &mut Vec<Output>) {
        if let Some(moment) = access.moment {
            self.clock.set(moment.pts);
        }
        let mut rest = access.payload.clone();
        while !rest.is_empty() {
            let unit = unit(&mut rest);
            let samples = unit.as_ref().and_then(|unit| codec::opus::samples(unit));
            let (Some(payload), Some(samples)) = (unit, samples) else {
                counters.malformed += 1;
                return;
            };
            match self.clock.next(samples, 48_000) {
                Some(pts) => {
                    // A copy: a slice would keep its PES packet, of which the rest may be garbage.
                    let payload = Bytes::copy_from_slice(&payload);
                    out.push(Output::Unit(Unit { pts, dts: pts, keyframe: true, payload }));
                }
                None => counters.untimed += 1,
            }
        }
    }
}

/// Takes the next access unit off `bytes`; `None` when its header or its length is wrong.
fn unit(bytes: &mut Bytes) -> Option<Bytes> {
    let flags = bytes.try_get_u16().ok()?;
    if flags & PREFIX_MASK != PREFIX {
        return None;
    }
    // au_size: bytes of 255 and one of less.
    let mut size = 0;
    loop {
        let byte = bytes.try_get_u8().ok()?;
        size += usize::from(byte);
        if byte < 255 {
            break;
        }
    }
    // A live stream joined in its midst has nothing to trim.
    let trims = [START_TRIM, END_TRIM].into_iter().filter(|flag| flags & flag != 0).count();
    let mut skipped = 2 * trims;
    if flags & EXTENDED != 0 {
        skipped += 1 + usize::from(*bytes.get(skipped)?);
    }
    bytes.get(skipped..skipped + size)?;
    bytes.advance(skipped);
    Some(bytes.split_to(size))
}

/// The OpusHead that a channel_config_code stands for; `None` where it is not one of those in use.
fn head(code: u8) -> Option<Bytes> {
    // 0: two channels that are no stereo pair.
    let (channels, family, mapping): (_, _, &[u8]) = match code {
        0 => (2, 255, &[2, 0, 0, 1]),
        1 | 2 => (code, 0, &[]),
        _ => (code, 1, MAPPINGS.get(usize::from(code))?),
    };
    let head = codec::opus::Head {
        channels,
        // Nothing is to be dropped from a stream joined in its midst.
        pre_skip: 0,
        input_sample_rate_hz: 48_000,
        output_gain: 0,
        mapping_family: family,
        mapping: Bytes::from_static(mapping),
    };
    Some(head.to_bytes())
}

/// The descriptors of a stream with this OpusHead; `None` where no code stands for its channel mapping.
pub(super) fn descriptors(config: &Bytes) -> Option<Bytes> {
    let head = codec::opus::Head::parse(config).ok()?;
    let code = match head.mapping_family {
        0 => head.channels,
        1 if MAPPINGS.get(usize::from(head.channels)).is_some_and(|known| *known == head.mapping) => {
            head.channels
        }
        255 if head.mapping[..] == [2, 0, 0, 1] => 0,
        _ => return None,
    };
    let mut descriptors = BytesMut::from(&[REGISTRATION, 4][..]);
    descriptors.put_slice(b"Opus");
    descriptors.put_slice(&[EXTENSION, 2, OPUS_EXTENSION, code]);
    Some(descriptors.freeze())
}

/// Puts a control header for `packet` before it.
pub(super) fn put_header(packet: &[u8], out: &mut BytesMut) {
    out.put_u16(PREFIX);
    out.put_bytes(255, packet.len() / 255);
    out.put_u8((packet.len() % 255) as u8);
}
