//! Why a description cannot be read, and why an offer is refused.

use cruvz_media::TrackKind;

use super::{MAX_BYTES, MAX_LINE_BYTES, MAX_LINES, MAX_SECTIONS};

/// Why a description cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// The text is longer than [`MAX_BYTES`].
    #[error("SDP of {0} bytes, want {MAX_BYTES} at most")]
    TooLong(usize),
    /// The text has more than [`MAX_LINES`].
    #[error("SDP of more than {MAX_LINES} lines")]
    TooManyLines,
    /// A line is longer than [`MAX_LINE_BYTES`].
    #[error("SDP line {0} is longer than {MAX_LINE_BYTES} bytes")]
    LongLine(usize),
    /// A line is no letter, equals sign and value.
    #[error("SDP line {0} does not look like \"a=value\"")]
    Line(usize),
    /// The first line is not `v=0`.
    #[error("SDP does not begin with v=0")]
    Version,
    /// There are more media sections than [`MAX_SECTIONS`].
    #[error("SDP of more than {MAX_SECTIONS} media sections")]
    TooManySections,
    /// A media line that cannot be understood.
    #[error("SDP line {0} is no media description")]
    Section(usize),
    /// An attribute whose value cannot be understood.
    #[error("SDP line {line} has a broken attribute {name:?}")]
    Attribute {
        /// The line, counted from one.
        line: usize,
        /// The attribute.
        name: &'static str,
    },
}

/// What a server makes of a [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// It makes no sense: 400 in HTTP.
    Malformed,
    /// There is nothing that both sides know: 406. A player may get a counter-offer.
    NotAcceptable,
    /// It makes sense, but asks for what is not supported: 422.
    Unprocessable,
}

/// Why an offer, or the answer to a counter-offer, is refused. The text is for whoever wrote the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It cannot be read.
    #[error(transparent)]
    Sdp(#[from] SdpError),
    /// Nothing in it would be sent, or received.
    #[error("the offer has no {what}")]
    NoMedia {
        /// What is missed, in words.
        what: &'static str,
    },
    /// No codec that both sides know.
    #[error("{have}, but the offer has only {offered} for {}", kind_name(*.kind))]
    NoCommonCodec {
        /// What it would be for.
        kind: TrackKind,
        /// What this side has or takes, in words.
        have: String,
        /// What the offer has, in words.
        offered: String,
    },
    /// A track that WebRTC cannot carry.
    #[error("{0} cannot be carried by WebRTC")]
    NotCarried(String),
    /// Two media sections send the same kind of media.
    #[error("the offer sends {} twice, want once", kind_name(*.0))]
    Twice(TrackKind),
    /// Another profile than DTLS-SRTP with feedback.
    #[error("media protocol {0:?}, want UDP/TLS/RTP/SAVPF")]
    Protocol(String),
    /// Media sections that do not share one transport.
    #[error("media sections {0:?} are not in one BUNDLE group")]
    NotBundled(String),
    /// RTCP on a port of its own.
    #[error("a media section without rtcp-mux")]
    NoMux,
    /// No ICE user name fragment or password.
    #[error("no ICE credentials")]
    NoCredentials,
    /// No fingerprint of the DTLS certificate.
    #[error("no sha-256 fingerprint of a DTLS certificate")]
    NoFingerprint,
    /// A DTLS role that does not fit.
    #[error("DTLS setup {0:?} is not possible here")]
    Setup(String),
    /// Both sides are ICE-lite: nobody would begin.
    #[error("both sides are ICE-lite")]
    BothLite,
    /// An answer that does not fit the counter-offer.
    #[error("the answer does not fit the offer: {0}")]
    Mismatch(&'static str),
}

impl Refusal {
    /// Whether an offer of this side may lead further: the player may know more than it asked for, or do with less.
    pub const fn invites_offer(&self) -> bool {
        matches!(self, Self::NoCommonCodec { .. } | Self::NoMedia { .. })
    }

    /// What a server makes of it.
    pub const fn kind(&self) -> RefusalKind {
        match self {
            Self::Sdp(_) | Self::NoCredentials | Self::NoFingerprint | Self::Mismatch(_) => {
                RefusalKind::Malformed
            }
            Self::NoCommonCodec { .. } | Self::NotCarried(_) => RefusalKind::NotAcceptable,
            Self::NoMedia { .. }
            | Self::Twice(_)
            | Self::Protocol(_)
            | Self::NotBundled(_)
            | Self::NoMux
            | Self::Setup(_)
            | Self::BothLite => RefusalKind::Unprocessable,
        }
    }
}

/// The word for `kind` in SDP, which is one in English as well.
pub(super) const fn kind_name(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Audio => "audio",
        TrackKind::Data => "data",
        TrackKind::Video => "video",
    }
}

/// `text`, cut where nobody would read on: what a peer offers ends up in logs.
pub(super) fn shortened(text: &str) -> String {
    /// Some lines in a log.
    const MOST: usize = 400;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
