//! Frames as MPEG-TS packets, one log of them per stream for SRT and HTTP alike.

use bytes::Bytes;
use cruvz_media::{Frame, Tracks, container::mpegts::Muxer};

use crate::hub::{
    view::TrackSet,
    wire::{WireEncoder, WireFormat},
};

/// Whole 188-byte packets. Each keyframe begins with the tables and has its parameter sets in band; the configuration
/// makes a viewer's continuity counters go on where it begins.
pub(crate) const TS: WireFormat =
    WireFormat { name: "ts", carries: TrackSet::TS, encoder: || Box::new(Encoder::default()) };

#[derive(Default)]
struct Encoder(Muxer);

impl WireEncoder for Encoder {
    fn configuration(&mut self, _: &Tracks, _: &Frame) -> Bytes {
        self.0.rejoin()
    }

    fn frame(&mut self, tracks: &Tracks, frame: &Frame) -> Bytes {
        self.0.frame(tracks, frame)
    }
}
