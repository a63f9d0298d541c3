//! Frames to tag bodies.

use std::ops::Deref;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    FourCc, TagKind, audio, config, enhanced, metadata,
    script::{self, SET_DATA_FRAME},
    track_id, track_number, video,
};
use crate::{Codec, CodecParams, Format, Frame, Timescale, Timestamp, Track, TrackId, TrackKind, Tracks};

/// How a [`Muxer`] writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MuxOptions {
    /// Whether to write every track, those after the first of their kind as Enhanced RTMP v2 multitrack. Default
    /// false: the first audio and the first video track only, as every player expects.
    pub multitrack: bool,
    /// Whether to put `@setDataFrame` before `onMetaData`, as a publisher does so that the server keeps it. Default
    /// false, as viewers need it.
    pub set_data_frame: bool,
}

/// The body of a tag in two pieces, of which only the first is made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// What it carries.
    pub kind: TagKind,
    /// When it is decoded, in milliseconds modulo 2^32, as FLV and RTMP write it.
    pub timestamp_ms: u32,
    /// The first bytes of the body, at most 16.
    pub header: TagHeader,
    /// The rest of the body, shared with the frame.
    pub payload: Bytes,
}

impl Tag {
    /// The length of the body in bytes.
    pub fn body_len(&self) -> usize {
        self.header.len() + self.payload.len()
    }

    /// The body in one piece. Copies the payload: for tests and rare tags.
    pub fn to_body(&self) -> Bytes {
        let mut body = BytesMut::with_capacity(self.body_len());
        body.put_slice(&self.header);
        body.put_slice(&self.payload);
        body.freeze()
    }
}

/// A few bytes on the stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TagHeader {
    bytes: [u8; 16],
    len: u8,
}

impl TagHeader {
    /// Adds `bytes`, of which every caller in this module has fewer than are free.
    fn push(mut self, bytes: &[u8]) -> Self {
        let start = usize::from(self.len);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
        self
    }
}

impl Deref for TagHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Turns frames into the bodies of tags, for one set of tracks. Make a new one when the tracks change, and write its
/// [`Self::headers`] again.
///
/// H.264, AAC and MP3 are written in their legacy form, which every player reads, and the other codecs in the form of
/// Enhanced RTMP.
#[derive(Clone, Debug)]
pub struct Muxer {
    outputs: Vec<Output>,
    options: MuxOptions,
}

/// A track and the form its packets take.
#[derive(Clone, Debug)]
struct Output {
    track: Track,
    form: Form,
}

/// How the packets of a track begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The first byte of an audio tag, or the CodecID of a video tag.
    Legacy(u8),
    /// The extended header with this FourCC.
    Enhanced(FourCc),
    /// The extended header of multitrack, with the track's number.
    Multitrack(FourCc, u8),
    /// A script tag.
    Script,
    /// The metadata of the video track with this id.
    Metadata(TrackId),
}

/// What a packet of an audio or video track is, for its header.
#[derive(Clone, Copy, Debug)]
enum Packet {
    Config,
    Frame { keyframe: bool, composition_ms: i32 },
    End,
}

impl Muxer {
    /// A muxer for the frames of `tracks`.
    pub fn new(tracks: &Tracks, options: MuxOptions) -> Self {
        let mut outputs = Vec::new();
        for kind in [TrackKind::Video, TrackKind::Audio] {
            let mut used = [false; 256];
            let of_kind = tracks.iter().filter(|track| track.kind() == kind);
            for track in of_kind.take(if options.multitrack { used.len() } else { 1 }) {
                let number = number(track.id, kind, &used);
                used[usize::from(number)] = true;
                if let Some(form) = Form::of(&track.params, number) {
                    outputs.push(Output { track: track.clone(), form });
                }
            }
        }
        for track in tracks.iter().filter(|track| track.params.codec == Codec::ScriptData) {
            let form = Form::of_data(track.id);
            outputs.push(Output { track: track.clone(), form });
        }
        Self { outputs, options }
    }

    /// What a player must be given before the first frame, all at `at`: `onMetaData`, then a sequence header for each
    /// track that has one.
    ///
    /// `metadata`: the publisher's own, the body of a script tag as a data frame carries it. Without it one is made
    /// of what the tracks say.
    pub fn headers(&self, metadata: Option<&Bytes>, at: Timestamp) -> Vec<Tag> {
        let timestamp_ms = wire_ms(at);
        let metadata = metadata.cloned().unwrap_or_else(|| {
            metadata::on_metadata(self.outputs.iter().map(|output| (output.form.number(), &output.track)))
        });
        let mut tags = vec![self.script(timestamp_ms, metadata)];
        tags.extend(self.outputs.iter().filter_map(|output| output.sequence_header(timestamp_ms)));
        tags
    }

