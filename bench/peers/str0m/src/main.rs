//! str0m as a WHIP publisher or a WHEP player. It prints what it sent or got as one JSON object: the picture's slices, each by its
//! digest in order, how many packets of sound, and how often something was missing.
//!
//! usage: `str0m-peer publish URL FILE.h264` | `str0m-peer play URL`
//!
//! The file has an access unit delimiter before each picture, and 30 pictures per second; the sound is silence. A publisher sends
//! it once and leaves. A player plays until the stream has ended.

#![allow(clippy::disallowed_methods, reason = "a peer has a clock of its own")]

mod http;
mod peer;
mod picture;

use std::{error::Error, time::Duration};

use str0m::{
    format::Codec,
    media::{Direction, Frequency, MediaKind, MediaTime, Mid, Pt},
};

use crate::peer::{Got, Peer};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PICTURE: Duration = Duration::from_nanos(1_000_000_000 / 30);
const SOUND: Duration = Duration::from_millis(20);
/// 20 ms of silence in Opus, as encoders make it (RFC 6716 §3.1, configuration 31).
const SILENCE: [u8; 3] = [0xF8, 0xFF, 0xFE];
/// What is under way when the last of it was sent, and repeats of it.
const LINGER: Duration = Duration::from_millis(1_000);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let report = match arguments[..] {
        ["publish", url, path] => publish(url, &std::fs::read(path)?)?,
        ["play", url] => play(url)?,
        _ => return Err("publish URL FILE.h264 | play URL".into()),
    };
    println!("{report}");
    Ok(())
}

fn publish(url: &str, file: &[u8]) -> Result<serde_json::Value> {
    let mut peer = Peer::open(url, Direction::SendOnly)?;
    peer.go_on_until(|peer| peer.is_connected())?;
    let (picture, sound) =
        (peer.track(MediaKind::Video, Codec::H264)?, peer.track(MediaKind::Audio, Codec::Opus)?);
    let pictures: Vec<&[u8]> = picture::access_units(file).collect();
    let began = peer.elapsed();
    let (mut sent, mut sounds) = (0u32, 0u32);
    while (sent as usize) < pictures.len() {
        let (next_picture, next_sound) = (began + PICTURE * sent, began + SOUND * sounds);
        peer.go_on_for(next_picture.min(next_sound).saturating_sub(peer.elapsed()))?;
        if next_picture <= next_sound {
            let time = MediaTime::new(u64::from(sent) * 3_000, Frequency::NINETY_KHZ);
            peer.write(picture, time, pictures[sent as usize])?;
            sent += 1;
        } else {
            peer.write(sound, MediaTime::new(u64::from(sounds) * 960, Frequency::FORTY_EIGHT_KHZ), &SILENCE)?;
            sounds += 1;
        }
    }
    peer.go_on_for(LINGER)?;
    let keyframes_asked_for = peer.keyframes_asked_for;
    peer.leave()?;
    let slices: Vec<u64> = pictures.iter().flat_map(|unit| picture::slices(unit)).collect();
    Ok(serde_json::json!({
        "pictures": sent, "slices": slices, "sounds": sounds, "keyframes_asked_for": keyframes_asked_for,
    }))
}

fn play(url: &str) -> Result<serde_json::Value> {
    let mut peer = Peer::open(url, Direction::RecvOnly)?;
    peer.go_on_until(|peer| peer.is_over())?;
    let Got { pictures, slices, sounds, gaps } = &peer.got;
    Ok(serde_json::json!({"pictures": pictures, "slices": slices, "sounds": sounds, "gaps": gaps}))
}

/// Where frames of a track go.
type Track = (Mid, Pt);
