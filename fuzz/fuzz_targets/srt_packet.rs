//! SRT packets: whatever is read is written so that it reads the same, and data packets byte for byte.
#![no_main]

use bytes::Bytes;
use cruvz_core::protocol::srt::{Control, Packet, control::MAX_LOSSES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(packet) = Packet::parse(Bytes::copy_from_slice(data)) else { return };
    let written = packet.to_bytes();
    assert_eq!(Packet::destination(data), Packet::destination(&written));
    match &packet {
        Packet::Data(_) => assert_eq!(written, data),
        Packet::Control(control) => {
            if let Control::Nak(losses) = &control.body {
                assert!(!losses.is_empty() && losses.len() <= MAX_LOSSES);
                assert!(losses.iter().all(|range| (1..=1 << 30).contains(&range.count())));
            }
            assert!(written.len() <= data.len() + 4);
        }
    }
    assert_eq!(Packet::parse(written), Ok(packet));
});
