//! HTTPS: HTTP/2 and HTTP/1.1 by ALPN, and WebSocket-FLV where no socket can be taken over.
#![allow(clippy::unwrap_used, reason = "a test says with a panic that it failed")]

mod support;

use std::sync::Arc;

use cruvz_server::Server;
use support::{DEADLINE, publish, server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject},
    },
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

async fn secure_server() -> Server {
    let server = server(&format!(
        "https.listen = '127.0.0.1:0'\ntls = {{ cert = '{FIXTURES}/localhost.cert.pem', key = '{FIXTURES}/localhost.key.pem' }}"
    ))
    .await;
    publish(&server).await;
    server
}

async fn connect(server: &Server, alpn: &[&str]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let cert = CertificateDer::from_pem_file(format!("{FIXTURES}/localhost.cert.pem")).unwrap();
    roots.add(cert).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let socket = TcpStream::connect(server.https_addr().unwrap()).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), socket).await.unwrap()
}

/// Sends `request` and reads until what came holds `wanted`.
async fn exchange(server: &Server, request: &str, wanted: &[u8]) -> Vec<u8> {
    let mut socket = connect(server, &["http/1.1"]).await;
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.windows(wanted.len()).any(|window| window == wanted) {
        let read = timeout(DEADLINE, socket.read_buf(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&bytes));
    }
    bytes
}

#[tokio::test]
async fn the_handshake_agrees_on_a_version_and_both_are_served() {
    let server = secure_server().await;
    let both = connect(&server, &["h2", "http/1.1"]).await;
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let answer = exchange(&server, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", b"ok\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    drop(both);
}

#[tokio::test]
async fn flv_is_a_body_and_a_websocket_is_upgraded() {
    let server = secure_server().await;
    let request = "GET /flv/live/cam.flv HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = exchange(&server, request, b"FLV\x01").await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let request = "GET /flv/live/cam.flv HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let answer = exchange(&server, request, b"\r\n\r\n\x82\x0dFLV\x01").await;
    assert!(answer.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_harms_nobody() {
    let server = secure_server().await;
    let mut plain = TcpStream::connect(server.https_addr().unwrap()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, plain.read_to_end(&mut rest)).await.expect("it is cut");
    exchange(&server, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", b"ok\n").await;
}
