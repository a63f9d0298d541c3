//! A transport, after a check has proved its peer's address, against whatever that peer sends: handshake messages in the
//! clear, cut at will, records of any kind, and any datagrams, among the flights of an honest handshake.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use cruvz_core::protocol::webrtc::stun::{Check, IceRole};
use cruvz_core::protocol::webrtc::{
    Certificate, Credentials, DtlsRole, Path, Transport, TransportConfig, TransportLimits,
};
use cruvz_core::runtime::clock::Clock;
use cruvz_fuzz::records;
use libfuzzer_sys::fuzz_target;

static CERTIFICATES: LazyLock<[Arc<Certificate>; 2]> = LazyLock::new(|| {
    let origin = Clock::start().instant(Duration::ZERO).into_std();
    [(); 2].map(|()| Certificate::generate(origin).expect("the system has random numbers"))
});

fn credentials(seed: u8) -> Credentials {
    Credentials::from_random([seed; 24])
}

/// One side, which a check of the other has reached.
fn transport(us: usize, role: DtlsRole, path: Path) -> Transport {
    let (ours, theirs) = (credentials(us as u8), credentials(1 - us as u8));
    let mut transport = Transport::new(
        Duration::ZERO,
        TransportConfig {
            certificate: CERTIFICATES[us].clone(),
            local: ours.clone(),
            remote_ufrag: theirs.ufrag.clone(),
            fingerprint: CERTIFICATES[1 - us].fingerprint().clone(),
            role,
            limits: TransportLimits::default(),
        },
    );
    let check = Check {
        transaction: [1; 12],
        remote_ufrag: &ours.ufrag,
        local_ufrag: &theirs.ufrag,
        role: (IceRole::Controlling, 1),
        priority: 1,
        nominates: true,
    };
    transport.receive(Duration::ZERO, path, BytesMut::from(&check.to_bytes(&ours.pwd)[..]));
    transport.poll_transmit().expect("the answer");
    transport
}

/// A record in the clear around `body`.
fn record(kind: u8, epoch: u8, number: u8, body: &[u8]) -> BytesMut {
    let mut record = BytesMut::from(&[kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 1, number][..]);
    record.put_u16(body.len() as u16);
    record.extend_from_slice(body);
    record
}

fuzz_target!(|data: &[u8]| {
    let [choice, rest @ ..] = data else { return };
    let path = Path::udp(([192, 0, 2, 1], 4_000).into());
    let roles = [DtlsRole::Passive, DtlsRole::Active];
    let ours = usize::from(choice & 1);
    let mut server = transport(0, roles[ours], path);
    let mut browser = transport(1, roles[1 - ours], path);
    let mut now = Duration::from_millis(1);
    for (number, (kind, bytes)) in records(rest).take(100).enumerate() {
        now += Duration::from_millis(u64::from(kind >> 4) * 50);
        let number = number as u8;
        let hostile = match kind & 0x0F {
            0 => BytesMut::from(bytes),
            1 => record(22, 0, number, bytes),
            2 => record(22, 1, number, bytes),
            3 => record(21, 0, number, bytes),
            4 => record(20, 0, number, bytes),
            5 => record(23, 1, number, bytes),
            // An honest round: what each side has to say reaches the other, or not.
            lost => {
                while let Some((_, datagram)) = browser.poll_transmit() {
                    if lost & 1 == 0 {
                        server.receive(now, path, BytesMut::from(&datagram[..]));
                    }
                }
                while let Some((_, datagram)) = server.poll_transmit() {
                    if lost & 2 == 0 {
                        browser.receive(now, path, BytesMut::from(&datagram[..]));
                    }
                }
                browser.handle_timeout(now);
                BytesMut::new()
            }
        };
        assert_eq!(server.receive(now, path, hostile), None, "nobody else has the keys");
        server.handle_timeout(now);
    }
    let sent = std::iter::from_fn(|| server.poll_transmit()).count();
    assert!(sent <= 4_000, "{sent} datagrams");
    assert_eq!(server.is_connected(), server.outbound().is_some());
});
