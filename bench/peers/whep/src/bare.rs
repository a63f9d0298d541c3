//! The bare loop: each 33 1/3 ms a picture of equal packets to everybody who said hello, each packet copied and sealed with
//! a key of that viewer's, one GSO send per viewer. No log, no repeats, no reports, no protocol.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use quinn_udp::{Transmit, UdpSocketState};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::Options;

/// A packet on the wire: header, payload, tag.
const DATAGRAM_BYTES: usize = 1_216;
const HEADER_BYTES: usize = 12;
const PAYLOAD_BYTES: usize = DATAGRAM_BYTES - HEADER_BYTES - 16;
const PERIOD: Duration = Duration::from_micros(33_333);
const BUFFER_BYTES: usize = 8 << 20;

struct Viewer {
    key: LessSafeKey,
    seq: u16,
    index: u64,
}

pub fn run(mut options: Options) -> Result<(), String> {
    let listen: SocketAddr = options.take("listen", None)?;
    let packets: usize = options.take("packets", Some(7))?;
    options.finish()?;
    serve(listen, packets).map_err(|error| error.to_string())
}

fn serve(listen: SocketAddr, packets: usize) -> io::Result<()> {
    let socket = UdpSocket::bind(listen)?;
    let state = UdpSocketState::new((&socket).into())?;
    state.set_send_buffer_size((&socket).into(), BUFFER_BYTES)?;
    println!("listening");
    let mut viewers = HashMap::new();
    // Another one each time, as the pictures of a camera are.
    let mut picture = vec![0x5A_u8; packets * PAYLOAD_BYTES];
    let mut run = Vec::with_capacity(packets * DATAGRAM_BYTES);
    let (began, mut turn) = (Instant::now(), 0);
    loop {
        welcome(&socket, &mut viewers)?;
        picture.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
        for (to, viewer) in &mut viewers {
            viewer.seal(&picture, turn, &mut run);
            let transmit = Transmit {
                destination: *to,
                ecn: None,
                contents: &run,
                segment_size: (packets > 1).then_some(DATAGRAM_BYTES),
                src_ip: None,
            };
            match state.try_send((&socket).into(), &transmit) {
                // One that has gone, or no room: lost, as the receivers will see.
                Ok(()) | Err(_) => {}
            }
        }
        turn += 1;
        thread::sleep((began + PERIOD * turn).saturating_duration_since(Instant::now()));
    }
}

/// Takes in those who knock.
fn welcome(socket: &UdpSocket, viewers: &mut HashMap<SocketAddr, Viewer>) -> io::Result<()> {
    let mut hello = [0; 64];
    loop {
        match socket.recv_from(&mut hello) {
            Ok((_, from)) => {
                let number = viewers.len() as u8;
                viewers.entry(from).or_insert_with(|| Viewer::new(number));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // Somebody has gone (ICMP).
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
    }
}

impl Viewer {
    fn new(number: u8) -> Self {
        let key = UnboundKey::new(&AES_128_GCM, &[number; 16]).expect("16 bytes are a key");
        Self { key: LessSafeKey::new(key), seq: 0, index: 0 }
    }

    /// The picture as this viewer gets it.
    fn seal(&mut self, picture: &[u8], turn: u32, run: &mut Vec<u8>) {
        run.clear();
        let count = picture.len() / PAYLOAD_BYTES;
        for (at, payload) in picture.chunks_exact(PAYLOAD_BYTES).enumerate() {
            let start = run.len();
            let marker = u8::from(at + 1 == count) << 7;
            run.extend_from_slice(&[0x80, marker | 96]);
            run.extend_from_slice(&self.seq.to_be_bytes());
            run.extend_from_slice(&(turn * 3_000).to_be_bytes());
            run.extend_from_slice(&[0, 0, 0, 1]);
            run.extend_from_slice(payload);
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&self.index.to_be_bytes());
            let (header, body) = run[start..].split_at_mut(HEADER_BYTES);
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(&*header), body).expect("short");
            run.extend_from_slice(tag.as_ref());
            (self.seq, self.index) = (self.seq.wrapping_add(1), self.index + 1);
        }
    }
}
