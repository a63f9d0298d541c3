//! Recordings as who makes them meets them: a stream is published, files appear, and play as HLS. On virtual time.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use cruvz_core::{
    Download, DownloadRequest, Engine, EngineConfig, ErrorKind, Event, Events, Frame, HlsResponse, Moment,
    Publisher, RecordPolicy, Result, Span, Timestamp, TrackKind, VodRequest, store::Archive,
};
use cruvz_media::container::file::{Limits, Loop, Reader};
use tempfile::TempDir;

/// 20 frames of H.264 at 25 fps and AAC, looped.
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cruvz-media/tests/fixtures/mp4/avc-aac.mp4");

async fn engine(folder: &TempDir, change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config = EngineConfig::default();
    config.record.folder = folder.path().to_owned();
    config.record.min_free_bytes = 0;
    change(&mut config);
    Engine::builder().config(config).start().await.unwrap()
}

/// Publishes the clip again and again at its own pace, for `seconds` from `from`.
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

async fn ask(engine: &Engine, recording: &str, path: &str) -> HlsResponse {
    let remote = "192.0.2.7:5000".parse().unwrap();
    let (recording, path, query) = (recording.to_owned(), path.to_owned(), String::new());
    engine.vod().respond(VodRequest { recording, path, query, remote }).await
}

async fn text(engine: &Engine, recording: &str, path: &str) -> String {
    let response = ask(engine, recording, path).await;
    let text = String::from_utf8(response.body.concat()).unwrap();
    assert_eq!(response.status, 200, "{path}: {text}");
    text
}

/// The next event that `pick` wants.
async fn event<T>(events: &mut Events, pick: impl Fn(Event) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = pick(events.next().await.unwrap()) {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), found).await.expect("the event did not come")
}

fn started(event: Event) -> Option<String> {
    match event {
        Event::RecordingStarted { recording, .. } => Some(recording),
        _ => None,
    }
}

