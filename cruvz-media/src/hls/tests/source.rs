//! Made-up streams, and a viewer's eyes on what the packager makes of them.

use bytes::Bytes;

use crate::{
    AudioFormat, Codec, CodecParams, Format, Frame, Timescale, Timestamp, Track, TrackId, TrackKind, Tracks,
    VideoFormat,
    hls::{Config, Packager, Reply, Request, Response},
};

/// 2026-01-01T00:00:00Z, when every stream of the tests begins.
pub(crate) const START_UNIX_US: i64 = 1_767_225_600_000_000;

/// A stream with constant frame rates.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Frames per second, as a fraction, and frames per GOP.
    pub(crate) video: Option<(u32, u32, u32)>,
    /// Sample rate of AAC.
    pub(crate) audio: Option<u32>,
    /// How many frames pictures are shown after they are decoded.
    pub(crate) delay: u32,
    /// Whether times are rounded to milliseconds, as in RTMP.
    pub(crate) millis: bool,
    /// How much later audio arrives than video of the same time; negative: earlier.
    pub(crate) audio_lag_ms: i64,
    /// The time of the first frame.
    pub(crate) start_ms: i64,
}

impl Source {
    pub(crate) const AV: Self = Self {
        video: Some((30, 1, 60)),
        audio: Some(48_000),
        delay: 0,
        millis: true,
        audio_lag_ms: 0,
        start_ms: 0,
    };

    pub(crate) fn tracks(&self) -> Tracks {
        let mut tracks = Vec::new();
        if self.video.is_some() {
            tracks.push(video_track(Codec::H264, self.timescale(90_000)));
        }
        if let Some(hz) = self.audio {
            tracks.push(audio_track(hz, self.timescale(hz)));
        }
        Tracks::new(tracks)
    }

    fn timescale(&self, hz: u32) -> Timescale {
        if self.millis { Timescale::MILLIS } else { Timescale::new(hz).unwrap() }
    }

    /// The frames of the first `ms` of the stream with their arrival times, in order of arrival.
    pub(crate) fn frames(&self, ms: i64) -> Vec<(Frame, i64)> {
        let mut frames = Vec::new();
        if let Some((num, den, gop)) = self.video {
            let scale = self.timescale(90_000);
            // Times in units of one frame's numerator: n * den / num seconds.
            let at = |n: i64| Timestamp::new(n * i64::from(den), Timescale::new(num).unwrap()).rescale(scale);
            for n in (0..).take_while(|n| at(*n).as_millis() < ms) {
                let keyframe = n % i64::from(gop) == 0;
                let payload = payload(b'v', n, if keyframe { 2_000 } else { 300 });
                let pts = at(n + i64::from(self.delay));
                let frame = Frame { track: TrackId::VIDEO, pts, dts: at(n), keyframe, payload };
                frames.push((at(n).as_micros(), frame));
            }
        }
        if let Some(hz) = self.audio {
            let exact = Timescale::new(hz).unwrap();
            let at = |n: i64| Timestamp::new(n * 1_024, exact).rescale(self.timescale(hz));
            for n in (0..).take_while(|n| at(*n).as_millis() < ms) {
                let frame = Frame {
                    track: TrackId::AUDIO,
                    pts: at(n),
                    dts: at(n),
                    keyframe: true,
                    payload: payload(b'a', n, 120),
                };
                frames.push((at(n).as_micros() + self.audio_lag_ms * 1_000, frame));
            }
        }
        frames.sort_by_key(|(arrival, frame)| (*arrival, frame.track));
        let shift = |at: Timestamp| {
            let start = Timestamp::from_millis(self.start_ms).rescale(at.timescale());
            at.saturating_add_ticks(start.ticks())
        };
        frames
            .into_iter()
            .map(|(arrival, frame)| {
                let frame = Frame { pts: shift(frame.pts), dts: shift(frame.dts), ..frame };
                (frame, START_UNIX_US + arrival)
            })
            .collect()
    }
}

/// Bytes that tell which frame they are of.
fn payload(kind: u8, n: i64, len: usize) -> Bytes {
    let mut payload = vec![kind; len];
    payload[1..9].copy_from_slice(&n.to_be_bytes());
    payload.into()
}

