use std::{collections::BTreeMap, io};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::{
    Codec, Timescale, TrackId, Tracks,
    hls::{
        Config, Cursor, Packager, Tail,
        tests::source::{Source, audio_track, packager, video_track},
    },
    segment::{
        Index, MediaName,
        verify::{Fault, INDEX, Repair, Report, verify},
    },
};

/// A rendition's folder, in memory, and who writes it.
#[derive(Default)]
struct Folder {
    files: BTreeMap<String, BytesMut>,
    recorder: Recorder,
    cursor: Cursor,
    inits: Vec<InitName>,
    records: Vec<SegmentRecord>,
}

impl Folder {
    /// Records what `packager` has made since.
    fn pull(&mut self, packager: &Packager) {
        loop {
            match packager.tail(&mut self.cursor) {
                Tail::Part(part) => {
                    if self.recorder.is_done_before(&part) {
                        self.complete();
                    }
                    self.write(&part, &packager.init(part.init).unwrap());
                }
                Tail::SegmentEnd => self.complete(),
                Tail::Missed => {
                    self.complete();
                    self.recorder.broken();
                }
                Tail::Wait => return,
            }
        }
    }

    fn write(&mut self, part: &LivePart, init: &Bytes) {
        let place = self.recorder.place(part, init).unwrap();
        if let Some((name, body)) = place.init {
            self.files.insert(name.to_string(), body[..].into());
            self.note(&name);
            self.inits.push(name);
            self.recorder.wrote_init(name);
        }
        let file = self.files.entry(place.file.to_string()).or_default();
        let body = Bytes::from(part.body.concat());
        file.extend_from_slice(&body);
        self.recorder.wrote(&body).unwrap();
    }

    fn complete(&mut self) {
        let Some((open, record)) = self.recorder.complete() else { return };
        let body = self.files.remove(&open.to_string()).unwrap();
        self.files.insert(record.name.to_string(), body);
        self.note(&record);
        self.records.push(record);
    }

    fn note(&mut self, line: &dyn std::fmt::Display) {
        let head = || BytesMut::from(Index::head().as_bytes());
        let index = self.files.entry(INDEX.to_owned()).or_insert_with(head);
        index.extend_from_slice(format!("{line}\n").as_bytes());
    }

    fn index(&self) -> Index {
        Index { inits: self.inits.clone(), segments: self.records.clone() }
    }

    fn verify(&self) -> Report {
        let names: Vec<_> = self.files.keys().cloned().collect();
        let mut read = |name: &str| {
            let missing = || io::Error::from(io::ErrorKind::NotFound);
            self.files.get(name).map(|bytes| bytes.clone().freeze()).ok_or_else(missing)
        };
        verify(&names, &mut read)
    }

    fn repair(&mut self, report: &Report) {
        for repair in &report.repairs {
            match repair {
                Repair::Complete { open, bytes, name } => {
                    let mut body = self.files.remove(&open.to_string()).unwrap();
                    body.truncate(*bytes as usize);
                    self.files.insert(name.to_string(), body);
                }
                Repair::Remove(file) => _ = self.files.remove(file).unwrap(),
                Repair::SetAside(file) => {
                    let body = self.files.remove(file).unwrap();
                    self.files.insert(format!("{file}.damaged"), body);
                }
                Repair::WriteIndex => {
                    self.files.insert(INDEX.to_owned(), report.index.to_string().as_bytes().into());
                }
            }
        }
    }

    fn segments(&self) -> Vec<(SegmentName, &BytesMut)> {
        let segment = |(name, bytes)| match str::parse(name) {
            Ok(MediaName::Segment(name)) => Some((name, bytes)),
            _ => None,
        };
        self.files.iter().map(|(name, bytes)| (&name[..], bytes)).filter_map(segment).collect()
    }

    fn joins(&self) -> Vec<Join> {
        self.segments().iter().map(|(name, _)| name.join).collect()
    }
}

fn write(packager: &mut Packager, tracks: &Tracks, source: &Source, ms: i64, folder: &mut Folder) {
    for (frame, arrival) in source.frames(ms) {
        packager.write(tracks, &frame, arrival);
        folder.pull(packager);
    }
}

