//! Answering a publisher: which of its codecs this side takes, and which layers.

use cruvz_media::Codec;

use super::{
    Local, Negotiated, Offer, Refusal, Source,
    answer::{Chosen, Reply},
    description::Section,
    error::{kind_name, shortened},
    payload::Payload,
};

/// The highest level that this side asks for, where it may differ from the sender's own: 5.2, which is 4K at 60 Hz.
const H264_LEVEL: u8 = 52;

/// What a publisher may send.
#[derive(Clone, Copy, Debug)]
pub struct PublishWish<'a> {
    /// What this side says of itself.
    pub local: Local<'a>,
    /// The codecs that are accepted. AV1, H.264, H.265, Opus, VP8 and VP9 are possible, others never match.
    pub codecs: &'a [Codec],
    /// A codec that comes before the publisher's own order of preference: H.264, say, which the most outputs carry.
    pub prefer: Option<Codec>,
    /// The most layers of a simulcast. 0: none, the publisher sends one.
    pub max_layers: usize,
}

impl Offer {
    /// Answers somebody who wants to publish (RFC 9725): each section that sends gets one codec.
    ///
    /// # Errors
    /// [`Refusal`] for the whole offer if one section that sends cannot be accepted, or none sends: there are no sessions in
    /// part (RFC 9725 §4.4.3).
    pub fn answer_publish(&self, wish: &PublishWish<'_>) -> Result<(String, Negotiated), Refusal> {
        let mut active = Vec::new();
        let mut replies = Vec::with_capacity(self.description.sections.len());
        for (line, section) in self.description.sections.iter().enumerate() {
            let Some(kind) = section.kind().filter(|_| !section.disabled) else {
                replies.push(Reply::Reject);
                continue;
            };
            if !self.description.direction(section).sends {
                replies.push(self.inactive(section));
                continue;
            }
            if active.contains(&kind) {
                return Err(Refusal::Twice(kind));
            }
            active.push(kind);
            replies.push(Reply::Active(Box::new(wish.choose(line, section)?)));
        }
        if active.is_empty() {
            return Err(Refusal::NoMedia { what: "media section that sends audio or video" });
        }
        self.answer(&wish.local, replies, None)
    }
}

impl PublishWish<'_> {
    /// The codec that a section is to send.
    fn choose(&self, line: usize, section: &Section) -> Result<Chosen, Refusal> {
        let accepted = |payload: &Payload| payload.codec().filter(|codec| self.codecs.contains(codec));
        let known = || section.payloads.iter().filter_map(|payload| Some((payload, accepted(payload)?)));
        let preferred = known().find(|(_, codec)| Some(*codec) == self.prefer);
        let Some((first, codec)) = preferred.or_else(|| known().next()) else {
            return Err(self.nothing_known(section));
        };
        // One NAL unit per packet is the lesser form of H.264.
        let whole = |payload: &Payload| codec != Codec::H264 || payload.fragments();
        let payload = known()
            .find(|(payload, other)| *other == codec && whole(payload))
            .map_or(first, |(payload, _)| payload);
        let mut chosen = Chosen::new(line, section, payload, codec, |way| way.sends);
        chosen.fmtp = parameters(codec, payload);
        let media = &mut chosen.media;
        media.sources = sources(section);
        // Without RIDs in the packets, layers cannot be told apart.
        if media.extensions.rid.is_some() {
            media.layers = self.layers(section, payload);
        }
        media.extensions.playout_delay = None;
        if media.layers.is_empty() {
            (media.extensions.rid, media.extensions.repaired_rid) = (None, None);
        }
        Ok(chosen)
    }

    /// The layers of a simulcast, in the offer's order of preference.
    fn layers(&self, section: &Section, payload: &Payload) -> Vec<String> {
        let usable =
            |id: &&String| section.rids.iter().any(|rid| rid.id == **id && rid.allows(payload.number));
        section.simulcast.iter().filter(usable).take(self.max_layers).cloned().collect()
    }

    fn nothing_known(&self, section: &Section) -> Refusal {
        let kind = section.kind().expect("only audio and video sections get a codec");
        let accepted = self.codecs.iter().filter(|codec| codec.kind() == kind).map(|codec| codec.name());
        let accepted = accepted.collect::<Vec<_>>().join(", ");
        let have = match accepted.as_str() {
            "" => format!("no {} is accepted", kind_name(kind)),
            codecs => format!("accepted for {} are {codecs}", kind_name(kind)),
        };
        Refusal::NoCommonCodec { kind, have, offered: shortened(&section.codec_names()) }
    }
}

/// The parameters under which this side receives.
fn parameters(codec: Codec, payload: &Payload) -> String {
    match codec {
        // Without "stereo" browsers encode in mono (RFC 7587 §7.1).
        Codec::Opus => "minptime=10;useinbandfec=1;stereo=1".to_owned(),
        Codec::H264 => payload.h264_parameters(payload.h264().level.max(H264_LEVEL)),
        // What else is said of VP8 and VP9 are sizes that the other side takes; this side takes any.
        Codec::Vp8 => String::new(),
        Codec::Vp9 => {
            payload.parameter("profile-id").map_or_else(String::new, |id| format!("profile-id={id}"))
        }
        _ => payload.fmtp.clone(),
    }
}

/// The sources that are announced, without those that repeat or correct others.
fn sources(section: &Section) -> Vec<Source> {
    let helps =
        |ssrc: &u32| section.repeats.iter().any(|(_, rtx)| rtx == ssrc) || section.corrections.contains(ssrc);
    let rtx = |ssrc: u32| section.repeats.iter().find(|(first, _)| *first == ssrc).map(|(_, rtx)| *rtx);
    let own = section.sources.iter().filter(|ssrc| !helps(ssrc));
    own.map(|&ssrc| Source { ssrc, rtx: rtx(ssrc) }).collect()
}
