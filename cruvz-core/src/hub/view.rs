//! Views: a stream as an egress can carry it, with tracks in other codecs where need be.
//!
//! A view is a [`LiveStream`] that stands on no list. One task feeds it from the log of its origin, for all who watch it, from
//! the first to a moment after the last; tracks that the egress takes pass through as they are. A stream all of whose tracks
//! it takes as they come is its own view and costs nothing.

use std::{fmt, sync::Arc, time::Duration};

use cruvz_media::{Codec, Frame, Track, TrackKind, Tracks};
use serde::Serialize;

use super::{
    registry::{HubContext, Interest},
    stream::{Entry, LiveStream, WeakStream},
    subscriber::Subscriber,
    wire::{WireFormat, WireLog},
};
use crate::{Error, Event, config::EgressConfig};

/// Entries that are converted in one go at most: what waits for them is not kept waiting for long.
const BATCH: usize = 32;
/// How often a view looks whether it is watched, and how often in a row nobody must: a viewer that comes back at once, or
/// another one, finds it running.
const TICK: Duration = Duration::from_secs(1);
const LINGER_TICKS: u32 = 3;

/// How far behind the newest frame of its stream one is late: made now, it would be seen so much later than it could.
const LATE_US: i64 = 300_000;

/// Which tracks an egress carries, and what the rest is made into. Two are the same when their names are.
#[derive(Clone, Copy)]
pub(crate) struct TrackSet {
    /// As events and the API name it.
    pub(crate) name: &'static str,
    pub(crate) audio: CodecSet,
    pub(crate) video: CodecSet,
    pub(crate) convert: fn(Self, &HubContext) -> Box<dyn Convert>,
}

/// Which codecs of one kind an egress carries.
#[derive(Clone, Copy)]
pub(crate) struct CodecSet {
    /// What every player of that egress can be expected to play.
    pub(crate) plays: &'static [Codec],
    /// What the format has room for beyond that. It stays as it is where nothing better can be made of it.
    pub(crate) carries: &'static [Codec],
    /// Whether players show frames in the order they come: none of what they play may be reordered.
    pub(crate) in_order: bool,
    /// What everything else is made into.
    pub(crate) into: Codec,
    /// Whether this build can do that.
    pub(crate) makes: bool,
}

/// What is to be done with a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stays as it is.
    Fits,
    /// Its codec is none that players play.
    OtherCodec,
    /// It has frames that are shown before one that is sent earlier.
    Reordered,
    /// Whether it has such frames is not known before one comes.
    PerhapsReordered,
}

impl TrackSet {
    /// What is to be done with `track`.
    pub(crate) fn verdict(&self, track: &Track) -> Verdict {
        self.of(track.kind()).map_or(Verdict::Fits, |set| set.verdict(track))
    }

    /// The codecs of `kind`; `None`: whatever there is.
    pub(crate) const fn of(&self, kind: TrackKind) -> Option<&CodecSet> {
        match kind {
            TrackKind::Audio => Some(&self.audio),
            TrackKind::Video => Some(&self.video),
            TrackKind::Data => None,
        }
    }

    /// What of it holds under such settings.
    pub(super) fn under(mut self, egress: &EgressConfig) -> Self {
        self.audio.makes &= egress.transcode_audio;
        self.video.makes &= egress.transcode_video;
        self
    }

    pub(super) fn takes_all(&self, tracks: &Tracks) -> bool {
        tracks.iter().all(|track| self.verdict(track) == Verdict::Fits)
    }
}

impl CodecSet {
    fn verdict(&self, track: &Track) -> Verdict {
        let codec = track.params.codec;
        let (plays, carries) = (self.plays.contains(&codec), self.carries.contains(&codec));
        if !self.makes && (plays || carries) {
            return Verdict::Fits;
        }
        if !plays {
            return Verdict::OtherCodec;
        }
        match track.params.video().map(|video| video.reorder_depth) {
            Some(Some(1..)) if self.in_order => Verdict::Reordered,
            // The others show what they send, or nothing.
            Some(None) if self.in_order && matches!(codec, Codec::H264 | Codec::H265) => {
                Verdict::PerhapsReordered
            }
            _ => Verdict::Fits,
        }
    }
}

