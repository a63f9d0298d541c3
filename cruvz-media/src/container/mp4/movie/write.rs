//! The head of a movie: `ftyp`, `moov` and the head of `mdat`.

use std::time::Duration;

use bytes::{BufMut, Bytes};

use super::lane::Shown;
use crate::{
    Timescale, Timestamp, TrackKind,
    container::{
        cmaf::{
            boxes::{put_box, put_full_box},
            init::{TrackHead, put_movie_header, put_sized, put_track},
        },
        mp4::FourCc,
    },
};

/// What the largest size of a box, or offset, is that 32 bits have room for.
const MAX_32: u64 = u32::MAX as u64;

/// A box of `name` with `body`.
pub(super) fn boxed(name: FourCc, body: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(8 + body.len());
    put_box(&mut out, &name.0, |out| out.put_slice(body));
    out.into()
}

/// Everything in front of `media_bytes` bytes of media, and how long the movie plays.
pub(super) fn head(tracks: &mut [Shown<'_>], media_bytes: u64) -> (Bytes, Duration) {
    // The movie's clock is that of the pictures, so that edits can name each.
    let scale = tracks.iter().find(|track| track.lane.kind == TrackKind::Video).unwrap_or(&tracks[0]);
    let scale = scale.lane.timescale();
    let wide = media_bytes.saturating_add(64 << 20) > MAX_32;
    let mut out = Vec::new();
    put_file_type(&mut out);
    let moov_at = out.len();
    let duration = put_movie(&mut out, tracks, scale, wide);
    let media_at = out.len() as u64 + if wide { 16 } else { 8 };
    // Offsets of the media are known now, and what was written is as long with them.
    for chunk in tracks.iter_mut().flat_map(|track| &mut track.chunks) {
        chunk.start += media_at;
    }
    out.truncate(moov_at);
    put_movie(&mut out, tracks, scale, wide);
    if wide {
        out.put_u32(1);
        out.put_slice(b"mdat");
        out.put_u64(16 + media_bytes);
    } else {
        out.put_u32((8 + media_bytes) as u32);
        out.put_slice(b"mdat");
    }
    (
        out.into(),
        Timestamp::new(i64::try_from(duration).unwrap_or(i64::MAX), scale).duration_since(Timestamp::ZERO),
    )
}

fn put_file_type(out: &mut Vec<u8>) {
    put_box(out, b"ftyp", |out| {
        out.put_slice(b"isom");
        out.put_u32(0x200);
        for brand in [b"isom", b"iso6", b"mp41", b"mp42"] {
            out.put_slice(brand);
        }
    });
}

/// `moov`, and how long it says the movie is, in ticks of `scale`.
fn put_movie(out: &mut Vec<u8>, tracks: &[Shown<'_>], scale: Timescale, wide: bool) -> u64 {
    let ends = tracks.iter().map(|track| in_movie(track, track.delay + track.duration, scale));
    let duration = ends.max().unwrap_or(0);
    put_box(out, b"moov", |out| {
        put_movie_header(out, scale, duration, tracks.len() as u32 + 1);
        for (id, track) in (1..).zip(tracks) {
            let head = TrackHead {
                id,
                kind: track.lane.kind,
                dimensions: track.lane.dimensions(),
                timescale: track.lane.timescale(),
                media_duration: track.media_duration(),
                shown_duration: in_movie(track, track.delay + track.duration, scale),
            };
            put_track(out, &head, |out| put_edits(out, track, scale), |out| put_tables(out, track, wide));
        }
    });
    duration
}

/// Ticks of a track in ticks of the movie.
fn in_movie(track: &Shown<'_>, ticks: u64, scale: Timescale) -> u64 {
    let ticks = Timestamp::new(i64::try_from(ticks).unwrap_or(i64::MAX), track.lane.timescale());
    u64::try_from(ticks.rescale(scale).ticks()).unwrap_or(0)
}

/// `edts` (§8.6.6): nothing until the track begins, then what is shown of it.
fn put_edits(out: &mut Vec<u8>, track: &Shown<'_>, scale: Timescale) {
    let delay = in_movie(track, track.delay, scale);
    let duration = in_movie(track, track.duration, scale);
    let version = u8::from(delay.max(duration) > MAX_32 || track.media_time > i32::MAX as u64);
    let mut edits = Vec::with_capacity(2);
    if delay > 0 {
        edits.push((delay, u64::MAX));
    }
    edits.push((duration, track.media_time));
    put_box(out, b"edts", |out| {
        put_full_box(out, b"elst", version, 0, |out| {
            out.put_u32(edits.len() as u32);
            for (duration, media_time) in edits {
                put_sized(out, version, duration);
                put_sized(out, version, media_time);
                out.put_u32(0x1_0000); // rate 1.0
            }
        });
    });
}

fn put_tables(out: &mut Vec<u8>, track: &Shown<'_>, wide: bool) {
    put_full_box(out, b"stsd", 0, 0, |out| {
        out.put_u32(track.lane.entries().len() as u32);
        track.lane.entries().iter().for_each(|entry| out.put_slice(entry));
    });
    put_runs(out, b"stts", track.durations());
    let shifted = |sample: &super::lane::Sample| sample.composition().saturating_add(track.shift) as u32;
    if track.samples.iter().any(|sample| shifted(sample) != 0) {
        put_runs(out, b"ctts", track.samples.iter().map(shifted));
    }
    if !track.samples.iter().all(super::lane::Sample::is_keyframe) {
        let keyframes = (1..).zip(track.samples).filter(|(_, sample)| sample.is_keyframe());
        put_rows(out, b"stss", keyframes, |out, (number, _)| out.put_u32(number));
    }
    put_chunk_runs(out, track);
    put_full_box(out, b"stsz", 0, 0, |out| {
        out.put_u32(0); // of different sizes
        out.put_u32(track.samples.len() as u32);
        track.samples.iter().for_each(|sample| out.put_u32(sample.bytes()));
    });
    if wide {
        put_rows(out, b"co64", track.chunks.iter(), |out, chunk| out.put_u64(chunk.start));
    } else {
        put_rows(out, b"stco", track.chunks.iter(), |out, chunk| out.put_u32(chunk.start as u32));
    }
}

/// `stsc` (§8.7.4): how many samples chunks have, and of which description.
fn put_chunk_runs(out: &mut Vec<u8>, track: &Shown<'_>) {
    let mut last = None;
    let runs = (1_u32..).zip(&track.chunks).filter(|(_, chunk)| {
        let run = Some((chunk.samples, chunk.entry));
        std::mem::replace(&mut last, run) != run
    });
    put_rows(out, b"stsc", runs, |out, (number, chunk)| {
        out.put_u32(number);
        out.put_u32(chunk.samples);
        out.put_u32(chunk.entry);
    });
}

/// A table of runs: how often in a row, and which value.
fn put_runs(out: &mut Vec<u8>, name: &[u8; 4], values: impl Iterator<Item = u32>) {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((count, last)) if *last == value => *count += 1,
            _ => runs.push((1, value)),
        }
    }
    put_rows(out, name, runs.into_iter(), |out, (count, value)| {
        out.put_u32(count);
        out.put_u32(value);
    });
}

/// A full box of a count and that many rows.
fn put_rows<T>(
    out: &mut Vec<u8>,
    name: &[u8; 4],
    rows: impl Iterator<Item = T>,
    put: impl Fn(&mut Vec<u8>, T),
) {
    put_full_box(out, name, 0, 0, |out| {
        let count_at = out.len();
        out.put_u32(0);
        let mut count = 0_u32;
        for row in rows {
            put(out, row);
            count += 1;
        }
        out[count_at..count_at + 4].copy_from_slice(&count.to_be_bytes());
    });
}
