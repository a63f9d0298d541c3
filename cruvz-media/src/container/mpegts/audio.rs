//! AAC in ADTS and LATM, MP3, AC-3 and E-AC-3: frames out of a byte stream that PES packets cut anywhere.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Counters,
    elementary::{Access, Output, Unit, UnitClock},
};
use crate::{
    Codec, CodecParams,
    codec::{self, aac::AdtsHeader, ac3, latm, mp3},
};

/// Bytes of an unfinished frame at most: an E-AC-3 access unit with all its substreams.
const MAX_PENDING_BYTES: usize = 64 * 1024;
/// Substreams of an E-AC-3 access unit that are told apart; real ones have 1 or 2, the standard allows 72.
const MAX_SUBSTREAMS: usize = 16;

/// How the frames of a stream are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    /// AAC behind ADTS headers.
    Adts,
    /// AAC in LATM, in LOAS.
    Latm,
    Mp3,
    Ac3,
    Eac3,
}

impl Syntax {
    const fn codec(self) -> Codec {
        match self {
            Self::Adts | Self::Latm => Codec::Aac,
            Self::Mp3 => Codec::Mp3,
            Self::Ac3 => Codec::Ac3,
            Self::Eac3 => Codec::Eac3,
        }
    }
}

/// Splits a byte stream into frames and gives each its own exact time.
#[derive(Debug)]
pub(super) struct Parser {
    syntax: Syntax,
    /// A frame's beginning whose end has not come.
    pending: BytesMut,
    clock: UnitClock,
    /// What of the last frame's header tells that the configuration is the same.
    signature: Option<[u8; 7]>,
    latm: latm::Reader,
    /// The configuration of LATM as last told.
    record: Bytes,
}

/// A frame at the front of some bytes.
struct Frame {
    /// Bytes of it, header included.
    bytes: usize,
    /// Bytes before the payload.
    header_bytes: usize,
    samples: u32,
    sample_rate_hz: u32,
    /// More than one access unit in it, which cannot be told apart without decoding.
    is_joined: bool,
}

/// What is at the front of some bytes.
enum Front {
    Frame(Frame),
    /// The beginning of a frame, as far as can be told.
    Short,
    Garbage,
}

impl Parser {
    pub(super) fn new(syntax: Syntax) -> Self {
        Self {
            syntax,
            pending: BytesMut::new(),
            clock: UnitClock::default(),
            signature: None,
            latm: latm::Reader::default(),
            record: Bytes::new(),
        }
    }

    pub(super) fn lose(&mut self) {
        self.pending.clear();
        self.clock.forget();
    }

    pub(super) fn push(&mut self, access: &Access, counters: &mut Counters, out: &mut Vec<Output>) {
        // Where the packet's time applies: to the first frame that begins in it (ISO/IEC 13818-1 §2.4.3.7).
        let mut stamped_at = self.pending.len();
        let mut stamp = access.moment.map(|moment| moment.pts);
        self.pending.extend_from_slice(&access.payload);
        let mut bytes = std::mem::take(&mut self.pending).freeze();
        if self.syntax == Syntax::Mp3 && is_other_layer(&bytes) {
            out.push(Output::Unsupported);
            return;
        }
        while !bytes.is_empty() {
            let skipped = self.garbage(&bytes);
            if skipped > 0 {
                counters.malformed += 1;
                self.clock.forget();
            }
            bytes.advance(skipped);
            stamped_at = stamped_at.saturating_sub(skipped);
            let Front::Frame(frame) = self.front(&bytes) else { break };
            if stamped_at == 0
                && let Some(ticks) = stamp.take()
            {
                self.clock.set(ticks);
            }
            stamped_at = stamped_at.saturating_sub(frame.bytes);
            self.frame(&frame, bytes.split_to(frame.bytes), counters, out);
        }
        if bytes.len() > MAX_PENDING_BYTES {
            counters.malformed += 1;
            self.clock.forget();
        } else if !bytes.is_empty() {
            // A frame that begins here and ends in the next packet has this packet's time.
            if stamped_at == 0
                && let Some(ticks) = stamp
            {
                self.clock.set(ticks);
            }
            self.pending = BytesMut::from(&bytes[..]);
        }
    }

    /// Bytes before the next frame: 0 where one begins at once.
    fn garbage(&self, bytes: &[u8]) -> usize {
        if !matches!(self.front(bytes), Front::Garbage) {
            return 0;
        }
        // A sync word alone proves little: a frame must be followed by another, or by the end.
        let is_sure = |&at: &usize| match self.front(&bytes[at..]) {
            Front::Frame(frame) => !matches!(self.front(&bytes[at + frame.bytes..]), Front::Garbage),
            Front::Short => true,
            Front::Garbage => false,
        };
        (1..bytes.len()).find(is_sure).unwrap_or(bytes.len())
    }

    fn front(&self, bytes: &[u8]) -> Front {
        let parsed = match self.syntax {
            Syntax::Adts => adts(bytes),
            Syntax::Latm => loas(bytes),
            Syntax::Mp3 => mp3(bytes),
            Syntax::Ac3 => ac3(bytes),
            Syntax::Eac3 => eac3(bytes),
        };
        match parsed {
            Ok(frame) if frame.bytes <= bytes.len() => Front::Frame(frame),
            Ok(_) | Err(codec::Error::Truncated { .. }) => Front::Short,
            Err(_) => Front::Garbage,
        }
    }