impl PartialEq for TrackSet {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for TrackSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Makes the frames of a stream into those of a view.
pub(crate) trait Convert: Send {
    /// What the view has for the tracks of the stream.
    fn tracks(&mut self, source: &Tracks) -> Plan;

    /// Whether the frame takes more time than a task may.
    fn is_work(&self, frame: &Frame) -> bool;

    /// What the view has for a frame of the stream. Of one that is `late` there need be nothing, if that saves time. A new plan if
    /// the view has other tracks from here on.
    ///
    /// # Errors
    /// What was wrong with it. The next one may be better.
    fn frame(&mut self, frame: Frame, late: bool, out: &mut Vec<Frame>) -> Result<Option<Plan>, String>;
}

/// What a view has for the tracks of its stream.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) tracks: Tracks,
    pub(crate) notes: Notes,
}

/// What there is to say of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) transcoded: Vec<Transcoded>,
}

/// A track that the viewers of some protocols do not get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its id within the stream.
    pub track: u32,
    /// The name of its codec.
    pub codec: &'static str,
    /// Who does not get it: `webrtc`, `flv` (RTMP and HTTP-FLV), `mpegts` (SRT and TS over HTTP) or `hls`.
    pub by: &'static str,
    /// Why, in words.
    pub reason: String,
}

/// A track that the viewers of some protocols get in another form, made while they watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Transcoded {
    /// Its id within the stream.
    pub track: u32,
    /// The name of its codec.
    pub codec: &'static str,
    /// The name of the codec it is made into; the same where only the order of its pictures was in the way.
    pub into: &'static str,
    /// Who gets it so: see [`LeftOut::by`].
    pub by: &'static str,
    /// `codec`: players do not know it. `reordered`: players show pictures as they come, and it has B-frames.
    pub reason: &'static str,
}

impl Transcoded {
    /// The [`Self::reason`] of B-frames.
    pub(crate) const REORDERED: &str = "reordered";
}

/// A stream as an egress can carry it. It stays what it is while this is held, or a log of it.
#[derive(Debug)]
pub(crate) struct View(Interest);

impl std::ops::Deref for View {
    type Target = LiveStream;

    fn deref(&self) -> &LiveStream {
        &self.0.0
    }
}

impl View {
    /// A cursor on it that no session counts.
    pub(crate) fn cursor(&self) -> Subscriber {
        Subscriber::unseen(Interest::new(self))
    }
}

/// A view that may be running, as its origin knows it.
#[derive(Debug)]
pub(super) struct Slot {
    wanted: TrackSet,
    view: WeakStream,
    notes: Notes,
}

impl LiveStream {
    /// This stream with tracks that `wanted` takes: itself, or one that is made of it as long as somebody watches. To be asked
    /// for once the stream can be played: before, it has no tracks to go by.
    pub(crate) fn view(&self, wanted: TrackSet) -> View {
        self.view_from(wanted, None)
    }

    /// The wire log of `format`, made from the newest start on if there is none yet, of the view that the format takes.
    ///
    /// # Errors
    /// `Closed` once the stream has ended.
    pub(crate) fn wire(&self, format: WireFormat) -> Result<Arc<WireLog>, Error> {
        self.view(format.carries).wire_of_its_own(format)
    }

    /// Lets a log whose format does not take the tracks from entry `seq` on go on with a view that it takes.
    pub(super) fn rehome(&self, wire: Arc<WireLog>, seq: u64) {
        self.view_from(wire.format().carries, Some(seq)).adopt(wire);
    }

    /// What views of it leave out and make now.
    pub(super) fn notes(&self) -> Notes {
        let views = self.views();
        let mut notes = Notes::default();
        for slot in views.iter().filter(|slot| slot.view.upgrade().is_some()) {
            notes.left_out.extend_from_slice(&slot.notes.left_out);
            notes.transcoded.extend_from_slice(&slot.notes.transcoded);
        }
        notes
    }

