//! What a connection costs in memory, counted at the allocator: peers come by the thousand and may be hostile.
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod rtmp_wire;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use cruvz_core::protocol::rtmp::chunk::MessageHeader;
use cruvz_core::protocol::rtmp::message::kind;
use cruvz_core::protocol::rtmp::server::{ServerConfig, ServerConnection};
use cruvz_media::amf0::{Object, Value};
use rtmp_wire::{RawClient, chunks};

thread_local! {
    /// Bytes allocated now on this thread, and the most there were since the last reset.
    static BYTES: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(difference: isize) {
    // The thread may be ending, and then nobody asks any more.
    let _ = BYTES.try_with(|bytes| {
        let (now, peak) = bytes.get();
        bytes.set((now + difference, peak.max(now + difference)));
    });
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

/// What `make` returns, the bytes it still holds, and the most it held meanwhile.
fn measure<T>(make: impl FnOnce() -> T) -> (T, isize, isize) {
    let before = BYTES.with(|bytes| {
        let (now, _) = bytes.get();
        bytes.set((now, now));
        now
    });
    let made = make();
    let (now, peak) = BYTES.with(Cell::get);
    (made, now - before, peak - before)
}

/// A server's connection that is fed `bytes` in pieces like a socket's; requests are accepted, answers dropped.
fn feed(server: &mut ServerConnection, bytes: &[u8]) {
    for piece in bytes.chunks(4096) {
        let result = server.receive(piece);
        while let Some(event) = server.poll_event() {
            let _ = rtmp_wire::accept(server, &event);
        }
        while server.poll_transmit().is_some() {}
        if result.is_err() {
            return;
        }
    }
}

#[test]
fn an_idle_player_is_small() {
    let config = Arc::new(ServerConfig::default());
    let mut hello = vec![3];
    hello.extend_from_slice(&[0; 2 * 1536]);
    let connect = Object::new()
        .with("app", "live")
        .with("flashVer", "LNX 9,0,124,2")
        .with("tcUrl", "rtmp://example.com:1935/live");
    hello.extend_from_slice(&rtmp_wire::command(0, "connect", 1.0, vec![connect.into()]));
    hello.extend_from_slice(&rtmp_wire::command(0, "createStream", 2.0, vec![Value::Null]));
    hello.extend_from_slice(&rtmp_wire::command(1, "play", 3.0, vec![Value::Null, "cam?token=abc".into()]));
    let control = MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::ACKNOWLEDGEMENT, stream_id: 0 };
    hello.extend_from_slice(&chunks(control, &[0, 1, 2, 3]));
    let ((), held, _) = measure(|| ());
    assert_eq!(held, 0);
    let (server, heap, _) = measure(|| {
        let mut server = ServerConnection::new(config.clone(), 7);
        feed(&mut server, &hello);
        server
    });
    assert!(!server.awaits_decision() && !server.is_closing());
    let total = heap as usize + size_of::<ServerConnection>();
    println!("an idle player: {total} bytes, {heap} of them on the heap");
    assert!(total <= 2_048, "{total} bytes");
}

/// The most a peer before authorisation holds that sends `bytes` after the handshake.
fn peak(bytes: &[u8]) -> isize {
    let mut client = RawClient::new(ServerConfig::default());
    let ((), _, peak) = measure(|| feed(&mut client.server, bytes));
    peak
}

#[test]
fn an_unauthorised_peer_stays_below_256_kib() {
    let video = |csid| MessageHeader { csid, timestamp_ms: 0, kind: kind::VIDEO, stream_id: 1 };
    let set_chunk_size = MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::SET_CHUNK_SIZE, stream_id: 0 };

    // Unfinished messages on many chunk streams at once.
    let mut stalled = chunks(set_chunk_size, &65_000_u32.to_be_bytes());
    for csid in 3..20 {
        let whole = chunks(video(csid), &[]);
        stalled.put_slice(&whole[..4]);
        stalled.put_uint(65_536, 3);
        stalled.put_slice(&whole[7..]);
        stalled.put_slice(&[0; 65_000]);
    }
    // Many chunk streams.
    let mut scattered = BytesMut::new();
    for csid in 3..5_000 {
        scattered.unsplit(chunks(video(csid), &[0]));
    }
    // A command of as many values, or of as much text, as it may have.
    let values = rtmp_wire::command(0, "connect", 1.0, vec![Value::Null; 1_000]);
    let properties: Object = (0..500).map(|index| (index.to_string(), Value::Null)).collect();
    let properties = rtmp_wire::command(0, "connect", 1.0, vec![properties.into()]);
    let text = "x".repeat(16_000);
    let text = rtmp_wire::command(0, "connect", 1.0, vec![Object::new().with("app", text).into()]);
    // Names that are all parameters: a few bytes on the wire, many in memory.
    let query = format!("live?{}", "a&".repeat(8_000));
    let query = rtmp_wire::command(0, "connect", 1.0, vec![Object::new().with("app", query).into()]);
    // Commands without end, and bytes that wait for nothing.
    let mut flood = rtmp_wire::command(0, "connect", 1.0, vec![]);
    for _ in 0..10_000 {
        flood.unsplit(rtmp_wire::command(0, "createStream", 2.0, vec![Value::Null]));
    }
    for (name, bytes) in [
        ("stalled messages", &stalled),
        ("chunk streams", &scattered),
        ("values", &values),
        ("properties", &properties),
        ("text", &text),
        ("query", &query),
        ("flood", &flood),
    ] {
        let peak = peak(bytes);
        println!("{name}: at most {peak} bytes for {} received", bytes.len());
        assert!(peak <= 256 << 10, "{name}: {peak} bytes");
    }
}
