//! A stream's RTP packets, made once for all who are sent them.
//!
//! Whoever is sent a stream has it look at the stream's frames ([`RtpRing::gather`]); those that are new become payloads in
//! a log of their own for pictures and for sound. What a viewer holds is a place in each: a repeat is another look.
//!
//! Players of WebRTC show pictures in the order they come. Where those of a stream with B-frames are not encoded again for them
//! (see [`TrackSet::WEBRTC`]), pictures are left out here, once for everybody: see [`rtp::Order`].

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use cruvz_media::{Frame, Track, TrackKind, Tracks, rtp};
use parking_lot::{Mutex, MutexGuard};

use super::shared::Shared;
use crate::{
    Event,
    analytics::event::EventSink,
    hub::{
        listener::Listener,
        log::{Item, Log, Retention},
        stream::{Entries, Entry, LiveStream},
        view::{TrackSet, View},
    },
    protocol::webrtc::sender::{MediaClock, MediaPacket, SOUND_WAITS, StreamLog, TrackLog},
    runtime::clock::Clock,
};

/// By how much frames may come later than media time says before the clock that players are told follows, in µs.
const TOLERANCE_US: i64 = 1_000_000;

/// How packets are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RtpOptions {
    /// The most bytes of a payload.
    pub(crate) payload_bytes: usize,
    pub(crate) retention: Retention,
}

/// The rings of an engine: one per stream while somebody is sent it.
#[derive(Clone)]
pub(crate) struct RtpRings(Arc<RingsOf>);

struct RingsOf {
    options: RtpOptions,
    clock: Clock,
    events: EventSink,
    rings: Shared<RtpRing>,
}

/// The packets of one stream.
pub(crate) struct RtpRing {
    stream: View,
    events: EventSink,
    packets: Mutex<Packets>,
}

/// What an [`RtpRing`] holds now.
pub(crate) struct Packets {
    video: Lane,
    audio: Lane,
    /// The tracks of the last frame.
    tracks: Tracks,
    /// The place in the stream's log up to which frames were taken.
    next: Option<u64>,
    /// When that was done.
    gathered: Option<Duration>,
    clock: MediaClock,
    started: bool,
    ended: Option<Arc<str>>,
}

/// Up to where in a ring its viewers have had their turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    video: u64,
    audio: u64,
}

/// The packets of one track.
struct Lane {
    kind: TrackKind,
    log: Log<MediaPacket>,
    payload_bytes: usize,
    track: Option<Track>,
    packetizer: Option<rtp::Packetizer>,
    /// Payloads of one frame, while it is cut.
    payloads: Vec<rtp::Payload>,
    /// Frames taken so far.
    frames: u64,
    order: rtp::Order,
    /// Pictures that were left out, as they are not for players that show pictures as they come.
    disordered: u64,
}

impl RtpRings {
    pub(crate) fn new(options: RtpOptions, clock: Clock, events: EventSink) -> Self {
        Self(Arc::new(RingsOf { options, clock, events, rings: Shared::default() }))
    }

    /// The ring of `stream`, which is playable, with tracks that players of WebRTC know; made if there is none.
    pub(crate) fn of(&self, stream: &LiveStream) -> Arc<RtpRing> {
        let RingsOf { options, clock, events, rings } = &*self.0;
        let view = stream.view(TrackSet::WEBRTC);
        let found = (*view).clone();
        let make = || RtpRing {
            stream: view,
            events: events.clone(),
            packets: Mutex::new(Packets::new(*options, clock.unix_us(Duration::ZERO))),
        };
        rings.find_or_make(|ring| ring.stream.same(&found), make)
    }
}

impl RtpRing {
    /// The stream, with the tracks that its players can be sent.
    pub(crate) fn stream(&self) -> &LiveStream {
        &self.stream
    }

    /// Tells `listener` whenever the stream has more, and when it ends.
    pub(crate) fn listen(&self, listener: Weak<dyn Listener>) {
        self.stream.listen(listener);
    }

    /// When viewers want a turn who had their last at `told`: now if pictures came or sound has waited for one long enough,
    /// which is noted there; later for sound alone.
    pub(crate) fn due(&self, now: Duration, told: &mut Told) -> Option<Duration> {
        let packets = self.gather(now);
        let (video, audio) = (&packets.video.log, &packets.audio.log);
        let has_pictures = video.end() > std::mem::replace(&mut told.video, video.end());
        let waits = if packets.video.track.is_some() { SOUND_WAITS } else { Duration::ZERO };
        let from = told.audio.max(audio.first());
        let goes = |packet: &&MediaPacket| has_pictures || packet.origin + waits <= now;
        told.audio = from + audio.iter_from(from).take_while(goes).count() as u64;
        if has_pictures || told.audio > from {
            return Some(now);
        }
        audio.get(from).map(|packet| packet.origin + waits)
    }

