//! Movie fragments (moof, ISO/IEC 14496-12 §8.8).

use bytes::{Buf, Bytes};

use super::{Error, Limits, boxes, table::Sample, track::TrackReader};
use crate::TrackKind;

/// What holds for a track's samples where a fragment says nothing (trex §8.8.3, then tfhd §8.8.7).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    duration: u32,
    bytes: u32,
    flags: u32,
}

impl Defaults {
    /// The track's number and its defaults, from a `trex` body.
    pub(super) fn parse(mut trex: Bytes) -> Result<(u32, Self), Error> {
        boxes::version_and_flags(&mut trex)?;
        let number = trex.try_get_u32()?;
        trex.try_get_u32()?; // sample description
        let (duration, bytes, flags) = (trex.try_get_u32()?, trex.try_get_u32()?, trex.try_get_u32()?);
        Ok((number, Self { duration, bytes, flags }))
    }
}

/// Appends the samples that a `moof` body tells of to their tracks. `start` is where its box begins in the file.
pub(super) fn read(
    moof: Bytes,
    start: u64,
    tracks: &mut [TrackReader],
    limits: &Limits,
) -> Result<(), Error> {
    // Without an offset of its own, a track's data follows that of the track before it (§8.8.7.1).
    let mut data_end = start;
    for child in boxes::children(moof) {
        let (name, traf) = child?;
        if name.0 == *b"traf" {
            data_end = read_track(&traf, start, data_end, tracks, limits)?;
        }
    }
    Ok(())
}

/// Reads a `traf` body and returns where its data ends.
fn read_track(
    traf: &Bytes,
    start: u64,
    data_end: u64,
    tracks: &mut [TrackReader],
    limits: &Limits,
) -> Result<u64, Error> {
    let mut tfhd = boxes::require(traf, b"tfhd", "track fragment header (tfhd)")?;
    let (_, flags) = boxes::version_and_flags(&mut tfhd)?;
    let number = tfhd.try_get_u32()?;
    let Some(track) = tracks.iter_mut().find(|track| track.number == number) else { return Ok(data_end) };
    let mut defaults = track.defaults;
    let base = match flags {
        flags if flags & 0x1 != 0 => tfhd.try_get_u64()?,
        flags if flags & 0x2_0000 != 0 => start,
        _ => data_end,
    };
    if flags & 0x2 != 0 && tfhd.try_get_u32()? > 1 {
        return Err(Error::Unsupported("several sample descriptions in one track"));
    }
    for (flag, default) in
        [(0x8, &mut defaults.duration), (0x10, &mut defaults.bytes), (0x20, &mut defaults.flags)]
    {
        if flags & flag != 0 {
            *default = tfhd.try_get_u32()?;
        }
    }
    if let Some(mut tfdt) = boxes::find(traf, b"tfdt")? {
        let (version, _) = boxes::version_and_flags(&mut tfdt)?;
        let time = boxes::sized(&mut tfdt, version)?;
        track.next_dts = i64::try_from(time).map_err(|_| Error::Time(time))?;
    }
    let mut at = base;
    for child in boxes::children(traf.clone()) {
        let (name, trun) = child?;
        if name.0 == *b"trun" {
            at = read_run(trun, base, at, track, &defaults, limits)?;
        }
    }
    Ok(at)
}

/// Reads a `trun` body (§8.8.8) and returns where its data ends.
fn read_run(
    mut trun: Bytes,
    base: u64,
    mut at: u64,
    track: &mut TrackReader,
    defaults: &Defaults,
    limits: &Limits,
) -> Result<u64, Error> {
    let (_, flags) = boxes::version_and_flags(&mut trun)?;
    let samples = trun.try_get_u32()?;
    let (pending, limit) = (track.pending() as u64 + u64::from(samples), limits.max_pending_frames as u64);
    if pending > limit {
        return Err(Error::Limit { what: "pending frames of a track", value: pending, limit });
    }
    if flags & 0x1 != 0 {
        at = base
            .checked_add_signed(trun.try_get_i32()?.into())
            .ok_or(Error::Missing("place for a fragment"))?;
    }
    let first_flags = if flags & 0x4 != 0 { Some(trun.try_get_u32()?) } else { None };
    for index in 0..samples {
        let mut field = |flag, default| if flags & flag != 0 { trun.try_get_u32() } else { Ok(default) };
        let duration = field(0x100, defaults.duration)?;
        let bytes = field(0x200, defaults.bytes)?;
        let own_flags = field(0x400, first_flags.filter(|_| index == 0).unwrap_or(defaults.flags))?;
        // Version 0 says unsigned, but offsets that large are negative ones of careless writers.
        let composition = i64::from(field(0x800, 0)? as i32);
        // Bit 16: this is no sync sample (§8.8.3.1). Audio may carry anything there.
        let keyframe = own_flags & 0x1_0000 == 0 || track.kind() == TrackKind::Audio;
        track.push(Sample { offset: at, bytes, dts: track.next_dts, composition, keyframe });
        track.next_dts = track.next_dts.saturating_add(duration.into());
        at = at.saturating_add(bytes.into());
    }
    Ok(at)
}