/// Ten seconds, recorded as they come.
fn ten_seconds() -> (Packager, Folder) {
    let (mut packager, mut folder) = (packager(Config::new("r")), Folder::default());
    write(&mut packager, &Source::AV.tracks(), &Source::AV, 10_000, &mut folder);
    (packager, folder)
}

#[test]
fn what_is_recorded_is_what_viewers_get() {
    let (mut packager, mut folder) = ten_seconds();
    packager.finish();
    folder.pull(&packager);
    assert_eq!(folder.verify().problems, []);
    let segments = folder.segments();
    assert_eq!(segments.len(), 5);
    for (name, bytes) in segments {
        let live = crate::hls::tests::source::media(&packager, &format!("main.r.{}.m4s", name.sequence));
        assert_eq!(live, bytes[..], "{name}");
        assert_eq!(name.starts_at_unix_ms, 1_767_225_600_000 + 2_000 * u64::from(name.sequence));
    }
    let index = folder.index();
    assert_eq!(folder.files[INDEX], index.to_string().as_bytes());
    let ms = index.duration_ns() / 1_000_000;
    assert!((9_990..=10_040).contains(&ms), "{ms}");
    assert!(index.segments.iter().all(|segment| segment.independent() && segment.parts.len() == 10));
}

#[test]
fn a_file_cut_anywhere_is_repaired_to_its_last_whole_part() {
    let (_, folder) = ten_seconds();
    let (open, whole) = folder.segments().pop().unwrap();
    assert_eq!(open.checksum, None);
    let ends: Vec<usize> = {
        let mut records = Folder { files: folder.files.clone(), ..Folder::default() };
        records.repair(&folder.verify());
        let last = records.verify().index.segments.pop().unwrap();
        let end = |at: &mut usize, part: &crate::segment::PartRecord| {
            *at += part.bytes as usize;
            Some(*at)
        };
        last.parts.iter().scan(0, end).collect()
    };
    assert!(ends.len() > 5);
    for cut in (0..whole.len()).step_by(499).chain(ends.clone()) {
        let mut files = folder.files.clone();
        files.get_mut(&open.to_string()).unwrap().truncate(cut);
        let mut crashed = Folder { files, ..Folder::default() };
        let report = crashed.verify();
        crashed.repair(&report);
        assert_eq!(crashed.verify().problems, [], "cut at {cut}");
        let kept: usize = ends.iter().copied().filter(|end| *end <= cut).max().unwrap_or(0);
        let last = crashed.segments().pop().unwrap();
        let left = if last.0.sequence == open.sequence { last.1.len() } else { 0 };
        assert_eq!(left, kept, "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_set_aside() {
    let (mut packager, mut folder) = ten_seconds();
    packager.finish();
    folder.pull(&packager);
    let (name, bytes) = folder.segments()[2];
    let (name, len) = (name.to_string(), bytes.len());
    for at in (0..len).step_by(1_009) {
        let mut files = folder.files.clone();
        files.get_mut(&name).unwrap()[at] ^= 0x10;
        let mut damaged = Folder { files, ..Folder::default() };
        let report = damaged.verify();
        assert!(
            report.problems.iter().any(|problem| problem.fault == Fault::Checksum && problem.file == name)
        );
        damaged.repair(&report);
        assert_eq!(damaged.verify().problems, []);
        assert_eq!(damaged.segments().len(), 4);
    }
}

/// Something that happens to a file of a folder.
#[derive(Clone, Debug)]
enum Mishap {
    Cut(usize),
    Flip(usize),
    Removed,
    Renamed(String),
    Copied(String),
    Swapped(usize),
}

fn mishap() -> impl Strategy<Value = (usize, Mishap)> {
    let name = prop_oneof![
        "0000000[0-9]-1767225600000-i[01](-[dg])?(-0000000[01].m4s|.open)",
        "init-[01](-0000000[01].mp4|.open)",
        "index|notes|[a-z.]{1,9}",
    ];
    let what = prop_oneof![
        any::<usize>().prop_map(Mishap::Cut),
        any::<usize>().prop_map(Mishap::Flip),
        Just(Mishap::Removed),
        name.clone().prop_map(Mishap::Renamed),
        name.prop_map(Mishap::Copied),
        any::<usize>().prop_map(Mishap::Swapped),
    ];
    (any::<usize>(), what)
}

fn suffer(files: &mut BTreeMap<String, BytesMut>, (which, mishap): (usize, Mishap)) {
    let nth = |which: usize| files.keys().nth(which % files.len()).cloned();
    let Some(name) = nth(which) else { return };
    let other = match mishap {
        Mishap::Swapped(other) => nth(other),
        _ => None,
    };
    let body = files.get_mut(&name).unwrap();
    match mishap {
        Mishap::Cut(at) => body.truncate(at % (body.len() + 1)),
        Mishap::Flip(at) if !body.is_empty() => {
            let at = at % body.len();
            body[at] ^= 1 << (at % 8);
        }
        Mishap::Flip(_) => {}
        Mishap::Removed => _ = files.remove(&name),
        Mishap::Renamed(to) => {
            let body = files.remove(&name).unwrap();
            files.insert(to, body);
        }
        Mishap::Copied(to) => {
            let body = body.clone();
            files.insert(to, body);
        }
        Mishap::Swapped(_) => {
            let (a, b) = (files[&name].clone(), other.unwrap());
            let b = files.insert(b, a).unwrap();
            files.insert(name, b);
        }
    }
}

/// Seven seconds, the last of it in a file that is being filled.
fn seven_seconds() -> &'static BTreeMap<String, BytesMut> {
    static FILES: std::sync::OnceLock<BTreeMap<String, BytesMut>> = std::sync::OnceLock::new();
    FILES.get_or_init(|| {
        let (mut packager, mut folder) = (packager(Config::new("r")), Folder::default());
        let source = Source { video: Some((10, 1, 5)), ..Source::AV };
        write(&mut packager, &source.tracks(), &source, 7_000, &mut folder);
        folder.files
    })
}

proptest! {
    #[test]
    fn whatever_happened_to_a_folder_one_repair_is_enough(
        mishaps in proptest::collection::vec(mishap(), 0..8),
    ) {
        let mut folder = Folder { files: seven_seconds().clone(), ..Folder::default() };
        mishaps.into_iter().for_each(|mishap| suffer(&mut folder.files, mishap));
        let report = folder.verify();
        folder.repair(&report);
        let again = folder.verify();
        prop_assert_eq!(&again.repairs, &[], "{:?}", again.problems);
        prop_assert_eq!(&again.index, &report.index);
        let text = &folder.files[INDEX];
        prop_assert_eq!(Index::parse(std::str::from_utf8(text).unwrap()), again.index);
    }
}

#[test]
fn what_is_missing_twice_or_strange_is_told() {
    let (mut packager, mut folder) = ten_seconds();
    packager.finish();
    folder.pull(&packager);
    let (name, bytes) = folder.segments()[2];
    let (name, bytes) = (name.to_string(), bytes.clone());
    let init = folder.files.keys().find(|name| name.starts_with("init")).unwrap().clone();
    let faults = |change: &dyn Fn(&mut BTreeMap<String, BytesMut>)| {
        let mut files = folder.files.clone();
        change(&mut files);
        let report = Folder { files, ..Folder::default() }.verify();
        report.problems.into_iter().map(|problem| problem.fault).collect::<Vec<_>>()
    };
    assert_eq!(faults(&|files| _ = files.remove(&name)), [Fault::Missing { segments: 1 }, Fault::Stale]);
    assert_eq!(
        faults(&|files| _ = files.remove(&init)),
        [vec![Fault::NoInit(0); 5], vec![Fault::Stale]].concat()
    );
    assert_eq!(faults(&|files| _ = files.insert("notes.txt".into(), BytesMut::new())), [Fault::Foreign]);
    let again = name.replace("-i0-", "-i0-g-");
    assert_eq!(faults(&|files| _ = files.insert(again.clone(), bytes.clone())), [Fault::Twice]);
    let moved = |files: &mut BTreeMap<String, BytesMut>| {
        let body = files.remove(&name).unwrap();
        files.insert(name.replace("00000002-", "00000009-"), body);
    };
    let found = faults(&moved);
    assert!(
        found.contains(&Fault::Missing { segments: 1 }) && found.contains(&Fault::Missing { segments: 4 })
    );
}

#[test]
fn a_publisher_that_comes_back_makes_a_gap_and_other_codecs_an_initialisation_segment() {
    let (mut packager, mut folder) = ten_seconds();
    packager.discontinuity();
    let later = Source { start_ms: 14_000, ..Source::AV };
    for (frame, arrival) in later.frames(4_000) {
        packager.write(&later.tracks(), &frame, arrival + 14_000_000);
        folder.pull(&packager);
    }
    let tracks = Tracks::new(vec![
        video_track(Codec::H264, Timescale::MILLIS),
        audio_track(44_100, Timescale::MILLIS),
    ]);
    let last = Source { start_ms: 18_000, audio: Some(44_100), ..Source::AV };
    for (frame, arrival) in last.frames(4_000) {
        packager.write(&tracks, &frame, arrival + 18_000_000);
        folder.pull(&packager);
    }
    packager.finish();
    folder.pull(&packager);
    assert_eq!(folder.verify().problems, []);
    let joins = folder.joins();
    let seen: Vec<_> = joins.iter().filter(|join| **join != Join::Continues).collect();
    assert_eq!(seen, [&Join::Gap, &Join::Discontinuity], "{joins:?}");
    assert_eq!(folder.segments().last().unwrap().0.init, 1);
    assert_eq!(folder.files.keys().filter(|name| name.starts_with("init-")).count(), 2);
}

#[test]
fn a_recorder_that_falls_out_of_the_window_marks_a_gap_and_goes_on_at_a_keyframe() {
    let (mut packager, mut folder) = (packager(Config::new("r")), Folder::default());
    let tracks = Source::AV.tracks();
    for (frame, arrival) in Source::AV.frames(60_000) {
        packager.write(&tracks, &frame, arrival);
        // The disk hangs for 45 seconds.
        if !(5_000..50_000).contains(&frame.dts.as_millis()) {
            folder.pull(&packager);
        }
    }
    packager.finish();
    folder.pull(&packager);
    assert_eq!(folder.verify().problems, []);
    let gaps: Vec<_> = folder.records.iter().filter(|record| record.name.join == Join::Gap).collect();
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0].independent());
    assert_eq!(gaps[0].name.starts_at_unix_ms % 2_000, 0, "at a keyframe");
    let ms = folder.index().duration_ns() / 1_000_000;
    assert!((14_000..=20_000).contains(&ms), "{ms}");
}