    /// The tag of `frame`, or `None` where its track is not written or its form has no room for it.
    pub fn frame(&self, frame: &Frame) -> Option<Tag> {
        let output = self.output(frame.track)?;
        let dts_ms = frame.dts.as_millis();
        // The difference of the rounded times, so that both come out of the tag as they were rounded.
        let composition_ms = frame.pts.as_millis().saturating_sub(dts_ms);
        let timestamp_ms = wire_ms(frame.dts);
        let payload = frame.payload.clone();
        match output.form {
            Form::Script => match script::script_name(&payload).as_deref() {
                Some("colorInfo") => self.metadata(TrackId::VIDEO, timestamp_ms, payload),
                _ => Some(self.script(timestamp_ms, payload)),
            },
            Form::Metadata(of) => self.metadata(of, timestamp_ms, payload),
            Form::Legacy(_) | Form::Enhanced(_) | Form::Multitrack(..) => {
                let composition_ms = clamp_24(composition_ms);
                let packet = Packet::Frame { keyframe: frame.keyframe, composition_ms };
                Some(output.tag(timestamp_ms, packet, payload))
            }
        }
    }

    /// The tag that ends the sequence of `track`, or `None` where its form has none: legacy audio.
    pub fn sequence_end(&self, track: TrackId, at: Timestamp) -> Option<Tag> {
        let output = self.output(track)?;
        let ends = match output.form {
            Form::Legacy(_) => output.track.kind() == TrackKind::Video,
            Form::Enhanced(_) | Form::Multitrack(..) => true,
            Form::Script | Form::Metadata(_) => false,
        };
        ends.then(|| output.tag(wire_ms(at), Packet::End, Bytes::new()))
    }

    fn output(&self, track: TrackId) -> Option<&Output> {
        self.outputs.iter().find(|output| output.track.id == track)
    }

    fn script(&self, timestamp_ms: u32, payload: Bytes) -> Tag {
        let for_server =
            self.options.set_data_frame && script::script_name(&payload).as_deref() == Some("onMetaData");
        let header =
            if for_server { TagHeader::default().push(SET_DATA_FRAME) } else { TagHeader::default() };
        Tag { kind: TagKind::Script, timestamp_ms, header, payload }
    }

    /// Video metadata, which only the extended header has room for.
    fn metadata(&self, track: TrackId, timestamp_ms: u32, payload: Bytes) -> Option<Tag> {
        let of_track = |output: &&Output| match track {
            TrackId::VIDEO => output.track.kind() == TrackKind::Video,
            id => output.track.id == id,
        };
        let output = self.outputs.iter().find(of_track)?;
        let header = output.form.extended(
            video::EXTENDED | video::frame_type::COMMAND << 4,
            video::packet_type::MULTITRACK,
            video::packet_type::METADATA,
        )?;
        Some(Tag { kind: TagKind::Video, timestamp_ms, header, payload })
    }
}

impl Output {
    /// The tag with the configuration record, where the codec has one.
    fn sequence_header(&self, timestamp_ms: u32) -> Option<Tag> {
        let record = config::wire_record(&self.track.params, self.form.is_legacy())?;
        Some(self.tag(timestamp_ms, Packet::Config, record))
    }

    fn tag(&self, timestamp_ms: u32, packet: Packet, payload: Bytes) -> Tag {
        let (kind, header) = match self.track.kind() {
            TrackKind::Video => (TagKind::Video, self.video_header(packet)),
            TrackKind::Audio | TrackKind::Data => (TagKind::Audio, self.audio_header(packet)),
        };
        Tag { kind, timestamp_ms, header, payload }
    }