    /// Takes what the stream has, unless that was done for somebody else at this moment, and gives what there is.
    pub(crate) fn gather(&self, now: Duration) -> MutexGuard<'_, Packets> {
        let mut packets = self.packets.lock();
        if packets.gathered != Some(now) {
            packets.gathered = Some(now);
            let Entries { entries, next, ended } = self.stream.entries(packets.next);
            let in_order = packets.video.disordered == 0;
            entries.iter().for_each(|entry| packets.take(entry));
            (packets.next, packets.ended) = (next, ended);
            if in_order && packets.video.disordered > 0 {
                self.events
                    .send(Event::PicturesReordered { stream: self.stream.name().clone(), transcoded: false });
            }
        }
        packets
    }
}

impl Packets {
    fn new(options: RtpOptions, origin_unix_us: i64) -> Self {
        Self {
            video: Lane::new(TrackKind::Video, options),
            audio: Lane::new(TrackKind::Audio, options),
            tracks: Tracks::empty(),
            next: None,
            gathered: None,
            clock: MediaClock { media_offset_us: 0, origin_unix_us },
            started: false,
            ended: None,
        }
    }

    fn take(&mut self, entry: &Entry) {
        if !self.tracks.same(&entry.tracks) {
            self.tracks = entry.tracks.clone();
            self.video.retrack(&self.tracks);
            self.audio.retrack(&self.tracks);
        }
        let lane = match &self.video.track {
            Some(track) if track.id == entry.frame.track => &mut self.video,
            _ => &mut self.audio,
        };
        if lane.take(&entry.frame, entry.arrived) {
            self.observe(&entry.frame, entry.arrived);
        }
    }

    /// A frame can arrive late, never early: the one that came earliest, measured against its media time, tells when the
    /// others happened. Where even that one is late by more than a second, the publisher paused or its clock runs slow.
    fn observe(&mut self, frame: &Frame, arrived: Duration) {
        let arrived_us = i64::try_from(arrived.as_micros()).unwrap_or(i64::MAX);
        let offset_us = frame.dts.as_micros().saturating_sub(arrived_us);
        let lag_us = self.clock.media_offset_us.saturating_sub(offset_us);
        if !self.started || !(0..=TOLERANCE_US).contains(&lag_us) {
            self.clock.media_offset_us = offset_us;
            self.started = true;
        }
    }

    /// Why the stream is over, once it is.
    pub(crate) fn ended(&self) -> Option<&Arc<str>> {
        self.ended.as_ref()
    }
}

impl StreamLog for Packets {
    type Track = Log<MediaPacket>;

    fn track(&self, kind: TrackKind) -> &Log<MediaPacket> {
        match kind {
            TrackKind::Video => &self.video.log,
            _ => &self.audio.log,
        }
    }

    fn clock(&self) -> Option<MediaClock> {
        self.started.then_some(self.clock)
    }
}

impl Lane {
    fn new(kind: TrackKind, options: RtpOptions) -> Self {
        Self {
            kind,
            log: Log::new(options.retention),
            payload_bytes: options.payload_bytes,
            track: None,
            packetizer: None,
            payloads: Vec::new(),
            frames: 0,
            order: rtp::Order::default(),
            disordered: 0,
        }
    }

    /// From here on it is the first track of its kind in `tracks`.
    fn retrack(&mut self, tracks: &Tracks) {
        let track = tracks.first(self.kind);
        if self.track.as_ref() != track {
            self.track = track.cloned();
            self.packetizer = track.and_then(|track| rtp::Packetizer::new(&track.params, self.payload_bytes));
            if let Some(track) = track {
                self.order.retrack(&track.params);
            }
        }
    }

    /// Makes packets of a frame, if it is one of its track that can be sent.
    fn take(&mut self, frame: &Frame, origin: Duration) -> bool {
        let Some(track) = self.track.as_ref().filter(|track| track.id == frame.track) else { return false };
        let codec = track.params.codec;
        let Some((packetizer, scale)) = self.packetizer.as_mut().zip(rtp::clock_rate(codec)) else {
            return false;
        };
        if self.kind == TrackKind::Video && !self.order.takes(frame) {
            self.disordered += 1;
            return false;
        }
        packetizer.packetize(frame, &mut self.payloads);
        // Timestamps are 32 bits and wrap.
        let timestamp = frame.pts.rescale(scale).ticks() as u32;
        let time_us = frame.dts.as_micros();
        let taken = !self.payloads.is_empty();
        for (at, rtp::Payload { bytes: payload, marker, padding }) in self.payloads.drain(..).enumerate() {
            let (start, frame) = (at == 0 && frame.keyframe, self.frames);
            self.log.push(MediaPacket {
                payload,
                padding,
                codec,
                marker,
                start,
                timestamp,
                time_us,
                frame,
                origin,
            });
        }
        self.frames += u64::from(taken);
        taken
    }
}

