//! Parts and segments: immutable media under a name.

use bytes::{Bytes, BytesMut};

/// A partial segment (bis §3.2): a fragment, published as soon as it is there.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) body: Vec<Bytes>,
    pub(super) len: u64,
    pub(super) duration_ns: i64,
    pub(super) independent: bool,
}

impl Part {
    pub(super) fn new(body: Vec<Bytes>, duration_ns: i64, independent: bool) -> Self {
        let len = body.iter().map(|slice| slice.len() as u64).sum();
        Self { body, len, duration_ns, independent }
    }
}

/// A media segment: its parts, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Media Sequence Number.
    pub(super) msn: u64,
    /// Number of its initialisation segment.
    pub(super) init: u32,
    /// Whether its time or coding does not continue that of the one before.
    pub(super) discontinuity: bool,
    /// Wall-clock time of its beginning, µs since 1970.
    pub(super) starts_at_unix_us: i64,
    pub(super) parts: Vec<Part>,
    pub(super) duration_ns: i64,
    pub(super) len: u64,
    /// All of it in one piece, once it is complete: its parts are slices of this then.
    pub(super) body: Bytes,
}

impl Segment {
    pub(super) fn push(&mut self, part: Part) {
        self.duration_ns += part.duration_ns;
        self.len += part.len;
        self.parts.push(part);
    }

    /// Whether a decoder can start with it.
    pub(super) fn independent(&self) -> bool {
        self.parts.first().is_some_and(|part| part.independent)
    }

    /// Joins the payloads into one buffer that the parts are slices of: one copy per segment, so that serving it takes
    /// one slice instead of hundreds, and the frames' own buffers can go.
    pub(super) fn join(&mut self) {
        let mut whole = BytesMut::with_capacity(self.len as usize);
        for slice in self.parts.iter().flat_map(|part| &part.body) {
            whole.extend_from_slice(slice);
        }
        self.body = whole.freeze();
        let mut whole = self.body.clone();
        for part in &mut self.parts {
            part.body = vec![whole.split_to(part.len as usize)];
        }
    }
}
