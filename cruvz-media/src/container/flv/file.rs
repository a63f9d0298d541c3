//! FLV files and HTTP-FLV: a header, then tags, each with its size after it (FLV 10.1 §E.2, §E.3).
//!
//! [`Reader`] takes bytes as they come and gives tags; [`put_header`] and [`put_tag`] write them. What is inside a
//! tag is for [`super::Demuxer`] and [`super::Muxer`].

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::TagKind;

/// Bytes of the file header, PreviousTagSize0 included.
const FILE_HEADER_BYTES: usize = 13;
/// Bytes of a tag's header.
const TAG_HEADER_BYTES: usize = 11;
/// Bytes of the size after each tag.
const TRAILER_BYTES: usize = 4;
/// The largest body a tag can state.
const MAX_BODY_BYTES: usize = 0xff_ffff;

/// What a file may make a [`Reader`] keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the body of a tag may be, in bytes. Default 8,388,608; FLV itself allows 16,777,215. The reader keeps
    /// one tag and what was pushed after it.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 8 << 20 }
    }
}

/// Why bytes are not an FLV file that we read. After an error the rest of the file is lost: tags have no marks by
/// which the next one could be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tag is encrypted (FLV 10.1 annex F).
    #[error("encrypted FLV tag")]
    Encrypted,
    /// The file header is longer than a header can sensibly be.
    #[error("FLV header of {0} bytes")]
    HeaderSize(u32),
    /// It does not begin with "FLV".
    #[error("not an FLV file: begins with {0:02x?}")]
    Signature([u8; 3]),
    /// A tag is longer than [`Limits::body_bytes`].
    #[error("FLV tag of {bytes} bytes, limit {limit}")]
    TagSize {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A tag type other than audio, video and script.
    #[error("unknown FLV tag type {0}")]
    TagType(u8),
    /// The file ends inside a tag.
    #[error("FLV file ends inside a tag, {0} bytes after its beginning")]
    Truncated(usize),
    /// A version other than 1.
    #[error("unknown FLV version {0}")]
    Version(u8),
}

/// A tag as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTag {
    /// What it carries.
    pub kind: TagKind,
    /// Its time in milliseconds modulo 2^32, of both timestamp fields.
    pub timestamp_ms: u32,
    /// Its body.
    pub body: Bytes,
}

/// Reads tags from the bytes of a file in pieces of any size.
///
/// ```
/// use cruvz_media::container::flv::file::{Limits, Reader};
///
/// let mut reader = Reader::new(Limits::default());
/// reader.push(b"FLV\x01\x01\0\0\0\x09\0\0\0\0");
/// reader.push(b"\x09\0\0\x02\0\0\x28\0\0\0\0\x52\0\0\0\0\x0d");
/// let tag = reader.next_tag()?.expect("the tag is whole");
/// assert_eq!((tag.timestamp_ms, &tag.body[..]), (40, &[0x52, 0][..]));
/// assert_eq!(reader.next_tag()?, None);
/// # Ok::<(), cruvz_media::container::flv::file::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    buffer: BytesMut,
    /// Bytes to pass over before the next header: the trailer of a tag.
    skip: usize,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    FileHeader,
    Tags,
    Failed(Error),
}

