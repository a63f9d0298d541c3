//! Tag bodies to frames.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    Error, TagKind, audio, config,
    packet::{Content, Packet},
    script, track_id, video,
};
use crate::{Codec, CodecParams, Frame, Timescale, Timestamp, Track, TrackId, TrackKind, Tracks, codec};

/// The scale of a track that has nanosecond offsets.
const NANOS: Timescale = match Timescale::new(1_000_000_000) {
    Some(nanos) => nanos,
    None => Timescale::MILLIS,
};

/// What a publisher may make a [`Demuxer`] keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many tracks there may be, data tracks counted. Default 16. Each keeps its configuration record, which has
    /// at most [`codec::MAX_CONFIG_BYTES`].
    pub tracks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { tracks: 16 }
    }
}

/// What a tag was found to be.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// These are the tracks from now on: one is new, or its configuration changed. Never sent for a configuration
    /// that merely comes again.
    Tracks(Tracks),
    /// A frame of one of the tracks.
    Frame(Frame),
    /// The publisher says that the sequence of this track is over.
    SequenceEnd(TrackId),
}

/// How many packets of an otherwise sound stream carried nothing that a viewer could use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Frames of a track whose configuration had not come yet.
    pub unconfigured: u64,
    /// Frames without a payload.
    pub empty: u64,
}

/// Turns the bodies of tags, or RTMP messages, into [`Event`]s.
///
/// Feed it with [`Self::tag`], then take what came of it with [`Self::next_event`]. It keeps the configuration of
/// each track, never a frame. After an error it goes on with the next tag.
///
/// ```
/// use bytes::Bytes;
/// use cruvz_media::container::flv::{Demuxer, Event, TagKind};
///
/// let mut demuxer = Demuxer::default();
/// demuxer.tag(TagKind::Audio, 0, Bytes::from_static(&[0xaf, 0, 0x11, 0x90]))?;
/// demuxer.tag(TagKind::Audio, 21, Bytes::from_static(&[0xaf, 1, 0x21, 0x25]))?;
/// assert!(matches!(demuxer.next_event(), Some(Event::Tracks(tracks)) if tracks.len() == 1));
/// assert!(matches!(demuxer.next_event(), Some(Event::Frame(frame)) if frame.payload == [0x21, 0x25][..]));
/// assert_eq!(demuxer.next_event(), None);
/// # Ok::<(), cruvz_media::container::flv::Error>(())
/// ```
#[derive(Debug)]
pub struct Demuxer {
    limits: Limits,
    slots: Vec<Slot>,
    tracks: Tracks,
    events: VecDeque<Event>,
    ignored: Ignored,
}

