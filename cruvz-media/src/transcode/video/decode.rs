//! Frames to pictures, by FFmpeg's decoders.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use ffmpeg_next::{Dictionary, Packet, codec::Id, decoder, frame};

use super::{MAX_PICTURE_BYTES, MAX_PIXELS};
use crate::{
    Codec, CodecParams, Frame, Timestamp,
    codec::{h264, h265, nal},
    transcode::{Error, decode_error, is_all},
};

/// Frames that a decoder may keep back: H.264 and H.265 reorder at most 16.
const MAX_PENDING: usize = 64;
/// Bytes of an av1C before the OBUs that it holds (AV1-ISOBMFF §2.3.3).
const AV1C_HEADER_BYTES: usize = 4;

/// Decodes one track, on the thread of whoever calls: a picture comes out as early as it can.
pub(super) struct Decoder {
    codec: Codec,
    decoder: decoder::Video,
    /// What goes before each keyframe: parameter sets, sequence header.
    head: Bytes,
    /// Frames whose pictures have not come out yet, by number. Decoders hand numbers through, and know nothing of our time.
    pending: VecDeque<Pending>,
    taken: i64,
    has_begun: bool,
}

struct Pending {
    number: i64,
    pts: Timestamp,
    keyframe: bool,
    is_seen: bool,
}

/// A picture, and what is known of the frame that it came in.
pub(super) struct Picture {
    pub(super) image: frame::Video,
    pub(super) pts: Timestamp,
    pub(super) keyframe: bool,
    /// Whether it is to be shown.
    pub(super) is_seen: bool,
}

impl Decoder {
    pub(super) fn new(from: &CodecParams) -> Result<Self, Error> {
        let codec = from.codec;
        let found = match codec {
            // FFmpeg's own decodes with the help of hardware only.
            Codec::Av1 => decoder::find_by_name("libdav1d").or_else(|| decoder::find(Id::AV1)),
            Codec::H264 => decoder::find(Id::H264),
            Codec::H265 => decoder::find(Id::HEVC),
            Codec::Vp8 => decoder::find(Id::VP8),
            Codec::Vp9 => decoder::find(Id::VP9),
            _ => None,
        };
        let found = found.ok_or(Error::NoDecoder(codec))?;
        let mut options = Dictionary::new();
        // Decoders that work on several pictures at once give them later.
        options.set("threads", "1");
        options.set("max_pixels", &MAX_PIXELS.to_string());
        let context = ffmpeg_next::codec::Context::new_with_codec(found).decoder();
        let opened = context.open_as_with(found, options).and_then(|opened| opened.video());
        let decoder = opened.map_err(|error| decode_error(codec, error))?;
        let (head, pending) = (head(from)?, VecDeque::new());
        Ok(Self { codec, decoder, head, pending, taken: 0, has_begun: false })
    }

    /// Takes a frame. All of its pictures must be taken before the next.
    pub(super) fn push(&mut self, frame: &Frame, is_seen: bool) -> Result<(), Error> {
        let bytes = frame.payload.len();
        if !(1..=MAX_PICTURE_BYTES).contains(&bytes) {
            return Err(Error::TooLarge { bytes, most: MAX_PICTURE_BYTES });
        }
        self.has_begun |= frame.keyframe;
        if !self.has_begun {
            return Ok(());
        }
        let number = self.taken;
        self.taken += 1;
        let mut packet = Packet::copy(&self.packet(frame)?);
        packet.set_pts(Some(number));
        self.decoder.send_packet(&packet).map_err(|error| decode_error(self.codec, error))?;
        self.pending.push_back(Pending { number, pts: frame.pts, keyframe: frame.keyframe, is_seen });
        if self.pending.len() > MAX_PENDING {
            self.pending.pop_front();
        }
        Ok(())
    }

    /// No more frames come.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.decoder.send_eof().map_err(|error| decode_error(self.codec, error))
    }

    /// The next picture in the order they are shown, if there is one already.
    pub(super) fn next_picture(&mut self) -> Result<Option<Picture>, Error> {
        loop {
            let mut image = frame::Video::empty();
            match self.decoder.receive_frame(&mut image) {
                Ok(()) => {}
                Err(error) if is_all(error) => return Ok(None),
                Err(error) => return Err(decode_error(self.codec, error)),
            }
            // A second picture of a frame has no time of its own.
            let place = self.pending.iter().position(|pending| Some(pending.number) == image.pts());
            let Some(Pending { pts, keyframe, is_seen, .. }) = place.and_then(|at| self.pending.remove(at))
            else {
                continue;
            };
            return Ok(Some(Picture { image, pts, keyframe, is_seen }));
        }
    }

    /// A frame in the form that decoders know.
    fn packet(&self, frame: &Frame) -> Result<Bytes, Error> {
        let payload = match self.codec {
            Codec::H264 | Codec::H265 => {
                nal::to_annex_b(&frame.payload).map_err(|error| decode_error(self.codec, error))?
            }
            _ => frame.payload.clone(),
        };
        if !frame.keyframe || self.head.is_empty() {
            return Ok(payload);
        }
        Ok([&self.head[..], &payload[..]].concat().into())
    }
}

/// What a record says that a decoder must know before a keyframe.
fn head(from: &CodecParams) -> Result<Bytes, Error> {
    let refused = |error| decode_error(from.codec, error);
    let sets = match from.codec {
        Codec::Av1 => return Ok(from.config.slice(from.config.len().min(AV1C_HEADER_BYTES)..)),
        Codec::H264 => {
            let h264::Record { sps, pps, .. } = h264::Record::parse(&from.config).map_err(refused)?;
            [sps, pps].concat()
        }
        Codec::H265 => {
            let h265::Record { vps, sps, pps, .. } = h265::Record::parse(&from.config).map_err(refused)?;
            [vps, sps, pps].concat()
        }
        _ => Vec::new(),
    };
    let mut head = BytesMut::new();
    for set in sets {
        head.put_u32(1);
        head.put_slice(&set);
    }
    Ok(head.freeze())
}
