//! The RTMP chunk layer: the same messages in pieces as in one, memory within its limit.
#![no_main]

use cruvz_core::protocol::rtmp::{
    Error, Limits,
    chunk::{ChunkReader, Message},
};
use cruvz_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

fn read(data: &[u8], authorized: bool, cut: u8) -> (Vec<Message>, Option<Error>) {
    let limits = Limits::default();
    let mut reader = ChunkReader::new(&limits);
    reader.set_authorized(&limits, authorized);
    let bound = if authorized { limits.buffered_bytes } else { limits.unauthorized_buffered_bytes };
    let mut messages = Vec::new();
    for mut piece in pieces(data, cut) {
        loop {
            let result = reader.read(&mut piece);
            assert!(reader.buffered_bytes() <= bound);
            match result {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(piece.is_empty());
    }
    (messages, None)
}

fuzz_target!(|data: &[u8]| {
    let [options, cut, data @ ..] = data else { return };
    let authorized = options & 1 == 1;
    assert_eq!(read(data, authorized, 0), read(data, authorized, *cut));
});