    fn view_from(&self, wanted: TrackSet, next: Option<u64>) -> View {
        let origin = self.origin();
        let (source, wanted) = (origin.tracks(), wanted.under(&origin.hub().egress));
        if wanted.takes_all(&source) {
            return View(Interest::new(origin));
        }
        if let Some(view) = origin.running(wanted) {
            return view;
        }
        // Made before the list is locked: it takes a millisecond.
        let mut conversion = Conversion::new((wanted.convert)(wanted, origin.hub()));
        conversion.retrack(&source);
        let mut views = origin.views();
        if let Some(view) = find(&views, wanted) {
            return view;
        }
        let view = View(Interest::new(&origin.derived(conversion.tracks.clone())));
        views.retain(|slot| slot.view.upgrade().is_some());
        views.push(Slot { wanted, view: view.downgrade(), notes: Notes::default() });
        drop(views);
        let mut source = Subscriber::unseen(Interest::new(origin));
        source.begin_at(next);
        let feed = Feed { origin: origin.clone(), view: (*view).clone(), wanted, source };
        feed.tell(&conversion);
        tracing::debug!(stream = %origin.name(), view = wanted.name, "a view of the stream begins");
        origin.hub().runtime.spawn(feed.run(conversion));
        view
    }

    fn running(&self, wanted: TrackSet) -> Option<View> {
        find(&self.views(), wanted)
    }
}

fn find(views: &[Slot], wanted: TrackSet) -> Option<View> {
    let mut of_it = views.iter().filter(|slot| slot.wanted == wanted);
    let view = of_it.find_map(|slot| slot.view.upgrade().filter(|view| !view.has_ended()))?;
    Some(View(Interest::new(&view)))
}

/// The task of a view.
struct Feed {
    origin: LiveStream,
    view: LiveStream,
    wanted: TrackSet,
    source: Subscriber,
}

impl Feed {
    async fn run(mut self, conversion: Conversion) {
        let mut conversion = Some(conversion);
        let mut tick = tokio::time::interval(TICK);
        let mut unwatched = 0;
        while let Some(converting) = conversion.take() {
            tokio::select! {
                entry = self.source.next_entry() => match entry {
                    Some(entry) => conversion = self.take(converting, entry).await,
                    None => {
                        self.view.end(self.origin.end_reason().as_deref().unwrap_or("the stream ended"));
                        return;
                    }
                },
                _ = tick.tick() => {
                    unwatched = if self.view.is_watched() { 0 } else { unwatched + 1 };
                    if unwatched > LINGER_TICKS && self.leaves() {
                        return;
                    }
                    conversion = Some(converting);
                }
            }
        }
        self.view.end("it cannot be made any more");
    }

    /// Converts an entry and what has come behind it. `None` when that broke off.
    async fn take(&mut self, mut conversion: Conversion, first: Entry) -> Option<Conversion> {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Some(next) = self.source.ready_entry()
        {
            batch.push(next);
        }
        let origin = self.origin.clone();
        let edge_us = move || origin.newest_us();
        let (conversion, made) = if batch.iter().any(|entry| conversion.is_work(entry)) {
            let work = move || {
                let made = conversion.batch(batch, &edge_us);
                (conversion, made)
            };
            tokio::task::spawn_blocking(work).await.ok()?
        } else {
            let made = conversion.batch(batch, &edge_us);
            (conversion, made)
        };
        for entry in made.entries {
            self.view.mirror(entry);
        }
        self.view.flush();
        (0..made.broken).for_each(|_| self.origin.count_dropped());
        if made.retracked {
            self.tell(&conversion);
        }
        Some(conversion)
    }

