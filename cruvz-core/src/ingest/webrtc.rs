//! The media of a WHIP session into a publisher.

use std::time::Duration;

use bytes::Bytes;
use cruvz_media::{Frame, Track};

use crate::{
    Error, Publisher,
    analytics::webrtc::WebRtcStats,
    protocol::webrtc::{
        receiver::{Config, Event, Receiver},
        sdp::Media,
    },
};

/// A publisher and what turns its packets into frames.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) publisher: Publisher,
    receiver: Receiver,
    /// What the layers of a simulcast are, as far as they came.
    layers: Vec<Option<Track>>,
    /// Frames that were dropped, as far as the stream was told.
    dropped: u64,
}

impl Feed {
    /// For a session whose transport stands and that agreed on `media`. The publisher's tracks are set when its packets tell what they are.
    pub(crate) fn new(now: Duration, publisher: Publisher, media: &[Media], config: Config) -> Self {
        // Viewers learn from this that requests for keyframes are heeded.
        publisher.take_keyframe_request();
        let receiver = Receiver::new(now, media, config);
        let layers = vec![None; receiver.layers().len()];
        Self { publisher, receiver, layers, dropped: 0 }
    }

    /// Takes an RTP packet that was decrypted; readers learn of its frames at [`Self::flush`].
    ///
    /// # Errors
    /// As [`Publisher::append`]: the publisher's time is over.
    pub(crate) fn rtp(&mut self, now: Duration, packet: Bytes) -> Result<(), Error> {
        self.receiver.rtp(now, packet);
        self.drain()
    }

    /// Takes a datagram of RTCP that was decrypted.
    pub(crate) fn rtcp(&mut self, now: Duration, datagram: &[u8]) {
        self.receiver.rtcp(now, datagram);
    }

    /// Does what time alone brings about.
    ///
    /// # Errors
    /// As [`Self::rtp`].
    pub(crate) fn handle_timeout(&mut self, now: Duration) -> Result<(), Error> {
        self.receiver.handle_timeout(now);
        self.drain()
    }

    /// When [`Self::handle_timeout`] and [`Self::poll_rtcp`] are to be called at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.receiver.poll_timeout()
    }

    /// The next datagram of RTCP for the publisher, to be encrypted: see [`Receiver::poll_rtcp`]. Viewers' requests for
    /// keyframes leave here too.
    pub(crate) fn poll_rtcp(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.publisher.take_keyframe_request() {
            self.receiver.request_keyframe();
        }
        for layer in self.publisher.take_layer_requests() {
            self.receiver.request_layer_keyframe(layer);
        }
        self.receiver.poll_rtcp(now)
    }

    /// Tells readers of what came, once for each batch of datagrams.
    pub(crate) fn flush(&mut self) {
        self.publisher.flush();
    }

    fn drain(&mut self) -> Result<(), Error> {
        while let Some(event) = self.receiver.poll_event() {
            match event {
                Event::Tracks(tracks) => self.publisher.set_tracks(tracks),
                Event::Frame(frame) => self.publisher.append(frame)?,
                Event::Shown(layer) => {
                    if let Some(name) = self.receiver.layers().get(layer) {
                        self.publisher.show_layer(name);
                    }
                }
                Event::LayerTrack(layer, track) => self.layers[layer] = Some(track),
                Event::LayerFrame(layer, frame) => self.layer_frame(layer, frame),
            }
        }
        Ok(())
    }

    fn layer_frame(&mut self, layer: usize, frame: Frame) {
        let Some(Some(track)) = self.layers.get(layer) else { return };
        let Some(name) = self.receiver.layers().get(layer) else { return };
        if self.publisher.append_layer((layer, name), track, frame) {
            self.receiver.request_layer_keyframe(layer);
        }
    }

    /// Brings the figures of the session up to date; a few times per second are enough.
    pub(crate) fn tell_stats(&mut self) {
        let stats = self.receiver.stats();
        for _ in self.dropped..stats.dropped_frames {
            self.publisher.dropped();
        }
        self.dropped = self.dropped.max(stats.dropped_frames);
        self.publisher.session().set_webrtc(WebRtcStats::received(&stats));
    }
}

