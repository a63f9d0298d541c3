//! The HLS and LL-HLS packager, sans-IO: frames go in, requests are answered with playlists and media.
//!
//! [`Packager::write`] takes the frames of one stream in the order they arrived and cuts them into parts and segments
//! of fragmented MP4, audio and video muxed. [`Packager::respond`] answers a request with plain values: a [`Response`],
//! or [`Wait`] where HLS says that the answer lies in the future (a blocking playlist reload, a hinted part). The
//! caller then waits until [`Packager::version`] changes and asks again, so that any runtime and any HTTP framework
//! can carry it. It never reads a clock, never blocks and holds a bounded past.
//!
//! The path of a frame: `lane` holds what arrived of one track; `cutter` decides where parts and segments end;
//! `container::cmaf` writes the fragment; `window` keeps it under its name; `playlist` lists it.
//!
//! Source: draft-pantos-hls-rfc8216bis ("bis" in what follows).

mod config;
mod cutter;
mod lane;
mod name;
mod packager;
mod playlist;
mod rates;
mod request;
mod respond;
mod segment;
mod selection;
mod tail;
mod variant;
mod wall_clock;
mod window;

pub use config::{Config, ConfigError};
pub use packager::{Counters, Packager};
pub(crate) use playlist::{DateTime, below, line};
pub use request::{Reply, Request, Response, Sibling, Wait};
pub use selection::{Reason, Unsupported};
pub use tail::{Cursor, LivePart, Tail};
pub use variant::{Variant, multivariant};

#[cfg(test)]
pub(crate) mod tests;
