//! The packager: frames to parts and segments, requests to answers.

use bytes::Bytes;

use super::{
    Config, ConfigError, Unsupported, Variant,
    cutter::{Cutter, Piece, Pushed},
    lane::Taken,
    multivariant,
    name::Name,
    playlist::{Header, Listing},
    rates::Rates,
    segment::{Part, Segment},
    selection::Selection,
    wall_clock::WallClock,
    window::Window,
};
use crate::{Frame, Timestamp, Track, Tracks, container::cmaf};

/// Packages one live stream as one muxed HLS rendition.
///
/// **Target durations.** The first playlist fixes TARGETDURATION (the longest segment so far, at least the configured
/// target) and PART-TARGET; neither may change afterwards. Segments end at keyframes. Where an encoder later waits
/// longer for a keyframe than TARGETDURATION allows, the segment is ended without one, because a longer segment would
/// break the rule players rely on; the next segment is then not independent, the playlist says so, and
/// [`Counters::split_segments`] counts it.
///
/// **Breaks.** A change of codec parameters, a jump in time and [`Self::discontinuity`] end the segment; the next one
/// begins at a keyframe behind an EXT-X-DISCONTINUITY, with a new EXT-X-MAP if needed.
pub struct Packager {
    pub(super) config: Config,
    tracks: Tracks,
    selection: Selection,
    cutter: Cutter,
    pub(super) window: Window,
    /// The initialisation segment in use, and the tracks it describes.
    init: Option<(u32, Vec<Track>)>,
    /// What is added to decoding times so that none is negative; decided with the first part after a break.
    shift: Option<Timestamp>,
    /// Whether the next segment begins behind a discontinuity.
    broken: bool,
    clock: WallClock,
    sequence_number: u32,
    pub(super) header: Option<Header>,
    pub(super) rendered: Rendered,
    rates: Rates,
    counters: Counters,
    pub(super) finished: bool,
    version: u64,
}

/// What a packager has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Parts published.
    pub parts: u64,
    /// Segments completed.
    pub segments: u64,
    /// Segments ended without a keyframe, because none came in time.
    pub split_segments: u64,
    /// Breaks in the timeline.
    pub discontinuities: u64,
    /// Frames left out: before the first keyframe, or beyond a limit.
    pub dropped_frames: u64,
}

/// The playlists as they are now, made once per change.
#[derive(Default)]
pub(super) struct Rendered {
    pub(super) full: Bytes,
    pub(super) delta: Bytes,
    pub(super) multivariant: Bytes,
}