fn stopped(event: Event) -> Option<String> {
    match event {
        Event::RecordingStopped { reason, .. } => Some(reason),
        _ => None,
    }
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn assert_whole(folder: &TempDir) {
    let archive = Archive::new(folder.path()).unwrap();
    for id in archive.ids().unwrap() {
        assert_eq!(archive.verify(&id).unwrap(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_recorded_by_configuration_and_plays_while_it_goes_on_and_after() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder, |config| config.record.always = vec!["live/*".into()]).await;
    let mut events = engine.events();
    let publishing = tokio::spawn(publish(engine.clone(), 20));
    let id = event(&mut events, started).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    let recording = engine.recording(&id).unwrap();
    assert_eq!((recording.state, recording.segments), ("recording", 4));
    let running = text(&engine, &id, "main.m3u8").await;
    assert!(running.contains("#EXT-X-PLAYLIST-TYPE:EVENT") && !running.contains("ENDLIST"), "{running}");
    assert!(engine.sessions().iter().all(|session| session.protocol.name() != "hls"), "it is no viewer");

    let publisher = publishing.await.unwrap();
    publisher.stream().end("the show is over");
    assert_eq!(event(&mut events, stopped).await, "the stream ended");
    let recording = engine.recording(&id).unwrap();
    assert_eq!((recording.state, recording.gaps), ("ended", 0));
    assert!((19_800..=20_200).contains(&recording.duration_ms), "{recording:?}");
    let master = text(&engine, &id, "index.m3u8").await;
    assert!(master.contains("CODECS=\"avc1.") && master.contains("RESOLUTION="), "{master}");
    let playlist = text(&engine, &id, "main.m3u8").await;
    assert!(playlist.contains("#EXT-X-PLAYLIST-TYPE:VOD") && playlist.ends_with("#EXT-X-ENDLIST\n"));
    assert!(playlist.starts_with(running.split("#EXT-X-PLAYLIST").next().unwrap()), "TARGETDURATION stays");
    let mut media = 0;
    for uri in playlist.lines().filter(|line| !line.starts_with('#')) {
        let response = ask(&engine, &id, uri).await;
        assert!(response.status == 200 && response.cache_control.contains("immutable"));
        assert_eq!(&response.body.concat()[4..8], b"moof");
        media += 1;
    }
    assert_eq!(media, recording.segments);
    engine.shutdown().await;
    drop(engine);
    assert_whole(&folder);
}

#[tokio::test(start_paused = true)]
async fn one_is_started_stopped_and_deleted_by_hand() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder, |_| {}).await;
    let publishing = tokio::spawn(publish(engine.clone(), 60));
    let name = || "live/cam".parse().unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let recording = engine.record(name(), RecordPolicy::default()).await.unwrap();
    let again = engine.record(name(), RecordPolicy::default()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let ended = engine.stop_recording(&recording.id).await.unwrap();
    assert_eq!((ended.state, ended.reason.as_deref()), ("ended", Some("stopped")));
    // What was in the stream's log when it began comes on top, and what was still being made when it was stopped is lost.
    assert!((4_700..=7_500).contains(&ended.duration_ms), "{ended:?}");
    let next = engine.record(name(), RecordPolicy::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    engine.delete_recording(&next.id).await.unwrap();
    assert_eq!(engine.recording(&next.id), None);
    assert_eq!(engine.recordings(), vec![ended.clone()]);
    assert_whole(&folder);
    engine.delete_recording(&ended.id).await.unwrap();
    let left: Vec<_> = files(folder.path()).into_iter().filter(|path| !path.ends_with(".lock")).collect();
    assert_eq!(left, Vec::<PathBuf>::new());
    assert_eq!(engine.stop_recording(&ended.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    publishing.abort();
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_as_long_as_it_was_to_be() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder, |_| {}).await;
    let mut events = engine.events();
    let publishing = tokio::spawn(publish(engine.clone(), 60));
    let mut policy = RecordPolicy::default();
    policy.max_duration_ms = 6_000;
    let recording = engine.record("live/cam".parse().unwrap(), policy).await.unwrap();
    assert_eq!(event(&mut events, stopped).await, "it is as long as it was to be");
    let ms = engine.recording(&recording.id).unwrap().duration_ms;
    assert!((6_000..9_000).contains(&ms), "{ms}");
    publishing.abort();
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_comes_back_within_its_grace_makes_one_recording_with_a_gap() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder, |config| config.record.always = vec!["*".into()]).await;
    let mut events = engine.events();
    let publisher = tokio::spawn(publish(engine.clone(), 10)).await.unwrap();
    let id = event(&mut events, started).await;
    drop(publisher);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let publisher = tokio::spawn(publish(engine.clone(), 10)).await.unwrap();
    let gap = |event| match event {
        Event::RecordingGap { missing_ms, .. } => Some(missing_ms),
        _ => None,
    };
    let missing_ms = event(&mut events, gap).await;
    assert!((3_500..=4_500).contains(&missing_ms), "{missing_ms}");
    publisher.stream().end("the show is over");
    event(&mut events, stopped).await;
    let all = engine.recordings();
    assert_eq!((all.len(), &all[0].id, all[0].gaps), (1, &id, 1));
    assert!((19_500..=20_500).contains(&all[0].duration_ms), "{all:?}");
    let playlist = text(&engine, &id, "main.m3u8").await;
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{playlist}");
    assert_whole(&folder);
}

#[tokio::test(start_paused = true)]
async fn a_second_engine_does_not_get_the_folder_and_the_next_one_mends_what_a_crash_left() {
    let folder = TempDir::new().unwrap();
    let first = engine(&folder, |config| config.record.always = vec!["*".into()]).await;
    let mut config = EngineConfig::default();
    config.record.folder = folder.path().to_owned();
    let second = Engine::builder().config(config).start().await;
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(Archive::to_repair(folder.path()).is_err());
    let publishing = tokio::spawn(publish(first.clone(), 60));
    tokio::time::sleep(Duration::from_secs(7)).await;
    // What a crash would leave: a copy of the folder as it is now, the last part of it cut in the middle.
    let crashed = TempDir::new().unwrap();
    for file in files(folder.path()) {
        let to = crashed.path().join(file.strip_prefix(folder.path()).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&file, &to).unwrap();
    }
    publishing.abort();
    let open: Vec<_> =
        files(crashed.path()).into_iter().filter(|file| file.extension() == Some("open".as_ref())).collect();
    let [open] = &open[..] else { panic!("{open:?}") };
    let len = fs::metadata(open).unwrap().len();
    File::options().write(true).open(open).unwrap().set_len(len - 11).unwrap();

    let mended = engine(&crashed, |_| {}).await;
    assert_whole(&crashed);
    let [recording] = &mended.recordings()[..] else { panic!("not one recording") };
    assert_eq!((recording.state, recording.reason.as_deref()), ("ended", Some("interrupted")));
    assert!((6_200..=7_000).contains(&recording.duration_ms), "{recording:?}");
    assert!(text(&mended, &recording.id, "main.m3u8").await.ends_with("#EXT-X-ENDLIST\n"));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_recordings_go_when_there_are_too_many_bytes() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder, |config| config.record.keep_bytes = 1).await;
    let publishing = tokio::spawn(publish(engine.clone(), 60));
    for _ in 0..2 {
        let recording = engine.record("live/cam".parse().unwrap(), RecordPolicy::default()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        engine.stop_recording(&recording.id).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(engine.recordings(), vec![]);
    publishing.abort();
}

#[tokio::test(start_paused = true)]
async fn of_a_recording_that_goes_on_the_oldest_segments_go() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder, |config| config.record.keep_s = 15).await;
    let publishing = tokio::spawn(publish(engine.clone(), 60));
    let recording = engine.record("live/cam".parse().unwrap(), RecordPolicy::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(45)).await;
    let playlist = text(&engine, &recording.id, "main.m3u8").await;
    assert!(!playlist.contains("PLAYLIST-TYPE") && !playlist.contains("MEDIA-SEQUENCE:0\n"), "{playlist}");
    let listed = playlist.lines().find(|line| line.ends_with(".m4s")).unwrap();
    assert_eq!(ask(&engine, &recording.id, listed).await.status, 200);
    let ended = engine.stop_recording(&recording.id).await.unwrap();
    assert!((15_000..=28_000).contains(&ended.duration_ms), "{ended:?}");
    assert_whole(&folder);
    publishing.abort();
}

#[tokio::test(start_paused = true)]
async fn nothing_else_is_found_under_a_recording() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder, |_| {}).await;
    let publishing = tokio::spawn(publish(engine.clone(), 60));
    let recording = engine.record("live/cam".parse().unwrap(), RecordPolicy::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let open =
        files(folder.path()).into_iter().find(|file| file.extension() == Some("open".as_ref())).unwrap();
    let open = format!("main/{}", open.file_name().unwrap().to_str().unwrap());
    for path in [
        "",
        "end",
        "main/index",
        "main/../end",
        "/etc/passwd",
        "other.m3u8",
        "main/init-0-00000000.mp4",
        &open,
    ] {
        assert_eq!(ask(&engine, &recording.id, path).await.status, 404, "{path}");
    }
    for id in ["", "..", "1-1", "0000000000000-00000000", "live/cam"] {
        assert_eq!(ask(&engine, id, "index.m3u8").await.status, 404, "{id}");
    }
    publishing.abort();
}

/// A recording of so many seconds.
async fn recorded(engine: &Engine, seconds: i64) -> String {
    let mut events = engine.events();
    let publishing = tokio::spawn(publish(engine.clone(), seconds));
    let id = event(&mut events, started).await;
    publishing.await.unwrap().stream().end("the show is over");
    event(&mut events, stopped).await;
    id
}

async fn download(engine: &Engine, recording: &str, query: &str, range: Option<&str>) -> Result<Download> {
    let (recording, query) = (recording.to_owned(), query.to_owned());
    let (range, remote) = (range.map(str::to_owned), "192.0.2.7:5000".parse().unwrap());
    engine.vod().download(DownloadRequest { recording, query, range, if_range: None, remote }).await
}

async fn body(mut download: Download) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(piece) = download.body.next().await.unwrap() {
        assert!(piece.len() <= 1 << 20);
        whole.extend_from_slice(&piece);
    }
    assert_eq!(whole.len() as u64, download.range.end - download.range.start);
    whole
}