#[cfg(test)]
mod tests {
    use cruvz_media::{Codec, TrackKind, Tracks, rtp::Header};

    use super::*;
    use crate::{
        Engine,
        protocol::webrtc::{
            rtcp,
            sdp::{Extensions, Feedback},
        },
    };

    const MS: Duration = Duration::from_millis(1);

    fn media(codec: Codec) -> Media {
        let feedback = Feedback { pli: true, ..Feedback::default() };
        Media {
            line: 0,
            mid: None,
            codec,
            payload_type: 96,
            rtx: None,
            clock_rate: 90_000,
            feedback,
            extensions: Extensions::default(),
            reduced_size: true,
            sources: Vec::new(),
            layers: Vec::new(),
            sending: None,
        }
    }

    async fn feed(engine: &Engine, codec: Codec) -> Feed {
        let publisher = engine.publish("live/cam".parse().unwrap(), Tracks::empty()).await.unwrap();
        Feed::new(Duration::ZERO, publisher, &[media(codec)], Config::default())
    }

    fn packet(seq: u16, timestamp: u32, payload: &[u8]) -> Bytes {
        let mut bytes = Vec::new();
        Header { marker: true, payload_type: 96, seq, timestamp, ssrc: 9 }.write(&[], &mut bytes);
        bytes.extend(payload);
        bytes.into()
    }

    /// A keyframe of VP8, or a frame of nothing new, in one packet (RFC 7741 §4.2, RFC 6386 §9.1).
    fn vp8(seq: u16, keyframe: bool) -> Bytes {
        let key = [0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0xa0, 0, 0x5a, 0, 1, 2, 3, 4];
        let delta = [0x10, 0x11, 0, 0, 1, 2, 3, 4];
        packet(seq, u32::from(seq) * 3_000, if keyframe { &key } else { &delta })
    }

    fn requests(feed: &mut Feed, now: Duration) -> usize {
        let mut requests = 0;
        while let Some(datagram) = feed.poll_rtcp(now) {
            requests +=
                rtcp::packets(&datagram).filter(|packet| matches!(packet, Ok(rtcp::Packet::Pli(_)))).count();
        }
        requests
    }

    #[tokio::test(start_paused = true)]
    async fn sound_alone_is_a_stream() {
        let engine = Engine::builder().start().await.unwrap();
        let mut feed = feed(&engine, Codec::Opus).await;
        for seq in 0..5 {
            feed.rtp(MS * 20 * seq.into(), packet(seq, u32::from(seq) * 960, &[0xfc, 1, 2])).unwrap();
        }
        feed.flush();
        let mut viewer = engine.subscribe("live/cam".parse().unwrap()).await.unwrap();
        assert_eq!(viewer.next().await.unwrap().payload, &[0xfc, 1, 2][..]);
        assert_eq!(viewer.tracks().first(TrackKind::Audio).unwrap().params.codec, Codec::Opus);
    }

    #[tokio::test(start_paused = true)]
    async fn a_viewer_that_needs_a_keyframe_reaches_the_publisher() {
        let engine = Engine::builder().start().await.unwrap();
        let mut feed = feed(&engine, Codec::Vp8).await;
        let stream = feed.publisher.stream().clone();
        feed.rtp(MS, vp8(0, true)).unwrap();
        feed.rtp(34 * MS, vp8(1, false)).unwrap();
        feed.flush();
        assert_eq!(requests(&mut feed, 34 * MS), 0);
        assert!(stream.request_keyframe(), "this publisher listens");
        assert_eq!(requests(&mut feed, 300 * MS), 0, "the publisher is given time for its first keyframe");
        assert_eq!(requests(&mut feed, 301 * MS), 1);
        feed.rtp(340 * MS, vp8(2, true)).unwrap();
        assert_eq!(stream.info().totals.video_frames, 3);
    }

