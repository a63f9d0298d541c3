//! Viewers whose players do not know the publisher's audio: they get what they know, made once for all, if the build can make it.

#![allow(clippy::unwrap_used, reason = "a test")]

mod live;

use std::{fs::File, io::Cursor};

use bytes::BytesMut;
use cruvz_core::{Codec, Engine, EngineConfig, LiveFormat, LiveRequest, LiveViewer, Publisher, TrackKind};
use cruvz_media::container::file::{Limits, Reader};
use live::{name, soon, until};

/// A second or so of AV1 and Opus.
const OPUS: &str = "flv/av1_opus.flv";
/// What players of FLV and MPEG-TS get of it.
const PLAYED: Codec = if cfg!(feature = "transcode") { Codec::Aac } else { Codec::Opus };

/// An engine and a publisher that has written a file.
async fn published(file: &str, transcode_audio: bool) -> (Engine, Publisher) {
    let path = format!("{}/../cruvz-media/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut reader = Reader::open(File::open(path).unwrap(), Limits::default()).unwrap();
    let mut config = EngineConfig::default();
    config.egress.transcode_audio = transcode_audio;
    let engine = Engine::builder().config(config).start().await.unwrap();
    let mut publisher = engine.publish(name("live/cam"), reader.tracks().clone()).await.unwrap();
    while let Some(frame) = reader.next_frame().unwrap() {
        publisher.write(frame).unwrap();
    }
    (engine, publisher)
}

async fn open(engine: &Engine, format: LiveFormat) -> LiveViewer {
    let (stream, remote) = (name("live/cam"), "192.0.2.1:5000".parse().unwrap());
    soon(engine.live().open(LiveRequest { stream, query: String::new(), remote, format })).await.unwrap()
}

/// All that a viewer is sent.
async fn body(mut viewer: LiveViewer) -> Vec<u8> {
    let mut body = BytesMut::new();
    while let Some(piece) = soon(viewer.next()).await {
        body.extend_from_slice(&piece);
    }
    body.to_vec()
}

/// The codec of the audio in a file, and how many frames of audio and of video it has.
fn contents(file: Vec<u8>) -> (Option<Codec>, usize, usize) {
    let mut reader = Reader::open(Cursor::new(file), Limits::default()).unwrap();
    let (mut audio, mut video) = (0, 0);
    while let Some(frame) = reader.next_frame().unwrap() {
        match reader.tracks().by_id(frame.track).unwrap().kind() {
            TrackKind::Audio => audio += 1,
            TrackKind::Video => video += 1,
            TrackKind::Data => {}
        }
    }
    let codec = reader.tracks().first(TrackKind::Audio).map(|track| track.params.codec);
    (codec, audio, video)
}

#[tokio::test]
async fn players_of_flv_get_sound_and_pictures_whatever_comes_in() {
    let (engine, publisher) = published(OPUS, true).await;
    let mut viewers = Vec::new();
    for _ in 0..10 {
        viewers.push(tokio::spawn(body(open(&engine, LiveFormat::Flv).await)));
    }
    assert_eq!(engine.viewers(&name("live/cam")), 10, "they are viewers of the stream");
    // All of it is there once somebody has been sent the end.
    let stream = publisher.stream().clone();
    stream.end("the show is over");
    for viewer in viewers {
        let (codec, audio, video) = contents(soon(viewer).await.unwrap());
        assert_eq!(codec, Some(PLAYED));
        assert!(audio > 5 && video > 3, "{audio} of sound, {video} pictures");
    }
    until(|| engine.viewers(&name("live/cam")) == 0).await;
    assert!(!stream.is_playable());
}

#[tokio::test]
async fn a_track_that_nothing_can_be_made_of_leaves_the_pictures() {
    let (engine, publisher) = published("flv/hevc_flac.flv", true).await;
    let viewer = tokio::spawn(body(open(&engine, LiveFormat::Ts).await));
    let left_out = engine.stream_infos()[0].left_out.clone();
    publisher.stream().end("the show is over");
    let (codec, audio, video) = contents(soon(viewer).await.unwrap());
    assert!(video > 3, "{video} pictures");
    if cfg!(feature = "transcode") {
        assert_eq!((codec, left_out.len()), (Some(Codec::Aac), 0));
        assert!(audio > 3, "{audio} of sound");
    } else {
        assert_eq!((codec, audio), (None, 0));
        assert_eq!((left_out[0].codec, left_out[0].by), ("FLAC", "mpegts"));
        assert_eq!(left_out[0].reason, "FLAC is not made into AAC: this build has no transcoding");
    }
}

#[tokio::test]
async fn nothing_is_made_where_that_is_turned_off() {
    let (engine, publisher) = published(OPUS, false).await;
    let viewer = tokio::spawn(body(open(&engine, LiveFormat::Flv).await));
    publisher.stream().end("the show is over");
    assert_eq!(contents(soon(viewer).await.unwrap()).0, Some(Codec::Opus));
}
