//! A WebRTC peer on a real socket: what a browser does beneath its media, with the engine's own state machine for DTLS and SRTP
//! turned round. Browsers and other stacks judge elsewhere; this one does on demand what they never would.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::disallowed_methods, reason = "a peer has a clock of its own")]

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use cruvz_core::{
    Action, Engine, OfferRequest, WebRtcAnswer, WebRtcRefusal,
    protocol::webrtc::{
        Certificate, Credentials, DtlsRole, Fingerprint, Incoming, Path, Transport, TransportConfig,
        TransportLimits,
        stun::{Check, IceRole},
    },
};
use cruvz_media::rtp::{Header, Packet};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

/// One certificate for all peers: making one takes a while.
static CERTIFICATE: LazyLock<Arc<Certificate>> =
    LazyLock::new(|| Certificate::generate(Instant::now()).unwrap());
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

pub const VP8: u8 = 96;
pub const OPUS: u8 = 111;
/// The source that a publishing peer sends its picture as.
pub const SSRC: u32 = 0x1234;

/// A peer that has nothing but credentials yet.
#[derive(Clone)]
pub struct Peer {
    pub ours: Credentials,
}

/// What carries a peer's datagrams.
pub enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream, BytesMut),
}

/// A peer that was answered.
pub struct Connected {
    pub transport: Transport,
    pub wire: Wire,
    pub server: SocketAddr,
    pub ours: Credentials,
    pub theirs: Credentials,
    /// Whether the server sent an alert.
    pub alerted: bool,
    checks: u8,
    next_check: Duration,
    sent: u64,
}

pub fn now() -> Duration {
    STARTED.elapsed()
}

impl Peer {
    pub fn new(seed: u8) -> Self {
        Self { ours: Credentials::from_random(std::array::from_fn(|at| (at as u8).wrapping_mul(37) ^ seed)) }
    }

    /// An offer of one picture in VP8: to receive it, or to send it.
    pub fn offer(&self, action: Action) -> String {
        let direction = match action {
            Action::Play => "recvonly".to_owned(),
            Action::Publish => format!("sendonly\r\na=msid:s v\r\na=ssrc:{SSRC} cname:peer"),
        };
        let Credentials { ufrag, pwd } = &self.ours;
        format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF {VP8}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n\
             a=ice-options:trickle\r\na=fingerprint:{}\r\na=setup:active\r\na=mid:0\r\na={direction}\r\na=rtcp-mux\r\n\
             a=rtcp-rsize\r\na=rtpmap:{VP8} VP8/90000\r\na=rtcp-fb:{VP8} nack\r\na=rtcp-fb:{VP8} nack pli\r\n",
            CERTIFICATE.fingerprint()
        )
    }

    /// Asks the engine for a session.
    pub async fn ask(
        &self,
        engine: &Engine,
        action: Action,
        stream: &str,
    ) -> Result<WebRtcAnswer, WebRtcRefusal> {
        ask(engine, action, stream, self.offer(action)).await
    }

    /// Asks the engine for its own offer of a stream.
    pub async fn ask_for_offer(&self, engine: &Engine, stream: &str) -> Result<WebRtcAnswer, WebRtcRefusal> {
        ask(engine, Action::Play, stream, String::new()).await
    }

    /// Answers an offer of the engine: it takes all of it, and begins.
    pub fn answer(&self, offer: &str) -> String {
        let Credentials { ufrag, pwd } = &self.ours;
        let turned = offer.lines().filter_map(|line| match line.split_once(':') {
            _ if line == "a=ice-lite" => None,
            Some(("a=candidate", _)) => None,
            Some(("a=ice-ufrag", _)) => Some(format!("a=ice-ufrag:{ufrag}\r\n")),
            Some(("a=ice-pwd", _)) => Some(format!("a=ice-pwd:{pwd}\r\n")),
            Some(("a=fingerprint", _)) => Some(format!("a=fingerprint:{}\r\n", CERTIFICATE.fingerprint())),
            Some(("a=setup", _)) => Some("a=setup:active\r\n".to_owned()),
            _ if line == "a=sendonly" => Some("a=recvonly\r\n".to_owned()),
            _ => Some(format!("{line}\r\n")),
        });
        turned.collect()
    }

    /// Begins to connect over UDP as `answer` says.
    pub async fn udp(self, answer: &WebRtcAnswer) -> Connected {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        self.over(Wire::Udp(socket), answer)
    }

    /// Begins to connect over TCP as `answer` says.
    pub async fn tcp(self, answer: &WebRtcAnswer) -> Connected {
        let socket = TcpStream::connect(address(&answer.sdp, "tcp")).await.unwrap();
        self.over(Wire::Tcp(socket, BytesMut::new()), answer)
    }

    fn over(self, wire: Wire, answer: &WebRtcAnswer) -> Connected {
        let theirs =
            Credentials { ufrag: value(&answer.sdp, "a=ice-ufrag:"), pwd: value(&answer.sdp, "a=ice-pwd:") };
        let config = TransportConfig {
            certificate: Arc::clone(&CERTIFICATE),
            local: self.ours.clone(),
            remote_ufrag: theirs.ufrag.clone(),
            fingerprint: Fingerprint::parse(&value(&answer.sdp, "a=fingerprint:")).unwrap(),
            role: DtlsRole::Active,
            limits: TransportLimits::default(),
        };
        let server = address(&answer.sdp, "udp");
        let transport = Transport::new(now(), config);
        let (ours, next_check) = (self.ours, now());
        let mut connected = Connected {
            transport,
            wire,
            server,
            ours,
            theirs,
            alerted: false,
            checks: 0,
            next_check,
            sent: 0,
        };
        connected.trust();
        connected
    }
}