/// A track and what it takes to read its packets.
#[derive(Debug)]
struct Slot {
    id: TrackId,
    params: CodecParams,
    timescale: Timescale,
    /// What the track was last configured with: the record as it came, or the signature of a self-describing frame.
    source: Bytes,
    /// Bytes before each NAL unit; 4 where there are none.
    nal_length_size: u8,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Demuxer {
    /// A demuxer that knows no track yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            slots: Vec::new(),
            tracks: Tracks::empty(),
            events: VecDeque::new(),
            ignored: Ignored::default(),
        }
    }

    /// Takes the `body` of one tag at `timestamp_ms`, its time unwrapped to 64 bits.
    ///
    /// # Errors
    /// [`Error`], when the body or a part of it was refused. The other parts of a multitrack message still count.
    pub fn tag(&mut self, kind: TagKind, timestamp_ms: i64, body: Bytes) -> Result<(), Error> {
        match kind {
            TagKind::Audio => self.packets(TrackKind::Audio, timestamp_ms, audio::packets(body)?),
            TagKind::Video => self.packets(TrackKind::Video, timestamp_ms, video::packets(body)?),
            TagKind::Script => match script::for_viewers(body)? {
                Some(body) => self.data(0, Timestamp::from_millis(timestamp_ms), body),
                None => Ok(()),
            },
        }
    }

    /// What came of the tags so far and was not taken yet, in order.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The tracks as of the last tag.
    pub const fn tracks(&self) -> &Tracks {
        &self.tracks
    }

    /// How many packets were of no use so far.
    pub const fn ignored(&self) -> Ignored {
        self.ignored
    }

    /// Takes every packet of a tag; the first error is the tag's.
    fn packets(
        &mut self,
        kind: TrackKind,
        timestamp_ms: i64,
        packets: impl Iterator<Item = Result<Packet, Error>>,
    ) -> Result<(), Error> {
        let mut result = Ok(());
        for packet in packets {
            let outcome = packet.and_then(|packet| self.packet(kind, timestamp_ms, packet));
            result = result.and(outcome);
        }
        result
    }

    fn packet(&mut self, kind: TrackKind, timestamp_ms: i64, packet: Packet) -> Result<(), Error> {
        let Packet { number, codec, nanos, content } = packet;
        let id = track_id(kind, number);
        match content {
            Content::Config(record) => self.configure(id, codec, &record),
            Content::TsDescriptor(descriptor) => {
                self.configure(id, codec, &config::of_ts_descriptor(&descriptor))
            }
            Content::Channels(channels) => self.channels(id, codec, channels),
            // As a data frame it is told from others by its name: without one no muxer could write it again.
            Content::Metadata(body) if script::script_name(&body).is_none() => Err(Error::Script),
            Content::Metadata(body) => self.data(number, Timestamp::from_millis(timestamp_ms), body),
            Content::End => {
                if self.slots.iter().any(|slot| slot.id == id) {
                    self.events.push_back(Event::SequenceEnd(id));
                }
                Ok(())
            }
            Content::Frame { payload, .. } if payload.is_empty() => {
                self.ignored.empty += 1;
                Ok(())
            }
            Content::Frame { keyframe, composition_ms, payload } => {
                self.describe(id, codec, keyframe, &payload)?;
                self.frame(id, codec, Moment { timestamp_ms, nanos, composition_ms }, keyframe, payload)
            }
        }
    }

    /// Takes the configuration record of a track. One that came before, or an empty one, changes nothing.
    fn configure(&mut self, id: TrackId, codec: Codec, record: &[u8]) -> Result<(), Error> {
        let mut same = self.slots.iter().filter(|slot| slot.is(id, codec));
        let known = same.any(|slot| slot.source == record || record.is_empty());
        if known || config::is_self_describing(codec) {
            return Ok(());
        }
        let (params, nal_length_size) =
            config::params(codec, record).map_err(|source| Error::Codec { track: id, source })?;
        self.put(Slot {
            id,
            params,
            timescale: Timescale::MILLIS,
            source: Bytes::copy_from_slice(record),
            nal_length_size,
        })
    }

    /// Takes the channel count of a track: news only where the configuration record left it open.
    fn channels(&mut self, id: TrackId, codec: Codec, channels: u8) -> Result<(), Error> {
        let open = self.slots.iter().any(|slot| slot.is(id, codec) && slot.source.is_empty());
        match config::opus_head(channels) {
            Some(record) if open && codec == Codec::Opus => self.configure(id, codec, &record),
            _ => Ok(()),
        }
    }

    /// Learns what a frame says of its own track, where no configuration record does.
    fn describe(&mut self, id: TrackId, codec: Codec, keyframe: bool, payload: &Bytes) -> Result<(), Error> {
        let slot = self.slots.iter_mut().find(|slot| slot.is(id, codec));
        if let Some(signature) = codec::signature(codec, keyframe, payload) {
            if slot.is_some_and(|slot| slot.source == signature[..]) {
                return Ok(());
            }
            let params =
                codec::from_frame(codec, payload).map_err(|source| Error::Codec { track: id, source })?;
            let source = Bytes::copy_from_slice(&signature);
            self.put(Slot { id, params, timescale: Timescale::MILLIS, source, nal_length_size: 4 })
        } else if let Some(slot) = slot.filter(|_| keyframe)
            && let Some(params) = config::refined(&slot.params, payload)
        {
            slot.params = params;
            self.publish();
            Ok(())
        } else {
            Ok(())
        }
    }

    fn frame(
        &mut self,
        id: TrackId,
        codec: Codec,
        moment: Moment,
        keyframe: bool,
        payload: Bytes,
    ) -> Result<(), Error> {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.is(id, codec)) else {
            self.ignored.unconfigured += 1;
            return Ok(());
        };
        let refined = moment.nanos > 0 && slot.timescale != NANOS;
        if refined {
            slot.timescale = NANOS;
        }
        let (dts, pts) = moment.times(slot.timescale);
        let payload = config::payload(codec, slot.nal_length_size, payload)
            .map_err(|source| Error::Codec { track: id, source })?;
        if refined {
            self.publish();
        }
        // Nothing but NAL units of no length.
        if payload.is_empty() {
            self.ignored.empty += 1;
            return Ok(());
        }
        self.events.push_back(Event::Frame(Frame { track: id, pts, dts, keyframe, payload }));
        Ok(())
    }

    /// Hands on AMF0 values that describe the stream, or video track `number`.
    fn data(&mut self, number: u8, at: Timestamp, payload: Bytes) -> Result<(), Error> {
        let track = track_id(TrackKind::Data, number);
        if !self.slots.iter().any(|slot| slot.id == track) {
            self.put(Slot {
                id: track,
                params: CodecParams::script_data(),
                timescale: Timescale::MILLIS,
                source: Bytes::new(),
                nal_length_size: 4,
            })?;
        }
        self.events.push_back(Event::Frame(Frame { track, pts: at, dts: at, keyframe: true, payload }));
        Ok(())
    }

    /// Adds or replaces a track and says so where that makes a difference.
    fn put(&mut self, mut new: Slot) -> Result<(), Error> {
        let slots = self.slots.len();
        let changed = match self.slots.iter_mut().find(|slot| slot.id == new.id) {
            Some(old) => {
                new.timescale = old.timescale;
                let changed = !config::is_same(&old.params, &new.params);
                if !changed {
                    new.params = old.params.clone();
                }
                *old = new;
                changed
            }
            None if slots >= self.limits.tracks => return Err(Error::Tracks(self.limits.tracks)),
            None => {
                self.slots.push(new);
                true
            }
        };
        if changed {
            self.publish();
        }
        Ok(())
    }

    fn publish(&mut self) {
        self.tracks = Tracks::new(self.slots.iter().map(Slot::track).collect());
        self.events.push_back(Event::Tracks(self.tracks.clone()));
    }
}

impl Slot {
    fn is(&self, id: TrackId, codec: Codec) -> bool {
        self.id == id && self.params.codec == codec
    }

    fn track(&self) -> Track {
        Track { id: self.id, timescale: self.timescale, params: self.params.clone() }
    }
}

/// A packet's place in time, as its tag has it.
#[derive(Clone, Copy, Debug)]
struct Moment {
    timestamp_ms: i64,
    nanos: u32,
    composition_ms: i32,
}

impl Moment {
    /// When to decode and when to show. The nanoseconds refine the tag's time and so move both.
    fn times(self, timescale: Timescale) -> (Timestamp, Timestamp) {
        let at = |millis| {
            let coarse = Timestamp::from_millis(millis).rescale(timescale);
            if timescale == NANOS { coarse.saturating_add_ticks(self.nanos.into()) } else { coarse }
        };
        (at(self.timestamp_ms), at(self.timestamp_ms.saturating_add(self.composition_ms.into())))
    }
}
