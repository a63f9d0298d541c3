//! WebRTC to players (WHEP): a place in the stream's RTP packets, and a state machine that numbers, seals and repeats them.

use std::{sync::Arc, time::Duration};

use cruvz_media::TrackKind;

use super::{
    layers::{Layers, Logs},
    patience::Patience,
    rtp::RtpRing,
};
use crate::{
    Event,
    analytics::webrtc::WebRtcStats,
    protocol::webrtc::{
        sdp::Negotiated,
        sender::{Run, Sender, SenderConfig, StreamLog, TrackLog},
        srtp::Outbound,
    },
    runtime::context::Context,
    session::OpenSession,
};

/// A viewer that joins this long after the last keyframe waits for another, where the publisher makes one on request.
const OLD_KEYFRAME: Duration = Duration::from_secs(2);
/// How long it waits.
const KEYFRAME_PATIENCE: Duration = Duration::from_secs(1);
/// How long after the end of its stream a viewer may ask for what it lacks.
const PLAYING_OUT: Duration = Duration::from_millis(300);

/// A player's side of a WebRTC session.
pub(crate) struct Viewer {
    ring: Arc<RtpRing>,
    /// Of a simulcast: which layer it is sent.
    layers: Option<Box<Layers>>,
    /// Whether that is another one than when it was last asked.
    moved: bool,
    pub(crate) session: OpenSession,
    sender: Sender,
    /// The keyframe that is too old to begin at, and until when another is waited for.
    awaits: Option<(u64, Duration)>,
    patience: Patience,
    /// Frames as the session was last told.
    frames: u64,
    /// When the end of the stream was seen.
    ended: Option<Duration>,
}

impl Viewer {
    /// To be made when the player is connected. `random`: what its numbers begin with.
    pub(crate) fn new(
        ring: Arc<RtpRing>,
        session: OpenSession,
        negotiated: &Negotiated,
        cname: &str,
        random: [u8; 16],
    ) -> Self {
        let sender = Sender::new(SenderConfig::new(negotiated, cname), random);
        Self {
            ring,
            layers: None,
            moved: false,
            session,
            sender,
            awaits: None,
            patience: Patience::default(),
            frames: 0,
            ended: None,
        }
    }

    /// It is sent the layer of its stream that its network carries.
    pub(crate) fn choosing(self, layers: Layers) -> Self {
        Self { layers: Some(Box::new(layers)), ..self }
    }

    /// The rings that it is sent from, if these are others than when this was last asked.
    pub(crate) fn take_rings(&mut self) -> Option<Vec<Arc<RtpRing>>> {
        let layer = self.layers.as_ref().and_then(|layers| layers.ring());
        let rings = std::iter::once(&self.ring).chain(layer);
        std::mem::take(&mut self.moved).then(|| rings.cloned().collect())
    }

    /// Fills `out` with the next run of datagrams that are due.
    pub(crate) fn fill(&mut self, now: Duration, srtp: &mut Outbound, out: &mut Vec<u8>) -> Option<Run> {
        let ring = Arc::clone(&self.ring);
        if !self.sender.has_begun() {
            let packets = ring.gather(now);
            if !self.may_begin(now, packets.track(TrackKind::Video), packets.track(TrackKind::Audio)) {
                return None;
            }
            self.sender.begin(&*packets);
        } else if let Some(layers) = &mut self.layers {
            self.moved |= layers.turn(now, &ring, &ring.gather(now), &mut self.sender);
        }
        let logs = Logs::gather(now, &ring, self.layers.as_deref());
        let run = self.sender.fill(now, &logs, srtp, out);
        drop(logs);
        if run.is_some() {
            let frames = self.sender.stats().frames;
            self.session.sent(out.len(), frames - std::mem::replace(&mut self.frames, frames));
        }
        run
    }

    /// Whether there is something to begin with, and nothing better to come.
    fn may_begin(&mut self, now: Duration, video: &impl TrackLog, audio: &impl TrackLog) -> bool {
        let Some((start, keyframe)) = video.newest_start().and_then(|at| Some((at, video.packet(at)?)))
        else {
            return audio.end() > 0;
        };
        let age_us = video.newest().map_or(0, |newest| newest.time_us.saturating_sub(keyframe.time_us));
        let is_old = Duration::from_micros(u64::try_from(age_us).unwrap_or(0)) > OLD_KEYFRAME;
        match self.awaits {
            Some((old, until)) => start > old || now >= until,
            None if is_old && self.ring.stream().request_keyframe() => {
                self.awaits = Some((start, now + KEYFRAME_PATIENCE));
                false
            }
            None => true,
        }
    }

    /// When [`Self::fill`] may have something although [`RtpRing::due`] says nothing.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let own = self.sender.poll_own_timeout();
        let layers = self.layers.as_ref().filter(|_| self.sender.has_begun());
        let layers = layers.map(|layers| layers.poll_timeout());
        own.into_iter().chain(layers).min().or_else(|| Some(self.awaits?.1))
    }

    /// Takes RTCP of the player, opened.
    pub(crate) fn rtcp(&mut self, now: Duration, compound: &[u8]) {
        let logs = Logs::gather(now, &self.ring, self.layers.as_deref());
        self.sender.receive(now, &logs, compound);
        if self.sender.take_keyframe_request(&logs) {
            drop(logs);
            let layer = self.layers.as_ref().and_then(|layers| layers.ring());
            layer.unwrap_or(&self.ring).stream().request_keyframe();
        }
    }

    /// Tells of a jump, if there was one. Whether the player may go on.
    pub(crate) fn keeps_up(&mut self, now: Duration, context: &Context) -> bool {
        let Some(missed) = self.sender.take_skipped() else { return true };
        self.session.skipped(missed);
        let (stream, session) = (self.session.stream.clone(), self.session.id);
        context.events.send(Event::ViewerSkipped { stream, session, dropped_frames: missed });
        self.patience.bears_skip(context.config.egress.overflow, now)
    }

    /// Why it is over: the stream has ended and what was lost had its time to be repeated, or the publisher sends what the
    /// player cannot decode.
    pub(crate) fn ended(&mut self, now: Duration) -> Option<Arc<str>> {
        if let Some(codec) = self.sender.foreign() {
            return Some(format!("the publisher changed to {codec}: connect again to watch it").into());
        }
        let logs = Logs::gather(now, &self.ring, self.layers.as_deref());
        let reason = logs.ended()?;
        let since = *self.ended.get_or_insert(now);
        let all = self.sender.is_done(&logs);
        let over = now > since + PLAYING_OUT * if all { 1 } else { 10 };
        over.then(|| Arc::clone(reason))
    }

    /// Fills `out` with the datagram that says goodbye.
    pub(crate) fn goodbye(&self, srtp: &mut Outbound, out: &mut Vec<u8>) {
        self.sender.goodbye(srtp, out);
    }

    /// How it does.
    pub(crate) fn stats(&self) -> WebRtcStats {
        let layer = self.layers.as_ref().and_then(|layers| layers.name(self.ring.stream()));
        WebRtcStats { layer, ..WebRtcStats::sent(&self.sender.stats()) }
    }
}