async fn ask(
    engine: &Engine,
    action: Action,
    stream: &str,
    sdp: String,
) -> Result<WebRtcAnswer, WebRtcRefusal> {
    let request = OfferRequest {
        stream: stream.parse().unwrap(),
        action,
        sdp,
        query: String::new(),
        bearer: None,
        remote: "127.0.0.1:9".parse().unwrap(),
    };
    engine.webrtc().offer(request).await
}

/// The rest of the first line of `sdp` that begins as `key`.
pub fn value(sdp: &str, key: &str) -> String {
    sdp.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{key} in {sdp}")).to_owned()
}

/// The address of the first candidate over `transport`.
pub fn address(sdp: &str, transport: &str) -> SocketAddr {
    let mut candidates = sdp.lines().filter_map(|line| line.strip_prefix("a=candidate:"));
    let found = candidates.find(|line| line.split(' ').nth(2) == Some(transport)).unwrap();
    let words: Vec<_> = found.split(' ').collect();
    format!("{}:{}", words[4], words[5]).parse().unwrap()
}

impl Connected {
    /// The server answers checks and sends none. Ours must see one to believe the path: it gets one from us.
    fn trust(&mut self) {
        let check = Check {
            transaction: [self.checks; 12],
            remote_ufrag: &self.ours.ufrag,
            local_ufrag: &self.theirs.ufrag,
            role: (IceRole::Controlling, 1),
            priority: 1,
            nominates: true,
        };
        let datagram = check.to_bytes(&self.ours.pwd);
        self.transport.receive(now(), Path::udp(self.server), BytesMut::from(&datagram[..]));
        while self.transport.poll_transmit().is_some_and(|(_, datagram)| datagram[0] < 4) {}
    }

    /// The check that proves this peer to the server.
    pub fn check(&mut self) -> Vec<u8> {
        self.checks = self.checks.wrapping_add(1);
        let check = Check {
            transaction: [self.checks; 12],
            remote_ufrag: &self.theirs.ufrag,
            local_ufrag: &self.ours.ufrag,
            role: (IceRole::Controlling, 1),
            priority: 1_845_501_695,
            nominates: true,
        };
        check.to_bytes(&self.theirs.pwd)
    }

    pub async fn send(&mut self, datagram: &[u8]) {
        match &mut self.wire {
            Wire::Udp(socket) => {
                socket.send_to(datagram, self.server).await.unwrap();
            }
            Wire::Tcp(socket, _) => {
                let mut framed = BytesMut::new();
                framed.put_u16(datagram.len() as u16);
                framed.put_slice(datagram);
                // It may have been closed on us: then nothing comes back either.
                let _ = socket.write_all(&framed).await;
            }
        }
    }

    /// The next datagram, `None` after a moment without one.
    async fn receive(&mut self) -> Option<BytesMut> {
        tokio::time::timeout(Duration::from_millis(20), self.wire.next()).await.ok().flatten()
    }

