//! Elementary streams: what one carries, as its entry in the program map tells, and PES packets to access units.

use bytes::Bytes;

use super::{
    Counters,
    audio::{self, Syntax},
    cue, opus,
    psi::{StreamInfo, is_section_type, stream_type},
    video,
};
use crate::{Codec, CodecParams, TrackKind};

/// registration_descriptor (ISO/IEC 13818-1 §2.6.8).
pub(super) const REGISTRATION: u8 = 0x05;
/// AC-3_descriptor and enhanced_AC-3_descriptor (ETSI EN 300 468 annex D).
const DVB_AC3: u8 = 0x6A;
const DVB_EAC3: u8 = 0x7A;

/// One access unit, its times on the unwrapped 90 kHz clock.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) pts: i64,
    pub(super) dts: i64,
    pub(super) keyframe: bool,
    pub(super) payload: Bytes,
}

/// What a PES packet brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// The units from here on are of this configuration.
    Params(CodecParams),
    Unit(Unit),
    /// It is of a codec that we do not carry, after all.
    Unsupported,
}

/// When the first access unit that begins in a PES packet is shown and decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) pts: i64,
    pub(super) dts: i64,
}

/// The payload of a PES packet.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) moment: Option<Moment>,
    pub(super) random_access: bool,
    pub(super) payload: Bytes,
}

/// What a stream carries.
#[derive(Debug)]
pub(super) enum Content {
    Video(video::Parser),
    Audio(audio::Parser),
    Opus(opus::Parser),
    /// Anything timed, in PES packets.
    Data,
    /// Anything in sections.
    Sections,
    /// SCTE 35, in sections.
    Cues,
}

impl Content {
    /// What the stream carries, or `None` where we cannot carry it on.
    pub(super) fn of(info: &StreamInfo) -> Option<Self> {
        Some(match info.stream_type {
            stream_type::H264 => Self::Video(video::Parser::new(Codec::H264)),
            stream_type::H265 => Self::Video(video::Parser::new(Codec::H265)),
            stream_type::AAC_ADTS => Self::Audio(audio::Parser::new(Syntax::Adts)),
            stream_type::AAC_LATM => Self::Audio(audio::Parser::new(Syntax::Latm)),
            stream_type::MPEG1_AUDIO | stream_type::MPEG2_AUDIO => {
                Self::Audio(audio::Parser::new(Syntax::Mp3))
            }
            stream_type::AC3 => Self::Audio(audio::Parser::new(Syntax::Ac3)),
            stream_type::EAC3 => Self::Audio(audio::Parser::new(Syntax::Eac3)),
            stream_type::PRIVATE_PES => Self::private(info),
            stream_type::METADATA_PES => Self::Data,
            stream_type::SCTE35 => Self::Cues,
            kind if is_section_type(kind) => Self::Sections,
            _ => return None,
        })
    }

    /// What a private stream carries, as its descriptors tell.
    fn private(info: &StreamInfo) -> Self {
        for (tag, content) in info.descriptors() {
            match (tag, content.first_chunk()) {
                (DVB_AC3, _) | (REGISTRATION, Some(b"AC-3")) => {
                    return Self::Audio(audio::Parser::new(Syntax::Ac3));
                }
                (DVB_EAC3, _) | (REGISTRATION, Some(b"EAC3")) => {
                    return Self::Audio(audio::Parser::new(Syntax::Eac3));
                }
                (REGISTRATION, Some(b"HEVC")) => return Self::Video(video::Parser::new(Codec::H265)),
                (REGISTRATION, Some(b"Opus")) => {
                    return opus::Parser::of(info).map_or(Self::Data, Self::Opus);
                }
                _ => {}
            }
        }
        Self::Data
    }

    pub(super) const fn kind(&self) -> TrackKind {
        match self {
            Self::Video(_) => TrackKind::Video,
            Self::Audio(_) | Self::Opus(_) => TrackKind::Audio,
            Self::Data | Self::Sections | Self::Cues => TrackKind::Data,
        }
    }

    /// The configuration that the program map alone gives.
    pub(super) fn params(&self, info: &StreamInfo) -> Option<CodecParams> {
        match self {
            Self::Video(_) | Self::Audio(_) => None,
            Self::Opus(opus) => Some(opus.params().clone()),
            Self::Data | Self::Sections | Self::Cues => Some(info.data_params()),
        }
    }

    /// Takes a whole PES packet; `now` is the time for data without one.
    pub(super) fn push(
        &mut self,
        access: Access,
        now: Option<i64>,
        counters: &mut Counters,
        out: &mut Vec<Output>,
    ) {
        match self {
            Self::Video(video) => video.push(access, counters, out),
            Self::Audio(audio) => audio.push(&access, counters, out),
            Self::Opus(opus) => opus.push(&access, counters, out),
            Self::Data | Self::Sections | Self::Cues => {
                let moment = access.moment.or_else(|| now.map(|now| Moment { pts: now, dts: now }));
                let Some(Moment { pts, dts }) = moment else {
                    counters.untimed += 1;
                    return;
                };
                let payload = match self {
                    Self::Cues => cue::moved(&access.payload, pts.wrapping_neg()),
                    _ => Some(access.payload),
                };
                match payload {
                    Some(payload) => out.push(Output::Unit(Unit { pts, dts, keyframe: true, payload })),
                    None => counters.bad_sections += 1,
                }
            }
        }
    }

    /// Forgets what was begun, as something is missing behind it.
    pub(super) fn lose(&mut self) {
        match self {
            Self::Audio(audio) => audio.lose(),
            Self::Opus(opus) => opus.lose(),
            Self::Video(_) | Self::Data | Self::Sections | Self::Cues => {}
        }
    }
}

/// The time of audio units that follow a stamped one.
#[derive(Debug, Default)]
pub(super) struct UnitClock {
    /// A stamped time, and the samples since then at `rate`.
    anchor: Option<i64>,
    samples: i64,
    rate: u32,
}

impl UnitClock {
    /// The next unit begins at `ticks`.
    pub(super) fn set(&mut self, ticks: i64) {
        (self.anchor, self.samples) = (Some(ticks), 0);
    }

    /// Nothing follows from what was before.
    pub(super) fn forget(&mut self) {
        self.anchor = None;
    }

    /// The time of a unit of `samples` at `rate`, which the next one follows; `None` before a stamped one.
    pub(super) fn next(&mut self, samples: u32, rate: u32) -> Option<i64> {
        let ticks = self.now()?;
        if rate != self.rate {
            (self.anchor, self.samples, self.rate) = (Some(ticks), 0, rate);
        }
        self.samples = self.samples.saturating_add(samples.into());
        Some(ticks)
    }

    fn now(&self) -> Option<i64> {
        let since = i128::from(self.samples) * 90_000 / i128::from(self.rate.max(1));
        self.anchor?.checked_add(i64::try_from(since).ok()?)
    }
}