#[test]
fn recording_begins_at_the_newest_keyframe() {
    let (mut packager, mut folder) = (packager(Config::new("r")), Folder::default());
    let (tracks, source) = (Source::AV.tracks(), Source { video: Some((30, 1, 30)), ..Source::AV });
    write(&mut packager, &tracks, &source, 7_500, &mut Folder::default());
    folder.cursor = packager.newest_start();
    folder.pull(&packager);
    packager.finish();
    folder.pull(&packager);
    assert_eq!(folder.verify().problems, []);
    assert!(folder.records[0].independent());
    assert_eq!(folder.records[0].name.starts_at_unix_ms, 1_767_225_600_000 + 7_000);
}

#[test]
fn sound_alone_is_measured_by_itself() {
    let (mut packager, mut folder) = (packager(Config::new("r")), Folder::default());
    let source = Source { video: None, ..Source::AV };
    write(&mut packager, &source.tracks(), &source, 5_000, &mut folder);
    packager.finish();
    folder.pull(&packager);
    assert_eq!(folder.verify().problems, []);
    let ms = folder.index().duration_ns() / 1_000_000;
    assert!((4_980..=5_030).contains(&ms), "{ms}");
    assert!(folder.records.iter().all(SegmentRecord::independent));
}

#[test]
fn a_packager_of_one_track_numbers_it_from_one() {
    let tracks = Tracks::new(vec![video_track(Codec::H264, Timescale::MPEG)]);
    let init = crate::container::cmaf::init_segment(tracks.iter().as_slice()).unwrap();
    let info = InitInfo::parse(&init).unwrap();
    assert_eq!((info.tracks.len(), info.tracks[0].number, info.tracks[0].video), (1, 1, true));
    assert_eq!(tracks.iter().next().unwrap().id, TrackId::VIDEO);
}