impl Reader {
    /// A reader at the beginning of a file.
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: BytesMut::new(), skip: 0, state: State::FileHeader }
    }

    /// Adds the next bytes of the file. Take every tag before adding more, or they pile up.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next tag, or `None` until more bytes are there. Its body shares the memory of the bytes pushed.
    ///
    /// The size after each tag is not looked at: many writers get it wrong, and it says nothing new.
    ///
    /// # Errors
    /// [`Error`] when the file cannot be read on; every later call says the same.
    pub fn next_tag(&mut self) -> Result<Option<FileTag>, Error> {
        let result = match self.state {
            State::FileHeader => match self.file_header() {
                Ok(true) => self.tag(),
                Ok(false) => Ok(None),
                Err(error) => Err(error),
            },
            State::Tags => self.tag(),
            State::Failed(error) => Err(error),
        };
        if let Err(error) = result {
            self.state = State::Failed(error);
            self.buffer = BytesMut::new();
        }
        result
    }

    /// Says whether the file may end here.
    ///
    /// # Errors
    /// [`Error::Truncated`] inside a tag or header, or the error that [`Self::next_tag`] met.
    pub fn finish(&self) -> Result<(), Error> {
        match self.state {
            State::Failed(error) => Err(error),
            State::Tags if self.buffer.is_empty() || self.skip > 0 => Ok(()),
            _ => Err(Error::Truncated(self.buffer.len())),
        }
    }

    /// Passes over the file header; whether it was there.
    fn file_header(&mut self) -> Result<bool, Error> {
        let Some(&[a, b, c, version, _flags, d, e, f, g]) = self.buffer.first_chunk() else {
            return Ok(false);
        };
        if [a, b, c] != *b"FLV" {
            return Err(Error::Signature([a, b, c]));
        }
        if version != 1 {
            return Err(Error::Version(version));
        }
        // Version 1 has 9 bytes; later ones may have more, and the size says where the tags begin.
        let size = u32::from_be_bytes([d, e, f, g]);
        match usize::try_from(size) {
            Ok(bytes @ 9..=4_096) => self.skip = bytes + TRAILER_BYTES,
            _ => return Err(Error::HeaderSize(size)),
        }
        self.state = State::Tags;
        Ok(true)
    }

    fn tag(&mut self) -> Result<Option<FileTag>, Error> {
        let skipped = self.skip.min(self.buffer.len());
        self.buffer.advance(skipped);
        self.skip -= skipped;
        let Some(&[first, a, b, c, d, e, f, high, ..]) = self.buffer.first_chunk::<TAG_HEADER_BYTES>() else {
            return Ok(None);
        };
        // Two reserved bits, one for encryption, five for the type.
        let kind = TagKind::from_type(first & 0x1f).ok_or(Error::TagType(first & 0x1f))?;
        if first & 0x20 != 0 {
            return Err(Error::Encrypted);
        }
        let bytes = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let limit = self.limits.body_bytes;
        if bytes > limit {
            return Err(Error::TagSize { bytes, limit });
        }
        if self.buffer.len() < TAG_HEADER_BYTES + bytes {
            return Ok(None);
        }
        self.buffer.advance(TAG_HEADER_BYTES);
        let body = self.buffer.split_to(bytes).freeze();
        self.skip = TRAILER_BYTES;
        Ok(Some(FileTag { kind, timestamp_ms: u32::from_be_bytes([high, d, e, f]), body }))
    }
}

/// Appends the header of a file that has `audio` and `video`, and PreviousTagSize0.
pub fn put_header(audio: bool, video: bool, out: &mut BytesMut) {
    out.reserve(FILE_HEADER_BYTES);
    out.put_slice(b"FLV\x01");
    out.put_u8(u8::from(audio) << 2 | u8::from(video));
    out.put_u32(9);
    out.put_u32(0);
}

/// Appends a tag whose body is `header` and `payload`, and its size.
///
/// A body of more than 16,777,215 bytes, for which FLV has no form, is left out; whether it was written.
pub fn put_tag(kind: TagKind, timestamp_ms: u32, header: &[u8], payload: &[u8], out: &mut BytesMut) -> bool {
    let bytes = header.len() + payload.len();
    if bytes > MAX_BODY_BYTES {
        return false;
    }
    out.reserve(tag_len(bytes));
    let [high, timestamp @ ..] = timestamp_ms.to_be_bytes();
    out.put_u8(kind.to_type());
    out.put_uint(bytes as u64, 3);
    out.put_slice(&timestamp);
    out.put_u8(high);
    // StreamID, always 0.
    out.put_uint(0, 3);
    out.put_slice(header);
    out.put_slice(payload);
    out.put_u32((TAG_HEADER_BYTES + bytes) as u32);
    true
}

