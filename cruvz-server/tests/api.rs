//! The API, health, metrics and pages, through real connections.
#![allow(clippy::unwrap_used, reason = "a test says with a panic that it failed")]

mod support;

use std::time::Duration;

use cruvz_core::Tracks;
use support::{ask, get, publish, send, server};

#[tokio::test]
async fn streams_are_listed_shown_and_sampled() {
    let server = server("").await;
    assert_eq!(get(&server, "/api/v1/streams").await.json(), serde_json::json!({ "items": [] }));
    publish(&server).await;
    let list = get(&server, "/api/v1/streams").await.json();
    let stream = &list["items"][0];
    assert_eq!((stream["name"].as_str(), stream["state"].as_str()), (Some("live/cam"), Some("live")));
    assert_eq!(stream["playable"], true);
    assert_eq!(stream["tracks"][0]["codec"], "H.264");
    let shown = get(&server, "/api/v1/streams/live/cam").await;
    assert_eq!((shown.status, &shown.json()["name"]), (200, &stream["name"]));
    let samples = get(&server, "/api/v1/streams/live/cam/samples?seconds=5").await.json();
    assert!(samples["items"].as_array().is_some_and(|items| items.len() <= 5));
}

#[tokio::test]
async fn what_does_not_fit_is_a_problem() {
    let server = server("").await;
    get(&server, "/api/v1/streams/live/nobody").await.is_problem(404, "not_found");
    get(&server, "/api/v1/streams/live/%2e%2e").await.is_problem(400, "invalid_argument");
    get(&server, "/api/v1/streams/live/%ff").await.is_problem(400, "invalid_argument");
    get(&server, "/api/v1/streams?limit=many").await.is_problem(400, "invalid_argument");
    get(&server, "/api/v1/streams?limt=1").await.is_problem(400, "invalid_argument");
    get(&server, "/nothing/here").await.is_problem(404, "not_found");
    ask(&server, "POST", "/api/v1/streams", "Content-Length: 0\r\n")
        .await
        .is_problem(405, "method_not_allowed");
    ask(&server, "DELETE", "/api/v1/sessions/first", "").await.is_problem(400, "invalid_argument");
    ask(&server, "DELETE", "/api/v1/sessions/99", "").await.is_problem(404, "not_found");
}

#[tokio::test]
async fn a_session_is_listed_and_ended_with_its_reason() {
    let server = server("").await;
    let mut events = server.engine().events();
    let publisher = server.engine().publish("live/cam".parse().unwrap(), Tracks::empty()).await.unwrap();
    let list = get(&server, "/api/v1/sessions").await.json();
    let id = list["items"][0]["id"].as_u64().unwrap();
    assert_eq!(list["items"][0]["role"], "publish");
    let ended = ask(&server, "DELETE", &format!("/api/v1/sessions/{id}?reason=maintenance"), "").await;
    assert_eq!((ended.status, ended.body.len()), (204, 0));
    drop(publisher);
    let reason = loop {
        if let cruvz_core::Event::SessionEnded { reason, .. } = events.next().await.unwrap() {
            break reason;
        }
    };
    assert_eq!(reason, "maintenance");
}

#[tokio::test]
async fn managing_needs_this_machine_or_the_token() {
    let server = server("access = { require_key = true, admin_token = 'right' }").await;
    for path in ["/api/v1/sessions", "/api/v1/events"] {
        let answer = get(&server, path).await;
        answer.is_problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some("bearer realm=\"cruvz\""));
        ask(&server, "GET", path, "Authorization: Bearer wrong\r\n").await.is_problem(401, "unauthorized");
    }
    assert_eq!(ask(&server, "GET", "/api/v1/sessions", "Authorization: Bearer right\r\n").await.status, 200);
    let open = support::server("").await;
    ask(&open, "GET", "/api/v1/sessions", "X-Forwarded-For: 192.0.2.1\r\n")
        .await
        .is_problem(401, "unauthorized");
}

