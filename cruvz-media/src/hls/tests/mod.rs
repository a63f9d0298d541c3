//! The packager as a viewer sees it.

mod breaks;
mod playlists;
mod requests;
mod rules;
pub(crate) mod source;
