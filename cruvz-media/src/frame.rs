//! One access unit of video, one packet of audio, or one item of data, as every protocol hands it on.

use bytes::Bytes;

use crate::{Timestamp, TrackId};

/// One video access unit, one audio packet's payload or one data item, with its place in time.
///
/// The payload has one form per codec, whatever protocol it came by:
///
/// | codec | payload |
/// |---|---|
/// | H.264, H.265 | NAL units, each behind its length in **4** bytes, big-endian (ISO/IEC 14496-15 §5.3.3); parameter sets only in [`crate::CodecParams`] unless the stream repeats them in band |
/// | AV1 | one temporal unit of OBUs with size fields, without temporal delimiters (AV1-ISOBMFF §2.4) |
/// | VP8, VP9 | one frame or superframe |
/// | AAC | one raw access unit, no ADTS or LATM header |
/// | Opus, FLAC, AC-3, E-AC-3, MP3 | one packet or frame as the codec defines it |
/// | script data | the body of an FLV script tag (AMF0) |
/// | MPEG-TS data | the payload of one PES packet, or one section, as the track's stream_type has it; the splice times of SCTE 35 count from the frame's `pts` |
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The track it belongs to.
    pub track: TrackId,
    /// When it is shown.
    pub pts: Timestamp,
    /// When it is decoded; equal to `pts` where nothing is reordered.
    pub dts: Timestamp,
    /// Whether decoding can start here. Always true for audio and data.
    pub keyframe: bool,
    /// The coded bytes, shared and never copied on the way through the hub.
    pub payload: Bytes,
}
