//! What the terminal says once the server listens: what to paste where.

use std::{fmt::Write, net::SocketAddr};

use cruvz_core::Protocol;

use crate::app::Server;

/// The banner; `name` is the stream that the watch URL leads to.
pub(crate) fn text(server: &Server, name: &str) -> String {
    let engine = server.engine();
    let (rtmp, rtmps) = (engine.local_addr(Protocol::Rtmp), engine.local_addr(Protocol::Rtmps));
    let (srt, webrtc) = (engine.local_addr(Protocol::Srt), engine.local_addr(Protocol::WebRtc));
    let (http, https) = (server.http_addr(), server.https_addr());
    let mut text = format!("\n  Cruvz {} is live.\n\n", env!("CARGO_PKG_VERSION"));
    let listening = [
        ("RTMP", rtmp),
        ("RTMPS", rtmps),
        ("SRT", srt),
        ("WebRTC", webrtc),
        ("HTTP", http),
        ("HTTPS", https),
    ];
    for (name, addr) in listening {
        if let Some(addr) = addr {
            line(&mut text, name, format!("listening on {addr}"));
        }
    }
    text.push('\n');
    let ingest =
        rtmp.map(|addr| url("rtmp", addr, 1935)).or_else(|| rtmps.map(|addr| url("rtmps", addr, 443)));
    let key = if server.config().access.require_key { "cam?key=YOUR-KEY" } else { "cam" };
    if let Some(ingest) = ingest {
        line(&mut text, "OBS", format!("Server {ingest}/live   Stream Key {key}"));
        line(
            &mut text,
            "ffmpeg",
            format!("ffmpeg -re -i FILE -c:v libx264 -bf 0 -g 60 -c:a aac -f flv '{ingest}/live/{key}'"),
        );
    }
    if let Some(addr) = srt {
        let secret =
            server.config().engine.srt.passphrase.as_ref().map_or("", |_| "&passphrase=YOUR-PASSPHRASE");
        // SRT has no port of its own: it is always named.
        let ingest = format!("{}?streamid=publish:live/{key}{secret}", url("srt", addr, 0));
        line(&mut text, "OBS", format!("Server {ingest}   no Stream Key"));
        line(&mut text, "ffmpeg", format!("ffmpeg -re -i FILE -c copy -f mpegts '{ingest}'"));
    }
    let pages = http.map(|addr| url("http", addr, 80)).or_else(|| https.map(|addr| url("https", addr, 443)));
    if let Some(pages) = pages.as_ref().filter(|_| webrtc.is_some()) {
        let token = if server.config().access.require_key { "   Bearer Token YOUR-KEY" } else { "" };
        line(&mut text, "OBS", format!("Service WHIP   Server {pages}/whip/live/cam{token}"));
        line(&mut text, "WHEP", format!("{pages}/whep/live/{name}"));
    }
    if let Some(pages) = pages {
        line(&mut text, "Watch", format!("{pages}/watch/live/{name}"));
        line(&mut text, "All", format!("{pages}/"));
    }
    if !server.config().access.require_key && server.config().publish.is_empty() {
        let _ = writeln!(
            text,
            "
  Only this machine may publish. Others need a key: see cruvz-server --help, [[publish]]."
        );
    }
    text.push('\n');
    text
}

fn line(text: &mut String, name: &str, value: String) {
    let _ = writeln!(text, "  {name:<9} {value}");
}

/// How this machine reaches `addr`, the port left out where it is the scheme's own.
fn url(scheme: &str, addr: SocketAddr, default_port: u16) -> String {
    let host = match addr {
        _ if addr.ip().is_unspecified() || addr.ip().is_loopback() => "localhost".to_owned(),
        SocketAddr::V4(addr) => addr.ip().to_string(),
        SocketAddr::V6(addr) => format!("[{}]", addr.ip()),
    };
    if addr.port() == default_port {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{host}:{}", addr.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_host_one_can_reach_and_no_port_that_goes_without_saying() {
        for (addr, expected) in [
            ("[::]:1935", "rtmp://localhost"),
            ("0.0.0.0:1936", "rtmp://localhost:1936"),
            ("192.0.2.7:1935", "rtmp://192.0.2.7"),
            ("[2001:db8::1]:9", "rtmp://[2001:db8::1]:9"),
        ] {
            assert_eq!(url("rtmp", addr.parse().unwrap(), 1935), expected);
        }
    }
}
