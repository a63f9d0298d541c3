//! Hub to bytes: one file per protocol.

pub(crate) mod fanout;
