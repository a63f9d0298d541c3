//! As much of HTTP/1.1 as an offer needs.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// The answer to an offer; whatever is no 201 fails.
pub fn offer(host: &str, path: &str, sdp: &str) -> io::Result<String> {
    let mut socket = TcpStream::connect(host)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let length = sdp.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{sdp}"
    );
    socket.write_all(request.as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 201") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("the offer was refused: {answer}"))),
    }
}