impl Item for MediaPacket {
    fn bytes(&self) -> usize {
        self.payload.len() + size_of::<Self>()
    }

    fn time_us(&self) -> i64 {
        self.time_us
    }

    fn is_start(&self) -> bool {
        self.start
    }
}

impl TrackLog for Log<MediaPacket> {
    fn first(&self) -> u64 {
        Self::first(self)
    }

    fn end(&self) -> u64 {
        Self::end(self)
    }

    fn packet(&self, index: u64) -> Option<&MediaPacket> {
        self.get(index)
    }

    fn newest_start(&self) -> Option<u64> {
        Self::newest_start(self)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cruvz_media::{AudioFormat, Codec, CodecParams, Format, Timescale, Timestamp, TrackId, VideoFormat};

    use super::*;
    use crate::{Engine, Publisher};

    const MS: Duration = Duration::from_millis(1);

    fn track(id: TrackId, codec: Codec) -> Track {
        let format = match codec.kind() {
            TrackKind::Audio => {
                Format::Audio(AudioFormat { sample_rate_hz: 48_000, channels: 2, samples_per_frame: None })
            }
            _ => Format::Video(VideoFormat::default()),
        };
        let params = CodecParams { codec, config: Bytes::new(), format, rfc6381: String::new() };
        Track { id, timescale: Timescale::MILLIS, params }
    }

    fn tracks(video: Codec) -> Tracks {
        Tracks::new(vec![track(TrackId::VIDEO, video), track(TrackId::AUDIO, Codec::Opus)])
    }

    async fn stage() -> (Engine, Publisher, RtpRings) {
        let engine = Engine::builder().start().await.unwrap();
        let publisher = engine.publish("live/cam".parse().unwrap(), tracks(Codec::Vp8)).await.unwrap();
        let options =
            RtpOptions { payload_bytes: 1_000, retention: Retention { time_us: 2_000_000, bytes: 1 << 20 } };
        let rings = RtpRings::new(options, Clock::start(), EventSink::new(8));
        (engine, publisher, rings)
    }

    fn write(
        publisher: &mut Publisher,
        track: TrackId,
        pts_ms: i64,
        dts_ms: i64,
        keyframe: bool,
        bytes: usize,
    ) {
        let (pts, dts) = (Timestamp::from_millis(pts_ms), Timestamp::from_millis(dts_ms));
        let payload = vec![pts_ms as u8; bytes].into();
        publisher.write(Frame { track, pts, dts, keyframe, payload }).unwrap();
    }

    fn packets(log: &Log<MediaPacket>) -> Vec<(u32, bool, bool, u64)> {
        log.iter_from(0).map(|at| (at.timestamp, at.start, at.marker, at.frame)).collect()
    }

    #[tokio::test]
    async fn frames_become_packets_once_for_all_and_the_last_viewer_takes_them_along() {
        let (_engine, mut publisher, rings) = stage().await;
        write(&mut publisher, TrackId::VIDEO, 0, 0, true, 10);
        write(&mut publisher, TrackId::VIDEO, 40, 40, true, 2_500);
        write(&mut publisher, TrackId::AUDIO, 45, 45, true, 100);
        let stream = publisher.stream().clone();
        let (ring, other) = (rings.of(&stream), rings.of(&stream));
        assert!(Arc::ptr_eq(&ring, &other));
        assert!(stream.is_watched());
        {
            // It begins at the newest keyframe, where a viewer does.
            let packets_now = ring.gather(MS);
            let video = packets_now.track(TrackKind::Video);
            let expected = [(3_600, true, false, 0), (3_600, false, false, 0), (3_600, false, true, 0)];
            assert_eq!(packets(video), expected);
            assert!(video.iter_from(0).all(|packet| packet.payload.len() <= 1_000));
            assert_eq!(packets(packets_now.track(TrackKind::Audio)), [(2_160, true, false, 0)]);
        }
        write(&mut publisher, TrackId::VIDEO, 80, 80, false, 10);
        assert_eq!(ring.gather(MS).track(TrackKind::Video).end(), 3, "once in a moment");
        assert_eq!(other.gather(2 * MS).track(TrackKind::Video).end(), 4);
        stream.end("enough");
        assert_eq!(ring.gather(3 * MS).ended().map(|reason| &**reason), Some("enough"));
        drop((ring, other));
        assert!(!stream.is_watched());
    }

    #[tokio::test]
    async fn viewers_have_their_turn_when_a_picture_comes_or_sound_has_waited_for_one() {
        let (_engine, mut publisher, rings) = stage().await;
        write(&mut publisher, TrackId::VIDEO, 0, 0, true, 10);
        let ring = rings.of(publisher.stream());
        let mut told = Told::default();
        assert_eq!((ring.due(MS, &mut told), ring.due(MS, &mut told)), (Some(MS), None));
        write(&mut publisher, TrackId::AUDIO, 10, 10, true, 10);
        let first = ring.due(2 * MS, &mut told).unwrap();
        let origin = ring.gather(2 * MS).track(TrackKind::Audio).newest().unwrap().origin;
        assert_eq!(first, origin + SOUND_WAITS);
        assert_eq!((ring.due(first, &mut told), ring.due(first, &mut told)), (Some(first), None));
        write(&mut publisher, TrackId::AUDIO, 30, 30, true, 10);
        write(&mut publisher, TrackId::VIDEO, 40, 40, false, 10);
        let now = first + MS;
        assert_eq!((ring.due(now, &mut told), ring.due(now + MS, &mut told)), (Some(now), None));
    }

    #[tokio::test]
    async fn pictures_that_would_come_out_of_order_are_left_out_and_that_is_told() {
        let (_engine, mut publisher, rings) = stage().await;
        let mut events = rings.0.events.subscribe();
        write(&mut publisher, TrackId::VIDEO, 80, 0, true, 10);
        let ring = rings.of(publisher.stream());
        assert_eq!(ring.gather(MS).video.disordered, 0);
        // Shown 0 3 1 2 6 4 5: pyramids of B-frames; then an open group, whose first picture is shown before its keyframe.
        let shown = [(3, false), (1, false), (2, false), (6, false), (4, false), (5, false)];
        let shown = shown.into_iter().chain([(9, true), (8, false), (10, false)]);
        for (at, (pts, keyframe)) in (1..).zip(shown) {
            write(&mut publisher, TrackId::VIDEO, 40 * pts + 80, 40 * at, keyframe, 10);
        }
        {
            let packets = ring.gather(2 * MS);
            let pictures = packets.track(TrackKind::Video).iter_from(0);
            let times: Vec<u32> = pictures.map(|at| at.timestamp / 3_600 - 2).collect();
            // Nobody knows who refers to the first that was left out: what follows may, up to the next keyframe.
            assert_eq!(times, [0, 3, 9]);
            assert_eq!(packets.video.disordered, 7);
        }
        let event = events.next().await;
        let Some(Event::PicturesReordered { stream, transcoded: false }) = event else { panic!("{event:?}") };
        assert_eq!(stream, *publisher.stream().name());
    }

    #[tokio::test]
    async fn a_publisher_may_come_back_with_another_codec_and_its_packets_say_so() {
        let (_engine, mut publisher, rings) = stage().await;
        write(&mut publisher, TrackId::VIDEO, 0, 0, true, 10);
        let ring = rings.of(publisher.stream());
        drop(ring.gather(MS));
        publisher.set_tracks(tracks(Codec::Vp9));
        write(&mut publisher, TrackId::VIDEO, 40, 40, true, 10);
        // AAC has no packets that a player of WebRTC knows.
        let aac = vec![track(TrackId::VIDEO, Codec::Vp9), track(TrackId::AUDIO, Codec::Aac)];
        publisher.set_tracks(Tracks::new(aac));
        write(&mut publisher, TrackId::AUDIO, 50, 50, true, 10);
        write(&mut publisher, TrackId::VIDEO, 80, 80, false, 10);
        let packets = ring.gather(2 * MS);
        let codecs: Vec<Codec> = packets.track(TrackKind::Video).iter_from(0).map(|at| at.codec).collect();
        assert_eq!(codecs, [Codec::Vp8, Codec::Vp9, Codec::Vp9]);
        assert_eq!(packets.track(TrackKind::Audio).end(), 0);
    }

    #[tokio::test]
    async fn the_clock_follows_the_frame_that_came_earliest() {
        let options = RtpOptions { payload_bytes: 1_000, retention: Retention { time_us: 0, bytes: 0 } };
        let mut packets = Packets::new(options, 1_000_000);
        assert_eq!(packets.clock(), None);
        let mut observe = |dts_ms, arrived_ms: u32| {
            let at = Timestamp::from_millis(dts_ms);
            let frame =
                Frame { track: TrackId::VIDEO, pts: at, dts: at, keyframe: true, payload: Bytes::new() };
            packets.observe(&frame, arrived_ms * MS);
            packets.clock().unwrap().media_us(1_000 * MS) / 1_000
        };
        assert_eq!(observe(0, 200), 800);
        assert_eq!(observe(40, 340), 800, "late");
        assert_eq!(observe(80, 270), 810, "earlier than ever");
        assert_eq!(observe(120, 2_000), -880, "after a pause");
        assert_eq!(packets.clock().unwrap().unix(2_000 * MS), Duration::from_secs(3));
    }
}