    /// Goes on for one datagram or a moment.
    pub async fn step(&mut self) -> Option<Incoming> {
        if now() >= self.next_check {
            self.next_check =
                now() + Duration::from_millis(if self.transport.is_connected() { 2_000 } else { 50 });
            let check = self.check();
            self.send(&check).await;
            self.trust();
        }
        self.transport.handle_timeout(now());
        let incoming = match self.receive().await {
            // An answer to a check of ours.
            Some(datagram) if datagram.first().is_some_and(|byte| *byte < 4) => None,
            Some(datagram) => {
                // A goodbye, or a complaint (RFC 6347 §4.1, content type 21).
                self.alerted |= datagram.first() == Some(&21);
                self.transport.receive(now(), Path::udp(self.server), datagram)
            }
            None => None,
        };
        while let Some((_, datagram)) = self.transport.poll_transmit() {
            if datagram[0] >= 4 {
                self.send(&datagram).await;
            }
        }
        incoming
    }

    /// Goes on until `done`.
    pub async fn until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let deadline = now() + Duration::from_secs(20);
        while !done(self) {
            assert!(now() < deadline, "in time; {:?}", self.transport.state());
            self.step().await;
        }
    }

    pub async fn connect(mut self) -> Self {
        self.until(|peer| peer.transport.is_connected()).await;
        self
    }

    /// Goes on until the server says goodbye.
    pub async fn until_closed(&mut self) {
        self.until(|peer| peer.alerted).await;
    }

    /// Goes on for one datagram or a moment: a packet of media, if it is one.
    pub async fn media(&mut self) -> Option<Packet> {
        match self.step().await? {
            Incoming::Rtp { packet, .. } => {
                Packet::parse(packet).ok().filter(|packet| !packet.payload.is_empty())
            }
            _ => None,
        }
    }

    /// The next packet of media.
    pub async fn packet(&mut self) -> Packet {
        let deadline = now() + Duration::from_secs(20);
        loop {
            assert!(now() < deadline, "media in time; {:?}", self.transport.state());
            if let Some(packet) = self.media().await {
                return packet;
            }
        }
    }

    /// Sends a frame of VP8 in one packet, at 25 frames per second.
    pub async fn send_frame(&mut self, keyframe: bool) {
        let (index, timestamp) = (self.sent, (self.sent * 3_600) as u32);
        self.sent += 1;
        let header = Header { marker: true, payload_type: VP8, seq: index as u16, timestamp, ssrc: SSRC };
        let mut head = Vec::new();
        header.write(&[], &mut head);
        // A descriptor that says that a frame begins, and the start of one of 640 x 360 (RFC 7741 §4.2, RFC 6386 §9.1).
        let payload: &[u8] = if keyframe {
            &[0x10, 0x50, 0, 0, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x01, 0, 0, 0]
        } else {
            &[0x10, 0x51, 0, 0, 0, 0, 0, 0]
        };
        let mut datagram = Vec::new();
        self.transport.outbound().expect("connected").seal_rtp(index, &head, &[payload], &mut datagram);
        self.send(&datagram).await;
    }

    /// Sends frames as a camera does, until `done`.
    pub async fn publish_until(&mut self, mut done: impl FnMut() -> bool) {
        let deadline = now() + Duration::from_secs(20);
        while !done() {
            assert!(now() < deadline, "in time; {:?}", self.transport.state());
            let keyframe = self.sent.is_multiple_of(25);
            self.send_frame(keyframe).await;
            self.step().await;
        }
    }
}

impl Wire {
    async fn next(&mut self) -> Option<BytesMut> {
        match self {
            Self::Udp(socket) => {
                let mut datagram = BytesMut::with_capacity(2_048);
                socket.recv_buf(&mut datagram).await.ok()?;
                Some(datagram)
            }
            Self::Tcp(socket, buffer) => loop {
                let length = buffer.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
                if let Some(length) = length.filter(|length| buffer.len() >= 2 + length) {
                    buffer.advance(2);
                    return Some(buffer.split_to(length));
                }
                if socket.read_buf(buffer).await.ok()? == 0 {
                    return None;
                }
            },
        }
    }
}

/// The bytes of the frames, from a viewer's packets on.
pub fn text(payload: &Bytes) -> String {
    String::from_utf8_lossy(payload).into_owned()
}
