//! Somebody who wants to harm.

use super::*;

/// Datagrams of a client hello from somebody who is not the peer.
fn client_hello() -> Vec<Bytes> {
    let mut out = Vec::new();
    let certificate = CERTIFICATES[1].clone();
    let mut dtls =
        dtls::Dtls::new(certificate, CERTIFICATES[0].fingerprint().clone(), DtlsRole::Active, 1 << 15);
    dtls.start(START, &mut out).unwrap();
    out
}

#[test]
fn a_hello_from_elsewhere_never_wins() {
    let hello = client_hello();
    let others = [address("192.0.2.7:50001"), address("203.0.113.66:50000")];
    for seed in 0..100 {
        let conditions = Conditions { delay: 10 * MS, jitter: 10 * MS, loss: 0.05, ..Conditions::default() };
        let mut world = World::new(&conditions, seed);
        let mut sent = 0;
        while !world.is_connected() && world.now < START + 20 * S {
            for from in others {
                for datagram in &hello {
                    let sent_at = (from, address(SERVER), datagram.clone());
                    world.to_server.send(world.now, datagram.len(), sent_at);
                    sent += 1;
                }
            }
            world.run_until(5 * MS, World::is_connected);
        }
        assert!(world.is_connected(), "seed {seed}: {world:?}");
        assert!(
            world.server.stats().strays > sent / 3,
            "seed {seed}: {sent} sent, {:?}",
            world.server.stats()
        );
        // Nothing was said to the others.
        assert_eq!(world.server.path(), Some(Path::udp(address(BROWSER))));
    }
}

#[test]
fn nothing_is_answered_beyond_its_length_before_an_address_is_proved() {
    for seed in 0..100 {
        let conditions = Conditions { delay: 10 * MS, loss: 0.3, ..Conditions::default() };
        let mut world = World::new(&conditions, seed);
        world.run(2 * S);
        let (received, sent) = world.unproved;
        assert!(sent <= received, "seed {seed}: {sent} out for {received} in");
    }
    // Whoever does not know the password gets nothing at all.
    let mut server = Transport::new(START, config());
    let mut browser = Browser::new(browser_config());
    browser.theirs.pwd = "guessed".into();
    let check = browser.check_bytes(true);
    let hello = client_hello();
    for datagram in [&check[..], &hello[0], b"\x80\x60\0\x01\0\0\0\x01\0\0\0\x09media", b"\xFF", b""] {
        server.receive(START, Path::udp(address(BROWSER)), datagram.into());
    }
    assert_eq!((server.poll_transmit(), server.state()), (None, &TransportState::New));
    assert_eq!((server.stats().refused_checks, server.stats().strays), (1, 4));
}

/// A server that a peer may shake hands with.
fn proved() -> (Transport, Path) {
    let mut server = Transport::new(START, config());
    let path = Path::udp(address(BROWSER));
    server.receive(START, path, Browser::new(browser_config()).check_bytes(true)[..].into());
    assert_eq!(server.state(), &TransportState::Connecting);
    while server.poll_transmit().is_some() {}
    (server, path)
}

/// A handshake record of epoch 0.
fn record(body: &[u8]) -> BytesMut {
    let mut record = BytesMut::from(&b"\x16\xFE\xFD\0\0\0\0\0\0\0\x01"[..]);
    record.extend_from_slice(&(body.len() as u16).to_be_bytes());
    record.extend_from_slice(body);
    record
}

/// A piece of a client hello of `length` bytes.
fn fragment(length: u32, offset: u32, bytes: &[u8]) -> BytesMut {
    let mut body = vec![1];
    body.extend_from_slice(&length.to_be_bytes()[1..]);
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(&offset.to_be_bytes()[1..]);
    body.extend_from_slice(&(bytes.len() as u32).to_be_bytes()[1..]);
    body.extend_from_slice(bytes);
    record(&body)
}

