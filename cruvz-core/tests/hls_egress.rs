//! HLS as a viewer meets it: requests in, playlists and media out, on virtual time.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::{fs::File, time::Duration};

use cruvz_core::{
    AccessRequest, Engine, EngineConfig, Event, Frame, HlsRequest, HlsResponse, Protocol, Publisher,
    Timestamp,
};
use cruvz_media::container::file::{Limits, Loop, Reader};

/// 20 frames of H.264 at 25 fps and AAC, looped.
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cruvz-media/tests/fixtures/mp4/avc-aac.mp4");

fn request(path: &str, query: &str) -> HlsRequest {
    HlsRequest {
        stream: "live/cam".parse().unwrap(),
        path: path.to_owned(),
        query: query.to_owned(),
        remote: "192.0.2.7:5000".parse().unwrap(),
    }
}

fn text(response: &HlsResponse) -> String {
    String::from_utf8(response.body.concat()).unwrap()
}

async fn engine() -> Engine {
    Engine::builder().start().await.unwrap()
}

/// Publishes the clip again and again at its own pace, until the engine stops or `seconds` have passed.
#[expect(clippy::disallowed_methods, reason = "the test's own clock, which stands still until it is moved")]
async fn publish(engine: Engine, seconds: i64) -> Publisher {
    let mut reader = Reader::open(File::open(CLIP).unwrap(), Limits::default()).unwrap();
    let tracks = reader.tracks().clone();
    let mut publisher = engine.publish("live/cam".parse().unwrap(), tracks).await.unwrap();
    let mut repeat = Loop::default();
    let start = tokio::time::Instant::now();
    loop {
        let mut frame: Frame = match reader.next_frame().unwrap() {
            Some(frame) => frame,
            None => {
                reader.rewind().unwrap();
                repeat.restart();
                continue;
            }
        };
        repeat.place(&mut frame);
        let due = frame.dts.duration_since(Timestamp::ZERO);
        if frame.dts > Timestamp::from_millis(seconds * 1000) {
            return publisher;
        }
        tokio::time::sleep_until(start + due).await;
        if publisher.write(frame).is_err() {
            return publisher;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_comes_first_waits_for_the_stream_and_plays() {
    let engine = engine().await;
    let hls = engine.hls();
    let first = tokio::spawn({
        let hls = hls.clone();
        async move { hls.respond(request("index.m3u8", "")).await }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let publishing = tokio::spawn(publish(engine.clone(), 30));
    let multivariant = first.await.unwrap();
    assert_eq!(multivariant.status, 200, "{}", text(&multivariant));
    let multivariant = text(&multivariant);
    assert!(multivariant.contains("CODECS=\"avc1.") && multivariant.contains("mp4a.40.2"), "{multivariant}");
    let uri = multivariant.lines().find(|line| !line.starts_with('#')).unwrap();
    let playlist = text(&hls.respond(request(uri, "")).await);
    let map = playlist.split("EXT-X-MAP:URI=\"").nth(1).unwrap().split('"').next().unwrap();
    let init = hls.respond(request(map, "")).await;
    assert_eq!(init.status, 200);
    assert!(init.cache_control.contains("immutable"));
    let next = playlist.split("TYPE=PART,URI=\"").nth(1).unwrap().split('"').next().unwrap();
    let part = hls.respond(request(next, "")).await;
    assert_eq!(part.status, 200);
    assert_eq!(&part.body.concat()[4..8], b"moof");
    publishing.abort();
}

#[tokio::test(start_paused = true)]
async fn viewers_are_sessions_that_can_be_seen_ended_and_forgotten() {
    let engine = engine().await;
    let hls = engine.hls();
    let publishing = tokio::spawn(publish(engine.clone(), 120));
    assert_eq!(hls.respond(request("index.m3u8", "")).await.status, 200);
    assert_eq!(hls.respond(request("main.m3u8", "_HLS_skip=YES")).await.status, 200);
    assert_eq!(hls.respond(request("main.m3u8", "user=2")).await.status, 200);
    let of_hls = || {
        engine.sessions().into_iter().filter(|session| session.protocol == Protocol::Hls).collect::<Vec<_>>()
    };
    assert_eq!(of_hls().len(), 2);
    assert!(of_hls().iter().all(|session| session.bytes > 0));
    engine.end_session(of_hls()[1].id, "enough");
    assert_eq!(hls.respond(request("main.m3u8", "user=2")).await.status, 403);
    assert_eq!(hls.respond(request("main.m3u8", "")).await.status, 200);
    let mut events = engine.events();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(of_hls().is_empty());
    for _ in 0..2 {
        assert!(matches!(events.next().await, Some(Event::SessionEnded { .. })));
    }
    assert_eq!(hls.respond(request("main.m3u8", "")).await.status, 200, "packaging begins again");
    publishing.abort();
}

/// The directives with which a player waits for the part after the last one of `playlist`.
fn next_part(playlist: &str) -> String {
    let hint = playlist.split("TYPE=PART,URI=\"").nth(1).unwrap().split('"').next().unwrap();
    let numbers: Vec<&str> =
        hint.split(|c: char| !c.is_ascii_digit()).filter(|text| !text.is_empty()).collect();
    let [.., msn, part, _] = numbers[..] else { panic!("{hint}") };
    format!("_HLS_msn={msn}&_HLS_part={part}")
}

#[tokio::test(start_paused = true)]
async fn an_address_makes_so_many_requests_wait_and_no_more() {
    let mut config = EngineConfig::default();
    config.addresses.max_waiting = 3;
    let engine = Engine::builder().config(config).start().await.unwrap();
    let hls = engine.hls();
    let publishing = tokio::spawn(publish(engine.clone(), 60));
    let playlist = text(&hls.respond(request("main.m3u8", "")).await);
    let query = next_part(&playlist);
    let ask = |remote: &str, query: &str| {
        let (hls, mut request) = (hls.clone(), request("main.m3u8", query));
        request.remote = remote.parse().unwrap();
        tokio::spawn(async move { hls.respond(request).await })
    };
    let asked: Vec<_> = (0..5).map(|n| ask("192.0.2.7:5000", &format!("{query}&viewer={n}"))).collect();
    let neighbour = ask("192.0.2.8:5000", &query).await.unwrap();
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap());
    }
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 503, 503]);
    assert_eq!(neighbour.status, 200);
    assert_eq!(answers[3].retry_after_s, Some(1));
    assert_eq!(text(&answers[3]), "3 requests of 192.0.2.7 are waiting already\n");
    assert!(engine.totals().refusals().contains(&("hls", "waiting_limit", 2)));
    assert_eq!(ask("192.0.2.7:5000", "").await.unwrap().status, 200, "what need not wait is answered");
    let later = next_part(&text(&ask("192.0.2.7:5000", "").await.unwrap()));
    assert_eq!(ask("192.0.2.7:5000", &later).await.unwrap().status, 200, "the seats are free again");
    publishing.abort();
}

#[tokio::test(start_paused = true)]
async fn the_end_is_in_the_playlist_and_a_new_run_has_new_names() {
    let engine = engine().await;
    let hls = engine.hls();
    let publishing = tokio::spawn(publish(engine.clone(), 6));
    let first = text(&hls.respond(request("main.m3u8", "")).await);
    drop(publishing.await.unwrap());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let waiting = text(&hls.respond(request("main.m3u8", "")).await);
    assert!(!waiting.contains("#EXT-X-ENDLIST"), "within the grace");
    tokio::time::sleep(Duration::from_millis(5_500)).await;
    let last = text(&hls.respond(request("main.m3u8", "")).await);
    assert!(last.contains("#EXT-X-ENDLIST"), "{last}");
    let publishing = tokio::spawn(publish(engine.clone(), 60));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let again = text(&hls.respond(request("main.m3u8", "")).await);
    assert!(!again.contains("#EXT-X-ENDLIST"));
    let map = |playlist: &str| {
        playlist.split("EXT-X-MAP:URI=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    assert_ne!(map(&first), map(&again));
    publishing.abort();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_served_is_refused_in_http_words() {
    let config = EngineConfig::default();
    let deny = |request: AccessRequest| async move {
        if request.key.as_ref().is_some_and(|key| key.matches("good")) {
            request.allow()
        } else {
            request.deny("no key")
        }
    };
    let engine = Engine::builder().config(config).authorize(deny).start().await.unwrap();
    let hls = engine.hls();
    assert_eq!(hls.respond(request("index.m3u8", "")).await.status, 401);
    assert_eq!(hls.respond(request("index.m3u8", "key=bad")).await.status, 403);
    assert_eq!(hls.respond(request("index.m3u8", "a\"b")).await.status, 400);
    assert_eq!(hls.respond(request("index.m3u8", "key=good")).await.status, 404, "nobody publishes");
    assert_eq!(hls.respond(request("nothing.m4s", "")).await.status, 404);
    let publishing = tokio::spawn(publish(engine.clone(), 60));
    let multivariant = text(&hls.respond(request("index.m3u8", "key=good")).await);
    assert!(multivariant.lines().any(|line| line.ends_with(".m3u8?key=good")), "{multivariant}");
    assert_eq!(hls.respond(request("main.m3u8", "_HLS_msn=x&key=good")).await.status, 400);
    publishing.abort();
}
