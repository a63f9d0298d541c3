//! Sends one stream on to several servers, and says how each of them does.
//!
//! ```text
//! cargo run -p cruvz-examples --example restream RTMP_ADDR STREAM TARGET...
//! cargo run -p cruvz-examples --example restream 127.0.0.1:1935 live/cam rtmp://a.example/live/KEY rtmps://b.example/app/KEY
//! ```

use std::{error::Error, process::ExitCode};

use cruvz_core::{Engine, Event, Protocol, StreamName};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [addr, stream, targets @ ..] = &arguments[..] else {
        eprintln!("usage: restream RTMP_ADDR STREAM TARGET...");
        return Ok(ExitCode::from(2));
    };
    let stream: StreamName = stream.parse()?;
    let engine = Engine::builder().rtmp(addr).start().await?;
    let mut events = engine.events();

    // Each target has a connection and a cursor of its own. One that is slow or gone is tried again and again, with a
    // growing pause, and takes nothing from the publisher or from the other targets.
    for target in targets {
        engine.push(stream.clone(), target)?;
    }
    println!(
        "publish to rtmp://{}/{stream}",
        engine.local_addr(Protocol::Rtmp).ok_or("RTMP does not listen")?
    );

    // The handles that `push` gave have `state()` and `stop()`; what they do is told as events, too.
    while let Some(event) = events.next().await {
        match event {
            // `target` is shown without its key.
            Event::RemoteState { target, state, detail, .. } if detail.is_empty() => {
                println!("{target}: {state}")
            }
            Event::RemoteState { target, state, detail, .. } => println!("{target}: {state}: {detail}"),
            Event::Lagged { missed } => println!("{missed} events were missed"),
            _ => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}
