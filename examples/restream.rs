//! Sends one stream on to several servers, and says how each of them does. The stream is published here, or fetched.
//!
//! ```text
//! cargo run -p cruvz-examples --example restream RTMP_ADDR STREAM[=SOURCE] TARGET...
//! cargo run -p cruvz-examples --example restream 127.0.0.1:1935 live/cam rtmp://a.example/live/KEY rtmps://b.example/app/KEY
//! cargo run -p cruvz-examples --example restream 127.0.0.1:1935 live/cam=srt://:9000?mode=listener rtmp://a.example/live/KEY
//! ```

use std::{error::Error, process::ExitCode};

use cruvz_core::{Engine, Event, Protocol, StreamName};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [addr, stream, targets @ ..] = &arguments[..] else {
        eprintln!("usage: restream RTMP_ADDR STREAM[=SOURCE] TARGET...");
        return Ok(ExitCode::from(2));
    };
    let (stream, source) =
        stream.split_once('=').map_or((&stream[..], None), |(name, url)| (name, Some(url)));
    let stream: StreamName = stream.parse()?;
    let engine = Engine::builder().rtmp(addr).start().await?;
    let mut events = engine.events();

    if let Some(source) = source {
        engine.pull(stream.clone(), source)?;
    }
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