/// How long an MP4 file says it plays, in ms, and the payloads of its pictures.
fn pictures(file: Vec<u8>) -> (u128, Vec<Frame>) {
    let mut reader = cruvz_media::container::mp4::Reader::open(
        std::io::Cursor::new(file),
        cruvz_media::container::mp4::Limits::default(),
    )
    .unwrap();
    let (duration, video) = (reader.duration().unwrap(), reader.tracks().first(TrackKind::Video).unwrap().id);
    let frames = std::iter::from_fn(|| reader.next_frame().unwrap()).filter(|frame| frame.track == video);
    (duration.as_millis(), frames.collect())
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_an_mp4_file_that_can_be_had_in_any_range() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder, |config| config.record.always = vec!["live/*".into()]).await;
    let id = recorded(&engine, 12).await;
    let all = download(&engine, &id, "", None).await.unwrap();
    let (etag, bytes) = (all.etag.clone(), all.file_bytes);
    assert_eq!((all.status, &all.file_name[..]), (200, &format!("live-cam-{id}.mp4")[..]));
    let whole = body(all).await;
    let (duration_ms, frames) = pictures(whole.clone());
    assert!((11_900..=12_200).contains(&duration_ms), "{duration_ms}");
    // The clip has 20 pictures, and 832 ms of sound.
    assert!((285..=292).contains(&frames.len()), "{}", frames.len());
    for (range, from, to) in
        [("bytes=0-99", 0, 100), ("bytes=5000-70000", 5_000, 70_001), ("bytes=-17", bytes - 17, bytes)]
    {
        let part = download(&engine, &id, "", Some(range)).await.unwrap();
        assert_eq!((part.status, part.range.clone(), &part.etag), (206, from..to, &etag));
        assert_eq!(body(part).await, whole[from as usize..to as usize], "{range}");
    }
    let beyond = download(&engine, &id, "", Some(&format!("bytes={bytes}-"))).await.unwrap();
    assert_eq!((beyond.status, body(beyond).await.len()), (416, 0));
    for (recording, query, kind) in [
        ("1763800000123-00000000", "", ErrorKind::NotFound),
        ("../cam", "", ErrorKind::NotFound),
        (&id[..], "from=x", ErrorKind::InvalidArgument),
        (&id[..], "from=100", ErrorKind::NotFound),
    ] {
        let error = download(&engine, recording, query, None).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{recording} {query}: {error}");
    }
}

