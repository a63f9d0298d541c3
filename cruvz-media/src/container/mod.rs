//! Containers: one folder each, bytes to frames and frames to bytes.

pub mod cmaf;
pub mod file;
pub mod flv;
pub mod mp4;
pub mod mpegts;
