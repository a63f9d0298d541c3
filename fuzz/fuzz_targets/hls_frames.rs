//! The HLS packager, given frames in any order, of any size, at any time, with changes of tracks between: it keeps a bounded
//! past and always has a playlist whose segments it can serve.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use cruvz_media::{
    Codec, Frame, Timescale, Timestamp, Track, TrackId, Tracks, codec,
    hls::{Config, Packager, Reply, Request},
};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Step {
    /// Up to a third of a second on, or back: what is further away is a `Leap`.
    Video { after: i16, composition: i16, keyframe: bool, bytes: u16 },
    Audio { after: i16, bytes: u8 },
    Leap { track: bool, to: i64 },
    Tracks { video: bool, audio: bool },
    Discontinuity,
    Finish,
}

const AVCC: &[u8] = &[
    1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 15, 0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44,
    0, 0, 3, 0, 1, 0, 4, 0x68, 0xce, 0x3c, 0x80,
];

/// What frames are filled with: the packager looks at none of it, and hands it on as it is.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

thread_local! {
    /// Neither, video, audio, both.
    static TRACKS: [Tracks; 4] = [(false, false), (true, false), (false, true), (true, true)].map(tracks);
}

fn tracks((video, audio): (bool, bool)) -> Tracks {
    let track = |id, codec, config: &'static [u8], hz| {
        let params = codec::parse(codec, Bytes::from_static(config)).ok()?;
        Some(Track { id, timescale: Timescale::new(hz)?, params })
    };
    let video = video.then(|| track(TrackId::VIDEO, Codec::H264, AVCC, 90_000)).flatten();
    let audio = audio.then(|| track(TrackId::AUDIO, Codec::Aac, &[0x11, 0x90], 48_000)).flatten();
    Tracks::new(video.into_iter().chain(audio).collect())
}

fn serve(packager: &Packager, path: &str) -> Option<Vec<Bytes>> {
    match packager.respond(&Request { path, query: "", siblings: &[] }) {
        Reply::Ready(response) if response.status == 200 => Some(response.body),
        _ => None,
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let mut packager = Packager::new(Config::new("run")).expect("the defaults are valid");
    let mut now = [
        Timestamp::new(0, Timescale::new(90_000).expect("not zero")),
        Timestamp::new(0, Timescale::new(48_000).expect("not zero")),
    ];
    let mut known = TRACKS.with(|tracks| tracks[3].clone());
    for (turn, step) in steps.into_iter().take(400).enumerate() {
        let wall_clock_us = turn as i64 * 33_000;
        let frame = |track, at: Timestamp, composition: i16, keyframe, bytes: usize| Frame {
            track,
            pts: at.saturating_add_ticks(composition.into()),
            dts: at,
            keyframe,
            payload: Bytes::from_static(&ZEROS[..bytes]),
        };
        match step {
            Step::Video { after, composition, keyframe, bytes } => {
                now[0] = now[0].saturating_add_ticks(after.into());
                packager.write(
                    &known,
                    &frame(TrackId::VIDEO, now[0], composition, keyframe, bytes.into()),
                    wall_clock_us,
                );
            }
            Step::Audio { after, bytes } => {
                now[1] = now[1].saturating_add_ticks(after.into());
                packager.write(&known, &frame(TrackId::AUDIO, now[1], 0, true, bytes.into()), wall_clock_us);
            }
            Step::Leap { track, to } => {
                let track = usize::from(track);
                now[track] = Timestamp::new(to, now[track].timescale());
            }
            Step::Tracks { video, audio } => {
                known = TRACKS.with(|tracks| tracks[usize::from(video) + 2 * usize::from(audio)].clone());
            }
            Step::Discontinuity => packager.discontinuity(),
            Step::Finish => packager.finish(),
        }
    }
    let _ = serve(&packager, "index.m3u8");
    let Some(playlist) = serve(&packager, "main.m3u8") else { return };
    let playlist = String::from_utf8(playlist.concat()).expect("a playlist is text");
    assert!(playlist.starts_with("#EXTM3U\n"));
    for uri in playlist.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        assert!(serve(&packager, uri).is_some(), "{uri} is listed and not there");
    }
});