    /// Says what is left out, and what would not have to be made.
    fn tell(&self, conversion: &Conversion) {
        let mut views = self.origin.views();
        let same = |slot: &&mut Slot| slot.view.upgrade().is_some_and(|view| view.same(&self.view));
        let Some(slot) = views.iter_mut().find(same) else { return };
        let before = std::mem::replace(&mut slot.notes, conversion.notes.clone());
        drop(views);
        let (stream, events) = (self.origin.name(), &self.origin.hub().events);
        let reorders =
            |notes: &Notes| notes.transcoded.iter().any(|made| made.reason == Transcoded::REORDERED);
        if reorders(&conversion.notes) && !reorders(&before) {
            tracing::info!(%stream, "pictures are made again for players that show them as they come");
            events.send(Event::PicturesReordered { stream: stream.clone(), transcoded: true });
        }
        let fresh = conversion.notes.left_out.iter().filter(|left_out| !before.left_out.contains(left_out));
        for LeftOut { track, codec, by, reason } in fresh.cloned() {
            let stream = stream.clone();
            tracing::warn!(%stream, track, codec, by, reason, "a track is left out");
            events.send(Event::TrackUnplayable { stream, track, codec, by, reason });
        }
    }

    /// Takes the view off the list, unless somebody came meanwhile.
    fn leaves(&self) -> bool {
        let mut views = self.origin.views();
        if self.view.is_watched() {
            return false;
        }
        views.retain(|slot| slot.view.upgrade().is_some_and(|view| !view.same(&self.view)));
        tracing::debug!(stream = %self.origin.name(), view = self.wanted.name, "nobody watches the view any more");
        true
    }
}

/// Entries of a stream to entries of its view.
struct Conversion {
    convert: Box<dyn Convert>,
    /// The tracks of the stream, and what the view has for them.
    source: Tracks,
    tracks: Tracks,
    notes: Notes,
    /// Whether another source begins with the next start.
    discontinuity: bool,
}

/// What a batch was made into.
#[derive(Default)]
struct Made {
    entries: Vec<Entry>,
    /// Frames that nothing could be made of.
    broken: u64,
    retracked: bool,
}

impl Conversion {
    fn new(convert: Box<dyn Convert>) -> Self {
        let (source, tracks) = (Tracks::empty(), Tracks::empty());
        Self { convert, source, tracks, notes: Notes::default(), discontinuity: false }
    }

    fn retrack(&mut self, source: &Tracks) {
        let plan = self.convert.tracks(source);
        self.follow(plan);
        self.source = source.clone();
    }

    fn follow(&mut self, Plan { tracks, notes }: Plan) {
        (self.tracks, self.notes) = (tracks, notes);
    }

    fn is_work(&self, entry: &Entry) -> bool {
        !self.source.same(&entry.tracks) || self.convert.is_work(&entry.frame)
    }

    /// What the view has for `entries`, while `edge_us` says of what time the newest of the stream is.
    fn batch(&mut self, entries: Vec<Entry>, edge_us: &dyn Fn() -> i64) -> Made {
        let mut made = Made::default();
        let mut frames = Vec::new();
        for entry in entries {
            if !self.source.same(&entry.tracks) {
                self.retrack(&entry.tracks);
                made.retracked = true;
            }
            self.discontinuity |= entry.discontinuity;
            let late = edge_us().saturating_sub(entry.frame.dts.as_micros()) > LATE_US;
            match self.convert.frame(entry.frame, late, &mut frames) {
                Ok(None) => {}
                Ok(Some(plan)) => {
                    self.follow(plan);
                    made.retracked = true;
                }
                Err(reason) => {
                    tracing::debug!(reason, "a frame is left out of a view");
                    made.broken += 1;
                }
            }
            for frame in frames.drain(..) {
                let start = self.tracks.starts_at(frame.track, frame.keyframe);
                let discontinuity = start && std::mem::take(&mut self.discontinuity);
                let tracks = self.tracks.clone();
                made.entries.push(Entry { frame, tracks, discontinuity, arrived: entry.arrived, start });
            }
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use bytes::Bytes;
    use cruvz_media::{CodecParams, Timestamp, Track, TrackId};

    use super::*;
    use crate::{Engine, EngineConfig, Events, Publisher, hub::wire::WireEncoder};

    /// Converters that there are, and audio frames that passed through one.
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    static CONVERTED: AtomicUsize = AtomicUsize::new(0);
    /// One test at a time counts.
    static COUNTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    /// Calls AAC Opus, and cannot do anything with MP3.
    struct Rename(Tracks);

    impl Rename {
        fn converter(_: TrackSet, _: &HubContext) -> Box<dyn Convert> {
            ALIVE.fetch_add(1, SeqCst);
            Box::new(Self(Tracks::empty()))
        }
    }

    impl Drop for Rename {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, SeqCst);
        }
    }

