//! Movies made of our own fragments, read back by our reader and by `mp4-atom`.

use std::io::Cursor;

use mp4_atom::Decode;

use super::*;
use crate::{
    AudioFormat, Codec, CodecParams, Format, Frame, Track, TrackId, TrackKind, VideoFormat,
    container::{
        cmaf::{self, Run, Sample},
        mp4::Reader,
    },
};

/// Of libx264 at 320x180, and AAC at 48 kHz.
const AVCC: &[u8] = &[
    1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 15, 0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44,
    0, 0, 3, 0, 1, 0, 4, 0x68, 0xce, 0x3c, 0x80,
];
const ASC: &[u8] = &[0x11, 0x90];
/// Ticks of a picture at 25 fps in 90 kHz, and of 1024 samples in 48 kHz.
const PICTURE: u32 = 3_600;
const SOUND: u32 = 1_024;
const HZ: u32 = 90_000;

fn track(kind: TrackKind) -> Track {
    let (id, codec, config, format) = match kind {
        TrackKind::Video => {
            let format = VideoFormat { width: 320, height: 180, ..VideoFormat::default() };
            (TrackId::VIDEO, Codec::H264, AVCC, Format::Video(format))
        }
        _ => {
            let format = AudioFormat { sample_rate_hz: 48_000, channels: 2, samples_per_frame: Some(1024) };
            (TrackId::AUDIO, Codec::Aac, ASC, Format::Audio(format))
        }
    };
    let params = CodecParams { codec, config: Bytes::from_static(config), format, rfc6381: String::new() };
    Track { id, timescale: Timescale::MPEG, params }
}

fn both() -> Vec<Track> {
    vec![track(TrackKind::Video), track(TrackKind::Audio)]
}

/// A payload that says what it is.
fn payload(kind: u8, number: u64) -> Bytes {
    let body = [&[kind][..], &number.to_be_bytes(), &vec![kind; 5 + number as usize % 7]].concat();
    [&(body.len() as u32).to_be_bytes()[..], &body].concat().into()
}

/// Pictures `numbers`, in decoding order; every tenth is a keyframe. `reordered`: they are shown one later, and each third one two later.
fn pictures(numbers: Range<u64>, reordered: bool) -> Vec<Sample> {
    let picture = |number: u64| Sample {
        duration: PICTURE,
        composition_offset: if reordered { [1, 2, 0][number as usize % 3] * PICTURE as i32 } else { 0 },
        keyframe: number.is_multiple_of(10),
        payload: payload(b'v', number),
    };
    numbers.map(picture).collect()
}

fn sounds(numbers: Range<u64>) -> Vec<Sample> {
    let sound = |number| Sample {
        duration: SOUND,
        composition_offset: 0,
        keyframe: true,
        payload: payload(b'a', number),
    };
    numbers.map(sound).collect()
}

/// Files that a movie is made of, and the movie.
#[derive(Default)]
struct Stage {
    files: Vec<Vec<u8>>,
    builder: Builder,
}

impl Stage {
    fn init(&mut self, tracks: &[Track]) {
        self.builder.init(&cmaf::init_segment(tracks).unwrap()).unwrap();
    }

    /// A file of one fragment with pictures from `pictures_at` and sounds from `sounds_at` on, in ticks.
    fn add(&mut self, pictures: (u64, &[Sample]), sounds: (u64, &[Sample])) {
        let run = |track_id, (base_dts, samples)| Run { track_id, base_dts, samples };
        let fragment = cmaf::fragment(1, &[run(1, pictures), run(2, sounds)]).unwrap();
        self.push(&fragment);
    }

    fn push(&mut self, fragment: &[Bytes]) {
        // Something in front, so that offsets matter.
        let mut file = b"\0\0\0\x0cfree....".to_vec();
        let moof_at = file.len() as u64;
        let moof = fragment[0].slice(..fragment[0].len() - 8);
        self.builder.fragment(self.files.len() as u32, moof_at, &moof).unwrap();
        file.extend(fragment.concat());
        self.files.push(file);
    }

