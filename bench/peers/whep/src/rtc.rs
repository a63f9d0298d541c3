//! The protocol side of a WHEP player: Cruvz's own state machine for DTLS and SRTP, turned round, with the offers, checks and
//! reports of a browser.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use cruvz_core::protocol::webrtc::{
    Certificate, Credentials, DtlsRole, Fingerprint, Incoming, Path, Transport, TransportConfig,
    TransportLimits,
    rtcp::write,
    stun::{Check, IceRole},
};

/// One certificate for all: making one takes a while.
static CERTIFICATE: LazyLock<Arc<Certificate>> =
    LazyLock::new(|| Certificate::generate(Instant::now()).expect("random numbers"));
/// Between checks: while connecting, and for consent.
const CHECK_EVERY: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Between reports of arrivals, where the server numbers packets for them (as Chromium's, which come each 50 to 250 ms).
const ARRIVALS_EVERY: Duration = Duration::from_millis(100);
const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// A session that was answered.
pub struct Rtc {
    transport: Transport,
    pub server: SocketAddr,
    ours: Credentials,
    theirs: Credentials,
    checks: u32,
    next_check: Duration,
    next_report: Duration,
    arrivals: Arrivals,
}

/// When packets came, by their numbers in a header extension (TWCC).
#[derive(Default)]
struct Arrivals {
    /// The extension's id, if it was agreed on.
    id: Option<u8>,
    next: Duration,
    feedback: u8,
    base: Option<u64>,
    newest: u64,
    came: Vec<(u64, Duration)>,
}

/// Credentials for player `number`. They are no secret here, but must differ.
fn credentials(number: u32) -> Credentials {
    Credentials::from_random(std::array::from_fn(|at| {
        (number >> (8 * (at % 4))) as u8 ^ (at as u8).wrapping_mul(37)
    }))
}

/// What player `number` offers: H.264 of two profiles with RTX, and Opus.
pub fn offer(number: u32) -> String {
    let Credentials { ufrag, pwd } = credentials(number);
    let common = format!(
        "c=IN IP4 0.0.0.0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\na=ice-options:trickle\r\na=fingerprint:{}\r\n\
         a=setup:active\r\na=recvonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=extmap:3 {TRANSPORT_CC}\r\n",
        CERTIFICATE.fingerprint()
    );
    let h264 = |payload: u8, profile: &str| {
        let repeats = payload + 1;
        format!(
            "a=rtpmap:{payload} H264/90000\r\na=rtcp-fb:{payload} nack\r\na=rtcp-fb:{payload} nack pli\r\n\
             a=rtcp-fb:{payload} transport-cc\r\na=fmtp:{payload} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}\r\n\
             a=rtpmap:{repeats} rtx/90000\r\na=fmtp:{repeats} apt={payload}\r\n"
        )
    };
    format!(
        "v=0\r\no=- {number} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99\r\na=mid:0\r\n{common}{}{}\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\n{common}a=rtpmap:111 opus/48000/2\r\n\
         a=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n",
        h264(96, "42e01f"),
        h264(98, "640032"),
    )
}

fn value<'a>(sdp: &'a str, key: &str) -> io::Result<&'a str> {
    let found = sdp.lines().find_map(|line| line.strip_prefix(key));
    found.ok_or_else(|| io::Error::other(format!("no {key} in {sdp}")))
}

/// The address of the first candidate over UDP.
fn address(sdp: &str) -> Option<SocketAddr> {
    let mut candidates = sdp.lines().filter_map(|line| line.strip_prefix("a=candidate:"));
    let found: Vec<_> = candidates.find(|line| line.split(' ').nth(2) == Some("udp"))?.split(' ').collect();
    format!("{}:{}", found.get(4)?, found.get(5)?).parse().ok()
}

impl Rtc {
    /// Begins to connect as the answer says.
    pub fn new(number: u32, answer: &str, now: Duration) -> io::Result<Self> {
        let ours = credentials(number);
        let theirs = Credentials {
            ufrag: value(answer, "a=ice-ufrag:")?.to_owned(),
            pwd: value(answer, "a=ice-pwd:")?.to_owned(),
        };
        let fingerprint = Fingerprint::parse(value(answer, "a=fingerprint:")?).map_err(io::Error::other)?;
        let config = TransportConfig {
            certificate: Arc::clone(&CERTIFICATE),
            local: ours.clone(),
            remote_ufrag: theirs.ufrag.clone(),
            fingerprint,
            role: DtlsRole::Active,
            limits: TransportLimits::default(),
        };
        let server = address(answer).ok_or_else(|| io::Error::other(format!("no candidate in {answer}")))?;
        // Reports of many shall not leave at once.
        let next_report = now + REPORT_EVERY + Duration::from_millis(u64::from(number) * 37 % 1_000);
        let transport = Transport::new(now, config);
        let id = answer.lines().find(|line| line.starts_with("a=extmap:") && line.ends_with(TRANSPORT_CC));
        let id = id.and_then(|line| line["a=extmap:".len()..].split([' ', '/']).next()?.parse().ok());
        let arrivals = Arrivals { id, next: next_report, ..Arrivals::default() };
        Ok(Self { transport, server, ours, theirs, checks: 0, next_check: now, next_report, arrivals })
    }

