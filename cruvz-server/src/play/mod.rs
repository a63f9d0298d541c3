//! Watching over HTTP, and publishing where HTTP only agrees on it: routes that hand on what the engine says.

pub(crate) mod cors;
pub(crate) mod hls;
pub(crate) mod live;
pub(crate) mod vod;
pub(crate) mod webrtc;
mod websocket;
