//! The initialisation segment: `ftyp` and a `moov` that describes tracks and holds no sample.

use bytes::{BufMut, Bytes};

use super::{
    Error,
    boxes::{put_box, put_full_box},
    sample_entry::put_sample_entry,
    timescale,
};
use crate::{Track, TrackKind};

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
        put_movie_header(out, tracks.len());
        for ((track, entry), id) in tracks.iter().zip(&entries).zip(1..) {
            put_track(out, id, track, entry);
        }
        put_box(out, b"mvex", |out| {
            for id in 1..=tracks.len() {
                put_track_extends(out, id as u32);
            }
        });
    });
    Ok(out.into())
}

fn put_movie_header(out: &mut Vec<u8>, tracks: usize) {
    put_full_box(out, b"mvhd", 0, 0, |out| {
        out.put_bytes(0, 8); // created, modified: unknown
        out.put_u32(1_000);
        out.put_u32(0); // duration: that of the fragments
        out.put_u32(0x1_0000); // rate 1.0
        out.put_u16(0x100); // volume 1.0
        out.put_bytes(0, 10);
        put_matrix(out);
        out.put_bytes(0, 24);
        out.put_u32(tracks as u32 + 1);
    });
}

fn put_matrix(out: &mut Vec<u8>) {
    for value in MATRIX {
        out.put_u32(value);
    }
}

fn put_track(out: &mut Vec<u8>, id: u32, track: &Track, sample_entry: &[u8]) {
    put_box(out, b"trak", |out| {
        put_track_header(out, id, track);
        put_box(out, b"mdia", |out| {
            put_full_box(out, b"mdhd", 0, 0, |out| {
                out.put_bytes(0, 8);
                out.put_u32(timescale(track).hz());
                out.put_u32(0);
                out.put_u16(0x55C4); // language `und`, three letters of five bits
                out.put_u16(0);
            });
            put_handler(out, track.kind());
            put_box(out, b"minf", |out| put_media_information(out, track.kind(), sample_entry));
        });
    });
}

fn put_track_header(out: &mut Vec<u8>, id: u32, track: &Track) {
    let (width, height) = track.params.video().map_or((0, 0), |video| (video.width, video.height));
    put_full_box(out, b"tkhd", 0, 3, |out| {
        // flags: enabled, in the movie
        out.put_bytes(0, 8);
        out.put_u32(id);
        out.put_bytes(0, 16); // reserved, duration, reserved
        out.put_u32(0); // layer, alternate group
        out.put_u16(if track.kind() == TrackKind::Audio { 0x100 } else { 0 });
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

fn put_media_information(out: &mut Vec<u8>, kind: TrackKind, sample_entry: &[u8]) {
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
    put_box(out, b"stbl", |out| {
        put_full_box(out, b"stsd", 0, 0, |out| {
            out.put_u32(1);
            out.put_slice(sample_entry);
        });
        put_full_box(out, b"stts", 0, 0, |out| out.put_u32(0));
        put_full_box(out, b"stsc", 0, 0, |out| out.put_u32(0));
        put_full_box(out, b"stsz", 0, 0, |out| out.put_u64(0));
        put_full_box(out, b"stco", 0, 0, |out| out.put_u32(0));
    });
}

fn put_track_extends(out: &mut Vec<u8>, id: u32) {
    put_full_box(out, b"trex", 0, 0, |out| {
        out.put_u32(id);
        out.put_u32(1); // the only sample entry
        out.put_bytes(0, 12); // duration, size and flags come with each fragment
    });
}
