//! RTMP to players: messages made once per stream, and the player's side of a fan-out seat.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use cruvz_media::container::flv::{MuxOptions, Tag, TagKind};

use super::{fanout::Peer, tags::TagEncoder};
use crate::{
    hub::{
        view::TrackSet,
        wire::{WireEncoder, WireFormat},
    },
    protocol::rtmp::{
        MediaKind, ServerConnection,
        chunk::write_message,
        code,
        server::{Event, ServerConfig},
    },
};

/// The chunk size that shared messages are cut with; every player is told it.
pub(crate) const CHUNK_SIZE: u32 = 65_536;

/// The wire format of players on the message stream `stream_id`: 1 unless they asked for several.
pub(crate) fn format(stream_id: u32) -> Option<WireFormat> {
    const FORMATS: [WireFormat; 8] = [
        player::<1>("rtmp"),
        player::<2>("rtmp stream 2"),
        player::<3>("rtmp stream 3"),
        player::<4>("rtmp stream 4"),
        player::<5>("rtmp stream 5"),
        player::<6>("rtmp stream 6"),
        player::<7>("rtmp stream 7"),
        player::<8>("rtmp stream 8"),
    ];
    pick(&FORMATS, stream_id)
}

/// The wire format of servers we publish to on the message stream `stream_id`.
pub(crate) fn publish_format(stream_id: u32) -> Option<WireFormat> {
    const FORMATS: [WireFormat; 4] = [
        server::<1>("rtmp publish"),
        server::<2>("rtmp publish stream 2"),
        server::<3>("rtmp publish stream 3"),
        server::<4>("rtmp publish stream 4"),
    ];
    pick(&FORMATS, stream_id)
}

fn pick(formats: &[WireFormat], stream_id: u32) -> Option<WireFormat> {
    formats.get(usize::try_from(stream_id).ok()?.checked_sub(1)?).copied()
}

const fn player<const STREAM_ID: u32>(name: &'static str) -> WireFormat {
    let encoder = || -> Box<dyn WireEncoder> {
        Box::new(TagEncoder::new(put_message::<STREAM_ID>, MuxOptions::default()))
    };
    WireFormat { name, carries: TrackSet::FLV, encoder }
}

const fn server<const STREAM_ID: u32>(name: &'static str) -> WireFormat {
    let encoder = || -> Box<dyn WireEncoder> {
        let options = MuxOptions { set_data_frame: true, ..MuxOptions::default() };
        Box::new(TagEncoder::new(put_message::<STREAM_ID>, options))
    };
    WireFormat { name, carries: TrackSet::FLV, encoder }
}

fn put_message<const STREAM_ID: u32>(tag: &Tag, out: &mut BytesMut) {
    let kind = match tag.kind {
        TagKind::Audio => MediaKind::Audio,
        TagKind::Video => MediaKind::Video,
        TagKind::Script => MediaKind::Data,
    };
    let header = kind.header(tag.timestamp_ms, STREAM_ID);
    // Refused only for what no message can carry, 16 MiB and more; it is left out then.
    let _ = write_message(out, &header, &[&tag.header, &tag.payload], CHUNK_SIZE);
}

/// The options of a server whose players share their messages.
pub(crate) fn server_config() -> ServerConfig {
    ServerConfig { chunk_size: CHUNK_SIZE, ..ServerConfig::default() }
}

/// A player that has been let in.
pub(crate) struct RtmpPeer(pub(crate) Box<ServerConnection>);

impl Peer for RtmpPeer {
    fn receive(&mut self, bytes: &[u8], out: &mut VecDeque<Bytes>) -> Result<(), String> {
        let received = self.0.receive(bytes).map_err(|error| error.to_string());
        let mut left = Ok(());
        while let Some(event) = self.0.poll_event() {
            left = match event {
                Event::PlayStopped { .. } => {
                    left = Err("player stopped".to_owned());
                    break;
                }
                Event::PlayRequested(_) => {
                    self.0.reject_play(code::PLAY_FAILED, "already playing").map_err(|e| e.to_string())
                }
                Event::PublishRequested(_) => self
                    .0
                    .reject_publish(code::PUBLISH_DENIED, "this connection plays")
                    .map_err(|e| e.to_string()),
                _ => continue,
            };
        }
        out.extend(std::iter::from_fn(|| self.0.poll_transmit()));
        received.and(left)
    }

    fn farewell(&mut self, reason: &str) -> Bytes {
        self.0.end(code::PLAY_UNPUBLISH_NOTIFY, reason);
        transmit(&mut self.0)
    }
}

/// Everything a connection has to say, in one piece.
pub(crate) fn transmit(connection: &mut ServerConnection) -> Bytes {
    let Some(first) = connection.poll_transmit() else { return Bytes::new() };
    let Some(second) = connection.poll_transmit() else { return first };
    let mut all = BytesMut::from(&first[..]);
    all.extend_from_slice(&second);
    while let Some(more) = connection.poll_transmit() {
        all.extend_from_slice(&more);
    }
    all.freeze()
}
