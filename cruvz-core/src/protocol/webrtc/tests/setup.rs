//! Two sides that want to connect.

use super::*;

#[test]
fn media_flows_both_ways() {
    let mut world = World::connected();
    assert_eq!(world.server.path(), Some(Path::udp(address(BROWSER))));
    assert_eq!(world.server.profile(), Some(srtp::Profile::AeadAes128Gcm));
    for index in 5..10 {
        world.send_media(index);
        world.run(50 * MS);
    }
    let [server, browser] = &world.media;
    let rtp =
        |text: &[u8], index| Incoming::Rtp { index, packet: [&rtp_header(index), text].concat().into() };
    let expected: Vec<_> = (5..10).map(|index| rtp(b"to watch", index)).collect();
    assert_eq!(browser, &expected);
    let control = Incoming::Rtcp(Bytes::from_static(&[0x80, 201, 0, 1, 0, 0, 0, 9]));
    let expected: Vec<_> = (5..10).flat_map(|index| [rtp(b"published", index), control.clone()]).collect();
    assert_eq!(server, &expected);
    assert_eq!((world.server.stats().strays, world.server.stats().forged), (0, 0));
}

#[test]
fn a_good_network_needs_five_round_trips() {
    let world = World::connected();
    // One for the check, four for DTLS with a cookie, where the server is done half a round trip earlier.
    assert!(world.now - START <= 110 * MS, "{:?}", world.now - START);
}

#[test]
fn a_bad_network_does_not_prevent_it() {
    let mut times = Vec::new();
    for seed in 0..100 {
        let conditions = Conditions {
            delay: 40 * MS,
            jitter: 20 * MS,
            loss: 0.2,
            duplication: 0.1,
            reordering: Some(cruvz_testnet::Reordering { share: 0.1, by: 30 * MS }),
            ..Conditions::default()
        };
        let mut world = World::new(&conditions, seed);
        assert!(world.run_until(25 * S, World::is_connected), "seed {seed}: {world:?}");
        times.push(world.now - START);
        // What went wrong on the way harms nothing later.
        let perfect = Conditions { delay: 40 * MS, ..Conditions::default() };
        world.to_server.network.change(perfect.clone());
        world.to_browser.network.change(perfect);
        world.run(S);
        world.media = [Vec::new(), Vec::new()];
        world.send_media(1);
        world.run(S);
        assert_eq!(world.media.each_ref().map(Vec::len), [2, 1], "seed {seed}");
    }
    times.sort_unstable();
    println!(
        "20 % lost each way: median {:?}, 9 of 10 in {:?}, all in {:?}",
        times[49], times[89], times[99]
    );
}

#[test]
fn a_lost_last_flight_is_repeated() {
    let mut world = World::new(&Conditions { delay: 10 * MS, ..Conditions::default() }, 1);
    // The change of ciphers is what only the last flight has.
    world.lost = |datagram| datagram.first() == Some(&20);
    assert!(!world.run_until(3 * S, World::is_connected));
    assert!(world.server.is_connected() && !world.browser.transport.is_connected());
    world.lost = |_| false;
    assert!(world.run_until(3 * S, World::is_connected));
}

#[test]
fn the_active_part_is_played_as_well() {
    let config = TransportConfig { role: DtlsRole::Active, ..config() };
    let browser = TransportConfig { role: DtlsRole::Passive, ..browser_config() };
    for seed in 0..20 {
        let conditions = Conditions { delay: 40 * MS, loss: 0.2, ..Conditions::default() };
        let mut world = World::with(&conditions, seed, config.clone(), browser.clone());
        assert!(world.run_until(25 * S, World::is_connected), "seed {seed}: {world:?}");
    }
}

#[test]
fn nobody_comes() {
    let mut server = Transport::new(START, config());
    assert_eq!(server.poll_timeout(), Some(START + 30 * S));
    server.handle_timeout(START + 29 * S);
    assert_eq!(server.state(), &TransportState::New);
    server.handle_timeout(START + 30 * S);
    assert_eq!(server.state(), &TransportState::Closed(CloseReason::SetupTimeout));
    assert_eq!((server.poll_timeout(), server.poll_transmit()), (None, None));
}

#[test]
fn who_stops_half_way_is_gone_in_time() {
    let mut world = World::new(&Conditions { delay: 10 * MS, ..Conditions::default() }, 1);
    // No handshake message ever comes back.
    world.lost = |datagram| datagram.first() == Some(&22);
    world.run(40 * S);
    assert_eq!(world.server.state(), &TransportState::Closed(CloseReason::SetupTimeout));
}

