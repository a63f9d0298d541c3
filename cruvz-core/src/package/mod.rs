//! Hub to segments, and to other codecs: what is made of a stream once for all.

pub mod hls;
mod transcode;
