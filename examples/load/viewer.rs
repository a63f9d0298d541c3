//! One viewer: a socket, and a reader that knows its protocol.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use bytes::BytesMut;
use cruvz_core::protocol::rtmp::{
    ClientConfig, ClientConnection, ClientEvent, Limits, MediaKind, chunk::ChunkReader, client::Role,
    message::kind,
};
use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

use crate::{
    flv::FlvReader,
    hls::HlsPlayer,
    meter::{HEAD_BYTES, Incoming, Meter, Sight},
    options::Target,
};

/// What a viewer does with what it could read, once it has seen its first picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Reads at once.
    Full,
    /// Reads that many bytes per second.
    Slow(usize),
    /// Reads nothing any more.
    Stuck,
}

/// A slow viewer's receive buffer, in bytes: the least that the kernel gives, so that the server feels it soon.
const SLOW_RECEIVE_BUFFER_BYTES: usize = 4096;

enum Reader {
    /// RTMP chunks from the first byte on: the bare loop's wire.
    Chunks(Box<ChunkReader>),
    Rtmp(Box<ClientConnection>),
    Flv(FlvReader),
    Hls(Box<HlsPlayer>),
}

/// One viewer.
pub(crate) struct Viewer {
    pub(crate) socket: TcpStream,
    pub(crate) sight: Sight,
    pub(crate) pace: Pace,
    /// Bytes that a slow viewer may read now.
    pub(crate) allowance: usize,
    reader: Reader,
    out: BytesMut,
}

impl Viewer {
    /// Begins to connect.
    pub(crate) fn connect(target: &Target, index: usize, pace: Pace, now: Duration) -> io::Result<Self> {
        let (reader, out) = match target.scheme.as_str() {
            "rtmp" => {
                let url = target.rtmp_url()?;
                let client = ClientConnection::new(ClientConfig::default(), url, Role::Play, index as u64);
                (Reader::Rtmp(Box::new(client)), BytesMut::new())
            }
            "chunks" => (Reader::chunks(), BytesMut::new()),
            "flv" | "http" if !target.path.contains(".m3u8") => (Reader::Flv(FlvReader::new()), get(target)),
            "http" => {
                let mut player = HlsPlayer::new(&target.host, &target.path);
                let out = player.take_out();
                (Reader::Hls(Box::new(player)), out)
            }
            other => return Err(io::Error::other(format!("cannot play {other}:// URLs"))),
        };
        let sight = Sight::new(now);
        Ok(Self { socket: open(target, pace)?, sight, pace, allowance: 0, reader, out })
    }

    /// Whether it has seen its first picture.
    pub(crate) const fn has_joined(&self) -> bool {
        self.sight.first_keyframe.is_some()
    }

    /// Whether the poll loop shall leave it alone.
    pub(crate) fn is_held_back(&self) -> bool {
        self.pace != Pace::Full && self.has_joined()
    }

    /// Reads what is there, as far as its pace allows.
    pub(crate) fn read(
        &mut self,
        now: Duration,
        scratch: &mut [u8],
        meter: &mut Meter,
    ) -> Result<(), String> {
        loop {
            let room = if self.is_held_back() { self.allowance.min(scratch.len()) } else { scratch.len() };
            if room == 0 {
                return Ok(());
            }
            match self.socket.read(&mut scratch[..room]) {
                Ok(0) => return Err("the server closed the connection".to_owned()),
                Ok(count) => {
                    meter.bytes(count);
                    self.allowance = self.allowance.saturating_sub(count);
                    self.receive(&scratch[..count], now, meter)?;
                    self.write()?;
                    // On Linux a read that was not filled has emptied the socket; asking again would cost a call.
                    if count < room {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Writes what is waiting to be sent.
    pub(crate) fn write(&mut self) -> Result<(), String> {
        if let Reader::Rtmp(client) = &mut self.reader {
            while let Some(bytes) = client.poll_transmit() {
                self.out.extend_from_slice(&bytes);
            }
        }
        while !self.out.is_empty() {
            match self.socket.write(&self.out) {
                Ok(count) => drop(self.out.split_to(count)),
                Err(error) if is_for_later(error.kind()) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Does what is due by the clock: an HLS player's reload, an RTMP client's ping.
    pub(crate) fn tick(&mut self, now: Duration) -> Result<(), String> {
        match &mut self.reader {
            Reader::Hls(player) if player.reload_at.is_some_and(|at| at <= now) => {
                player.reload();
                self.out.unsplit(player.take_out());
            }
            Reader::Rtmp(client) => {
                client.handle_timeout(now - self.sight.began).map_err(|error| error.to_string())?;
            }
            _ => return Ok(()),
        }
        self.write()
    }

    fn receive(&mut self, mut input: &[u8], now: Duration, meter: &mut Meter) -> Result<(), String> {
        let sight = &mut self.sight;
        match &mut self.reader {
            Reader::Chunks(reader) => {
                while let Some(message) = reader.read(&mut input).map_err(|error| error.to_string())? {
                    if message.header.kind == kind::VIDEO {
                        see(&message.payload, now, sight, meter);
                    }
                }
                Ok(())
            }
            Reader::Rtmp(client) => {
                client.receive(input).map_err(|error| error.to_string())?;
                while let Some(event) = client.poll_event() {
                    match event {
                        ClientEvent::Message(message) if message.kind == MediaKind::Video => {
                            see(&message.payload, now, sight, meter);
                        }
                        ClientEvent::Rejected(status) | ClientEvent::Ended(status) => {
                            return Err(format!("{status:?}"));
                        }
                        _ => {}
                    }
                }
                Ok(())
            }
            Reader::Flv(reader) => reader.receive(input, |tag| meter.video(sight, now, tag)),
            Reader::Hls(player) => {
                let result = player.receive(input, now, sight, meter);
                self.out.unsplit(player.take_out());
                result
            }
        }
    }
}

impl Reader {
    fn chunks() -> Self {
        let limits = Limits::default();
        let mut reader = ChunkReader::new(&limits);
        reader.set_authorized(&limits, true);
        Self::Chunks(Box::new(reader))
    }
}

fn see(body: &[u8], now: Duration, sight: &mut Sight, meter: &mut Meter) {
    let tail = body.last_chunk().copied().unwrap_or_default();
    let head = &body[..body.len().min(HEAD_BYTES)];
    meter.video(sight, now, &Incoming { head, tail, bytes: body.len() });
}

/// Errors that mean that a socket is not ready, or not connected yet.
pub(crate) fn is_for_later(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected | io::ErrorKind::Interrupted)
}

fn get(target: &Target) -> BytesMut {
    let request = format!("GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", target.path, target.host);
    BytesMut::from(request.as_bytes())
}

fn open(target: &Target, pace: Pace) -> io::Result<TcpStream> {
    if pace == Pace::Full {
        return TcpStream::connect(target.addr);
    }
    let socket = Socket::new(Domain::for_address(target.addr), Type::STREAM, None)?;
    socket.set_recv_buffer_size(SLOW_RECEIVE_BUFFER_BYTES)?;
    socket.connect(&target.addr.into())?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket.into()))
}