/// How long the first segment of a playlist is.
fn first_segment_s(playlist: &str) -> f64 {
    let duration = playlist.lines().find_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','));
    duration.unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_clip_plays_at_once_as_hls_and_as_a_file_that_is_exact_to_the_frame() {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder, |config| config.record.always = vec!["live/*".into()]).await;
    let id = recorded(&engine, 12).await;
    let played = |ms: u64| Some(Moment::Played(ms * 1_000_000));
    let clip = engine.clip(&id, Span { from: played(3_240), to: played(7_640) }).await.unwrap();
    assert_eq!((clip.duration_ms, clip.stream.as_str()), (4_400, "live/cam"));

    let remote = "192.0.2.7:5000".parse().unwrap();
    let request =
        VodRequest { recording: id.clone(), path: "main.m3u8".into(), query: clip.query.clone(), remote };
    let response = engine.vod().respond(request).await;
    let playlist = String::from_utf8(response.body.concat()).unwrap();
    assert_eq!(response.status, 200, "{playlist}");
    let media = playlist.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(media, 3, "{playlist}");
    let first_s: f64 = first_segment_s(&text(&engine, &id, "main.m3u8").await);
    let start = playlist.lines().find_map(|line| line.strip_prefix("#EXT-X-START:TIME-OFFSET=")).unwrap();
    let start_s: f64 = start.strip_suffix(",PRECISE=YES").unwrap().parse().unwrap();
    assert!((first_s + start_s - 3.24).abs() < 0.001 && playlist.ends_with("#EXT-X-ENDLIST\n"), "{playlist}");

    let (_, all) = pictures(body(download(&engine, &id, "", None).await.unwrap()).await);
    let (duration_ms, clipped) =
        pictures(body(download(&engine, &id, &clip.query, None).await.unwrap()).await);
    // The last packet of sound is there in whole.
    assert!((4_400..4_430).contains(&duration_ms), "{duration_ms}");
    // What the edit list hides, the reader shows before zero.
    let shown = |frame: &&Frame| (0..4_400).contains(&frame.pts.as_millis());
    let shown: Vec<_> = clipped.iter().filter(shown).collect();
    assert!((104..=110).contains(&shown.len()), "{}", shown.len());
    let mut there = all.iter().map(|frame| &frame.payload);
    assert!(
        shown.iter().all(|frame| there.any(|payload| *payload == frame.payload)),
        "in the order they were"
    );

    let late =
        engine.clip(&id, Span { from: Some(Moment::BeforeEnd(2_000_000_000)), to: None }).await.unwrap();
    assert_eq!(late.duration_ms, 2_000);
    let none = engine.clip(&id, Span { from: played(60_000), to: None }).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
}
