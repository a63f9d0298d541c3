//! SRTP and SRTCP: RFC 3711 with the profiles that WebRTC has (RFC 7714 and RFC 5764 §4.1.2).
//!
//! [`Outbound`] seals what we send, [`Inbound`] opens what comes. Both are made of the [`KeyingMaterial`] that DTLS
//! exported, and neither keeps anything per packet: the index of a packet is its sender's business, and a receiver keeps
//! one [window](replay) per source.
//!
//! Counter modes give everything away once a key meets the same source and index twice with different bytes: what is sent
//! again under an old number must be the same packet, byte for byte.

mod cipher;
mod inbound;
mod keys;
mod outbound;
mod replay;

pub use inbound::{Inbound, OpenError};
pub use keys::{KeyingMaterial, MasterKey, Profile};
pub use outbound::Outbound;

#[cfg(test)]
mod tests;
