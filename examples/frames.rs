//! Takes RTMP in and prints the frames of one stream: the README's ten lines, with arguments.
//!
//! ```text
//! cargo run -p cruvz-examples --example frames [RTMP_ADDR [STREAM]]
//! ffmpeg -re -i clip.mp4 -c copy -f flv rtmp://127.0.0.1:1935/live/cam
//! ```

use cruvz_core::{Engine, Protocol};

#[tokio::main]
async fn main() -> cruvz_core::Result<()> {
    let argument = |at, default: &str| std::env::args().nth(at).unwrap_or_else(|| default.to_owned());
    let stream = argument(2, "live/cam");

    let engine = Engine::builder().rtmp(argument(1, "127.0.0.1:1935")).start().await?;
    if let Some(addr) = engine.local_addr(Protocol::Rtmp) {
        println!("publish to rtmp://{addr}/{stream}");
    }

    // Waits for the publisher (10 s unless the configuration says otherwise), then begins at its newest keyframe.
    let mut subscriber = engine.subscribe(stream.parse()?).await?;
    for track in subscriber.stream().tracks().iter() {
        println!("track {} is {} {}", track.id, track.params.codec, track.params.rfc6381);
    }
    // `None` once the stream is over: a publisher that comes back within the grace goes on with the same timeline.
    while let Some(frame) = subscriber.next().await {
        println!("{} pts={} key={} {} bytes", frame.track, frame.pts, frame.keyframe, frame.payload.len());
    }
    Ok(())
}
