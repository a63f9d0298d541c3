//! Opening a file and reading its frames in order.

use std::{
    io::{Read, Seek, SeekFrom},
    time::Duration,
};

use bytes::{Buf, Bytes};

use super::{
    Error, Limits,
    boxes::{self, FourCc, Header, MAX_HEADER_BYTES},
    fragment::{self, Defaults},
    table::Sample,
    track::TrackReader,
};
use crate::{
    Codec, Frame, Timestamp, Track, TrackId, TrackKind, Tracks,
    codec::{self, nal},
};

/// Bytes at the front of a frame that hold its header.
const HEADER_BYTES: u32 = 64;

/// Reads the frames of an MP4 file in decoding order.
///
/// Times are the file's own, moved as its edit lists say: frames that only prepare the decoder (AAC priming) come
/// before zero, and so does the decoding of reordered video.
///
/// ```no_run
/// use std::fs::File;
/// use cruvz_media::container::mp4::{Limits, Reader};
///
/// let mut reader = Reader::open(File::open("clip.mp4")?, Limits::default())?;
/// while let Some(frame) = reader.next_frame()? {
///     println!("{} {} {} bytes", frame.track, frame.pts, frame.payload.len());
/// }
/// # Ok::<(), cruvz_media::container::mp4::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    file: File<R>,
    limits: Limits,
    tracks: Tracks,
    /// In the order of `tracks`.
    readers: Vec<TrackReader>,
    duration: Option<Duration>,
    /// Where fragments may begin, in a file that has them.
    fragments_at: Option<u64>,
    /// Where to look for the next fragment.
    next_box: Option<u64>,
}

/// A source of bytes of known length, which does not seek to where it is.
#[derive(Debug)]
struct File<R> {
    source: R,
    position: u64,
    len: u64,
}

impl<R: Read + Seek> Reader<R> {
    /// Opens `source` and reads what it says of its tracks.
    ///
    /// # Errors
    /// [`Error::Missing`] when it is no MP4 file or holds no track that can be read, and any other [`Error`] for
    /// one that contradicts itself.
    pub fn open(source: R, limits: Limits) -> Result<Self, Error> {
        let mut file = File::new(source)?;
        let moov = file.find(b"moov", 0, &limits)?.ok_or(Error::Missing("movie (moov)"))?;
        let header = MovieHeader::parse(&moov.body)?;
        let mut readers = track_readers(&moov.body, &header, &limits)?;
        let mvex = boxes::find(&moov.body, b"mvex")?;
        if let Some(mvex) = &mvex {
            extend(mvex, &mut readers)?;
        }
        let (tracks, readers) = name_tracks(readers);
        let fragments_at = mvex.is_some().then_some(moov.end);
        let duration = duration(&readers, &header, mvex.as_ref())?;
        let mut reader =
            Self { file, limits, tracks, readers, duration, fragments_at, next_box: fragments_at };
        reader.ask_frames()?;
        Ok(reader)
    }

    /// The tracks that frames come from: the first video is [`TrackId::VIDEO`], the first audio [`TrackId::AUDIO`],
    /// further ones are numbered from 4.
    pub const fn tracks(&self) -> &Tracks {
        &self.tracks
    }

