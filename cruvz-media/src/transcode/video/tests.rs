use std::{fs::File, path::Path};

use bytes::Bytes;
use ffmpeg_next::frame;
use proptest::prelude::*;

use super::*;
use crate::{
    Codec, Timescale, TrackId, TrackKind, codec,
    codec::{h264, nal},
    container::file::{Limits, Reader},
    rtp,
};

fn fixture(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file)
}

/// The first video track of a file, and its frames.
fn video_of(file: &str) -> (Track, Vec<Frame>) {
    if file.ends_with(".rtp") {
        return received(file);
    }
    let mut reader = Reader::open(File::open(fixture(file)).unwrap(), Limits::default()).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        frames.push(frame);
    }
    let mut track = reader.tracks().first(TrackKind::Video).unwrap().clone();
    frames.retain(|frame| frame.track == track.id);
    track.params = codec::complete(track.params, &frames[0].payload).unwrap();
    (track, frames)
}

/// The same of a capture of RTP packets of VP8, each behind its length.
fn received(file: &str) -> (Track, Vec<Frame>) {
    let bytes = std::fs::read(fixture(file)).unwrap();
    let mut depacketizer = rtp::Depacketizer::new(Codec::Vp8, rtp::Limits::default()).unwrap();
    let (mut rest, mut events) = (&bytes[..], Vec::new());
    while let [high, low, after @ ..] = rest {
        let (packet, after) = after.split_at(u16::from_be_bytes([*high, *low]).into());
        let packet = rtp::Packet::parse(Bytes::copy_from_slice(packet)).unwrap();
        depacketizer.push(&packet, false, &mut events);
        rest = after;
    }
    let (mut params, mut frames) = (None, Vec::new());
    for event in events {
        match event {
            rtp::Event::Params(found) => params = Some(found),
            rtp::Event::Frame { timestamp, keyframe, payload } => {
                let pts = Timestamp::new(timestamp.into(), Timescale::MPEG);
                frames.push(Frame { track: TrackId::VIDEO, pts, dts: pts, keyframe, payload });
            }
        }
    }
    (Track { id: TrackId::VIDEO, timescale: Timescale::MPEG, params: params.unwrap() }, frames)
}

/// Two seconds of moving bars as libx264 encodes them when told `options`, 60 frames in two groups.
fn x264(options: &[&str]) -> (Track, Vec<Frame>) {
    let input = [
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=30:duration=2",
        "-pix_fmt",
        "yuv420p",
    ];
    let output = ["-g", "30", "-f", "flv", "-"];
    let mut ffmpeg = std::process::Command::new("ffmpeg");
    let done = ffmpeg.args(input).args(["-c:v", "libx264"]).args(options).args(output).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut reader = Reader::open(std::io::Cursor::new(done.stdout), Limits::default()).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        frames.push(frame);
    }
    let track = reader.tracks().first(TrackKind::Video).unwrap().clone();
    frames.retain(|frame| frame.track == track.id);
    (track, frames)
}

fn transcode(track: &Track, options: VideoOptions, frames: &[Frame]) -> (Track, Vec<Frame>) {
    let mut transcoder = VideoTranscoder::new(track, options).unwrap();
    let mut made: Vec<_> = frames.iter().flat_map(|frame| transcoder.push(frame).unwrap()).collect();
    let track = transcoder.track().clone();
    made.extend(transcoder.finish().unwrap());
    (track, made)
}

/// What is seen of `frames`: when, and the luma samples of each picture.
fn seen(track: &Track, frames: &[Frame]) -> Vec<(Timestamp, Vec<u8>)> {
    let mut decoder = Decoder::new(&track.params).unwrap();
    let mut seen = Vec::new();
    let mut take = |decoder: &mut Decoder| {
        while let Some(picture) = decoder.next_picture().unwrap() {
            seen.push((picture.pts, luma(&picture.image)));
        }
    };
    for frame in frames {
        decoder.push(frame, true).unwrap();
        take(&mut decoder);
    }
    decoder.finish().unwrap();
    take(&mut decoder);
    seen
}

