//! Parses every playlist of a folder with `m3u8-rs`, an independent parser: a judge for `tests/browser`.
//!
//! `cargo run -p cruvz-media --example parse_playlists -- FOLDER`

use std::{error::Error, fs};

use m3u8_rs::Playlist;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: parse_playlists FOLDER")?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let text = fs::read(&path)?;
        match m3u8_rs::parse_playlist_res(&text) {
            Ok(Playlist::MasterPlaylist(index)) if !index.variants.is_empty() => {}
            Ok(Playlist::MediaPlaylist(media)) if !media.segments.is_empty() => {}
            other => return Err(format!("{}: {other:?}", path.display()).into()),
        }
    }
    Ok(())
}
