//! A recording's folder as a crash, a failing disk or a stranger leaves it: it is examined and repaired, and then there is nothing left to repair.
#![no_main]

use std::{collections::BTreeMap, io};

use bytes::Bytes;
use cruvz_fuzz::records;
use cruvz_media::segment::{
    Crc32c, End, Index, InitInfo, InitName, MediaName, RecordingId, SegmentName, scan,
    verify::{DAMAGED, INDEX, Repair, Report, recover, verify},
};
use libfuzzer_sys::fuzz_target;

type Files = BTreeMap<String, Bytes>;

fn examine(files: &Files, look: impl Fn(&[String], &mut dyn FnMut(&str) -> io::Result<Bytes>) -> Report) -> Report {
    let names: Vec<_> = files.keys().cloned().collect();
    look(&names, &mut |name| files.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into()))
}

fn repair(files: &mut Files, report: &Report) {
    for repair in &report.repairs {
        match repair {
            Repair::Complete { open, bytes, name } => {
                let body = files.remove(&open.to_string()).expect("a file that was listed");
                files.insert(name.to_string(), body.slice(..*bytes as usize));
            }
            Repair::Remove(file) => _ = files.remove(file).expect("a file that was listed"),
            Repair::SetAside(file) => {
                let body = files.remove(file).expect("a file that was listed");
                files.insert(format!("{file}{DAMAGED}"), body);
            }
            Repair::WriteIndex => _ = files.insert(INDEX.to_owned(), report.index.to_string().into()),
        }
    }
}

/// The files that the input tells of: what is in them, and names that mostly fit.
fn files(data: &[u8]) -> Files {
    let (mut files, mut next, mut inits) = (Files::new(), 0, 0);
    for (kind, body) in records(data).take(32) {
        let body = Bytes::copy_from_slice(body);
        let sum = Crc32c::of(&body) ^ u32::from(kind & 0x80);
        let name = match kind % 8 {
            0 => {
                inits += 1;
                InitName { number: inits - 1, checksum: sum }.to_string()
            }
            1 => INDEX.to_owned(),
            2 => String::from_utf8_lossy(&body).chars().take(60).collect(),
            kind => {
                next += u32::from(kind < 6);
                let checksum = (kind != 7).then_some(sum);
                let starts_at_unix_ms = 1_763_800_000_000 + u64::from(next);
                SegmentName { sequence: next, starts_at_unix_ms, init: 0, join: Default::default(), checksum }.to_string()
            }
        };
        files.insert(name, body);
    }
    files
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let _ = (text.parse::<RecordingId>(), text.parse::<MediaName>(), End::parse(&text));
    let index = Index::parse(&text);
    assert_eq!(Index::parse(&index.to_string()).segments, index.segments);

    let mut files = files(data);
    let inits: Vec<_> = files.values().filter_map(|body| InitInfo::parse(body).ok()).collect();
    for (body, init) in files.values().zip(&inits) {
        let (scan, rest) = scan(body, init);
        assert!(scan.whole_bytes <= body.len() as u64 && rest.is_none() == (scan.whole_bytes == body.len() as u64));
    }
    let _ = examine(&files, recover);
    let report = examine(&files, verify);
    repair(&mut files, &report);
    let again = examine(&files, verify);
    assert_eq!(again.repairs, [], "{:?}", again.problems);
    assert_eq!(again.index, report.index);
});
