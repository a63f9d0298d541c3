//! Playing what was recorded: views over the segments of a recording, which are never copied.
//!
//! [`playlist`] writes the HLS playlists of a recording, ended or still going on; [`movie`] makes it one MP4 file; [`span`] says which part
//! of it is meant.

pub mod movie;
pub mod playlist;
pub mod span;
