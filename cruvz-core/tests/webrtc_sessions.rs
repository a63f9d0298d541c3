//! WHIP and WHEP over real sockets: peers that watch and publish over UDP and TCP, come and go, and move.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod live;
mod rtc_peer;

use cruvz_core::{
    Action, Engine, EngineConfig, Event, Events, PatchRequest, Patched, Protocol, Role, SessionRequest,
    WebRtcAnswer,
};
use live::{Stage, name, next_refusal, refusals, soon, until};
use rtc_peer::{Connected, Peer, Wire, now, value};
use tokio::net::UdpSocket;

async fn rtc_engine(change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config = EngineConfig::default();
    change(&mut config);
    Engine::builder().config(config).webrtc("127.0.0.1:0").start().await.unwrap()
}

fn session(answer: &WebRtcAnswer, action: Action) -> SessionRequest {
    SessionRequest { stream: name("live/cam"), action, id: answer.id.clone(), bearer: None }
}

/// A viewer of live/cam that is connected.
async fn viewer(engine: &Engine, seed: u8) -> (Connected, WebRtcAnswer) {
    let peer = Peer::new(seed);
    let answer = peer.ask(engine, Action::Play, "live/cam").await.unwrap();
    (peer.udp(&answer).await.connect().await, answer)
}

/// Writes frames until the viewer gets one of them.
async fn gets_media(stage: &mut Stage, viewer: &mut Connected) {
    let deadline = now() + std::time::Duration::from_secs(20);
    let mut media = false;
    while !media {
        assert!(now() < deadline, "media in time");
        stage.write(1);
        let packet = viewer.media().await;
        media =
            packet.is_some_and(|packet| packet.payload.windows(12).any(|window| window == b"frame number"));
    }
}

#[tokio::test]
async fn a_viewer_gets_frames_over_udp_and_over_tcp_and_is_told_of_the_end() {
    let engine = rtc_engine(|_| {}).await;
    let mut stage = Stage::new(&engine, "live/cam", 500).await;
    for over_tcp in [false, true] {
        let peer = Peer::new(over_tcp.into());
        let answer = peer.ask(&engine, Action::Play, "live/cam").await.unwrap();
        let connecting = if over_tcp { peer.tcp(&answer).await } else { peer.udp(&answer).await };
        let mut viewer = connecting.connect().await;
        gets_media(&mut stage, &mut viewer).await;
        let info = engine.sessions().into_iter().find(|session| session.role == Role::Play).unwrap();
        assert_eq!((info.protocol, info.stream.as_str()), (Protocol::Whep, "live/cam"));

        let request = session(&answer, Action::Play);
        engine.webrtc().remove(&request).await.unwrap();
        assert_eq!(engine.viewers(&name("live/cam")), 0, "it is over when DELETE is answered");
        assert_eq!(engine.webrtc().remove(&request).await.unwrap_err().status, 404);
        viewer.until_closed().await;
    }
}

#[tokio::test]
async fn a_session_that_the_api_ends_is_over_for_its_peer_as_well() {
    let engine = rtc_engine(|_| {}).await;
    let mut stage = Stage::new(&engine, "live/cam", 100).await;
    let (mut viewer, _) = viewer(&engine, 1).await;
    gets_media(&mut stage, &mut viewer).await;
    let info = engine.sessions().into_iter().find(|session| session.role == Role::Play).unwrap();
    assert!(engine.end_session(info.id, "enough"));
    viewer.until_closed().await;
    until(|| engine.viewers(&name("live/cam")) == 0).await;
}

