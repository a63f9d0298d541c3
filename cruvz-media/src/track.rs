//! Tracks: what a stream consists of, and what a decoder must know before the first frame.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::Timescale;

/// Names a [`Track`] within its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u32);

impl TrackId {
    /// The first video track, by convention of every ingest.
    pub const VIDEO: Self = Self(1);
    /// The first audio track, by convention of every ingest.
    pub const AUDIO: Self = Self(2);
    /// The script data track of RTMP and FLV, by convention.
    pub const DATA: Self = Self(3);
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// Sound.
    Audio,
    /// Timed data: script tags and, later, ID3, SCTE-35, captions.
    Data,
    /// Pictures.
    Video,
}

/// The coding of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// AAC (ISO/IEC 14496-3).
    Aac,
    /// AC-3 (ETSI TS 102 366).
    Ac3,
    /// AV1.
    Av1,
    /// Enhanced AC-3 (ETSI TS 102 366 annex E).
    Eac3,
    /// FLAC (RFC 9639).
    Flac,
    /// H.264 / AVC (ISO/IEC 14496-10).
    H264,
    /// H.265 / HEVC (ISO/IEC 23008-2).
    H265,
    /// MPEG-1/2 layer III.
    Mp3,
    /// Opus (RFC 6716).
    Opus,
    /// FLV script data: AMF0 values such as `onMetaData`.
    ScriptData,
    /// Data of an MPEG-TS stream, handed on as it came: timed metadata, SCTE 35, private streams.
    TsData,
    /// VP8 (RFC 6386).
    Vp8,
    /// VP9.
    Vp9,
}

impl Codec {
    /// Whether it codes video, audio or data.
    pub const fn kind(self) -> TrackKind {
        match self {
            Self::Av1 | Self::H264 | Self::H265 | Self::Vp8 | Self::Vp9 => TrackKind::Video,
            Self::Aac | Self::Ac3 | Self::Eac3 | Self::Flac | Self::Mp3 | Self::Opus => TrackKind::Audio,
            Self::ScriptData | Self::TsData => TrackKind::Data,
        }
    }

    /// The name people know it by, as shown in the API and on pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aac => "AAC",
            Self::Ac3 => "AC-3",
            Self::Av1 => "AV1",
            Self::Eac3 => "E-AC-3",
            Self::Flac => "FLAC",
            Self::H264 => "H.264",
            Self::H265 => "H.265",
            Self::Mp3 => "MP3",
            Self::Opus => "Opus",
            Self::ScriptData => "script data",
            Self::TsData => "MPEG-TS data",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The shape of a video track, as its parameter sets state it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoFormat {
    /// Width in luma samples after cropping.
    pub width: u32,
    /// Height in luma samples after cropping.
    pub height: u32,
    /// Frames per second as a fraction, where the headers state it.
    pub frame_rate: Option<(u32, u32)>,
    /// How many frames may be shown after a later one was decoded; 0: no B-frame reordering. `None`: not stated.
    pub reorder_depth: Option<u8>,
}

/// The shape of an audio track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudioFormat {
    /// Samples per second as played (after SBR); 0 where only a frame tells ([`crate::codec::complete`]).
    pub sample_rate_hz: u32,
    /// Channels as played.
    pub channels: u8,
    /// Samples in one frame at `sample_rate_hz`, where it is constant (AAC 1024 or 2048, MP3 1152 or 576, AC-3 1536).
    pub samples_per_frame: Option<u32>,
}

/// What the headers say of the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Sound.
    Audio(AudioFormat),
    /// Timed data.
    Data,
    /// Pictures.
    Video(VideoFormat),
}

/// Everything a decoder must know before the first frame.
///
/// Made by `codec::parse`, so that what it says was read from the record, not assumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecParams {
    /// The coding.
    pub codec: Codec,
    /// The decoder configuration record: avcC, hvcC, av1C, vpcC, AudioSpecificConfig, OpusHead, dfLa's STREAMINFO,
    /// dac3, dec3; the stream_type of MPEG-TS data and its descriptors; empty where the codec needs none (MP3, VP8,
    /// script data).
    pub config: Bytes,
    /// What the record says of the media.
    pub format: Format,
    /// The codec string of RFC 6381, as in `avc1.64001f`; empty for data.
    pub rfc6381: String,
}

impl CodecParams {
    /// The parameters of a script data track.
    pub fn script_data() -> Self {
        Self { codec: Codec::ScriptData, config: Bytes::new(), format: Format::Data, rfc6381: String::new() }
    }

    /// The parameters of a data track of MPEG-TS: `config` is its stream_type and then its descriptors, as a program map
    /// has them (ISO/IEC 13818-1 §2.4.4.8).
    pub fn ts_data(config: Bytes) -> Self {
        Self { codec: Codec::TsData, config, format: Format::Data, rfc6381: String::new() }
    }

    /// The video format, if it is video.
    pub const fn video(&self) -> Option<&VideoFormat> {
        match &self.format {
            Format::Video(video) => Some(video),
            Format::Audio(_) | Format::Data => None,
        }
    }

    /// The audio format, if it is audio.
    pub const fn audio(&self) -> Option<&AudioFormat> {
        match &self.format {
            Format::Audio(audio) => Some(audio),
            Format::Video(_) | Format::Data => None,
        }
    }
}

/// One audio, video or data sequence of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its name within the stream.
    pub id: TrackId,
    /// The scale its frames' timestamps come in.
    pub timescale: Timescale,
    /// What a decoder must know.
    pub params: CodecParams,
}

impl Track {
    /// What it carries.
    pub const fn kind(&self) -> TrackKind {
        self.params.codec.kind()
    }
}

/// The tracks of a stream at one moment, shared. Compare with [`Arc::ptr_eq`] to learn cheaply that nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracks(Arc<[Track]>);

impl Tracks {
    /// These tracks, in the order of their ids.
    pub fn new(mut tracks: Vec<Track>) -> Self {
        tracks.sort_by_key(|track| track.id);
        Self(tracks.into())
    }

    /// No track yet.
    pub fn empty() -> Self {
        Self(Arc::new([]))
    }

    /// The track named `id`.
    pub fn by_id(&self, id: TrackId) -> Option<&Track> {
        self.0.iter().find(|track| track.id == id)
    }

    /// The first track of `kind`.
    pub fn first(&self, kind: TrackKind) -> Option<&Track> {
        self.0.iter().find(|track| track.kind() == kind)
    }

    /// Whether a frame of `id` with `keyframe` set is a place where a viewer can start: a video keyframe, or any
    /// audio frame where there is no video.
    pub fn starts_at(&self, id: TrackId, keyframe: bool) -> bool {
        let Some(track) = self.by_id(id) else { return false };
        match track.kind() {
            TrackKind::Video => keyframe && self.first(TrackKind::Video).is_some_and(|first| first.id == id),
            TrackKind::Audio => self.first(TrackKind::Video).is_none(),
            TrackKind::Data => false,
        }
    }

    /// Whether both are the very same set, without comparing the tracks.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::ops::Deref for Tracks {
    type Target = [Track];

    fn deref(&self) -> &[Track] {
        &self.0
    }
}
