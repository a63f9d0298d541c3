//! Files made by FFmpeg, taken apart and put together again: `tests/fixtures/flv/make.sh`.

use super::{file::FileTag, *};
use crate::{Codec, TrackKind};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/flv/", $name, ".flv"))
    };
}

/// The tags of a file.
fn tags(bytes: &[u8]) -> Vec<FileTag> {
    let mut reader = file::Reader::new(file::Limits::default());
    reader.push(bytes);
    let tags: Vec<_> = std::iter::from_fn(|| reader.next_tag().unwrap()).collect();
    assert_eq!(reader.finish(), Ok(()));
    tags
}

/// What a file holds, and what the muxer makes of it.
struct Copied {
    tracks: Tracks,
    frames: Vec<Frame>,
    /// Tags that came out with the same bytes.
    same: usize,
    /// Bodies that did not come out again.
    lost: Vec<Bytes>,
}

/// Demuxes a file and muxes every event again, and looks for each tag among what came out.
fn copy(bytes: &[u8]) -> Copied {
    let mut demuxer = Demuxer::default();
    let mut muxer = Muxer::new(&Tracks::empty(), MuxOptions::default());
    let mut copied = Copied { tracks: Tracks::empty(), frames: Vec::new(), same: 0, lost: Vec::new() };
    for tag in tags(bytes) {
        let mut out = Vec::new();
        for event in feed(&mut demuxer, tag.kind, tag.timestamp_ms.into(), tag.body.clone()).unwrap() {
            match event {
                Event::Tracks(tracks) => {
                    muxer = Muxer::new(&tracks, MuxOptions { multitrack: true, set_data_frame: false });
                    out.extend(muxer.headers(None, Timestamp::from_millis(tag.timestamp_ms.into())));
                    copied.tracks = tracks;
                }
                Event::Frame(frame) => {
                    out.extend(muxer.frame(&frame));
                    copied.frames.push(frame);
                }
                Event::SequenceEnd(track) => {
                    out.extend(muxer.sequence_end(track, Timestamp::from_millis(tag.timestamp_ms.into())));
                }
            }
        }
        let same = |out: &Tag| {
            (out.kind, out.timestamp_ms, out.to_body()) == (tag.kind, tag.timestamp_ms, tag.body.clone())
        };
        if out.iter().any(same) {
            copied.same += 1;
        } else {
            copied.lost.push(tag.body);
        }
    }
    assert_eq!(demuxer.ignored(), Ignored::default());
    copied
}

impl Copied {
    fn codecs(&self) -> Vec<(u32, Codec)> {
        self.tracks.iter().map(|track| (track.id.0, track.params.codec)).collect()
    }

    fn count(&self, id: TrackId) -> usize {
        self.frames.iter().filter(|frame| frame.track == id).count()
    }

    fn keyframes(&self) -> usize {
        self.frames.iter().filter(|frame| frame.track == TrackId::VIDEO && frame.keyframe).count()
    }

    /// How the bodies that did not come out again begin.
    fn lost(&self) -> Vec<&[u8]> {
        self.lost.iter().map(|body| &body[..5]).collect()
    }
}

#[test]
fn h264_with_b_frames_and_aac_come_out_byte_for_byte() {
    let copied = copy(fixture!("h264_aac"));
    assert_eq!(copied.codecs(), [(1, Codec::H264), (2, Codec::Aac), (3, Codec::ScriptData)]);
    assert_eq!((copied.count(TrackId::VIDEO), copied.keyframes()), (10, 2));
    assert_eq!(copied.lost(), Vec::<&[u8]>::new());
    let video: Vec<_> = copied.frames.iter().filter(|frame| frame.track == TrackId::VIDEO).collect();
    assert!(video.iter().any(|frame| frame.pts > frame.dts));
    assert!(video.windows(2).all(|pair| pair[0].dts < pair[1].dts));
    let mut shown: Vec<_> = video.iter().map(|frame| frame.pts.as_millis()).collect();
    shown.sort_unstable();
    assert!(shown.windows(2).all(|pair| pair[1] - pair[0] == 40));
    let format = copied.tracks.first(TrackKind::Video).unwrap().params.video().copied().unwrap();
    assert_eq!((format.width, format.height), (64, 48));
}

#[test]
fn hdr_metadata_comes_out_byte_for_byte() {
    let copied = copy(fixture!("hdr"));
    assert_eq!(copied.lost(), Vec::<&[u8]>::new());
    let color =
        copied.frames.iter().find(|frame| script_name(&frame.payload).as_deref() == Some("colorInfo"));
    let values = crate::amf0::decode(&color.unwrap().payload, &crate::amf0::Limits::default()).unwrap();
    let config = values[1].property("colorConfig").unwrap();
    assert_eq!(config.property("matrixCoefficients").and_then(crate::amf0::Value::as_u32), Some(9));
}