fn luma(image: &frame::Video) -> Vec<u8> {
    let form = Form::of(image, None).unwrap();
    if let Some(scaler) = Scaler::between(image, &form) {
        return luma(&scaler.run(image).unwrap());
    }
    let (width, stride) = (image.width() as usize, image.stride(0));
    image.data(0).chunks(stride).flat_map(|row| &row[..width]).copied().collect()
}

/// How like two pictures are, in dB (PSNR).
fn likeness(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    let squares = one.iter().zip(other).map(|(one, other)| f64::from(one.abs_diff(*other)).powi(2));
    10.0 * (255.0f64.powi(2) / (squares.sum::<f64>() / one.len() as f64).max(1e-9)).log10()
}

/// Both show the same pictures at the same times.
fn assert_alike(source: &(Track, Vec<Frame>), made: &(Track, Vec<Frame>), least_db: f64) {
    let (before, after) = (seen(&source.0, &source.1), seen(&made.0, &made.1));
    assert_eq!(before.len(), after.len());
    for ((shown, before), (made, after)) in before.iter().zip(&after) {
        assert_eq!(shown, made);
        let db = likeness(before, after);
        assert!(db > least_db, "{db:.1} dB at {shown}");
    }
}

const FILES: [(&str, Codec); 8] = [
    ("flv/h264_aac.flv", Codec::H264),
    ("mp4/avc-aac-quicktime.mp4", Codec::H264),
    ("mpegts/h264_aac.ts", Codec::H264),
    ("flv/hevc_flac.flv", Codec::H265),
    ("flv/hdr.flv", Codec::H265),
    ("rtp/vp8.rtp", Codec::Vp8),
    ("flv/vp9_ac3.flv", Codec::Vp9),
    ("flv/av1_opus.flv", Codec::Av1),
];

#[test]
fn every_codec_becomes_pictures_in_the_order_they_are_shown_at_the_times_they_were() {
    for (file, codec) in FILES {
        let source = video_of(file);
        assert_eq!(source.0.params.codec, codec, "{file}");
        let made = transcode(&source.0, VideoOptions::default(), &source.1);
        let (before, after) = (source.0.params.video().unwrap(), made.0.params.video().unwrap());
        assert_eq!((after.width, after.height), (before.width, before.height), "{file}");
        assert_eq!((made.0.params.codec, after.reorder_depth), (Codec::H264, Some(0)), "{file}");
        assert_eq!((made.0.id, made.0.timescale), (source.0.id, source.0.timescale), "{file}");
        assert!(
            made.1.windows(2).all(|pair| pair[0].pts < pair[1].pts && pair[0].dts == pair[0].pts),
            "{file}"
        );
        let keyframes = |frames: &[Frame]| -> Vec<_> {
            frames.iter().filter(|frame| frame.keyframe).map(|frame| frame.pts).collect()
        };
        assert_eq!(keyframes(&source.1), keyframes(&made.1), "{file}");
        for frame in &made.1 {
            assert_eq!(
                (frame.keyframe, frame.track),
                (h264::is_keyframe(&frame.payload), source.0.id),
                "{file}"
            );
        }
        assert_alike(&source, &made, 25.0);
    }
}

#[test]
fn a_picture_comes_out_as_soon_as_those_before_it_have_come() {
    let (track, frames) = video_of("flv/h264_aac.flv");
    let mut transcoder = VideoTranscoder::new(&track, VideoOptions::default()).unwrap();
    let depth = usize::from(track.params.video().unwrap().reorder_depth.unwrap());
    let mut made = 0;
    for (at, frame) in frames.iter().enumerate() {
        made += transcoder.push(frame).unwrap().len();
        assert!(made >= (at + 1).saturating_sub(depth), "{made} after {}", at + 1);
    }
    assert_eq!(made + transcoder.finish().unwrap().len(), frames.len());
}

