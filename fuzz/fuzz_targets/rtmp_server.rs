//! A whole RTMP server connection behind its handshake, and the FLV demuxer behind that: what a publisher can reach.
#![no_main]

use std::{sync::Arc, time::Duration};

use cruvz_core::protocol::rtmp::{MediaKind, ServerConfig, ServerConnection, code, server::Event};
use cruvz_fuzz::pieces;
use cruvz_media::container::flv::{Demuxer, TagKind};
use libfuzzer_sys::fuzz_target;

/// More answers than this must not wait to be sent: the limit of unsent bytes, and the last answers beyond it.
const MAX_UNSENT_BYTES: usize = 256 << 10;

/// What the driver decides, from the bits of a byte.
struct Driver {
    refuses: u8,
    demuxer: Demuxer,
}

impl Driver {
    fn drive(&mut self, connection: &mut ServerConnection) {
        let mut sent = 0;
        loop {
            while let Some(bytes) = connection.poll_transmit() {
                sent += bytes.len();
            }
            assert!(sent <= MAX_UNSENT_BYTES, "{sent} bytes of answers");
            let Some(event) = connection.poll_event() else { break };
            if self.decide(connection, event).is_err() {
                break;
            }
        }
    }

    fn decide(&mut self, connection: &mut ServerConnection, event: Event) -> Result<(), ()> {
        let refuses = |bit: u8| self.refuses & bit != 0;
        match event {
            Event::ConnectRequested(_) if refuses(1) => {
                connection.reject_connect(code::CONNECT_REJECTED, "no")
            }
            Event::ConnectRequested(_) => connection.accept_connect().map_err(drop)?,
            Event::PublishRequested(_) if refuses(2) => {
                connection.reject_publish(code::PUBLISH_BAD_NAME, "no").map_err(drop)?;
            }
            Event::PublishRequested(_) => connection.accept_publish().map_err(drop)?,
            Event::PlayRequested(_) if refuses(4) => {
                connection.reject_play(code::PLAY_STREAM_NOT_FOUND, "no").map_err(drop)?;
            }
            Event::PlayRequested(_) => connection.accept_play().map_err(drop)?,
            Event::Message(message) => {
                let kind = match message.kind {
                    MediaKind::Audio => TagKind::Audio,
                    MediaKind::Video => TagKind::Video,
                    _ => TagKind::Script,
                };
                // A body that is refused is counted by the driver; the connection goes on.
                let _ = self.demuxer.tag(kind, i64::from(message.timestamp_ms), message.payload);
                while self.demuxer.next_event().is_some() {}
            }
            _ => {}
        }
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let [cut, refuses, data @ ..] = data else { return };
    let mut connection = ServerConnection::new(Arc::new(ServerConfig::default()), 7);
    let mut driver = Driver { refuses: *refuses, demuxer: Demuxer::default() };
    let mut handshake = vec![0; 1 + 2 * 1536];
    handshake[0] = 3;
    connection.receive(&handshake).expect("a simple handshake");
    driver.drive(&mut connection);

    for (turn, piece) in pieces(data, *cut).enumerate() {
        let received = connection.receive(piece);
        driver.drive(&mut connection);
        if received.is_err() || connection.is_closing() {
            break;
        }
        if refuses & 8 != 0 && connection.handle_timeout(Duration::from_secs(turn as u64)).is_err() {
            break;
        }
    }
    connection.peer_closed();
    driver.drive(&mut connection);
});
