//! `load publish`: publishers of the test stream, each at its own pace.

use std::{
    io::{self, Read, Write},
    thread,
    time::Duration,
};

use bytes::{BufMut, BytesMut};
use cruvz_core::{
    protocol::rtmp::{ClientConfig, ClientConnection, ClientEvent, client::Role},
    runtime::clock::Clock,
};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use serde::Serialize;

use crate::{
    options::{Options, Target},
    process::{Cost, Process, Watch},
    synthetic::{Synthetic, Wire},
    viewer::is_for_later,
};

/// How long a publisher sleeps at most, so that it sees answers.
const NAP: Duration = Duration::from_millis(5);
/// What a server may leave unread before its publisher is given up, in bytes: 15 s of the stream.
const MAX_UNSENT_BYTES: usize = 4 << 20;
/// Set in a piece's length: every viewer gets this piece first.
pub(crate) const PROLOGUE: u32 = 1 << 31;

struct Plan {
    target: Target,
    publishers: u32,
    warm_up: Duration,
    /// Without one it publishes until it is ended.
    window: Option<Duration>,
    process: Process,
}

/// The report, one JSON line.
#[derive(Serialize)]
struct Report {
    publishers: u32,
    /// Publishers that were lost, each with its reason.
    failed: Vec<String>,
    seconds: f64,
    /// Bytes sent in the window.
    bytes: u64,
    #[serde(flatten)]
    cost: Cost,
}

/// What is said on the wire around the messages.
enum Speech {
    Rtmp(Box<ClientConnection>),
    /// To the bare loop: each message as it shall go out, behind its length.
    Pieces(Wire),
}

struct Publisher {
    socket: TcpStream,
    speech: Speech,
    /// There once the server has let it publish.
    stream: Option<Synthetic>,
    out: BytesMut,
    sent_bytes: u64,
}

/// Runs the mode and prints its report.
pub(crate) fn run(mut options: Options) -> Result<(), String> {
    let window: Option<f64> = options.take("seconds")?;
    let warm_up: Option<f64> = options.take("warm-up-s")?;
    let plan = Plan {
        target: options.take("url")?.ok_or("--url is missing")?,
        publishers: options.take("publishers")?.unwrap_or(1),
        warm_up: Duration::from_secs_f64(warm_up.unwrap_or(1.0)),
        window: window.map(Duration::from_secs_f64),
        process: Process(options.take("pid")?),
    };
    options.finish()?;
    let report = publish(&plan).map_err(|error| error.to_string())?;
    println!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?);
    Ok(())
}

fn publish(plan: &Plan) -> io::Result<Report> {
    let clock = Clock::start();
    let mut poll = Poll::new()?;
    let mut failed = Vec::new();
    let mut watch = Watch::begin(plan.process)?;
    let mut publishers = Vec::new();
    for index in 0..plan.publishers {
        let mut publisher = Publisher::connect(&plan.target, index)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut publisher.socket, Token(index as usize), interest)?;
        publishers.push(Some(publisher));
    }
    let opens = clock.now() + plan.warm_up;
    let mut opened = None;
    let sent =
        |publishers: &[Option<Publisher>]| publishers.iter().flatten().map(|one| one.sent_bytes).sum::<u64>();
    loop {
        let next = serve_all(&mut poll, &clock, &mut publishers, &mut failed)?;
        let now = clock.now();
        if opened.is_none() && now >= opens {
            watch.open()?;
            opened = Some((now, sent(&publishers)));
        }
        if let (Some((opened, before)), Some(window)) = (opened, plan.window)
            && now >= opened + window
        {
            let (bytes, seconds) = (sent(&publishers) - before, (now - opened).as_secs_f64());
            return Ok(Report { publishers: plan.publishers, failed, seconds, bytes, cost: watch.end()? });
        }
        // Poll's timeout is in whole milliseconds, which would bunch messages together.
        thread::sleep(next.saturating_sub(clock.now()).min(NAP));
    }
}

