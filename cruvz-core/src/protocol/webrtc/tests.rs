//! Two transports on a wire of virtual time: ours, and one that plays the browser, with the checks of a full ICE agent.

mod hostile;
mod setup;

use core::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cruvz_testnet::{Conditions, Network, Wire};

use super::stun::{Check, IceRole};
use super::*;
use crate::runtime::clock::Clock;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const START: Duration = Duration::from_secs(1_000);
const SERVER: &str = "198.51.100.1:8000";
const BROWSER: &str = "192.0.2.7:50000";

/// Of both sides: making one takes longer than a handshake.
static CERTIFICATES: LazyLock<[Arc<Certificate>; 2]> = LazyLock::new(|| {
    let origin = Clock::start().instant(Duration::ZERO).into_std();
    [(); 2].map(|()| Certificate::generate(origin).unwrap())
});

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn credentials(seed: u8) -> Credentials {
    Credentials::from_random([seed; 24])
}

/// Our side's configuration.
fn config() -> TransportConfig {
    TransportConfig {
        certificate: CERTIFICATES[0].clone(),
        local: credentials(1),
        remote_ufrag: credentials(2).ufrag,
        fingerprint: CERTIFICATES[1].fingerprint().clone(),
        role: DtlsRole::Passive,
        limits: TransportLimits::default(),
    }
}

/// The browser's.
fn browser_config() -> TransportConfig {
    TransportConfig {
        certificate: CERTIFICATES[1].clone(),
        local: credentials(2),
        remote_ufrag: credentials(1).ufrag,
        fingerprint: CERTIFICATES[0].fingerprint().clone(),
        role: DtlsRole::Active,
        limits: TransportLimits::default(),
    }
}

/// A full agent around a transport, which believes that the other side has checked it once that has answered.
#[derive(Debug)]
struct Browser {
    transport: Transport,
    at: SocketAddr,
    ours: Credentials,
    theirs: Credentials,
    next_check: Option<Duration>,
    checks: u8,
    answers: u32,
}

impl Browser {
    fn new(config: TransportConfig) -> Self {
        let (ours, theirs) = (config.local.clone(), credentials(1));
        let transport = Transport::new(START, config);
        Self { transport, at: address(BROWSER), ours, theirs, next_check: Some(START), checks: 0, answers: 0 }
    }

    /// A check, as Chromium times them: often until the first answer, then each 2.5 s.
    fn check(&mut self, now: Duration) -> Vec<u8> {
        let nominates = self.answers > 0;
        self.next_check = Some(now + if nominates { 2_500 * MS } else { 50 * MS });
        self.checks = self.checks.wrapping_add(1);
        self.check_bytes(nominates)
    }

    fn check_bytes(&self, nominates: bool) -> Vec<u8> {
        let check = Check {
            transaction: [self.checks; 12],
            remote_ufrag: &self.theirs.ufrag,
            local_ufrag: &self.ours.ufrag,
            role: (IceRole::Controlling, 1),
            priority: 1,
            nominates,
        };
        check.to_bytes(&self.theirs.pwd)
    }

    fn receive(&mut self, now: Duration, from: SocketAddr, datagram: &[u8]) -> Option<Incoming> {
        if Kind::of(datagram) != Some(Kind::Stun) {
            return self.transport.receive(now, Path::udp(from), datagram.into());
        }
        assert_eq!(datagram[..2], [0x01, 0x01]);
        if self.answers == 0 {
            // Nominate it now.
            self.next_check = Some(now);
        }
        self.answers += 1;
        let believed = Check {
            transaction: [0; 12],
            remote_ufrag: &self.ours.ufrag,
            local_ufrag: &self.theirs.ufrag,
            role: (IceRole::Controlling, 1),
            priority: 1,
            nominates: true,
        };
        let check = BytesMut::from(&believed.to_bytes(&self.ours.pwd)[..]);
        self.transport.receive(now, Path::udp(from), check);
        None
    }
}

/// A datagram on its way: where it says it is from, where it goes.
type Sent = (SocketAddr, SocketAddr, Bytes);

#[derive(Debug)]
struct World {
    now: Duration,
    server: Transport,
    browser: Browser,
    to_server: Wire<Sent>,
    to_browser: Wire<Sent>,
    /// Bytes that the server got from, and sent to, the browser before it had proved its address.
    unproved: (usize, usize),
    /// What is not delivered to the browser.
    lost: fn(&[u8]) -> bool,
    /// Media that the server and the browser got.
    media: [Vec<Incoming>; 2],
}

