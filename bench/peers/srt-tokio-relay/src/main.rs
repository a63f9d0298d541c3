//! A relay on srt-tokio, to measure Cruvz against: what a publisher sends goes to its players.
//!
//! `srt-tokio-relay PORT LATENCY_MS`; the stream id decides: `publish:NAME` or `read:NAME`. Ends with standard input.
//!
//! Players' sockets are read as well: one that is not stalls the listener for everybody (srt-tokio 0.4.4).

use std::{
    collections::HashMap,
    env,
    error::Error,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use srt_tokio::{SrtListener, SrtSocket, options::ByteCount};
use tokio::{
    io::AsyncReadExt,
    sync::{Mutex, broadcast},
};

type Streams = Arc<Mutex<HashMap<String, broadcast::Sender<(Instant, Bytes)>>>>;

const PACKETS_BEHIND: usize = 4096;
/// The default holds 32 packets, and a connection that overflows it stays stuck.
const SEND_BUFFER: ByteCount = ByteCount(12_000_000);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().collect();
    let [_, port, latency_ms] = &words[..] else {
        return Err("usage: srt-tokio-relay PORT LATENCY_MS".into());
    };
    let latency = Duration::from_millis(latency_ms.parse()?);
    let (_listener, mut incoming) = SrtListener::builder()
        .set(|options| {
            options.receiver.latency = latency;
            options.sender.peer_latency = latency;
            options.sender.buffer_size = SEND_BUFFER;
        })
        .bind(format!("127.0.0.1:{port}").as_str())
        .await?;
    println!("listening");
    let streams = Streams::default();
    let accepting = async {
        while let Some(request) = incoming.incoming().next().await {
            let id = request.stream_id().map(ToString::to_string).unwrap_or_default();
            let streams = streams.clone();
            tokio::spawn(async move {
                let socket = request.accept(None).await?;
                match id.split_once(':') {
                    Some(("publish", name)) => publish(socket, name, &streams).await,
                    Some(("read", name)) => play(socket, name, &streams).await,
                    _ => Ok(()),
                }
            });
        }
    };
    let ended = async { while tokio::io::stdin().read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {} };
    tokio::select! { () = accepting => {}, () = ended => {} }
    Ok(())
}

async fn sender(name: &str, streams: &Streams) -> broadcast::Sender<(Instant, Bytes)> {
    let mut streams = streams.lock().await;
    streams.entry(name.to_owned()).or_insert_with(|| broadcast::channel(PACKETS_BEHIND).0).clone()
}

async fn publish(mut socket: SrtSocket, name: &str, streams: &Streams) -> io::Result<()> {
    let players = sender(name, streams).await;
    while let Some(packet) = socket.next().await {
        // Nobody listens: nothing to do.
        let _ = players.send(packet?);
    }
    Ok(())
}

async fn play(mut socket: SrtSocket, name: &str, streams: &Streams) -> io::Result<()> {
    let mut packets = sender(name, streams).await.subscribe();
    let (mut source, mut sink) = socket.split_mut();
    let sending = async {
        loop {
            match packets.recv().await {
                Ok((_, bytes)) => {
                    sink.send((Instant::now(), bytes))
                        .await
                        .map_err(|error| io::Error::other(format!("{error:?}")))?;
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return io::Result::Ok(()),
            }
        }
    };
    tokio::select! {
        result = sending => result,
        () = async { while source.next().await.is_some() {} } => Ok(()),
    }
}