/// The bytes that a tag with a body of `body_bytes` takes in a file.
pub const fn tag_len(body_bytes: usize) -> usize {
    TAG_HEADER_BYTES + body_bytes + TRAILER_BYTES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every tag of `bytes` pushed in pieces of `step` bytes, and how it ended.
    fn read(bytes: &[u8], step: usize) -> (Vec<FileTag>, Result<(), Error>) {
        let mut reader = Reader::new(Limits::default());
        let mut tags = Vec::new();
        for piece in bytes.chunks(step.max(1)) {
            reader.push(piece);
            loop {
                match reader.next_tag() {
                    Ok(Some(tag)) => tags.push(tag),
                    Ok(None) => break,
                    Err(error) => return (tags, Err(error)),
                }
            }
        }
        (tags, reader.finish())
    }

    fn file(tags: &[FileTag]) -> BytesMut {
        let mut out = BytesMut::new();
        put_header(true, true, &mut out);
        for tag in tags {
            let middle = tag.body.len() / 2;
            assert!(put_tag(tag.kind, tag.timestamp_ms, &tag.body[..middle], &tag.body[middle..], &mut out));
        }
        out
    }

    fn tag(timestamp_ms: u32, body: &'static [u8]) -> FileTag {
        FileTag { kind: TagKind::Video, timestamp_ms, body: Bytes::from_static(body) }
    }

    #[test]
    fn a_file_has_the_bytes_of_the_specification() {
        let bytes = file(&[tag(0x12_34_56_78, &[0x17, 2, 0, 0, 0])]);
        let expected = b"FLV\x01\x05\0\0\0\x09\0\0\0\0\
            \x09\0\0\x05\x34\x56\x78\x12\0\0\0\x17\x02\0\0\0\0\0\0\x10";
        assert_eq!(&bytes[..], expected);
        assert_eq!(bytes.len(), FILE_HEADER_BYTES + tag_len(5));
    }

    #[test]
    fn times_have_32_bits() {
        let tags = [0, 0xff_ffff, 0x100_0000, u32::MAX].map(|timestamp_ms| tag(timestamp_ms, b"x"));
        assert_eq!(read(&file(&tags), 5), (tags.to_vec(), Ok(())));
    }

    #[test]
    fn a_longer_file_header_is_passed_over() {
        let mut bytes = BytesMut::from(&b"FLV\x01\x05\0\0\0\x0c123\0\0\0\0"[..]);
        bytes.extend_from_slice(&file(&[tag(7, b"x")])[FILE_HEADER_BYTES..]);
        assert_eq!(read(&bytes, 1), (vec![tag(7, b"x")], Ok(())));
    }

    #[test]
    fn a_wrong_size_after_a_tag_is_no_matter() {
        let mut bytes = file(&[tag(0, b"x"), tag(40, b"y")]);
        bytes[FILE_HEADER_BYTES + TAG_HEADER_BYTES + 1..][..4].fill(0);
        assert_eq!(read(&bytes, 100).0.len(), 2);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let end = |bytes: &[u8]| read(bytes, 3).1.unwrap_err();
        assert_eq!(end(b"GIF89a123"), Error::Signature(*b"GIF"));
        assert_eq!(end(b"FLV\x02\x05\0\0\0\x09"), Error::Version(2));
        assert_eq!(end(b"FLV\x01\x05\xff\0\0\x09"), Error::HeaderSize(0xff00_0009));
        assert_eq!(end(b"FLV\x01\x05\0\0\0\x08"), Error::HeaderSize(8));
        assert_eq!(end(b"FLV"), Error::Truncated(3));
        let tag_start = |bytes: &[u8]| [&b"FLV\x01\x05\0\0\0\x09\0\0\0\0"[..], bytes].concat();
        assert_eq!(end(&tag_start(b"\x07\0\0\0\0\0\0\0\0\0\0")), Error::TagType(7));
        assert_eq!(end(&tag_start(b"\x29\0\0\0\0\0\0\0\0\0\0")), Error::Encrypted);
        let over = Error::TagSize { bytes: 0xff_ffff, limit: 8 << 20 };
        assert_eq!(end(&tag_start(b"\x09\xff\xff\xff\0\0\0\0\0\0\0")), over);
        assert_eq!(end(&tag_start(b"\x09\0\0\x02\0\0\0\0\0\0\0x")), Error::Truncated(12));
        assert_eq!(over.to_string(), "FLV tag of 16777215 bytes, limit 8388608");
    }

    #[test]
    fn a_failed_reader_stays_failed_and_keeps_nothing() {
        let mut reader = Reader::new(Limits::default());
        reader.push(b"GIF89a123");
        for _ in 0..2 {
            assert_eq!(reader.next_tag(), Err(Error::Signature(*b"GIF")));
            assert_eq!(reader.finish(), Err(Error::Signature(*b"GIF")));
        }
        assert!(reader.buffer.is_empty());
    }

    #[test]
    fn a_body_too_long_for_flv_is_not_written() {
        let mut out = BytesMut::new();
        assert!(!put_tag(TagKind::Video, 0, b"x", &vec![0; MAX_BODY_BYTES], &mut out));
        assert!(out.is_empty());
        assert!(put_tag(TagKind::Video, 0, b"", &vec![0; MAX_BODY_BYTES], &mut out));
    }

    fn file_tag() -> impl Strategy<Value = FileTag> {
        let kind = prop_oneof![Just(TagKind::Audio), Just(TagKind::Video), Just(TagKind::Script)];
        let body = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        (kind, any::<u32>(), body).prop_map(|(kind, timestamp_ms, body)| FileTag { kind, timestamp_ms, body })
    }

    proptest! {
        #[test]
        fn tags_are_the_same_however_the_file_is_cut(
            tags in prop::collection::vec(file_tag(), 0..6),
            step in 1usize..80,
        ) {
            let bytes = file(&tags);
            prop_assert_eq!(read(&bytes, step), (tags.clone(), Ok(())));
            prop_assert_eq!(read(&bytes, 1), (tags, Ok(())));
        }

        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), whole: bool, step in 1usize..50) {
            let header: &[u8] = if whole { b"FLV\x01\x05\0\0\0\x09\0\0\0\0" } else { b"" };
            let _ = read(&[header, &bytes].concat(), step);
        }
    }
}
