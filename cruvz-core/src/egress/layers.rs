//! The layers of a simulcast, of which a viewer is sent the one that its network carries.
//!
//! A viewer of a stream gets the stream's own picture, which is that of its largest layer, and its sound. When its network does not
//! carry that, the picture comes from a [rendition](LiveStream::renditions) instead, from that one's next keyframe on. All have one
//! timeline, so nothing else changes.

use std::{sync::Arc, time::Duration};

use cruvz_media::TrackKind;
use parking_lot::MutexGuard;

use super::rtp::{Packets, RtpRing, RtpRings};
use crate::{
    LiveStream,
    hub::log::Log,
    protocol::webrtc::sender::{Choice, MediaClock, MediaPacket, Sender, Step, StreamLog, TrackLog},
};

/// How often a viewer's network is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How old the keyframe may be at which another layer begins: its picture is seen again from there.
const MAX_BACK_US: i64 = 150_000;
/// When a keyframe is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A viewer's choice among the layers of its stream.
pub(crate) struct Layers {
    rings: RtpRings,
    choice: Choice,
    /// Where the picture comes from, unless it is the stream's own.
    chosen: Option<Layer>,
    next: Option<Next>,
    look_at: Duration,
}

/// A layer by its name.
struct Layer {
    name: String,
    ring: Arc<RtpRing>,
}

/// What the picture comes from, from its next keyframe on; `None`: it is the stream's own.
struct Next {
    layer: Option<Layer>,
    ask_at: Duration,
}

/// What a viewer is sent: the sound of its stream, and the picture of that or of a layer.
pub(crate) struct Logs<'a> {
    stream: MutexGuard<'a, Packets>,
    picture: Option<MutexGuard<'a, Packets>>,
}

impl Layers {
    /// For a viewer of a stream that has, or may get, renditions.
    pub(crate) fn new(rings: RtpRings) -> Self {
        Self { rings, choice: Choice::default(), chosen: None, next: None, look_at: Duration::ZERO }
    }

    /// Where the picture comes from, unless it is the stream's own.
    pub(crate) fn ring(&self) -> Option<&Arc<RtpRing>> {
        self.chosen.as_ref().map(|layer| &layer.ring)
    }

    /// The name of the layer that is sent; `None` where there is only one picture.
    pub(crate) fn name(&self, stream: &LiveStream) -> Option<String> {
        let own = || stream.origin().layer().map(|layer| String::from(&*layer));
        self.chosen.as_ref().map(|layer| layer.name.clone()).or_else(own)
    }

    /// When it is to be looked at again.
    pub(crate) fn poll_timeout(&self) -> Duration {
        self.look_at
    }

    /// Looks at the network now and then, and goes on with another layer once that has a keyframe: whether it did.
    pub(crate) fn turn(
        &mut self,
        now: Duration,
        own: &RtpRing,
        packets: &Packets,
        sender: &mut Sender,
    ) -> bool {
        if now >= self.look_at {
            self.look_at = now + LOOK;
            self.look(now, own.stream().origin(), sender);
        }
        let Some(next) = &mut self.next else { return false };
        let layer = next.layer.as_ref().map(|layer| layer.ring.gather(now));
        let video = layer.as_deref().unwrap_or(packets).track(TrackKind::Video);
        let start = video.newest_start().and_then(|start| Some((start, video.packet(start)?)));
        let least_us = sender.picture_time_us().map_or(i64::MIN, |time| time.saturating_sub(MAX_BACK_US));
        if let Some((start, _)) = start.filter(|(_, packet)| packet.time_us >= least_us) {
            sender.switch(video, start);
            drop(layer);
            self.choice.switched(now);
            self.chosen = self.next.take().and_then(|next| next.layer);
            return true;
        }
        if now >= next.ask_at {
            next.ask_at = now + ASK_AGAIN;
            drop(layer);
            next.layer.as_ref().map_or(own, |layer| &layer.ring).stream().request_keyframe();
        }
        false
    }

    fn look(&mut self, now: Duration, origin: &LiveStream, sender: &mut Sender) {
        let rated = |stream: LiveStream| Some((stream.bitrate_bps()?, stream));
        let mut rated: Vec<_> = origin.renditions().into_iter().filter_map(rated).collect();
        rated.sort_by_key(|(bps, _)| *bps);
        let name = |stream: &LiveStream| stream.name().rendition_of().map(|(_, name)| name.to_owned());
        let shown = origin.layer().map(|layer| String::from(&*layer));
        let current = self.chosen.as_ref().map_or_else(|| shown.clone(), |layer| Some(layer.name.clone()));
        let at = rated.iter().position(|(_, stream)| name(stream) == current);
        let Some(at) = at.filter(|_| rated.len() > 1) else {
            // It has fallen silent, or there is no choice (any more).
            sender.probe(now, None);
            if self.chosen.is_some() && self.next.is_none() {
                self.next = Some(Next { layer: None, ask_at: now });
            }
            return;
        };
        let rates: Vec<u64> = rated.iter().map(|(bps, _)| *bps).collect();
        sender.sends(rates[at]);
        let can_probe = sender.can_probe();
        let step = self.choice.look(now, &rates, at, sender.measure(), can_probe);
        sender.probe(now, self.choice.probe_bps(now));
        if let Step::Switch(to) = step
            && let Some((_, stream)) = rated.get(to)
            && let Some(name) = name(stream)
        {
            let own = Some(&name) == shown.as_ref();
            let layer = (!own).then(|| Layer { name, ring: self.rings.of(stream) });
            self.next = Some(Next { layer, ask_at: now });
        }
    }
}

impl<'a> Logs<'a> {
    /// What there is now for a viewer of `ring`.
    pub(crate) fn gather(now: Duration, ring: &'a RtpRing, layers: Option<&'a Layers>) -> Self {
        let stream = ring.gather(now);
        Self { stream, picture: layers.and_then(Layers::ring).map(|ring| ring.gather(now)) }
    }

    /// Why the stream is over, once it is.
    pub(crate) fn ended(&self) -> Option<&Arc<str>> {
        self.stream.ended()
    }
}

impl StreamLog for Logs<'_> {
    type Track = Log<MediaPacket>;

    fn track(&self, kind: TrackKind) -> &Log<MediaPacket> {
        match (kind, &self.picture) {
            (TrackKind::Video, Some(picture)) => picture.track(kind),
            _ => self.stream.track(kind),
        }
    }

    fn clock(&self) -> Option<MediaClock> {
        self.stream.clock()
    }
}
