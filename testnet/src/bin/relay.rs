//! A bad network between real UDP sockets.
//!
//! `relay --listen 127.0.0.1:9000 --target 127.0.0.1:8890 --seed 1 --delay-ms 50 --loss 0.05`
//!
//! Whoever sends to `--listen` has a socket of its own towards `--target`, as behind a NAT. Both ways have the same
//! conditions, each with its own chances. It says where it listens; a line of options on its standard input changes the
//! conditions to these (an empty one to none), which it confirms by `changed`; at the end of its input it ends and prints, for each way, what it carried and what of that was SRT. All is counted before any loss here, `repeated`
//! are data packets whose number had been sent before: `repeated / unique` is what a sender spends on retransmission.
//!
//! Options, besides those above: `--jitter-ms`, `--burst-every-ms` with `--burst-ms` (all is lost for that long, at
//! intervals of that mean), `--reorder` (a share) with `--reorder-ms`, `--duplicate`, `--rate-bps`, `--queue-ms`,
//! `--flip` (the share of datagrams of which one bit arrives wrong).

use std::{
    collections::HashMap,
    env,
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    process,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use cruvz_testnet::{Bursts, Conditions, Network, Random, Reordering, Span, Wire};
use socket2::SockRef;

/// A client that has said nothing for so long is forgotten.
const SILENCE: Duration = Duration::from_secs(15);
const LOOK_AROUND: Duration = Duration::from_secs(1);
/// Datagrams read and not yet on the wire; a full queue leaves them in the sockets.
const UNREAD: usize = 4096;
/// What waits in a socket at most, as far as the system permits: what is lost is to be lost by intent only.
const SOCKET_BUFFER: usize = 4 << 20;
/// Nothing longer fits into a datagram.
const MAX_DATAGRAM: usize = 65_536;
const USAGE: &str = "relay --listen ADDR --target ADDR [--seed N] [--delay-ms N] [--jitter-ms N] [--loss SHARE] \
    [--burst-every-ms N --burst-ms N] [--reorder SHARE --reorder-ms N] [--duplicate SHARE] [--rate-bps N --queue-ms N] [--flip SHARE]";

fn main() {
    if let Err(error) = run() {
        eprintln!("relay: {error}\nusage: {USAGE}");
        process::exit(2);
    }
}

fn run() -> Result<(), String> {
    let mut options = Options::read(env::args().skip(1))?;
    let listen: SocketAddr = options.take("listen")?.ok_or("--listen is missing")?;
    let target: SocketAddr = options.take("target")?.ok_or("--target is missing")?;
    let seed = options.take("seed")?.unwrap_or(1);
    let (conditions, flip) = (options.conditions()?, options.share("flip")?);
    options.finish()?;
    let relay = Relay::new(listen, target, Quality { conditions, flip }, seed);
    let mut relay = relay.map_err(|error| format!("{listen}: {error}"))?;
    println!("listening on {}", relay.socket.local_addr().map_err(|error| error.to_string())?);
    relay.carry().map_err(|error| error.to_string())?;
    println!("{{\"up\": {}, \"down\": {}}}", relay.up.report(), relay.down.report());
    Ok(())
}

/// The command line as names and values.
struct Options(HashMap<String, String>);

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut given = HashMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("what is {word}?"))?;
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            given.insert(name.to_owned(), value);
        }
        Ok(Self(given))
    }

    fn take<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.0.remove(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("--{name} cannot be {text}"))
    }

    fn share(&mut self, name: &str) -> Result<f64, String> {
        let share = self.take(name)?.unwrap_or(0.0);
        if (0.0..=1.0).contains(&share) {
            Ok(share)
        } else {
            Err(format!("--{name} {share} is not from 0 to 1"))
        }
    }

    fn span(&mut self, name: &str) -> Result<Option<Duration>, String> {
        let Some(milliseconds) = self.take::<f64>(name)? else { return Ok(None) };
        Duration::try_from_secs_f64(milliseconds / 1e3)
            .map(Some)
            .map_err(|error| format!("--{name}: {error}"))
    }

    fn conditions(&mut self) -> Result<Conditions, String> {
        let bursts = match (self.span("burst-every-ms")?, self.span("burst-ms")?) {
            (Some(every), Some(long)) => {
                Some(Bursts { good: Span::Mean(every), bad: Span::Fixed(long), loss: 1.0 })
            }
            (None, None) => None,
            _ => return Err("--burst-every-ms and --burst-ms go together".to_owned()),
        };
        let (share, by) = (self.share("reorder")?, self.span("reorder-ms")?);
        Ok(Conditions {
            delay: self.span("delay-ms")?.unwrap_or_default(),
            jitter: self.span("jitter-ms")?.unwrap_or_default(),
            loss: self.share("loss")?,
            bursts,
            reordering: by.map(|by| Reordering { share, by }),
            duplication: self.share("duplicate")?,
            rate_bps: self.take("rate-bps")?,
            queue: self.span("queue-ms")?.unwrap_or_default(),
        })
    }

    fn finish(self) -> Result<(), String> {
        self.0.into_keys().next().map_or(Ok(()), |name| Err(format!("what is --{name}?")))
    }
}

