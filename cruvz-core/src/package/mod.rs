//! Hub to segments, and to other codecs: what is made of a stream once for all.

pub mod hls;
pub mod record;
mod transcode;
mod transcoder;
