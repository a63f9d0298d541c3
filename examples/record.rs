//! Records a stream for five seconds and says what came of it.
//!
//! ```sh
//! cargo run -p cruvz-examples --example record -- recordings 127.0.0.1:1935
//! ```

use cruvz_core::{Engine, EngineConfig, Event, Protocol, RecordPolicy, Result, StreamName};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut config = EngineConfig::default();
    config.record.folder = arguments.next().unwrap_or_else(|| "recordings".into()).into();
    config.subscribe_timeout_ms = 600_000; // how long to wait for the publisher

    let rtmp = arguments.next().unwrap_or_else(|| "127.0.0.1:1935".into());
    let engine = Engine::builder().rtmp(rtmp).config(config).start().await?;
    let mut events = engine.events();
    if let Some(addr) = engine.local_addr(Protocol::Rtmp) {
        println!("publish to rtmp://{addr}/live/cam");
    }

    let name: StreamName = "live/cam".parse()?;
    let mut policy = RecordPolicy::default();
    policy.max_duration_ms = 5_000;
    let recording = engine.record(name, policy).await?;
    println!("recording {}", recording.id);
    while let Some(event) = events.next().await {
        match event {
            Event::RecordingFailed { detail, .. } => println!("cannot write now: {detail}"),
            Event::RecordingGap { missing_ms, .. } => println!("{missing_ms} ms are missing"),
            Event::RecordingStopped { reason, .. } => {
                println!("over: {reason}");
                break;
            }
            _ => {}
        }
    }
    if let Some(ended) = engine.recording(&recording.id) {
        println!("{} segments, {} ms, {} bytes", ended.segments, ended.duration_ms, ended.bytes);
    }
    engine.shutdown().await;
    Ok(())
}
