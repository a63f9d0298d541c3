//! Hub to segments: the tasks that feed packagers.

pub mod hls;
