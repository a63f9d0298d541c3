//! Our FLV demuxer against `scuffle-flv`, an independent one: the same tags give the same frames.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test, as it should")]

use std::io::Cursor;

use bytes::Bytes;
use cruvz_media::container::flv::{
    Demuxer, Event, TagKind,
    file::{self, FileTag},
    track_id,
};
use cruvz_media::{TrackId, TrackKind};
use proptest::prelude::*;
use scuffle_flv::{
    audio::{
        AudioData,
        body::{
            AudioTagBody,
            enhanced::{AudioPacket, ExAudioTagBody},
            legacy::{LegacyAudioTagBody, aac::AacAudioData},
        },
    },
    video::{
        VideoData,
        body::{
            VideoTagBody,
            enhanced::{ExVideoTagBody, VideoPacket, VideoPacketCodedFrames},
            legacy::LegacyVideoTagBody,
        },
        header::{
            VideoTagHeaderData,
            legacy::{LegacyVideoTagHeader, LegacyVideoTagHeaderAvcPacket},
        },
    },
};

/// A coded frame: its track, its composition time, its bytes.
#[derive(Debug, PartialEq)]
struct Coded {
    track: TrackId,
    composition_ms: i32,
    payload: Bytes,
}

fn fixture(name: &str) -> Vec<FileTag> {
    let path = format!("{}/tests/fixtures/flv/{name}.flv", env!("CARGO_MANIFEST_DIR"));
    let mut reader = file::Reader::new(file::Limits::default());
    reader.push(&std::fs::read(path).unwrap());
    std::iter::from_fn(|| reader.next_tag().unwrap()).collect()
}

/// The audio and video frames that our demuxer finds in a tag.
fn ours(demuxer: &mut Demuxer, tag: &FileTag) -> Vec<Coded> {
    demuxer.tag(tag.kind, tag.timestamp_ms.into(), tag.body.clone()).unwrap();
    let mut coded = Vec::new();
    while let Some(event) = demuxer.next_event() {
        let Event::Frame(frame) = event else { continue };
        assert_eq!(frame.dts.as_millis(), i64::from(tag.timestamp_ms));
        let kind = demuxer.tracks().by_id(frame.track).unwrap().kind();
        if kind != TrackKind::Data {
            let composition_ms = i32::try_from(frame.pts.as_millis() - frame.dts.as_millis()).unwrap();
            coded.push(Coded { track: frame.track, composition_ms, payload: frame.payload });
        }
    }
    coded
}

fn theirs(tag: &FileTag) -> Vec<Coded> {
    let mut reader = Cursor::new(tag.body.clone());
    match tag.kind {
        TagKind::Video => video(VideoData::demux(&mut reader).unwrap()),
        TagKind::Audio => audio(AudioData::demux(&mut reader).unwrap()),
        TagKind::Script => Vec::new(),
    }
}

fn video(data: VideoData<'_>) -> Vec<Coded> {
    match (data.header.data, data.body) {
        (
            VideoTagHeaderData::Legacy(LegacyVideoTagHeader::AvcPacket(
                LegacyVideoTagHeaderAvcPacket::Nalu { composition_time_offset },
            )),
            VideoTagBody::Legacy(LegacyVideoTagBody::Other { data }),
        ) => {
            // They read the signed 24 bits as unsigned.
            let composition_ms = (composition_time_offset << 8) as i32 >> 8;
            vec![Coded { track: TrackId::VIDEO, composition_ms, payload: data }]
        }
        (_, VideoTagBody::Enhanced(ExVideoTagBody::NoMultitrack { packet, .. })) => {
            coded_video(0, packet).into_iter().collect()
        }
        (_, VideoTagBody::Enhanced(ExVideoTagBody::ManyTracks(tracks))) => {
            tracks.into_iter().filter_map(|track| coded_video(track.video_track_id, track.packet)).collect()
        }
        _ => Vec::new(),
    }
}

fn coded_video(number: u8, packet: VideoPacket<'_>) -> Option<Coded> {
    let (composition_ms, payload) = match packet {
        VideoPacket::CodedFrames(
            VideoPacketCodedFrames::Avc { composition_time_offset, data }
            | VideoPacketCodedFrames::Hevc { composition_time_offset, data },
        ) => (composition_time_offset, data),
        VideoPacket::CodedFrames(VideoPacketCodedFrames::Other(data))
        | VideoPacket::CodedFramesX { data } => (0, data),
        _ => return None,
    };
    // Ours leave out the temporal delimiter of AV1.
    let payload = if payload.starts_with(&[0x12, 0]) { payload.slice(2..) } else { payload };
    Some(Coded { track: track_id(TrackKind::Video, number), composition_ms, payload })
}

fn audio(data: AudioData) -> Vec<Coded> {
    let packets = match data.body {
        AudioTagBody::Legacy(LegacyAudioTagBody::Aac(AacAudioData::Raw(data))) => {
            vec![(0, AudioPacket::CodedFrames { data })]
        }
        AudioTagBody::Legacy(LegacyAudioTagBody::Other { sound_data: data }) => {
            vec![(0, AudioPacket::CodedFrames { data })]
        }
        AudioTagBody::Enhanced(ExAudioTagBody::NoMultitrack { packet, .. }) => vec![(0, packet)],
        AudioTagBody::Enhanced(ExAudioTagBody::ManyTracks(tracks)) => {
            tracks.into_iter().map(|track| (track.audio_track_id, track.packet)).collect()
        }
        AudioTagBody::Legacy(_) => Vec::new(),
    };
    let coded = |(number, packet)| {
        let AudioPacket::CodedFrames { data } = packet else { return None };
        Some(Coded { track: track_id(TrackKind::Audio, number), composition_ms: 0, payload: data })
    };
    packets.into_iter().filter_map(coded).collect()
}

