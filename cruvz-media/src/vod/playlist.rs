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
    /// How many discontinuities were taken away with the oldest segments (EXT-X-DISCONTINUITY-SEQUENCE).
    pub discontinuity_sequence: u64,
    /// TARGETDURATION at least, in seconds: while a recording goes on, what it was and must stay.
    pub target_duration_s: u32,
    /// How far behind the beginning of the first segment a player shall begin, in nanoseconds.
    pub start_ns: u64,
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
        if self.discontinuity_sequence > 0 {
            line(out, format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuity_sequence));
        }
        if self.start_ns > 0 {
            let (s, us) = (self.start_ns / 1_000_000_000, self.start_ns / 1_000 % 1_000_000);
            line(out, format_args!("#EXT-X-START:TIME-OFFSET={s}.{us:06},PRECISE=YES"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{InitName, PartRecord, SegmentName};

    fn segment(sequence: u32, init: u32, join: Join, duration_ms: u64) -> SegmentRecord {
        let starts_at_unix_ms = 1_767_225_600_000 + 2_000 * u64::from(sequence);
        let name = SegmentName { sequence, starts_at_unix_ms, init, join, checksum: Some(sequence) };
        let parts = vec![PartRecord { bytes: 1_000, start_ns: 0, independent: true }];
        SegmentRecord { name, bytes: 1_000, start_ns: 0, duration_ns: duration_ms * 1_000_000, parts }
    }

    fn index() -> Index {
        let inits = [0, 1].map(|number| InitName { number, checksum: 10 + number }).to_vec();
        let segments = vec![
            segment(0, 0, Join::Gap, 2_000),
            segment(1, 0, Join::Continues, 2_040),
            segment(2, 1, Join::Discontinuity, 1_500),
            segment(5, 1, Join::Continues, 400),
        ];
        Index { inits, segments }
    }

    const ENDED: &str = "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI=\"main/init-0-0000000a.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:1.99999,
main/00000000-1767225600000-i0-g-00000000.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02.000Z
#EXTINF:2.03999,
main/00000001-1767225602000-i0-00000001.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI=\"main/init-1-0000000b.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:04.000Z
#EXTINF:1.49999,
main/00000002-1767225604000-i1-d-00000002.m4s
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:10.000Z
#EXTINF:0.39999,
main/00000005-1767225610000-i1-00000005.m4s
#EXT-X-ENDLIST
";

    fn render(index: &Index, ended: bool, target_duration_s: u32) -> String {
        let (folder, start_ns, discontinuity_sequence) = ("main/", 0, 0);
        MediaPlaylist { index, folder, ended, start_ns, discontinuity_sequence, target_duration_s }.render()
    }

    #[test]
    fn a_recording_is_listed_with_its_breaks_and_holes() {
        assert_eq!(render(&index(), true, 0), ENDED);
        let (playlist, rest) =
            m3u8_rs::parse_media_playlist(ENDED.as_bytes()).map(|(rest, list)| (list, rest)).unwrap();
        assert!(rest.is_empty() && playlist.end_list && playlist.segments.len() == 4);
    }

    #[test]
    fn while_it_goes_on_it_is_an_event_and_its_target_stays() {
        let text = render(&index(), false, 6);
        assert!(
            text.contains("#EXT-X-TARGETDURATION:6\n#EXT-X-PLAYLIST-TYPE:EVENT\n")
                && !text.contains("ENDLIST")
        );
    }

    #[test]
    fn what_retention_took_is_counted() {
        let mut index = index();
        let taken = index.trim(|segment| segment.name.sequence < 2);
        assert_eq!(taken.len(), 2);
        assert_eq!(index.trim(|_| true).len(), 1, "the last stays");
        let text = MediaPlaylist {
            index: &index,
            folder: "",
            ended: false,
            start_ns: 0,
            discontinuity_sequence: 3,
            target_duration_s: 2,
        };
        let text = text.render();
        assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:5\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n"), "{text}");
        assert!(!text.contains("PLAYLIST-TYPE"), "{text}");
    }
}
