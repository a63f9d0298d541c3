//! What an SRT connection costs in memory, counted at the allocator: viewers come by the thousand.
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod srt_pair;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use cruvz_core::protocol::srt::{
    Ack, AckBody, Connection, ConnectionConfig, Control, ControlPacket, DataHeader, DataPacket, Packet, Seq,
    SeqRange, SocketId,
};
use srt_pair::{FIRST, Log, MS, PAYLOAD, S, START, TIMESTAMP, established, payload};

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

/// Bytes on the heap that `work` leaves behind.
fn measure(work: impl FnOnce()) -> usize {
    let before = BYTES.with(Cell::get);
    work();
    (BYTES.with(Cell::get) - before) as usize
}

fn connection(config: ConnectionConfig) -> Connection {
    Connection::new(START, established(120 * MS, 2), Arc::new(config))
}

fn control(body: Control) -> Packet {
    Packet::Control(ControlPacket { timestamp_us: TIMESTAMP, destination: SocketId(1), body })
}

fn data(position: u32) -> Packet {
    let header =
        DataHeader { seq: Seq::new(FIRST) + position, timestamp_us: TIMESTAMP, ..DataHeader::default() };
    Packet::Data(DataPacket { header, payload: payload(position.into(), PAYLOAD) })
}

#[test]
fn a_viewer_keeps_no_packets() {
    let mut connection = connection(ConnectionConfig { receive: false, ..ConnectionConfig::default() });
    let (mut log, mut buffer) = (Log::default(), Vec::with_capacity(100_000));
    let mut lossless = 0;
    for second in 1..=20 {
        let now = START + second * S;
        (0..400).for_each(|_| log.push(now, PAYLOAD));
        let heap = measure(|| {
            while connection.fill(now, &log, &mut buffer).is_some() {}
            let sent = Seq::new(FIRST) + 400 * second;
            if second % 2 == 0 {
                // A tenth is lost and repeated.
                let losses = (1..=40).map(|nth| SeqRange::one(sent - 10 * nth)).collect();
                connection.receive(now, control(Control::Nak(losses)));
                while connection.fill(now, &log, &mut buffer).is_some() {}
            }
            connection.receive(now, data(second));
            let body = AckBody::Small { rtt: MS, rtt_variance: MS, available_packets: 8_192 };
            connection.receive(now, control(Control::Ack(Ack { number: second, next: sent, body })));
            while connection.fill(now, &log, &mut buffer).is_some() {}
        });
        lossless += heap as isize;
    }
    assert_eq!(connection.stats().sent.retransmitted, 400);
    let total = lossless as usize + size_of::<Connection>();
    println!("a viewer: {total} bytes, {lossless} of them on the heap");
    assert!(total <= 4_096, "{total} bytes");
}

#[test]
fn the_receiving_half_costs_nothing_until_media_comes_and_is_bounded_then() {
    let mut connection = connection(ConnectionConfig::default());
    let range = SeqRange::new(Seq::new(FIRST), Seq::new(FIRST) + 1_000).unwrap();
    let bodies =
        [Control::KeepAlive, Control::AckAck { number: 1 }, Control::DropRequest { message: 0, range }];
    let nothing = measure(|| bodies.into_iter().for_each(|body| connection.receive(START, control(body))));
    assert_eq!(nothing, 0);
    let one = measure(|| connection.receive(START, data(0)));
    println!("a publisher's first packet: {one} bytes");
    assert!(one <= 24_000, "{one} bytes");
    // The worst window: one packet at its far end, and holes wherever there can be one.
    let far = measure(|| connection.receive(START, data(8_191)));
    println!("a packet at the window's far end: {far} bytes");
    assert!(far <= 1 << 20, "{far} bytes");
    let holes = measure(|| (1..4_096).for_each(|half| connection.receive(START, data(2 * half))));
    let payloads = 4_095 * PAYLOAD;
    println!("4,096 holes: {} bytes beside the payloads", holes - payloads);
    assert!(holes - payloads <= 1 << 20, "{} bytes", holes - payloads);
}
