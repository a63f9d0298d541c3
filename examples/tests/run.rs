//! Every example does what it says: each is started as a process, published to by ffmpeg, and judged by ffmpeg, ffprobe and
//! plain HTTP. Ports are the system's choice and read from what the example prints.

mod support;

use cruvz_core::{Engine, Protocol};
use support::{Program, decode, get, probe, publish, request, send, within};
use tokio::io::AsyncReadExt;

const ANY: &str = "127.0.0.1:0";

#[test]
fn an_example_fits_on_a_page() {
    let files = std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap().map(|file| file.unwrap().path());
    let examples: Vec<_> = files.filter(|path| path.extension().is_some_and(|ext| ext == "rs")).collect();
    assert!(examples.len() >= 7, "{examples:?}");
    for path in examples {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 80, "{}: {lines} lines", path.display());
    }
}

#[tokio::test]
async fn frames_prints_what_is_published() {
    let mut example = Program::example("frames", &[ANY, "live/cam"]);
    let url = example.after("publish to ").await;
    let _publisher = publish(&url);
    assert_eq!(example.after("track 1 is ").await.split(' ').next(), Some("H.264"));
    assert!(example.after("track 2 is ").await.starts_with("AAC mp4a.40.2"));
    let mut first = example.line().await.unwrap();
    while first.starts_with("track ") {
        first = example.line().await.unwrap();
    }
    assert!(first.starts_with("1 ") && first.contains("key=true"), "begins at a keyframe: {first}");
    let mut sound = 0;
    for _ in 0..50 {
        sound += u32::from(example.line().await.unwrap().starts_with("2 "));
    }
    assert!((10..=45).contains(&sound), "{sound} of 50 frames are sound");
}

#[tokio::test]
async fn custom_ingest_writes_a_clip_and_reads_it_whole() {
    let mut example = Program::example("custom-ingest", &[]);
    let mut lines = Vec::new();
    while let Some(line) = example.line().await {
        lines.push(line);
    }
    assert!(example.wait().await.success());
    assert_eq!(lines.len(), 50, "two seconds of 25 pictures: {lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.contains("key=true")).count(), 2);
    assert!(lines[0].contains("key=true"), "{}", lines[0]);
}

#[tokio::test]
async fn rtmp_to_hls_can_be_watched() {
    let mut example = Program::example("rtmp-to-hls", &[ANY, ANY]);
    let url = example.after("publish to ").await;
    let playlist = example.after("watch at ").await;
    let _publisher = publish(&url);

    let (status, head) = get(&playlist).await;
    assert_eq!(status, 200, "{head}");
    assert!(head.contains("application/vnd.apple.mpegurl") && head.contains("\n#EXTM3U"), "{head}");
    assert_eq!(get(&playlist.replace("/cam/", "/..%2fetc/")).await.0, 404);

    let streams = probe(&playlist, "stream=codec_name,width,height").await;
    for expected in ["codec_name=h264", "width=160", "height=90", "codec_name=aac"] {
        assert!(streams.contains(expected), "{expected} in {streams}");
    }
    decode(&playlist, 60).await;
}

#[tokio::test]
async fn record_leaves_a_recording_that_plays() {
    let folder = tempfile::tempdir().unwrap();
    let mut example = Program::example("record", &[folder.path().to_str().unwrap(), ANY]);
    let url = example.after("publish to ").await;
    let _publisher = publish(&url);

    let id = example.after("recording ").await;
    assert_eq!(example.after("over: ").await, "it is as long as it was to be");
    assert!(example.wait().await.success());
    let main = folder.path().join("live/cam").join(id).join("main");
    let mut files: Vec<_> = std::fs::read_dir(main).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some());
    // The initialisation segment comes last by its name, and is to be first.
    files.sort();
    files.rotate_right(1);
    let whole: Vec<u8> = files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
    let mp4 = folder.path().join("whole.mp4");
    std::fs::write(&mp4, whole).unwrap();
    decode(mp4.to_str().unwrap(), 100).await;
}