    const SSRCS: [u32; 2] = [20, 21];

    /// Sound, and two layers of a picture: `q` and `f`.
    async fn layered(engine: &Engine) -> Feed {
        let mut media = [media(Codec::Vp8), media(Codec::Opus)];
        media[0].layers = vec!["q".into(), "f".into()];
        media[0].extensions.rid = Some(4);
        media[1].payload_type = 111;
        let publisher = engine.publish("live/cam".parse().unwrap(), Tracks::empty()).await.unwrap();
        Feed::new(Duration::ZERO, publisher, &media, Config::default())
    }

    /// The picture `at` in both layers, of which `q` counts from elsewhere and is 8 ms late, and the sound of that moment.
    fn picture(feed: &mut Feed, at: u16, keyframe: bool) {
        let now = (100 + u32::from(at) * 40) * MS;
        for (layer, width) in [160_u16, 640].into_iter().enumerate() {
            let [low, high] = width.to_le_bytes();
            let key = [0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, low, high, 0x5a, 0, 1, 2, 3, layer as u8];
            let delta = [0x10, 0x11, 0, 0, 1, 2, 3, layer as u8];
            let timestamp = u32::from(at) * 3_600 + 77_777 * layer as u32;
            let header = Header { marker: true, payload_type: 96, seq: at, timestamp, ssrc: SSRCS[layer] };
            let mut bytes = Vec::new();
            header.write(&[(4, ["q", "f"][layer].as_bytes())], &mut bytes);
            bytes.extend(if keyframe { &key[..] } else { &delta });
            feed.rtp(now + if layer == 0 { 8 * MS } else { Duration::ZERO }, bytes.into()).unwrap();
        }
        let mut sound = Vec::new();
        let timestamp = u32::from(at) * 1_920;
        Header { marker: true, payload_type: 111, seq: at, timestamp, ssrc: 9 }.write(&[], &mut sound);
        sound.extend([0xfc, 1, 2]);
        feed.rtp(now, sound.into()).unwrap();
        feed.flush();
    }

    fn layer_requests(feed: &mut Feed, now: Duration) -> Vec<u32> {
        let mut requests = Vec::new();
        while let Some(datagram) = feed.poll_rtcp(now) {
            requests.extend(rtcp::packets(&datagram).filter_map(|packet| match packet {
                Ok(rtcp::Packet::Pli(pli)) => Some(pli.media),
                _ => None,
            }));
        }
        requests
    }