/// Reads and writes what can be, and sends what is due. When the next message is.
fn serve_all(
    poll: &mut Poll,
    clock: &Clock,
    publishers: &mut [Option<Publisher>],
    failed: &mut Vec<String>,
) -> io::Result<Duration> {
    let mut events = Events::with_capacity(256);
    poll.poll(&mut events, Some(Duration::ZERO))?;
    let mut ready = vec![false; publishers.len()];
    events.iter().for_each(|event| ready[event.token().0] = true);
    let mut next = clock.now() + NAP;
    for (slot, ready) in publishers.iter_mut().zip(ready) {
        let Some(publisher) = slot else { continue };
        let served = if ready { publisher.read(clock) } else { Ok(()) };
        if let Err(reason) = served.and_then(|()| publisher.send_due(clock)) {
            failed.push(reason);
            *slot = None;
        } else if let Some(stream) = &publisher.stream {
            next = next.min(stream.due());
        }
    }
    Ok(next)
}

impl Publisher {
    /// The socket is not connected yet, but its options hold.
    fn connect(target: &Target, index: u32) -> io::Result<Self> {
        let speech = match target.scheme.as_str() {
            "rtmp" => {
                let url = target.numbered(index).rtmp_url()?;
                let client = ClientConnection::new(ClientConfig::default(), url, Role::Publish, index.into());
                Speech::Rtmp(Box::new(client))
            }
            "chunks" => Speech::Pieces(Wire::Chunks),
            "flv" => Speech::Pieces(Wire::Flv),
            other => return Err(io::Error::other(format!("cannot publish to {other}:// URLs"))),
        };
        let socket = TcpStream::connect(target.addr)?;
        // Else a picture waits for the acknowledgement of the sound before it, and the server seems slow.
        socket.set_nodelay(true)?;
        Ok(Self { socket, speech, stream: None, out: BytesMut::new(), sent_bytes: 0 })
    }

    /// Reads what the server says, and begins the stream once it may.
    fn read(&mut self, clock: &Clock) -> Result<(), String> {
        let mut scratch = [0; 4096];
        loop {
            match self.socket.read(&mut scratch) {
                Ok(0) => return Err("the server closed the connection".to_owned()),
                Ok(count) => {
                    if let Speech::Rtmp(client) = &mut self.speech {
                        client.receive(&scratch[..count]).map_err(|error| error.to_string())?;
                    }
                }
                Err(error) if is_for_later(error.kind()) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        match &mut self.speech {
            Speech::Rtmp(client) => {
                while let Some(event) = client.poll_event() {
                    match event {
                        ClientEvent::Started { .. } => {
                            for (kind, body) in Synthetic::headers() {
                                client.send(kind, 0, &[&body]).map_err(|error| error.to_string())?;
                            }
                            self.stream = Some(Synthetic::new(clock.now()));
                        }
                        ClientEvent::Rejected(status) | ClientEvent::Ended(status) => {
                            return Err(format!("{status:?}"));
                        }
                        _ => {}
                    }
                }
            }
            Speech::Pieces(wire) if self.stream.is_none() => {
                let prologue = wire.prologue();
                self.out.put_u32(prologue.len() as u32 | PROLOGUE);
                self.out.put(prologue);
                self.stream = Some(Synthetic::new(clock.now()));
            }
            Speech::Pieces(_) => {}
        }
        Ok(())
    }

    fn send_due(&mut self, clock: &Clock) -> Result<(), String> {
        let mut body = Vec::new();
        while let Some(stream) = self.stream.as_mut().filter(|stream| stream.due() <= clock.now()) {
            let message = stream.next(clock.unix_us(clock.now()), &mut body);
            match &mut self.speech {
                Speech::Rtmp(client) => {
                    let sent = client.send(message.kind, message.timestamp_ms, &[message.body]);
                    sent.map_err(|error| error.to_string())?;
                }
                Speech::Pieces(wire) => {
                    let at = self.out.len();
                    self.out.put_u32(0);
                    wire.put(&mut self.out, &message);
                    let length = (self.out.len() - at - 4) as u32;
                    self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
                }
            }
            self.write()?;
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), String> {
        if let Speech::Rtmp(client) = &mut self.speech {
            while let Some(bytes) = client.poll_transmit() {
                self.out.put(bytes);
            }
        }
        while !self.out.is_empty() {
            match self.socket.write(&self.out) {
                Ok(count) => {
                    drop(self.out.split_to(count));
                    self.sent_bytes += count as u64;
                }
                Err(error) if is_for_later(error.kind()) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        match self.out.len() > MAX_UNSENT_BYTES {
            true => Err(format!("the server left {} bytes unread", self.out.len())),
            false => Ok(()),
        }
    }
}
