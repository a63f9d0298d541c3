//! The offer that a player gets whose own could not be answered (WHEP, 406 and PATCH).

use cruvz_media::{Codec, TrackKind};

use super::{
    Extensions, Feedback, Media, Negotiated, PlayTrack, PlayWish, Refusal, Sending,
    answer::{Chosen, Text},
    description::{Description, Section, Setup},
    error::kind_name,
    offer::check_section,
    payload::clock_rate,
};
use crate::protocol::webrtc::DtlsRole;

/// The payload types of this side's own offers, of the dynamic ones (RFC 3551 §3).
const VIDEO_PAYLOAD: u8 = 96;
const VIDEO_RTX_PAYLOAD: u8 = 97;
const AUDIO_PAYLOAD: u8 = 111;

/// An offer of what a stream has, and the answers that fit it.
#[derive(Clone, Debug)]
pub struct CounterOffer {
    text: String,
    media: Vec<Media>,
}

impl CounterOffer {
    /// Offers the first video and the first audio track of the stream. `reason`: why the player's own offer was not answered, for whoever
    /// reads this one (the session information, RFC 8866 §5.4).
    ///
    /// # Errors
    /// [`Refusal::NotCarried`] if one is of a codec that WebRTC has no place for, [`Refusal::NoMedia`] if there is none.
    pub fn new(wish: &PlayWish<'_>, reason: Option<&str>) -> Result<Self, Refusal> {
        let first = |kind| wish.tracks.iter().find(move |track| track.params.codec.kind() == kind);
        let tracks = [TrackKind::Video, TrackKind::Audio].into_iter().filter_map(first);
        let chosen = tracks
            .enumerate()
            .map(|(line, track)| track.offer(line, wish.feedback))
            .collect::<Result<Vec<_>, _>>()?;
        if chosen.is_empty() {
            return Err(Refusal::NoMedia { what: "track that could be sent" });
        }
        let mut text = Text::default();
        let mids = chosen.iter().filter_map(|each| each.media.mid.as_deref());
        text.session(&wish.local, reason, mids, Some(wish.sends()));
        let mut candidates = wish.local.candidates;
        for each in &chosen {
            let candidates = std::mem::take(&mut candidates);
            text.active("UDP/TLS/RTP/SAVPF", &wish.local, "actpass", candidates, each);
            text.directed(&each.media, Some(wish.sends()));
        }
        Ok(Self { text: text.0, media: chosen.into_iter().map(|each| each.media).collect() })
    }

    /// The text of the offer.
    pub fn sdp(&self) -> &str {
        &self.text
    }

    /// Takes the player's answer.
    ///
    /// # Errors
    /// [`Refusal`] if it cannot be read, does not fit the offer, or takes nothing of it.
    pub fn accept(&self, answer: &str) -> Result<Negotiated, Refusal> {
        let answer = Description::parse(answer)?;
        if answer.sections.len() != self.media.len() {
            return Err(Refusal::Mismatch("another number of media sections"));
        }
        let mut media = Vec::new();
        for (offered, section) in self.media.iter().zip(&answer.sections) {
            if section.mid != offered.mid || section.media != kind_name(offered.codec.kind()) {
                return Err(Refusal::Mismatch("other media sections"));
            }
            if !section.disabled && answer.direction(section).receives {
                check_section(section)?;
                media.push(offered.answered(section)?);
            }
        }
        if media.is_empty() {
            return Err(Refusal::NoMedia { what: "media section that receives" });
        }
        let role = match answer.setup(answer.sections.iter()) {
            None | Some(Setup::Active) => DtlsRole::Passive,
            Some(Setup::Passive) => DtlsRole::Active,
            Some(Setup::ActPass) => return Err(Refusal::Setup("actpass".to_owned())),
            Some(Setup::HoldConn) => return Err(Refusal::Setup("holdconn".to_owned())),
        };
        let (remote, fingerprint) = answer.transport()?;
        Ok(Negotiated { remote, fingerprint, role, media })
    }
}

impl PlayTrack<'_> {
    /// The section that offers the track.
    fn offer(&self, line: usize, feedback: bool) -> Result<Chosen, Refusal> {
        self.check()?;
        let codec = self.params.codec;
        let (payload_type, rtx) = match codec.kind() {
            TrackKind::Audio => (AUDIO_PAYLOAD, None),
            _ => (VIDEO_PAYLOAD, Some(VIDEO_RTX_PAYLOAD)),
        };
        let video = rtx.is_some();
        let clock_rate = clock_rate(codec);
        let (name, channels) = match codec {
            Codec::Opus => ("opus", "/2"),
            Codec::H264 => ("H264", ""),
            Codec::H265 => ("H265", ""),
            codec => (codec.name(), ""),
        };
        let mut media = Media {
            line,
            mid: Some(line.to_string()),
            codec,
            payload_type,
            rtx,
            clock_rate,
            feedback: Feedback { nack: video, pli: video, fir: video, transport_cc: true, remb: false },
            extensions: Extensions {
                mid: Some(1),
                transport_cc: Some(2),
                playout_delay: video.then_some(3),
                ..Extensions::default()
            },
            reduced_size: true,
            sources: Vec::new(),
            layers: Vec::new(),
            sending: Some(Sending { track: self.id, ssrc: self.ssrc, rtx_ssrc: rtx.map(|_| self.rtx_ssrc) }),
        };
        if !feedback {
            media.no_congestion();
        }
        Ok(Chosen {
            media,
            rtpmap: format!("{name}/{clock_rate}{channels}"),
            fmtp: self.parameters(),
            one_way: Vec::new(),
        })
    }
}

impl Media {
    /// What is left of an offered section in its answer.
    fn answered(&self, section: &Section) -> Result<Self, Refusal> {
        let payload = section.payloads.iter().find(|payload| payload.codec() == Some(self.codec));
        let payload = payload
            .filter(|payload| payload.number == self.payload_type)
            .ok_or(Refusal::Mismatch("another codec or payload type"))?;
        let rtx = self.rtx.filter(|rtx| section.payloads.iter().any(|payload| payload.number == *rtx));
        let sending = self
            .sending
            .map(|sending| Sending { rtx_ssrc: sending.rtx_ssrc.filter(|_| rtx.is_some()), ..sending });
        let mut media = Self {
            rtx,
            sending,
            feedback: self.feedback.and(payload.feedback),
            extensions: self.extensions.and(section.extensions),
            reduced_size: section.reduced_size,
            ..self.clone()
        };
        media.congestion();
        Ok(media)
    }
}
