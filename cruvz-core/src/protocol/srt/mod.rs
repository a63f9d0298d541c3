//! SRT in live mode, listener and caller, without I/O.
//!
//! Datagrams become [`Packet`]s; the handshake half makes a connection out of two peers, the flow half carries
//! MPEG-TS over it. Nothing here does I/O, reads a clock or draws a random number: time and random bytes come in as
//! arguments, and no bytes of a peer panic or take more memory than a documented limit says.
//!
//! Sources: `draft-sharabayko-srt-01`, the clauses in brackets below, and libsrt's behaviour where the two differ.
//! Deviations are listed in `docs/protocols/srt.md`.

pub mod connection;
pub mod control;
mod established;
pub mod packet;
mod seq;

pub use connection::{
    Bandwidth, CloseReason, Connection, ConnectionConfig, Event, PacketLog, ReceiveStats, Run, SendStats,
    Stats,
};
pub use control::{Ack, AckBody, Control, ControlPacket, SeqRange};
pub use established::{Established, PeerFlags};
pub use packet::{Boundary, DataHeader, DataPacket, KeyFlag, Packet, PacketError, SocketId};
pub use seq::Seq;
