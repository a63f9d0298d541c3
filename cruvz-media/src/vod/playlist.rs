//! HLS playlists of a recording (RFC 8216bis §6.2.1): VOD once it has ended, EVENT while it goes on.

use std::io::Cursor;

use bytes::Bytes;

use crate::{
    TrackKind,
    container::mp4::{Error, Limits, Reader},
    hls::{DateTime, Variant, below, line},
    segment::{Index, Join, SegmentRecord},
};

/// What a Media Playlist of a recording is made of.
#[derive(Clone, Copy, Debug)]
pub struct MediaPlaylist<'a> {
    /// The files.
    pub index: &'a Index,
    /// What stands before their names, as `main/`.
    pub folder: &'a str,
    /// Whether nothing will be added.
    pub ended: bool,
    /// TARGETDURATION at least, in seconds: while a recording goes on, what it was and must stay.
    pub target_duration_s: u32,
}

impl MediaPlaylist<'_> {
    /// The text.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(256 + 160 * self.index.segments.len());
        self.put_head(&mut out);
        let mut before: Option<&SegmentRecord> = None;
        for segment in &self.index.segments {
            self.put_segment(&mut out, segment, before);
            before = Some(segment);
        }
        if self.ended {
            line(&mut out, format_args!("#EXT-X-ENDLIST"));
        }
        out
    }

    fn put_head(&self, out: &mut String) {
        let segments = &self.index.segments;
        let longest = segments.iter().map(|segment| rounded_s(segment.duration_ns)).max().unwrap_or(0);
        let target = longest.max(self.target_duration_s.into()).max(1);
        // Version 6 is what EXT-X-MAP needs (bis §8).
        line(out, format_args!("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:{target}"));
        let first = segments.first().map_or(0, |segment| segment.name.sequence);
        match (self.ended, first) {
            (true, _) => line(out, format_args!("#EXT-X-PLAYLIST-TYPE:VOD")),
            (false, 0) => line(out, format_args!("#EXT-X-PLAYLIST-TYPE:EVENT")),
            // Of an EVENT nothing may be taken away (bis §4.4.3.5), and retention has.
            (false, _) => {}
        }
        line(out, format_args!("#EXT-X-MEDIA-SEQUENCE:{first}"));
        if segments.iter().all(SegmentRecord::independent) {
            line(out, format_args!("#EXT-X-INDEPENDENT-SEGMENTS"));
        }
    }

    fn put_segment(&self, out: &mut String, segment: &SegmentRecord, before: Option<&SegmentRecord>) {
        let name = segment.name;
        let hole = before.is_some_and(|before| before.name.sequence + 1 != name.sequence);
        if before.is_some() && (name.join != Join::Continues || hole) {
            line(out, format_args!("#EXT-X-DISCONTINUITY"));
        }
        if before.is_none_or(|before| before.name.init != name.init)
            && let Some(init) = self.index.init(name.init)
        {
            line(out, format_args!("#EXT-X-MAP:URI=\"{}{init}\"", self.folder));
        }
        let date =
            DateTime(i64::try_from(name.starts_at_unix_ms).unwrap_or(i64::MAX / 1000).saturating_mul(1000));
        let duration = below(i64::try_from(segment.duration_ns).unwrap_or(i64::MAX));
        line(
            out,
            format_args!("#EXT-X-PROGRAM-DATE-TIME:{date}\n#EXTINF:{duration},\n{}{name}", self.folder),
        );
    }
}

/// To the nearest second, as TARGETDURATION counts (bis §4.4.3.1).
const fn rounded_s(ns: u64) -> u64 {
    ns.saturating_add(500_000_000) / 1_000_000_000
}

/// What a Multivariant Playlist says of a recording's rendition: `init` is its first initialisation segment, `uri` its Media Playlist.
///
/// # Errors
/// When `init` is none.
pub fn variant(index: &Index, init: &Bytes, uri: &str) -> Result<Variant, Error> {
    let reader = Reader::open(Cursor::new(init.clone()), Limits::default())?;
    let tracks = reader.tracks();
    let codecs: Vec<_> =
        tracks.iter().map(|track| &track.params.rfc6381[..]).filter(|codec| !codec.is_empty()).collect();
    let video = tracks.first(TrackKind::Video).and_then(|track| track.params.video());
    let bps = |bytes: u64, ns: u64| {
        let bps = u128::from(bytes) * 8_000_000_000 / u128::from(ns.max(1));
        u64::try_from(bps).unwrap_or(u64::MAX)
    };
    // Segments far shorter than the others say nothing of the bit rate.
    let whole = index.segments.iter().filter(|segment| segment.duration_ns >= 500_000_000);
    let peak = whole.map(|segment| bps(segment.bytes, segment.duration_ns)).max();
    let average = bps(index.bytes(), index.duration_ns());
    Ok(Variant {
        uri: uri.to_owned(),
        bandwidth_bps: peak.unwrap_or(0).max(average),
        average_bandwidth_bps: average,
        codecs: codecs.join(","),
        resolution: video.map(|video| (video.width, video.height)),
        frame_rate_milli: None,
    })
}
