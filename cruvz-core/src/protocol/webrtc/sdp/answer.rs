//! Writing what this side says: answers, and the sections of a counter-offer.

use std::fmt::{Arguments, Write};

use cruvz_media::Codec;

use super::{
    Candidate, CandidateTransport, Feedback, Local, Media,
    description::{Description, Direction, Section},
    error::kind_name,
    payload::Payload,
};
use crate::protocol::webrtc::DtlsRole;

/// What becomes of a section.
pub(super) enum Reply<'a> {
    /// It is refused, by port 0.
    Reject,
    /// Nothing flows, but the section stays: what it was offered with is repeated.
    Inactive(&'a Payload),
    /// Media flows.
    Active(Box<Chosen>),
}

/// Media that flows, and how the codec is said.
pub(super) struct Chosen {
    pub(super) media: Media,
    pub(super) rtpmap: String,
    /// Empty where the codec has no parameters.
    pub(super) fmtp: String,
    /// Ids of extensions that are said to go one way.
    pub(super) one_way: Vec<u8>,
}

/// How this side's media is named.
#[derive(Clone, Copy)]
pub(super) struct Sends<'a> {
    pub(super) msid: &'a str,
    pub(super) cname: &'a str,
}

impl Reply<'_> {
    pub(super) fn into_media(self) -> Option<Media> {
        match self {
            Self::Active(chosen) => Some(chosen.media),
            _ => None,
        }
    }
}

impl Chosen {
    /// For `payload` of the section at `line`, with the feedback and the extensions that both sides have. Of those that
    /// go one way, `flows` tells which are of use.
    pub(super) fn new(
        line: usize,
        section: &Section,
        payload: &Payload,
        codec: Codec,
        flows: impl Fn(Direction) -> bool,
    ) -> Self {
        let of_use = |id| section.one_way.iter().all(|(other, way)| *other != id || flows(*way));
        let repeats = |rtx: &&Payload| rtx.repeats(payload.number, payload.clock_rate);
        let rtx = section.payloads.iter().find(repeats).map(|rtx| rtx.number);
        let mut media = Media {
            line,
            mid: section.mid.clone(),
            codec,
            payload_type: payload.number,
            rtx,
            clock_rate: payload.clock_rate,
            feedback: payload.feedback,
            extensions: section.extensions.filter(of_use),
            reduced_size: section.reduced_size,
            sources: Vec::new(),
            layers: Vec::new(),
            sending: None,
        };
        media.congestion();
        let one_way = section.one_way.iter().map(|(id, _)| *id).collect();
        Self { media, rtpmap: payload.rtpmap.clone(), fmtp: payload.fmtp.clone(), one_way }
    }
}

impl Media {
    /// Keeps one way of telling what the network takes: arrivals if both the feedback and the extension are there, or else REMB.
    pub(super) fn congestion(&mut self) {
        let Self { feedback, extensions, .. } = self;
        feedback.transport_cc &= extensions.transport_cc.is_some();
        if feedback.transport_cc {
            feedback.remb = false;
            extensions.abs_send_time = None;
        } else {
            extensions.transport_cc = None;
        }
    }

    /// Leaves out all that tells what the network takes.
    pub(super) fn no_congestion(&mut self) {
        let Self { feedback, extensions, .. } = self;
        (feedback.transport_cc, feedback.remb) = (false, false);
        (extensions.transport_cc, extensions.abs_send_time) = (None, None);
    }
}

