//! Recordings over HTTP: made, listed, played, ended and removed.
#![allow(clippy::unwrap_used, reason = "a test says with a panic that it failed")]

mod support;

use cruvz_server::Server;
use support::{Answer, ask, get, publish, send, server};
use tempfile::TempDir;

async fn recording_server(folder: &TempDir, more: &str) -> Server {
    server(&format!("{more}\n[engine.record]\nfolder = {:?}\nmin_free_bytes = 0\n", folder.path())).await
}

async fn post(server: &Server, path: &str, body: &str) -> Answer {
    let addr = server.http_addr().unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json");
    send(addr, &format!("{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())).await
}

/// Waits until the newest recording has more than one segment.
async fn until_playable(server: &Server, id: &str) {
    let path = format!("/vod/{id}/main.m3u8");
    tokio::time::timeout(support::DEADLINE, async {
        while !get(server, &path).await.text().contains(".m4s") {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("a recording that plays");
}

#[tokio::test]
async fn a_recording_is_made_played_ended_and_removed() {
    let folder = TempDir::new().unwrap();
    let server = recording_server(&folder, "").await;
    publish(&server).await;
    let made = post(&server, "/api/v1/recordings", r#"{"stream": "live/cam"}"#).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/recordings/{id}");
    assert_eq!(made.header("location"), Some(&path[..]));
    assert_eq!(made.json()["state"], "recording");
    post(&server, "/api/v1/recordings", r#"{"stream": "live/cam"}"#).await.is_problem(409, "already_exists");
    until_playable(&server, &id).await;

    let stopped = post(&server, &format!("{path}/stop"), "").await;
    assert_eq!((stopped.status, &stopped.json()["state"]), (200, &"ended".into()), "{}", stopped.text());
    let list = get(&server, "/api/v1/recordings?stream=live/cam").await.json();
    assert_eq!(list["items"][0], stopped.json());
    assert_eq!(
        get(&server, "/api/v1/recordings?stream=live/other").await.json()["items"].as_array().unwrap().len(),
        0
    );
    assert_eq!(get(&server, &path).await.json(), stopped.json());

    let master = get(&server, &format!("/vod/{id}/index.m3u8?key=mine")).await;
    assert_eq!((master.status, master.header("content-type")), (200, Some("application/vnd.apple.mpegurl")));
    assert!(master.text().ends_with("main.m3u8?key=mine\n"), "{}", master.text());
    assert_eq!(master.header("access-control-allow-origin"), Some("*"));
    let playlist = get(&server, &format!("/vod/{id}/main.m3u8")).await.text();
    let segment = playlist.lines().find(|line| line.ends_with(".m4s")).unwrap();
    let media = get(&server, &format!("/vod/{id}/{segment}")).await;
    assert_eq!((media.status, &media.body[4..8]), (200, &b"moof"[..]));
    assert!(media.header("cache-control").unwrap().contains("immutable"));

    a_file_of(&server, &id).await;
    assert_eq!(ask(&server, "DELETE", &path, "").await.status, 204);
    get(&server, &path).await.is_problem(404, "not_found");
    get(&server, &format!("/vod/{id}/index.m3u8")).await.is_problem(404, "not_found");
    get(&server, &format!("/vod/{id}/{segment}")).await.is_problem(404, "not_found");
}

/// A recording is a file, in any range, and so is a part of it.
async fn a_file_of(server: &Server, id: &str) {
    let path = format!("/vod/{id}.mp4");
    let whole = get(server, &path).await;
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("video/mp4")));
    assert_eq!(&whole.body[4..8], b"ftyp");
    assert_eq!(
        whole.header("content-disposition").unwrap(),
        format!("inline; filename=\"live-cam-{id}.mp4\"")
    );
    let etag = whole.header("etag").unwrap();
    let last = whole.body.len() - 1;
    let part =
        ask(server, "GET", &path, &format!("Range: bytes=100-{}\r\nIf-Range: {etag}\r\n", last + 50)).await;
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[100..]));
    assert_eq!(part.header("content-range").unwrap(), format!("bytes 100-{last}/{}", last + 1));
    let other = ask(server, "GET", &path, "Range: bytes=100-\r\nIf-Range: \"other\"\r\n").await;
    assert_eq!((other.status, other.body.len()), (200, whole.body.len()));
    let beyond = ask(server, "GET", &path, "Range: bytes=99999999999-\r\n").await;
    assert_eq!(
        (beyond.status, beyond.header("content-range").unwrap()),
        (416, &format!("bytes */{}", last + 1)[..])
    );

    let clip = post(server, "/api/v1/clips", r#"{"stream": "live/cam", "from": 0.5, "to": 1.5}"#).await;
    let made = clip.json();
    assert_eq!((clip.status, &made["duration_ms"], &made["recording"]), (200, &1_000.into(), &id.into()));
    assert!(get(server, made["hls"].as_str().unwrap()).await.text().contains("main.m3u8?from="));
    let file = get(server, made["mp4"].as_str().unwrap()).await;
    assert!(file.status == 200 && file.body.len() < whole.body.len() && file.header("etag") != Some(etag));
    get(server, &format!("{path}?from=x")).await.is_problem(400, "invalid_argument");
    get(server, &format!("{path}?from=999")).await.is_problem(404, "not_found");
    get(server, &format!("/vod/{id}.mov")).await.is_problem(404, "not_found");
    for body in
        ["{}", r#"{"stream": "live/cam", "recording": "1-1"}"#, r#"{"stream": "live/cam", "from": 1e300}"#]
    {
        post(server, "/api/v1/clips", body).await.is_problem(400, "invalid_argument");
    }
    post(server, "/api/v1/clips", r#"{"stream": "live/nobody"}"#).await.is_problem(404, "not_found");
}

#[tokio::test]
async fn what_does_not_fit_is_a_problem() {
    let folder = TempDir::new().unwrap();
    let server = recording_server(&folder, "").await;
    for body in ["", "{", "{}", r#"{"stream": "nothing"}"#, r#"{"stream": "live/cam", "lenght": 1}"#] {
        post(&server, "/api/v1/recordings", body).await.is_problem(400, "invalid_argument");
    }
    post(&server, "/api/v1/recordings", r#"{"stream": "live/nobody"}"#).await.is_problem(404, "not_found");
    get(&server, "/api/v1/recordings?limt=1").await.is_problem(400, "invalid_argument");
    get(&server, "/api/v1/recordings/1").await.is_problem(404, "not_found");
    get(&server, "/vod/1/index.m3u8").await.is_problem(404, "not_found");
    let off = support::server("").await;
    publish(&off).await;
    post(&off, "/api/v1/recordings", r#"{"stream": "live/cam"}"#).await.is_problem(415, "unsupported");
    assert_eq!(get(&off, "/api/v1/recordings").await.json(), serde_json::json!({ "items": [] }));
}

#[tokio::test]
async fn only_managers_may() {
    let folder = TempDir::new().unwrap();
    let server = recording_server(&folder, "access = { require_key = true, admin_token = 'right' }").await;
    for (method, path) in [
        ("GET", "/api/v1/recordings"),
        ("POST", "/api/v1/recordings"),
        ("GET", "/api/v1/recordings/1-1"),
        ("DELETE", "/api/v1/recordings/1-1"),
        ("POST", "/api/v1/recordings/1-1/stop"),
        ("POST", "/api/v1/clips"),
    ] {
        ask(&server, method, path, "Content-Length: 0\r\n").await.is_problem(401, "unauthorized");
    }
    assert_eq!(
        ask(&server, "GET", "/api/v1/recordings", "Authorization: Bearer right\r\n").await.status,
        200
    );
}
