//! The media of a WHIP session into a publisher.

use std::time::Duration;

use bytes::Bytes;

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
    /// Frames that were dropped, as far as the stream was told.
    dropped: u64,
}

impl Feed {
    /// For a session whose transport stands and that agreed on `media`. The publisher's tracks are set when its packets tell what they are.
    pub(crate) fn new(now: Duration, publisher: Publisher, media: &[Media], config: Config) -> Self {
        // Viewers learn from this that requests for keyframes are heeded.
        publisher.take_keyframe_request();
        Self { publisher, receiver: Receiver::new(now, media, config), dropped: 0 }
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
            }
        }
        Ok(())
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
