//! WebRTC for publishers (WHIP) and viewers (WHEP), without I/O.
//!
//! A [`Transport`] makes one peer's datagrams into RTP and RTCP and back: ICE-lite, DTLS, SRTP. Nothing here opens a
//! socket or reads a clock; time comes in as the time since the engine's clock began.
//!
//! Until a peer has proved by a check that it can be reached at an address and knows our password, nothing is kept for
//! that address, and no answer is longer than its question. What peers make us keep is bounded by [`TransportLimits`].
//!
//! Sources: RFC 8445, 8489 and 7675 (ICE, STUN, consent), RFC 6347 and 5764 (DTLS), RFC 3711, 7714 and 6188 (SRTP), RFC 7983
//! and 5761 (one port for all). Deviations are listed in `docs/protocols/webrtc.md`.

mod client_hello;
pub mod dtls;
mod fingerprint;
pub mod ice;
mod path;
pub mod receiver;
pub mod rtcp;
pub mod sdp;
pub mod sender;
pub mod srtp;
pub mod stun;
mod transport;

pub use dtls::{Certificate, DtlsError, DtlsRole};
pub use fingerprint::{Digest, Fingerprint, FingerprintError};
pub use ice::Credentials;
pub use path::{Carrier, Kind, Path};
pub use transport::{
    CloseReason, Incoming, Transport, TransportConfig, TransportLimits, TransportState, TransportStats,
};

#[cfg(test)]
mod tests;
