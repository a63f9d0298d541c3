//! Payloads to frames.

use std::fmt;

use bytes::Bytes;

use super::{
    Packet, av1,
    nal::{self, Shape},
    opus, vp8, vp9,
};
use crate::{
    Codec, CodecParams, TrackKind,
    codec::{self, access_unit::InBandSets},
};

/// What a sender may make a [`Depacketizer`] keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest frame, in bytes. Default 8 MiB; a keyframe must fit. Memory grows with what has come.
    pub frame_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame_bytes: 8 << 20 }
    }
}

/// What was put together of packets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// What a decoder must know for the frames from here on. Never the same again.
    Params(CodecParams),
    /// A whole frame.
    Frame {
        /// The RTP timestamp of its packets: when it is shown, in ticks of [`super::clock_rate`].
        timestamp: u32,
        /// Whether decoding can start here. Always true for audio.
        keyframe: bool,
        /// The coded bytes, in the form of [`crate::Frame`]. Never a slice of a datagram.
        payload: Bytes,
    },
}

/// What became of the packets that a [`Depacketizer`] was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Packets, those of padding alone counted.
    pub packets: u64,
    /// Frames given out.
    pub frames: u64,
    /// Frames dropped because a packet of theirs is missing.
    pub damaged: u64,
    /// Frames dropped because their payloads are not what the payload format allows.
    pub malformed: u64,
    /// Frames dropped because they went beyond [`Limits`].
    pub oversized: u64,
    /// Whole frames dropped because they build on one that is missing: all until the next keyframe.
    pub undecodable: u64,
    /// Frames dropped because the configuration of their track had not come yet.
    pub unconfigured: u64,
}

impl Counters {
    /// Frames that were begun and not given out.
    pub const fn dropped(&self) -> u64 {
        self.damaged + self.malformed + self.oversized + self.undecodable + self.unconfigured
    }
}

/// Why a frame cannot be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Lost,
    Malformed,
    Oversized,
    Unconfigured,
}

/// How a codec's frames are put together of payloads, which are never empty.
pub(super) trait Format: fmt::Debug + Send {
    /// Whether this payload can be the first of a frame; asked where packets before it are missing.
    fn opens(&self, payload: &[u8]) -> bool;
    /// Adds a payload to the frame under way, which may grow to `limit` bytes.
    fn push(&mut self, payload: &[u8], limit: usize) -> Result<(), Flaw>;
    /// The frame of what was added; `None` where there is nothing to show in it. What it says of the track comes before it.
    fn finish(&mut self, out: &mut Vec<Event>) -> Result<Option<Bytes>, Flaw>;
    /// Drops what was added.
    fn discard(&mut self);
}

/// Puts the packets of one source together to frames.
///
/// It is given packets in the order of their sequence numbers, and told where some are missing for good. A frame ends with
/// its marker, or where the next timestamp begins. After a loss, and at the start, video is withheld until a keyframe comes
/// ([`Self::needs_keyframe`]): no decoder is given a frame whose references are missing.
///
/// ```
/// use bytes::Bytes;
/// use cruvz_media::{Codec, rtp::{Depacketizer, Event, Header, Limits, Packet}};
///
/// let mut depacketizer = Depacketizer::new(Codec::Opus, Limits::default()).expect("Opus has a payload format");
/// let packet = Packet::new(Header { timestamp: 960, ..Header::default() }, Bytes::from_static(&[0xFC, 1, 2]));
/// let mut events = Vec::new();
/// depacketizer.push(&packet, false, &mut events);
/// assert!(matches!(events[..], [Event::Params(_), Event::Frame { timestamp: 960, .. }]));
/// ```
#[derive(Debug)]
pub struct Depacketizer {
    codec: Codec,
    format: Box<dyn Format>,
    limits: Limits,
    counters: Counters,
    /// The timestamp of the frame under way.
    current: Option<u32>,
    /// What is wrong with it.
    flaw: Option<Flaw>,
    /// Packets were lost since the last one.
    gap: bool,
    needs_keyframe: bool,
}

impl Depacketizer {
    /// For packets of `codec`; `None` where it has no payload format here.
    pub fn new(codec: Codec, limits: Limits) -> Option<Self> {
        let format: Box<dyn Format> = match codec {
            Codec::Av1 => Box::<av1::Assembler>::default(),
            Codec::H264 => Box::new(nal::Assembler::new(Shape::H264, InBandSets::new(codec))),
            Codec::H265 => Box::new(nal::Assembler::new(Shape::H265, InBandSets::new(codec))),
            Codec::Opus => Box::<opus::Assembler>::default(),
            Codec::Vp8 => Box::<vp8::Assembler>::default(),
            Codec::Vp9 => Box::<vp9::Assembler>::default(),
            _ => return None,
        };
        let is_video = codec.kind() == TrackKind::Video;
        Some(Self {
            codec,
            format,
            limits,
            counters: Counters::default(),
            current: None,
            flaw: None,
            gap: true,
            needs_keyframe: is_video,
        })
    }