    impl Convert for Rename {
        fn tracks(&mut self, source: &Tracks) -> Plan {
            let (mut tracks, mut left_out) = (Vec::new(), Vec::new());
            for track in source.iter() {
                match track.params.codec {
                    Codec::Aac => tracks.push(self::track(track.id, Codec::Opus)),
                    Codec::Mp3 => left_out.push(LeftOut {
                        track: track.id.0,
                        codec: track.params.codec.name(),
                        by: "test",
                        reason: "it hurts".into(),
                    }),
                    _ => tracks.push(track.clone()),
                }
            }
            self.0 = Tracks::new(tracks);
            let notes = Notes { left_out, transcoded: Vec::new() };
            Plan { tracks: self.0.clone(), notes }
        }

        fn is_work(&self, frame: &Frame) -> bool {
            frame.track == TrackId::AUDIO
        }

        fn frame(&mut self, mut frame: Frame, _: bool, out: &mut Vec<Frame>) -> Result<Option<Plan>, String> {
            if self.0.by_id(frame.track).is_none() {
                return Ok(None);
            }
            if &frame.payload[..] == b"broken" {
                return Err("broken".into());
            }
            if frame.track == TrackId::AUDIO {
                CONVERTED.fetch_add(1, SeqCst);
                frame.payload = [b"made of ", &frame.payload[..]].concat().into();
            }
            out.push(frame);
            Ok(None)
        }
    }

    const OPUS: TrackSet = TrackSet {
        name: "test",
        audio: CodecSet {
            plays: &[Codec::Opus],
            carries: &[],
            in_order: false,
            into: Codec::Opus,
            makes: true,
        },
        video: CodecSet {
            plays: &[Codec::Vp8],
            carries: &[],
            in_order: false,
            into: Codec::H264,
            makes: true,
        },
        convert: Rename::converter,
    };

    /// A frame is its payload and a full stop.
    struct Bare;

    impl WireEncoder for Bare {
        fn configuration(&mut self, tracks: &Tracks, _: &Frame) -> Bytes {
            let codecs = tracks.iter().map(|track| track.params.codec.name());
            Bytes::from(format!("[{}]", codecs.collect::<Vec<_>>().join(" ")))
        }

        fn frame(&mut self, _: &Tracks, frame: &Frame) -> Bytes {
            [&frame.payload[..], b"."].concat().into()
        }
    }

    const BARE: WireFormat =
        WireFormat { name: "bare", carries: OPUS, encoder: || Box::new(Bare) as Box<dyn WireEncoder> };

    fn track(id: TrackId, codec: Codec) -> Track {
        let format = match codec.kind() {
            TrackKind::Video => cruvz_media::Format::Video(cruvz_media::VideoFormat::default()),
            _ => cruvz_media::Format::Audio(cruvz_media::AudioFormat::default()),
        };
        let params = CodecParams { codec, config: Bytes::new(), format, rfc6381: String::new() };
        Track { id, timescale: cruvz_media::Timescale::MILLIS, params }
    }

    fn tracks(audio: Codec) -> Tracks {
        Tracks::new(vec![track(TrackId::VIDEO, Codec::Vp8), track(TrackId::AUDIO, audio)])
    }

