use std::{fs::File, path::Path};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    TrackKind,
    codec::aac::{AdtsHeader, config_from_adts},
    container::file::{Limits, Reader},
};

/// One second of a tone that climbs from 300 to 3,300 Hz, mono at 44.1 kHz:
/// `ffmpeg -f lavfi -i "aevalsrc=0.4*sin(2*PI*(300*t+1500*t*t)):s=44100:d=1" -c:a aac -b:a 48k chirp.aac`
const CHIRP: &[u8] = include_bytes!("../../../tests/fixtures/transcode/chirp.aac");
const RATE: i64 = SAMPLE_RATE_HZ as i64;
const MS: i64 = RATE / 1_000;

/// The track and the frames of an ADTS file, whose encoder put one frame in front of the sound.
fn adts(mut file: &[u8]) -> (CodecParams, Vec<Frame>) {
    let params = codec::parse(Codec::Aac, config_from_adts(file).unwrap()).unwrap();
    let timescale = Timescale::new(params.audio().unwrap().sample_rate_hz).unwrap();
    let mut frames = Vec::new();
    while !file.is_empty() {
        let header = AdtsHeader::parse(file).unwrap();
        let payload = Bytes::copy_from_slice(&file[header.header_bytes..header.frame_bytes]);
        let pts = Timestamp::new((frames.len() as i64 - 1) * 1024, timescale);
        frames.push(Frame { track: TrackId::AUDIO, pts, dts: pts, keyframe: true, payload });
        file = &file[header.frame_bytes..];
    }
    (params, frames)
}

/// The first audio track of a file.
fn audio_of(file: &str) -> (CodecParams, Vec<Frame>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
    let mut reader = Reader::open(File::open(path).unwrap(), Limits::default()).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        frames.push(frame);
    }
    let track = reader.tracks().first(TrackKind::Audio).unwrap().clone();
    frames.retain(|frame| frame.track == track.id);
    (track.params, frames)
}

fn transcode(params: &CodecParams, to: Codec, frames: &[Frame]) -> (Track, Vec<Frame>) {
    let mut transcoder = AudioTranscoder::new(params, to, AudioOptions::default()).unwrap();
    let mut made: Vec<_> = frames.iter().flat_map(|frame| transcoder.push(frame).unwrap()).collect();
    let track = transcoder.track().clone();
    made.extend(transcoder.finish().unwrap());
    (track, made)
}

/// What is heard of `frames`: one channel at 48 kHz, each sample where the timestamps put it, from `from` on (in ticks).
fn heard(params: &CodecParams, frames: &[Frame], from: i64, samples: usize) -> Vec<f32> {
    let mut decoder = Decoder::new(params).unwrap();
    let mut resampler = None;
    let mut heard = vec![0.0; samples];
    for frame in frames {
        let at = frame.pts.rescale(Timescale::new(SAMPLE_RATE_HZ).unwrap()).ticks();
        decoder.push(&frame.payload, at).unwrap();
        let mut at = at - from;
        while let Some(mut sound) = decoder.next_sound().unwrap() {
            let resampler = Resampler::fit(&mut resampler, &sound, 1).unwrap();
            let held = resampler.held();
            for (n, sample) in (at - held..).zip(resampler.run(&mut sound).unwrap()) {
                if let Some(place) = usize::try_from(n).ok().and_then(|n| heard.get_mut(n)) {
                    *place = sample;
                }
            }
            at += sound.samples() as i64 * RATE / i64::from(sound.rate());
        }
    }
    heard
}

/// By how many samples `late` lags behind `early`, by cross-correlation; 20 ms either way are looked at.
fn lag(early: &[f32], late: &[f32]) -> i64 {
    let reach = 20 * MS;
    let likeness = |lag: i64| -> f64 {
        // One sample in 13 says enough, and in a thirteenth of the time.
        let pairs = (reach..early.len() as i64 - reach)
            .step_by(13)
            .map(|n| (early[n as usize], late[(n + lag) as usize]));
        pairs.map(|(early, late)| f64::from(early) * f64::from(late)).sum()
    };
    (-reach..=reach).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b))).unwrap()
}

fn loudness(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
}

/// Every frame follows the one before without a gap, and all are as long as they should be.
fn assert_steady(made: &[Frame], samples: i64) {
    for pair in made.windows(2) {
        assert_eq!(pair[1].pts.ticks() - pair[0].pts.ticks(), samples, "at {}", pair[1].pts);
    }
}