/// What the readers tell the one who carries.
enum Event {
    /// A datagram of the client with this address, towards the target or from it.
    Datagram { client: SocketAddr, up: bool, bytes: Vec<u8> },
    /// A line came on standard input.
    Change(String),
    /// Standard input has ended.
    End,
}

/// One who sends to the relay, and its socket towards the target.
struct Client {
    socket: UdpSocket,
    last: Instant,
    /// Ends the reader of the socket.
    gone: Arc<AtomicBool>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

struct Relay {
    began: Instant,
    target: SocketAddr,
    socket: UdpSocket,
    clients: HashMap<SocketAddr, Client>,
    up: Way,
    down: Way,
    events: mpsc::Receiver<Event>,
    tell: SyncSender<Event>,
}

impl Relay {
    fn new(listen: SocketAddr, target: SocketAddr, quality: Quality, seed: u64) -> io::Result<Self> {
        let (tell, events) = mpsc::sync_channel(UNREAD);
        let socket = bind(listen)?;
        let (reader, tell_datagram) = (socket.try_clone()?, tell.clone());
        thread::spawn(move || {
            read(&reader, &AtomicBool::new(false), |client, bytes| {
                tell_datagram.send(Event::Datagram { client, up: true, bytes }).is_ok()
            });
        });
        let tell_end = tell.clone();
        thread::spawn(move || {
            // An error is an end as well.
            for line in io::stdin().lines().map_while(Result::ok) {
                let _ = tell_end.send(Event::Change(line));
            }
            let _ = tell_end.send(Event::End);
        });
        let mut seeds = Random::new(seed);
        let (up, down) = (Way::new(&quality, &mut seeds), Way::new(&quality, &mut seeds));
        Ok(Self { began: now(), target, socket, clients: HashMap::new(), up, down, events, tell })
    }