    /// How long the file plays, if it says so; fragmented files need not.
    pub const fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// The next frame in decoding order across tracks, or `None` at the end.
    ///
    /// # Errors
    /// [`Error`] when the file cannot be read, or lies about this frame. The frame is then passed over, and the
    /// next call goes on behind it.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            self.read_fragments()?;
            let heads = self.readers.iter_mut().enumerate().filter_map(|(index, reader)| {
                let sample = reader.peek()?;
                Some((Timestamp::new(sample.dts, reader.timescale), index, sample))
            });
            let Some((dts, index, sample)) = heads.min_by_key(|&(dts, index, _)| (dts, index)) else {
                return Ok(None);
            };
            self.readers[index].advance();
            // A picture may be nothing but NAL units of no length.
            if sample.bytes > 0
                && let frame = self.frame(index, dts, sample)?
                && !frame.payload.is_empty()
            {
                return Ok(Some(frame));
            }
        }
    }

    /// Goes back to the first frame.
    pub fn rewind(&mut self) {
        self.readers.iter_mut().for_each(TrackReader::rewind);
        self.next_box = self.fragments_at;
    }

    /// Learns from the first frame what a track is whose codec has no record, and whose sample entry is known to lie:
    /// writers state two channels for any MP3.
    fn ask_frames(&mut self) -> Result<(), Error> {
        let mut tracks = self.tracks.to_vec();
        for (index, track) in tracks.iter_mut().enumerate() {
            if !matches!(track.params.codec, Codec::Mp3 | Codec::Vp8) {
                continue;
            }
            self.read_fragments()?;
            let Some(first) = self.readers[index].peek() else { continue };
            let bytes = first.bytes.min(HEADER_BYTES);
            if first.offset.checked_add(bytes.into()).is_some_and(|end| end <= self.file.len) {
                let header = self.file.read(first.offset, bytes as usize)?;
                track.params =
                    codec::parse(track.params.codec, header).unwrap_or_else(|_| track.params.clone());
            }
        }
        self.tracks = Tracks::new(tracks);
        Ok(())
    }

    /// Reads fragments until each track shows its next sample, so that the earliest is known.
    fn read_fragments(&mut self) -> Result<(), Error> {
        while let Some(from) = self.next_box {
            let waiting = self.readers.iter_mut().any(|reader| reader.peek().is_none());
            let pending: usize = self.readers.iter().map(TrackReader::pending).sum();
            if !waiting || pending >= self.limits.max_pending_frames {
                return Ok(());
            }
            // On an error there is nothing to go on from.
            self.next_box = None;
            if let Some(moof) = self.file.find(b"moof", from, &self.limits)? {
                fragment::read(moof.body, moof.start, &mut self.readers, &self.limits)?;
                self.next_box = Some(moof.end);
            }
        }
        Ok(())
    }

    fn frame(&mut self, index: usize, dts: Timestamp, sample: Sample) -> Result<Frame, Error> {
        let (reader, track) = (&self.readers[index], &self.tracks[index]);
        let limit = self.limits.max_frame_bytes;
        if sample.bytes > limit {
            return Err(Error::Limit {
                what: "frame bytes",
                value: sample.bytes.into(),
                limit: limit.into(),
            });
        }
        let (offset, bytes, file_bytes) = (sample.offset, sample.bytes, self.file.len);
        if offset.checked_add(bytes.into()).is_none_or(|end| end > file_bytes) {
            return Err(Error::OutsideFile { offset, bytes, file_bytes });
        }
        let payload = self.file.read(offset, bytes as usize)?;
        let payload = nal::to_four_byte_lengths(payload, reader.description.nal_length_bytes)
            .map_err(|source| Error::Codec { track: reader.number, source })?;
        let pts = dts.saturating_add_ticks(sample.composition);
        Ok(Frame { track: track.id, pts, dts, keyframe: sample.keyframe, payload })
    }
}

/// A box at the top level of the file.
struct TopBox {
    start: u64,
    end: u64,
    body: Bytes,
}

impl<R: Read + Seek> File<R> {
    fn new(mut source: R) -> Result<Self, Error> {
        let len = source.seek(SeekFrom::End(0))?;
        Ok(Self { source, position: len, len })
    }

    /// `bytes` bytes at `offset`; the caller has checked that the file has them and that memory for them is allowed.
    fn read(&mut self, offset: u64, bytes: usize) -> Result<Bytes, Error> {
        if self.position != offset {
            self.position = self.source.seek(SeekFrom::Start(offset))?;
        }
        let mut data = vec![0; bytes];
        // After a failure the position is not known.
        self.position = u64::MAX;
        self.source.read_exact(&mut data)?;
        self.position = offset + bytes as u64;
        Ok(data.into())
    }

    /// The first box called `name` at or after `from`. What breaks off at the end of the file is no box.
    fn find(&mut self, name: &[u8; 4], from: u64, limits: &Limits) -> Result<Option<TopBox>, Error> {
        let mut start = from;
        for _ in 0..=limits.max_skipped_boxes {
            let left = self.len.saturating_sub(start);
            if left < 8 {
                return Ok(None);
            }
            let head = self.read(start, left.min(MAX_HEADER_BYTES as u64) as usize)?;
            let header = match Header::parse(&head, left) {
                // A recording that was cut short ends in its media data.
                Err(Error::BoxSize { name: FourCc([b'm', b'd', b'a', b't']), .. }) => return Ok(None),
                header => header?,
            };
            let body = start + header.header_bytes;
            let end = body + header.body_bytes;
            if header.name.0 != *name {
                start = end;
                continue;
            }
            let (value, limit) = (header.body_bytes, limits.max_moov_bytes);
            if value > limit {
                return Err(Error::Limit { what: "bytes of a moov or moof box", value, limit });
            }
            let body = self.read(body, value as usize)?;
            return Ok(Some(TopBox { start, end, body }));
        }
        let limit = limits.max_skipped_boxes.into();
        Err(Error::Limit { what: "boxes in a row that hold no media", value: limit + 1, limit })
    }
}

