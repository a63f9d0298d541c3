//! FLV files: the same tags in pieces as in one, and the demuxer behind them.
#![no_main]

use cruvz_fuzz::pieces;
use cruvz_media::container::flv::{
    Demuxer,
    file::{Error, FileTag, Limits, Reader},
};
use libfuzzer_sys::fuzz_target;

fn read(data: &[u8], cut: u8) -> (Vec<FileTag>, Result<(), Error>) {
    let mut reader = Reader::new(Limits::default());
    let mut tags = Vec::new();
    for piece in pieces(data, cut) {
        reader.push(piece);
        while let Ok(Some(tag)) = reader.next_tag() {
            tags.push(tag);
        }
    }
    (tags, reader.finish())
}

fuzz_target!(|data: &[u8]| {
    let [cut, data @ ..] = data else { return };
    let (tags, end) = read(data, 0);
    assert_eq!((tags.clone(), end), read(data, *cut));
    let mut demuxer = Demuxer::default();
    for tag in tags {
        let _ = demuxer.tag(tag.kind, i64::from(tag.timestamp_ms), tag.body);
        while demuxer.next_event().is_some() {}
    }
});
