//! What an offer and its answer agree upon.

use cruvz_media::{Codec, TrackId};

use super::{Extensions, Feedback};
use crate::protocol::webrtc::{Credentials, DtlsRole, Fingerprint};

/// What an offer and its answer agree upon: one transport, and what flows on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Negotiated {
    /// The peer's ICE credentials.
    pub remote: Credentials,
    /// The peer's certificate.
    pub fingerprint: Fingerprint,
    /// This side's part in the DTLS handshake.
    pub role: DtlsRole,
    /// What flows, in the order of the offer. Sections that are rejected or inactive are not here.
    pub media: Vec<Media>,
}

/// One media section in which something flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Its place among all sections of the offer, from 0.
    pub line: usize,
    /// Its name, which its packets may carry.
    pub mid: Option<String>,
    /// Its codec: one, for as long as the session lasts.
    pub codec: Codec,
    /// The codec's payload type.
    pub payload_type: u8,
    /// The payload type of retransmissions (RFC 4588); `None`: a packet is repeated as it was.
    pub rtx: Option<u8>,
    /// Ticks per second of RTP timestamps.
    pub clock_rate: u32,
    /// What receivers tell senders.
    pub feedback: Feedback,
    /// Header extensions.
    pub extensions: Extensions,
    /// Feedback need not come in compound packets (RFC 5506).
    pub reduced_size: bool,
    /// Of a publisher: the sources that it announces; empty where it leaves that to mids, RIDs and payload types. Which layer
    /// a source is, only its packets say.
    pub sources: Vec<Source>,
    /// Of a publisher: the RIDs of its layers in its order of preference; empty: no simulcast.
    pub layers: Vec<String>,
    /// To a player: what is sent.
    pub sending: Option<Sending>,
}

/// A source that a publisher announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its number.
    pub ssrc: u32,
    /// The source of its retransmissions.
    pub rtx: Option<u32>,
}

/// What is sent to a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The track of the stream.
    pub track: TrackId,
    /// Its source.
    pub ssrc: u32,
    /// The source of retransmissions, where they have a payload type of their own.
    pub rtx_ssrc: Option<u32>,
}
