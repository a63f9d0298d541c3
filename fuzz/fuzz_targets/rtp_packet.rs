//! RTP packets: what is read is within what came, and a header that is written reads the same.
#![no_main]

use bytes::Bytes;
use cruvz_media::rtp::{Header, Packet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(packet) = Packet::parse(Bytes::copy_from_slice(data)) else { return };
    let (header, size) = Header::parse(data).expect("the packet was read");
    assert_eq!(header, packet.header);
    assert_eq!(size + packet.payload.len() + usize::from(packet.padding), data.len());
    assert!(packet.csrcs().count() <= 15);
    let extensions: Vec<_> = packet.extensions().collect();
    for (id, _) in &extensions {
        let first = extensions.iter().find(|(found, _)| found == id).map(|(_, data)| *data);
        assert_eq!(packet.extension(*id), first);
    }
    let mut written = Vec::new();
    header.write(&extensions, &mut written);
    written.extend_from_slice(&packet.payload);
    let again = Packet::parse(written.into()).expect("our own form is accepted");
    assert_eq!((again.header, &again.payload), (packet.header, &packet.payload));
    // More than 65,535 words of two-byte headers cannot come from a datagram.
    assert_eq!(again.extensions().collect::<Vec<_>>(), extensions);
});