/// What holds for the whole file (mvhd, ISO/IEC 14496-12 §8.2.2).
struct MovieHeader {
    timescale: u32,
    duration: u64,
}

impl MovieHeader {
    fn parse(moov: &Bytes) -> Result<Self, Error> {
        let mut mvhd = boxes::require(moov, b"mvhd", "movie header (mvhd)")?;
        let (version, _) = boxes::version_and_flags(&mut mvhd)?;
        boxes::take(&mut mvhd, if version == 0 { 8 } else { 16 })?; // created, modified
        let timescale = mvhd.try_get_u32()?;
        Ok(Self { timescale, duration: boxes::sized(&mut mvhd, version)? })
    }

    fn to_duration(&self, ticks: u64) -> Option<Duration> {
        let scale = u64::from(self.timescale);
        // All ones: unknown.
        if ticks == 0 || scale == 0 || ticks == u64::MAX || ticks == u64::from(u32::MAX) {
            return None;
        }
        let nanos = ticks % scale * 1_000_000_000 / scale;
        Some(Duration::new(ticks / scale, u32::try_from(nanos).ok()?))
    }
}

fn track_readers(moov: &Bytes, header: &MovieHeader, limits: &Limits) -> Result<Vec<TrackReader>, Error> {
    let mut readers = Vec::new();
    for child in boxes::children(moov.clone()) {
        let (name, body) = child?;
        if name.0 == *b"trak" && readers.len() < limits.max_tracks {
            readers.extend(TrackReader::parse(&body, header.timescale)?);
        }
    }
    if readers.is_empty() {
        return Err(Error::Missing("track of a known codec"));
    }
    Ok(readers)
}

/// Reads what an `mvex` body says of the tracks' fragments.
pub(super) fn extend(mvex: &Bytes, readers: &mut [TrackReader]) -> Result<(), Error> {
    for child in boxes::children(mvex.clone()) {
        let (name, body) = child?;
        if name.0 == *b"trex" {
            let (number, defaults) = Defaults::parse(body)?;
            readers.iter_mut().filter(|it| it.number == number).for_each(|it| it.defaults = defaults);
        }
    }
    Ok(())
}

/// Gives each track its id; the readers come back in the order of the ids.
fn name_tracks(readers: Vec<TrackReader>) -> (Tracks, Vec<TrackReader>) {
    let mut further = TrackId::DATA.0;
    let mut taken = Vec::new();
    let mut named: Vec<(Track, TrackReader)> = readers
        .into_iter()
        .map(|reader| {
            let usual = if reader.kind() == TrackKind::Video { TrackId::VIDEO } else { TrackId::AUDIO };
            let id = if taken.contains(&usual) {
                further += 1;
                TrackId(further)
            } else {
                taken.push(usual);
                usual
            };
            (Track { id, timescale: reader.timescale, params: reader.description.params.clone() }, reader)
        })
        .collect();
    named.sort_by_key(|(track, _)| track.id);
    let (tracks, readers) = named.into_iter().unzip();
    (Tracks::new(tracks), readers)
}

/// How long the file plays: what the header of its fragments or of the movie says, or its longest track.
fn duration(
    readers: &[TrackReader],
    header: &MovieHeader,
    mvex: Option<&Bytes>,
) -> Result<Option<Duration>, Error> {
    if let Some(mvex) = mvex {
        let Some(mut mehd) = boxes::find(mvex, b"mehd")? else {
            return Ok(header.to_duration(header.duration));
        };
        let (version, _) = boxes::version_and_flags(&mut mehd)?;
        return Ok(header.to_duration(boxes::sized(&mut mehd, version)?));
    }
    let end = |reader: &TrackReader| Timestamp::new(reader.table_end(), reader.timescale);
    let end = readers.iter().map(end).max();
    Ok(end.map(|end| end.duration_since(Timestamp::ZERO)).filter(|duration| !duration.is_zero()))
}
