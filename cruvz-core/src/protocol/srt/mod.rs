//! SRT in live mode, listener and caller, without I/O.
//!
//! Datagrams become [`Packet`]s; the handshake half makes a connection out of two peers, the flow half carries
//! MPEG-TS over it. Nothing here does I/O, reads a clock or draws a random number: time and random bytes come in as
//! arguments, and no bytes of a peer panic or take more memory than a documented limit says.
//!
//! Sources: `draft-sharabayko-srt-01`, the clauses in brackets below, and libsrt's behaviour where the two differ.
//! Deviations are listed in `docs/protocols/srt.md`.

pub mod caller;
mod config;
pub mod connection;
pub mod control;
mod crypto;
mod established;
pub mod extension;
pub mod handshake;
pub mod listener;
pub mod packet;
mod random;
mod reject;
pub mod rendezvous;
mod seq;
pub mod stream_id;
mod url;

pub use caller::{Caller, CallerConfig, Outcome};
pub use config::LinkConfig;
pub use connection::{
    Bandwidth, CloseReason, Connection, ConnectionConfig, Event, PacketLog, ReceiveStats, Run, SendStats,
    Stats,
};
pub use control::{Ack, AckBody, Control, ControlPacket, SeqRange};
pub use crypto::{
    Cipher, Crypto, CryptoChoice, KeyLength, KeyMaterialError, KeyRefresh, OpenError, Passphrase,
    PassphraseError, TAG_LEN,
};
pub use established::{Established, PeerFlags};
pub use extension::{Extension, Flags, Hello, Version};
pub use handshake::{Handshake, HandshakeError, Stage};
pub use listener::{Answer, Ignored, Listener, Request};
pub use packet::{Boundary, DataHeader, DataPacket, KeyFlag, Packet, PacketError, SocketId};
pub use random::Random;
pub use reject::Reject;
pub use rendezvous::Rendezvous;
pub use seq::Seq;
pub use stream_id::{StreamId, StreamIdError, StreamIdText, StreamMode};
pub use url::{Url, UrlError, UrlMode};

#[cfg(test)]
mod tests;