    async fn stage(audio: Codec) -> (Engine, Publisher) {
        let mut config = EngineConfig::default();
        config.hub.grace_ms = 60_000;
        let engine = Engine::builder().config(config).start().await.unwrap();
        let publisher = engine.publish("live/cam".parse().unwrap(), tracks(audio)).await.unwrap();
        (engine, publisher)
    }

    fn write(publisher: &mut Publisher, track: TrackId, at_ms: i64, payload: &'static [u8]) {
        let (pts, keyframe) = (Timestamp::from_millis(at_ms), payload.starts_with(b"K"));
        let keyframe = keyframe || track == TrackId::AUDIO;
        publisher.write(Frame { track, pts, dts: pts, keyframe, payload: payload.into() }).unwrap();
    }

    /// The next `count` entries of a stream: what is in them.
    async fn read(cursor: &mut Subscriber, count: usize) -> Vec<String> {
        let mut read = Vec::new();
        for _ in 0..count {
            let entry = cursor.next_entry().await.unwrap();
            read.push(String::from_utf8_lossy(&entry.frame.payload).into_owned());
        }
        read
    }

    /// All that a log holds, as soon as it ends with `last`.
    async fn until_it_ends_with(log: &WireLog, last: &str) -> String {
        loop {
            let changed = log.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (units, ..) = log.read(None);
            let bytes = units.iter().flat_map(|unit| [unit.configuration.clone(), Some(unit.bytes.clone())]);
            let text = String::from_utf8(bytes.flatten().flatten().collect()).unwrap();
            if text.ends_with(last) {
                return text;
            }
            changed.await;
        }
    }

