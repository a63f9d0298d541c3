//! Segments as they are kept: their names, what is in them, and whether it is whole.
//!
//! A recording is a folder of immutable CMAF files whose names carry what their bytes do not say ([`name`]). What the bytes say is found by [`scan`]:
//! the parts of a segment, their times, which are independent. [`index`] writes that down, one line per segment, as a cache that can be made anew at any
//! time; [`end`] is the last word on a recording; [`verify`] compares all of it, and says how to repair what a crash left behind.
//!
//! Everything works on bytes and names: whoever has them (a disk, an object store) brings them. Nothing here is trusted, since files outlive programs.
//!
//! Source: ISO/IEC 14496-12 §8.8 (fragments); the layout is `docs/adr/0012-segment-store.md`.

pub mod checksum;
pub mod end;
pub mod index;
pub mod name;
pub mod scan;
pub mod verify;

pub use self::{
    checksum::Crc32c,
    end::End,
    index::{Index, SegmentRecord},
    name::{InitName, Join, MediaName, RecordingId, SegmentName},
    scan::{InitInfo, InitTrack, PartRecord, Scan, scan},
};
