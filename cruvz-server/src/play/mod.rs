//! Watching over HTTP: routes that hand the engine's bytes on.

pub(crate) mod cors;
pub(crate) mod hls;
pub(crate) mod live;
mod websocket;
