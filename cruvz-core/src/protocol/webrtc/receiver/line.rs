//! A media section of the offer, as far as a receiver needs it.

use cruvz_media::{
    Codec, TrackId, TrackKind,
    rtp::{self, Depacketizer, Packet},
    time::Timescale,
};

use super::Config;
use crate::protocol::webrtc::sdp::{self, Feedback, Media};

/// What was agreed about one media section: one codec, the SSRCs it may come from, and what may be asked of its sender.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) kind: TrackKind,
    pub(super) track: TrackId,
    pub(super) rate: Timescale,
    /// Whether its sender sends again what is lost.
    pub(super) nack: bool,
    pub(super) feedback: Feedback,
    codec: Codec,
    payload_type: u8,
    rtx: Option<u8>,
    mid: Option<String>,
    extensions: sdp::Extensions,
    sources: Vec<sdp::Source>,
    /// The layers of its simulcast.
    rids: Vec<String>,
}

/// Where a packet belongs by what it says itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The index of its line.
    pub(super) line: usize,
    pub(super) rid: Option<String>,
    /// Whether it is sent again, and of which SSRC if that was announced.
    pub(super) again: Option<Option<u32>>,
}

impl Line {
    /// The first sections of sound and picture; a stream has one of each.
    pub(super) fn all(media: &[Media]) -> Vec<Self> {
        let mut lines: Vec<Self> = Vec::new();
        for line in media.iter().filter_map(Self::of) {
            if lines.iter().all(|known| known.kind != line.kind) {
                lines.push(line);
            }
        }
        lines
    }

    fn of(media: &Media) -> Option<Self> {
        let kind = media.codec.kind();
        let track = match kind {
            TrackKind::Audio => TrackId::AUDIO,
            TrackKind::Video => TrackId::VIDEO,
            TrackKind::Data => return None,
        };
        Some(Self {
            kind,
            track,
            rate: rtp::clock_rate(media.codec)?,
            nack: media.feedback.nack,
            feedback: media.feedback,
            codec: media.codec,
            payload_type: media.payload_type,
            rtx: media.rtx,
            mid: media.mid.clone(),
            extensions: media.extensions,
            sources: media.sources.clone(),
            rids: media.layers.clone(),
        })
    }

    /// What puts its packets together.
    pub(super) fn depacketizer(&self, config: &Config) -> Option<Depacketizer> {
        let limits = rtp::Limits { frame_bytes: config.max_frame_bytes };
        Depacketizer::new(self.codec, limits)
    }

    /// Its layers by their names; one alone is none.
    pub(super) fn layers(&self) -> &[String] {
        if self.rids.len() > 1 { &self.rids } else { &[] }
    }

    /// The payload type that a packet that was sent again had before.
    pub(super) fn payload_type(&self) -> u8 {
        self.payload_type
    }

    /// Where a packet of an SSRC that was not seen before belongs: by the announced SSRC, else by the names it carries,
    /// else by its payload type alone (RFC 8843 §9.2, RFC 8852 §3). `None`: nowhere, or not to be told yet.
    pub(super) fn place(lines: &[Self], packet: &Packet) -> Option<Place> {
        let announced = |line: &Self| line.announced(packet.header.ssrc).is_some();
        let named = |line: &Self| line.is_named_by(packet);
        let (index, line) = lines
            .iter()
            .enumerate()
            .find(|(_, line)| announced(line))
            .or_else(|| lines.iter().enumerate().find(|(_, line)| named(line)))
            .or_else(|| {
                lines.iter().enumerate().find(|(_, line)| line.has_type(packet.header.payload_type))
            })?;
        line.place_within(index, packet)
    }

    fn place_within(&self, line: usize, packet: &Packet) -> Option<Place> {
        let again = self.rtx == Some(packet.header.payload_type);
        if !again && packet.header.payload_type != self.payload_type {
            return None;
        }
        if let Some(source) = self.announced(packet.header.ssrc) {
            return Some(Place { line, rid: None, again: again.then_some(Some(source.ssrc)) });
        }
        let id = if again { self.extensions.repaired_rid } else { self.extensions.rid };
        let rid = self.text(packet, id).filter(|rid| self.rids.iter().any(|known| known == rid));
        // Which layer a packet is of is not to be guessed.
        if rid.is_none() && !self.rids.is_empty() {
            return None;
        }
        Some(Place { line, rid: rid.map(str::to_owned), again: again.then_some(None) })
    }

    fn announced(&self, ssrc: u32) -> Option<&sdp::Source> {
        self.sources.iter().find(|source| source.ssrc == ssrc || source.rtx == Some(ssrc))
    }

    fn is_named_by(&self, packet: &Packet) -> bool {
        self.mid.is_some() && self.text(packet, self.extensions.mid) == self.mid.as_deref()
    }

    fn has_type(&self, payload_type: u8) -> bool {
        self.payload_type == payload_type || self.rtx == Some(payload_type)
    }

    fn text<'a>(&self, packet: &'a Packet, id: Option<u8>) -> Option<&'a str> {
        std::str::from_utf8(packet.extension(id?)?).ok()
    }

    /// The id of the extension that has the transport-wide sequence number.
    pub(super) fn transport_cc(&self) -> Option<u8> {
        self.extensions.transport_cc.filter(|_| self.feedback.transport_cc)
    }
}