#[test]
fn every_codec_that_comes_in_is_made_into_opus_and_aac() {
    for (file, codec) in [
        ("flv/h264_aac.flv", Codec::Aac),
        ("flv/h264_mp3.flv", Codec::Mp3),
        ("flv/hevc_flac.flv", Codec::Flac),
        ("flv/vp9_ac3.flv", Codec::Ac3),
        ("flv/av1_opus.flv", Codec::Opus),
        ("flv/eac3.flv", Codec::Eac3),
        ("mp4/avc-aac.mp4", Codec::Aac),
        ("mpegts/h264_aac.ts", Codec::Aac),
        ("mp4/hevc-mp3.mp4", Codec::Mp3),
    ] {
        let (params, frames) = audio_of(file);
        assert_eq!(params.codec, codec, "{file}");
        let rate = i64::from(params.audio().unwrap().sample_rate_hz);
        let samples: i64 =
            frames.iter().map(|frame| i64::from(codec::samples(&params, &frame.payload).unwrap())).sum();
        for (to, in_frame) in [(Codec::Opus, 960), (Codec::Aac, 1024)] {
            let (track, made) = transcode(&params, to, &frames);
            assert_eq!((track.params.codec, track.timescale.hz()), (to, SAMPLE_RATE_HZ));
            let lasts = made.len() as i64 * in_frame;
            let due = samples * RATE / rate;
            // The encoder's beginning, and the silence that fills up the last frame.
            assert!((due..=due + 2 * in_frame + 512).contains(&lasts), "{file}: {lasts} for {due}");
            assert_steady(&made, in_frame);
            let first = frames[0].pts.as_micros();
            let begins = first - made[0].pts.as_micros();
            assert!((6_000..=22_000).contains(&begins), "{file}: begins {begins} us before the sound");
            let sound = heard(&track.params, &made, made[0].pts.ticks(), lasts as usize);
            assert!(loudness(&sound) > 0.01, "{file}: {}", loudness(&sound));
        }
    }
}

#[test]
fn what_is_heard_stays_where_it_was() {
    let (params, frames) = adts(CHIRP);
    let before = heard(&params, &frames, 0, RATE as usize);
    for to in [Codec::Opus, Codec::Aac] {
        let (track, made) = transcode(&params, to, &frames);
        let after = heard(&track.params, &made, 0, RATE as usize);
        let off = lag(&before, &after);
        assert!(off.abs() <= MS, "{to}: {off} samples late");
        assert!((loudness(&after) / loudness(&before) - 1.0).abs() < 0.1, "{to}: as loud as it was");
        // And back: nothing adds up.
        let back = if to == Codec::Opus { Codec::Aac } else { Codec::Opus };
        let (track, again) = transcode(&track.params, back, &made);
        let off = lag(&before, &heard(&track.params, &again, 0, RATE as usize));
        assert!(off.abs() <= MS, "{to} to {back}: {off} samples late");
    }
}

#[test]
fn a_tone_keeps_its_pitch() {
    let (params, frames) = tone(2.0);
    let (track, made) = transcode(&params, Codec::Opus, &frames);
    let sound = heard(&track.params, &made, RATE / 2, RATE as usize);
    let climbs = sound.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
    assert!((998..=1_002).contains(&climbs), "{climbs} Hz");
}

/// A tone of 1 kHz, in AAC, mono.
fn tone(seconds: f64) -> (CodecParams, Vec<Frame>) {
    let mut encoder = Encoder::new(Codec::Aac, 1, 64_000).unwrap();
    let samples = (0..(seconds * RATE as f64) as i64).map(|n| (n % 48) as f32 / 48.0 * std::f32::consts::TAU);
    encoder.push(&samples.map(|phase| phase.sin() * 0.5).collect::<Vec<_>>()).unwrap();
    let packets = std::mem::take(encoder.packets());
    let frames = packets.into_iter().map(|packet| {
        let pts = Timestamp::new(packet.sample, Timescale::new(SAMPLE_RATE_HZ).unwrap());
        Frame { track: TrackId(7), pts, dts: pts, keyframe: true, payload: packet.payload }
    });
    (params(Codec::Aac, 1).unwrap(), frames.collect())
}

#[test]
fn lost_frames_and_pauses_become_silence_and_what_follows_stays_in_time() {
    let (params, mut frames) = adts(CHIRP);
    let before = heard(&params, &frames, 0, RATE as usize);
    frames.drain(10..16);
    let (track, made) = transcode(&params, Codec::Opus, &frames);
    assert_steady(&made, 960);
    let after = heard(&track.params, &made, 0, RATE as usize);
    let behind = RATE as usize / 2;
    let off = lag(&before[behind..], &after[behind..]);
    assert!(off.abs() <= MS, "{off} samples late");
    let silence = &after[(260 * MS) as usize..(320 * MS) as usize];
    assert!(loudness(silence) < 0.02, "{}", loudness(silence));
}

#[test]
fn behind_a_long_pause_time_goes_on_where_the_source_says() {
    let (params, frames) = tone(0.5);
    let mut later = frames.clone();
    for frame in &mut later {
        frame.pts = frame.pts.saturating_add_ticks(100 * RATE);
    }
    let (track, made) = transcode(&params, Codec::Opus, &[frames.clone(), later].concat());
    let jump = made.windows(2).position(|pair| pair[1].pts.micros_since(pair[0].pts) > 20_000).unwrap();
    assert_steady(&made[..=jump], 960);
    assert_steady(&made[jump + 1..], 960);
    assert!((99 * RATE..101 * RATE).contains(&made[jump + 1].pts.ticks()));
    let sound = heard(&track.params, &made, 100 * RATE + RATE / 10, RATE as usize / 4);
    assert!(loudness(&sound) > 0.3);
}