    #[tokio::test(start_paused = true)]
    async fn layers_are_streams_of_their_own_on_one_timeline_and_no_publishers() {
        let engine = Engine::builder().start().await.unwrap();
        let mut feed = layered(&engine).await;
        picture(&mut feed, 0, true);
        (1..25).for_each(|at| picture(&mut feed, at, at == 12));
        let names: Vec<String> = engine.streams().iter().map(|stream| stream.name().to_string()).collect();
        assert_eq!(names, ["live/cam", "live/cam~f", "live/cam~q"]);
        assert_eq!(engine.sessions().len(), 1);
        let infos = engine.stream_infos();
        let width = |at: usize| infos[at].tracks.iter().find_map(|track| track.width);
        assert_eq!([width(0), width(1), width(2)], [Some(640), Some(640), Some(160)]);
        assert_eq!((infos[0].layer.as_deref(), infos[0].rendition_of.clone()), (Some("f"), None));
        assert!(infos[1..].iter().all(|info| info.rendition_of.as_ref() == Some(&infos[0].name)));

        // The same moments have the same times, give or take what the first packets were late, and the sound is the same.
        let mut readers = Vec::new();
        for name in &names {
            readers.push(engine.subscribe(name.parse().unwrap()).await.unwrap());
        }
        let mut last = Vec::new();
        for reader in &mut readers {
            let mut times = [Duration::ZERO; 2];
            for _ in 0..20 {
                let frame = reader.next().await.unwrap();
                let kind = usize::from(frame.track == cruvz_media::TrackId::AUDIO);
                times[kind] = Duration::from_micros(frame.pts.as_micros() as u64);
            }
            last.push(times);
        }
        for [picture, sound] in &last[1..] {
            assert_eq!(*sound, last[0][1], "{last:?}");
            assert!(picture.abs_diff(last[0][0]) <= 8 * MS, "{last:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_viewer_of_a_layer_asks_for_keyframes_of_that_layer() {
        let engine = Engine::builder().start().await.unwrap();
        let mut feed = layered(&engine).await;
        (0..20).for_each(|at| picture(&mut feed, at, at % 10 == 0));
        assert_eq!(layer_requests(&mut feed, 1_000 * MS), [] as [u32; 0]);
        let small = engine.stream(&"live/cam~q".parse().unwrap()).unwrap();
        assert!(small.request_keyframe(), "this publisher listens");
        assert_eq!(layer_requests(&mut feed, 1_001 * MS), [SSRCS[0]]);
    }

    #[tokio::test(start_paused = true)]
    async fn renditions_wait_for_their_publisher_and_end_with_their_stream() {
        let engine = Engine::builder().start().await.unwrap();
        let mut feed = layered(&engine).await;
        (0..10).for_each(|at| picture(&mut feed, at, at % 5 == 0));
        let mut reader = engine.subscribe("live/cam~q".parse().unwrap()).await.unwrap();
        let before = reader.next().await.unwrap();
        drop(feed);
        let infos = engine.stream_infos();
        assert!(infos.len() == 3 && infos.iter().all(|info| info.state == "grace"));
        let mut feed = layered(&engine).await;
        (0..10).for_each(|at| picture(&mut feed, at, at % 5 == 0));
        let mut after = before.clone();
        while !(after.keyframe && after.track == before.track && after.pts > before.pts) {
            after = reader.next().await.unwrap();
        }
        let stream = engine.stream(&"live/cam".parse().unwrap()).unwrap();
        stream.end("enough");
        assert!(engine.streams().is_empty());
        while reader.next().await.is_some() {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_somebody_has_is_not_taken_from_them() {
        let engine = Engine::builder().start().await.unwrap();
        let other = engine.publish("live/cam~q".parse().unwrap(), Tracks::empty()).await.unwrap();
        let mut feed = layered(&engine).await;
        (0..10).for_each(|at| picture(&mut feed, at, at % 3 == 0));
        assert_eq!(engine.streams().len(), 3);
        assert!(!other.stream().is_playable(), "nothing of ours is in there");
        drop(other);
        (10..20).for_each(|at| picture(&mut feed, at, at % 3 == 0));
        assert!(engine.stream(&"live/cam~q".parse().unwrap()).unwrap().is_playable());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lost_is_counted_and_a_publisher_that_is_ended_is_told() {
        let engine = Engine::builder().start().await.unwrap();
        let mut feed = feed(&engine, Codec::Vp8).await;
        feed.rtp(MS, vp8(0, true)).unwrap();
        feed.rtp(80 * MS, vp8(2, false)).unwrap();
        assert!(feed.poll_timeout().unwrap() <= 130 * MS);
        feed.handle_timeout(130 * MS).unwrap();
        let stats = feed.receiver.stats();
        assert_eq!((stats.lost, stats.given_up, stats.dropped_frames), (1, 1, 1));
        feed.publisher.stream().end("enough");
        feed.tell_stats();
        let told = feed.publisher.session().info(Duration::ZERO).webrtc.unwrap();
        assert_eq!((told.packets, told.lost_packets, told.keyframe_requests), (2, 1, 0));
        assert!(feed.rtp(200 * MS, vp8(3, true)).is_err());
    }
}
