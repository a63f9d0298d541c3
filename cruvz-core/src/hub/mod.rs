//! The hub: one bounded log of frames per stream, and cursors into it. Knows no protocol.

mod keyframe;
pub(crate) mod listener;
pub(crate) mod log;
pub mod name;
pub mod publisher;
pub(crate) mod registry;
mod rendition;
pub mod stream;
pub mod subscriber;
pub mod view;
pub(crate) mod wire;
