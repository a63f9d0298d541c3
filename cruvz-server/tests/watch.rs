//! Watching over HTTP: FLV with its socket taken over, as a body, over WebSocket; HLS; and the end of it.
#![allow(clippy::unwrap_used, reason = "a test says with a panic that it failed")]

mod support;

use cruvz_core::Role;
use futures_util::StreamExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{Answer, DEADLINE, ask, get, publish, read_head, read_until, server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

async fn open(server: &cruvz_server::Server, request: &str) -> (TcpStream, Answer) {
    let mut socket = TcpStream::connect(server.http_addr().unwrap()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let answer = read_head(&mut socket).await;
    (socket, answer)
}

async fn viewers(server: &cruvz_server::Server, count: usize) {
    let name = "live/cam".parse().unwrap();
    timeout(DEADLINE, async {
        while server.engine().viewers(&name) != count {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the viewers are counted");
}

#[tokio::test]
async fn flv_is_streamed_on_the_very_socket() {
    let server = server("").await;
    publish(&server).await;
    let (mut socket, mut answer) = open(&server, "GET /flv/live/cam.flv HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("video/x-flv"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(answer.header("date").is_some_and(|date| date.ends_with(" gmt")));
    // Header, first tag size, and media behind it, not chunked.
    read_until(&mut socket, &mut answer.body, 20_000).await;
    assert_eq!(answer.body[..13], *b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
    viewers(&server, 1).await;
    // The connection is the viewer's now, not HTTP's.
    assert!(get(&server, "/metrics").await.text().contains("cruvz_http_connections 1\n"));
    drop(socket);
    viewers(&server, 0).await;
}

#[tokio::test]
async fn mpegts_is_streamed_on_the_very_socket() {
    let server = server("").await;
    publish(&server).await;
    let (mut socket, mut answer) = open(&server, "GET /ts/live/cam.ts HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("video/mp2t")));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    read_until(&mut socket, &mut answer.body, 20_000).await;
    assert!(answer.body.chunks(188).all(|packet| packet[0] == 0x47), "packets from the first byte on");
    viewers(&server, 1).await;
    drop(socket);
    viewers(&server, 0).await;
}

#[tokio::test]
async fn a_socket_is_taken_over_after_earlier_requests_on_it() {
    let server = server("").await;
    publish(&server).await;
    let (mut socket, answer) = open(&server, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    socket.write_all(b"GET /flv/live/cam.flv HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut answer = read_head(&mut socket).await;
    read_until(&mut socket, &mut answer.body, 3).await;
    assert_eq!((answer.status, &answer.body[..3]), (200, &b"FLV"[..]));
}

#[tokio::test]
async fn a_websocket_gets_flv_in_messages() {
    let server = server("").await;
    publish(&server).await;
    let request = "GET /flv/live/cam.flv HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let (mut socket, mut answer) = open(&server, request).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pplmbitxaq9kygzzhzrbk+xoo="));
    read_until(&mut socket, &mut answer.body, 20).await;
    // One final binary message of 13 bytes, unmasked: the file header.
    assert_eq!(answer.body[..5], [0x82, 13, b'F', b'L', b'V']);
    let malformed = ask(&server, "GET", "/flv/live/cam.flv", "Upgrade: websocket\r\n").await;
    malformed.is_problem(426, "upgrade_required");
}

#[tokio::test]
async fn over_http2_flv_is_a_body() {
    let server = server("").await;
    publish(&server).await;
    let socket = TcpStream::connect(server.http_addr().unwrap()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get("http://a/flv/live/cam.flv").body(axum::body::Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.version(), hyper::Version::HTTP_2);
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let mut body = axum::body::Body::new(response.into_body()).into_data_stream();
    let mut bytes = Vec::new();
    while bytes.len() < 20_000 {
        let piece = timeout(DEADLINE, body.next()).await.unwrap();
        bytes.extend_from_slice(&piece.unwrap().unwrap());
    }
    assert_eq!(bytes[..3], *b"FLV");
    viewers(&server, 1).await;
    drop((body, sender));
    viewers(&server, 0).await;
}

#[tokio::test]
async fn over_http2_an_answer_that_nobody_reads_is_given_up_and_others_are_not() {
    let server = server("http.write_timeout_ms = 200").await;
    publish(&server).await;
    let socket = TcpStream::connect(server.http_addr().unwrap()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1_000)
        .handshake(TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut ask = async |path: &str| {
        let request = hyper::Request::get(format!("http://a{path}")).body(axum::body::Body::empty()).unwrap();
        let response = timeout(DEADLINE, sender.send_request(request)).await.unwrap().unwrap();
        axum::body::Body::new(response.into_body()).into_data_stream()
    };
    let mut unread = ask("/flv/live/cam.flv").await;
    let mut read = ask("/flv/live/cam.flv").await;
    viewers(&server, 2).await;
    let reading = tokio::spawn(async move { while let Some(Ok(_)) = read.next().await {} });
    viewers(&server, 1).await;
    assert_eq!(&ask("/livez").await.next().await.unwrap().unwrap()[..], b"ok\n");
    assert!(!reading.is_finished());
    let end = timeout(DEADLINE, async {
        while unread.next().await?.is_ok() {}
        Some(())
    })
    .await
    .unwrap();
    assert!(end.is_some(), "it is reset, so that nobody takes it for whole");
    assert_eq!(server.engine().viewers(&"live/cam".parse().unwrap()), 1);
}

#[tokio::test]
async fn what_cannot_be_watched_is_a_problem() {
    let server = server("").await;
    get(&server, "/flv/live/nobody.flv").await.is_problem(404, "not_found");
    get(&server, "/flv/live/cam").await.is_problem(404, "not_found");
    get(&server, "/ts/live/nobody.ts").await.is_problem(404, "not_found");
    get(&server, "/ts/live/cam.flv").await.is_problem(404, "not_found");
    get(&server, "/flv/live/..%2fx.flv").await.is_problem(400, "invalid_argument");
    get(&server, "/hls/live/nobody/index.m3u8").await.is_problem(404, "not_found");
    ask(&server, "GET", "/flv/live/cam.flv", "Content-Length: 3\r\n")
        .await
        .is_problem(400, "invalid_argument");
    assert_eq!(ask(&server, "HEAD", "/flv/live/cam.flv", "").await.status, 404);
    let long = format!("/hls/live/cam/index.m3u8?{}", "x".repeat(4_000));
    get(&server, &long).await.is_problem(400, "invalid_argument");
    publish(&server).await;
    let head = ask(&server, "HEAD", "/flv/live/cam.flv", "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(server.engine().sessions().iter().all(|session| session.role != Role::Play));
}

#[tokio::test]
async fn hls_is_carried_with_its_headers() {
    let server = server("").await;
    publish(&server).await;
    let index = get(&server, "/hls/live/cam/index.m3u8").await;
    assert_eq!(index.status, 200, "{}", index.text());
    assert_eq!(index.header("content-type"), Some("application/vnd.apple.mpegurl"));
    assert_eq!(index.header("access-control-allow-origin"), Some("*"));
    assert_eq!(index.header("content-length"), Some(index.body.len().to_string().as_str()));
    let text = index.text();
    let media = text.lines().find(|line| !line.starts_with('#')).unwrap();
    let playlist = get(&server, &format!("/hls/live/cam/{media}")).await.text();
    let init = playlist.split("#EXT-X-MAP:URI=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let init = get(&server, &format!("/hls/live/cam/{init}")).await;
    assert_eq!((init.status, &init.body[4..8]), (200, &b"ftyp"[..]));
    assert!(init.header("cache-control").unwrap().contains("immutable"));
}

#[tokio::test]
async fn pages_of_other_sites_may_read_media_as_configured() {
    let server = server("http.cors_origins = ['https://good.example']").await;
    publish(&server).await;
    for (origin, allowed) in
        [("https://good.example", Some("https://good.example")), ("https://evil.example", None)]
    {
        let header = format!("Origin: {origin}\r\n");
        for (method, path) in [
            ("GET", "/hls/live/cam/index.m3u8"),
            ("OPTIONS", "/hls/live/cam/index.m3u8"),
            ("HEAD", "/flv/live/cam.flv"),
        ] {
            let answer = ask(&server, method, path, &header).await;
            assert!(answer.status < 300, "{method} {path} {}", answer.status);
            assert_eq!(answer.header("access-control-allow-origin"), allowed, "{method} {path}");
            assert_eq!(answer.header("vary"), Some("origin"));
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
    }
    assert_eq!(
        ask(&server, "GET", "/api/v1/streams", "Origin: https://good.example\r\n")
            .await
            .header("access-control-allow-origin"),
        None
    );
}

#[tokio::test]
async fn viewers_are_ended_when_the_server_stops() {
    let server = server("").await;
    publish(&server).await;
    let (mut socket, mut answer) = open(&server, "GET /flv/live/cam.flv HTTP/1.1\r\nHost: a\r\n\r\n").await;
    read_until(&mut socket, &mut answer.body, 13).await;
    let addr = server.http_addr().unwrap();
    timeout(DEADLINE, server.drain()).await.expect("draining has an end");
    timeout(DEADLINE, socket.read_to_end(&mut answer.body)).await.unwrap().unwrap();
    assert!(TcpStream::connect(addr).await.is_err(), "it no longer listens");
}