impl World {
    fn new(conditions: &Conditions, seed: u64) -> Self {
        Self::with(conditions, seed, config(), browser_config())
    }

    fn with(
        conditions: &Conditions,
        seed: u64,
        config: TransportConfig,
        browser_config: TransportConfig,
    ) -> Self {
        Self {
            now: START,
            server: Transport::new(START, config),
            browser: Browser::new(browser_config),
            to_server: Wire::new(Network::new(conditions.clone(), seed)),
            to_browser: Wire::new(Network::new(conditions.clone(), !seed)),
            unproved: (0, 0),
            lost: |_| false,
            media: [Vec::new(), Vec::new()],
        }
    }

    /// A good network, connected.
    fn connected() -> Self {
        let mut world = Self::new(&Conditions { delay: 10 * MS, ..Conditions::default() }, 1);
        assert!(world.run_until(5 * S, Self::is_connected), "{:?}", world.server);
        world
    }

    fn is_connected(&self) -> bool {
        self.server.is_connected() && self.browser.transport.is_connected()
    }

    /// Lets time pass until `done`, for `length` at most; whether it was done.
    fn run_until(&mut self, length: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + length;
        loop {
            self.step();
            if done(self) {
                return true;
            }
            let times = [
                self.to_server.next_arrival(),
                self.to_browser.next_arrival(),
                self.server.poll_timeout(),
                self.browser.transport.poll_timeout(),
                self.browser.next_check,
            ];
            let Some(next) = times.into_iter().flatten().min().filter(|next| *next <= end) else {
                self.now = end;
                return false;
            };
            self.now = self.now.max(next);
        }
    }

    /// Lets time pass.
    fn run(&mut self, length: Duration) {
        self.run_until(length, |_| false);
    }

    /// Does what is due.
    fn step(&mut self) {
        while let Some((from, _, datagram)) = self.to_server.receive(self.now) {
            let path = Path::udp(from);
            if !self.server.has_proved(path) {
                self.unproved.0 += datagram.len();
            }
            let incoming = self.server.receive(self.now, path, BytesMut::from(&datagram[..]));
            self.media[0].extend(incoming);
            self.flush();
        }
        while let Some((_, to, datagram)) = self.to_browser.receive(self.now) {
            if to == self.browser.at && !(self.lost)(&datagram) {
                let incoming = self.browser.receive(self.now, address(SERVER), &datagram);
                self.media[1].extend(incoming);
            }
        }
        for transport in [&mut self.server, &mut self.browser.transport] {
            if transport.poll_timeout().is_some_and(|at| at <= self.now) {
                transport.handle_timeout(self.now);
            }
        }
        if self.browser.next_check.is_some_and(|at| at <= self.now) {
            let check = self.browser.check(self.now);
            self.deliver(check.into());
        }
        self.flush();
    }

    /// Puts a datagram of the browser on the wire.
    fn deliver(&mut self, datagram: Bytes) {
        let sent = (self.browser.at, address(SERVER), datagram);
        self.to_server.send(self.now, sent.2.len(), sent);
    }

    fn flush(&mut self) {
        while let Some((path, datagram)) = self.server.poll_transmit() {
            if !self.server.has_proved(path) {
                self.unproved.1 += datagram.len();
            }
            self.to_browser.send(self.now, datagram.len(), (address(SERVER), path.remote, datagram));
        }
        while let Some((_, datagram)) = self.browser.transport.poll_transmit() {
            // It answers what it told itself.
            if Kind::of(&datagram) != Some(Kind::Stun) {
                self.deliver(datagram);
            }
        }
    }

    /// Sends one packet each way, and one control packet.
    fn send_media(&mut self, index: u64) {
        let header = rtp_header(index);
        let mut out = Vec::new();
        let path = self.server.path().unwrap();
        self.server.outbound().unwrap().seal_rtp(index, &header, &[b"to watch"], &mut out);
        self.to_browser.send(self.now, out.len(), (address(SERVER), path.remote, out.into()));
        let mut out = Vec::new();
        let outbound = self.browser.transport.outbound().unwrap();
        outbound.seal_rtp(index, &header, &[b"published"], &mut out);
        self.deliver(out.into());
        let mut out = Vec::new();
        let outbound = self.browser.transport.outbound().unwrap();
        outbound.seal_rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 9], &mut out);
        self.deliver(out.into());
    }
}

fn rtp_header(index: u64) -> Vec<u8> {
    let mut header = vec![0x80, 96];
    header.extend_from_slice(&(index as u16).to_be_bytes());
    header.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 9]);
    header
}
