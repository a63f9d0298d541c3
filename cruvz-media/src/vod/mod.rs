//! Playing what was recorded: views over the segments of a recording, which are never copied.
//!
//! [`playlist`] writes the HLS playlists of a recording, ended or still going on.

pub mod playlist;