    /// For a track whose parameters SDP told: H.264 and H.265 with `sprop-parameter-sets`, Opus with its channels
    /// ([`super::opus_params`]). Other codecs always say themselves what they are. They are not repeated as an event.
    pub fn with_params(params: CodecParams, limits: Limits) -> Option<Self> {
        let made = Self::new(params.codec, limits)?;
        let format: Box<dyn Format> = match params.codec {
            Codec::H264 => Box::new(nal::Assembler::new(Shape::H264, InBandSets::of(params))),
            Codec::H265 => Box::new(nal::Assembler::new(Shape::H265, InBandSets::of(params))),
            Codec::Opus => Box::new(opus::Assembler::known()),
            _ => return Some(made),
        };
        Some(Self { format, ..made })
    }

    /// Takes the next packet, in the order of sequence numbers. `lost_before`: the one before it will not come any more.
    pub fn push(&mut self, packet: &Packet, lost_before: bool, out: &mut Vec<Event>) {
        self.counters.packets += 1;
        if lost_before {
            self.lose();
        }
        if packet.payload.is_empty() {
            return;
        }
        let timestamp = packet.header.timestamp;
        if self.current != Some(timestamp) {
            self.finish(out);
            self.current = Some(timestamp);
            if std::mem::take(&mut self.gap) && !self.format.opens(&packet.payload) {
                self.spoil(Flaw::Lost);
            }
        }
        // Also to a frame that is spoilt already: it may bring parameter sets.
        if let Err(flaw) = self.format.push(&packet.payload, self.limits.frame_bytes) {
            self.spoil(flaw);
        }
        if packet.header.marker || self.is_audio() {
            self.finish(out);
        }
    }

    /// Whether nothing is given out until a keyframe comes: at the start, and after a loss. Ask the sender for one.
    pub const fn needs_keyframe(&self) -> bool {
        self.needs_keyframe
    }

    /// What became of the packets so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn is_audio(&self) -> bool {
        self.codec.kind() == TrackKind::Audio
    }

    fn lose(&mut self) {
        self.gap = true;
        self.needs_keyframe = !self.is_audio();
        if self.current.is_some() {
            self.spoil(Flaw::Lost);
        }
    }

    /// The frame under way cannot be given out; its first flaw is the one that counts.
    fn spoil(&mut self, flaw: Flaw) {
        self.flaw.get_or_insert(flaw);
        self.format.discard();
    }

    /// Ends the frame under way, if there is one.
    fn finish(&mut self, out: &mut Vec<Event>) {
        let Some(timestamp) = self.current.take() else { return };
        let made = match self.flaw.take() {
            Some(flaw) => Err(flaw),
            None => self.format.finish(out),
        };
        match made {
            Ok(Some(payload)) => self.deliver(timestamp, payload, out),
            Ok(None) => {}
            Err(flaw) => self.drop_frame(flaw),
        }
    }

    fn deliver(&mut self, timestamp: u32, payload: Bytes, out: &mut Vec<Event>) {
        let keyframe = codec::is_keyframe(self.codec, &payload);
        if self.needs_keyframe && !keyframe {
            self.counters.undecodable += 1;
            return;
        }
        self.needs_keyframe = false;
        self.counters.frames += 1;
        out.push(Event::Frame { timestamp, keyframe, payload });
    }

    fn drop_frame(&mut self, flaw: Flaw) {
        self.format.discard();
        self.needs_keyframe = !self.is_audio();
        *match flaw {
            Flaw::Lost => &mut self.counters.damaged,
            Flaw::Malformed => &mut self.counters.malformed,
            Flaw::Oversized => &mut self.counters.oversized,
            Flaw::Unconfigured => &mut self.counters.unconfigured,
        } += 1;
    }
}

/// The parameters of a track whose keyframes say all of them: VP8, VP9, AV1.
#[derive(Debug)]
pub(super) struct InBandParams {
    codec: Codec,
    params: Option<CodecParams>,
}

impl InBandParams {
    pub(super) const fn new(codec: Codec) -> Self {
        Self { codec, params: None }
    }

    /// Reads them in `frame` if it is a keyframe; what comes of it goes to `out` if it is new.
    pub(super) fn learn(&mut self, frame: &Bytes, out: &mut Vec<Event>) -> Result<(), Flaw> {
        if codec::is_keyframe(self.codec, frame) {
            match codec::from_frame(self.codec, frame) {
                Ok(params) if self.params.as_ref() == Some(&params) => {}
                Ok(params) => {
                    self.params = Some(params.clone());
                    out.push(Event::Params(params));
                }
                // No sequence header: that of the keyframe before goes on.
                Err(codec::Error::Missing(_)) if self.codec == Codec::Av1 => {}
                Err(_) => return Err(Flaw::Malformed),
            }
        }
        if self.params.is_none() { Err(Flaw::Unconfigured) } else { Ok(()) }
    }
}