    fn frame(&mut self, frame: &Frame, bytes: Bytes, counters: &mut Counters, out: &mut Vec<Output>) {
        if self.syntax == Syntax::Latm {
            if self.latm(&bytes, counters, out).is_err() {
                counters.malformed += 1;
                self.clock.forget();
            }
            return;
        }
        let time = self.clock.next(frame.samples, frame.sample_rate_hz);
        let signature = signature(self.syntax.codec(), &bytes);
        if signature.is_none() || signature != self.signature {
            match self.params(&bytes) {
                Ok(params) => out.push(Output::Params(params)),
                Err(_) => {
                    counters.malformed += 1;
                    return;
                }
            }
            self.signature = signature;
        }
        // A copy: a slice would keep its PES packet, of which the rest may be garbage.
        let payload = if frame.is_joined { &[] } else { &bytes[frame.header_bytes..] };
        let payload = Bytes::copy_from_slice(payload);
        put_unit(time, payload, counters, out);
    }

    /// Takes a LOAS frame.
    fn latm(
        &mut self,
        frame: &[u8],
        counters: &mut Counters,
        out: &mut Vec<Output>,
    ) -> Result<(), codec::Error> {
        let units = self.latm.read(frame)?;
        let (record, config) = self.latm.config().ok_or(codec::Error::Missing("LATM configuration"))?;
        if *record != self.record {
            out.push(Output::Params(codec::parse(Codec::Aac, record.clone())?));
            self.record = record.clone();
        }
        for unit in units {
            let time = self.clock.next(config.samples_per_frame, config.sample_rate_hz);
            put_unit(time, unit, counters, out);
        }
        Ok(())
    }

    fn params(&self, frame: &Bytes) -> Result<CodecParams, codec::Error> {
        match self.syntax {
            Syntax::Adts => codec::parse(Codec::Aac, codec::aac::config_from_adts(frame)?),
            syntax => codec::from_frame(syntax.codec(), frame),
        }
    }
}

fn put_unit(time: Option<i64>, payload: Bytes, counters: &mut Counters, out: &mut Vec<Output>) {
    match time {
        Some(_) if payload.is_empty() => counters.malformed += 1,
        Some(pts) => out.push(Output::Unit(Unit { pts, dts: pts, keyframe: true, payload })),
        None => counters.untimed += 1,
    }
}

fn signature(codec: Codec, frame: &[u8]) -> Option<[u8; 7]> {
    match codec {
        // Profile and rate; channels (ISO/IEC 14496-3 §1.A.2.2).
        Codec::Aac => frame.get(2..4).map(|fields| [fields[0] & 0xFD, fields[1] & 0xC0, 0, 0, 0, 0, 0]),
        codec => codec::signature(codec, true, frame),
    }
}

fn adts(bytes: &[u8]) -> Result<Frame, codec::Error> {
    let header = AdtsHeader::parse(bytes)?;
    Ok(Frame {
        bytes: header.frame_bytes,
        header_bytes: header.header_bytes,
        samples: 1_024 * u32::from(header.access_units),
        sample_rate_hz: header.sample_rate_hz,
        is_joined: header.access_units > 1,
    })
}

/// Only where it ends: what it lasts is told inside.
fn loas(bytes: &[u8]) -> Result<Frame, codec::Error> {
    let bytes = latm::frame_bytes(bytes)?;
    Ok(Frame { bytes, header_bytes: 0, samples: 0, sample_rate_hz: 0, is_joined: false })
}

fn mp3(bytes: &[u8]) -> Result<Frame, codec::Error> {
    let header = mp3::Header::parse(bytes)?;
    let free_format = codec::Error::Unsupported { field: "MP3 bit rate", value: 0 };
    Ok(Frame {
        bytes: header.frame_bytes.ok_or(free_format)?,
        header_bytes: 0,
        samples: header.samples,
        sample_rate_hz: header.sample_rate_hz,
        is_joined: false,
    })
}

/// Whether it is MPEG audio of layer I or II, which have the same stream types.
fn is_other_layer(bytes: &[u8]) -> bool {
    let refused = mp3::Header::parse(bytes).err();
    matches!(refused, Some(codec::Error::Unsupported { field: "MPEG audio layer", .. }))
}

fn ac3(bytes: &[u8]) -> Result<Frame, codec::Error> {
    let header = ac3::SyncFrame::parse(bytes)?;
    Ok(Frame {
        bytes: header.bytes,
        header_bytes: 0,
        samples: header.samples,
        sample_rate_hz: header.sample_rate_hz,
        is_joined: false,
    })
}

/// An access unit: an independent substream, and what adds channels or programs to it.
fn eac3(bytes: &[u8]) -> Result<Frame, codec::Error> {
    let first = ac3::SyncFrame::parse(bytes)?;
    let mut end = first.bytes;
    for _ in 1..MAX_SUBSTREAMS {
        // What comes in the next packet cannot be waited for: muxers align access units.
        let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty()) else { break };
        match ac3::SyncFrame::parse(rest) {
            Ok(next) if !next.begins_unit => end += next.bytes,
            Err(error @ codec::Error::Truncated { .. }) => return Err(error),
            _ => break,
        }
    }
    Ok(Frame {
        bytes: end,
        header_bytes: 0,
        samples: first.samples,
        sample_rate_hz: first.sample_rate_hz,
        is_joined: false,
    })
}
