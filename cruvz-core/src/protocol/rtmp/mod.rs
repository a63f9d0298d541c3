//! RTMP, server and client, without I/O.
//!
//! Source: Adobe's Real Time Messaging Protocol 1.0 (2012) and Enhanced RTMP v2 (Veovera, 2024).

pub mod chunk;
mod error;
mod handshake;
mod limits;
pub mod message;

pub use error::Error;
pub use handshake::{ClientHandshake, HandshakeKind, ServerHandshake};
pub use limits::Limits;