#[test]
fn files_of_ffmpeg_hold_the_same_frames() {
    let mut found = Vec::new();
    for name in ["h264_aac", "h264_mp3", "hevc_flac", "av1_opus", "vp9_ac3", "eac3", "multitrack", "hdr"] {
        let mut demuxer = Demuxer::default();
        let mut frames = 0;
        for tag in fixture(name) {
            let mut theirs = theirs(&tag);
            // FFmpeg ends FLAC with a frame of no bytes, which ours leave out.
            theirs.retain(|coded| !coded.payload.is_empty());
            frames += theirs.len();
            assert_eq!(ours(&mut demuxer, &tag), theirs, "{name} at {} ms", tag.timestamp_ms);
        }
        found.push((name, frames));
    }
    let packets = [10 + 20, 10 + 18, 10 + 19, 10 + 21, 10 + 13, 13, 5 + 5 + 11 + 11, 5];
    assert!(found.iter().map(|(_, frames)| *frames).eq(packets), "{found:?}");
}

/// A message as Enhanced RTMP v2 describes it, written here by hand.
#[derive(Clone, Debug)]
struct Message {
    video: bool,
    keyframe: bool,
    /// Whether the nanosecond extension or one unknown to all comes first.
    extension: Option<bool>,
    /// 0 to 2: the type of multitrack.
    multitrack: Option<u8>,
    tracks: Vec<(u8, i32, Vec<u8>)>,
}

impl Message {
    fn to_tag(&self) -> FileTag {
        let (fourcc, multitrack_type) = if self.video { (b"avc1", 6) } else { (b"mp4a", 5) };
        let first = match (self.video, self.keyframe) {
            (true, true) => 0x9,
            (true, false) => 0xa,
            (false, _) => 0x9,
        };
        let mut body = Vec::new();
        let coded_frames = 1;
        let packet_type = if self.multitrack.is_some() { multitrack_type } else { coded_frames };
        match self.extension {
            Some(nano) => {
                let extension_type: u8 = if nano { 0 } else { 9 };
                body.extend([first << 4 | 7, 2, 0, 0, 0, extension_type << 4 | packet_type]);
            }
            None => body.push(first << 4 | packet_type),
        }
        if let Some(multitrack) = self.multitrack {
            body.push(multitrack << 4 | coded_frames);
        }
        if self.multitrack != Some(2) {
            body.extend(fourcc);
        }
        let count = if matches!(self.multitrack, Some(1 | 2)) { self.tracks.len() } else { 1 };
        for (number, composition_ms, payload) in &self.tracks[..count] {
            let composition_time = &composition_ms.to_be_bytes()[1..];
            let coded = if self.video { [composition_time, payload].concat() } else { payload.clone() };
            if self.multitrack == Some(2) {
                body.extend(fourcc);
            }
            if let Some(multitrack) = self.multitrack {
                body.push(*number);
                if multitrack > 0 {
                    body.extend(&(coded.len() as u32).to_be_bytes()[1..]);
                }
            }
            body.extend(coded);
        }
        let kind = if self.video { TagKind::Video } else { TagKind::Audio };
        FileTag { kind, timestamp_ms: 40, body: body.into() }
    }
}

fn message() -> impl Strategy<Value = Message> {
    let track = (0u8..4, -0x80_0000i32..0x80_0000, prop::collection::vec(any::<u8>(), 1..30));
    (
        any::<bool>(),
        any::<bool>(),
        prop::option::of(any::<bool>()),
        prop::option::of(0u8..3),
        prop::collection::vec(track, 1..5),
    )
        .prop_map(|(video, keyframe, extension, multitrack, tracks)| Message {
            video,
            keyframe,
            extension,
            multitrack,
            tracks,
        })
}

/// A demuxer that knows tracks 0 to 3 of H.264 and of AAC, with the records of a file.
fn configured() -> Demuxer {
    let mut demuxer = Demuxer::default();
    let tags = fixture("h264_aac");
    let record = |kind, header: usize| {
        tags.iter().find(|tag| tag.kind == kind && tag.body[1] == 0).unwrap().body.slice(header..)
    };
    let (avcc, aac) = (record(TagKind::Video, 5), record(TagKind::Audio, 2));
    for number in 0..4 {
        let video = [&b"\x96\x00avc1"[..], &[number], &avcc].concat();
        demuxer.tag(TagKind::Video, 0, video.into()).unwrap();
        let audio = [&b"\x95\x00mp4a"[..], &[number], &aac].concat();
        demuxer.tag(TagKind::Audio, 0, audio.into()).unwrap();
    }
    while demuxer.next_event().is_some() {}
    demuxer
}

proptest! {
    #[test]
    fn enhanced_messages_hold_the_same_frames(messages in prop::collection::vec(message(), 1..6)) {
        let mut demuxer = configured();
        for message in messages {
            let tag = message.to_tag();
            let frames = ours(&mut demuxer, &tag);
            prop_assert_eq!(&frames, &theirs(&tag));
            let expected = if matches!(message.multitrack, Some(1 | 2)) { message.tracks.len() } else { 1 };
            prop_assert_eq!(frames.len(), expected);
        }
    }
}
