//! The four characters by which Enhanced RTMP names codecs.

use std::fmt;

use crate::{Codec, TrackKind};

/// A FourCC, as Enhanced RTMP writes it before a packet and in `fourCcList`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    /// The FourCC of `codec` (E-RTMP v2 §Enhanced Audio, §Enhanced Video), or `None` for script data.
    pub const fn of(codec: Codec) -> Option<Self> {
        Some(Self(*match codec {
            Codec::Aac => b"mp4a",
            Codec::Ac3 => b"ac-3",
            Codec::Av1 => b"av01",
            Codec::Eac3 => b"ec-3",
            Codec::Flac => b"fLaC",
            Codec::H264 => b"avc1",
            Codec::H265 => b"hvc1",
            Codec::Mp3 => b".mp3",
            Codec::Opus => b"Opus",
            Codec::Vp8 => b"vp08",
            Codec::Vp9 => b"vp09",
            Codec::ScriptData | Codec::TsData => return None,
        }))
    }

    /// The codec it names, where it is one that we carry.
    pub const fn codec(self) -> Option<Codec> {
        Some(match &self.0 {
            b"mp4a" => Codec::Aac,
            b"ac-3" => Codec::Ac3,
            b"av01" => Codec::Av1,
            b"ec-3" => Codec::Eac3,
            b"fLaC" => Codec::Flac,
            b"avc1" => Codec::H264,
            b"hvc1" => Codec::H265,
            b".mp3" => Codec::Mp3,
            b"Opus" => Codec::Opus,
            b"vp08" => Codec::Vp8,
            b"vp09" => Codec::Vp9,
            _ => return None,
        })
    }

    /// The codec it names, where it is one of `kind` that we carry.
    pub(super) fn codec_of(self, kind: TrackKind) -> Option<Codec> {
        self.codec().filter(|codec| codec.kind() == kind)
    }

    /// As a big-endian number, the form of `videocodecid` and `audiocodecid` in `onMetaData`.
    pub const fn to_number(self) -> u32 {
        u32::from_be_bytes(self.0)
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FourCc({self})")
    }
}
