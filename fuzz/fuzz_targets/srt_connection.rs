//! A whole SRT connection behind the handshake, sending and receiving: whatever the peer says and however long it
//! waits, what is sent and held stays bounded, and media comes in order.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cruvz_core::protocol::srt::{
    Connection, ConnectionConfig, Established, Event, Packet, PacketLog, PeerFlags, Seq, SocketId, Version,
};
use cruvz_fuzz::records;
use libfuzzer_sys::fuzz_target;

const START: Duration = Duration::from_secs(100);

/// Packets made one each 10 ms, of which the last 200 are there.
struct Log(Duration);

impl PacketLog for Log {
    fn first(&self) -> u64 {
        self.end().saturating_sub(200)
    }

    fn end(&self) -> u64 {
        ((self.0 - START).as_millis() / 10) as u64
    }

    fn packet(&self, index: u64) -> Option<(&[u8], Duration)> {
        let made = START + Duration::from_millis(10) * u32::try_from(index).ok()?;
        (self.first()..self.end()).contains(&index).then_some((&[0x47; 188], made))
    }
}

fn established(flags: u8) -> Established {
    Established {
        local: SocketId(1),
        peer: SocketId(2),
        remote: ([192, 0, 2, 1], 4000).into(),
        send_seq: Seq::new(0),
        receive_seq: Seq::new(0),
        send_latency: Duration::from_millis(120),
        receive_latency: Duration::from_millis(120),
        peer_flags: PeerFlags {
            too_late_drop: flags & 1 == 0,
            periodic_nak: flags & 2 == 0,
            retransmit_flag: flags & 4 == 0,
        },
        peer_version: Version(0x0001_0502),
        payload_bytes: 1_456,
        flow_window: 8_192,
        crypto: None,
        started: START,
        peer_clock: (0, START),
    }
}

fuzz_target!(|data: &[u8]| {
    let [flags, rest @ ..] = data else { return };
    let config = ConnectionConfig { receive_packets: 512, receive_bytes: 20_000, ..ConnectionConfig::default() };
    let mut connection = Connection::new(START, established(*flags), Arc::new(config));
    let (mut now, mut out) = (START, Vec::new());
    for (wait, datagram) in records(rest).take(200) {
        now += Duration::from_millis(wait.into());
        if let Ok(packet) = Packet::parse(Bytes::copy_from_slice(datagram)) {
            connection.receive(now, packet);
        }
        connection.handle_timeout(now);
        let mut ended = false;
        while let Some(event) = connection.poll_event(now) {
            assert!(!ended, "{event:?} after the end");
            ended = matches!(event, Event::Closed(_));
        }
        let mut datagrams = 0;
        while let Some(run) = connection.fill(now, &Log(now), &mut out) {
            assert_eq!(out.chunks(run.segment_size).len(), run.segments);
            datagrams += run.segments;
        }
        assert!(datagrams <= 400, "{datagrams} datagrams");
        let stats = connection.stats();
        assert!(stats.received.buffered_packets <= 512);
        assert!(stats.sent.retransmitted <= stats.sent.packets + 512);
    }
});