pub(crate) fn video_track(codec: Codec, timescale: Timescale) -> Track {
    let format = Format::Video(VideoFormat { width: 1280, height: 720, ..VideoFormat::default() });
    // An avcC's fixed fields, with no parameter set.
    let config = Bytes::from_static(&[1, 0x64, 0, 0x1F, 0xFF, 0xE0, 0]);
    let params = CodecParams { codec, config, format, rfc6381: "avc1.64001f".into() };
    Track { id: TrackId::VIDEO, timescale, params }
}

pub(crate) fn audio_track(hz: u32, timescale: Timescale) -> Track {
    let format =
        Format::Audio(AudioFormat { sample_rate_hz: hz, channels: 2, samples_per_frame: Some(1_024) });
    let config = Bytes::from_static(&[0x11, 0x90]);
    let params = CodecParams { codec: Codec::Aac, config, format, rfc6381: "mp4a.40.2".into() };
    Track { id: TrackId::AUDIO, timescale, params }
}

pub(crate) fn packager(config: Config) -> Packager {
    Packager::new(config).unwrap()
}

/// Writes the first `ms` of `source`.
pub(crate) fn packaged(config: Config, source: &Source, ms: i64) -> Packager {
    let mut packager = packager(config);
    let tracks = source.tracks();
    for (frame, arrival) in source.frames(ms) {
        packager.write(&tracks, &frame, arrival);
    }
    packager
}

pub(crate) fn ask(packager: &Packager, path: &str, query: &str) -> Reply {
    packager.respond(&Request { path, query, siblings: &[] })
}

/// The answer to a request that need not wait.
#[track_caller]
pub(crate) fn answer(packager: &Packager, path: &str, query: &str) -> Response {
    match ask(packager, path, query) {
        Reply::Ready(response) => response,
        Reply::Wait(_) => panic!("{path}?{query} waits"),
    }
}

#[track_caller]
pub(crate) fn waits(packager: &Packager, path: &str, query: &str) -> u64 {
    match ask(packager, path, query) {
        Reply::Ready(response) => panic!("{path}?{query} is answered with {}", response.status),
        Reply::Wait(wait) => wait.longest.as_secs(),
    }
}

/// The text of a playlist.
#[track_caller]
pub(crate) fn text(packager: &Packager, path: &str, query: &str) -> String {
    let response = answer(packager, path, query);
    assert_eq!(response.status, 200, "{path}?{query}");
    String::from_utf8(response.body.concat()).unwrap()
}

/// Bytes of media.
#[track_caller]
pub(crate) fn media(packager: &Packager, path: &str) -> Vec<u8> {
    let response = answer(packager, path, "");
    assert_eq!(response.status, 200, "{path}");
    response.body.concat()
}

/// What a fragment holds: per run, kind, base decoding time in seconds, and the time it covers.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) kind: TrackKind,
    pub(crate) start_s: f64,
    pub(crate) end_s: f64,
    pub(crate) samples: usize,
}

/// Reads the fragments of `bytes` with `mp4-atom`; video is in 90 kHz, audio in `audio_hz`.
pub(crate) fn runs(bytes: &[u8], has_video: bool, audio_hz: u32) -> Vec<Run> {
    use mp4_atom::{Any, DecodeMaybe};
    let mut rest = bytes;
    let mut runs = Vec::new();
    while let Some(atom) = Any::decode_maybe(&mut rest).unwrap() {
        let Any::Moof(moof) = atom else { continue };
        for traf in moof.traf {
            let video = has_video && traf.tfhd.track_id == 1;
            let hz = f64::from(if video { 90_000 } else { audio_hz });
            let start = traf.tfdt.unwrap().base_media_decode_time;
            let entries: Vec<_> = traf.trun.iter().flat_map(|trun| trun.samples.iter()).collect();
            let duration = |entry: &mp4_atom::TrunEntry| {
                u64::from(entry.duration.or(traf.tfhd.default_sample_duration).unwrap())
            };
            let ticks: u64 = entries.iter().map(duration).sum();
            runs.push(Run {
                kind: if video { TrackKind::Video } else { TrackKind::Audio },
                start_s: start as f64 / hz,
                end_s: (start + ticks) as f64 / hz,
                samples: entries.len(),
            });
        }
    }
    assert!(rest.is_empty());
    runs
}