/// The answer to `offer`, with a reply for each section.
pub(super) fn write(
    offer: &Description,
    local: &Local<'_>,
    role: DtlsRole,
    replies: &[Reply<'_>],
    sends: Option<Sends<'_>>,
) -> String {
    let mut text = Text::default();
    let kept =
        |(section, reply): &(&Section, &Reply<'_>)| !matches!(reply, Reply::Reject) && offer.bundled(section);
    let bundled = offer.sections.iter().zip(replies).filter(kept);
    text.session(local, None, bundled.filter_map(|(section, _)| section.mid.as_deref()), sends);
    let setup = match role {
        DtlsRole::Active => "active",
        DtlsRole::Passive => "passive",
    };
    let mut candidates = local.candidates;
    for (section, reply) in offer.sections.iter().zip(replies) {
        let Section { media, protocol, mid, .. } = section;
        match reply {
            Reply::Reject => text.rejected(section),
            Reply::Inactive(payload) => {
                text.open(media, protocol, format_args!("{}", payload.number), mid.as_deref());
                text.transport(local, setup, std::mem::take(&mut candidates));
                text.line(format_args!("a=inactive"));
                text.codec(payload.number, &payload.rtpmap, &payload.fmtp, Feedback::default());
            }
            Reply::Active(chosen) => {
                text.active(protocol, local, setup, std::mem::take(&mut candidates), chosen);
                text.directed(&chosen.media, sends);
            }
        }
    }
    text.0
}

/// A description that is being written.
#[derive(Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    pub(super) fn line(&mut self, line: Arguments<'_>) {
        self.0.write_fmt(line).expect("writing to a string cannot fail");
        self.0.push_str("\r\n");
    }

    /// What stands before the sections.
    pub(super) fn session<'a>(
        &mut self,
        local: &Local<'_>,
        information: Option<&str>,
        bundle: impl Iterator<Item = &'a str>,
        sends: Option<Sends<'_>>,
    ) {
        self.line(format_args!("v=0"));
        self.line(format_args!("o=- {} 2 IN IP4 127.0.0.1", local.session_id & (u64::MAX >> 1)));
        self.line(format_args!("s=-"));
        if let Some(information) = information {
            // What the peer had a hand in must not become a line of its own.
            let clean: String = information.chars().filter(|c| !c.is_control()).collect();
            self.line(format_args!("i={clean}"));
        }
        self.line(format_args!("t=0 0"));
        let bundle: String = bundle.flat_map(|mid| [" ", mid]).collect();
        if !bundle.is_empty() {
            self.line(format_args!("a=group:BUNDLE{bundle}"));
        }
        if let Some(Sends { msid, .. }) = sends {
            self.line(format_args!("a=msid-semantic: WMS {msid}"));
        }
        self.line(format_args!("a=ice-lite"));
        self.line(format_args!("a=ice-options:trickle ice2"));
    }

    /// A section that is refused (RFC 3264 §6): all that must be there.
    fn rejected(&mut self, section: &Section) {
        let Section { media, protocol, formats, mid, .. } = section;
        self.line(format_args!("m={media} 0 {protocol} {formats}"));
        self.line(format_args!("c=IN IP4 0.0.0.0"));
        if let Some(mid) = mid {
            self.line(format_args!("a=mid:{mid}"));
        }
        self.line(format_args!("a=inactive"));
    }

    /// The section of media that flows, but for its direction.
    pub(super) fn active(
        &mut self,
        protocol: &str,
        local: &Local<'_>,
        setup: &str,
        candidates: &[Candidate],
        chosen: &Chosen,
    ) {
        let Chosen { media, rtpmap, fmtp, one_way } = chosen;
        let name = kind_name(media.codec.kind());
        match media.rtx {
            Some(rtx) => {
                let formats = format_args!("{} {rtx}", media.payload_type);
                self.open(name, protocol, formats, media.mid.as_deref());
            }
            None => self.open(name, protocol, format_args!("{}", media.payload_type), media.mid.as_deref()),
        }
        self.transport(local, setup, candidates);
        if media.reduced_size {
            self.line(format_args!("a=rtcp-rsize"));
        }
        self.extensions(media, one_way);
        self.codec(media.payload_type, rtpmap, fmtp, media.feedback);
        if let Some(rtx) = media.rtx {
            self.line(format_args!("a=rtpmap:{rtx} rtx/{}", media.clock_rate));
            self.line(format_args!("a=fmtp:{rtx} apt={}", media.payload_type));
        }
    }

    fn open(&mut self, media: &str, protocol: &str, formats: Arguments<'_>, mid: Option<&str>) {
        // The port is said by candidates (RFC 8840 §4.1.1).
        self.line(format_args!("m={media} 9 {protocol} {formats}"));
        self.line(format_args!("c=IN IP4 0.0.0.0"));
        if let Some(mid) = mid {
            self.line(format_args!("a=mid:{mid}"));
        }
    }

    /// How the peer comes to this side. It is the same in each section, but candidates stand in the first only.
    fn transport(&mut self, local: &Local<'_>, setup: &str, candidates: &[Candidate]) {
        self.credentials(local);
        self.line(format_args!("a=fingerprint:{}", local.fingerprint));
        self.line(format_args!("a=setup:{setup}"));
        self.line(format_args!("a=rtcp-mux"));
        self.candidates(candidates);
    }

    pub(super) fn credentials(&mut self, local: &Local<'_>) {
        self.line(format_args!("a=ice-ufrag:{}", local.credentials.ufrag));
        self.line(format_args!("a=ice-pwd:{}", local.credentials.pwd));
    }

    /// All candidates: those for datagrams first, for some clients look at no other.
    pub(super) fn candidates(&mut self, candidates: &[Candidate]) {
        if candidates.is_empty() {
            return;
        }
        for transport in [CandidateTransport::Udp, CandidateTransport::TcpPassive] {
            let numbered = candidates.iter().enumerate();
            for (rank, candidate) in numbered.filter(|(_, candidate)| candidate.transport == transport) {
                self.line(format_args!("a=candidate:{}", candidate.value(rank)));
            }
        }
        self.line(format_args!("a=end-of-candidates"));
    }

    fn extensions(&mut self, media: &Media, one_way: &[u8]) {
        let way = if media.sending.is_some() { "/sendonly" } else { "/recvonly" };
        for (id, uri) in media.extensions.iter() {
            let way = if one_way.contains(&id) { way } else { "" };
            self.line(format_args!("a=extmap:{id}{way} {uri}"));
        }
    }

    fn codec(&mut self, number: u8, rtpmap: &str, fmtp: &str, feedback: Feedback) {
        self.line(format_args!("a=rtpmap:{number} {rtpmap}"));
        if !fmtp.is_empty() {
            self.line(format_args!("a=fmtp:{number} {fmtp}"));
        }
        for feedback in feedback.iter() {
            self.line(format_args!("a=rtcp-fb:{number} {feedback}"));
        }
    }

    /// Which way media flows, and what belongs to that.
    pub(super) fn directed(&mut self, media: &Media, sends: Option<Sends<'_>>) {
        let (Some(sending), Some(Sends { msid, cname })) = (media.sending, sends) else {
            self.line(format_args!("a=recvonly"));
            for rid in &media.layers {
                self.line(format_args!("a=rid:{rid} recv"));
            }
            if !media.layers.is_empty() {
                self.line(format_args!("a=simulcast:recv {}", media.layers.join(";")));
            }
            return;
        };
        self.line(format_args!("a=sendonly"));
        self.line(format_args!("a=msid:{msid} {}", kind_name(media.codec.kind())));
        if let Some(rtx) = sending.rtx_ssrc {
            self.line(format_args!("a=ssrc-group:FID {} {rtx}", sending.ssrc));
        }
        for ssrc in [Some(sending.ssrc), sending.rtx_ssrc].into_iter().flatten() {
            self.line(format_args!("a=ssrc:{ssrc} cname:{cname}"));
        }
    }
}
