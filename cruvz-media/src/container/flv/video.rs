//! The bodies of video tags: FLV 10.1 §E.4.3 and Enhanced RTMP v2 §Enhanced Video.

use bytes::Bytes;

use super::{
    CodecId, Error, TagKind,
    enhanced::{Part, Parts, take_mod_ex},
    packet::{Content, Packet, signed_24, take_array},
};
use crate::{Codec, TrackKind};

/// The bit of the first byte that says that the header is extended.
pub(super) const EXTENDED: u8 = 0x80;

/// Frame types, in bits 4 to 6 of the first byte.
pub(super) mod frame_type {
    pub(crate) const KEY: u8 = 1;
    pub(crate) const INTER: u8 = 2;
    /// A key frame made by a server for a seek.
    pub(crate) const GENERATED_KEY: u8 = 4;
    pub(crate) const COMMAND: u8 = 5;
}

/// CodecIDs of the legacy header that we read.
pub(super) mod codec_id {
    pub(crate) const AVC: u8 = 7;
    /// Not in any specification, but sent by many encoders before Enhanced RTMP, with the layout of AVC.
    pub(crate) const HEVC: u8 = 12;
}

/// AVCPacketTypes of the legacy header.
pub(super) mod avc {
    pub(crate) const SEQUENCE_HEADER: u8 = 0;
    pub(crate) const NALU: u8 = 1;
    pub(crate) const END: u8 = 2;
}

/// VideoPacketTypes of the extended header.
pub(super) mod packet_type {
    pub(crate) const SEQUENCE_START: u8 = 0;
    pub(crate) const CODED_FRAMES: u8 = 1;
    pub(crate) const SEQUENCE_END: u8 = 2;
    /// Coded frames with a composition time of 0 that is left out.
    pub(crate) const CODED_FRAMES_X: u8 = 3;
    pub(crate) const METADATA: u8 = 4;
    pub(crate) const MPEG2TS_SEQUENCE_START: u8 = 5;
    pub(crate) const MULTITRACK: u8 = 6;
}

/// The packets of one video tag.
#[derive(Debug)]
pub(super) enum Packets {
    /// At most one.
    Legacy(Option<Packet>),
    /// One for each track.
    Enhanced { parts: Parts, keyframe: bool, nanos: u32 },
}

/// The packets of the tag with this `body`; none for an empty body and for a command frame.
pub(super) fn packets(mut body: Bytes) -> Result<Packets, Error> {
    if body.is_empty() {
        return Ok(Packets::Legacy(None));
    }
    let [first] = take_array(&mut body, "header")?;
    let frame_type = first >> 4 & 0x07;
    let keyframe = matches!(frame_type, frame_type::KEY | frame_type::GENERATED_KEY);
    if first & EXTENDED == 0 {
        if frame_type == frame_type::COMMAND {
            return Ok(Packets::Legacy(None));
        }
        return legacy(first & 0x0f, keyframe, body).map(Some).map(Packets::Legacy);
    }
    let mut packet_type = first & 0x0f;
    let nanos = take_mod_ex(&mut packet_type, &mut body)?;
    if frame_type == frame_type::COMMAND && packet_type != packet_type::METADATA {
        return Ok(Packets::Legacy(None));
    }
    let parts = Parts::new(TrackKind::Video, packet_type, packet_type::MULTITRACK, body)?;
    Ok(Packets::Enhanced { parts, keyframe, nanos })
}

impl Iterator for Packets {
    type Item = Result<Packet, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Legacy(packet) => packet.take().map(Ok),
            Self::Enhanced { parts, keyframe, nanos } => {
                let part = parts.next()?;
                Some(part.and_then(|part| enhanced(part, *keyframe, *nanos)))
            }
        }
    }
}

fn legacy(codec_id: u8, keyframe: bool, mut body: Bytes) -> Result<Packet, Error> {
    let codec = match codec_id {
        codec_id::AVC => Codec::H264,
        codec_id::HEVC => Codec::H265,
        other => return Err(Error::UnsupportedCodec(CodecId::Video(other))),
    };
    let [packet_type] = take_array(&mut body, "packet type")?;
    // An end of sequence may come without the composition time that it has no use for.
    let content = if packet_type == avc::END {
        Content::End
    } else {
        let composition_ms = signed_24(take_array(&mut body, "composition time")?);
        match packet_type {
            avc::SEQUENCE_HEADER => Content::Config(body),
            avc::NALU => Content::Frame { keyframe, composition_ms, payload: body },
            value => return Err(Error::PacketType { kind: TagKind::Video, value }),
        }
    };
    Ok(Packet { number: 0, codec, nanos: 0, content })
}

fn enhanced(part: Part, keyframe: bool, nanos: u32) -> Result<Packet, Error> {
    let Part { number, codec, packet_type, mut body } = part;
    let content = match packet_type {
        packet_type::SEQUENCE_START => Content::Config(body),
        packet_type::CODED_FRAMES if has_composition_time(codec) => {
            let composition_ms = signed_24(take_array(&mut body, "composition time")?);
            Content::Frame { keyframe, composition_ms, payload: body }
        }
        packet_type::CODED_FRAMES | packet_type::CODED_FRAMES_X => {
            Content::Frame { keyframe, composition_ms: 0, payload: body }
        }
        packet_type::SEQUENCE_END => Content::End,
        packet_type::METADATA => Content::Metadata(body),
        packet_type::MPEG2TS_SEQUENCE_START => Content::TsDescriptor(body),
        value => return Err(Error::PacketType { kind: TagKind::Video, value }),
    };
    Ok(Packet { number, codec, nanos, content })
}

/// Whether coded frames of this codec come with a composition time: those that reorder pictures across packets.
pub(super) const fn has_composition_time(codec: Codec) -> bool {
    matches!(codec, Codec::H264 | Codec::H265)
}

/// What a legacy CodecID stands for.
pub(super) const fn legacy_name(id: u8) -> &'static str {
    match id {
        1 => "JPEG",
        2 => "Sorenson H.263",
        3 => "Screen Video",
        4 => "On2 VP6",
        5 => "On2 VP6 with alpha",
        6 => "Screen Video 2",
        7 => "H.264",
        12 => "H.265",
        _ => "unknown video codec",
    }
}
