//! Reading what a packager makes, part by part, as a recorder does: a cursor into its window, not a queue.

use bytes::Bytes;

use super::{Packager, segment::Segment};

/// A place between two parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    msn: u64,
    part: u32,
}

/// A part as it was made.
#[derive(Clone, Debug)]
pub struct LivePart {
    /// The Media Sequence Number of its segment.
    pub msn: u64,
    /// Its number in the segment, from 0.
    pub number: u32,
    /// The number of its initialisation segment: see [`Packager::init`].
    pub init: u32,
    /// Whether its segment does not continue the one before.
    pub discontinuity: bool,
    /// Wall-clock time of its beginning, in microseconds since 1970 (UTC).
    pub starts_at_unix_us: i64,
    /// How long it is, in nanoseconds.
    pub duration_ns: i64,
    /// Whether a decoder can start with it.
    pub independent: bool,
    /// A `moof` and the `mdat` behind it, in slices.
    pub body: Vec<Bytes>,
}

/// What lies behind a [`Cursor`].
#[derive(Clone, Debug)]
pub enum Tail {
    /// The next part.
    Part(LivePart),
    /// The segment has no more parts.
    SegmentEnd,
    /// The window has moved on: what lay behind the cursor is gone, and the cursor is at the newest part that a decoder can start with.
    Missed,
    /// Nothing yet; or nothing any more, once [`Packager::is_finished`].
    Wait,
}

impl Packager {
    /// Before the newest part that a decoder can start with; where there is none yet, before the first that will come.
    pub fn newest_start(&self) -> Cursor {
        let window = &self.window;
        let complete = window.complete_segments().rev();
        window
            .open
            .iter()
            .chain(complete)
            .find_map(|segment| {
                let part = segment.parts.iter().rposition(|part| part.independent)?;
                Some(Cursor { msn: segment.msn, part: part as u32 })
            })
            .unwrap_or_else(|| Cursor { msn: window.filling_msn(), part: window.filling_parts() as u32 })
    }

    /// Before the oldest segment that is still there.
    pub fn oldest_start(&self) -> Cursor {
        let first = self.window.complete_segments().next().or(self.window.open.as_ref());
        Cursor { msn: first.map_or_else(|| self.window.filling_msn(), |segment| segment.msn), part: 0 }
    }

    /// What lies behind `cursor`, which moves past it.
    pub fn tail(&self, cursor: &mut Cursor) -> Tail {
        let window = &self.window;
        let Cursor { msn, part } = *cursor;
        if let Some(segment) = window.open.as_ref().filter(|open| open.msn == msn) {
            return match live_part(segment, part) {
                Some(found) => {
                    cursor.part += 1;
                    Tail::Part(found)
                }
                None => Tail::Wait,
            };
        }
        if msn >= window.filling_msn() {
            return Tail::Wait;
        }
        let Some(segment) = window.segment(msn) else {
            *cursor = self.newest_start();
            return Tail::Missed;
        };
        match live_part(segment, part) {
            Some(found) => {
                cursor.part += 1;
                Tail::Part(found)
            }
            None => {
                *cursor = Cursor { msn: msn + 1, part: 0 };
                Tail::SegmentEnd
            }
        }
    }

    /// The initialisation segment of that number, as long as a segment in the window needs it.
    pub fn init(&self, number: u32) -> Option<Bytes> {
        self.window.init(number).map(|(body, _)| body.clone())
    }

    /// TARGETDURATION in seconds, once playlists are handed out: no segment is longer, rounded, as long as this packager lives.
    pub fn target_duration_s(&self) -> Option<u32> {
        self.header.map(|header| header.target_duration_s)
    }

    /// Whether the stream has ended.
    pub const fn is_finished(&self) -> bool {
        self.finished
    }
}

fn live_part(segment: &Segment, number: u32) -> Option<LivePart> {
    let part = segment.parts.get(number as usize)?;
    let before_ns: i64 = segment.parts[..number as usize].iter().map(|part| part.duration_ns).sum();
    Some(LivePart {
        msn: segment.msn,
        number,
        init: segment.init,
        discontinuity: segment.discontinuity,
        starts_at_unix_us: segment.starts_at_unix_us.saturating_add(before_ns / 1000),
        duration_ns: part.duration_ns,
        independent: part.independent,
        body: part.body.clone(),
    })
}