#[tokio::test]
async fn events_are_sent_as_they_happen() {
    use tokio::io::AsyncWriteExt;
    let server = server("").await;
    let mut socket = tokio::net::TcpStream::connect(server.http_addr().unwrap()).await.unwrap();
    socket.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = support::read_head(&mut socket).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    // The greeting says that the feed has begun.
    support::read_until(&mut socket, &mut answer.body, 12).await;
    let _publisher = server.engine().publish("live/cam".parse().unwrap(), Tracks::empty()).await.unwrap();
    while !answer.text().contains(r#"data: {"type":"session_opened""#) {
        let length = answer.body.len() + 1;
        support::read_until(&mut socket, &mut answer.body, length).await;
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_pages_have_a_policy() {
    let server = server("").await;
    for path in [
        "/",
        "/watch/live/cam",
        "/publish/live/cam",
        "/nope",
        "/api/v1/streams",
        "/assets/style.css",
        "/metrics",
    ] {
        let answer = ask(&server, "GET", path, "Accept: text/html\r\n").await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
    }
    for (path, status) in [
        ("/", 200),
        ("/watch/live/cam", 200),
        ("/watch/live/%3Cscript%3E", 404),
        ("/publish/live/cam", 200),
        ("/publish/live/%3Cscript%3E", 404),
        ("/nope", 404),
    ] {
        let page = ask(&server, "GET", path, "Accept: text/html\r\n").await;
        assert_eq!(page.status, status, "{path}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let text = page.text();
        assert!(
            !text.contains("<script>") && !text.contains("style=") && !text.contains("onclick"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_asset_a_page_names_is_there_and_is_asked_for_anew() {
    let server = server("").await;
    let pages = ["/", "/watch/live/cam", "/publish/live/cam"];
    let mut named: Vec<String> = pages.map(str::to_owned).into();
    let mut read = 0;
    // Scripts name further scripts.
    while let Some(path) = named.get(read).cloned() {
        read += 1;
        let text = get(&server, &path).await.text();
        for word in text.split(['"', '\'']).filter(|word| word.starts_with("/assets/")) {
            if !named.iter().any(|path| path == word) {
                named.push(word.to_owned());
            }
        }
    }
    assert!(named.len() >= 14, "{named:?}");
    for path in &named[pages.len()..] {
        let asset = get(&server, path).await;
        assert_eq!(asset.status, 200, "{path}");
        assert_eq!(asset.header("cache-control"), Some("no-cache"));
        let tag = asset.header("etag").unwrap();
        let again = ask(&server, "GET", path, &format!("If-None-Match: {tag}\r\n")).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
    assert_eq!(get(&server, "/assets/nothing.js").await.status, 404);
    assert!(get(&server, "/assets/hls.LICENSE.txt").await.text().contains("Apache License"));
}

#[tokio::test]
async fn readiness_ends_with_draining_and_liveness_does_not() {
    let server = server("").await;
    assert_eq!((get(&server, "/livez").await.status, get(&server, "/readyz").await.status), (200, 200));
    server.engine().drain(Duration::ZERO).await;
    get(&server, "/readyz").await.is_problem(503, "unavailable");
    assert_eq!(get(&server, "/livez").await.status, 200);
}

#[tokio::test]
async fn metrics_are_well_formed_and_name_no_stream() {
    let server = server("").await;
    publish(&server).await;
    let answer = get(&server, "/metrics").await;
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    assert!(text.contains("cruvz_streams{state=\"live\"} 1\n"), "{text}");
    assert!(text.contains("cruvz_sessions{protocol=\"file\",role=\"publish\"} 1\n"), "{text}");
    assert!(!text.contains("live/cam"));
    let mut family = "";
    for line in text.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(rest) => {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(
                    name.starts_with("cruvz_") && name.ends_with("_total") == (kind == "counter"),
                    "{line}"
                );
                family = name;
            }
            None if !line.starts_with('#') => {
                assert!(line.starts_with(family), "{line} stands under {family}");
                assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
            }
            None => {}
        }
    }
    let named = support::server("metrics.per_stream = true").await;
    publish(&named).await;
    assert!(get(&named, "/metrics").await.text().contains("{stream=\"live/cam\"}"));
}

#[tokio::test]
async fn connections_over_the_limit_are_told_so() {
    let server = server("http.max_connections = 1").await;
    let addr = server.http_addr().unwrap();
    let mut first = tokio::net::TcpStream::connect(addr).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut first, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(support::read_head(&mut first).await.status, 200);
    let answer = send(addr, "").await;
    assert_eq!((answer.status, answer.json()["status"].as_u64()), (503, Some(503)));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = server("http.header_timeout_ms = 100").await;
    for beginning in ["", "PRI", "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "] {
        let mut socket = tokio::net::TcpStream::connect(server.http_addr().unwrap()).await.unwrap();
        socket.write_all(beginning.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let _ =
            tokio::time::timeout(support::DEADLINE, socket.read_to_end(&mut rest)).await.expect("it is cut");
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_harms_nobody() {
    let server = server("").await;
    let addr = server.http_addr().unwrap();
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(1_000));
    for (request, status) in [("\0\u{1}\u{3}garbage\r\n\r\n", 400), ("GET\r\n\r\n", 400), (&many, 431)] {
        assert_eq!(send(addr, request).await.status, status, "{request:.20}");
    }
    // The rest of a head that is too long may still be on its way when the answer comes: a reset is an answer, too.
    let mut socket = tokio::net::TcpStream::connect(addr).await.unwrap();
    let _ = tokio::io::AsyncWriteExt::write_all(&mut socket, long.as_bytes()).await;
    let mut answer = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut answer);
    let _ = tokio::time::timeout(support::DEADLINE, read).await.expect("it is cut");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(get(&server, "/livez").await.status, 200);
}
