//! The text of Media Playlists.

use std::fmt::Write;

use super::{
    Config,
    name::Name,
    request::Sibling,
    segment::{Part, Segment},
    window::Window,
};

/// What a playlist must never change once it was handed out (bis §4.4.3.1, §4.4.3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) target_duration_s: u32,
    pub(super) part_target_ms: u32,
}

impl Header {
    /// TARGETDURATION for segments of up to `longest_ns`. A tenth of a second above a whole number is rounded off, so
    /// that a keyframe one frame late does not cost a second.
    pub(super) fn target_duration_s(longest_ns: i64) -> u32 {
        let s = (longest_ns - 100_000_000 + 999_999_999) / 1_000_000_000;
        u32::try_from(s).unwrap_or(1).max(1)
    }

    /// How long a segment may be: what still rounds to the target duration, and a tenth of a second to spare.
    pub(super) fn segment_limit_ns(self) -> i64 {
        i64::from(self.target_duration_s) * 1_000_000_000 + 400_000_000
    }

    /// CAN-SKIP-UNTIL: six target durations, the least allowed (bis §4.4.3.8).
    fn skip_until_s(self) -> u32 {
        6 * self.target_duration_s
    }
}

/// Everything a Media Playlist is made from.
pub(super) struct Listing<'a> {
    pub(super) config: &'a Config,
    pub(super) header: Header,
    pub(super) window: &'a Window,
    pub(super) finished: bool,
}

impl Listing<'_> {
    /// The whole playlist.
    pub(super) fn full(&self) -> String {
        self.render(0)
    }

    /// A delta update (bis §6.2.5.1): the segments before the Skip Boundary are only counted.
    pub(super) fn delta(&self) -> String {
        let boundary_ns = i64::from(self.header.skip_until_s()) * 1_000_000_000;
        let mut behind_ns = self.window.open.as_ref().map_or(0, |open| open.duration_ns);
        let mut kept = 0;
        for segment in self.window.listed().rev() {
            if behind_ns >= boundary_ns {
                break;
            }
            behind_ns += segment.duration_ns;
            kept += 1;
        }
        self.render(self.window.listed_len() - kept)
    }

    fn render(&self, skipped: usize) -> String {
        let mut out = String::with_capacity(4_096);
        self.put_head(&mut out);
        if skipped > 0 {
            line(&mut out, format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"));
        }
        let mut init = None;
        let with_parts_from = self.window.listed_len().saturating_sub(self.config.part_segments - 1);
        for (index, segment) in self.window.listed().enumerate().skip(skipped) {
            self.put_segment_head(&mut out, segment, &mut init);
            if index >= with_parts_from {
                self.put_parts(&mut out, segment);
            }
            let uri = Name::Segment(segment.msn).path(self.config);
            line(&mut out, format_args!("#EXTINF:{},\n{uri}", below(segment.duration_ns)));
        }
        if let Some(open) = self.window.open.as_ref().filter(|_| self.config.low_latency && !self.finished) {
            self.put_segment_head(&mut out, open, &mut init);
            self.put_parts(&mut out, open);
        }
        self.put_tail(&mut out);
        out
    }

    fn put_head(&self, out: &mut String) {
        let Header { target_duration_s, part_target_ms } = self.header;
        // Version 9 is what delta updates need, 6 is what EXT-X-MAP needs (bis §8).
        let version = if self.config.low_latency { 9 } else { 6 };
        line(
            out,
            format_args!("#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target_duration_s}"),
        );
        if self.config.low_latency {
            let until = self.header.skip_until_s();
            let hold_back = seconds(self.config.hold_back_parts * part_target_ms);
            line(
                out,
                format_args!(
                    "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={until}.0,PART-HOLD-BACK={hold_back}"
                ),
            );
            line(out, format_args!("#EXT-X-PART-INF:PART-TARGET={}", seconds(part_target_ms)));
        }
        line(out, format_args!("#EXT-X-MEDIA-SEQUENCE:{}", self.window.media_sequence()));
        let discontinuities = self.window.discontinuity_sequence;
        if discontinuities > 0 {
            line(out, format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}"));
        }
        if self.window.listed().all(Segment::independent) {
            line(out, format_args!("#EXT-X-INDEPENDENT-SEGMENTS"));
        }
    }

    fn put_segment_head(&self, out: &mut String, segment: &Segment, init: &mut Option<u32>) {
        if segment.discontinuity {
            line(out, format_args!("#EXT-X-DISCONTINUITY"));
        }
        if *init != Some(segment.init) {
            let uri = Name::Init(segment.init).path(self.config);
            line(out, format_args!("#EXT-X-MAP:URI=\"{uri}\""));
            *init = Some(segment.init);
        }
        let date = DateTime(segment.starts_at_unix_us);
        line(out, format_args!("#EXT-X-PROGRAM-DATE-TIME:{date}"));
    }

    fn put_parts(&self, out: &mut String, segment: &Segment) {
        if !self.config.low_latency {
            return;
        }
        for (part, number) in segment.parts.iter().zip(0..) {
            let Part { duration_ns, independent, .. } = *part;
            let uri = Name::Part(segment.msn, number).path(self.config);
            let independent = if independent { ",INDEPENDENT=YES" } else { "" };
            let duration = below(duration_ns);
            line(out, format_args!("#EXT-X-PART:DURATION={duration},URI=\"{uri}\"{independent}"));
        }
    }

    fn put_tail(&self, out: &mut String) {
        if self.finished {
            line(out, format_args!("#EXT-X-ENDLIST"));
        } else if self.config.low_latency {
            let window = self.window;
            let next = Name::Part(window.filling_msn(), window.filling_parts() as u32).path(self.config);
            line(out, format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{next}\""));
        }
    }
}