#[test]
fn who_asks_no_more_is_gone() {
    let mut world = World::connected();
    world.browser.next_check = None;
    let connected = world.now;
    assert!(world.run_until(40 * S, |world| !world.server.is_connected()));
    assert_eq!(world.server.state(), &TransportState::Closed(CloseReason::ConsentLost));
    let silent = world.now - connected;
    assert!(silent > 25 * S && silent <= 30 * S, "{silent:?}");
}

#[test]
fn checks_keep_it_open() {
    let mut world = World::connected();
    world.run(300 * S);
    assert!(world.server.is_connected());
}

#[test]
fn a_peer_that_says_goodbye_is_gone_soon() {
    let mut world = World::connected();
    world.run(S);
    let left = world.now;
    world.browser.transport.close();
    world.browser.next_check = None;
    assert!(world.run_until(40 * S, |world| !world.server.is_connected()));
    assert_eq!(world.server.state(), &TransportState::Closed(CloseReason::Peer));
    assert!(world.now - left < 7 * S, "{:?}", world.now - left);
}

#[test]
fn what_looks_like_a_goodbye_ends_nobody_who_is_there() {
    let mut world = World::connected();
    for _ in 0..20 {
        // Encrypted with a key that nobody has.
        world
            .deliver(Bytes::from_static(b"\x15\xFE\xFD\0\x01\0\0\0\0\0\x09\0\x1Aabcdefghijklmnopqrstuvwxyz"));
        world.run(S);
    }
    assert!(world.server.is_connected());
}

#[test]
fn our_goodbye_is_understood() {
    let mut world = World::connected();
    world.server.close();
    assert_eq!(world.server.state(), &TransportState::Closed(CloseReason::Local));
    world.browser.next_check = None;
    world.run(10 * S);
    assert_eq!(world.browser.transport.state(), &TransportState::Closed(CloseReason::Peer));
    assert!(world.server.outbound().is_none());
}

#[test]
fn a_peer_may_move() {
    let mut world = World::connected();
    world.browser.at = address("203.0.113.5:1234");
    world.browser.next_check = Some(world.now);
    world.run(100 * MS);
    assert_eq!(world.server.path(), Some(Path::udp(world.browser.at)));
    world.send_media(1);
    world.run(S);
    assert_eq!(world.media.each_ref().map(Vec::len), [2, 1]);
}

#[test]
fn a_restart_changes_credentials_and_nothing_else() {
    let mut world = World::connected();
    let (ours, theirs) = (credentials(11), credentials(12));
    world.server.restart(ours.clone(), theirs.ufrag.clone());
    // The browser has not heard of it yet.
    world.run(5 * S);
    assert_eq!(world.server.stats().refused_checks, 0);
    world.browser.transport.restart(theirs.clone(), ours.ufrag.clone());
    (world.browser.theirs, world.browser.ours) = (ours, theirs);
    world.browser.answers = 0;
    world.browser.next_check = Some(world.now);
    world.run(60 * S);
    assert!(world.is_connected());
    world.send_media(1);
    world.run(S);
    assert_eq!(world.media.each_ref().map(Vec::len), [2, 1]);
}

#[test]
fn another_certificate_than_announced_is_refused() {
    let config = TransportConfig { fingerprint: CERTIFICATES[0].fingerprint().clone(), ..config() };
    let mut world = World::with(&Conditions::default(), 1, config, browser_config());
    world.run(S);
    let TransportState::Closed(CloseReason::Dtls(error)) = world.server.state() else {
        panic!("{:?}", world.server.state())
    };
    let presented = CERTIFICATES[1].fingerprint().clone();
    assert_eq!(error, &DtlsError::Fingerprint { expected: CERTIFICATES[0].fingerprint().clone(), presented });
    assert!(world.server.outbound().is_none());
}

#[test]
fn a_peer_that_refuses_us_is_heard() {
    let browser = TransportConfig { fingerprint: CERTIFICATES[1].fingerprint().clone(), ..browser_config() };
    let mut world = World::with(&Conditions::default(), 1, config(), browser);
    world.browser.next_check = Some(START);
    world.run(S);
    assert!(matches!(world.browser.transport.state(), TransportState::Closed(CloseReason::Dtls(_))));
    world.browser.next_check = None;
    world.run(10 * S);
    assert_eq!(world.server.state(), &TransportState::Closed(CloseReason::Peer));
}