    /// Does what is due; `report` is the source and the highest sequence number that came of it.
    pub fn tick(&mut self, now: Duration, report: Option<(u32, u32)>, send: &mut impl FnMut(&[u8])) {
        if now >= self.next_check {
            self.next_check = now + CHECK_EVERY[usize::from(self.transport.is_connected())];
            self.check(now, send);
        }
        self.transport.handle_timeout(now);
        if now >= self.next_report
            && let (Some((ssrc, highest)), Some(outbound)) = (report, self.transport.outbound())
        {
            self.next_report = now + REPORT_EVERY;
            let mut sealed = Vec::new();
            outbound.seal_rtcp(&receiver_report(ssrc, highest), &mut sealed);
            send(&sealed);
        }
        if let (Some(compound), Some(outbound)) = (self.arrivals.report(now), self.transport.outbound()) {
            let mut sealed = Vec::new();
            outbound.seal_rtcp(&compound, &mut sealed);
            send(&sealed);
        }
        self.flush(send);
    }

    /// Notes when a packet came.
    pub fn arrived(&mut self, now: Duration, packet: &[u8]) {
        self.arrivals.note(now, packet);
    }

    /// Proves this player to the server. The server sends no checks (ICE-lite), but the state machine wants to have seen one:
    /// it gets it from here.
    fn check(&mut self, now: Duration, send: &mut impl FnMut(&[u8])) {
        self.checks += 1;
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&self.checks.to_be_bytes());
        let check = |remote: &Credentials, local: &Credentials| {
            let check = Check {
                transaction,
                remote_ufrag: &remote.ufrag,
                local_ufrag: &local.ufrag,
                role: (IceRole::Controlling, 1),
                priority: 1_845_501_695,
                nominates: true,
            };
            check.to_bytes(&remote.pwd)
        };
        send(&check(&self.theirs, &self.ours));
        let theirs = check(&self.ours, &self.theirs);
        self.transport.receive(now, Path::udp(self.server), BytesMut::from(&theirs[..]));
    }

    /// Takes a datagram of the server's.
    pub fn receive(
        &mut self,
        now: Duration,
        datagram: &[u8],
        send: &mut impl FnMut(&[u8]),
    ) -> Option<Incoming> {
        let incoming = self.transport.receive(now, Path::udp(self.server), BytesMut::from(datagram));
        self.flush(send);
        incoming
    }

    /// Answers a check of the server's: one that is no lite agent wants to see for itself.
    pub fn answer(&mut self, now: Duration, check: &[u8], send: &mut impl FnMut(&[u8])) {
        self.transport.receive(now, Path::udp(self.server), BytesMut::from(check));
        while let Some((_, datagram)) = self.transport.poll_transmit() {
            send(&datagram);
        }
    }

    /// Packets that could not be opened, or came twice.
    pub fn bad(&self) -> u64 {
        let stats = self.transport.stats();
        stats.forged + stats.replayed
    }

    /// Sends what the state machine has, but for the answers to its checks, which were ours.
    fn flush(&mut self, send: &mut impl FnMut(&[u8])) {
        while let Some((_, datagram)) = self.transport.poll_transmit() {
            if datagram.first().is_some_and(|byte| *byte > 3) {
                send(&datagram);
            }
        }
    }
}

impl Arrivals {
    fn note(&mut self, now: Duration, packet: &[u8]) {
        // The number is all there is in the extension.
        if let (Some(id), [first, .., 0xBE, 0xDE, 0, 1, head, high, low, 0]) =
            (self.id, packet.get(..20).unwrap_or_default())
            && first & 0x10 != 0
            && head >> 4 == id
        {
            let seq = u16::from_be_bytes([*high, *low]);
            let ahead = seq.wrapping_sub(self.newest as u16);
            let number = self.newest.wrapping_add_signed((ahead as i16).into());
            self.newest = self.newest.max(number);
            self.base.get_or_insert(number);
            self.came.push((number, now));
        }
    }

    /// What is to be told, once that is due.
    fn report(&mut self, now: Duration) -> Option<Vec<u8>> {
        let base = self.base.filter(|_| now >= self.next && !self.came.is_empty())?;
        self.next = now + ARRIVALS_EVERY;
        let mut compound = Vec::new();
        let taken = write::transport_feedback(&mut compound, (1, 0), self.feedback, base, &self.came);
        self.feedback = self.feedback.wrapping_add(1);
        self.base = self.came.get(taken.saturating_sub(1)).map(|(number, _)| number + 1);
        self.came.drain(..taken);
        Some(compound)
    }
}

/// A receiver report (RFC 3550 §6.4.2) that complains of nothing.
fn receiver_report(ssrc: u32, highest: u32) -> [u8; 32] {
    let mut report = [0; 32];
    report[..8].copy_from_slice(&[0x81, 201, 0, 7, 0, 0, 0, 1]);
    report[8..12].copy_from_slice(&ssrc.to_be_bytes());
    report[16..20].copy_from_slice(&highest.to_be_bytes());
    report
}