#[test]
fn what_is_passed_over_is_not_seen_and_the_next_picture_stands_by_itself() {
    let source = video_of("flv/h264_aac.flv");
    let mut transcoder = VideoTranscoder::new(&source.0, VideoOptions::default()).unwrap();
    let mut made = Vec::new();
    for (at, frame) in source.1.iter().enumerate() {
        let taken = if at < 3 { transcoder.pass_over(frame) } else { transcoder.push(frame) };
        made.extend(taken.unwrap());
    }
    let track = transcoder.track().clone();
    made.extend(transcoder.finish().unwrap());
    let passed: Vec<_> = source.1[..3].iter().map(|frame| frame.pts).collect();
    assert_eq!(made.len(), source.1.len() - 3);
    assert!(made[0].keyframe && made.iter().all(|frame| !passed.contains(&frame.pts)));
    let before = seen(&source.0, &source.1);
    for (at, after) in seen(&track, &made) {
        let (_, before) = before.iter().find(|(shown, _)| *shown == at).unwrap();
        assert!(likeness(before, &after) > 30.0, "at {at}");
    }
}

#[test]
fn a_keyframe_is_made_when_one_is_asked_for() {
    let (track, frames) = video_of("rtp/vp8.rtp");
    let mut transcoder = VideoTranscoder::new(&track, VideoOptions::default()).unwrap();
    let made: Vec<_> = (0..)
        .zip(&frames)
        .flat_map(|(at, frame)| {
            (at == 3).then(|| transcoder.make_keyframe());
            transcoder.push(frame).unwrap()
        })
        .map(|frame| frame.keyframe)
        .collect();
    let mut expected: Vec<_> = frames.iter().map(|frame| frame.keyframe).collect();
    assert!(!expected[3]);
    expected[3] = true;
    assert_eq!(made, expected);
}

#[test]
fn pictures_can_be_made_smaller_and_the_bit_rate_less() {
    let (track, frames) = video_of("mp4/avc-aac.mp4");
    let options = VideoOptions { size: Some((49, 32)), ..VideoOptions::default() };
    let (small, made) = transcode(&track, options, &frames);
    let video = small.params.video().unwrap();
    assert_eq!((video.width, video.height, made.len()), (48, 32, frames.len()));
    assert!(seen(&small, &made).iter().all(|(_, luma)| luma.len() == 48 * 32));
}

#[test]
fn a_source_whose_pictures_change_their_size_becomes_a_track_that_does() {
    let (track, mut frames) = video_of("flv/h264_aac.flv");
    let (other, others) = video_of("mp4/avc-aac.mp4");
    let record = h264::Record::parse(&other.params.config).unwrap();
    let later = frames.last().unwrap().pts.saturating_add_ticks(1_000);
    for (at, frame) in (0..).zip(&others) {
        let mut frame = Frame { pts: later.saturating_add_ticks(at * 40), ..frame.clone() };
        if frame.keyframe {
            let sets = [&record.sps[..], &record.pps[..]].concat();
            let units =
                sets.iter().map(|set| [&[0, 0, 0, 1], &set[..]].concat()).collect::<Vec<_>>().concat();
            frame.payload = [&nal::from_annex_b(&units).unwrap()[..], &frame.payload[..]].concat().into();
        }
        frames.push(frame);
    }
    let mut transcoder = VideoTranscoder::new(&track, VideoOptions::default()).unwrap();
    let mut sizes = Vec::new();
    for frame in &frames {
        if let Some(first) = transcoder.push(frame).unwrap().first() {
            let video = transcoder.track().params.video().unwrap();
            if sizes.last() != Some(&(video.width, video.height)) {
                sizes.push((video.width, video.height));
                assert!(first.keyframe);
            }
        }
    }
    assert_eq!(sizes, [(64, 48), (96, 64)]);
}

