//! One viewer: its socket, and what came.

use std::{io, net::SocketAddr, time::Duration};

use cruvz_core::protocol::webrtc::Incoming;
use mio::net::UdpSocket;

use crate::{http, rtc::Rtc};

/// Payload types of our offer that carry pictures, and those of their repeats.
const PICTURES: [u8; 2] = [96, 98];
const REPEATS: [u8; 2] = [97, 99];
/// That of sound.
const SOUND: u8 = 111;
/// First bytes of an alert of DTLS (RFC 6347 §4.1), and of RTP.
const ALERT: u8 = 21;
/// How a check begins: the type of a binding request (RFC 8489 §5).
const CHECK: [u8; 2] = [0, 1];
const RTP: std::ops::RangeInclusive<u8> = 128..=191;

/// Where viewers connect to.
#[derive(Clone, Debug)]
pub enum Target {
    Whep { host: String, path: String },
    Bare(SocketAddr),
}

/// What viewers have counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Payload bytes of all datagrams of media and reports.
    pub bytes: u64,
    pub datagrams: u64,
    /// Packets of pictures.
    pub packets: u64,
    /// Packets of sound.
    pub sound: u64,
    /// Packets that are missing between two others, by the sequence numbers in the headers.
    pub gaps: u64,
    /// Packets that came behind later ones.
    pub belated: u64,
    pub repeats: u64,
    /// Packets that were decrypted.
    pub opened: u64,
    /// Places that are missing between decrypted ones.
    pub opened_gaps: u64,
    /// Packets that were not authentic, or came twice.
    pub bad: u64,
}

pub struct Viewer {
    pub socket: UdpSocket,
    rtc: Option<Rtc>,
    decrypts: bool,
    pub counts: Counts,
    /// When it was answered, and when its first packet of pictures came.
    pub answered: Duration,
    pub first: Option<Duration>,
    pub ended: bool,
    /// Source and sequence number, extended to 32 bits, of the newest packet of pictures.
    newest: Option<(u32, u32)>,
    newest_opened: Option<u64>,
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if let Some(address) = url.strip_prefix("bare://") {
            return address.parse().map(Self::Bare).map_err(|error| format!("{url}: {error}"));
        }
        let rest =
            url.strip_prefix("http://").ok_or_else(|| format!("{url}: neither http:// nor bare://"))?;
        let (host, path) = rest.split_at(rest.find('/').ok_or_else(|| format!("{url}: no path"))?);
        Ok(Self::Whep { host: host.to_owned(), path: path.to_owned() })
    }
}

impl Viewer {
    /// Asks for the stream; `clock` says what time it is.
    pub fn join(
        number: u32,
        target: &Target,
        decrypts: bool,
        clock: impl Fn() -> Duration,
    ) -> io::Result<Self> {
        let (rtc, server) = match target {
            Target::Bare(server) => (None, *server),
            Target::Whep { host, path } => {
                let answer = http::offer(host, path, &crate::rtc::offer(number))?;
                let rtc = Rtc::new(number, &answer, clock())?;
                let server = rtc.server;
                (Some(rtc), server)
            }
        };
        let socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0))?;
        socket.connect(server)?;
        let answered = clock();
        let mut viewer = Self {
            socket,
            rtc,
            decrypts,
            counts: Counts::default(),
            answered,
            first: None,
            ended: false,
            newest: None,
            newest_opened: None,
        };
        if viewer.rtc.is_none() {
            viewer.socket.send(b"hello")?;
        }
        viewer.tick(answered);
        Ok(viewer)
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration) {
        let Self { socket, rtc, newest, .. } = self;
        if let Some(rtc) = rtc {
            rtc.tick(now, *newest, &mut |datagram| send(socket, datagram));
        }
    }

    /// Reads all that is there.
    pub fn read(&mut self, now: Duration, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            match self.socket.recv(scratch) {
                Ok(count) => self.take(now, &scratch[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self, now: Duration, datagram: &[u8]) {
        let Some(&first) = datagram.first() else { return };
        let is_media = RTP.contains(&first) && datagram.len() >= 12;
        if is_media {
            self.counts.bytes += datagram.len() as u64;
            self.counts.datagrams += 1;
            self.count(now, datagram);
        }
        self.ended |= first == ALERT;
        let Self { socket, rtc: Some(rtc), .. } = self else { return };
        if datagram.starts_with(&CHECK) {
            rtc.answer(now, datagram, &mut |datagram| send(socket, datagram));
        }
        // Answers to our checks (below 4) say nothing new.
        if first < 4 || (is_media && !self.decrypts) {
            return;
        }
        if let Some(Incoming::Rtp { index, packet }) =
            rtc.receive(now, datagram, &mut |datagram| send(socket, datagram))
            && PICTURES.contains(&(packet[1] & 0x7F))
        {
            self.counts.opened += 1;
            self.counts.opened_gaps +=
                self.newest_opened.map_or(0, |newest| index.saturating_sub(newest + 1));
            self.newest_opened = self.newest_opened.max(Some(index));
        }
        self.counts.bad = rtc.bad();
    }

    /// Looks at the header, which is in the clear.
    fn count(&mut self, now: Duration, packet: &[u8]) {
        if let Some(rtc) = &mut self.rtc {
            rtc.arrived(now, packet);
        }
        let payload_type = packet[1] & 0x7F;
        self.counts.sound += u64::from(payload_type == SOUND);
        self.counts.repeats += u64::from(REPEATS.contains(&payload_type));
        if !PICTURES.contains(&payload_type) {
            return;
        }
        self.counts.packets += 1;
        self.first.get_or_insert(now);
        let seq = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let Some((_, newest)) = self.newest.filter(|(known, _)| *known == ssrc) else {
            self.newest = Some((ssrc, seq.into()));
            return;
        };
        match seq.wrapping_sub(newest as u16) {
            ahead @ 1..0x8000 => {
                self.counts.gaps += u64::from(ahead - 1);
                self.newest = Some((ssrc, newest.wrapping_add(ahead.into())));
            }
            _ => self.counts.belated += 1,
        }
    }
}

/// What the kernel does not take is lost, as on any network.
fn send(socket: &UdpSocket, datagram: &[u8]) {
    let _ = socket.send(datagram);
}

impl std::ops::Sub for Counts {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            bytes: self.bytes - before.bytes,
            datagrams: self.datagrams - before.datagrams,
            packets: self.packets - before.packets,
            sound: self.sound - before.sound,
            gaps: self.gaps - before.gaps,
            belated: self.belated - before.belated,
            repeats: self.repeats - before.repeats,
            opened: self.opened - before.opened,
            opened_gaps: self.opened_gaps - before.opened_gaps,
            bad: self.bad - before.bad,
        }
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            bytes: sum.bytes + one.bytes,
            datagrams: sum.datagrams + one.datagrams,
            packets: sum.packets + one.packets,
            sound: sum.sound + one.sound,
            gaps: sum.gaps + one.gaps,
            belated: sum.belated + one.belated,
            repeats: sum.repeats + one.repeats,
            opened: sum.opened + one.opened,
            opened_gaps: sum.opened_gaps + one.opened_gaps,
            bad: sum.bad + one.bad,
        })
    }
}
