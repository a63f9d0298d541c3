//! Variants, and the Multivariant Playlist that offers them.

use std::fmt::Write;

use bytes::Bytes;

/// What a player must know of a rendition before it fetches it (bis §4.4.6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its Media Playlist, relative to the Multivariant Playlist.
    pub uri: String,
    /// The highest bit rate of a segment so far.
    pub bandwidth_bps: u64,
    /// The bit rate of all segments so far.
    pub average_bandwidth_bps: u64,
    /// The codecs of its tracks, as RFC 6381 writes them, separated by commas.
    pub codecs: String,
    /// Width and height, where there is video.
    pub resolution: Option<(u32, u32)>,
    /// Thousandths of a frame per second, where there is video.
    pub frame_rate_milli: Option<u32>,
}

/// The Multivariant Playlist of `variants`, the best first.
pub fn multivariant(variants: &[Variant]) -> Bytes {
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:6\n");
    for variant in variants {
        let Variant { uri, bandwidth_bps, average_bandwidth_bps, codecs, resolution, frame_rate_milli } =
            variant;
        let mut attributes = format!(
            "BANDWIDTH={bandwidth_bps},AVERAGE-BANDWIDTH={average_bandwidth_bps},CODECS=\"{codecs}\""
        );
        // Writing to a String cannot fail.
        if let Some((width, height)) = resolution {
            let _ = write!(attributes, ",RESOLUTION={width}x{height}");
        }
        if let Some(rate) = frame_rate_milli {
            let _ = write!(attributes, ",FRAME-RATE={}.{:03}", rate / 1_000, rate % 1_000);
        }
        let _ = write!(out, "#EXT-X-STREAM-INF:{attributes}\n{uri}\n");
    }
    out.into()
}
