//! Frames as FLV tags, which HTTP-FLV, WebSocket-FLV and RTMP only wrap differently.

use bytes::{Bytes, BytesMut};
use cruvz_media::{
    Codec, Frame, Tracks,
    container::flv::{MuxOptions, Muxer, Tag, script_name},
};

use crate::hub::wire::WireEncoder;

/// Appends a tag in some wrapping.
pub(crate) type WriteTag = fn(&Tag, &mut BytesMut);

/// Makes the wire bytes of one stream from tags.
pub(crate) struct TagEncoder {
    tracks: Tracks,
    muxer: Muxer,
    /// The publisher's own `onMetaData`.
    metadata: Option<Bytes>,
    /// The newest `colorInfo`, which viewers of HDR need as well.
    color_info: Option<Frame>,
    write: WriteTag,
    options: MuxOptions,
}

impl TagEncoder {
    pub(crate) fn new(write: WriteTag, options: MuxOptions) -> Self {
        let tracks = Tracks::empty();
        let muxer = Muxer::new(&tracks, options);
        Self { tracks, muxer, metadata: None, color_info: None, write, options }
    }

    fn update(&mut self, tracks: &Tracks) {
        if !self.tracks.same(tracks) {
            self.tracks = tracks.clone();
            self.muxer = Muxer::new(tracks, self.options);
        }
    }
}

impl WireEncoder for TagEncoder {
    fn configuration(&mut self, tracks: &Tracks, at: &Frame) -> Bytes {
        self.update(tracks);
        let mut out = BytesMut::new();
        for tag in self.muxer.headers(self.metadata.as_ref(), at.dts) {
            (self.write)(&tag, &mut out);
        }
        let color_info = self.color_info.as_ref().and_then(|frame| self.muxer.frame(frame));
        if let Some(tag) = color_info {
            (self.write)(&Tag { timestamp_ms: at.dts.as_millis() as u32, ..tag }, &mut out);
        }
        out.freeze()
    }

    fn frame(&mut self, tracks: &Tracks, frame: &Frame) -> Bytes {
        self.update(tracks);
        let is_script =
            tracks.by_id(frame.track).is_some_and(|track| track.params.codec == Codec::ScriptData);
        match is_script.then(|| script_name(&frame.payload)).flatten().as_deref() {
            Some("onMetaData") => self.metadata = Some(frame.payload.clone()),
            Some("colorInfo") => self.color_info = Some(frame.clone()),
            _ => {}
        }
        let Some(tag) = self.muxer.frame(frame) else { return Bytes::new() };
        let mut out = BytesMut::with_capacity(tag.body_len() + 64);
        (self.write)(&tag, &mut out);
        out.freeze()
    }
}
