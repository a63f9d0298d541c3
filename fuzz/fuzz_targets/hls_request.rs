//! HLS requests as viewers write them, against a live stream: an answer, or a wait that ends, with a status that HLS knows.
#![no_main]

use std::{cell::RefCell, time::Duration};

use bytes::Bytes;
use cruvz_media::{
    container::flv::{Demuxer, Event, file},
    hls::{Config, Packager, Reply, Request},
};
use libfuzzer_sys::fuzz_target;

const CLIP: &[u8] = include_bytes!("../../cruvz-media/tests/fixtures/flv/h264_aac.flv");

thread_local! {
    static PACKAGER: RefCell<Packager> = RefCell::new(live());
}

/// A stream of some seconds: the clip, over and over.
fn live() -> Packager {
    let mut packager = Packager::new(Config::new("run")).expect("the defaults are valid");
    let mut demuxer = Demuxer::default();
    for round in 0..20 {
        let mut reader = file::Reader::new(file::Limits::default());
        reader.push(CLIP);
        while let Ok(Some(tag)) = reader.next_tag() {
            demuxer
                .tag(tag.kind, round * 400 + i64::from(tag.timestamp_ms), tag.body)
                .expect("a sound clip");
            while let Some(event) = demuxer.next_event() {
                if let Event::Frame(frame) = event {
                    packager.write(demuxer.tracks(), &frame, round * 400_000);
                }
            }
        }
    }
    packager
}

fuzz_target!(|text: &str| {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    PACKAGER.with_borrow(|packager| {
        let response = match packager.respond(&Request { path, query, siblings: &[] }) {
            Reply::Ready(response) => response,
            Reply::Wait(wait) => {
                assert!(wait.longest <= Duration::from_secs(60));
                wait.expired
            }
        };
        assert!([200, 400, 404, 503].contains(&response.status));
        assert!(response.body.iter().map(Bytes::len).sum::<usize>() < 1 << 20);
    });
});
