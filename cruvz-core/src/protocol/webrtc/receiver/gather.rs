//! The first frames wait until all tracks are known.

use std::{collections::VecDeque, time::Duration};

use cruvz_media::{Frame, Track, TrackKind, Tracks};

use super::{Config, Event};

/// Puts tracks together: viewers that begin with the first sound would otherwise learn of the picture too late, and start
/// their players anew.
#[derive(Debug)]
pub(super) struct Gather {
    /// The kinds that were negotiated and did not come yet.
    awaited: Vec<TrackKind>,
    tracks: Vec<Track>,
    /// When waiting ends; unknown before the first frame.
    until: Option<Duration>,
    begun: bool,
    held: VecDeque<Frame>,
    held_bytes: usize,
}

impl Gather {
    pub(super) fn new(awaited: Vec<TrackKind>) -> Self {
        let (tracks, held) = (Vec::new(), VecDeque::new());
        Self { awaited, tracks, until: None, begun: false, held, held_bytes: 0 }
    }

    /// The frames from here on belong to `track`.
    pub(super) fn track(&mut self, track: Track, events: &mut VecDeque<Event>) {
        self.awaited.retain(|&kind| kind != track.kind());
        match self.tracks.iter_mut().find(|known| known.id == track.id) {
            Some(known) if *known == track => return,
            Some(known) => {
                // What waits for the other tracks was of the old kind.
                self.held.retain(|frame| frame.track != track.id);
                *known = track;
            }
            None => self.tracks.push(track),
        }
        if self.begun {
            events.push_back(Event::Tracks(Tracks::new(self.tracks.clone())));
        }
    }

    /// Passes a frame on, or holds it.
    pub(super) fn frame(
        &mut self,
        now: Duration,
        frame: Frame,
        config: &Config,
        events: &mut VecDeque<Event>,
    ) {
        if self.begun {
            events.push_back(Event::Frame(frame));
            return;
        }
        self.until.get_or_insert_with(|| now.saturating_add(config.gather));
        self.held_bytes += frame.payload.len() + size_of::<Frame>();
        self.held.push_back(frame);
        if self.awaited.is_empty() || self.held_bytes > config.max_gathered_bytes {
            self.begin(events);
        } else {
            self.handle_timeout(now, events);
        }
    }

    /// When it waits no longer.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.until.filter(|_| !self.begun)
    }

    /// Begins with what is there if it waited long enough.
    pub(super) fn handle_timeout(&mut self, now: Duration, events: &mut VecDeque<Event>) {
        if self.timeout().is_some_and(|until| until <= now) {
            self.begin(events);
        }
    }

    fn begin(&mut self, events: &mut VecDeque<Event>) {
        self.begun = true;
        events.push_back(Event::Tracks(Tracks::new(self.tracks.clone())));
        events.extend(self.held.drain(..).map(Event::Frame));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cruvz_media::{AudioFormat, Codec, CodecParams, Format, Timescale, Timestamp, TrackId, VideoFormat};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn video(width: u32) -> Track {
        let format = Format::Video(VideoFormat { width, height: 90, ..VideoFormat::default() });
        let params = CodecParams { codec: Codec::Vp8, config: Bytes::new(), format, rfc6381: "vp08".into() };
        Track { id: TrackId::VIDEO, timescale: Timescale::MPEG, params }
    }

    fn audio() -> Track {
        let format =
            Format::Audio(AudioFormat { sample_rate_hz: 48_000, channels: 2, samples_per_frame: None });
        let params = CodecParams { codec: Codec::Opus, config: Bytes::new(), format, rfc6381: "opus".into() };
        Track { id: TrackId::AUDIO, timescale: Timescale::MPEG, params }
    }

    fn frame(track: TrackId, bytes: usize) -> Frame {
        let at = Timestamp::ZERO;
        Frame { track, pts: at, dts: at, keyframe: true, payload: vec![0; bytes].into() }
    }

    /// What comes out, as the number of tracks or the track of a frame.
    fn told(events: &mut VecDeque<Event>) -> Vec<String> {
        let name = |event| match event {
            Event::Tracks(tracks) => format!("{} tracks", tracks.len()),
            Event::Frame(frame) => format!("frame of {}", frame.track),
            other => format!("{other:?}"),
        };
        events.drain(..).map(name).collect()
    }

    #[test]
    fn viewers_learn_of_sound_and_picture_together() {
        let (config, mut events) = (Config::default(), VecDeque::new());
        let mut gather = Gather::new(vec![TrackKind::Audio, TrackKind::Video]);
        gather.track(audio(), &mut events);
        gather.frame(10 * MS, frame(TrackId::AUDIO, 9), &config, &mut events);
        assert!(events.is_empty());
        gather.track(video(160), &mut events);
        gather.frame(30 * MS, frame(TrackId::VIDEO, 9), &config, &mut events);
        assert_eq!(told(&mut events), ["2 tracks", "frame of 2", "frame of 1"]);
        gather.track(video(160), &mut events);
        gather.track(video(320), &mut events);
        assert_eq!(told(&mut events), ["2 tracks"], "only what changed is told");
    }

    #[test]
    fn a_track_that_never_comes_is_waited_for_no_longer_than_configured() {
        let (config, mut events) = (Config::default(), VecDeque::new());
        let mut gather = Gather::new(vec![TrackKind::Audio, TrackKind::Video]);
        assert_eq!(gather.timeout(), None);
        gather.track(audio(), &mut events);
        gather.frame(10 * MS, frame(TrackId::AUDIO, 9), &config, &mut events);
        assert_eq!(gather.timeout(), Some(1_010 * MS));
        gather.handle_timeout(1_009 * MS, &mut events);
        assert!(events.is_empty());
        gather.handle_timeout(1_010 * MS, &mut events);
        assert_eq!(told(&mut events), ["1 tracks", "frame of 2"]);
        assert_eq!(gather.timeout(), None);
        gather.track(video(160), &mut events);
        assert_eq!(told(&mut events), ["2 tracks"], "and may still come");
    }

    #[test]
    fn what_is_held_is_bounded_and_never_of_another_layer() {
        let (config, mut events) = (Config::default(), VecDeque::new());
        let mut gather = Gather::new(vec![TrackKind::Audio, TrackKind::Video]);
        gather.track(video(160), &mut events);
        gather.frame(Duration::ZERO, frame(TrackId::VIDEO, 9), &config, &mut events);
        gather.track(video(320), &mut events);
        gather.frame(Duration::ZERO, frame(TrackId::VIDEO, config.max_gathered_bytes), &config, &mut events);
        assert_eq!(told(&mut events), ["1 tracks", "frame of 1"]);
    }
}
