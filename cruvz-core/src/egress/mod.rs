//! Hub to bytes: one file per protocol, and the fan-out they share.

pub(crate) mod cursor;
pub(crate) mod fanout;
pub(crate) mod websocket;
