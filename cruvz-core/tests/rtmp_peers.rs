//! Against an independent implementation of both roles.

#![allow(clippy::unwrap_used, reason = "a test")]

mod rtmp_wire;

use bytes::{Bytes, BytesMut};
use cruvz_core::protocol::rtmp::chunk::write_message;
use cruvz_core::protocol::rtmp::client::{ClientConfig, ClientConnection, ClientEvent, Role};
use cruvz_core::protocol::rtmp::server::{Event, ServerConfig, ServerConnection};
use cruvz_core::protocol::rtmp::{MediaKind, code};
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
    ServerSession, ServerSessionConfig, ServerSessionEvent, ServerSessionResult,
};
use rml_rtmp::time::RtmpTimestamp;
use rtmp_wire::{accept, server};

const MEDIA: [(u32, usize); 4] = [(0, 5), (0x00ff_fffe, 3_000), (0x0100_0002, 100_000), (u32::MAX, 129)];

/// Their client, past the handshake with our server.
struct TheirClient {
    session: ClientSession,
    server: ServerConnection,
    server_events: Vec<Event>,
    events: Vec<ClientSessionEvent>,
}

impl TheirClient {
    fn new() -> Self {
        let mut server = server(ServerConfig::default());
        let mut handshake = Handshake::new(PeerType::Client);
        server.receive(&handshake.generate_outbound_p0_and_p1().unwrap()).unwrap();
        let answer = server.poll_transmit().unwrap();
        match handshake.process_bytes(&answer).unwrap() {
            HandshakeProcessResult::Completed { response_bytes, .. } => {
                server.receive(&response_bytes).unwrap()
            }
            HandshakeProcessResult::InProgress { .. } => panic!("all was sent"),
        }
        let (session, results) = ClientSession::new(ClientSessionConfig::new()).unwrap();
        let mut client = Self { session, server, server_events: Vec::new(), events: Vec::new() };
        client.handle(results);
        client
    }