#[test]
fn what_cannot_be_made_is_refused_in_words() {
    let (track, frames) = video_of("rtp/vp8.rtp");
    let refused = |track: &Track, options| VideoTranscoder::new(track, options).unwrap_err().to_string();
    let sized = |width, height| {
        let mut track = track.clone();
        if let crate::Format::Video(video) = &mut track.params.format {
            (video.width, video.height) = (width, height);
        }
        track
    };
    assert_eq!(refused(&sized(1, 16), VideoOptions::default()), "pictures of 1 by 16");
    assert_eq!(
        refused(&sized(u32::MAX, u32::MAX), VideoOptions::default()),
        "pictures of 4294967295 by 4294967295"
    );
    let options = VideoOptions { encoder: Some("libx265".into()), ..VideoOptions::default() };
    assert_eq!(refused(&track, options), "no encoder for H.264");
    let audio = Track {
        params: codec::parse(Codec::Aac, Bytes::from_static(&[0x11, 0x90])).unwrap(),
        ..track.clone()
    };
    assert_eq!(refused(&audio, VideoOptions::default()), "no decoder for AAC");
    let mut transcoder = VideoTranscoder::new(&track, VideoOptions::default()).unwrap();
    for payload in [Bytes::new(), vec![0; MAX_PICTURE_BYTES + 1].into()] {
        let error = transcoder.push(&Frame { payload, ..frames[0].clone() }).unwrap_err();
        assert!(matches!(error, Error::TooLarge { most: MAX_PICTURE_BYTES, .. }), "{error}");
    }
    // A keyframe that claims 16,383 by 16,383 (RFC 6386 §9.1).
    let mut huge = frames[0].payload.to_vec();
    huge[6..10].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    let error = transcoder.push(&Frame { payload: huge.into(), ..frames[0].clone() }).unwrap_err();
    assert!(matches!(error, Error::Decode { codec: Codec::Vp8, .. }), "{error}");
    assert_eq!(transcoder.push(&frames[0]).unwrap().len(), 1);
}

#[test]
fn a_size_that_only_the_pictures_tell_is_learnt_from_the_first() {
    let (mut track, frames) = video_of("rtp/vp8.rtp");
    let size = *track.params.video().unwrap();
    track.params = codec::parse(Codec::Vp8, Bytes::new()).unwrap();
    let (made, _) = transcode(&track, VideoOptions::default(), &frames);
    let video = made.params.video().unwrap();
    assert_eq!((video.width, video.height), (size.width, size.height));
}

#[test]
fn nothing_comes_out_before_the_first_keyframe() {
    let (track, frames) = video_of("flv/h264_aac.flv");
    let at = frames.iter().skip(1).position(|frame| frame.keyframe).unwrap() + 1;
    let (_, made) = transcode(&track, VideoOptions::default(), &frames[1..]);
    assert!(made[0].keyframe && made[0].pts == frames[at].pts);
}

/// What [`rtp::Order`] leaves of a stream is shown in order, and sample by sample as it would be with all the rest.
#[test]
fn what_is_left_for_players_without_reordering_is_exact() {
    for (options, least) in [
        (&["-preset", "veryfast"][..], 16),
        (&["-preset", "medium"], 4),
        (&["-preset", "slow"], 4),
        (&["-preset", "medium", "-x264-params", "b-pyramid=none"], 16),
        (&["-preset", "medium", "-x264-params", "b-pyramid=strict"], 4),
        (&["-preset", "medium", "-bf", "1"], 30),
        (&["-preset", "fast", "-weightp", "2", "-bf", "2"], 4),
        (&["-preset", "veryfast", "-slices", "3"], 16),
        (&["-preset", "medium", "-flags", "+ildct+ilme", "-x264opts", "tff=1"], 4),
        (&["-preset", "medium", "-bf", "0"], 60),
    ] {
        let (track, frames) = x264(options);
        let mut order = rtp::Order::default();
        order.retrack(&track.params);
        let kept: Vec<_> = frames.iter().filter(|frame| order.takes(frame)).cloned().collect();
        assert!(kept.len() >= least, "{options:?}: {} of {}", kept.len(), frames.len());
        assert!(kept.is_sorted_by_key(|frame| frame.pts), "{options:?}");
        let whole = seen(&track, &frames);
        let left = seen(&track, &kept);
        assert_eq!(left.len(), kept.len(), "{options:?}");
        for (at, luma) in left {
            let (_, expected) = whole.iter().find(|(shown, _)| *shown == at).unwrap();
            assert!(*expected == luma, "{options:?}: another picture at {at}");
        }
    }
}