#[tokio::test]
async fn a_publisher_brings_a_stream_that_outlives_it_for_its_viewers() {
    let engine = rtc_engine(|config| config.webrtc.stall_timeout_ms = 300).await;
    let mut events = engine.events();
    let peer = Peer::new(1);
    let answer = peer.ask(&engine, Action::Publish, "live/cam").await.unwrap();
    let second = Peer::new(2).ask(&engine, Action::Publish, "live/cam").await.unwrap_err();
    assert_eq!((second.status, second.code, second.retry_after_s), (409, "already_exists", Some(2)));

    let mut publisher = peer.udp(&answer).await.connect().await;
    let playable = || engine.stream(&name("live/cam")).is_some_and(|stream| stream.is_playable());
    publisher.publish_until(playable).await;
    let tracks = engine.stream(&name("live/cam")).unwrap().tracks();
    assert_eq!(tracks.iter().next().map(|track| track.params.codec.name()), Some("VP8"));

    // It goes without a word, as when its cable is pulled; a viewer stays.
    let (mut viewer, _) = viewer(&engine, 3).await;
    drop(publisher);
    soon(async { while !matches!(events.next().await, Some(Event::PublisherLost { .. })) {} }).await;
    let peer = Peer::new(4);
    let answer = peer.ask(&engine, Action::Publish, "live/cam").await.unwrap();
    let mut publisher = peer.udp(&answer).await.connect().await;
    let watching = async {
        let before = viewer.packet().await.header.seq;
        while viewer.packet().await.header.seq.wrapping_sub(before) < 5 {}
    };
    tokio::select! {
        () = watching => {}
        () = publisher.publish_until(|| false) => {}
    }
}

#[tokio::test]
async fn who_says_goodbye_over_http_leaves_room_for_a_publisher_at_once() {
    let engine = rtc_engine(|config| config.hub.end_on_unpublish = true).await;
    for seed in 0..3 {
        let peer = Peer::new(seed);
        let answer = peer.ask(&engine, Action::Publish, "live/cam").await.unwrap();
        // The second is gone before it was ever there.
        let connected = if seed == 1 { None } else { Some(peer.udp(&answer).await.connect().await) };
        engine.webrtc().remove(&session(&answer, Action::Publish)).await.unwrap();
        assert!(
            engine.stream(&name("live/cam")).is_none(),
            "a goodbye ends the stream where that is configured"
        );
        drop(connected);
    }
}

