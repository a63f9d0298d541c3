//! Any media file that we can read, opened by what is in it rather than by its name.
//!
//! [`Reader`] gives the frames of an MP4, FLV or MPEG-TS file in decoding order; [`Loop`] strings passes over a file together
//! into one endless timeline. Neither looks at a clock: whoever plays a file live paces the frames by their `dts`.

mod flv;
mod mpegts;
mod repeat;

use std::{
    io::{Read, Seek, SeekFrom},
    time::Duration,
};

pub use self::repeat::Loop;
use super::{flv as flv_format, mp4, mpegts as ts_format};
use crate::{Frame, Tracks};

/// Bytes looked at to tell the format: a few packets of MPEG-TS.
const HEAD_BYTES: u64 = 1_024;

/// What a [`Reader`] accepts from a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// For FLV: what stands in the file.
    pub flv: flv_format::file::Limits,
    /// For FLV: what its tags may make the reader keep.
    pub flv_tracks: flv_format::Limits,
    /// For MP4.
    pub mp4: mp4::Limits,
    /// For MPEG-TS.
    pub mpegts: ts_format::Limits,
}

/// Why a file, or the rest of it, cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The structure of the FLV file is broken.
    #[error(transparent)]
    Flv(#[from] flv_format::file::Error),
    /// A tag of the FLV file is broken.
    #[error(transparent)]
    FlvTag(#[from] flv_format::Error),
    /// Reading or seeking failed.
    #[error("cannot read the file: {0}")]
    Io(#[from] std::io::Error),
    /// The MP4 file is broken.
    #[error(transparent)]
    Mp4(#[from] mp4::Error),
    /// Packets of the MPEG-TS file are missing or damaged here; reading goes on behind them.
    #[error("packets are missing or damaged; {damage} so far")]
    MpegTs {
        /// Packets found missing and access units dropped, since the beginning of the file.
        damage: u64,
    },
    /// There is nothing to play.
    #[error("the file holds no audio or video of a known codec")]
    NoTracks,
    /// It is none of MP4, FLV and MPEG-TS.
    #[error("neither MP4, FLV nor MPEG-TS: the file begins with \"{}\"", .0.escape_ascii())]
    UnknownFormat(Vec<u8>),
}

/// Reads the frames of a media file.
///
/// ```no_run
/// use std::fs::File;
/// use cruvz_media::container::file::{Limits, Reader};
///
/// let mut reader = Reader::open(File::open("clip.mp4")?, Limits::default())?;
/// println!("{} tracks, {:?}", reader.tracks().len(), reader.duration());
/// while let Some(frame) = reader.next_frame()? {
///     println!("{} {} {} bytes", frame.track, frame.pts, frame.payload.len());
/// }
/// # Ok::<(), cruvz_media::container::file::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader<R>(Format<R>);

#[derive(Debug)]
enum Format<R> {
    Flv(Box<flv::Reader<R>>),
    Mp4(Box<mp4::Reader<R>>),
    MpegTs(Box<mpegts::Reader<R>>),
}

impl<R: Read + Seek> Reader<R> {
    /// Opens `source`, whatever format it turns out to be.
    ///
    /// # Errors
    /// [`Error::UnknownFormat`], [`Error::NoTracks`], or what is wrong with the file.
    pub fn open(mut source: R, limits: Limits) -> Result<Self, Error> {
        source.seek(SeekFrom::Start(0))?;
        let mut head = Vec::new();
        source.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
        let format = match &head[..] {
            [b'F', b'L', b'V', ..] => Format::Flv(Box::new(flv::Reader::open(source, &limits)?)),
            // The boxes that may come first (ISO/IEC 14496-12 §4.3; without ftyp in old QuickTime files).
            [_, _, _, _, b'f', b't', b'y', b'p', ..]
            | [_, _, _, _, b'm', b'o', b'o', b'v', ..]
            | [_, _, _, _, b'm', b'd', b'a', b't', ..]
            | [_, _, _, _, b'w', b'i', b'd', b'e', ..]
            | [_, _, _, _, b's', b'k', b'i', b'p', ..] => {
                Format::Mp4(Box::new(mp4::Reader::open(source, limits.mp4)?))
            }
            head if ts_format::is_stream(head) => {
                Format::MpegTs(Box::new(mpegts::Reader::open(source, &limits)?))
            }
            _ => {
                head.truncate(8);
                return Err(Error::UnknownFormat(head));
            }
        };
        Ok(Self(format))
    }

    /// The tracks as of the last frame. In FLV and MPEG-TS files they may change on the way; compare with [`Tracks::same`].
    pub fn tracks(&self) -> &Tracks {
        match &self.0 {
            Format::Flv(reader) => reader.tracks(),
            Format::Mp4(reader) => reader.tracks(),
            Format::MpegTs(reader) => reader.tracks(),
        }
    }

    /// How long the file plays, if that can be told without reading it all.
    pub fn duration(&self) -> Option<Duration> {
        match &self.0 {
            Format::Flv(reader) => reader.duration(),
            Format::Mp4(reader) => reader.duration(),
            Format::MpegTs(reader) => reader.duration(),
        }
    }

    /// The next frame in decoding order, or `None` at the end.
    ///
    /// # Errors
    /// [`Error`] when the file is broken here; the next call goes on behind the break where that is possible, and
    /// says `None` where it is not.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        match &mut self.0 {
            Format::Flv(reader) => reader.next_frame(),
            Format::Mp4(reader) => Ok(reader.next_frame()?),
            Format::MpegTs(reader) => reader.next_frame(),
        }
    }

    /// Goes back to the first frame.
    ///
    /// # Errors
    /// [`Error::Io`] when the source cannot seek.
    pub fn rewind(&mut self) -> Result<(), Error> {
        match &mut self.0 {
            Format::Flv(reader) => reader.rewind(),
            Format::MpegTs(reader) => reader.rewind(),
            Format::Mp4(reader) => {
                reader.rewind();
                Ok(())
            }
        }
    }
}
