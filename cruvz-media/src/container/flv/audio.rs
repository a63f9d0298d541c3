//! The bodies of audio tags: FLV 10.1 §E.4.2 and Enhanced RTMP v2 §Enhanced Audio.

use bytes::Bytes;

use super::{
    CodecId, Error, TagKind,
    enhanced::{Part, Parts, take_mod_ex},
    packet::{Content, Packet, take_array},
};
use crate::{AudioFormat, Codec, TrackKind};

/// SoundFormats, in the upper half of the first byte.
pub(super) mod sound_format {
    pub(crate) const MP3: u8 = 2;
    /// The header is extended.
    pub(crate) const EXTENDED: u8 = 9;
    pub(crate) const AAC: u8 = 10;
    pub(crate) const MP3_8_KHZ: u8 = 14;
}

/// AACPacketTypes of the legacy header.
pub(super) mod aac {
    pub(crate) const SEQUENCE_HEADER: u8 = 0;
    pub(crate) const RAW: u8 = 1;
}

/// AudioPacketTypes of the extended header.
pub(super) mod packet_type {
    pub(crate) const SEQUENCE_START: u8 = 0;
    pub(crate) const CODED_FRAMES: u8 = 1;
    pub(crate) const SEQUENCE_END: u8 = 2;
    pub(crate) const MULTICHANNEL_CONFIG: u8 = 4;
    pub(crate) const MULTITRACK: u8 = 5;
}

/// The first byte of every legacy AAC tag: 44 kHz, 16 bits and stereo, whatever is inside (FLV 10.1 §E.4.2.1).
pub(super) const AAC_HEADER: u8 = sound_format::AAC << 4 | 0x0f;

/// The packets of one audio tag.
#[derive(Debug)]
pub(super) enum Packets {
    /// At most one.
    Legacy(Option<Packet>),
    /// One for each track.
    Enhanced { parts: Parts, nanos: u32 },
}

/// The packets of the tag with this `body`; none for an empty body, which announces silence.
pub(super) fn packets(mut body: Bytes) -> Result<Packets, Error> {
    if body.is_empty() {
        return Ok(Packets::Legacy(None));
    }
    let [first] = take_array(&mut body, "header")?;
    if first >> 4 != sound_format::EXTENDED {
        return legacy(first >> 4, body).map(Some).map(Packets::Legacy);
    }
    let mut packet_type = first & 0x0f;
    let nanos = take_mod_ex(&mut packet_type, &mut body)?;
    let parts = Parts::new(TrackKind::Audio, packet_type, packet_type::MULTITRACK, body)?;
    Ok(Packets::Enhanced { parts, nanos })
}

impl Iterator for Packets {
    type Item = Result<Packet, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Legacy(packet) => packet.take().map(Ok),
            Self::Enhanced { parts, nanos } => {
                let part = parts.next()?;
                Some(part.and_then(|part| enhanced(part, *nanos)))
            }
        }
    }
}

const fn frame(payload: Bytes) -> Content {
    Content::Frame { keyframe: true, composition_ms: 0, payload }
}

fn legacy(sound_format: u8, mut body: Bytes) -> Result<Packet, Error> {
    let (codec, content) = match sound_format {
        sound_format::AAC => {
            let [packet_type] = take_array(&mut body, "packet type")?;
            let content = match packet_type {
                aac::SEQUENCE_HEADER => Content::Config(body),
                aac::RAW => frame(body),
                value => return Err(Error::PacketType { kind: TagKind::Audio, value }),
            };
            (Codec::Aac, content)
        }
        sound_format::MP3 | sound_format::MP3_8_KHZ => (Codec::Mp3, frame(body)),
        other => return Err(Error::UnsupportedCodec(CodecId::Audio(other))),
    };
    Ok(Packet { number: 0, codec, nanos: 0, content })
}

fn enhanced(part: Part, nanos: u32) -> Result<Packet, Error> {
    let Part { number, codec, packet_type, mut body } = part;
    let content = match packet_type {
        packet_type::SEQUENCE_START => Content::Config(body),
        packet_type::CODED_FRAMES => frame(body),
        packet_type::SEQUENCE_END => Content::End,
        packet_type::MULTICHANNEL_CONFIG => {
            let [_order, channels] = take_array(&mut body, "channel configuration")?;
            Content::Channels(channels)
        }
        value => return Err(Error::PacketType { kind: TagKind::Audio, value }),
    };
    Ok(Packet { number, codec, nanos, content })
}

/// The first byte of a legacy MP3 tag. Sampling rates that FLV has no code for are given the nearest one: decoders
/// read the frame's own header.
pub(super) const fn mp3_header(format: &AudioFormat) -> u8 {
    let (sound_format, rate) = match format.sample_rate_hz {
        0..=8_000 => (sound_format::MP3_8_KHZ, 0),
        8_001..=16_000 => (sound_format::MP3, 1),
        16_001..=31_999 => (sound_format::MP3, 2),
        _ => (sound_format::MP3, 3),
    };
    let sixteen_bits = 1;
    let stereo = if format.channels > 1 { 1 } else { 0 };
    sound_format << 4 | rate << 2 | sixteen_bits << 1 | stereo
}

/// What a legacy SoundFormat stands for.
pub(super) const fn legacy_name(id: u8) -> &'static str {
    match id {
        0 | 3 => "PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        7 => "G.711 A-law",
        8 => "G.711 mu-law",
        10 => "AAC",
        11 => "Speex",
        15 => "device-specific sound",
        _ => "unknown audio codec",
    }
}