#[test]
fn fragments_neither_pile_up_nor_exhaust_the_stack() {
    // The last piece first, so that all others wait and are then assembled at once.
    let (mut server, path) = proved();
    for offset in (0..10_000).rev() {
        server.receive(START, path, fragment(10_000, offset, &[0]));
    }
    // Pieces that lie about their lengths, and empty ones.
    for piece in
        [fragment(0xFF_FFFF, 0, &[0]), fragment(5, 4, &[0; 9]), fragment(9, 0, &[]), record(&[1, 2, 3])]
    {
        for _ in 0..10_000 {
            server.receive(START, path, piece.clone());
        }
    }
    assert_eq!(server.state(), &TransportState::Connecting);
    server.handle_timeout(START + 30 * S);
    assert_eq!(server.state(), &TransportState::Closed(CloseReason::SetupTimeout));
}

#[test]
fn encrypted_records_before_there_are_keys_do_not_pile_up() {
    let (mut server, path) = proved();
    for datagram in client_hello() {
        server.receive(START, path, BytesMut::from(&datagram[..]));
    }
    let mut sealed = record(&[7; 64]);
    sealed[4] = 1;
    for number in 0..100_000_u32 {
        sealed[7..11].copy_from_slice(&number.to_be_bytes());
        server.receive(START, path, sealed.clone());
    }
    assert_eq!(server.state(), &TransportState::Connecting);
}

#[test]
fn noise_in_place_of_dtls_is_passed_over() {
    let mut world = World::new(&Conditions { delay: 10 * MS, ..Conditions::default() }, 3);
    let mut noise = cruvz_testnet::Random::new(5);
    while !world.is_connected() && world.now < START + 10 * S {
        let mut datagram: Vec<u8> = (0..60).map(|_| (noise.unit() * 256.0) as u8).collect();
        datagram[0] = 20 + datagram[0] % 44;
        // A header that is in order, now and then.
        if datagram[1] < 128 {
            datagram[1..13].copy_from_slice(b"\xFE\xFD\0\0\0\0\0\0\0\x05\0\x2F");
        }
        if datagram[0] == 21 || datagram[0] == 20 {
            datagram[12] = 0x20;
        }
        world.deliver(datagram.into());
        world.run_until(5 * MS, World::is_connected);
    }
    assert!(world.is_connected(), "{world:?}");
}

#[test]
fn an_alert_in_the_clear_ends_a_handshake() {
    let (mut server, path) = proved();
    for datagram in client_hello() {
        server.receive(START, path, BytesMut::from(&datagram[..]));
    }
    server.receive(START, path, BytesMut::from(&b"\x15\xFE\xFD\0\0\0\0\0\0\0\x07\0\x02\x02\x28"[..]));
    assert_eq!(server.state(), &TransportState::Closed(CloseReason::Dtls(DtlsError::Alert(40))));
}

#[test]
fn a_connected_peer_cannot_have_the_last_flight_without_end() {
    let mut world = World::connected();
    let path = world.server.path().unwrap();
    let mut sent = 0;
    for at in 0..10_000 {
        let now = world.now + at * MS;
        world.server.receive(now, path, record(&[0; 20]));
        while world.server.poll_transmit().is_some() {
            sent += 1;
        }
    }
    assert!(sent <= 32, "{sent} datagrams");
}

#[test]
fn forged_and_repeated_media_is_counted_and_dropped() {
    let mut world = World::connected();
    world.send_media(1);
    world.run(S);
    let mut out = Vec::new();
    world.browser.transport.outbound().unwrap().seal_rtp(1, &rtp_header(1), &[b"published"], &mut out);
    world.deliver(out.clone().into());
    *out.last_mut().unwrap() ^= 1;
    out[3] = 2;
    world.deliver(out.into());
    world.run(S);
    let stats = world.server.stats();
    assert_eq!((stats.replayed, stats.forged, world.media[0].len()), (1, 1, 2));
}

#[test]
fn a_transport_is_small() {
    assert!(size_of::<Transport>() <= 640, "{}", size_of::<Transport>());
}