    fn video_header(&self, packet: Packet) -> TagHeader {
        use video::{avc, frame_type, packet_type};
        let (keyframe, composition_ms) = match packet {
            Packet::Frame { keyframe, composition_ms } => (keyframe, composition_ms),
            Packet::Config | Packet::End => (true, 0),
        };
        let frame_type = if keyframe { frame_type::KEY } else { frame_type::INTER } << 4;
        let [_, composition_time @ ..] = composition_ms.to_be_bytes();
        if let Form::Legacy(codec_id) = self.form {
            let packet_type = match packet {
                Packet::Config => avc::SEQUENCE_HEADER,
                Packet::Frame { .. } => avc::NALU,
                Packet::End => avc::END,
            };
            return TagHeader::default().push(&[frame_type | codec_id, packet_type]).push(&composition_time);
        }
        let timed = video::has_composition_time(self.track.params.codec);
        let packet_type = match packet {
            Packet::Config => packet_type::SEQUENCE_START,
            Packet::Frame { composition_ms: 0, .. } if timed => packet_type::CODED_FRAMES_X,
            Packet::Frame { .. } => packet_type::CODED_FRAMES,
            Packet::End => packet_type::SEQUENCE_END,
        };
        let header = self
            .form
            .extended(video::EXTENDED | frame_type, packet_type::MULTITRACK, packet_type)
            .unwrap_or_default();
        if timed && packet_type == packet_type::CODED_FRAMES {
            header.push(&composition_time)
        } else {
            header
        }
    }

    fn audio_header(&self, packet: Packet) -> TagHeader {
        use audio::{aac, packet_type, sound_format};
        if let Form::Legacy(first) = self.form {
            let header = TagHeader::default().push(&[first]);
            return match (self.track.params.codec, packet) {
                (Codec::Aac, Packet::Config) => header.push(&[aac::SEQUENCE_HEADER]),
                (Codec::Aac, _) => header.push(&[aac::RAW]),
                _ => header,
            };
        }
        let packet_type = match packet {
            Packet::Config => packet_type::SEQUENCE_START,
            Packet::Frame { .. } => packet_type::CODED_FRAMES,
            Packet::End => packet_type::SEQUENCE_END,
        };
        self.form
            .extended(sound_format::EXTENDED << 4, packet_type::MULTITRACK, packet_type)
            .unwrap_or_default()
    }
}

impl Form {
    /// The form of the audio or video track with this `number`, or `None` where it has none.
    fn of(params: &CodecParams, number: u8) -> Option<Self> {
        let fourcc = FourCc::of(params.codec)?;
        if number > 0 {
            return Some(Self::Multitrack(fourcc, number));
        }
        Some(match (params.codec, &params.format) {
            (Codec::H264, _) => Self::Legacy(video::codec_id::AVC),
            (Codec::Aac, _) => Self::Legacy(audio::AAC_HEADER),
            (Codec::Mp3, Format::Audio(format)) => Self::Legacy(audio::mp3_header(format)),
            _ => Self::Enhanced(fourcc),
        })
    }

    fn of_data(id: TrackId) -> Self {
        match track_number(TrackKind::Data, id) {
            Some(number) => Self::Metadata(track_id(TrackKind::Video, number)),
            None => Self::Script,
        }
    }

    const fn is_legacy(self) -> bool {
        matches!(self, Self::Legacy(_))
    }

    /// The track's number in multitrack.
    const fn number(self) -> u8 {
        match self {
            Self::Multitrack(_, number) => number,
            _ => 0,
        }
    }

    /// The extended header for `packet_type`, its first byte's upper half being `first`; `None` for other forms.
    fn extended(self, first: u8, multitrack_type: u8, packet_type: u8) -> Option<TagHeader> {
        let header = TagHeader::default();
        match self {
            Self::Enhanced(fourcc) => Some(header.push(&[first | packet_type]).push(&fourcc.0)),
            Self::Multitrack(fourcc, number) => {
                let one_track = enhanced::one_track(packet_type, fourcc, number);
                Some(header.push(&[first | multitrack_type]).push(&one_track))
            }
            Self::Legacy(_) | Self::Script | Self::Metadata(_) => None,
        }
    }
}

/// The number of a track on the wire: 0 for the first of its kind, then the number its id was made of, where that is
/// free, or else the lowest free one.
fn number(id: TrackId, kind: TrackKind, used: &[bool; 256]) -> u8 {
    let free = |number: &u8| !used[usize::from(*number)];
    if free(&0) {
        return 0;
    }
    track_number(kind, id).filter(free).or_else(|| (1..=u8::MAX).find(free)).unwrap_or(u8::MAX)
}

/// `at` in milliseconds modulo 2^32.
fn wire_ms(at: Timestamp) -> u32 {
    at.rescale(Timescale::MILLIS).ticks().rem_euclid(1 << 32) as u32
}

/// The nearest signed number of 24 bits.
fn clamp_24(millis: i64) -> i32 {
    millis.clamp(-0x80_0000, 0x7f_ffff) as i32
}
