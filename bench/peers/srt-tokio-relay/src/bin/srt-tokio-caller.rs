//! A caller on srt-tokio: publishes its standard input, or plays to its standard output.
//!
//! `srt-tokio-caller 'srt://HOST:PORT?streamid=publish:NAME&passphrase=…&pbkeylen=16'`, or `streamid=read:NAME`.

use std::{
    collections::HashMap,
    env,
    error::Error,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use srt_tokio::{SrtSocket, options::PacketSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt, stdin, stdout};

const LATENCY: Duration = Duration::from_millis(120);
const PAYLOAD: usize = 1316;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("usage: srt-tokio-caller URL")?;
    let (address, query) =
        url.strip_prefix("srt://").and_then(|rest| rest.split_once('?')).ok_or("want srt://HOST:PORT?…")?;
    let options: HashMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let stream_id = *options.get("streamid").ok_or("want a streamid")?;
    let mut builder = SrtSocket::builder().latency(LATENCY).set(|options| {
        // It announces this as the size of its packets, headers and all: the default has no room for 1,316 bytes of media.
        options.sender.max_payload_size = PacketSize(1456);
    });
    if let Some(passphrase) = options.get("passphrase") {
        let key_bytes = options.get("pbkeylen").map_or(Ok(16), |bytes| bytes.parse())?;
        builder = builder.encryption(key_bytes, *passphrase);
    }
    let socket = builder.call(address, Some(stream_id)).await?;
    if stream_id.starts_with("publish:") { publish(socket).await } else { play(socket).await }
}

async fn publish(mut socket: SrtSocket) -> Result<(), Box<dyn Error>> {
    let (mut input, mut held) = (stdin(), Vec::new());
    while input.read_buf(&mut held).await? > 0 {
        while held.len() >= PAYLOAD {
            let payload: Vec<u8> = held.drain(..PAYLOAD).collect();
            socket.send((Instant::now(), Bytes::from(payload))).await?;
        }
    }
    if !held.is_empty() {
        socket.send((Instant::now(), held.into())).await?;
    }
    Ok(socket.close_and_finish().await?)
}

async fn play(mut socket: SrtSocket) -> Result<(), Box<dyn Error>> {
    let mut output = stdout();
    while let Some(packet) = socket.next().await {
        output.write_all(&packet?.1).await?;
        output.flush().await?;
    }
    Ok(())
}
