//! Asks a service of yours who may publish, with a deadline; everybody may play.
//!
//! ```text
//! cargo run -p cruvz-examples --example auth-hook [RTMP_ADDR]
//! ffmpeg -re -i clip.mp4 -c copy -f flv 'rtmp://127.0.0.1:1935/live/cam?key=let-me-in'
//! ```
//! `key=slow` makes the service dawdle: the answer is then no.

use std::time::Duration;

use cruvz_core::{AccessRequest, Action, Decision, Engine, Event, Protocol, StreamKey, StreamName};

/// How long we wait for the service. The engine itself waits for `EngineConfig::authorize_timeout_ms` (2 s) and then says
/// no; a shorter deadline of our own can give a better reason.
const PATIENCE: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> cruvz_core::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:1935".to_owned());
    // Any async closure decides; it is asked once per session, before any media is taken.
    let engine = Engine::builder().rtmp(addr).authorize(authorize).start().await?;
    if let Some(addr) = engine.local_addr(Protocol::Rtmp) {
        println!("publish to rtmp://{addr}/live/cam?key=let-me-in");
    }

    let mut events = engine.events();
    while let Some(event) = events.next().await {
        match event {
            Event::SessionOpened { stream, role, .. } => println!("let in: {role} {stream}"),
            // `reason` is for programs and metrics, `detail` is what the peer was told as well.
            Event::Refused { reason, detail, .. } => println!("refused: {reason}: {detail}"),
            Event::SessionEnded { info, reason } => println!("left: {} {}: {reason}", info.role, info.stream),
            _ => {}
        }
    }
    Ok(())
}

async fn authorize(request: AccessRequest) -> Decision {
    if request.action == Action::Play {
        return request.allow();
    }
    // The secret comes behind the name, as `cam?key=…` or `cam?token=…`; its `Debug` never shows it.
    let Some(key) = &request.key else {
        return request.deny("a key is needed: put ?key=… behind the stream's name");
    };
    match tokio::time::timeout(PATIENCE, service(key, &request.stream)).await {
        Ok(true) => request.allow(),
        Ok(false) => request.deny("this key does not open this stream"),
        // Fail closed: a service that is down must not open the door.
        Err(_) => request.deny("the account service did not answer in time"),
    }
}

/// Stands for a database or an HTTP call.
async fn service(key: &StreamKey, stream: &StreamName) -> bool {
    if key.matches("slow") {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    // `matches` takes the same time wherever the first wrong character is.
    stream.app() == "live" && key.matches("let-me-in")
}
