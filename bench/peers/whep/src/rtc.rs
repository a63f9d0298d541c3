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
    stun::{Check, IceRole},
};

/// One certificate for all: making one takes a while.
static CERTIFICATE: LazyLock<Arc<Certificate>> =
    LazyLock::new(|| Certificate::generate(Instant::now()).expect("random numbers"));
/// Between checks: while connecting, and for consent.
const CHECK_EVERY: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A session that was answered.
pub struct Rtc {
    transport: Transport,
    pub server: SocketAddr,
    ours: Credentials,
    theirs: Credentials,
    checks: u32,
    next_check: Duration,
    next_report: Duration,
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
         a=setup:active\r\na=recvonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\n",
        CERTIFICATE.fingerprint()
    );
    let h264 = |payload: u8, profile: &str| {
        let repeats = payload + 1;
        format!(
            "a=rtpmap:{payload} H264/90000\r\na=rtcp-fb:{payload} nack\r\na=rtcp-fb:{payload} nack pli\r\n\
             a=fmtp:{payload} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}\r\n\
             a=rtpmap:{repeats} rtx/90000\r\na=fmtp:{repeats} apt={payload}\r\n"
        )
    };
    format!(
        "v=0\r\no=- {number} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99\r\na=mid:0\r\n{common}{}{}\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\n{common}a=rtpmap:111 opus/48000/2\r\n\
         a=fmtp:111 minptime=10;useinbandfec=1\r\n",
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
        Ok(Self { transport, server, ours, theirs, checks: 0, next_check: now, next_report })
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
        self.flush(send);
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

/// A receiver report (RFC 3550 §6.4.2) that complains of nothing.
fn receiver_report(ssrc: u32, highest: u32) -> [u8; 32] {
    let mut report = [0; 32];
    report[..8].copy_from_slice(&[0x81, 201, 0, 7, 0, 0, 0, 1]);
    report[8..12].copy_from_slice(&ssrc.to_be_bytes());
    report[16..20].copy_from_slice(&highest.to_be_bytes());
    report
}