    fn bytes(&self, movie: &Movie, range: Range<u64>) -> Vec<u8> {
        let slices = movie.slices(range).map(|slice| match slice {
            Slice::Head(bytes) => bytes.to_vec(),
            Slice::Source { source, range } => {
                self.files[source as usize][range.start as usize..range.end as usize].to_vec()
            }
        });
        slices.collect::<Vec<_>>().concat()
    }

    fn build(&mut self, cut: Cut) -> (Movie, Vec<u8>) {
        let movie = std::mem::take(&mut self.builder).build(cut).unwrap();
        let bytes = self.bytes(&movie, 0..u64::MAX);
        assert_eq!(bytes.len() as u64, movie.len());
        (movie, bytes)
    }
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut reader = Reader::open(Cursor::new(bytes), Limits::default()).unwrap();
    std::iter::from_fn(|| reader.next_frame().unwrap()).collect()
}

fn of(frames: &[Frame], track: TrackId) -> Vec<&Frame> {
    frames.iter().filter(|frame| frame.track == track).collect()
}

fn moov(bytes: &[u8]) -> mp4_atom::Moov {
    let mut rest = bytes;
    mp4_atom::Ftyp::decode(&mut rest).unwrap();
    mp4_atom::Moov::decode(&mut rest).unwrap()
}

