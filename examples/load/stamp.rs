//! The stamp that each picture of the test stream carries: when it was sent, which it is, and how long.
//!
//! It travels in an SEI unit (user_data_unregistered) at the front of the access unit, so that it survives every
//! container, and the picture's number stands once more in the last bytes, so that a picture put together wrongly shows.

use bytes::Bytes;
use cruvz_media::codec::h264;
use memchr::memmem;

/// What our user data goes by.
const UUID: [u8; 16] = *b"cruvz-load-stamp";
/// Hexadecimal digits hold no zero byte, so the stamp is never escaped and can be read in place.
const DIGITS: usize = 16 + 8 + 8;
/// Bytes from the UUID to the end of the stamp.
pub(crate) const STAMP_BYTES: usize = UUID.len() + DIGITS;
/// Bytes of the number at the end of a picture.
pub(crate) const TAIL_BYTES: usize = 8;

/// One picture's stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// When it was sent: microseconds since 1970.
    pub(crate) sent_unix_us: i64,
    /// Its number, from 0.
    pub(crate) number: u32,
    /// Length of the access unit with its 4-byte lengths.
    pub(crate) bytes: u32,
}

impl Stamp {
    /// The SEI unit that carries it, whose length is always the same.
    pub(crate) fn nal(&self) -> Bytes {
        let digits = format!("{:016x}{:08x}{:08x}", self.sent_unix_us, self.number, self.bytes);
        h264::user_data_unregistered_nal(UUID, digits.as_bytes())
    }

    /// What stands in the last bytes of the picture.
    pub(crate) fn tail(number: u32) -> [u8; TAIL_BYTES] {
        let mut tail = [0; TAIL_BYTES];
        tail.copy_from_slice(format!("{number:08x}").as_bytes());
        tail
    }
}

/// Finds stamps in bytes of any container.
pub(crate) struct StampFinder(memmem::Finder<'static>);

impl StampFinder {
    pub(crate) fn new() -> Self {
        Self(memmem::Finder::new(&UUID).into_owned())
    }

    /// The first whole stamp in `bytes`, and where it ends.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<(Stamp, usize)> {
        let start = self.0.find(bytes)? + UUID.len();
        let digits = std::str::from_utf8(bytes.get(start..start + DIGITS)?).ok()?;
        let field = |range| u64::from_str_radix(&digits[range], 16).ok();
        let sent_unix_us = i64::try_from(field(0..16)?).ok()?;
        let (number, bytes) = (field(16..24)? as u32, field(24..32)? as u32);
        Some((Stamp { sent_unix_us, number, bytes }, start + DIGITS))
    }
}