#[tokio::test]
async fn embed_axum_serves_its_own_page_beside_the_streams_and_stops_under_viewers() {
    let mut example = Program::example("embed-axum", &[ANY, ANY]);
    let url = example.after("publish to ").await;
    let site = example.after("open ").await;
    let _publisher = publish(&url);

    let (status, page) = get(&site).await;
    assert!(status == 200 && page.ends_with("The page that was always here.\n"), "{page}");
    decode(&format!("{site}media/flv/live/cam.flv"), 50).await;
    decode(&format!("{site}media/hls/live/cam/index.m3u8"), 50).await;
    let (_, streams) = get(&format!("{site}media/streams")).await;
    assert!(streams.contains(r#""name":"live/cam""#) && streams.contains(r#""state":"live""#), "{streams}");
    assert_eq!(get(&format!("{site}media/flv/live/cam")).await.0, 404);
    assert_eq!(get(&format!("{site}media/flv/live/%20.flv")).await.0, 400);

    // It stops, although an endless body is on its way.
    let mut viewer = request(&format!("{site}media/flv/live/cam.flv")).await;
    let mut head = [0; 12];
    within("a viewer", viewer.read_exact(&mut head)).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    example.interrupt().await;
    within("the viewer's end", viewer.read_to_end(&mut Vec::new())).await.unwrap();
    example.after("stopped").await;
    assert!(example.wait().await.success());
}

#[tokio::test]
async fn auth_hook_lets_in_the_right_key_only_and_waits_for_nobody() {
    let mut example = Program::example("auth-hook", &[ANY]);
    let url = example.after("publish to ").await;
    let with = |key: &str| url.replace("key=let-me-in", key);

    for (key, reason) in [
        ("", "a key is needed"),
        ("key=wrong", "this key does not open this stream"),
        ("key=slow", "the account service did not answer in time"),
    ] {
        let mut refused = publish(&with(key));
        assert!(example.after("refused: ").await.contains(reason), "{key}");
        assert!(!refused.wait().await.success(), "{key}: ffmpeg was told");
    }

    let publisher = publish(&url);
    assert_eq!(example.after("let in: ").await, "publish live/cam");
    decode(url.split('?').next().unwrap(), 25).await;
    assert_eq!(example.after("let in: ").await, "play live/cam");
    drop(publisher);
    assert!(example.after("left: ").await.contains("live/cam"));
}

#[tokio::test]
async fn srt_relay_takes_rtmp_and_gives_srt_to_players_and_targets() {
    let target = Engine::builder().srt(ANY).start().await.unwrap();
    let to = format!("srt://{}?streamid=publish:live/copy", target.local_addr(Protocol::Srt).unwrap());
    let mut example = Program::example("srt-relay", &[ANY, ANY, &to]);
    let rtmp = example.after("publish to ").await;
    let ingest = example.after("or to ").await;
    let watch = example.after("watch at ").await;
    assert!(
        ingest.starts_with("srt://127.0.0.1:") && ingest.ends_with("?streamid=publish:live/cam"),
        "{ingest}"
    );
    let _publisher = publish(&rtmp);
    example.after("opened: push live/cam over srt").await;
    decode(&watch, 50).await;
    let network = example.after("network: p").await;
    assert!(network.contains("of live/cam") && network.contains("0 given up"), "{network}");

    let mut subscriber = target.subscribe("live/copy".parse().unwrap()).await.unwrap();
    for _ in 0..30 {
        within("a frame at the target", subscriber.next()).await.unwrap();
    }
    assert_eq!(subscriber.tracks().iter().count(), 2);
}

/// An offer of one picture in VP8.
fn offer(direction: &str) -> String {
    format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:them\r\n\
         a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 {}\r\na=setup:actpass\r\na=mid:0\r\n\
         a={direction}\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n",
        ["AB"; 32].join(":")
    )
}

#[tokio::test]
async fn whip_to_whep_answers_offers_and_ends_sessions() {
    let mut example = Program::example("whip-to-whep", &[ANY, ANY]);
    let media = example.after("media goes over ").await;
    let whip = example.after("publish to ").await;
    let whep = example.after("watch at ").await;
    let (status, answer) = send("POST", &whip, "Content-Type: application/sdp\r\n", &offer("sendonly")).await;
    assert_eq!(status, 201, "{answer}");
    let port = media.rsplit(':').next().unwrap();
    assert!(answer.contains(&format!(" 127.0.0.1 {port} typ host")), "{answer}");
    let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    let session = format!("{}{location}", whip.strip_suffix("/whip/live/cam").unwrap());
    let (status, taken) = send("POST", &whip, "", &offer("sendonly")).await;
    assert!(status == 409 && taken.contains("has a publisher already"), "{taken}");
    assert_eq!(send("DELETE", &session, "", "").await.0, 200);
    assert_eq!(send("DELETE", &session, "", "").await.0, 404);
    assert_eq!(send("POST", &whep.replace("whep", "whop"), "", "").await.0, 404);
}

/// What it does with cameras browsers show: `tests/browser`.
#[tokio::test]
async fn camera_wall_serves_its_page_and_takes_cameras_under_names_of_their_own() {
    let mut example = Program::example("camera-wall", &[ANY, ANY]);
    let media = example.after("media goes over ").await;
    let page = example.after("open ").await;
    let (status, html) = get(&page).await;
    assert!(status == 200 && html.contains("<title>Camera wall</title>"), "{html}");
    let (status, none) = get(&format!("{page}cameras")).await;
    assert!(status == 200 && none.ends_with("[]"), "{none}");
    let port = media.rsplit(':').next().unwrap();
    for camera in ["one", "two"] {
        let (status, answer) = send("POST", &format!("{page}whip/{camera}"), "", &offer("sendonly")).await;
        assert!(status == 201 && answer.contains(&format!(" 127.0.0.1 {port} typ host")), "{answer}");
        let location = answer.lines().find_map(|line| line.strip_prefix("location: /")).unwrap();
        let session = format!("{page}{location}");
        assert_eq!(send("POST", &format!("{page}whip/{camera}"), "", &offer("sendonly")).await.0, 409);
        assert_eq!(send("DELETE", &session, "", "").await.0, 200);
    }
    assert_eq!(send("POST", &format!("{page}whop/one"), "", "").await.0, 404);
    assert_eq!(send("POST", &format!("{page}whip/%20"), "", "").await.0, 400);
}

#[tokio::test]
async fn restream_feeds_every_target_and_one_that_is_gone_harms_none() {
    // Two servers of somebody else's, and a port where nobody listens.
    let mut targets = Vec::new();
    for _ in 0..2 {
        targets.push(Engine::builder().rtmp(ANY).start().await.unwrap());
    }
    let addrs = targets.iter().map(|engine| engine.local_addr(Protocol::Rtmp).unwrap());
    let mut urls: Vec<_> = addrs.map(|addr| format!("rtmp://{addr}/live/secret")).collect();
    let closed = std::net::TcpListener::bind(ANY).unwrap().local_addr().unwrap();
    urls.push(format!("rtmp://{closed}/live/secret"));

    let mut arguments = vec![ANY, "live/cam"];
    arguments.extend(urls.iter().map(String::as_str));
    let mut example = Program::example("restream", &arguments);
    let url = example.after("publish to ").await;
    let _publisher = publish(&url);

    let mut said = Vec::new();
    while said.iter().filter(|line: &&String| line.ends_with(": running")).count() < 2
        || !said.iter().any(|line| line.contains(": waiting: "))
    {
        said.push(example.line().await.unwrap());
    }
    assert!(said.iter().any(|line| line.contains(&closed.to_string()) && line.contains(": waiting: ")));
    assert!(!said.concat().contains("secret"), "keys are not shown: {said:#?}");

    for target in &targets {
        let mut subscriber = target.subscribe("live/secret".parse().unwrap()).await.unwrap();
        for _ in 0..30 {
            within("a frame at the target", subscriber.next()).await.unwrap();
        }
        assert_eq!(subscriber.tracks().iter().filter(|track| track.id.0 < 3).count(), 2);
    }

    let mut unused = Program::example("restream", &[]);
    assert_eq!(unused.wait().await.code(), Some(2));
}
