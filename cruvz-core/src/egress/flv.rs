//! Frames as FLV, bare or in WebSocket messages.

use bytes::{Bytes, BytesMut};
use cruvz_media::{TrackKind, Tracks, container::flv};

use super::{
    tags::{TagEncoder, WriteTag},
    websocket,
};
use crate::hub::{
    view::TrackSet,
    wire::{WireEncoder, WireFormat},
};

pub(crate) const FLV: WireFormat =
    WireFormat { name: "flv", carries: TrackSet::FLV, encoder: || encoder(put_tag) };
pub(crate) const WS_FLV: WireFormat =
    WireFormat { name: "ws_flv", carries: TrackSet::FLV, encoder: || encoder(put_ws_tag) };

/// The header of an FLV file with such tracks.
pub(crate) fn head(tracks: &Tracks) -> Bytes {
    let has = |kind| tracks.first(kind).is_some();
    let mut head = BytesMut::new();
    flv::file::put_header(has(TrackKind::Audio), has(TrackKind::Video), &mut head);
    head.freeze()
}

fn encoder(write: WriteTag) -> Box<dyn WireEncoder> {
    Box::new(TagEncoder::new(write, flv::MuxOptions::default()))
}

fn put_tag(tag: &flv::Tag, out: &mut BytesMut) {
    flv::file::put_tag(tag.kind, tag.timestamp_ms, &tag.header, &tag.payload, out);
}

fn put_ws_tag(tag: &flv::Tag, out: &mut BytesMut) {
    websocket::put_binary_header(flv::file::tag_len(tag.body_len()), out);
    put_tag(tag, out);
}
