//! `onMetaData` of our own, for streams whose publisher sent none.

use bytes::{Bytes, BytesMut};

use super::{FourCc, audio, video};
use crate::{
    AudioFormat, Codec, Track, TrackKind, VideoFormat,
    amf0::{self, Object, Value},
};

/// The body of an `onMetaData` script tag that says what `tracks` are, each with its multitrack number
/// (FLV 10.1 §E.5, E-RTMP v2 §Enhancing onMetaData).
///
/// Track 0 of each kind is described at the top, the others in `videoTrackIdInfoMap` and `audioTrackIdInfoMap`. Only
/// what the tracks state is in it: a live stream has no duration and no known bit rate.
pub fn on_metadata<'a>(tracks: impl IntoIterator<Item = (u8, &'a Track)>) -> Bytes {
    let mut top = Object::new();
    let (mut video_map, mut audio_map) = (Object::new(), Object::new());
    for (number, track) in tracks {
        let (map, mut properties) = match track.kind() {
            TrackKind::Video => (&mut video_map, video_properties(track)),
            TrackKind::Audio => (&mut audio_map, audio_properties(track)),
            TrackKind::Data => continue,
        };
        let name = if track.kind() == TrackKind::Video { "videocodecid" } else { "audiocodecid" };
        properties.push((name, codec_number(track.params.codec, number).into()));
        if number > 0 {
            map.set(number.to_string(), properties.into_iter().collect::<Object>());
        } else {
            properties.into_iter().for_each(|(name, value)| top.set(name, value));
        }
    }
    for (name, map) in [("videoTrackIdInfoMap", video_map), ("audioTrackIdInfoMap", audio_map)] {
        if !map.is_empty() {
            top.set(name, map);
        }
    }
    let mut body = BytesMut::new();
    amf0::encode(&[Value::from("onMetaData"), Value::EcmaArray(top)], &mut body);
    body.freeze()
}

fn video_properties(track: &Track) -> Vec<(&'static str, Value)> {
    let mut properties = Vec::new();
    let VideoFormat { width, height, frame_rate, .. } = track.params.video().copied().unwrap_or_default();
    if width > 0 && height > 0 {
        properties.extend([("width", width.into()), ("height", height.into())]);
    }
    if let Some((frames, seconds @ 1..)) = frame_rate {
        properties.push(("framerate", (f64::from(frames) / f64::from(seconds)).into()));
    }
    properties
}

fn audio_properties(track: &Track) -> Vec<(&'static str, Value)> {
    let mut properties = Vec::new();
    let AudioFormat { sample_rate_hz, channels, .. } = track.params.audio().copied().unwrap_or_default();
    if sample_rate_hz > 0 {
        properties.push(("audiosamplerate", sample_rate_hz.into()));
    }
    // Compressed formats decode to 16 bits as FLV sees it (FLV 10.1 §E.4.2.1).
    properties.push(("audiosamplesize", 16.into()));
    if channels > 0 {
        properties.extend([("stereo", (channels > 1).into()), ("audiochannels", u32::from(channels).into())]);
    }
    properties
}

/// The legacy number of a codec that is written in its legacy form, as track 0 may be; otherwise the FourCC as a
/// number.
fn codec_number(codec: Codec, number: u8) -> u32 {
    match (codec, number) {
        (Codec::H264, 0) => video::codec_id::AVC.into(),
        (Codec::Aac, 0) => audio::sound_format::AAC.into(),
        (Codec::Mp3, 0) => audio::sound_format::MP3.into(),
        _ => FourCc::of(codec).map_or(0, FourCc::to_number),
    }
}