#[test]
fn timestamps_in_whole_milliseconds_make_an_even_row() {
    let (params, mut frames) = adts(CHIRP);
    for frame in &mut frames {
        frame.pts = Timestamp::from_millis(frame.pts.as_millis() + 5_000);
    }
    let (_, made) = transcode(&params, Codec::Opus, &frames);
    assert_steady(&made, 960);
    assert!((made[0].pts.ticks() - (5 * RATE - 1024 * RATE / 44_100 - 312)).abs() <= MS);
}

#[test]
fn mono_stays_mono_and_frames_keep_the_name_of_their_track() {
    let (params, frames) = tone(0.2);
    let (track, made) = transcode(&params, Codec::Opus, &frames);
    assert_eq!((track.params.audio().unwrap().channels, track.id), (1, TrackId(7)));
    assert!(made.iter().all(|frame| frame.track == TrackId(7) && frame.keyframe));
    let (stereo, frames) = audio_of("flv/vp9_ac3.flv");
    let (track, _) = transcode(&stereo, Codec::Aac, &frames);
    assert_eq!(track.params.audio().unwrap().channels.min(2), stereo.audio().unwrap().channels.min(2));
}

#[test]
fn a_higher_bit_rate_takes_more_bytes() {
    let (params, frames) = adts(CHIRP);
    let bytes = |bitrate_bps| -> usize {
        let options = AudioOptions { bitrate_bps };
        let mut transcoder = AudioTranscoder::new(&params, Codec::Opus, options).unwrap();
        frames.iter().flat_map(|frame| transcoder.push(frame).unwrap()).map(|frame| frame.payload.len()).sum()
    };
    assert!(bytes(256_000) > 2 * bytes(64_000));
    assert_eq!(bytes(0), bytes(16_000));
}

#[test]
fn what_cannot_be_made_is_refused_in_words() {
    let refused =
        |from: &CodecParams, to| AudioTranscoder::new(from, to, AudioOptions::default()).unwrap_err();
    let (aac, _) = adts(CHIRP);
    assert_eq!(refused(&aac, Codec::Flac).to_string(), "no encoder for FLAC");
    assert_eq!(refused(&CodecParams::script_data(), Codec::Opus).to_string(), "no decoder for script data");
    let usac = CodecParams { config: Bytes::new(), ..aac };
    assert!(matches!(refused(&usac, Codec::Opus), Error::Decode { codec: Codec::Aac, .. }));
}

#[test]
fn a_broken_frame_is_an_error_and_the_next_one_goes_on() {
    let (params, mut frames) = adts(CHIRP);
    let before = heard(&params, &frames, 0, RATE as usize);
    frames[12].payload = Bytes::from_static(&[0xff; 40]);
    frames[14].payload = Bytes::new();
    frames[16].payload = vec![0; MAX_PACKET_BYTES + 1].into();
    let mut transcoder = AudioTranscoder::new(&params, Codec::Opus, AudioOptions::default()).unwrap();
    let (mut made, mut errors) = (Vec::new(), Vec::new());
    for frame in &frames {
        match transcoder.push(frame) {
            Ok(frames) => made.extend(frames),
            Err(error) => errors.push(error),
        }
    }
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].to_string().starts_with("AAC that cannot be decoded: "), "{}", errors[0]);
    assert_eq!(errors[2], Error::TooLarge { bytes: MAX_PACKET_BYTES + 1, most: MAX_PACKET_BYTES });
    assert_steady(&made, 960);
    let after = heard(&transcoder.track().params, &made, 0, RATE as usize);
    let off = lag(&before[24_000..], &after[24_000..]);
    assert!(off.abs() <= MS, "{off} samples late");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_at_any_time_never_panic(
        packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..600), any::<i64>()), 1..12),
        from in 0usize..6,
    ) {
        let files = ["flv/h264_aac.flv", "flv/h264_mp3.flv", "flv/hevc_flac.flv", "flv/vp9_ac3.flv", "flv/av1_opus.flv", "flv/eac3.flv"];
        let (params, good) = audio_of(files[from]);
        let mut transcoder = AudioTranscoder::new(&params, Codec::Opus, AudioOptions::default()).unwrap();
        for ((payload, ticks), good) in packets.into_iter().zip(&good) {
            let pts = Timestamp::new(ticks, Timescale::MILLIS);
            let _ = transcoder.push(&Frame { payload: payload.into(), pts, dts: pts, ..good.clone() });
            // Damaged rather than noise: it passes the decoder's first look.
            let mut damaged = good.payload.to_vec();
            let at = ticks.unsigned_abs() as usize % damaged.len();
            damaged[at] ^= 0x55;
            let _ = transcoder.push(&Frame { payload: damaged.into(), ..good.clone() });
        }
        let _ = transcoder.finish();
    }
}