#[tokio::test]
async fn a_peer_may_move_to_another_address_and_another_shard() {
    let engine = rtc_engine(|config| config.webrtc.shards = 4).await;
    let mut stage = Stage::new(&engine, "live/cam", 100).await;
    let (mut viewer, _) = viewer(&engine, 1).await;
    gets_media(&mut stage, &mut viewer).await;
    // Of so many ports some are another shard's.
    for _ in 0..12 {
        viewer.wire = Wire::Udp(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let check = viewer.check();
        viewer.send(&check).await;
        gets_media(&mut stage, &mut viewer).await;
    }
    assert_eq!(engine.viewers(&name("live/cam")), 1);
}

#[tokio::test]
async fn ice_restarts_under_way_and_stale_changes_are_refused() {
    let engine = rtc_engine(|_| {}).await;
    let mut stage = Stage::new(&engine, "live/cam", 100).await;
    let (mut viewer, answer) = viewer(&engine, 1).await;
    gets_media(&mut stage, &mut viewer).await;

    let patch = |if_match: Option<&str>, body: String| {
        let request = PatchRequest {
            session: session(&answer, Action::Play),
            is_answer: false,
            if_match: if_match.map(str::to_owned),
            body,
        };
        let webrtc = engine.webrtc();
        async move { webrtc.patch(request).await }
    };
    let fragment =
        |peer: &Peer| format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", peer.ours.ufrag, peer.ours.pwd);
    let trickle = format!(
        "{}m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 7 typ host\r\n",
        fragment(&Peer { ours: viewer.ours.clone() })
    );
    assert_eq!(patch(Some(&answer.etag), trickle.clone()).await, Ok(Patched::Accepted));
    assert_eq!(patch(None, trickle.clone()).await.unwrap_err().status, 428);
    assert_eq!(patch(Some("\"stale\""), trickle.clone()).await.unwrap_err().status, 412);
    assert_eq!(patch(Some(&answer.etag), "\0".into()).await.unwrap_err().status, 400);

    let anew = Peer::new(77);
    let Patched::Restarted { fragment: theirs, etag } = patch(Some("*"), fragment(&anew)).await.unwrap()
    else {
        panic!("no restart")
    };
    assert_ne!(etag, answer.etag);
    assert_eq!(patch(Some(&answer.etag), trickle).await.unwrap_err().status, 412);
    viewer.ours = anew.ours;
    viewer.theirs.ufrag = value(&theirs, "a=ice-ufrag:");
    viewer.theirs.pwd = value(&theirs, "a=ice-pwd:");
    viewer.transport.restart(viewer.ours.clone(), viewer.theirs.ufrag.clone());
    viewer.wire = Wire::Udp(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let check = viewer.check();
    viewer.send(&check).await;
    gets_media(&mut stage, &mut viewer).await;
}

#[tokio::test]
async fn who_presents_a_key_is_asked_for_no_other_later() {
    let engine = Engine::builder()
        .webrtc("127.0.0.1:0")
        .authorize(|request: cruvz_core::AccessRequest| {
            let right = request.key.as_ref().is_some_and(|key| key.matches("secret"));
            let decision = if right { request.allow() } else { request.deny("no") };
            async move { decision }
        })
        .start()
        .await
        .unwrap();
    let peer = Peer::new(1);
    assert_eq!(peer.ask(&engine, Action::Publish, "live/cam").await.unwrap_err().status, 401);
    let offer = |query: &str, bearer: Option<&str>| cruvz_core::OfferRequest {
        stream: name("live/cam"),
        action: Action::Publish,
        sdp: peer.offer(Action::Publish),
        query: query.into(),
        bearer: bearer.map(str::to_owned),
        remote: "127.0.0.1:9".parse().unwrap(),
    };
    let webrtc = engine.webrtc();
    assert_eq!(webrtc.offer(offer("key=secret", Some("wrong"))).await.unwrap_err().status, 403);
    for (query, bearer) in [("key=secret", None), ("key=wrong", Some("secret"))] {
        let answer = webrtc.offer(offer(query, bearer)).await.unwrap();
        let mut request = session(&answer, Action::Publish);
        request.bearer = Some("wrong".into());
        assert_eq!(webrtc.remove(&request).await.unwrap_err().status, 403);
        request.bearer = bearer.map(str::to_owned);
        webrtc.remove(&request).await.unwrap();
    }
}

#[tokio::test]
async fn a_player_that_answers_our_offer_gets_media() {
    let engine = rtc_engine(|_| {}).await;
    let mut stage = Stage::new(&engine, "live/cam", 100).await;
    let peer = Peer::new(1);
    let answer = peer.ask_for_offer(&engine, "live/cam").await.unwrap();
    assert!(answer.is_counter_offer);
    let request = PatchRequest {
        session: session(&answer, Action::Play),
        is_answer: true,
        if_match: None,
        body: peer.answer(&answer.sdp),
    };
    let early = peer.clone().udp(&answer).await;
    assert_eq!(engine.webrtc().patch(request.clone()).await, Ok(Patched::Accepted));
    assert_eq!(engine.webrtc().patch(request).await.unwrap_err().status, 422, "once");
    let mut viewer = early.connect().await;
    gets_media(&mut stage, &mut viewer).await;
    engine.webrtc().remove(&session(&answer, Action::Play)).await.unwrap();
    viewer.until_closed().await;
}

#[tokio::test]
async fn offers_of_ours_are_bounded_with_all_others_that_wait() {
    let engine = rtc_engine(|config| config.webrtc.max_pending = 10).await;
    let mut stage = Stage::new(&engine, "live/cam", 100).await;
    let first = Peer::new(0).ask_for_offer(&engine, "live/cam").await.unwrap();
    for seed in 0..100 {
        Peer::new(seed).ask_for_offer(&engine, "live/cam").await.unwrap();
    }
    assert_eq!(engine.viewers(&name("live/cam")), 10);
    assert_eq!(refusals(&engine, Protocol::Whep, "pending_limit"), 91);
    assert_eq!(engine.webrtc().remove(&session(&first, Action::Play)).await.unwrap_err().status, 404);
    let (mut viewer, _) = viewer(&engine, 1).await;
    gets_media(&mut stage, &mut viewer).await;
}

#[tokio::test]
async fn a_rendition_is_played_by_who_may_play_its_stream_and_published_by_nobody_else() {
    let engine = Engine::builder()
        .webrtc("127.0.0.1:0")
        .authorize(|request: cruvz_core::AccessRequest| {
            let right = request.stream.as_str() == "live/cam";
            let decision = if right { request.allow() } else { request.deny("no") };
            async move { decision }
        })
        .start()
        .await
        .unwrap();
    let mut stage = Stage::new(&engine, "live/cam~h", 100).await;
    let refused = Peer::new(1).ask(&engine, Action::Publish, "live/cam~h").await.unwrap_err();
    assert_eq!((refused.status, refused.code), (403, "forbidden"));
    assert!(refused.detail.contains("a rendition of live/cam"), "{}", refused.detail);
    let other = Peer::new(1).ask(&engine, Action::Play, "live/other~h").await.unwrap_err();
    assert_eq!(other.status, 401, "nothing is seen by that name that is not to be seen");
    let peer = Peer::new(1);
    let answer = peer.ask(&engine, Action::Play, "live/cam~h").await.unwrap();
    let mut viewer = peer.udp(&answer).await.connect().await;
    gets_media(&mut stage, &mut viewer).await;
    assert_eq!(engine.viewers(&name("live/cam~h")), 1);
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words() {
    let engine = rtc_engine(|config| config.subscribe_timeout_ms = 50).await;
    let refused = Peer::new(1).ask(&engine, Action::Play, "live/nobody").await.unwrap_err();
    assert_eq!((refused.status, refused.code, refused.retry_after_s), (409, "not_live", Some(2)));
    let with = |sdp: String| cruvz_core::OfferRequest {
        stream: name("live/cam"),
        action: Action::Publish,
        sdp,
        query: String::new(),
        bearer: None,
        remote: "127.0.0.1:9".parse().unwrap(),
    };
    let webrtc = engine.webrtc();
    assert_eq!(webrtc.offer(with("hello".into())).await.unwrap_err().status, 400);
    assert_eq!(webrtc.offer(with("x".repeat(70_000))).await.unwrap_err().status, 413);
    let h263 = Peer::new(1).offer(Action::Publish).replace("VP8/90000", "H263/90000");
    assert_eq!(webrtc.offer(with(h263)).await.unwrap_err().status, 406);
    assert!(engine.sessions().is_empty() && engine.streams().is_empty(), "nothing is left of them");

    tokio::spawn({
        let engine = engine.clone();
        async move { engine.drain(std::time::Duration::ZERO).await }
    });
    until(|| engine.is_draining()).await;
    let refused = Peer::new(1).ask(&engine, Action::Publish, "live/cam").await.unwrap_err();
    assert_eq!((refused.status, refused.retry_after_s), (503, Some(2)));

    let without = Engine::builder().start().await.unwrap();
    assert_eq!(Peer::new(1).ask(&without, Action::Publish, "live/cam").await.unwrap_err().status, 503);
}

#[tokio::test]
async fn thousands_of_offers_that_nobody_follows_up_keep_nobody_out() {
    let engine = rtc_engine(|config| config.webrtc.max_pending = 100).await;
    let mut stage = Stage::new(&engine, "live/cam", 100).await;
    for seed in 0..2_000u32 {
        Peer::new(seed as u8).ask(&engine, Action::Play, "live/cam").await.unwrap();
    }
    assert_eq!(engine.sessions().len(), 101, "a publisher and those that wait");
    assert_eq!(refusals(&engine, Protocol::Whep, "pending_limit"), 1_900);
    let (mut viewer, _) = viewer(&engine, 1).await;
    gets_media(&mut stage, &mut viewer).await;
}

/// Why the next session ends.
async fn next_end(events: &mut Events) -> String {
    soon(async {
        loop {
            if let Event::SessionEnded { reason, .. } = events.next().await.expect("the engine runs") {
                return reason;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_session_that_nobody_comes_for_is_over_in_time_and_says_where_nobody_came() {
    let engine = rtc_engine(|config| config.webrtc.connect_timeout_ms = 100).await;
    let mut events = engine.events();
    let _stage = Stage::new(&engine, "live/cam", 100).await;
    let answer = Peer::new(1).ask(&engine, Action::Play, "live/cam").await.unwrap();
    let (reason, words) = next_refusal(&mut events).await;
    let here = engine.local_addr(Protocol::WebRtc).unwrap();
    assert_eq!(reason, "connect_timeout");
    assert!(
        words.contains(&format!(
            "nothing of it came over UDP or TCP. Do clients reach this server at {here}?"
        ))
    );
    assert_eq!(next_end(&mut events).await, words);
    assert_eq!(refusals(&engine, Protocol::Whep, "connect_timeout"), 1);
    assert_eq!(engine.webrtc().remove(&session(&answer, Action::Play)).await.unwrap_err().status, 404);
}

#[tokio::test]
async fn who_gives_up_before_it_was_connected_is_told_of_in_the_same_words() {
    let engine = rtc_engine(|config| config.webrtc.tcp = false).await;
    let mut events = engine.events();
    let _stage = Stage::new(&engine, "live/cam", 100).await;
    let answer = Peer::new(1).ask(&engine, Action::Play, "live/cam").await.unwrap();
    engine.webrtc().remove(&session(&answer, Action::Play)).await.unwrap();
    let end = next_end(&mut events).await;
    assert!(end.contains("before its media connection was made: nothing of it came over UDP."), "{end}");
}

#[tokio::test]
async fn who_shows_up_and_shakes_no_hands_is_over_in_time_and_named() {
    let engine = rtc_engine(|config| config.webrtc.connect_timeout_ms = 300).await;
    let mut events = engine.events();
    let _stage = Stage::new(&engine, "live/cam", 100).await;
    let peer = Peer::new(1);
    let answer = peer.ask(&engine, Action::Play, "live/cam").await.unwrap();
    let mut peer = peer.udp(&answer).await;
    let check = peer.check();
    peer.send(&check).await;
    let Wire::Udp(socket) = &peer.wire else { panic!("over UDP") };
    let from = socket.local_addr().unwrap().port();
    let end = next_end(&mut events).await;
    assert!(end.contains(&format!("it came from 127.0.0.1:{from} over UDP, and did not finish")), "{end}");
}

#[tokio::test]
async fn what_strangers_send_is_counted_and_never_answered() {
    let engine = rtc_engine(|_| {}).await;
    let mut stage = Stage::new(&engine, "live/cam", 100).await;
    let (mut viewer, _) = viewer(&engine, 1).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut forged = viewer.check();
    *forged.last_mut().unwrap() ^= 1;
    let hello = [&[22, 0xFE, 0xFD][..], &[0; 60]].concat();
    let junk: [&[u8]; 6] =
        [&[], &[0], &[0xFF; 1_400], &hello, &forged, &[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]];
    for datagram in junk {
        stranger.send_to(datagram, viewer.server).await.unwrap();
    }
    let before = now();
    until(|| refusals(&engine, Protocol::WebRtc, "stray_datagram") >= 5).await;
    gets_media(&mut stage, &mut viewer).await;
    assert!(stranger.try_recv(&mut [0; 2_000]).is_err(), "no answer, {:?} later", now() - before);
}
