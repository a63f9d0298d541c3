//! The initialisation segment: `ftyp` and a `moov` that describes tracks and holds no sample.

use bytes::{BufMut, Bytes};

use super::{
    Error,
    boxes::{put_box, put_full_box},
    sample_entry::put_sample_entry,
    timescale,
};
use crate::{Timescale, Track, TrackKind};

/// The unity matrix of `mvhd` and `tkhd`: 16.16 and, in the last column, 2.30 fixed point (§6.2.2).
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// `ftyp` and `moov` for `tracks`, which get the MP4 track ids 1, 2, … in this order.
///
/// # Errors
/// [`Error::UnsupportedCodec`] for data tracks and VP8; [`Error::ShortConfig`] where a configuration record is needed
/// and not there.
pub fn init_segment(tracks: &[Track]) -> Result<Bytes, Error> {
    let mut entries = Vec::with_capacity(tracks.len());
    for track in tracks {
        let mut entry = Vec::with_capacity(256);
        put_sample_entry(&mut entry, &track.params)?;
        entries.push(entry);
    }
    let mut out = Vec::with_capacity(1024);
    put_box(&mut out, b"ftyp", |out| {
        out.put_slice(b"iso6"); // the brand that knows tfdt and signed composition offsets
        out.put_u32(0);
        out.put_slice(b"iso6");
        out.put_slice(b"mp41");
    });
    put_box(&mut out, b"moov", |out| {
        // Durations are those of the fragments.
        put_movie_header(out, Timescale::MILLIS, 0, tracks.len() as u32 + 1);
        for ((track, entry), id) in tracks.iter().zip(&entries).zip(1..) {
            let head = TrackHead { id, ..TrackHead::of(track) };
            put_track(out, &head, |_| {}, |out| put_empty_tables(out, entry));
        }
        put_box(out, b"mvex", |out| {
            for id in 1..=tracks.len() {
                put_track_extends(out, id as u32);
            }
        });
    });
    Ok(out.into())
}

/// What the boxes around a track's sample table say of it.
pub(in crate::container) struct TrackHead {
    /// Its number in the file, from 1.
    pub(in crate::container) id: u32,
    pub(in crate::container) kind: TrackKind,
    /// Width and height in pixels; zero for sound.
    pub(in crate::container) dimensions: (u32, u32),
    pub(in crate::container) timescale: Timescale,
    /// How long its samples last, in its own ticks; zero where fragments say it.
    pub(in crate::container) media_duration: u64,
    /// How long it is shown, in ticks of the movie.
    pub(in crate::container) shown_duration: u64,
}

impl TrackHead {
    fn of(track: &Track) -> Self {
        Self {
            id: 0,
            kind: track.kind(),
            dimensions: track.params.video().map_or((0, 0), |video| (video.width, video.height)),
            timescale: timescale(track),
            media_duration: 0,
            shown_duration: 0,
        }
    }
}

/// The version that has room for `duration` (0: 32 bits, 1: 64).
fn version_for(duration: u64) -> u8 {
    u8::from(duration >= u64::from(u32::MAX))
}

/// A field of 32 bits in version 0 of a box, of 64 in version 1.
pub(in crate::container) fn put_sized(out: &mut Vec<u8>, version: u8, value: u64) {
    match version {
        0 => out.put_u32(value as u32),
        _ => out.put_u64(value),
    }
}

/// `mvhd` (§8.2.2).
pub(in crate::container) fn put_movie_header(
    out: &mut Vec<u8>,
    timescale: Timescale,
    duration: u64,
    next_track_id: u32,
) {
    let version = version_for(duration);
    put_full_box(out, b"mvhd", version, 0, |out| {
        put_unknown_dates(out, version);
        out.put_u32(timescale.hz());
        put_sized(out, version, duration);
        out.put_u32(0x1_0000); // rate 1.0
        out.put_u16(0x100); // volume 1.0
        out.put_bytes(0, 10);
        put_matrix(out);
        out.put_bytes(0, 24);
        out.put_u32(next_track_id);
    });
}