    fn handle(&mut self, results: Vec<ClientSessionResult>) {
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => self.send(&packet.bytes),
                ClientSessionResult::RaisedEvent(event) => self.events.push(event),
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        while let Some(bytes) = self.server.poll_transmit() {
            let results = self.session.handle_input(&bytes).unwrap();
            self.handle(results);
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.server.receive(bytes).unwrap();
        while let Some(event) = self.server.poll_event() {
            accept(&mut self.server, &event).unwrap();
            self.server_events.push(event);
        }
    }

    fn ask(&mut self, result: ClientSessionResult) {
        self.handle(vec![result]);
    }
}

#[test]
fn their_client_publishes_to_our_server() {
    let mut client = TheirClient::new();
    let connect = client.session.request_connection("live".into()).unwrap();
    client.ask(connect);
    let publish = client.session.request_publishing("cam".into(), PublishRequestType::Live).unwrap();
    client.ask(publish);
    assert!(client.events.contains(&ClientSessionEvent::ConnectionRequestAccepted));
    assert!(client.events.contains(&ClientSessionEvent::PublishRequestAccepted));
    client.server_events.clear();
    for (timestamp, length) in MEDIA {
        let data = Bytes::from(vec![7; length]);
        let timestamp = RtmpTimestamp::new(timestamp);
        let sent = client.session.publish_video_data(data, timestamp, false).unwrap();
        client.ask(sent);
    }
    let seen: Vec<_> = client
        .server_events
        .iter()
        .map(|event| match event {
            Event::Message(media) => (media.timestamp_ms, media.payload.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seen, MEDIA);
    let stop = client.session.stop_publishing().unwrap();
    client.handle(stop);
    assert_eq!(client.server_events.last(), Some(&Event::PublishStopped { stream_id: 1 }));
}

#[test]
fn their_client_plays_shared_bytes_of_our_server() {
    let mut client = TheirClient::new();
    let connect = client.session.request_connection("live".into()).unwrap();
    client.ask(connect);
    let play = client.session.request_playback("cam".into()).unwrap();
    client.ask(play);
    assert!(client.events.contains(&ClientSessionEvent::PlaybackRequestAccepted));
    client.events.clear();
    let mut shared = BytesMut::new();
    for (timestamp_ms, length) in MEDIA {
        let header = MediaKind::Audio.header(timestamp_ms, 1);
        write_message(&mut shared, &header, &[&vec![7; length]], 65_536).unwrap();
    }
    let results = client.session.handle_input(&shared).unwrap();
    client.handle(results);
    let expected = MEDIA.map(|(timestamp, length)| ClientSessionEvent::AudioDataReceived {
        timestamp: RtmpTimestamp::new(timestamp),
        data: vec![7; length].into(),
    });
    assert!(client.events == expected);
}

/// Our client, past the handshake with their server, which accepts whatever is asked.
struct TheirServer {
    session: ServerSession,
    client: ClientConnection,
    client_events: Vec<ClientEvent>,
    events: Vec<ServerSessionEvent>,
    rejects_streams: bool,
}

impl TheirServer {
    fn new(role: Role, rejects_streams: bool) -> Self {
        let url = "rtmp://host/live/cam".parse().unwrap();
        let mut client = ClientConnection::new(ClientConfig::default(), url, role, 3);
        let mut handshake = Handshake::new(PeerType::Server);
        let c0c1 = client.poll_transmit().unwrap();
        let answer = match handshake.process_bytes(&c0c1).unwrap() {
            HandshakeProcessResult::InProgress { response_bytes } => response_bytes,
            HandshakeProcessResult::Completed { .. } => panic!("the second packet is missing"),
        };
        client.receive(&answer).unwrap();
        let sent = client.poll_transmit().unwrap();
        let rest = match handshake.process_bytes(&sent).unwrap() {
            HandshakeProcessResult::Completed { remaining_bytes, .. } => remaining_bytes,
            HandshakeProcessResult::InProgress { .. } => panic!("all was sent"),
        };
        let (session, results) = ServerSession::new(ServerSessionConfig::new()).unwrap();
        let mut server =
            Self { session, client, client_events: Vec::new(), events: Vec::new(), rejects_streams };
        server.handle(results);
        let results = server.session.handle_input(&rest).unwrap();
        server.handle(results);
        server
    }

    fn handle(&mut self, results: Vec<ServerSessionResult>) {
        for result in results {
            match result {
                ServerSessionResult::OutboundResponse(packet) => self.client.receive(&packet.bytes).unwrap(),
                ServerSessionResult::RaisedEvent(event) => self.on_event(event),
                ServerSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        self.run();
    }

    fn run(&mut self) {
        self.client_events.extend(std::iter::from_fn(|| self.client.poll_event()));
        while let Some(bytes) = self.client.poll_transmit() {
            let results = self.session.handle_input(&bytes).unwrap();
            self.handle(results);
        }
    }

    fn on_event(&mut self, event: ServerSessionEvent) {
        let stream = matches!(
            event,
            ServerSessionEvent::PublishStreamRequested { .. }
                | ServerSessionEvent::PlayStreamRequested { .. }
        );
        match event {
            ServerSessionEvent::PublishStreamRequested { request_id, .. }
            | ServerSessionEvent::PlayStreamRequested { request_id, .. }
            | ServerSessionEvent::ConnectionRequested { request_id, .. } => {
                let results = match stream && self.rejects_streams {
                    true => self.session.reject_request(request_id, code::PUBLISH_BAD_NAME, "taken"),
                    false => self.session.accept_request(request_id),
                };
                self.handle(results.unwrap());
            }
            // It answers neither, and our client goes on all the same.
            ServerSessionEvent::ReleaseStreamRequested { .. }
            | ServerSessionEvent::UnhandleableAmf0Command { .. }
            | ServerSessionEvent::ClientChunkSizeChanged { .. } => {}
            other => self.events.push(other),
        }
    }
}

#[test]
fn our_client_publishes_to_their_server() {
    let mut server = TheirServer::new(Role::Publish, false);
    assert_eq!(server.client_events, [ClientEvent::Started { stream_id: 1 }]);
    for (timestamp_ms, length) in MEDIA {
        server.client.send(MediaKind::Video, timestamp_ms, &[&vec![7; length]]).unwrap();
    }
    server.run();
    let expected = MEDIA.map(|(timestamp, length)| ServerSessionEvent::VideoDataReceived {
        app_name: "live".into(),
        stream_key: "cam".into(),
        data: vec![7; length].into(),
        timestamp: RtmpTimestamp::new(timestamp),
    });
    assert!(server.events == expected);
    server.client.close();
    server.run();
    assert!(matches!(server.events.last(), Some(ServerSessionEvent::PublishStreamFinished { .. })));
}

#[test]
fn our_client_plays_from_their_server() {
    let mut server = TheirServer::new(Role::Play, false);
    assert_eq!(server.client_events, [ClientEvent::Started { stream_id: 1 }]);
    server.client_events.clear();
    for (timestamp, length) in MEDIA {
        let data = Bytes::from(vec![7; length]);
        let packet = server.session.send_video_data(1, data, RtmpTimestamp::new(timestamp), false).unwrap();
        server.client.receive(&packet.bytes).unwrap();
    }
    server.run();
    let seen: Vec<_> = server
        .client_events
        .iter()
        .map(|event| match event {
            ClientEvent::Message(media) => (media.timestamp_ms, media.payload.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seen, MEDIA);
    let end = server.session.finish_playing(1).unwrap();
    server.client.receive(&end.bytes).unwrap();
    assert!(matches!(server.client.poll_event(), Some(ClientEvent::Ended(_))));
}

#[test]
fn our_client_hears_their_refusal() {
    let server = TheirServer::new(Role::Publish, true);
    assert!(
        matches!(&server.client_events[..], [ClientEvent::Rejected(status)] if status.code == code::PUBLISH_BAD_NAME),
        "{:?}",
        server.client_events
    );
}