fn at_ms(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// Two seconds in four fragments.
fn two_seconds(reordered: bool) -> Stage {
    let mut stage = Stage::default();
    stage.init(&both());
    let (pictures, sounds) = (pictures(0..50, reordered), sounds(0..94));
    let begins = |part: usize, of: usize| part * of / 4;
    for part in 0..4 {
        let (v, a) = (begins(part, 50)..begins(part + 1, 50), begins(part, 94)..begins(part + 1, 94));
        let (v_at, a_at) = (v.start as u64 * u64::from(PICTURE), a.start as u64 * u64::from(SOUND));
        stage.add((v_at, &pictures[v]), (a_at, &sounds[a]));
    }
    stage
}

#[test]
fn a_movie_has_every_frame_as_it_was_and_can_be_had_in_any_piece() {
    let mut stage = two_seconds(false);
    let (movie, bytes) = stage.build(Cut::default());
    let frames = frames(&bytes);
    let (v, a) = (of(&frames, TrackId::VIDEO), of(&frames, TrackId::AUDIO));
    assert_eq!((v.len(), a.len()), (50, 94));
    for (number, frame) in (0..).zip(&v) {
        assert_eq!(frame.payload, payload(b'v', number));
        assert_eq!((frame.dts.as_millis(), frame.pts.as_millis()), (40 * number as i64, 40 * number as i64));
        assert_eq!(frame.keyframe, number % 10 == 0);
    }
    for (number, frame) in (0..).zip(&a) {
        assert_eq!(frame.payload, payload(b'a', number));
        assert_eq!(frame.dts.ticks(), number as i64 * i64::from(SOUND));
    }
    assert_eq!(movie.duration().as_millis(), 2_005); // the sound's 94 frames
    for range in [0..1, 10..movie.len() - 1, movie.len() - 5..movie.len() + 5, 700..2_000, 5..5] {
        let whole = &bytes[range.start as usize..range.end.min(movie.len()) as usize];
        assert_eq!(stage.bytes(&movie, range.clone()), whole, "{range:?}");
    }
}

#[test]
fn what_is_written_reads_the_same_in_another_implementation() {
    let (_, bytes) = two_seconds(true).build(Cut::default());
    let moov = moov(&bytes);
    assert_eq!((moov.mvhd.timescale, moov.mvhd.next_track_id), (HZ, 3));
    let [v, a] = &moov.trak[..] else { panic!("{} tracks", moov.trak.len()) };
    assert_eq!((v.mdia.mdhd.timescale, v.mdia.mdhd.duration), (HZ, 50 * u64::from(PICTURE)));
    assert_eq!((a.mdia.mdhd.timescale, a.mdia.mdhd.duration), (48_000, 94 * u64::from(SOUND)));
    let table = &v.mdia.minf.stbl;
    assert_eq!(table.stts.entries.len(), 1);
    assert_eq!(table.stss.as_ref().unwrap().entries, [1, 11, 21, 31, 41]);
    assert_eq!(table.stco.as_ref().unwrap().entries.len(), 4);
    assert!(table.ctts.is_some() && a.mdia.minf.stbl.ctts.is_none() && a.mdia.minf.stbl.stss.is_none());
    assert!(moov.mvex.is_none());
}

#[test]
fn reordered_pictures_keep_their_times_and_their_distance_to_the_sound() {
    let (_, bytes) = two_seconds(true).build(Cut::default());
    let frames = frames(&bytes);
    let shown: Vec<i64> = of(&frames, TrackId::VIDEO).iter().map(|frame| frame.pts.as_millis()).collect();
    assert_eq!(shown[..6], [40, 120, 80, 160, 240, 200]);
    assert_eq!(of(&frames, TrackId::AUDIO)[0].pts.as_millis(), 0);
}

#[test]
fn a_cut_begins_and_ends_at_any_frame_and_decodes_from_the_keyframe_before() {
    let cut = Cut { from: Some(at_ms(1_000)), to: Some(at_ms(1_500)) };
    let (movie, bytes) = two_seconds(false).build(cut);
    assert_eq!(movie.duration().as_millis(), 500);
    let frames = frames(&bytes);
    // The reader shows what an edit list hides, before zero.
    let v: Vec<i64> = of(&frames, TrackId::VIDEO).iter().map(|frame| frame.pts.as_millis()).collect();
    assert_eq!((v[0], v[v.len() - 1], v.len()), (-200, 480, 18));
    assert!(of(&frames, TrackId::VIDEO)[0].keyframe);
    let a = of(&frames, TrackId::AUDIO);
    assert!(a[0].pts.as_millis() <= 0 && a[1].pts.as_millis() > 0, "{} {}", a[0].pts, a[1].pts);
    assert_eq!(a[0].payload, payload(b'a', 46));
    let moov = moov(&bytes);
    let edits = |track: usize| &moov.trak[track].edts.as_ref().unwrap().elst.as_ref().unwrap().entries;
    assert_eq!((edits(0)[0].segment_duration, edits(0)[0].media_time), (45_000, Some(18_000)));
    assert_eq!(edits(1)[0].segment_duration, 45_000);
}

#[test]
fn a_cut_of_reordered_pictures_keeps_what_its_last_picture_needs() {
    let cut = Cut { from: Some(at_ms(440)), to: Some(at_ms(520)) };
    let (movie, bytes) = two_seconds(true).build(cut);
    assert_eq!(movie.duration().as_millis(), 80);
    let frames = frames(&bytes);
    let shown =
        of(&frames, TrackId::VIDEO).iter().filter(|frame| (0..80).contains(&frame.pts.as_millis())).count();
    assert_eq!(shown, 2);
}

#[test]
fn a_cut_where_there_is_nothing_is_an_error() {
    let nothing = Cut { from: Some(at_ms(9_000)), to: Some(at_ms(9_500)) };
    assert!(matches!(two_seconds(false).builder.build(nothing), Err(Error::Missing(_))));
    assert!(matches!(Builder::default().build(Cut::default()), Err(Error::Missing(_))));
}

#[test]
fn a_track_that_begins_later_is_shown_later() {
    let mut stage = Stage::default();
    stage.init(&both());
    stage.add((90_000, &pictures(0..10, false)), (57_600, &sounds(0..20)));
    let (_, bytes) = stage.build(Cut::default());
    let frames = frames(&bytes);
    assert_eq!(of(&frames, TrackId::VIDEO)[0].pts.as_millis(), 0);
    assert_eq!(of(&frames, TrackId::AUDIO)[0].pts.as_millis(), 200);
}

#[test]
fn a_pause_is_kept_and_a_step_back_is_joined_without_a_gap() {
    let mut stage = Stage::default();
    stage.init(&both());
    stage.add((0, &pictures(0..10, false)), (0, &sounds(0..19)));
    stage.builder.discontinuity();
    stage.add((450_000, &pictures(10..20, false)), (240_000, &sounds(19..38)));
    stage.builder.discontinuity();
    stage.add((9_000, &pictures(20..30, false)), (4_800, &sounds(38..57)));
    let (movie, bytes) = stage.build(Cut::default());
    let frames = frames(&bytes);
    let v: Vec<i64> = of(&frames, TrackId::VIDEO).iter().map(|frame| frame.pts.as_millis()).collect();
    assert_eq!((v[9], v[10]), (360, 5_000));
    // The sound lasted until 5.405 s.
    assert_eq!((v[19], v[20]), (5_360, 5_405));
    let a = of(&frames, TrackId::AUDIO);
    assert_eq!((a[38].pts.as_millis(), a[38].payload.clone()), (5_405, payload(b'a', 38)));
    assert_eq!(movie.duration().as_millis(), 5_810);
}

#[test]
fn another_coding_is_a_sample_description_of_its_own() {
    let mut stage = Stage::default();
    stage.init(&both());
    stage.add((0, &pictures(0..10, false)), (0, &sounds(0..19)));
    let mut tracks = both();
    tracks[0].params.format =
        Format::Video(VideoFormat { width: 640, height: 360, ..VideoFormat::default() });
    stage.init(&tracks);
    stage.add((36_000, &pictures(10..20, false)), (19_456, &sounds(19..38)));
    let (_, bytes) = stage.build(Cut::default());
    let moov = moov(&bytes);
    assert_eq!(moov.trak.len(), 2);
    let table = &moov.trak[0].mdia.minf.stbl;
    assert_eq!(table.stsd.codecs.len(), 2);
    let descriptions: Vec<_> = table.stsc.entries.iter().map(|run| run.sample_description_index).collect();
    assert_eq!(descriptions, [1, 2]);
    assert_eq!(moov.trak[1].mdia.minf.stbl.stsd.codecs.len(), 1);
}

#[test]
fn media_of_more_than_four_gigabytes_has_wide_offsets() {
    let mut stage = Stage::default();
    stage.init(&[track(TrackKind::Video)]);
    for number in 0..2 {
        let sample = pictures(number..number + 1, false);
        let run = Run { track_id: 1, base_dts: number * u64::from(PICTURE), samples: &sample };
        let mut moof = cmaf::fragment(1, &[run]).unwrap()[0].to_vec();
        moof.truncate(moof.len() - 8);
        // The last word is the size of the only sample.
        let size_at = moof.len() - 4;
        moof[size_at..].copy_from_slice(&(3_u32 << 30).to_be_bytes());
        stage.builder.fragment(number as u32, 0, &moof.into()).unwrap();
    }
    let movie = stage.builder.build(Cut::default()).unwrap();
    assert!(movie.len() > 6 << 30);
    let Some(Slice::Head(head)) = movie.slices(0..1 << 20).next() else { panic!("no head") };
    let moov = moov(&head);
    let offsets = moov.trak[0].mdia.minf.stbl.co64.as_ref().unwrap().entries.clone();
    assert_eq!(offsets, [head.len() as u64, head.len() as u64 + (3 << 30)]);
    assert_eq!(&head[head.len() - 12..head.len() - 8], b"mdat");
    assert_eq!(head[head.len() - 8..], ((6_u64 << 30) + 16).to_be_bytes());
}

#[test]
fn nonsense_is_refused_and_what_was_taken_stays() {
    let mut stage = two_seconds(false);
    assert!(stage.builder.init(&Bytes::from_static(b"\0\0\0\x08moov")).is_err());
    assert!(stage.builder.fragment(9, 0, &Bytes::from_static(b"\0\0\0\x09moof")).is_err());
    assert!(stage.builder.fragment(9, 0, &Bytes::from_static(b"\0\0\0\x10moof\0\0\0\x09traf")).is_err());
    let (_, bytes) = stage.build(Cut::default());
    assert_eq!(frames(&bytes).len(), 144);
}