    async fn unplayable(events: &mut Events) -> (u32, &'static str, String) {
        loop {
            if let Event::TrackUnplayable { track, codec, reason, .. } = events.next().await.unwrap() {
                return (track, codec, reason);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ten_viewers_share_a_view_and_it_ends_a_moment_after_the_last() {
        let _counting = COUNTING.lock().await;
        let (_engine, mut publisher) = stage(Codec::Aac).await;
        write(&mut publisher, TrackId::VIDEO, 0, b"K0");
        write(&mut publisher, TrackId::AUDIO, 1, b"a1");
        let stream = publisher.stream().clone();
        let views: Vec<_> = (0..10).map(|_| stream.view(OPUS)).collect();
        assert!(views.iter().all(|view| view.same(&views[0]) && !view.same(&stream)));
        assert_eq!(ALIVE.load(SeqCst), 1);
        // What the view will have is known before there is anything in it.
        let codecs: Vec<_> = views[0].tracks().iter().map(|track| track.params.codec).collect();
        assert_eq!(codecs, [Codec::Vp8, Codec::Opus]);
        let mut cursor = views[0].cursor();
        assert_eq!(read(&mut cursor, 2).await, ["K0", "made of a1"]);
        drop(views);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(stream.is_watched() && ALIVE.load(SeqCst) == 1, "one of them stays");
        drop(cursor);
        let again = stream.view(OPUS);
        assert_eq!(ALIVE.load(SeqCst), 1, "it was still running");
        drop(again);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!((ALIVE.load(SeqCst), stream.is_watched()), (0, false));
        let converted = CONVERTED.load(SeqCst);
        write(&mut publisher, TrackId::AUDIO, 2, b"a2");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(CONVERTED.load(SeqCst), converted, "nobody watches, nothing is made");
        assert!(stream.views().is_empty());
        // And it begins again.
        let view = stream.view(OPUS);
        let mut cursor = view.cursor();
        assert_eq!(read(&mut cursor, 3).await, ["K0", "made of a1", "made of a2"]);
    }

    #[tokio::test]
    async fn a_stream_that_is_taken_as_it_is_is_its_own_view() {
        let (_engine, publisher) = stage(Codec::Opus).await;
        assert!(publisher.stream().view(OPUS).same(publisher.stream()));
    }

    #[tokio::test]
    async fn what_happens_to_the_stream_happens_to_the_view() {
        let _counting = COUNTING.lock().await;
        let (engine, mut publisher) = stage(Codec::Aac).await;
        write(&mut publisher, TrackId::VIDEO, 0, b"K0");
        let stream = publisher.stream().clone();
        let view = stream.view(OPUS);
        let mut cursor = view.cursor();
        write(&mut publisher, TrackId::AUDIO, 1, b"broken");
        write(&mut publisher, TrackId::AUDIO, 20, b"a2");
        assert_eq!(read(&mut cursor, 2).await, ["K0", "made of a2"]);
        assert_eq!(stream.info().totals.dropped_frames, 1, "counted where it came from");
        // The publisher comes back, with tracks that need nothing made.
        drop(publisher);
        let mut publisher = engine.publish("live/cam".parse().unwrap(), tracks(Codec::Opus)).await.unwrap();
        write(&mut publisher, TrackId::VIDEO, 0, b"K3");
        let entry = cursor.next_entry().await.unwrap();
        assert!(entry.discontinuity && entry.start && &entry.frame.payload[..] == b"K3");
        assert!(view.tracks().iter().any(|track| track.params.codec == Codec::Opus));
        let mut events = engine.events();
        stream.end("the show is over");
        assert!(cursor.next_entry().await.is_none());
        assert_eq!(view.end_reason().as_deref(), Some("the show is over"));
        let _another = engine.publish("live/other".parse().unwrap(), Tracks::empty()).await.unwrap();
        let mut told = 0;
        loop {
            match events.next().await.unwrap() {
                Event::StreamEnded { .. } => told += 1,
                Event::PublisherConnected { .. } => break,
                _ => {}
            }
        }
        assert_eq!(told, 1, "once, not for the view as well");
    }

    #[tokio::test]
    async fn a_track_that_is_left_out_is_told_of_once_and_shown() {
        let _counting = COUNTING.lock().await;
        let (engine, mut publisher) = stage(Codec::Mp3).await;
        let mut events = engine.events();
        write(&mut publisher, TrackId::VIDEO, 0, b"K0");
        let stream = publisher.stream().clone();
        let view = stream.view(OPUS);
        assert_eq!(unplayable(&mut events).await, (2, "MP3", "it hurts".to_owned()));
        let [left_out] = &stream.info().left_out[..] else { panic!("{:?}", stream.info()) };
        assert_eq!((left_out.track, left_out.by), (2, "test"));
        let log = view.wire(BARE).unwrap();
        write(&mut publisher, TrackId::AUDIO, 1, b"a1");
        write(&mut publisher, TrackId::VIDEO, 2, b"v2");
        assert_eq!(until_it_ends_with(&log, "v2.").await, "[VP8]K0.v2.");
        publisher.set_tracks(tracks(Codec::Aac));
        write(&mut publisher, TrackId::AUDIO, 3, b"a3");
        assert!(until_it_ends_with(&log, "made of a3.").await.starts_with("[VP8]K0.v2.[VP8 Opus]"));
        assert!(stream.info().left_out.is_empty());
    }

    #[tokio::test]
    async fn a_viewer_stays_when_the_publisher_changes_to_a_codec_that_must_be_made() {
        let _counting = COUNTING.lock().await;
        let (_engine, mut publisher) = stage(Codec::Opus).await;
        let stream = publisher.stream().clone();
        write(&mut publisher, TrackId::VIDEO, 0, b"K0");
        write(&mut publisher, TrackId::AUDIO, 1, b"a1");
        let log = stream.wire(BARE).unwrap();
        publisher.set_tracks(tracks(Codec::Aac));
        write(&mut publisher, TrackId::AUDIO, 2, b"a2");
        write(&mut publisher, TrackId::VIDEO, 3, b"v3");
        let text = until_it_ends_with(&log, "v3.").await;
        assert_eq!(text, "[VP8 Opus]K0.a1.[VP8 Opus]made of a2.v3.");
        assert!(Arc::ptr_eq(&log, &stream.wire(BARE).unwrap()), "and others join it");
    }
}
