//! A whole RTMP client connection, publishing and playing, against a server that says anything.
#![no_main]

use std::time::Duration;

use cruvz_core::protocol::rtmp::{
    HandshakeKind, MediaKind,
    client::{ClientConfig, ClientConnection, ClientEvent, Role},
};
use cruvz_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [cut, options, data @ ..] = data else { return };
    let role = if options & 1 == 0 { Role::Play } else { Role::Publish };
    let url = "rtmp://example.com/live/cam?token=secret".parse().expect("a URL");
    // The form of handshake that needs no digests: `rtmp_handshake` knows both.
    let config = ClientConfig { handshake: HandshakeKind::Simple, ..ClientConfig::default() };
    let mut connection = ClientConnection::new(config, url, role, 7);
    let mut handshake = vec![0; 1 + 2 * 1536];
    handshake[0] = 3;
    connection.receive(&handshake).expect("a simple handshake");

    for (turn, piece) in pieces(data, *cut).enumerate() {
        let received = connection.receive(piece);
        while let Some(event) = connection.poll_event() {
            if matches!(event, ClientEvent::Started { .. })
                && role == Role::Publish
                && !connection.is_closing()
            {
                connection
                    .send(MediaKind::Video, turn as u32, &[&[0x17, 1, 0, 0, 0], piece])
                    .expect("it has started");
            }
        }
        while connection.poll_transmit().is_some() {}
        if received.is_err() || connection.is_closing() {
            break;
        }
        if options & 2 != 0 && connection.handle_timeout(Duration::from_secs(turn as u64)).is_err() {
            break;
        }
    }
    connection.close();
});
