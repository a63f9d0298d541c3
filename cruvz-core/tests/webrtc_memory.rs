//! What the transport of a WebRTC peer costs in memory, counted at the allocator: viewers come by the thousand, and so may
//! those who only begin.
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use cruvz_core::protocol::webrtc::stun::{Check, IceRole};
use cruvz_core::protocol::webrtc::{
    Certificate, CloseReason, Credentials, DtlsRole, Path, Transport, TransportConfig, TransportLimits,
    TransportState,
};
use cruvz_core::runtime::clock::Clock;

const START: Duration = Duration::from_secs(1_000);

thread_local! {
    /// Bytes allocated now on this thread.
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(difference: isize) {
    // The thread may be ending, and then nobody asks any more.
    let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + difference));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that are on the heap now because of `work`, with what it returns.
fn measure<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = BYTES.with(Cell::get);
    let made = work();
    (made, usize::try_from(BYTES.with(Cell::get) - before).unwrap())
}

/// The certificates of a server and of a browser.
struct Sides([Arc<Certificate>; 2]);

impl Sides {
    fn new() -> Self {
        let origin = Clock::start().instant(Duration::ZERO).into_std();
        Self([(); 2].map(|()| Certificate::generate(origin).unwrap()))
    }

    /// One side: 0 is the server.
    fn transport(&self, side: usize) -> Transport {
        let config = TransportConfig {
            certificate: self.0[side].clone(),
            local: credentials(side),
            remote_ufrag: credentials(1 - side).ufrag,
            fingerprint: self.0[1 - side].fingerprint().clone(),
            role: if side == 0 { DtlsRole::Passive } else { DtlsRole::Active },
            limits: TransportLimits::default(),
        };
        Transport::new(START, config)
    }
}

fn credentials(side: usize) -> Credentials {
    Credentials::from_random([side as u8 + 1; 24])
}

fn path() -> Path {
    Path::udp(([192, 0, 2, 1], 4_000).into())
}

/// Lets the other side of `side` check it.
fn prove(transport: &mut Transport, side: usize) {
    let (ours, theirs) = (credentials(side), credentials(1 - side));
    let check = Check {
        transaction: [1; 12],
        remote_ufrag: &ours.ufrag,
        local_ufrag: &theirs.ufrag,
        role: (IceRole::Controlling, 1),
        priority: 1,
        nominates: true,
    };
    transport.receive(START, path(), BytesMut::from(&check.to_bytes(&ours.pwd)[..]));
    transport.poll_transmit().unwrap();
}

/// Carries what `from` has to say to `to`; whether it was anything.
fn carry(from: &mut Transport, to: &mut Transport) -> bool {
    let mut any = false;
    while let Some((_, datagram)) = from.poll_transmit() {
        any = true;
        to.receive(START, path(), BytesMut::from(&datagram[..]));
    }
    any
}

#[test]
fn a_connected_viewer_is_small() {
    let sides = Sides::new();
    let (pair, bytes) = measure(|| {
        let (mut server, mut browser) = (sides.transport(0), sides.transport(1));
        prove(&mut server, 0);
        prove(&mut browser, 1);
        while carry(&mut browser, &mut server) | carry(&mut server, &mut browser) {}
        (server, browser)
    });
    assert!(pair.0.is_connected() && pair.1.is_connected());
    println!("connected: {} bytes each beside {} in the structure", bytes / 2, size_of::<Transport>());
    assert!(bytes / 2 <= 4_500, "{bytes} bytes for two");
}

#[test]
fn who_stops_half_way_is_bounded() {
    let sides = Sides::new();
    let mut browser = sides.transport(1);
    prove(&mut browser, 1);
    let (mut server, mut bytes) = measure(|| {
        let mut server = sides.transport(0);
        prove(&mut server, 0);
        server
    });
    // Hello, cookie, hello with the cookie, certificate and keys: the server has said what it has to say.
    for _ in 0..2 {
        while let Some((_, datagram)) = browser.poll_transmit() {
            bytes += measure(|| server.receive(START, path(), BytesMut::from(&datagram[..]))).1;
        }
        carry(&mut server, &mut browser);
    }
    assert_eq!(server.state(), &TransportState::Connecting);
    println!("half way: {bytes} bytes");
    assert!(bytes <= 32_000, "{bytes} bytes");
}

#[test]
fn five_thousand_who_only_begin_are_bounded_and_go() {
    let sides = Sides::new();
    let mut browser = sides.transport(1);
    prove(&mut browser, 1);
    let (_, hello) = browser.poll_transmit().unwrap();
    // Those who never come, those who only prove their address, and those who say hello and nothing more.
    let nothing = |_: &mut Transport| {};
    let proved = |server: &mut Transport| prove(server, 0);
    let greeted = |server: &mut Transport| {
        prove(server, 0);
        server.receive(START, path(), BytesMut::from(&hello[..]));
        assert!(server.poll_transmit().is_some());
        while server.poll_transmit().is_some() {}
    };
    let begin: [&dyn Fn(&mut Transport); 3] = [&nothing, &proved, &greeted];
    let bounds = [("announced", 1_200), ("proved", 1_600), ("shaking hands", 16_000)];
    for (begin, (stage, most)) in begin.into_iter().zip(bounds) {
        let (mut servers, bytes) = measure(|| {
            let mut servers = Vec::with_capacity(5_000);
            servers.resize_with(5_000, || sides.transport(0));
            servers.iter_mut().for_each(begin);
            servers
        });
        println!("{stage}: {} bytes each", bytes / 5_000);
        assert!(bytes / 5_000 <= most, "{stage}: {} bytes each", bytes / 5_000);
        for server in &mut servers {
            server.handle_timeout(START + Duration::from_secs(30));
            assert_eq!(server.state(), &TransportState::Closed(CloseReason::SetupTimeout));
        }
    }
}

#[test]
fn whoever_sends_as_much_as_it_can_takes_no_more_than_that() {
    let sides = Sides::new();
    let mut browser = sides.transport(1);
    prove(&mut browser, 1);
    let (_, hello) = browser.poll_transmit().unwrap();
    // Messages that nobody asked for, of all numbers and sizes, and encrypted ones.
    let record = |epoch: u8, number: u16, body: &[u8]| {
        let mut record = BytesMut::from(&[22, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0][..]);
        record.extend_from_slice(&number.to_be_bytes());
        record.extend_from_slice(&(body.len() as u16).to_be_bytes());
        record.extend_from_slice(body);
        record
    };
    let message = |number: u16, length: u16| {
        let mut message = vec![11, 0];
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(&number.to_be_bytes());
        message.extend_from_slice(&[0, 0, 0, 0]);
        message.extend_from_slice(&length.to_be_bytes());
        message.resize(message.len() + usize::from(length), 7);
        message
    };
    for (messages, length) in [(1, 0), (100, 0), (1, 1), (1, 100), (1, 1_200)] {
        let (server, bytes) = measure(|| {
            let mut server = sides.transport(0);
            prove(&mut server, 0);
            server.receive(START, path(), BytesMut::from(&hello[..]));
            for number in 0..3_000 {
                server.receive(
                    START,
                    path(),
                    record(0, number, &message(number + 5, length).repeat(messages)),
                );
                server.receive(START, path(), record(1, number, &[7; 60]));
                while server.poll_transmit().is_some() {}
            }
            server
        });
        println!("{messages} messages of {length} bytes in a record: {bytes} bytes");
        assert!(bytes <= 100_000, "{messages} messages of {length} bytes in a record: {bytes} bytes");
        assert_eq!(server.state(), &TransportState::Connecting);
    }
}
