//! Watching over HTTP: routes that hand the engine's bytes on.

pub(crate) mod cors;
pub(crate) mod flv;
pub(crate) mod hls;
mod websocket;