/// When it was created and modified.
fn put_unknown_dates(out: &mut Vec<u8>, version: u8) {
    out.put_bytes(0, if version == 0 { 8 } else { 16 });
}

fn put_matrix(out: &mut Vec<u8>) {
    for value in MATRIX {
        out.put_u32(value);
    }
}

/// A `trak` with the boxes that `edits` and, in its `stbl`, `samples` write.
pub(in crate::container) fn put_track(
    out: &mut Vec<u8>,
    head: &TrackHead,
    edits: impl FnOnce(&mut Vec<u8>),
    samples: impl FnOnce(&mut Vec<u8>),
) {
    let version = version_for(head.media_duration);
    put_box(out, b"trak", |out| {
        put_track_header(out, head);
        edits(out);
        put_box(out, b"mdia", |out| {
            put_full_box(out, b"mdhd", version, 0, |out| {
                put_unknown_dates(out, version);
                out.put_u32(head.timescale.hz());
                put_sized(out, version, head.media_duration);
                out.put_u16(0x55C4); // language `und`, three letters of five bits
                out.put_u16(0);
            });
            put_handler(out, head.kind);
            put_box(out, b"minf", |out| {
                put_media_header(out, head.kind);
                put_box(out, b"stbl", samples);
            });
        });
    });
}

fn put_track_header(out: &mut Vec<u8>, head: &TrackHead) {
    let version = version_for(head.shown_duration);
    let (width, height) = head.dimensions;
    put_full_box(out, b"tkhd", version, 3, |out| {
        // flags: enabled, in the movie
        put_unknown_dates(out, version);
        out.put_u32(head.id);
        out.put_u32(0);
        put_sized(out, version, head.shown_duration);
        out.put_u64(0);
        out.put_u32(0); // layer, alternate group
        out.put_u16(if head.kind == TrackKind::Audio { 0x100 } else { 0 });
        out.put_u16(0);
        put_matrix(out);
        out.put_u32(width.min(0xFFFF) << 16);
        out.put_u32(height.min(0xFFFF) << 16);
    });
}

fn put_handler(out: &mut Vec<u8>, kind: TrackKind) {
    let (handler, name): (&[u8; 4], &[u8]) = match kind {
        TrackKind::Audio => (b"soun", b"Audio\0"),
        TrackKind::Video | TrackKind::Data => (b"vide", b"Video\0"),
    };
    put_full_box(out, b"hdlr", 0, 0, |out| {
        out.put_u32(0);
        out.put_slice(handler);
        out.put_bytes(0, 12);
        out.put_slice(name);
    });
}

fn put_media_header(out: &mut Vec<u8>, kind: TrackKind) {
    match kind {
        TrackKind::Audio => put_full_box(out, b"smhd", 0, 0, |out| out.put_u32(0)),
        TrackKind::Video | TrackKind::Data => put_full_box(out, b"vmhd", 0, 1, |out| out.put_u64(0)),
    }
    put_box(out, b"dinf", |out| {
        put_full_box(out, b"dref", 0, 0, |out| {
            out.put_u32(1);
            put_full_box(out, b"url ", 0, 1, |_| {}); // flag: the media is in this file
        });
    });
}

/// A sample table that leaves it to fragments to tell of samples.
fn put_empty_tables(out: &mut Vec<u8>, sample_entry: &[u8]) {
    put_full_box(out, b"stsd", 0, 0, |out| {
        out.put_u32(1);
        out.put_slice(sample_entry);
    });
    put_full_box(out, b"stts", 0, 0, |out| out.put_u32(0));
    put_full_box(out, b"stsc", 0, 0, |out| out.put_u32(0));
    put_full_box(out, b"stsz", 0, 0, |out| out.put_u64(0));
    put_full_box(out, b"stco", 0, 0, |out| out.put_u32(0));
}

fn put_track_extends(out: &mut Vec<u8>, id: u32) {
    put_full_box(out, b"trex", 0, 0, |out| {
        out.put_u32(id);
        out.put_u32(1); // the only sample entry
        out.put_bytes(0, 12); // duration, size and flags come with each fragment
    });
}
