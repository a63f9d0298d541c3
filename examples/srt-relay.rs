//! RTMP or SRT in, SRT out: to players that call, and on to other SRT servers. Says how the network of each does.
//!
//! ```text
//! cargo run -p cruvz-examples --example srt-relay [RTMP_ADDR [SRT_ADDR [TARGET...]]]
//! ffmpeg -re -i clip.mp4 -c copy -f flv rtmp://127.0.0.1:1935/live/cam
//! ffmpeg -re -i clip.mp4 -c copy -f mpegts 'srt://127.0.0.1:8890?streamid=publish:live/cam'
//! ffplay 'srt://127.0.0.1:8890?streamid=read:live/cam'
//! ```

use std::{error::Error, time::Duration};

use cruvz_core::{Engine, Event, Protocol, SessionInfo, StreamName};

/// How often the state of the network is said.
const REPORT: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rtmp = arguments.next().unwrap_or_else(|| "127.0.0.1:1935".into());
    let srt = arguments.next().unwrap_or_else(|| "127.0.0.1:8890".into());
    let stream: StreamName = "live/cam".parse()?;

    let engine = Engine::builder().rtmp(rtmp).srt(srt).start().await?;
    let mut events = engine.events();
    let listening = |protocol| engine.local_addr(protocol).ok_or("it does not listen");
    println!("publish to rtmp://{}/{stream}", listening(Protocol::Rtmp)?);
    println!("or to srt://{}?streamid=publish:{stream}", listening(Protocol::Srt)?);
    println!("watch at srt://{}?streamid=read:{stream}", listening(Protocol::Srt)?);
    // Each target is called again and again, whatever becomes of it, and takes nothing from anybody else.
    for target in arguments {
        engine.push(stream.clone(), &target)?;
    }

    let mut report = tokio::time::interval(REPORT);
    loop {
        tokio::select! {
            _ = report.tick() => engine.sessions().iter().for_each(say),
            event = events.next() => match event {
                Some(Event::SessionOpened { protocol, role, stream, .. }) => {
                    println!("opened: {role} {stream} over {protocol}");
                }
                Some(Event::SessionEnded { info, reason }) => println!("ended: {}: {reason}", info.role),
                Some(Event::Refused { reason, detail, .. }) => println!("refused: {reason}: {detail}"),
                Some(Event::RemoteState { target, state, .. }) => println!("{target}: {state}"),
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
}

/// Says what an SRT session knows of its network.
fn say(session: &SessionInfo) {
    let Some(srt) = &session.srt else { return };
    println!(
        "network: {} of {}: {:.1} ms round trip, {} packets, {} lost, {} repeated, {} given up",
        session.role,
        session.stream,
        srt.rtt_ms,
        srt.packets,
        srt.lost_packets,
        srt.retransmitted_packets,
        srt.dropped_packets,
    );
}