/// Frames one after the other until there are `count`, as if the source went on.
fn repeated(frames: &[Frame], count: usize) -> Vec<Frame> {
    let step = frames.iter().map(|frame| frame.pts.ticks()).max().unwrap() + 40 - frames[0].dts.ticks();
    let rounds = (0..).flat_map(|round| frames.iter().map(move |frame| (round, frame)));
    let later = |(round, frame): (i64, &Frame)| Frame {
        pts: frame.pts.saturating_add_ticks(round * step),
        dts: frame.dts.saturating_add_ticks(round * step),
        ..frame.clone()
    };
    rounds.map(later).take(count).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn damage_is_never_the_end_and_is_healed_at_the_next_keyframe(
        file in 0..FILES.len(),
        hits in prop::collection::vec((0usize..20, any::<usize>(), 1u8..=255), 1..12),
        cut in prop::option::of((0usize..20, any::<usize>())),
    ) {
        let (track, frames) = video_of(FILES[file].0);
        let whole = repeated(&frames, 20 + frames.len());
        let mut damaged = whole.clone();
        for (at, byte, change) in hits {
            let mut payload = damaged[at].payload.to_vec();
            let byte = byte % payload.len();
            payload[byte] ^= change;
            damaged[at].payload = payload.into();
        }
        if let Some((at, len)) = cut {
            let len = len % damaged[at].payload.len();
            damaged[at].payload.truncate(len);
        }
        let mut transcoder = VideoTranscoder::new(&track, VideoOptions::default()).unwrap();
        let mut made = Vec::new();
        for frame in &damaged {
            // What comes is in order whatever happened.
            made.extend(transcoder.push(frame).unwrap_or_default());
        }
        let made_track = transcoder.track().clone();
        made.extend(transcoder.finish().unwrap_or_default());
        prop_assert!(made.windows(2).all(|pair| pair[0].pts < pair[1].pts));
        // From the first keyframe behind the damage on, all is as it would be without.
        let sound = whole[20..].iter().find(|frame| frame.keyframe).unwrap().pts;
        let first = made.iter().position(|frame| frame.keyframe && frame.pts >= sound);
        prop_assert!(first.is_some(), "no keyframe at {sound} or later");
        let before = seen(&track, &whole);
        for (at, after) in seen(&made_track, &made[first.unwrap()..]) {
            let (_, before) = before.iter().find(|(shown, _)| *shown == at).unwrap();
            let db = likeness(before, &after);
            prop_assert!(db > 25.0, "{db:.1} dB at {at}");
        }
    }

    #[test]
    fn any_bytes_never_panic(
        payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..900), any::<i64>(), any::<bool>()), 1..12),
        file in 0..FILES.len(),
    ) {
        let (track, frames) = video_of(FILES[file].0);
        let mut transcoder = VideoTranscoder::new(&track, VideoOptions::default()).unwrap();
        for ((payload, ticks, keyframe), good) in payloads.into_iter().zip(&frames) {
            let pts = Timestamp::new(ticks, track.timescale);
            let _ = transcoder.push(&Frame { payload: payload.into(), pts, dts: pts, keyframe, ..good.clone() });
            let _ = transcoder.push(good);
        }
        let _ = transcoder.finish();
    }
}
