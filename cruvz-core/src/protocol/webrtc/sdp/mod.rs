//! SDP offers and answers for WHIP and WHEP (RFC 8866, RFC 9429).
//!
//! An [`Offer`] is read once into what matters and is then answered: [`Offer::answer_publish`] for a publisher,
//! [`Offer::answer_play`] for a player, each with the text of the answer and what was [`Negotiated`], or a
//! [`Refusal`] that says in words what is lacking. A player whose offer does not do gets a [`CounterOffer`]. Later on come
//! [`Fragment`]s: candidates and ICE restarts.
//!
//! All media of a session shares one transport (BUNDLE, RTP and RTCP multiplexed), on which this side is ICE-lite: it
//! waits for the peer's checks and never sends to an address that the SDP names, so candidates of the peer are not
//! even kept. Nothing here allocates more than the text's own size, which is bounded by the constants below.

mod answer;
mod candidate;
mod counter;
mod description;
mod error;
mod extension;
mod fragment;
mod h264;
mod line;
mod negotiated;
mod offer;
mod payload;
mod play;
mod publish;
mod simulcast;

pub use candidate::{Candidate, CandidateTransport};
pub use counter::CounterOffer;
pub use error::{Refusal, RefusalKind, SdpError};
pub use extension::Extensions;
pub use fragment::{Fragment, restart_answer};
pub use negotiated::{Media, Negotiated, Sending, Source};
pub use offer::{Local, Offer};
pub use payload::Feedback;
pub use play::{PlayTrack, PlayWish};
pub use publish::PublishWish;

/// The longest text that is read. Browsers that offer every codec they know write 8 to 12 KB.
pub const MAX_BYTES: usize = 64 * 1024;
/// The longest line. The longest that occur hold parameter sets, of a few hundred bytes.
pub const MAX_LINE_BYTES: usize = 4 * 1024;
/// The most lines.
pub const MAX_LINES: usize = 2_000;
/// The most media sections.
pub const MAX_SECTIONS: usize = 16;
/// The most payload types in a media section; there are no more in RTP.
pub const MAX_PAYLOADS: usize = 128;
/// The most header extensions that are looked at in a media section, and likewise sources, source groups and RIDs.
pub const MAX_LISTED: usize = 32;

#[cfg(test)]
mod tests;