/// The rendition reports of `siblings` (bis §4.4.5.4), to stand at the end of a playlist.
pub(super) fn reports(siblings: &[Sibling<'_>]) -> String {
    let mut out = String::new();
    for Sibling { uri, last_msn, last_part } in siblings {
        let part = last_part.map(|part| format!(",LAST-PART={part}")).unwrap_or_default();
        line(&mut out, format_args!("#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={last_msn}{part}"));
    }
    out
}

pub(crate) fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}

/// Milliseconds as seconds with three decimals.
fn seconds(ms: u32) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Nanoseconds as seconds, strictly below the true value, to 10 µs.
///
/// Browsers count buffered media in whole microseconds, cut off: two seconds end at 1.999999. A player that compares
/// this with a playlist saying 2.00000 finds the segment not played to its end, and fetches it again, for ever.
pub(crate) fn below(ns: i64) -> String {
    let units = (ns - 1).max(0) / 10_000;
    format!("{}.{:05}", units / 100_000, units % 100_000)
}

/// A point in time as RFC 3339 writes it, in UTC with milliseconds.
pub(crate) struct DateTime(pub(crate) i64);

impl std::fmt::Display for DateTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = self.0.div_euclid(1_000);
        let (days, ms) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
    }
}

/// Year, month and day of the proleptic Gregorian calendar, `days` after 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last: then months have 153 days in every five.
fn civil(days: i64) -> (i64, i64, i64) {
    let since_0000_03_01 = days + 719_468;
    let era = since_0000_03_01.div_euclid(146_097); // 400 years
    let day_of_era = since_0000_03_01.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        let text = |us| DateTime(us).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_400_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(1_709_251_199_999_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(text(4_107_542_400_000_000), "2100-03-01T00:00:00.000Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn durations_are_strictly_below_the_truth() {
        assert_eq!(below(2_000_000_000), "1.99999");
        assert_eq!(below(200_200_000), "0.20019");
        assert_eq!(below(200_200_001), "0.20020");
        assert_eq!(below(0), "0.00000");
    }

    #[test]
    fn a_target_duration_covers_what_rounds_to_it() {
        let ms = |ms: i64| Header::target_duration_s(ms * 1_000_000);
        assert_eq!([ms(0), ms(2_000), ms(2_033), ms(2_101), ms(8_333)], [1, 2, 2, 3, 9]);
    }
}