    /// Carries datagrams until standard input ends.
    fn carry(&mut self) -> io::Result<()> {
        let mut look_around = now() + LOOK_AROUND;
        loop {
            let next = [&self.up, &self.down].into_iter().filter_map(|way| way.wire.next_arrival()).min();
            let wait = next.unwrap_or(Duration::MAX).saturating_sub(self.began.elapsed()).min(LOOK_AROUND);
            match self.events.recv_timeout(wait) {
                Ok(Event::Datagram { client, up, bytes }) => self.accept(client, up, bytes)?,
                Ok(Event::Change(line)) => self.change(&line).map_err(io::Error::other)?,
                Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.deliver();
            if now() >= look_around {
                look_around = now() + LOOK_AROUND;
                self.clients.retain(|_, client| client.last.elapsed() < SILENCE);
            }
        }
    }

    /// From now on the network is as `line` says.
    fn change(&mut self, line: &str) -> Result<(), String> {
        let mut options = Options::read(line.split_whitespace().map(str::to_owned))?;
        let conditions = options.conditions()?;
        options.finish()?;
        self.up.wire.network.change(conditions.clone());
        self.down.wire.network.change(conditions);
        println!("changed");
        Ok(())
    }

    fn accept(&mut self, address: SocketAddr, up: bool, mut bytes: Vec<u8>) -> io::Result<()> {
        match self.clients.get_mut(&address) {
            Some(client) if up => client.last = now(),
            Some(_) => {}
            None if up => self.admit(address)?,
            // Meant for one who has been forgotten.
            None => return Ok(()),
        }
        let now = self.began.elapsed();
        let way = if up { &mut self.up } else { &mut self.down };
        way.srt.count(address, &bytes);
        way.damage(&mut bytes);
        way.wire.send(now, bytes.len(), (address, bytes));
        Ok(())
    }

    fn admit(&mut self, address: SocketAddr) -> io::Result<()> {
        let any =
            if self.target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = bind(SocketAddr::new(any, 0))?;
        socket.connect(self.target)?;
        let (reader, gone, tell) = (socket.try_clone()?, Arc::new(AtomicBool::new(false)), self.tell.clone());
        let client = Client { socket, last: now(), gone: gone.clone() };
        thread::spawn(move || {
            read(&reader, &gone, |_, bytes| {
                tell.send(Event::Datagram { client: address, up: false, bytes }).is_ok()
            });
        });
        self.clients.insert(address, client);
        Ok(())
    }

    /// Sends what has arrived. What the kernel refuses is lost, as on any network.
    fn deliver(&mut self) {
        let now = self.began.elapsed();
        while let Some((address, bytes)) = self.up.wire.receive(now) {
            if let Some(client) = self.clients.get(&address) {
                self.up.refused += u64::from(client.socket.send(&bytes).is_err());
            }
        }
        while let Some((address, bytes)) = self.down.wire.receive(now) {
            self.down.refused += u64::from(self.socket.send_to(&bytes, address).is_err());
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER)?;
    SockRef::from(&socket).set_send_buffer_size(SOCKET_BUFFER)?;
    Ok(socket)
}

/// Hands on what comes until `gone` is set or nobody takes it any more.
fn read(socket: &UdpSocket, gone: &AtomicBool, mut hand_on: impl FnMut(SocketAddr, Vec<u8>) -> bool) {
    let mut scratch = vec![0; MAX_DATAGRAM];
    socket.set_read_timeout(Some(LOOK_AROUND)).expect("the timeout is not zero");
    while !gone.load(Ordering::Relaxed) {
        match socket.recv_from(&mut scratch) {
            Ok((length, from)) if hand_on(from, scratch[..length].to_vec()) => {}
            Ok(_) => return,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // The target does not listen (yet), or a signal came. The pause is for errors that stay.
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// How bad the network is.
struct Quality {
    conditions: Conditions,
    /// The share of datagrams that are damaged.
    flip: f64,
}

/// One direction and what went that way.
struct Way {
    wire: Wire<(SocketAddr, Vec<u8>)>,
    srt: SrtCount,
    flip: f64,
    flips: Random,
    /// Datagrams of which a bit was flipped.
    flipped: u64,
    /// Datagrams that the kernel did not take.
    refused: u64,
}

impl Way {
    fn new(quality: &Quality, seeds: &mut Random) -> Self {
        let seed = seeds.next_u64();
        let wire = Wire::new(Network::new(quality.conditions.clone(), seed));
        let (flip, flips) = (quality.flip, Random::new(seed.rotate_left(32)));
        Self { wire, srt: SrtCount::default(), flip, flips, flipped: 0, refused: 0 }
    }

    /// Flips a bit of some datagrams.
    fn damage(&mut self, datagram: &mut [u8]) {
        if datagram.is_empty() || !self.flips.chance(self.flip) {
            return;
        }
        let bit = self.flips.next_u64() % (8 * datagram.len() as u64);
        datagram[(bit / 8) as usize] ^= 1 << (bit % 8);
        self.flipped += 1;
    }

    fn report(&self) -> String {
        let (tally, srt) = (self.wire.network.tally(), &self.srt);
        let fields = [
            ("datagrams", tally.sent),
            ("bytes", tally.sent_bytes),
            ("lost", tally.lost),
            ("overflowed", tally.overflowed),
            ("reordered", tally.reordered),
            ("duplicated", tally.duplicated),
            ("refused", self.refused),
            ("flipped", self.flipped),
            ("data", srt.data),
            ("unique", srt.data - srt.repeated),
            ("repeated", srt.repeated),
            ("flagged", srt.flagged),
            ("handshakes", srt.control[0]),
            ("keepalives", srt.control[1]),
            ("acks", srt.control[2]),
            ("naks", srt.control[3]),
            ("shutdowns", srt.control[5]),
            ("ackacks", srt.control[6]),
            ("drop_requests", srt.control[7]),
        ];
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        format!("{{{}}}", fields.join(", "))
    }
}

/// What of the datagrams was SRT, read from the first 16 bytes of each.
#[derive(Default)]
struct SrtCount {
    data: u64,
    /// Data packets that are not ahead of all before them. Senders send in order, but for what they repeat.
    repeated: u64,
    /// Data packets with the retransmission flag.
    flagged: u64,
    /// Control packets by their type, those from 8 on together.
    control: [u64; 9],
    /// The number furthest ahead, by client and destination socket.
    newest: HashMap<(SocketAddr, u32), u32>,
}

impl SrtCount {
    fn count(&mut self, client: SocketAddr, bytes: &[u8]) {
        let word = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let (Some(first), Some(second), Some(destination)) = (word(0), word(4), word(12)) else { return };
        if first >> 31 == 1 {
            self.control[((first >> 16) as usize & 0x7fff).min(8)] += 1;
            return;
        }
        self.data += 1;
        self.flagged += u64::from(second >> 26 & 1);
        let newest = self.newest.entry((client, destination)).or_insert_with(|| first.wrapping_sub(1));
        // Numbers have 31 bits: shifted up by one, they wrap as a u32 does.
        if (first << 1).wrapping_sub(*newest << 1).cast_signed() > 0 {
            *newest = first;
        } else {
            self.repeated += 1;
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "real sockets live on the real clock, and this is a program of its own"
)]
fn now() -> Instant {
    Instant::now()
}
