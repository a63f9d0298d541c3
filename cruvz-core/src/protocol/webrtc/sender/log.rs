//! Where a sender's packets are.

use std::time::Duration;

use bytes::Bytes;
use cruvz_media::{Codec, TrackKind};

/// The payload of one RTP packet with what its header says, the same for every viewer.
#[derive(Clone, Debug)]
pub struct MediaPacket {
    /// The RTP payload.
    pub payload: Bytes,
    /// Bytes of padding behind it (RFC 3550 §5.1), which make the packets of a frame equally long.
    pub padding: u8,
    /// What it is coded with: only viewers that agreed to this codec are sent it.
    pub codec: Codec,
    /// The marker bit.
    pub marker: bool,
    /// Whether a viewer can begin here: the first packet of a keyframe.
    pub start: bool,
    /// The RTP timestamp, which all viewers share: it need not be secret, as it is encrypted in nobody's header.
    pub timestamp: u32,
    /// The media time of its frame, in microseconds.
    pub time_us: i64,
    /// Which frame of its track it belongs to, counted from 0.
    pub frame: u64,
    /// When its frame came, by the engine's clock.
    pub origin: Duration,
}

/// The packets of one track, shared by all who are sent it: a window over an endless row.
///
/// A sender keeps no packet. It remembers where in the row it is; what is lost is read here once more, so a packet must
/// not change while it is here.
pub trait TrackLog {
    /// The oldest index that is still there, or [`end`](Self::end) if none is.
    fn first(&self) -> u64;

    /// The index behind the newest.
    fn end(&self) -> u64;

    /// The packet at `index`; `None` outside of the window.
    fn packet(&self, index: u64) -> Option<&MediaPacket>;

    /// The newest index at which a viewer can begin.
    fn newest_start(&self) -> Option<u64>;

    /// The newest packet.
    fn newest(&self) -> Option<&MediaPacket> {
        self.packet(self.end().checked_sub(1)?)
    }
}

/// The tracks of one stream, and its clock.
pub trait StreamLog {
    /// The packets of a track.
    type Track: TrackLog;

    /// The packets of the track of that kind; an empty log where there is none.
    fn track(&self, kind: TrackKind) -> &Self::Track;

    /// How media time and wall clock belong together; `None` before the first frame.
    fn clock(&self) -> Option<MediaClock>;
}

/// Which media time and which wall-clock time belong to a moment of the engine's clock, one for all tracks: what sender
/// reports tell, and players synchronise sound with pictures by (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaClock {
    /// Media time minus the engine's clock, in microseconds.
    pub media_offset_us: i64,
    /// Microseconds since 1970 (UTC) when the engine's clock began.
    pub origin_unix_us: i64,
}

impl MediaClock {
    /// The media time at `now`, in microseconds.
    pub fn media_us(&self, now: Duration) -> i64 {
        micros(now).saturating_add(self.media_offset_us)
    }

    /// The wall-clock time at `now`, since 1970.
    pub fn unix(&self, now: Duration) -> Duration {
        let unix_us = micros(now).saturating_add(self.origin_unix_us);
        Duration::from_micros(u64::try_from(unix_us).unwrap_or(0))
    }

    /// The RTP timestamp at `now` of a track of so many ticks per second.
    pub fn rtp_timestamp(&self, now: Duration, clock_rate: u32) -> u32 {
        let ticks = i128::from(self.media_us(now)) * i128::from(clock_rate) / 1_000_000;
        // Timestamps are 32 bits and wrap (RFC 3550 §5.1).
        ticks as u32
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
