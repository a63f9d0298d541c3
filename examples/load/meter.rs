//! What viewers saw, added up.

use std::time::Duration;

use cruvz_core::runtime::clock::Clock;
use serde::Serialize;

use crate::stamp::{STAMP_BYTES, Stamp, StampFinder, TAIL_BYTES};

/// A gap between two pictures that a person would see. Longer than the longest gathering that is measured.
const STALL: Duration = Duration::from_millis(600);
/// How far into a picture its stamp is looked for.
pub(crate) const HEAD_BYTES: usize = 128 + STAMP_BYTES;

/// One viewer's place in the stream.
pub(crate) struct Sight {
    /// When it began to connect.
    pub(crate) began: Duration,
    /// When its first keyframe was whole.
    pub(crate) first_keyframe: Option<Duration>,
    last: Option<(u32, Duration)>,
}

impl Sight {
    pub(crate) const fn new(began: Duration) -> Self {
        Self { began, first_keyframe: None, last: None }
    }
}

/// One audio or video message as it came, of which only the ends are kept.
pub(crate) struct Incoming<'a> {
    /// The front of the body, [`HEAD_BYTES`] of it where it is that long.
    pub(crate) head: &'a [u8],
    pub(crate) tail: [u8; TAIL_BYTES],
    pub(crate) bytes: usize,
}

/// Adds up what the viewers of one class see.
pub(crate) struct Meter {
    clock: Clock,
    finder: StampFinder,
    /// Whether the window is open: latency, bytes and stalls count only then; losses and damage always.
    pub(crate) open: bool,
    bytes: u64,
    pictures: u64,
    lost: u64,
    damaged: u64,
    stalls: u64,
    latency_us: Vec<u32>,
    first_us: Vec<u32>,
}

impl Meter {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            finder: StampFinder::new(),
            open: false,
            bytes: 0,
            pictures: 0,
            lost: 0,
            damaged: 0,
            stalls: 0,
            latency_us: Vec::new(),
            first_us: Vec::new(),
        }
    }

    pub(crate) fn bytes(&mut self, bytes: usize) {
        if self.open {
            self.bytes += bytes as u64;
        }
    }

    /// A video message of an RTMP or FLV viewer.
    pub(crate) fn video(&mut self, sight: &mut Sight, now: Duration, message: &Incoming<'_>) {
        // The sequence header is no picture.
        if message.head.get(1) == Some(&0) {
            return;
        }
        let Some((stamp, _)) = self.finder.find(message.head) else {
            self.damaged += 1;
            return;
        };
        if message.bytes != stamp.bytes as usize + 5 || message.tail != Stamp::tail(stamp.number) {
            self.damaged += 1;
        }
        self.picture(sight, now, &stamp, message.head[0] >> 4 == 1);
    }

    /// Every picture whose stamp is in `bytes`, a stretch of a segment.
    pub(crate) fn segment(&mut self, sight: &mut Sight, now: Duration, mut bytes: &[u8]) {
        while let Some((stamp, end)) = self.finder.find(bytes) {
            bytes = &bytes[end..];
            // Segments come in leaps: a gap between them is no stall.
            sight.last = sight.last.map(|(number, _)| (number, now));
            self.picture(sight, now, &stamp, true);
        }
    }

    fn picture(&mut self, sight: &mut Sight, now: Duration, stamp: &Stamp, keyframe: bool) {
        if keyframe && sight.first_keyframe.is_none() {
            sight.first_keyframe = Some(now);
            self.first_us.push((now - sight.began).as_micros() as u32);
        }
        if let Some((number, at)) = sight.last.replace((stamp.number, now)) {
            self.lost += u64::from(stamp.number.wrapping_sub(number.wrapping_add(1)));
            if self.open && now - at > STALL {
                self.stalls += 1;
            }
        }
        if self.open {
            self.pictures += 1;
            let latency = self.clock.unix_us(now) - stamp.sent_unix_us;
            self.latency_us.push(u32::try_from(latency.max(0)).unwrap_or(u32::MAX));
        }
    }

    pub(crate) fn summary(&self) -> Seen {
        Seen {
            bytes: self.bytes,
            pictures: self.pictures,
            lost: self.lost,
            damaged: self.damaged,
            stalls: self.stalls,
            latency_ms: Quantiles::of(&self.latency_us),
            first_frame_ms: Quantiles::of(&self.first_us),
        }
    }
}

/// What the viewers of one class saw.
#[derive(Serialize)]
pub(crate) struct Seen {
    /// Bytes received in the window, with all that surrounds the media.
    pub(crate) bytes: u64,
    /// Pictures in the window.
    pub(crate) pictures: u64,
    /// Pictures that a later one came in place of, since each viewer's first.
    pub(crate) lost: u64,
    /// Pictures of a wrong length, without a stamp or with another's end.
    pub(crate) damaged: u64,
    /// Gaps of more than 600 ms in the window.
    stalls: u64,
    latency_ms: Option<Quantiles>,
    /// From connecting to the end of the first keyframe.
    first_frame_ms: Option<Quantiles>,
}

/// A distribution, in milliseconds.
#[derive(Serialize)]
struct Quantiles {
    p50: f64,
    p99: f64,
    max: f64,
}

impl Quantiles {
    fn of(samples_us: &[u32]) -> Option<Self> {
        let mut sorted = samples_us.to_vec();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        let at = |part: f64| f64::from(sorted[(last as f64 * part).round() as usize]) / 1e3;
        Some(Self { p50: at(0.5), p99: at(0.99), max: at(1.0) })
    }
}
