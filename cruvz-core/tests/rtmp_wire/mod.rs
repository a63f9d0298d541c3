//! A wire without a network: our client and our server, or one of them and a peer made by hand.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::sync::Arc;

use bytes::BytesMut;
use cruvz_core::protocol::rtmp::chunk::{ChunkReader, Message, MessageHeader, write_message};
use cruvz_core::protocol::rtmp::client::{ClientConfig, ClientConnection, ClientEvent, Role};
use cruvz_core::protocol::rtmp::message::kind;
use cruvz_core::protocol::rtmp::server::{Event, ServerConfig, ServerConnection};
use cruvz_core::protocol::rtmp::{ClientHandshake, Error, HandshakeKind, Limits};
use cruvz_media::amf0::{self, Object, Value};

pub fn server(config: ServerConfig) -> ServerConnection {
    ServerConnection::new(Arc::new(config), 1)
}

/// Our client and our server with a wire between them that cuts bytes into pieces of `step`.
pub struct Wire {
    pub client: ClientConnection,
    pub server: ServerConnection,
    pub step: usize,
    pub server_events: Vec<Event>,
    pub client_events: Vec<ClientEvent>,
}

impl Wire {
    pub fn new(role: Role, url: &str) -> Self {
        Self::with(ClientConfig::default(), ServerConfig::default(), role, url)
    }

    pub fn with(client: ClientConfig, config: ServerConfig, role: Role, url: &str) -> Self {
        Self {
            client: ClientConnection::new(client, url.parse().unwrap(), role, 2),
            server: server(config),
            step: 1000,
            server_events: Vec::new(),
            client_events: Vec::new(),
        }
    }

    /// Carries bytes both ways until both sides are silent. The server accepts whatever is asked, unless `decide`
    /// has decided; each side's events are kept.
    pub fn run(&mut self, mut decide: impl FnMut(&mut ServerConnection, &Event)) {
        loop {
            let mut silent = true;
            while let Some(bytes) = self.client.poll_transmit() {
                silent = false;
                for piece in bytes.chunks(self.step) {
                    self.server.receive(piece).unwrap();
                    while let Some(event) = self.server.poll_event() {
                        decide(&mut self.server, &event);
                        accept(&mut self.server, &event).unwrap();
                        self.server_events.push(event);
                    }
                }
            }
            while let Some(bytes) = self.server.poll_transmit() {
                silent = false;
                for piece in bytes.chunks(self.step) {
                    self.client.receive(piece).unwrap();
                }
            }
            self.client_events.extend(std::iter::from_fn(|| self.client.poll_event()));
            if silent {
                return;
            }
        }
    }

    /// Runs until the stream has started, and forgets the events so far.
    pub fn start(role: Role, url: &str) -> Self {
        let mut wire = Self::new(role, url);
        wire.run(|_, _| {});
        assert_eq!(wire.client_events, [ClientEvent::Started { stream_id: 1 }]);
        wire.client_events.clear();
        wire.server_events.clear();
        wire
    }
}

/// Accepts a request that still waits.
pub fn accept(server: &mut ServerConnection, event: &Event) -> Result<(), Error> {
    match event {
        Event::ConnectRequested(_) => server.accept_connect(),
        Event::PublishRequested(_) => server.accept_publish(),
        Event::PlayRequested(_) => server.accept_play(),
        _ => Ok(()),
    }
}

/// A client made by hand: it says exactly what the test says.
pub struct RawClient {
    pub server: ServerConnection,
    pub events: Vec<Event>,
    reader: ChunkReader,
    /// What the server has sent after the handshake.
    pub received: Vec<Message>,
    handshake_left: usize,
}

impl RawClient {
    /// Past the handshake.
    pub fn new(config: ServerConfig) -> Self {
        let mut out = BytesMut::new();
        let mut handshake = ClientHandshake::new(HandshakeKind::Simple, 5, &mut out);
        let mut client = Self {
            server: server(config),
            events: Vec::new(),
            reader: ChunkReader::new(&Limits::default()),
            received: Vec::new(),
            handshake_left: 1 + 2 * 1536,
        };
        client.server.receive(&out).unwrap();
        let answer = client.server.poll_transmit().unwrap();
        let mut c2 = BytesMut::new();
        handshake.receive(&mut &answer[..], &mut c2).unwrap();
        client.server.receive(&c2).unwrap();
        client
    }

    /// Past the handshake and an accepted `connect`.
    pub fn connected(config: ServerConfig) -> Self {
        let mut client = Self::new(config);
        client.connect(Object::new().with("app", "live"));
        client.events.clear();
        client.received.clear();
        client
    }

    /// Playing `cam` on stream 1.
    pub fn playing(config: ServerConfig) -> Self {
        let mut client = Self::connected(config);
        client.call(0, "createStream", 2.0, vec![Value::Null]).unwrap();
        client.call(1, "play", 0.0, vec![Value::Null, "cam".into()]).unwrap();
        client.events.clear();
        client.received.clear();
        client
    }

    pub fn connect(&mut self, object: Object) {
        self.call(0, "connect", 1.0, vec![Value::Object(object)]).unwrap();
    }

    /// Sends bytes, accepts what is asked, and reads the answers.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut result = self.server.receive(bytes);
        while let Some(event) = self.server.poll_event() {
            result = result.and_then(|()| accept(&mut self.server, &event));
            self.events.push(event);
        }
        self.read_answers();
        result
    }

    pub fn read_answers(&mut self) {
        while let Some(bytes) = self.server.poll_transmit() {
            let mut input = &bytes[..];
            while let Some(message) = self.reader.read(&mut input).unwrap() {
                self.received.push(message);
            }
        }
    }

    pub fn send(&mut self, header: MessageHeader, payload: &[u8]) -> Result<(), Error> {
        self.send_bytes(&chunks(header, payload))
    }

    pub fn call(&mut self, stream_id: u32, name: &str, id: f64, values: Vec<Value>) -> Result<(), Error> {
        self.send_bytes(&command(stream_id, name, id, values))
    }

    /// The answers that are commands: name, transaction id and the rest.
    pub fn commands(&self) -> Vec<(String, f64, Vec<Value>)> {
        let commands = self.received.iter().filter(|message| message.header.kind == kind::COMMAND);
        commands
            .map(|message| {
                let mut values = amf0::decode(&message.payload, &amf0::Limits::default()).unwrap();
                let rest = values.split_off(2);
                (values[0].as_str().unwrap().to_owned(), values[1].as_f64().unwrap(), rest)
            })
            .collect()
    }

    /// The codes of every status, in order.
    pub fn codes(&self) -> Vec<String> {
        let commands = self.commands();
        let codes = commands.iter().filter_map(|(_, _, values)| values.get(1)?.property("code")?.as_str());
        codes.map(str::to_owned).collect()
    }
}

/// One message in chunks of 128 bytes.
pub fn chunks(header: MessageHeader, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    write_message(&mut out, &header, &[payload], 128).unwrap();
    out
}

pub fn command(stream_id: u32, name: &str, id: f64, values: Vec<Value>) -> BytesMut {
    let mut payload = BytesMut::new();
    amf0::encode(&[Value::from(name), Value::Number(id)], &mut payload);
    amf0::encode(&values, &mut payload);
    chunks(MessageHeader { csid: 3, timestamp_ms: 0, kind: kind::COMMAND, stream_id }, &payload)
}
