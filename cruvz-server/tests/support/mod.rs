//! A server in this process and a client that speaks HTTP/1 by hand.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use cruvz_core::FileSource;
use cruvz_server::{Config, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Far more than anything takes; only a hang is longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A server on free ports of this machine with `toml` over that.
pub(crate) async fn server(toml: &str) -> Server {
    let text = format!(
        "rtmp.listen = '127.0.0.1:0'\nsrt.listen = '127.0.0.1:0'\nwebrtc.listen = '127.0.0.1:0'\nhttp.listen = '127.0.0.1:0'\ndrain.timeout_ms = 200\n\
         engine.subscribe_timeout_ms = 300\n{toml}"
    );
    Server::start(toml::from_str::<Config>(&text).unwrap()).await.unwrap()
}

/// A short clip, H.264 and AAC.
pub(crate) fn clip() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cruvz-media/tests/fixtures/mp4/avc-aac.mp4")
}

/// Plays a short clip (H.264 and AAC) for ever as `live/cam`, and waits until it can be watched.
pub(crate) async fn publish(server: &Server) {
    let name: cruvz_core::StreamName = "live/cam".parse().unwrap();
    server.engine().publish_file(name.clone(), FileSource::new(clip()).repeat()).await.unwrap();
    timeout(DEADLINE, server.engine().subscribe(name)).await.unwrap().unwrap();
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers, in small letters.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts that it is a problem (RFC 9457) with `status` and `code`.
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{} {}", self.head, self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        let body = self.json();
        assert_eq!((body["status"].as_u64(), body["code"].as_str()), (Some(status.into()), Some(code)));
        assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    }
}

/// Reads the head of a response, and what came with it of the body.
pub(crate) async fn read_head(socket: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let read = timeout(DEADLINE, socket.read_buf(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0, "closed in the head: {}", String::from_utf8_lossy(&bytes));
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes.split_off(end) }
}

/// Sends `request`, whose last header is `Connection: close`, and reads the whole answer.
pub(crate) async fn send(addr: SocketAddr, request: &str) -> Answer {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = read_head(&mut socket).await;
    timeout(DEADLINE, socket.read_to_end(&mut answer.body)).await.unwrap().unwrap();
    answer
}

/// A request with more `headers` (each with its line end).
pub(crate) async fn ask(server: &Server, method: &str, path: &str, headers: &str) -> Answer {
    let addr = server.http_addr().unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\n{headers}Connection: close\r\n\r\n");
    send(addr, &request).await
}

pub(crate) async fn get(server: &Server, path: &str) -> Answer {
    ask(server, "GET", path, "").await
}

/// Reads until `bytes` holds at least `length`.
pub(crate) async fn read_until(socket: &mut TcpStream, bytes: &mut Vec<u8>, length: usize) {
    while bytes.len() < length {
        let read = timeout(DEADLINE, socket.read_buf(bytes)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {} bytes", bytes.len());
    }
}
