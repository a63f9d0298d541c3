//! Publishes frames that code made, and reads them back: no network, no protocol.
//!
//! ```text
//! cargo run -p cruvz-examples --example custom-ingest [FILE.h264]
//! ```
//! The frames are an H.264 byte stream (Annex B, with access unit delimiters), as many cameras and encoders give it:
//! `ffmpeg -i clip.mp4 -an -c:v libx264 -bf 0 -x264-params aud=1 -f h264 FILE.h264`. Without a file, a clip of two seconds.

use std::{error::Error, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use cruvz_core::{
    Codec, Engine, Frame, Publisher, Timescale, Timestamp, Track, TrackId, Tracks,
    codec::{self, nal},
};

const CLIP: &[u8] = include_bytes!("data/pictures.h264");
/// 25 pictures per second, in a timescale of 90,000.
const PERIOD: Duration = Duration::from_millis(40);
const PERIOD_TICKS: i64 = 3_600;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).map(std::fs::read).transpose()?;
    let pictures = pictures(file.as_deref().unwrap_or(CLIP));
    let first = pictures.first().ok_or("there is no access unit delimiter in this file")?;

    // What a decoder must know is read from the first picture's parameter sets; it is never guessed.
    let params = codec::from_frame(Codec::H264, first)?;
    let track = Track { id: TrackId::VIDEO, timescale: Timescale::MPEG, params };

    let engine = Engine::builder().start().await?;
    let publisher = engine.publish("live/camera".parse()?, Tracks::new(vec![track])).await?;
    // Viewers of every protocol could watch now. Here it is the same engine's subscriber, which waits for the first picture.
    let (written, printed) = tokio::join!(write(publisher, pictures), print(&engine));
    written?;
    Ok(printed?)
}

async fn print(engine: &Engine) -> cruvz_core::Result<()> {
    let mut subscriber = engine.subscribe("live/camera".parse()?).await?;
    while let Some(frame) = subscriber.next().await {
        println!("pts={} key={} {} bytes", frame.pts, frame.keyframe, frame.payload.len());
    }
    Ok(())
}

/// Writes each picture when its time has come. `write` never waits for viewers: a slow one loses pictures, not we.
async fn write(mut publisher: Publisher, pictures: Vec<Bytes>) -> cruvz_core::Result<()> {
    let mut clock = tokio::time::interval(PERIOD);
    for (at, payload) in (0..).zip(pictures) {
        clock.tick().await;
        let pts = Timestamp::new(at * PERIOD_TICKS, Timescale::MPEG);
        let keyframe = codec::is_keyframe(Codec::H264, &payload);
        // Nothing is reordered in this clip, so pictures are decoded when they are shown.
        publisher.write(Frame { track: TrackId::VIDEO, pts, dts: pts, keyframe, payload })?;
    }
    // Without this the stream would outlive its publisher by the grace (10 s), in case it comes back.
    publisher.stream().end("the clip is over");
    Ok(())
}

/// The access units of a byte stream, each as a frame's payload: NAL units behind their lengths, in 4 bytes.
fn pictures(stream: &[u8]) -> Vec<Bytes> {
    let mut pictures: Vec<BytesMut> = Vec::new();
    for unit in nal::annex_b_units(stream) {
        let is_delimiter = unit.first().is_some_and(|header| header & 0x1f == 9);
        if is_delimiter {
            pictures.push(BytesMut::new());
        } else if let (Some(picture), Ok(length)) = (pictures.last_mut(), u32::try_from(unit.len())) {
            picture.put_u32(length);
            picture.extend_from_slice(unit);
        }
    }
    pictures.into_iter().map(BytesMut::freeze).collect()
}
