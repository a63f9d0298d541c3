//! MP4 files: every frame can be asked for, twice, and the second reading gives what the first did.
#![no_main]

use std::io::Cursor;

use cruvz_media::container::mp4::{Limits, Reader};
use libfuzzer_sys::fuzz_target;

/// A small file may well describe millions of frames by one run of its tables; this many are enough to see.
const MAX_FRAMES: usize = 2_000;

fn frames(reader: &mut Reader<Cursor<&[u8]>>) -> (usize, u64) {
    let (mut count, mut bytes) = (0, 0);
    for _ in 0..MAX_FRAMES {
        match reader.next_frame() {
            Ok(Some(frame)) => {
                assert!(reader.tracks().by_id(frame.track).is_some());
                count += 1;
                bytes += frame.payload.len() as u64;
            }
            Ok(None) => break,
            Err(_) => {}
        }
    }
    (count, bytes)
}

fuzz_target!(|data: &[u8]| {
    let Ok(mut reader) = Reader::open(Cursor::new(data), Limits::default()) else { return };
    let first = frames(&mut reader);
    reader.rewind();
    assert_eq!(first, frames(&mut reader));
});
