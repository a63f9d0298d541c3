//! Restreaming to any RTMP(S) server.

use std::sync::Arc;

use super::PATIENCE;
use crate::{
    Error, ErrorKind, Protocol, Role,
    egress::{cursor::Cursor, rtmp},
    protocol::rtmp::{ClientConfig, ClientEvent, Url, client::Role as ClientRole},
    runtime::{
        remote::{Job, RemoteState},
        rtmp_client::RtmpClient,
    },
};

/// One connection: waits for the stream, sends it until one of them ends.
pub(crate) async fn attempt(job: Arc<Job<Url>>) -> Result<(), Error> {
    let context = &job.context;
    let stream = context.hub.playable(&job.stream, PATIENCE).await?;
    let config = ClientConfig { chunk_size: rtmp::CHUNK_SIZE, ..ClientConfig::default() };
    let (mut client, stream_id) = RtmpClient::start(&job, ClientRole::Publish, config).await?;
    let unusual =
        || Error::new(ErrorKind::Unsupported, format!("the server gave us message stream {stream_id}"));
    let log = stream.wire(rtmp::publish_format(stream_id).ok_or_else(unusual)?)?;
    let protocol = if job.url.is_tls() { Protocol::Rtmps } else { Protocol::Rtmp };
    let session = context.gate.sessions.open(&job.stream, protocol, Role::Push, Some(client.addr))?;
    let mut cursor = Cursor::new(context, log, bytes::Bytes::new(), session);
    job.set(RemoteState::Running);
    let ended = send(&mut client, &mut cursor).await;
    match &ended {
        Ok(()) => client.close().await,
        Err(error) => cursor.session.because(error.to_string()),
    }
    ended
}

async fn send(client: &mut RtmpClient, cursor: &mut Cursor) -> Result<(), Error> {
    loop {
        tokio::select! {
            piece = cursor.next() => match piece {
                Some(piece) => client.write(&piece).await?,
                None => return Ok(()),
            },
            received = client.receive() => received?,
        }
        while let Some(event) = client.rtmp.poll_event() {
            match event {
                ClientEvent::Ended(status) => {
                    let said = format!("the server ended it: {} {}", status.code, status.description);
                    return Err(Error::new(ErrorKind::Closed, said.trim_end()));
                }
                ClientEvent::ReconnectRequested { .. } => {
                    return Err(Error::new(ErrorKind::Unavailable, "the server asks to connect anew"));
                }
                _ => {}
            }
        }
        client.send().await?;
    }
}
