//! The bare loop: pictures to everybody who said hello, each packet copied and sealed with a key of that viewer's, one GSO send
//! per viewer. No log, no repeats, no reports, no protocol.
//!
//! By itself it makes a picture of equal packets each 33 1/3 ms. With a publisher it reads a stream from a socket, as every server
//! has to: pictures are cut into equal packets and a shorter last one, and each packet of sound is a send of its own.

use std::{
    collections::HashMap,
    io::{self, BufReader},
    net::{SocketAddr, TcpListener, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use quinn_udp::{Transmit, UdpSocketState};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::{
    Options,
    flv::{self, Kind},
};

/// A packet on the wire: header, payload, tag.
const DATAGRAM_BYTES: usize = 1_216;
const HEADER_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const PAYLOAD_BYTES: usize = DATAGRAM_BYTES - HEADER_BYTES - TAG_BYTES;
/// The longest payload of a publisher's pictures: Cruvz's.
const MAX_PAYLOAD_BYTES: usize = 1_160;
const PERIOD: Duration = Duration::from_micros(33_333);
const BUFFER_BYTES: usize = 8 << 20;
/// What one segmented send may hold.
const MAX_SEGMENTS: usize = 53;

struct Viewer {
    key: LessSafeKey,
    /// Of pictures and of sound.
    seqs: [u16; 2],
    /// Packets so far: never the same nonce twice.
    index: u64,
}

struct Bare {
    socket: UdpSocket,
    state: UdpSocketState,
    viewers: HashMap<SocketAddr, Viewer>,
    run: Vec<u8>,
}

pub fn run(mut options: Options) -> Result<(), String> {
    let listen: SocketAddr = options.take("listen", None)?;
    let packets: usize = options.take("packets", Some(7))?;
    let publisher: String = options.take("publish", Some(String::new()))?;
    options.finish()?;
    let serve = || {
        let bare = Bare::bind(listen)?;
        if publisher.is_empty() { bare.make(packets) } else { bare.relay(&TcpListener::bind(&publisher)?) }
    };
    serve().map_err(|error: io::Error| error.to_string())
}

impl Bare {
    fn bind(listen: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(listen)?;
        let state = UdpSocketState::new((&socket).into())?;
        state.set_send_buffer_size((&socket).into(), BUFFER_BYTES)?;
        Ok(Self { socket, state, viewers: HashMap::new(), run: Vec::with_capacity(1 << 16) })
    }

    /// Makes a picture of so many packets whenever it is time for one.
    fn make(mut self, packets: usize) -> io::Result<()> {
        println!("listening");
        // Another one each time, as the pictures of a camera are.
        let mut picture = vec![0x5A_u8; packets * PAYLOAD_BYTES];
        let (began, mut turn) = (Instant::now(), 0);
        loop {
            self.welcome()?;
            picture.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
            self.send(Kind::Picture, &picture, PAYLOAD_BYTES, turn * 3_000);
            turn += 1;
            thread::sleep((began + PERIOD * turn).saturating_duration_since(Instant::now()));
        }
    }

    /// Passes on what a publisher brings, as it comes.
    fn relay(mut self, listener: &TcpListener) -> io::Result<()> {
        println!("listening");
        let mut reader = flv::Reader::new(BufReader::with_capacity(1 << 16, listener.accept()?.0))?;
        let (mut frame, began) = (Vec::new(), Instant::now());
        loop {
            let kind = reader.next(&mut frame)?;
            self.welcome()?;
            let pieces = frame.len().div_ceil(MAX_PAYLOAD_BYTES).max(1);
            let timestamp = began.elapsed().as_millis() as u32 * 90;
            self.send(kind, &frame, frame.len().div_ceil(pieces).max(1), timestamp);
        }
    }

    /// Sends a frame in payloads of `size` to everybody.
    fn send(&mut self, kind: Kind, frame: &[u8], size: usize, timestamp: u32) {
        let Self { socket, state, viewers, run } = self;
        for (to, viewer) in viewers {
            for part in frame.chunks(size * MAX_SEGMENTS) {
                viewer.seal(kind, (part, size), timestamp, run);
                let transmit = Transmit {
                    destination: *to,
                    ecn: None,
                    contents: run,
                    segment_size: (part.len() > size).then_some(HEADER_BYTES + size + TAG_BYTES),
                    src_ip: None,
                };
                match state.try_send((&*socket).into(), &transmit) {
                    // One that has gone, or no room: lost, as the receivers will see.
                    Ok(()) | Err(_) => {}
                }
            }
        }
    }

    /// Takes in those who knock.
    fn welcome(&mut self) -> io::Result<()> {
        let mut hello = [0; 64];
        loop {
            match self.socket.recv_from(&mut hello) {
                Ok((_, from)) => {
                    let number = self.viewers.len() as u8;
                    self.viewers.entry(from).or_insert_with(|| Viewer::new(number));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Somebody has gone (ICMP).
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Viewer {
    fn new(number: u8) -> Self {
        let key = UnboundKey::new(&AES_128_GCM, &[number; 16]).expect("16 bytes are a key");
        Self { key: LessSafeKey::new(key), seqs: [0; 2], index: 0 }
    }

    /// A frame, or a part of one, in payloads of some size, as this viewer gets it.
    fn seal(&mut self, kind: Kind, (frame, size): (&[u8], usize), timestamp: u32, run: &mut Vec<u8>) {
        run.clear();
        let payload_type = if kind == Kind::Picture { 96 } else { 111 };
        let count = frame.len().div_ceil(size);
        for (at, payload) in frame.chunks(size).enumerate() {
            let start = run.len();
            let marker = u8::from(at + 1 == count) << 7;
            let seq = &mut self.seqs[kind as usize];
            run.extend_from_slice(&[0x80, marker | payload_type]);
            run.extend_from_slice(&seq.to_be_bytes());
            run.extend_from_slice(&timestamp.to_be_bytes());
            run.extend_from_slice(&[0, 0, 0, 1 + kind as u8]);
            run.extend_from_slice(payload);
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&self.index.to_be_bytes());
            let (header, body) = run[start..].split_at_mut(HEADER_BYTES);
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(&*header), body).expect("short");
            run.extend_from_slice(tag.as_ref());
            (*seq, self.index) = (seq.wrapping_add(1), self.index + 1);
        }
    }
}