impl Packager {
    /// A packager without a frame.
    ///
    /// # Errors
    /// When a field of `config` is out of its bounds.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            cutter: Cutter::new(&config),
            config,
            tracks: Tracks::empty(),
            selection: Selection::default(),
            window: Window::default(),
            init: None,
            shift: None,
            broken: false,
            clock: WallClock::default(),
            sequence_number: 0,
            header: None,
            rendered: Rendered::default(),
            rates: Rates::default(),
            counters: Counters::default(),
            finished: false,
            version: 0,
        })
    }

    /// Takes the next frame of the stream whose tracks are now `tracks`, which arrived at `wall_clock_unix_us`
    /// (microseconds since 1970). Frames of tracks that HLS cannot carry are ignored, as is everything after
    /// [`Self::finish`].
    pub fn write(&mut self, tracks: &Tracks, frame: &Frame, wall_clock_unix_us: i64) {
        if self.finished {
            return;
        }
        if !tracks.same(&self.tracks) {
            self.tracks = tracks.clone();
            self.adopt(Selection::of(tracks));
        }
        if !self.selection.tracks.iter().any(|track| track.id == frame.track) {
            return;
        }
        if self.cutter.push(frame, &self.config) == Pushed::Jumped {
            self.discontinuity();
            self.cutter.push(frame, &self.config);
        }
        if let Some(newest) = self.cutter.newest() {
            self.clock.observe(newest, wall_clock_unix_us);
        }
        let before = self.version;
        while let Some(piece) = self.cutter.next_piece(&self.config) {
            self.publish(piece);
        }
        if self.version != before {
            self.render();
        }
    }

    /// Ends the segment; the next frames start a new one behind a discontinuity, at a keyframe.
    pub fn discontinuity(&mut self) {
        self.flush();
        if self.window.last().is_some() && !self.broken {
            self.broken = true;
            self.counters.discontinuities += 1;
        }
        self.cutter.restart(&self.selection);
        self.shift = None;
        self.clock = WallClock::default();
        self.render();
    }

    fn flush(&mut self) {
        for piece in self.cutter.flush(&self.config) {
            self.publish(piece);
        }
        self.complete_segment();
    }

    /// Ends the stream: everything held is published and the playlist gets its EXT-X-ENDLIST.
    pub fn finish(&mut self) {
        if self.finished {
            return;
        }
        self.flush();
        self.finished = true;
        self.start_if_due();
        self.changed();
        self.render();
    }

    /// Counts every change that a request could see.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The tracks that are left out, and why.
    pub fn unsupported(&self) -> &[Unsupported] {
        &self.selection.unsupported
    }

    /// What was done so far.
    pub const fn counters(&self) -> Counters {
        Counters {
            split_segments: self.cutter.split,
            dropped_frames: self.cutter.dropped + self.counters.dropped_frames,
            ..self.counters
        }
    }

    /// The Media Sequence Number of the newest segment and its newest part, for the reports of other renditions.
    pub fn progress(&self) -> Option<(u64, Option<u32>)> {
        match (&self.window.open, self.window.last()) {
            (Some(open), _) => Some((open.msn, open.parts.len().checked_sub(1).map(|part| part as u32))),
            (None, Some(last)) => Some((last.msn, last.parts.len().checked_sub(1).map(|part| part as u32))),
            (None, None) => None,
        }
    }

    /// What a Multivariant Playlist says of this rendition; `None` until a segment is complete.
    pub fn variant(&self) -> Option<Variant> {
        self.window.last()?;
        let (_, tracks) = self.init.as_ref()?;
        let codecs: Vec<_> =
            tracks.iter().map(|track| &track.params.rfc6381[..]).filter(|codec| !codec.is_empty()).collect();
        let video = tracks.iter().find_map(|track| track.params.video());
        Some(Variant {
            uri: Name::Playlist.path(&self.config),
            bandwidth_bps: self.rates.peak_bps(),
            average_bandwidth_bps: self.rates.average_bps(),
            codecs: codecs.join(","),
            resolution: video.map(|video| (video.width, video.height)),
            frame_rate_milli: video.and_then(|video| self.rates.frame_rate_milli(video.frame_rate)),
        })
    }

    /// Goes on with `selection`, behind a discontinuity if something else was published before.
    fn adopt(&mut self, selection: Selection) {
        if selection.tracks == self.selection.tracks {
            self.selection = selection;
        } else if self.shift.is_some() {
            // What is held is of the tracks before, and so is its initialisation segment.
            self.flush();
            self.selection = selection;
            self.discontinuity();
        } else {
            self.selection = selection;
            self.cutter.widen(&self.selection);
        }
    }

    fn publish(&mut self, piece: Piece) {
        let shift = *self.shift.get_or_insert_with(|| shift_for(&piece.runs));
        let runs: Vec<_> = piece.runs.iter().map(|run| as_run(run, shift)).collect();
        self.sequence_number = self.sequence_number.wrapping_add(1);
        match cmaf::fragment(self.sequence_number, &runs) {
            Ok(_) if runs.is_empty() => {}
            Ok(body) => {
                let pictures = piece.runs.iter().find(|run| run.video).map_or(0, |run| run.samples.len());
                self.rates.add_pictures(pictures as u64, piece.duration_ns);
                self.counters.parts += 1;
                self.open_segment(piece.start).push(Part::new(body, piece.duration_ns, piece.independent));
                self.changed();
            }
            Err(_) => {
                let lost: usize = runs.iter().map(|run| run.samples.len()).sum();
                self.counters.dropped_frames += lost as u64;
            }
        }
        if piece.ends_segment {
            self.complete_segment();
        }
        self.start_if_due();
    }

    /// The segment being filled; a new one begins at `start` where there is none.
    fn open_segment(&mut self, start: Timestamp) -> &mut Segment {
        let segment = match self.window.open.take() {
            Some(open) => open,
            None => Segment {
                msn: self.window.take_msn(),
                init: self.current_init(),
                discontinuity: std::mem::take(&mut self.broken),
                starts_at_unix_us: self.clock.segment_starts(start),
                parts: Vec::new(),
                duration_ns: 0,
                len: 0,
                body: Bytes::new(),
            },
        };
        self.window.open.insert(segment)
    }

    /// The number of the initialisation segment for the selected tracks, which is made where they are new.
    fn current_init(&mut self) -> u32 {
        let tracks = &self.selection.tracks;
        if let Some((number, described)) = &self.init
            && described == tracks
        {
            return *number;
        }
        // Each track was tried alone when it was selected, so all of them together cannot fail.
        let body = cmaf::init_segment(tracks).unwrap_or_default();
        let content_type = if self.selection.has_video() { "video/mp4" } else { "audio/mp4" };
        let number = self.window.add_init(body, content_type);
        self.init = Some((number, tracks.clone()));
        number
    }

    fn complete_segment(&mut self) {
        let target_ns = i64::from(self.longest_s()) * 1_000_000_000;
        if let Some(segment) = self.window.complete(&self.config, target_ns) {
            self.rates.add_segment(segment.len, segment.duration_ns, target_ns);
            self.counters.segments += 1;
            self.changed();
        }
    }

    fn longest_s(&self) -> u32 {
        let target_ns = i64::from(self.config.segment_target_ms) * 1_000_000;
        match self.header {
            Some(header) => header.target_duration_s,
            None => Header::target_duration_s(self.cutter.longest_segment_ns().max(target_ns)),
        }
    }

    /// Fixes what playlists must never change, once there is enough for the first one.
    fn start_if_due(&mut self) {
        let (segments, parts_ns) = (self.window.listed_len(), self.window.listed_ns());
        let enough = segments >= self.config.start_segments
            || (segments > 0
                && (self.finished || parts_ns >= i64::from(self.config.start_grace_ms) * 1_000_000));
        if self.header.is_some() || !enough {
            return;
        }
        let part_target_ms = self.cutter.part_target_ms().unwrap_or(self.config.part_target_ms);
        let header = Header { target_duration_s: self.longest_s(), part_target_ms };
        self.cutter.limit_segments(header.segment_limit_ns());
        self.header = Some(header);
    }

    fn changed(&mut self) {
        self.version += 1;
    }

    /// Makes the playlists anew, so that every viewer who asks gets the same bytes.
    fn render(&mut self) {
        let Some(header) = self.header else { return };
        let listing = Listing { config: &self.config, header, window: &self.window, finished: self.finished };
        self.rendered = Rendered {
            full: listing.full().into(),
            delta: listing.delta().into(),
            multivariant: self.variant().map(|variant| multivariant(&[variant])).unwrap_or_default(),
        };
    }
}

/// What makes the earliest of `runs` begin at zero, if it begins before; zero otherwise.
fn shift_for(runs: &[Taken]) -> Timestamp {
    let starts = runs.iter().map(|run| Timestamp::new(run.base_dts, run.timescale));
    match starts.min() {
        Some(first) if first < Timestamp::ZERO => Timestamp::new(-first.ticks(), first.timescale()),
        _ => Timestamp::ZERO,
    }
}

fn as_run(taken: &Taken, shift: Timestamp) -> cmaf::Run<'_> {
    let base_dts = taken.base_dts + shift.rescale(taken.timescale).ticks();
    cmaf::Run {
        track_id: taken.track_id,
        base_dts: u64::try_from(base_dts).unwrap_or(0),
        samples: &taken.samples,
    }
}
