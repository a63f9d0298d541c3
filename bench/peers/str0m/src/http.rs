//! As much of HTTP/1.1 as WHIP and WHEP need.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::Result;

/// A viewer's offer waits for the stream.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The answer to an offer, and the URL of its session.
pub fn offer(url: &str, sdp: &str) -> Result<(String, String)> {
    let (head, body) = ask("POST", url, sdp)?;
    if !head.starts_with("HTTP/1.1 201") {
        return Err(format!("the offer was refused: {head}\r\n\r\n{body}").into());
    }
    let header = |line: &str| {
        line.split_once(':')
            .filter(|(name, _)| name.eq_ignore_ascii_case("location"))
            .map(|(_, value)| value.trim().to_owned())
    };
    let location = head.lines().find_map(header).ok_or("the answer names no session")?;
    let (host, _) = split(url)?;
    Ok((body, format!("http://{host}{location}")))
}

/// Ends a session.
pub fn delete(session: &str) -> Result<()> {
    let (head, _) = ask("DELETE", session, "")?;
    if head.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(format!("DELETE was answered {head}").into()) }
}

/// The head and the body of the answer.
fn ask(method: &str, url: &str, sdp: &str) -> Result<(String, String)> {
    let (host, path) = split(url)?;
    let mut socket = TcpStream::connect(host)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let length = sdp.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{sdp}"
    );
    socket.write_all(request.as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    Ok((head.to_owned(), body.to_owned()))
}

/// The host and the path of a URL.
fn split(url: &str) -> Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").ok_or("an http:// URL is wanted")?;
    let at = rest.find('/').ok_or("the URL has no path")?;
    Ok(rest.split_at(at))
}
