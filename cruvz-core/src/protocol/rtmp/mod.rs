//! RTMP, server and client, without I/O.
//!
//! Bytes from a socket go into a [`ServerConnection`] or [`ClientConnection`]; events and bytes to send come out. Beneath it are
//! the handshake, the chunk layer ([`chunk`]) and the commands; media stays as FLV tag bodies, which
//! `cruvz_media` reads and writes. Nothing here does I/O or reads a clock, and no bytes of a peer panic or take
//! more than [`Limits`] say.
//!
//! Sources: Adobe's Real Time Messaging Protocol 1.0 (2012), the clauses in brackets below, and Enhanced RTMP v2
//! (Veovera, 2024). Deviations are listed in `docs/protocols/rtmp.md`.

pub mod chunk;
pub mod client;
mod command;
mod connect;
mod error;
mod handshake;
mod limits;
mod link;
mod liveness;
pub mod message;
mod name;
pub mod server;
mod url;

pub use super::params::Params;
pub use client::{ClientConfig, ClientConnection, ClientEvent};
pub use command::{Status, code};
pub use connect::{Capabilities, ConnectRequest, caps_ex};
pub use error::Error;
pub use handshake::{ClientHandshake, HandshakeKind, ServerHandshake};
pub use limits::Limits;
pub use message::{MediaKind, MediaMessage};
pub use server::{ServerConfig, ServerConnection};
pub use url::{Url, UrlError};
